//! What the server counts, in Prometheus' conventions, for `GET /metrics`. Labels have few values, none of them from a client.

use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use warp::reply::Response;

use crate::image;

/// Upper bounds of the latency histograms' buckets, in seconds: a cached image takes some 50 microseconds, a first key 30
/// milliseconds, a full server a second.
const SECONDS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];

/// How many values labels have.
const ROUTES: usize = Route::Other as usize + 1;
const KEY_CHECKS: usize = KeyCheck::BadLink as usize + 1;
const CHOICES: usize = Chosen::Shuffle as usize + 1;
/// The status of most answers.
const OK: u16 = 200;

/// Which route a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Route {
    Random,
    RandomImage,
    Images,
    Image,
    ImageInfo,
    UpdateImages,
    UpdateKey,
    Page,
    Healthz,
    Readyz,
    Metrics,
    Openapi,
    /// None of them.
    Other,
}

/// What became of the key, or the signed link, that a request showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum KeyCheck {
    /// Right, as it was before.
    Remembered,
    /// Right, for the first time: argon2 said so.
    Verified,
    /// Its id is one of ours, its secret is not.
    Wrong,
    /// No live key has its id.
    Unknown,
    /// There was none, or no text that could be one.
    Missing,
    /// Not looked at, for too many wrong ones came before it.
    Throttled,
    /// A signed link, as it was signed and in time.
    Link,
    /// A signed link that is forged, was changed, has ended, or is shown by another page.
    BadLink,
}

/// How an image was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Chosen {
    Random,
    Seed,
    Shuffle,
}

/// Gives each label value its name.
macro_rules! label_values {
    ($($label:ident { $($value:ident => $name:literal),* $(,)? })*) => {
        $(impl EncodeLabelValue for $label {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
                EncodeLabelValue::encode(&match self { $(Self::$value => $name),* }, encoder)
            }
        })*
    };
}

label_values! {
    Route {
        Random => "random",
        RandomImage => "random_image",
        Images => "images",
        Image => "image",
        ImageInfo => "image_info",
        UpdateImages => "update_images",
        UpdateKey => "update_key",
        Page => "page",
        Healthz => "healthz",
        Readyz => "readyz",
        Metrics => "metrics",
        Openapi => "openapi",
        Other => "other",
    }
    KeyCheck {
        Remembered => "remembered",
        Verified => "verified",
        Wrong => "wrong",
        Unknown => "unknown",
        Missing => "missing",
        Throttled => "throttled",
        Link => "link",
        BadLink => "bad_link",
    }
    Chosen {
        Random => "random",
        Seed => "seed",
        Shuffle => "shuffle",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: Route,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRoute {
    route: Route,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: KeyCheck,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByChoice {
    by: Chosen,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    status: &'static str,
}

/// One of a family for each of its few labels, looked up once.
struct Known<M, const LABELS: usize>([OnceLock<M>; LABELS]);

impl<M: Clone, const LABELS: usize> Known<M, LABELS> {
    fn new() -> Self {
        Self([const { OnceLock::new() }; LABELS])
    }

    fn get<S, C>(&self, label: usize, family: &Family<S, M, C>, labels: impl FnOnce() -> S) -> &M
    where
        S: Clone + Eq + Hash,
        C: MetricConstructor<M>,
    {
        self.0[label].get_or_init(|| family.get_or_create(&labels()).clone())
    }
}

/// All counters of a server.
pub struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    seconds: Family<ByRoute, Histogram, fn() -> Histogram>,
    bytes: Family<ByRoute, Counter>,
    picks: Family<ByChoice, Counter>,
    key_checks: Family<ByOutcome, Counter>,
    connections: Gauge,
    accepted: Counter,
    images: Gauge,
    version: Gauge<u64, AtomicU64>,
    reload_seconds: Histogram,
    import_files: Family<ByStatus, Counter>,
    import_source_bytes: Counter,
    import_stored_bytes: Counter,
    known_requests: Known<Counter, ROUTES>,
    known_seconds: Known<Histogram, ROUTES>,
    known_bytes: Known<Counter, ROUTES>,
    known_picks: Known<Counter, CHOICES>,
    known_key_checks: Known<Counter, KEY_CHECKS>,
}

impl Metrics {
    pub(super) fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("imagepool");
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            bytes: Family::default(),
            picks: Family::default(),
            key_checks: Family::default(),
            connections: Gauge::default(),
            accepted: Counter::default(),
            images: Gauge::default(),
            version: Gauge::default(),
            reload_seconds: histogram(),
            import_files: Family::default(),
            import_source_bytes: Counter::default(),
            import_stored_bytes: Counter::default(),
            known_requests: Known::new(),
            known_seconds: Known::new(),
            known_bytes: Known::new(),
            known_picks: Known::new(),
            known_key_checks: Known::new(),
        };
        let start: Gauge<u64, AtomicU64> = Gauge::default();
        start.set(image::now());
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", build);
        registry.register(
            "start_time_seconds",
            "When the server was started, in seconds since 1970",
            start,
        );
        registry.register("http_requests", "Requests that were answered", metrics.requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "From a request's head to its answer's",
            metrics.seconds.clone(),
        );
        registry.register(
            "http_response_bytes",
            "Bytes of the bodies that answers announced",
            metrics.bytes.clone(),
        );
        registry.register(
            "http_connections",
            "Connections that are open",
            metrics.connections.clone(),
        );
        registry.register(
            "http_accepted_connections",
            "Connections that were opened",
            metrics.accepted.clone(),
        );
        registry.register("picks", "Images chosen by /random, and how", metrics.picks.clone());
        registry.register(
            "key_checks",
            "Keys and signed links that were checked, and what became of them",
            metrics.key_checks.clone(),
        );
        registry.register("catalog_images", "Images in the catalog", metrics.images.clone());
        registry.register(
            "catalog_version",
            "The gallery's version that the catalog shows",
            metrics.version.clone(),
        );
        registry.register(
            "catalog_reload_seconds",
            "How long loading the catalog took",
            metrics.reload_seconds.clone(),
        );
        registry.register(
            "import_files",
            "Files that this server looked at, and what became of them",
            metrics.import_files.clone(),
        );
        registry.register(
            "import_source_bytes",
            "Bytes of the files that it imported",
            metrics.import_source_bytes.clone(),
        );
        registry.register(
            "import_stored_bytes",
            "Bytes of the images that they became",
            metrics.import_stored_bytes.clone(),
        );
        metrics.registry = registry;
        Arc::new(metrics)
    }

    /// Counts a connection as open until what is returned is dropped.
    pub(super) fn connected(&self) -> Connected {
        self.accepted.inc();
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// A request was answered, with a body of so many bytes.
    pub(super) fn answered(&self, response: &Response, bytes: Option<u64>, elapsed: Duration) {
        let route = response.extensions().get::<Route>().copied().unwrap_or(Route::Other);
        let status = response.status().as_u16();
        let by_route = || ByRoute { route };
        if status == OK {
            let good = self
                .known_requests
                .get(route as usize, &self.requests, || Answered { route, status });
            good.inc();
        } else {
            self.requests.get_or_create(&Answered { route, status }).inc();
        }
        self.known_seconds
            .get(route as usize, &self.seconds, by_route)
            .observe(elapsed.as_secs_f64());
        self.known_bytes.get(route as usize, &self.bytes, by_route).inc_by(bytes.unwrap_or(0));
    }

    pub(super) fn picked(&self, by: Chosen, images: usize) {
        self.known_picks.get(by as usize, &self.picks, || ByChoice { by }).inc_by(images as u64);
    }

    pub(super) fn checked(&self, outcome: KeyCheck) {
        self.known_key_checks
            .get(outcome as usize, &self.key_checks, || ByOutcome { outcome })
            .inc();
    }

    pub(super) fn reloaded(&self, images: usize, version: u64, elapsed: Duration) {
        self.images.set(i64::try_from(images).unwrap_or(i64::MAX));
        self.version.set(version);
        self.reload_seconds.observe(elapsed.as_secs_f64());
    }

    /// An import beside this server has dealt with a file; `status` is that of its report.
    pub fn count_import(&self, status: &'static str, source_bytes: u64, stored_bytes: u64) {
        self.import_files.get_or_create(&ByStatus { status }).inc();
        self.import_source_bytes.inc_by(source_bytes);
        self.import_stored_bytes.inc_by(stored_bytes);
    }

    /// Everything, as `OpenMetrics` text, which Prometheus reads.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("a string takes what is written to it");
        text
    }
}

/// An open connection.
pub(super) struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

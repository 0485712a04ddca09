//! Counts what the server does, in Prometheus' conventions, for `GET /metrics`.
//!
//! Labels have few values, and none of them comes from a client.

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

/// Upper bounds of the latency histograms' buckets, in seconds.
///
/// A cached image takes some 50 microseconds, a key's first check 30 milliseconds, and a full
/// server a second.
const BUCKETS_SECONDS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];

/// Number of values of [`Route`].
const ROUTES: usize = Route::Other as usize + 1;
/// Number of values of [`KeyCheck`].
const KEY_CHECKS: usize = KeyCheck::BadLink as usize + 1;
/// Number of values of [`PickMethod`].
const PICK_METHODS: usize = PickMethod::Shuffle as usize + 1;
/// Status of most responses.
const OK: u16 = 200;

/// The route that a request was for.
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
    /// No route of ours.
    Other,
}

/// The outcome of checking a request's key or signed link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum KeyCheck {
    /// The key is right, as it was before.
    Remembered,
    /// The key is right for the first time, as argon2 found.
    Verified,
    /// The key's id is known and its secret is wrong.
    Wrong,
    /// No live key has this id.
    Unknown,
    /// The request has no key, or something that can't be one.
    Missing,
    /// The key was not checked, because too many wrong ones came before it.
    Throttled,
    /// The signed link is unchanged and has not ended.
    Link,
    /// The signed link is forged, was changed, has ended, or is shown by another page.
    BadLink,
}

/// How an image was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum PickMethod {
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
    PickMethod {
        Random => "random",
        Seed => "seed",
        Shuffle => "shuffle",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: Route,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: Route,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyCheckLabels {
    outcome: KeyCheck,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PickLabels {
    by: PickMethod,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FileLabels {
    status: &'static str,
}

/// The metrics of a family by label, each looked up once. A family's own lookup takes a lock.
struct LabelCache<M, const LABELS: usize>([OnceLock<M>; LABELS]);

impl<M: Clone, const LABELS: usize> LabelCache<M, LABELS> {
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
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    bytes: Family<RouteLabels, Counter>,
    picks: Family<PickLabels, Counter>,
    key_checks: Family<KeyCheckLabels, Counter>,
    connections: Gauge,
    accepted: Counter,
    images: Gauge,
    version: Gauge<u64, AtomicU64>,
    reload_seconds: Histogram,
    import_files: Family<FileLabels, Counter>,
    import_source_bytes: Counter,
    import_stored_bytes: Counter,
    cached_requests: LabelCache<Counter, ROUTES>,
    cached_seconds: LabelCache<Histogram, ROUTES>,
    cached_bytes: LabelCache<Counter, ROUTES>,
    cached_picks: LabelCache<Counter, PICK_METHODS>,
    cached_key_checks: LabelCache<Counter, KEY_CHECKS>,
}

impl Metrics {
    pub(super) fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("imagepool");
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS_SECONDS);
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
            cached_requests: LabelCache::new(),
            cached_seconds: LabelCache::new(),
            cached_bytes: LabelCache::new(),
            cached_picks: LabelCache::new(),
            cached_key_checks: LabelCache::new(),
        };
        metrics.register_server(&mut registry);
        metrics.register_catalog(&mut registry);
        metrics.register_import(&mut registry);
        metrics.registry = registry;
        Arc::new(metrics)
    }

    fn register_server(&self, registry: &mut Registry) {
        let start: Gauge<u64, AtomicU64> = Gauge::default();
        start.set(image::now());
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", build);
        let help = "When the server was started, in seconds since 1970";
        registry.register("start_time_seconds", help, start);
        registry.register("http_requests", "Requests that were answered", self.requests.clone());
        let help = "From a request's head to its answer's";
        registry.register("http_request_duration_seconds", help, self.seconds.clone());
        let help = "Bytes of the bodies that answers announced";
        registry.register("http_response_bytes", help, self.bytes.clone());
        let help = "Connections that are open";
        registry.register("http_connections", help, self.connections.clone());
        let help = "Connections that were opened";
        registry.register("http_accepted_connections", help, self.accepted.clone());
        registry.register("picks", "Images chosen by /random, and how", self.picks.clone());
        let help = "Keys and signed links that were checked, and what became of them";
        registry.register("key_checks", help, self.key_checks.clone());
    }

    fn register_catalog(&self, registry: &mut Registry) {
        registry.register("catalog_images", "Images in the catalog", self.images.clone());
        let help = "The gallery's version that the catalog shows";
        registry.register("catalog_version", help, self.version.clone());
        let help = "How long loading the catalog took";
        registry.register("catalog_reload_seconds", help, self.reload_seconds.clone());
    }

    fn register_import(&self, registry: &mut Registry) {
        let help = "Files that this server looked at, and what became of them";
        registry.register("import_files", help, self.import_files.clone());
        let help = "Bytes of the files that it imported";
        registry.register("import_source_bytes", help, self.import_source_bytes.clone());
        let help = "Bytes of the images that they became";
        registry.register("import_stored_bytes", help, self.import_stored_bytes.clone());
    }

    /// Counts a connection as open until the guard is dropped.
    pub(super) fn count_connection(&self) -> OpenConnection {
        self.accepted.inc();
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    /// Counts a response, whose body has this many bytes.
    pub(super) fn count_response(
        &self,
        response: &Response,
        bytes: Option<u64>,
        elapsed: Duration,
    ) {
        let route = response.extensions().get::<Route>().copied().unwrap_or(Route::Other);
        let status = response.status().as_u16();
        let by_route = || RouteLabels { route };
        if status == OK {
            let good = self
                .cached_requests
                .get(route as usize, &self.requests, || RequestLabels { route, status });
            good.inc();
        } else {
            self.requests.get_or_create(&RequestLabels { route, status }).inc();
        }
        self.cached_seconds
            .get(route as usize, &self.seconds, by_route)
            .observe(elapsed.as_secs_f64());
        self.cached_bytes.get(route as usize, &self.bytes, by_route).inc_by(bytes.unwrap_or(0));
    }

    /// Counts images that `/random` picked.
    pub(super) fn count_picks(&self, by: PickMethod, images: usize) {
        self.cached_picks.get(by as usize, &self.picks, || PickLabels { by }).inc_by(images as u64);
    }

    /// Counts the check of a key or a signed link.
    pub(super) fn count_key_check(&self, outcome: KeyCheck) {
        self.cached_key_checks
            .get(outcome as usize, &self.key_checks, || KeyCheckLabels { outcome })
            .inc();
    }

    /// Notes that the catalog was loaded.
    pub(super) fn record_reload(&self, images: usize, version: u64, elapsed: Duration) {
        self.images.set(i64::try_from(images).unwrap_or(i64::MAX));
        self.version.set(version);
        self.reload_seconds.observe(elapsed.as_secs_f64());
    }

    /// Counts a file that an import beside this server dealt with, by the status of its report.
    pub fn count_import(&self, status: &'static str, source_bytes: u64, stored_bytes: u64) {
        self.import_files.get_or_create(&FileLabels { status }).inc();
        self.import_source_bytes.inc_by(source_bytes);
        self.import_stored_bytes.inc_by(stored_bytes);
    }

    /// Returns all counters as `OpenMetrics` text, which Prometheus reads.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        #[expect(clippy::expect_used, reason = "writing to a string can't fail")]
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("a string takes what is written to it");
        text
    }
}

/// Counts a connection as open until it is dropped.
pub(super) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

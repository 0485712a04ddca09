//! Who may read: where a request shows its key, and the two-step check of it.
//!
//! An id that no live key has is refused at once. The first use of a known id runs argon2 on a blocking thread, at
//! most two at a time; what it proved is remembered (`keys::KnownKey`), and from then on a check is one hash of 32
//! bytes. Wrong secrets for a key that was not proven yet are throttled. Keys are read anew when the gallery's
//! version has moved, so a rotated key ends with the next request.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Semaphore;
use warp::http::HeaderMap;
use warp::http::header::AUTHORIZATION;

use super::error::ApiError;
use super::metrics::{KeyCheck, Metrics};
use super::query;
use crate::image;
use crate::keys::{ApiKey, KeyError, KeyId, KnownKey, Recall, SignedLink};
use crate::store::{Store, StoreError};

/// argon2 runs at once: each takes 19 MiB and a core for tens of milliseconds.
const HASHES_AT_ONCE: usize = 2;
/// Wrong secrets for one unproven key that are hashed before the throttle holds,
const FREE_FAILURES: u32 = 10;
/// and how long each further one has to wait.
const FAILURE_COST: Duration = Duration::from_secs(1);

pub(super) struct Gate {
    store: Store,
    ring: ArcSwap<Ring>,
    reloading: Mutex<()>,
    /// Under which proofs are remembered; of this process only.
    memory_key: [u8; 32],
    hashes: Semaphore,
    metrics: Arc<Metrics>,
}

/// By what a request was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// Nothing was needed.
    Freely,
    /// A key in a header.
    ByHeader(KeyId),
    /// A key in the path or the query, or a signature under that key's secret.
    ByAddress(KeyId),
}

/// The keys at one version of the gallery.
struct Ring {
    version: u64,
    keys: HashMap<KeyId, Arc<Entry>>,
}

struct Entry {
    key: KnownKey,
    throttle: Mutex<Throttle>,
}

/// A leaky bucket of failures.
#[derive(Clone, Copy)]
struct Throttle {
    failures: u32,
    since: Instant,
}

impl Gate {
    pub(super) fn new(store: Store, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let mut memory_key = [0; 32];
        rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut memory_key)
            .map_err(|_| KeyError::NoRandomness)?;
        let ring = Ring::load(&store, None)?;
        Ok(Self {
            store,
            ring: ArcSwap::from_pointee(ring),
            reloading: Mutex::default(),
            memory_key,
            hashes: Semaphore::new(HASHES_AT_ONCE),
            metrics,
        })
    }

    /// Admits a presented key.
    pub(super) async fn admit(&self, presented: Option<&str>) -> Result<KeyId, ApiError> {
        let (outcome, admitted) = self.check(presented).await;
        self.metrics.checked(outcome);
        admitted
    }

    async fn check(&self, presented: Option<&str>) -> (KeyCheck, Result<KeyId, ApiError>) {
        let refused = Err(ApiError::Unauthorized);
        let Some(key) = presented.and_then(|text| text.parse::<ApiKey>().ok()) else {
            return (KeyCheck::Missing, refused);
        };
        let unproven = match self.current() {
            Ok(ring) => match ring.live(key.id()) {
                Some(entry) => match entry.key.recall(&self.memory_key, &key) {
                    Recall::Right => return (KeyCheck::Remembered, Ok(key.id())),
                    Recall::Wrong => return (KeyCheck::Wrong, refused),
                    Recall::Unproven => Arc::clone(entry),
                },
                None => return (KeyCheck::Unknown, refused),
            },
            Err(error) => return (KeyCheck::Unknown, Err(error)),
        };
        let proven = self.prove(unproven, key).await;
        let outcome = match proven {
            Ok(_) => KeyCheck::Verified,
            Err(ApiError::TooManyRequests { .. }) => KeyCheck::Throttled,
            Err(_) => KeyCheck::Wrong,
        };
        (outcome, proven)
    }

    /// Admits a signed link; `path_and_query` as it came, `referer` the host of the page that shows it.
    pub(super) fn admit_link(
        &self,
        link: &SignedLink<'_>,
        referer: Option<&str>,
    ) -> Result<KeyId, ApiError> {
        let signed = |entry: &Arc<Entry>| link.is_good(&entry.key.record, image::now(), referer);
        let good = self.current()?.live(link.key).is_some_and(signed);
        self.metrics.checked(if good { KeyCheck::Link } else { KeyCheck::BadLink });
        if good { Ok(link.key) } else { Err(ApiError::Unauthorized) }
    }

    /// An address of ours with a signature under this key's secret.
    pub(super) fn sign(
        &self,
        key: KeyId,
        path_and_query: &str,
        expires: u64,
    ) -> Result<String, ApiError> {
        // It was there when the request was let in.
        let ring = self.current()?;
        let entry = ring.live(key).ok_or(ApiError::Unauthorized)?;
        entry.key.record.sign(path_and_query, expires, None).map_err(|_| ApiError::Internal)
    }

    async fn prove(&self, entry: Arc<Entry>, key: ApiKey) -> Result<KeyId, ApiError> {
        entry.wait_for_throttle()?;
        let _permit = self.hashes.acquire().await.map_err(|_| ApiError::Unavailable)?;
        // Whoever was before us in the queue may have settled it.
        match entry.key.recall(&self.memory_key, &key) {
            Recall::Right => return Ok(key.id()),
            Recall::Wrong => return Err(ApiError::Unauthorized),
            Recall::Unproven => {}
        }
        entry.wait_for_throttle()?;
        let memory_key = self.memory_key;
        let checked = tokio::task::spawn_blocking(move || {
            let right = entry.key.record.verify(&key);
            if right {
                entry.key.remember(&memory_key, &key);
            } else {
                entry.count_failure();
            }
            right.then(|| key.id())
        });
        checked.await.map_err(|_| ApiError::Internal)?.ok_or(ApiError::Unauthorized)
    }

    /// Reads the keys from the gallery if it has changed since they were last read.
    pub(super) fn reload(&self) -> Result<(), ApiError> {
        self.current().map(|_| ())
    }

    /// The keys as of the gallery's present version. No thread counts its holders, which all would have to share.
    fn current(&self) -> Result<Guard<Arc<Ring>>, ApiError> {
        let ring = self.ring.load();
        if ring.version == self.store.version() {
            return Ok(ring);
        }
        let _one_reload = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = self.ring.load();
        if ring.version == self.store.version() {
            return Ok(ring);
        }
        // Keys that can't be read admit nobody: an old set might hold a key that was revoked.
        let loaded = Ring::load(&self.store, Some(&ring)).map_err(|error| {
            tracing::error!(%error, "the keys can't be read");
            ApiError::Unavailable
        })?;
        let loaded = Arc::new(loaded);
        self.ring.store(Arc::clone(&loaded));
        Ok(Guard::from_inner(loaded))
    }
}

impl Ring {
    fn live(&self, id: KeyId) -> Option<&Arc<Entry>> {
        self.keys.get(&id).filter(|entry| entry.key.record.live(image::now()))
    }

    fn load(store: &Store, earlier: Option<&Self>) -> Result<Self, StoreError> {
        let (version, keys) = store.keys()?;
        let keys = keys.into_iter().map(|record| {
            let id = record.id;
            let key = KnownKey::new(record);
            let entry = match earlier.and_then(|ring| ring.keys.get(&id)) {
                Some(known) => Entry {
                    key: key.carry_over(&known.key),
                    throttle: Mutex::new(known.throttle()),
                },
                None => Entry {
                    key,
                    throttle: Mutex::new(Throttle { failures: 0, since: Instant::now() }),
                },
            };
            (id, Arc::new(entry))
        });
        Ok(Self { version, keys: keys.collect() })
    }
}

impl Entry {
    fn throttle(&self) -> Throttle {
        *self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_throttle(&self) -> Result<(), ApiError> {
        let throttle = self.throttle();
        if throttle.left(Instant::now()) < FREE_FAILURES {
            return Ok(());
        }
        Err(ApiError::TooManyRequests { retry_after_seconds: FAILURE_COST.as_secs().max(1) })
    }

    fn count_failure(&self) {
        let now = Instant::now();
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        *throttle = Throttle { failures: throttle.left(now) + 1, since: now };
    }
}

impl Throttle {
    /// Failures that time has not forgiven yet.
    fn left(self, now: Instant) -> u32 {
        let forgiven = now.duration_since(self.since).as_secs() / FAILURE_COST.as_secs();
        self.failures.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }
}

/// A key as a request shows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented<'r> {
    Nowhere,
    /// `None` for what is no text, or another scheme's.
    InHeader(Option<&'r str>),
    InQuery(Cow<'r, str>),
}

/// The key that a request shows in its headers or its query, in this order: `Authorization: Bearer KEY`,
/// `X-API-Key: KEY`, `?key=KEY`. The first that is there counts, whatever the others say.
pub(super) fn presented<'r>(headers: &'r HeaderMap, query: &'r str) -> Presented<'r> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let bearer = value.to_str().ok().and_then(|value| value.split_once(' '));
        let key = bearer
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, key)| key.trim());
        return Presented::InHeader(key);
    }
    if let Some(value) = headers.get("x-api-key") {
        return Presented::InHeader(value.to_str().ok());
    }
    let key = query::pairs(query).find(|(name, _)| name == "key");
    key.map_or(Presented::Nowhere, |(_, value)| {
        Presented::InQuery(query::decode(value).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_with_a_key_counts() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<HeaderMap>()
        };
        use Presented::{InHeader, InQuery, Nowhere};
        for (pairs, query, expected) in [
            (&[][..], "", Nowhere),
            (&[], "w=1&key=q&key=r", InQuery("q".into())),
            (&[], "k%65y=%71", InQuery("q".into())),
            (&[], "key=%ff", InQuery("".into())),
            (&[], "monkey=q", Nowhere),
            (&[("x-api-key", "h")], "key=q", InHeader(Some("h"))),
            (&[("authorization", "bearer b"), ("x-api-key", "h")], "key=q", InHeader(Some("b"))),
            (&[("authorization", "Basic b")], "key=q", InHeader(None)),
        ] {
            assert_eq!(presented(&headers(pairs), query), expected, "{pairs:?} {query:?}");
        }
    }

    #[test]
    fn the_throttle_forgives_with_time() {
        let start = Instant::now();
        let throttle = Throttle { failures: 12, since: start };
        assert_eq!(throttle.left(start), 12);
        assert_eq!(throttle.left(start + Duration::from_secs(3)), 9);
        assert_eq!(throttle.left(start + Duration::from_secs(99)), 0);
    }
}

//! Checks keys and signed links against the gallery's keys.
//!
//! An id that no live key has is refused at once. The first use of a known id runs argon2 on a
//! blocking thread. What that proved is remembered (`keys::KnownKey`), and from then on a check is
//! one hash of 32 bytes. Wrong secrets for a key that is not proven yet are throttled. Keys are
//! read again when the gallery's version has moved, so a rotated key ends with the next request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Semaphore;

use crate::allocator;
use crate::http::blocking::run_blocking;
use crate::http::error::ApiError;
use crate::http::metrics::{KeyCheck, Metrics};
use crate::image;
use crate::keys::{ApiKey, KeyError, KeyId, KeyRecord, KnownKey, Recall, SignedLink};
use crate::store::{Store, StoreError};

/// Runs of argon2 at once. Each takes 19 MiB and a core for tens of milliseconds.
const MAX_HASHES: usize = 2;
/// Wrong secrets for one unproven key that are hashed before the throttle holds.
const FREE_FAILURES: u32 = 10;
/// Time in which the throttle forgives one wrong secret.
const FAILURE_COST: Duration = Duration::from_secs(1);

/// Checks keys and signed links.
pub(crate) struct Authenticator {
    store: Store,
    keys: ArcSwap<KeyRing>,
    reloading: Mutex<()>,
    /// The key, of this process only, under which proofs are remembered.
    memory_key: [u8; 32],
    hashes: Semaphore,
    metrics: Arc<Metrics>,
}

/// The keys at one version of the gallery.
struct KeyRing {
    version: u64,
    keys: HashMap<KeyId, Arc<KeyState>>,
}

/// A key of the gallery, and how often its secret was guessed wrong.
struct KeyState {
    key: KnownKey,
    throttle: Mutex<FailureThrottle>,
}

/// A leaky bucket of failures.
#[derive(Clone, Copy)]
struct FailureThrottle {
    failures: u32,
    since: Instant,
}

impl Authenticator {
    /// Reads the gallery's keys.
    ///
    /// # Errors
    /// When the keys can't be read, or the system gives no random bytes.
    pub(crate) fn new(store: Store, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let mut memory_key = [0; 32];
        rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut memory_key)
            .map_err(|_| KeyError::NoRandomness)?;
        let keys = KeyRing::load(&store, None)?;
        Ok(Self {
            store,
            keys: ArcSwap::from_pointee(keys),
            reloading: Mutex::default(),
            memory_key,
            hashes: Semaphore::new(MAX_HASHES),
            metrics,
        })
    }

    /// Checks a key as it was presented; returns its id if it is right.
    pub(crate) async fn check_key(&self, presented: Option<&str>) -> Result<KeyId, ApiError> {
        let (outcome, checked) = self.check(presented).await;
        self.metrics.count_key_check(outcome);
        checked
    }

    async fn check(&self, presented: Option<&str>) -> (KeyCheck, Result<KeyId, ApiError>) {
        let refused = Err(ApiError::Unauthorized);
        let Some(key) = presented.and_then(|text| text.parse::<ApiKey>().ok()) else {
            return (KeyCheck::Missing, refused);
        };
        let unproven = match self.current() {
            Ok(keys) => match keys.live(key.id()) {
                Some(known) => match known.key.recall(&self.memory_key, &key) {
                    Recall::Right => return (KeyCheck::Remembered, Ok(key.id())),
                    Recall::Wrong => return (KeyCheck::Wrong, refused),
                    Recall::Unproven => Arc::clone(known),
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

    /// Checks a signed link; `referer` is the host of the page that shows it.
    pub(crate) fn check_link(
        &self,
        link: &SignedLink<'_>,
        referer: Option<&str>,
    ) -> Result<KeyId, ApiError> {
        let is_signed =
            |known: &Arc<KeyState>| link.is_good(&known.key.record, image::now(), referer);
        let good = self.current()?.live(link.key).is_some_and(is_signed);
        self.metrics.count_key_check(if good { KeyCheck::Link } else { KeyCheck::BadLink });
        if good { Ok(link.key) } else { Err(ApiError::Unauthorized) }
    }

    /// Signs a path and query of this server under a key's secret.
    pub(crate) fn sign(
        &self,
        key: KeyId,
        path_and_query: &str,
        expires: u64,
    ) -> Result<String, ApiError> {
        // The key was live when the request was admitted, and may have ended since.
        let keys = self.current()?;
        let known = keys.live(key).ok_or(ApiError::Unauthorized)?;
        known.key.record.sign(path_and_query, expires, None).map_err(|_| ApiError::Internal)
    }

    /// Runs argon2 on a key that is not proven yet, and remembers the result.
    async fn prove(&self, known: Arc<KeyState>, key: ApiKey) -> Result<KeyId, ApiError> {
        known.check_throttle(Instant::now())?;
        let _permit = self.hashes.acquire().await.map_err(|_| ApiError::Unavailable)?;
        // A request before this one in the queue may have settled it.
        match known.key.recall(&self.memory_key, &key) {
            Recall::Right => return Ok(key.id()),
            Recall::Wrong => return Err(ApiError::Unauthorized),
            Recall::Unproven => {}
        }
        known.check_throttle(Instant::now())?;
        let memory_key = self.memory_key;
        let checked = run_blocking(move || {
            let right = known.key.record.verify(&key);
            if right {
                known.key.remember(&memory_key, &key);
            } else {
                known.count_failure(Instant::now());
            }
            // Many megabytes, for a key that is not hashed again.
            allocator::give_back_freed();
            right.then(|| key.id())
        });
        checked.await?.ok_or(ApiError::Unauthorized)
    }

    /// Reads the keys again if the gallery has changed since they were last read.
    pub(crate) fn reload(&self) -> Result<(), ApiError> {
        self.current().map(|_| ())
    }

    /// Returns the keys as of the gallery's present version.
    ///
    /// A guard counts no holders, so threads share no counter.
    fn current(&self) -> Result<Guard<Arc<KeyRing>>, ApiError> {
        let keys = self.keys.load();
        if keys.version == self.store.version() {
            return Ok(keys);
        }
        let _one_reload = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = self.keys.load();
        if keys.version == self.store.version() {
            return Ok(keys);
        }
        // When the keys can't be read nobody is admitted: the old set may hold a revoked key.
        let loaded = KeyRing::load(&self.store, Some(&keys)).map_err(|error| {
            tracing::error!(%error, "the keys can't be read");
            ApiError::Unavailable
        })?;
        let loaded = Arc::new(loaded);
        self.keys.store(Arc::clone(&loaded));
        Ok(Guard::from_inner(loaded))
    }
}

impl KeyRing {
    /// Returns the key with this id if it has not ended.
    ///
    /// A key that is limited to tags is refused as if it were unknown, because nothing enforces the
    /// limit yet.
    fn live(&self, id: KeyId) -> Option<&Arc<KeyState>> {
        let is_usable =
            |record: &KeyRecord| record.live(image::now()) && record.only_tags.is_empty();
        self.keys.get(&id).filter(|known| is_usable(&known.key.record))
    }

    /// Reads the keys; those of `earlier` keep what was proven of them, and their failures.
    fn load(store: &Store, earlier: Option<&Self>) -> Result<Self, StoreError> {
        let (version, records) = store.keys()?;
        let keys = records.into_iter().map(|record| {
            let id = record.id;
            let key = KnownKey::new(record);
            let state = match earlier.and_then(|keys| keys.keys.get(&id)) {
                Some(known) => KeyState {
                    key: key.carry_over(&known.key),
                    throttle: Mutex::new(known.throttle()),
                },
                None => {
                    KeyState { key, throttle: Mutex::new(FailureThrottle::new(Instant::now())) }
                }
            };
            (id, Arc::new(state))
        });
        Ok(Self { version, keys: keys.collect() })
    }
}

impl KeyState {
    fn throttle(&self) -> FailureThrottle {
        *self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_throttle(&self, now: Instant) -> Result<(), ApiError> {
        if self.throttle().failures(now) < FREE_FAILURES {
            return Ok(());
        }
        Err(ApiError::TooManyRequests { retry_after_seconds: FAILURE_COST.as_secs().max(1) })
    }

    fn count_failure(&self, now: Instant) {
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        *throttle = FailureThrottle { failures: throttle.failures(now) + 1, since: now };
    }
}

impl FailureThrottle {
    fn new(now: Instant) -> Self {
        Self { failures: 0, since: now }
    }

    /// Number of failures that time has not forgiven yet.
    fn failures(self, now: Instant) -> u32 {
        let forgiven = now.duration_since(self.since).as_secs() / FAILURE_COST.as_secs();
        self.failures.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_throttle_forgives_with_time() {
        let start = Instant::now();
        let throttle = FailureThrottle { failures: 12, since: start };
        assert_eq!(throttle.failures(start), 12);
        assert_eq!(throttle.failures(start + Duration::from_secs(3)), 9);
        assert_eq!(throttle.failures(start + Duration::from_secs(99)), 0);
    }
}

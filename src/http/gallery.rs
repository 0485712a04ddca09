//! What all requests share: the store, the catalog of its present version, and who checks keys.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::Mutex;

use super::access::{Authenticator, Policy, RateLimiters};
use super::blocking::{BlockingError, run_blocking};
use super::error::ApiError;
use super::metrics::Metrics;
use super::page_cache_hints::PageCacheHints;
use super::panics::unless_panicking;
use crate::allocator;
use crate::catalog::{Catalog, CatalogBuilder, CatalogEntry};
use crate::store::{Locator, Look, Reopened, Store, StoreError};

/// Time between two looks at whether the gallery changed. A look costs some nanoseconds.
const VERSION_POLL: Duration = Duration::from_millis(200);

/// Number of images of a catalog whose making frees so much that it is given back at once.
const LARGE_CATALOG: usize = 100_000;

/// Time between two looks at whether the gallery's file is still there.
const FILE_POLL: Duration = Duration::from_millis(500);

/// A gallery that is being served.
pub struct ServedGallery {
    pub(super) store: Store,
    pub(super) authenticator: Authenticator,
    pub(super) policy: Policy,
    pub(super) rate_limiters: RateLimiters,
    pub(super) metrics: Arc<Metrics>,
    pub(super) page_cache_hints: PageCacheHints,
    /// `None` until it is loaded for the first time.
    catalog: ArcSwapOption<Catalog>,
    /// Held while the catalog loads, so that it loads once at a time.
    loading: Mutex<()>,
    /// Why the gallery can't be used as it should, in words; empty if it can.
    fault: StdMutex<String>,
    /// Whether the gallery's lock file was missing at the last look.
    has_lost_lock_file: AtomicBool,
}

/// Why the catalog could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("it can't be read: {0}")]
    Aborted(#[from] BlockingError),
}

impl ServedGallery {
    /// A gallery whose catalog is yet to be loaded by [`ServedGallery::keep_current`].
    ///
    /// # Errors
    /// When the keys can't be read.
    pub fn new(store: Store, policy: Policy) -> Result<Self, StoreError> {
        let metrics = Metrics::new();
        Ok(Self {
            authenticator: Authenticator::new(store.clone(), Arc::clone(&metrics))?,
            store,
            rate_limiters: RateLimiters::new(&policy),
            policy,
            metrics,
            page_cache_hints: PageCacheHints::new(Instant::now()),
            catalog: ArcSwapOption::empty(),
            loading: Mutex::default(),
            fault: StdMutex::default(),
            has_lost_lock_file: AtomicBool::new(false),
        })
    }

    /// Returns the counters of this server.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Returns the latest catalog; `None` before the first is loaded.
    pub(super) fn catalog(&self) -> Option<Arc<Catalog>> {
        self.catalog.load_full()
    }

    /// Returns the latest catalog for one request, without a counter that all threads share.
    pub(super) fn catalog_guard(&self) -> Guard<Option<Arc<Catalog>>> {
        self.catalog.load()
    }

    /// Brings the catalog to the store's version, in time proportional to the number of images.
    pub(super) async fn refresh(self: &Arc<Self>) -> Result<Arc<Catalog>, LoadError> {
        let _one_load = self.loading.lock().await;
        let present = self.catalog();
        if let Some(catalog) = present.as_ref().filter(|catalog| !self.is_stale(catalog)) {
            return Ok(Arc::clone(catalog));
        }
        let started = Instant::now();
        let gallery = Arc::clone(self);
        let replace = move || {
            let catalog = load(&gallery.store, present.as_deref())?;
            let catalog = Arc::new(catalog);
            gallery.catalog.store(Some(Arc::clone(&catalog)));
            drop(present);
            if catalog.len() >= LARGE_CATALOG {
                allocator::give_back_freed();
            }
            Ok::<_, StoreError>(catalog)
        };
        let catalog = run_blocking(replace).await??;
        self.metrics.record_reload(catalog.len(), catalog.version(), started.elapsed());
        Ok(catalog)
    }

    fn is_stale(&self, catalog: &Catalog) -> bool {
        catalog.version() != self.store.version()
    }

    /// Refreshes the catalog for a request.
    pub(super) async fn refresh_for_request(self: &Arc<Self>) -> Result<Arc<Catalog>, ApiError> {
        self.refresh().await.map_err(|error| {
            tracing::error!(%error, "the catalog can't be loaded");
            ApiError::Unavailable
        })
    }

    /// Whether the gallery is there and whole, as of the last look.
    pub(super) fn is_sound(&self) -> bool {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Looks again and again whether the gallery's file is still there and whole, and takes the
    /// one that took its place, while it is polled.
    pub async fn look_after_file(self: Arc<Self>) {
        repeat("looking after the gallery's file", || Arc::clone(&self).look_after_once()).await;
    }

    async fn look_after_once(self: Arc<Self>) -> Duration {
        let store = self.store.clone();
        let look = move || (store.look_after(), store.lost_lock_file());
        // The thread could not be had, which says nothing of the gallery.
        let Ok((looked, lost_lock_file)) = run_blocking(look).await else { return FILE_POLL };
        let was_lost = self.has_lost_lock_file.swap(lost_lock_file.is_some(), Ordering::Relaxed);
        if let Some(file) = lost_lock_file.filter(|_| !was_lost) {
            tracing::warn!(
                file = %file.display(),
                "the gallery's lock file was deleted, moved or replaced; this server serves on, \
                 but every other command on the gallery is refused until it is restarted"
            );
        }
        let fault = match looked {
            Ok(look) => {
                tell_of(look, self.store.locator());
                String::new()
            }
            Err(error) => error.to_string(),
        };
        let mut known = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if !fault.is_empty() && *known != fault {
            tracing::error!(error = fault, "the gallery can't be used as it should");
        } else if fault.is_empty() && !known.is_empty() {
            tracing::info!(gallery = %self.store.locator(), "the gallery is whole again");
        }
        *known = fault;
        FILE_POLL
    }

    /// Loads the catalog, and again whenever the gallery's version moves, while it is polled.
    pub async fn keep_current(self: Arc<Self>) {
        repeat("keeping the catalog current", || Arc::clone(&self).keep_current_once()).await;
    }

    /// Refreshes the catalog if it is stale, and forgets old clients; returns the pause after it.
    async fn keep_current_once(self: Arc<Self>) -> Duration {
        let started = Instant::now();
        self.rate_limiters.prune_if_due(started);
        let present = self.catalog();
        if let Some(catalog) = &present {
            self.page_cache_hints.advance(catalog, started);
        }
        let is_first = present.is_none();
        let is_stale = present.is_none_or(|catalog| self.is_stale(&catalog));
        // The old catalog is not held here, so that its memory is given back with the refresh.
        if is_stale {
            match self.refresh().await {
                Ok(catalog) => {
                    let (images, elapsed) = (catalog.len(), started.elapsed());
                    tracing::debug!(images, ?elapsed, "catalog loaded");
                }
                Err(error) => tracing::error!(%error, "the catalog can't be loaded"),
            }
        }
        // A gallery that takes long to load and changes all the time gets at most half of one core.
        // The first load reads every record and takes longer than those that follow.
        let pause = if is_first { Duration::ZERO } else { started.elapsed() };
        VERSION_POLL.max(pause)
    }
}

/// Logs why a gallery was opened anew.
fn tell_of(look: Look, gallery: &Locator) {
    match look.reopened {
        Some(Reopened::Replaced) => tracing::warn!(
            %gallery,
            "the gallery's file was replaced; the new one is served from now on"
        ),
        Some(Reopened::WriteFailed) => tracing::warn!(
            %gallery,
            "a write to the gallery failed, so it was opened anew; what was stored before is served"
        ),
        None => {}
    }
    if look.was_migrated {
        tracing::warn!(
            %gallery,
            "the gallery was made before format 1, and has that format now; \
             an imagepool from before can't read it any more"
        );
    }
}

/// Runs `round` for ever, with the pause after each that it returns.
///
/// A panic costs its round alone: it is logged, and the next round comes after [`VERSION_POLL`].
async fn repeat<F: Future<Output = Duration>>(what: &str, mut round: impl FnMut() -> F) {
    loop {
        let pause = unless_panicking(&mut round).await.unwrap_or_else(|| {
            tracing::error!("{what} failed and is tried again: the program has a fault");
            VERSION_POLL
        });
        tokio::time::sleep(pause).await;
    }
}

fn load(store: &Store, earlier: Option<&Catalog>) -> Result<Catalog, StoreError> {
    let loaded = load_over(store, earlier)?;
    // Of another file nothing is known, above all not which bytes were checked.
    match earlier {
        Some(earlier) if !Store::is_same_file(earlier.version(), loaded.version()) => {
            load_over(store, None)
        }
        _ => Ok(loaded),
    }
}

fn load_over(store: &Store, earlier: Option<&Catalog>) -> Result<Catalog, StoreError> {
    let mut builder = CatalogBuilder::over(earlier, store.images_to_expect()?);
    let version = store.each_stored(|image| {
        let (id, stamp) = (image.id(), image.stamp());
        if builder.keep(id, stamp) {
            return;
        }
        match image.summary() {
            Ok(summary) => builder.push(CatalogEntry {
                id,
                stamp,
                ordinal: summary.ordinal,
                width: summary.width,
                height: summary.height,
                animated: summary.frames > 1,
                tags: &summary.tags,
            }),
            Err(error) => {
                tracing::error!(
                    %id, %error,
                    "the image's record is damaged; the image is not served"
                );
            }
        }
    })?;
    Ok(builder.build(version))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A panic while the catalog was refreshed once ended the refreshing for ever, silently: new
    /// images were never served, and the limiter forgot no client.
    #[tokio::test(start_paused = true)]
    async fn a_panic_ends_no_repetition() {
        let rounds = Cell::new(0);
        let repeated = repeat("a test", || {
            rounds.set(rounds.get() + 1);
            assert_ne!(rounds.get() % 3, 1, "panics before the future is made");
            async {
                assert_ne!(rounds.get() % 3, 2, "panics in the future");
                VERSION_POLL
            }
        });
        assert!(tokio::time::timeout(VERSION_POLL.mul_f32(8.5), repeated).await.is_err());
        assert_eq!(rounds.get(), 9);
    }
}

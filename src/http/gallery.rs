//! What all requests share: the store, the catalog of its present version, and the gate that checks keys.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use super::auth::Gate;
use crate::catalog::Catalog;
use crate::store::{Store, StoreError};

/// How often a server looks whether another process changed the gallery; the look costs some nanoseconds.
const VERSION_POLL: Duration = Duration::from_millis(200);

/// A gallery being served.
pub struct Gallery {
    pub(super) store: Store,
    pub(super) gate: Gate,
    /// `None` until it is loaded for the first time.
    catalog: ArcSwapOption<Catalog>,
    /// Held while the catalog loads: one load at a time.
    loading: Mutex<()>,
}

impl Gallery {
    /// A gallery whose catalog is yet to be loaded by [`Gallery::keep_current`].
    ///
    /// # Errors
    /// When the keys can't be read.
    pub fn new(store: Store) -> Result<Self, StoreError> {
        let gate = Gate::new(store.clone())?;
        Ok(Self { store, gate, catalog: ArcSwapOption::empty(), loading: Mutex::default() })
    }

    /// The latest catalog; `None` before the first is loaded.
    pub(super) fn catalog(&self) -> Option<Arc<Catalog>> {
        self.catalog.load_full()
    }

    /// Brings the catalog to the store's version, which costs time in proportion to the gallery's images.
    pub(super) async fn refresh(self: &Arc<Self>) -> Result<Arc<Catalog>, StoreError> {
        let _one_load = self.loading.lock().await;
        let present = self.catalog();
        if let Some(catalog) = present.as_ref().filter(|catalog| catalog.version() == self.store.version()) {
            return Ok(Arc::clone(catalog));
        }
        let store = self.store.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            let (version, ids) = store.ids()?;
            let catalog = Catalog::new(version, ids);
            Ok::<_, StoreError>(Arc::new(match present {
                Some(earlier) => catalog.carry_over(&earlier),
                None => catalog,
            }))
        });
        let catalog = loaded.await.expect("loading a catalog does not panic")?;
        self.catalog.store(Some(Arc::clone(&catalog)));
        Ok(catalog)
    }

    /// Loads the catalog, then loads it anew whenever the gallery's version moves, for as long as it is polled.
    pub async fn keep_current(self: Arc<Self>) {
        loop {
            let started = Instant::now();
            let stale = self.catalog().is_none_or(|catalog| catalog.version() != self.store.version());
            if stale {
                match self.refresh().await {
                    Ok(catalog) => {
                        tracing::debug!(images = catalog.len(), elapsed = ?started.elapsed(), "catalog loaded");
                    }
                    Err(error) => tracing::error!(%error, "the catalog can't be loaded"),
                }
            }
            // A gallery that takes long to load and changes all the time gets at most half of one core.
            tokio::time::sleep(VERSION_POLL.max(started.elapsed())).await;
        }
    }
}

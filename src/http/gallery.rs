//! What all requests share: the store, the catalog of its present version, and the gate that checks keys.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::Mutex;

use super::auth::Gate;
use super::error::ApiError;
use super::metrics::Metrics;
use super::policy::Policy;
use super::rate::Limiter;
use super::residency::Residency;
use crate::catalog::{Catalog, CatalogBuilder, CatalogEntry};
use crate::store::{Store, StoreError};

/// How often a server looks whether another process changed the gallery; the look costs some nanoseconds.
const VERSION_POLL: Duration = Duration::from_millis(200);
/// How often clients that ask no more are forgotten.
const PRUNE_INTERVAL: Duration = Duration::from_secs(10);

/// A gallery being served.
pub struct Gallery {
    pub(super) store: Store,
    pub(super) gate: Gate,
    pub(super) policy: Policy,
    pub(super) limiter: Limiter,
    pub(super) metrics: Arc<Metrics>,
    pub(super) residency: Residency,
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
    pub fn new(store: Store, policy: Policy) -> Result<Self, StoreError> {
        let metrics = Metrics::new();
        let gate = Gate::new(store.clone(), Arc::clone(&metrics))?;
        let limiter = Limiter::new(&policy);
        let (catalog, loading) = (ArcSwapOption::empty(), Mutex::default());
        let residency = Residency::new();
        Ok(Self { store, gate, policy, limiter, metrics, residency, catalog, loading })
    }

    /// What this server counts.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// The latest catalog; `None` before the first is loaded.
    pub(super) fn catalog(&self) -> Option<Arc<Catalog>> {
        self.catalog.load_full()
    }

    /// The latest catalog for one request. No thread counts its holders, which all would have to share.
    pub(super) fn catalog_at_hand(&self) -> Guard<Option<Arc<Catalog>>> {
        self.catalog.load()
    }

    /// Brings the catalog to the store's version, which costs time in proportion to the gallery's images.
    pub(super) async fn refresh(self: &Arc<Self>) -> Result<Arc<Catalog>, StoreError> {
        let _one_load = self.loading.lock().await;
        let present = self.catalog();
        if let Some(catalog) =
            present.as_ref().filter(|catalog| catalog.version() == self.store.version())
        {
            return Ok(Arc::clone(catalog));
        }
        let started = Instant::now();
        let store = self.store.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&store, present.as_deref()));
        let catalog = Arc::new(loaded.await.expect("loading a catalog does not panic")?);
        self.catalog.store(Some(Arc::clone(&catalog)));
        self.metrics.reloaded(catalog.len(), catalog.version(), started.elapsed());
        Ok(catalog)
    }

    /// [`Gallery::refresh`] for a request.
    pub(super) async fn refreshed(self: &Arc<Self>) -> Result<Arc<Catalog>, ApiError> {
        self.refresh().await.map_err(|error| {
            tracing::error!(%error, "the catalog can't be loaded");
            ApiError::Unavailable
        })
    }

    /// Loads the catalog, then loads it anew whenever the gallery's version moves, for as long as it is polled.
    pub async fn keep_current(self: Arc<Self>) {
        let mut pruned = Instant::now();
        loop {
            if pruned.elapsed() > PRUNE_INTERVAL {
                self.limiter.prune();
                pruned = Instant::now();
            }
            let started = Instant::now();
            let present = self.catalog();
            if let Some(catalog) = &present {
                self.residency.tick(catalog);
            }
            let stale =
                present.as_ref().is_none_or(|catalog| catalog.version() != self.store.version());
            if stale {
                match self.refresh().await {
                    Ok(catalog) => {
                        tracing::debug!(images = catalog.len(), elapsed = ?started.elapsed(), "catalog loaded");
                    }
                    Err(error) => tracing::error!(%error, "the catalog can't be loaded"),
                }
            }
            // A gallery that takes long to load and changes all the time gets at most half of one core; the first load,
            // which reads every record, takes longer than those that follow.
            let pause = present.map_or(Duration::ZERO, |_| started.elapsed());
            tokio::time::sleep(VERSION_POLL.max(pause)).await;
        }
    }
}

fn load(store: &Store, earlier: Option<&Catalog>) -> Result<Catalog, StoreError> {
    let mut builder = CatalogBuilder::over(earlier);
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
                tracing::error!(%id, %error, "the image's record is damaged; the image is not served");
            }
        }
    })?;
    Ok(builder.build(version))
}

//! The selections of the filters used last, so that a repeated filter is not evaluated again.

use std::collections::HashMap;
use std::sync::Arc;

use super::filter::Filter;
use super::selection::Selection;

/// Number of selections that are kept. Each takes one bit an image.
pub(super) const CACHED_FILTERS: usize = 64;

/// Evaluated filters, of which the least recently used goes first.
#[derive(Default)]
pub(super) struct FilterCache {
    /// Number of uses so far.
    clock: u64,
    cached: HashMap<Filter, CachedSelection>,
}

struct CachedSelection {
    selection: Arc<Selection>,
    /// The cache's clock at the last use.
    last_used: u64,
}

impl FilterCache {
    pub(super) fn find(&mut self, filter: &Filter) -> Option<Arc<Selection>> {
        let cached = self.cached.get_mut(filter)?;
        self.clock += 1;
        cached.last_used = self.clock;
        Some(Arc::clone(&cached.selection))
    }

    /// Keeps a selection, and drops the least recently used one if there are too many.
    pub(super) fn insert(&mut self, filter: &Filter, selection: &Arc<Selection>) {
        self.clock += 1;
        let cached = CachedSelection { selection: Arc::clone(selection), last_used: self.clock };
        self.cached.insert(filter.clone(), cached);
        if self.cached.len() > CACHED_FILTERS {
            let oldest = self.cached.iter().min_by_key(|(_, cached)| cached.last_used);
            if let Some(oldest) = oldest.map(|(filter, _)| filter.clone()) {
                self.cached.remove(&oldest);
            }
        }
    }
}

//! Whether LMDB may write into a file: it writes over the pages that the free list names.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::data_file::DataFile;
use super::free_list::read_free_list;
use super::meta::read_metas;
use super::walk::Walker;
use crate::store::error::StoreError;

/// What the free list of a state says.
pub(in crate::store::file) struct Space {
    /// What is wrong with the list, if anything.
    pub(in crate::store::file) problem: Option<String>,
    /// Whether the file lacks pages that are not free.
    pub(in crate::store::file) is_cut: bool,
}

/// Reads the free list of the state that a transaction left, which the caller keeps in place.
/// Returns `None` if commits have replaced its meta page since.
pub(in crate::store::file) fn read_space(
    file: File,
    path: &Path,
    transaction: u64,
) -> Result<Option<Space>, StoreError> {
    let mut file = DataFile::new(file, path)?;
    let metas = read_metas(&mut file)?;
    let meta = metas.states.into_iter().find(|meta| meta.transaction == transaction);
    Ok(meta.map(|meta| {
        let mut walker = Walker::new(&Arc::new(file), meta.last_page);
        let free = read_free_list(&mut walker, &meta.free);
        let is_cut = free.lacks_used_pages(&walker);
        Space { problem: free.problems.into_iter().next(), is_cut }
    }))
}

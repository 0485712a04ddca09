//! What can be seen of a gallery's file without changing it: no draft is brought to format 1, no
//! lock file is made.

use std::path::Path;

use heed::types::Bytes;

use super::files::MAX_READERS;
use super::lmdb_error::lmdb_error;
use super::map_fault;
use super::open::{Environment, FoundTrees, examine, find_cut, open_trees};
use crate::store::error::StoreError;
use crate::store::locator::{Locator, lock_path};
use crate::store::tree::{Access, Tree};

/// What is seen of a gallery's file.
#[derive(Debug)]
pub struct Inspection {
    pub images: u64,
    /// Length of the pages that are in use, in bytes: about that of a compact copy.
    pub used_bytes: u64,
    /// Whether it was made before format 1.
    pub is_draft: bool,
    /// Whether this process could write to it.
    pub writable: bool,
    /// Read transactions that there may be at once, and those that there were at most.
    pub max_readers: u32,
    pub readers: u32,
    /// Readers that had been killed, and pinned pages. They are gone now.
    pub stale_readers: usize,
}

impl Inspection {
    /// Looks at the gallery's file. Returns `None` for one that has no lock file, which to open it
    /// would make; its first pages were looked at then.
    ///
    /// # Errors
    /// When there is no gallery, or it can't be opened.
    pub fn of(path: &Path) -> Result<Option<Self>, StoreError> {
        let absolute = std::path::absolute(path).map_err(|source| StoreError::io(path, source))?;
        let path = &absolute;
        examine(path, Access::Read)?;
        if !lock_path(path).exists() {
            return Ok(None);
        }
        let Environment { files: _files, env, writable } = Environment::open(path, Access::Read)?;
        map_fault::watch(path);
        find_cut(&env, path)?;
        let wrap = |source| lmdb_error(path, source);
        let is_draft = match open_trees(&env).map_err(wrap)? {
            FoundTrees::All(_) => false,
            FoundTrees::Draft => true,
            FoundTrees::Foreign => return Err(StoreError::foreign(path)),
        };
        let stale_readers = if writable { env.clear_stale_readers().map_err(wrap)? } else { 0 };
        let images = {
            let txn = env.read_txn().map_err(wrap)?;
            let tree = env
                .open_database::<Bytes, Bytes>(&txn, Some(Tree::Images.name()))
                .map_err(wrap)?
                .ok_or_else(|| StoreError::Missing { locator: Locator::File(path.clone()) })?;
            tree.len(&txn).map_err(wrap)?
        };
        Ok(Some(Self {
            images,
            used_bytes: env.non_free_pages_size().map_err(wrap)?,
            is_draft,
            writable,
            max_readers: MAX_READERS,
            readers: env.info().number_of_readers,
            stale_readers,
        }))
    }
}

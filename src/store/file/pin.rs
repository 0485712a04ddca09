//! Keeps the pages of one state of a gallery from being written again, for a reader that does not
//! go through the map.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use heed::{RoTxn, WithoutTls};

use super::files::FilePair;
use super::lmdb_error::lmdb_error;
use super::meta_pages::{MetaPages, Verdict};
use super::open::Environment;
use crate::store::error::StoreError;
use crate::store::tree::Access;

/// A read transaction of LMDB.
///
/// Opening it reads the meta pages alone. No damage behind them matters.
pub(super) struct Pin {
    transaction: RoTxn<'static, WithoutTls>,
    file: File,
    /// Dropped after the transaction: closing the lock file would end LMDB's own locks.
    _files: Arc<FilePair>,
}

impl Pin {
    pub(super) fn new(path: &Path) -> Result<Self, StoreError> {
        let wrap = |source| lmdb_error(path, source);
        // LMDB goes where these pages lead.
        let pages = File::open(path).and_then(|file| MetaPages::read(&file));
        match pages.map_err(|source| StoreError::io(path, source))?.pair() {
            Verdict::Sound | Verdict::Cut { .. } => {}
            Verdict::Foreign => {
                let reason = "its first two pages are damaged".into();
                return Err(StoreError::NotAGallery { path: path.to_owned(), reason });
            }
            Verdict::Damaged(reason) => {
                return Err(StoreError::BadMetaPages { path: path.to_owned(), reason });
            }
        }
        let Environment { files, env, .. } = Environment::open(path, Access::Read)?;
        let file = env.try_clone_inner_file().map_err(wrap)?;
        let transaction = env.static_read_txn().map_err(wrap)?;
        Ok(Self { transaction, file, _files: Arc::new(files) })
    }

    /// Number of the transaction whose state is kept.
    pub(super) fn transaction(&self) -> u64 {
        self.transaction.id() as u64
    }

    /// The data file.
    pub(super) fn file(&self) -> std::io::Result<File> {
        self.file.try_clone()
    }
}

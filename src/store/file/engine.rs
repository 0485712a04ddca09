//! Reading, writing and copying the trees of an LMDB file.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use heed::{CompactionOption, Env, EnvFlags, RoTxn, RwTxn, WithoutTls};

use super::lmdb_error::lmdb_error;
use super::open::{
    FoundTrees, TreeHandle, check_length, create_trees, examine, open_environment, open_trees,
};
use crate::store::blob::Blob;
use crate::store::error::StoreError;
use crate::store::locator::{Locator, lock_path};
use crate::store::tree::{Access, EntryVisitor, Tree};

pub(in crate::store) struct FileEngine {
    env: Env<WithoutTls>,
    trees: [TreeHandle; Tree::ALL.len()],
    path: PathBuf,
    writable: bool,
}

impl FileEngine {
    pub(in crate::store) fn open(path: &Path, access: Access) -> Result<Self, StoreError> {
        let path = std::path::absolute(path).map_err(|source| StoreError::io(path, source))?;
        examine(&path, access)?;
        let (env, writable) = match open_environment(&path, EnvFlags::empty()) {
            Ok(env) => (env, true),
            // A gallery that can't be written can still be served. On a read-only file system LMDB
            // does without locks, which is right because nobody can write there.
            Err(StoreError::ReadOnly { .. } | StoreError::Denied { .. })
                if access == Access::Read =>
            {
                (open_environment(&path, EnvFlags::READ_ONLY)?, false)
            }
            Err(error) => return Err(error),
        };
        let wrap = |source| lmdb_error(&path, source);
        if writable {
            // The slots of processes that were killed would pin old pages for ever.
            env.clear_stale_readers().map_err(wrap)?;
        }
        check_length(&env, &path, writable)?;
        let trees = match open_trees(&env).map_err(wrap)? {
            FoundTrees::Draft if writable => create_trees(&env).map_err(wrap)?,
            FoundTrees::Foreign if access == Access::Create => create_trees(&env).map_err(wrap)?,
            trees => trees,
        };
        let trees = match trees {
            FoundTrees::All(trees) => trees,
            FoundTrees::Draft => {
                return Err(StoreError::Draft { locator: Locator::File(path) });
            }
            FoundTrees::Foreign => {
                return Err(StoreError::NotAGallery {
                    path,
                    reason: "it is an LMDB file of some other program, or an import never \
                             finished; `imagepool import DIR` on a new path makes a gallery"
                        .into(),
                });
            }
        };
        Ok(Self { env, trees, path, writable })
    }

    pub(in crate::store) fn writable(&self) -> bool {
        self.writable
    }

    /// The id of the last committed transaction, of whichever process.
    pub(in crate::store) fn version(&self) -> u64 {
        self.env.info().last_txn_id as u64
    }

    pub(in crate::store) fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.env.real_disk_size().map_err(|source| self.wrap(source))
    }

    pub(in crate::store) fn get<R>(
        &self,
        tree: Tree,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, StoreError> {
        let txn = self.env.read_txn().map_err(|source| self.wrap(source))?;
        let value = self.trees[tree as usize].get(&txn, key).map_err(|source| self.wrap(source))?;
        Ok(value.map(read))
    }

    /// Returns a value with the read transaction that keeps it in place.
    pub(in crate::store) fn hold(
        &self,
        tree: Tree,
        key: &[u8],
    ) -> Result<Option<Blob>, StoreError> {
        let txn = self.env.clone().static_read_txn().map_err(|source| self.wrap(source))?;
        Blob::map(txn, |txn| self.trees[tree as usize].get(txn, key))
            .map_err(|source| self.wrap(source))
    }

    pub(in crate::store) fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<u64, StoreError> {
        let txn = self.env.read_txn().map_err(|source| self.wrap(source))?;
        scan(&self.trees[tree as usize], &txn, prefix, &self.path, visit)?;
        // `version` may be ahead of this: LMDB shows a commit's number before readers see it.
        Ok(txn.id() as u64)
    }

    /// Begins a write transaction, which waits for that of any other process.
    pub(in crate::store) fn begin(&self) -> Result<FileWriter<'_>, StoreError> {
        let txn = self.env.write_txn().map_err(|source| self.wrap(source))?;
        Ok(FileWriter { engine: self, txn })
    }

    /// Writes a compact copy as of now into `target`, which may be a pipe.
    pub(in crate::store) fn copy_to(&self, target: &mut File) -> Result<(), StoreError> {
        self.env.copy_to_file(target, CompactionOption::Enabled).map_err(|source| match source {
            // Pages are read out of the map, so an I/O error is about the target.
            heed::Error::Io(source) if source.kind() == io::ErrorKind::StorageFull => {
                StoreError::CopyDiskFull
            }
            heed::Error::Io(source) => StoreError::Copy { source },
            source => self.wrap(source),
        })
    }

    /// Writes the trees that `scan` visits into `target`, by way of a gallery file at `scratch`.
    #[cfg(feature = "sled")]
    pub(in crate::store) fn copy_of(
        scratch: &Path,
        target: &mut File,
        scan: impl Fn(Tree, &mut EntryVisitor<'_>) -> Result<u64, StoreError>,
    ) -> Result<(), StoreError> {
        /// Size of a commit, in bytes. LMDB keeps in memory what is not committed.
        const COMMIT_BYTES: usize = 32 << 20;
        let copied = Self::open(scratch, Access::Create).and_then(|engine| {
            for tree in Tree::ALL {
                let mut batch = Vec::new();
                let mut batch_bytes = 0;
                let flush = |batch: &mut Vec<(Vec<u8>, Vec<u8>)>| {
                    let mut writer = engine.begin()?;
                    batch.drain(..).try_for_each(|(key, value)| writer.put(tree, &key, &value))?;
                    writer.commit()
                };
                scan(tree, &mut |key, value| {
                    batch_bytes += key.len() + value.len();
                    batch.push((key.to_vec(), value.to_vec()));
                    if batch_bytes < COMMIT_BYTES {
                        return Ok(());
                    }
                    batch_bytes = 0;
                    flush(&mut batch)
                })?;
                flush(&mut batch)?;
            }
            engine.copy_to(target)
        });
        for leftover in [scratch.to_owned(), lock_path(scratch)] {
            // A leftover that can't be removed does not make the copy worse.
            let _ = fs::remove_file(leftover);
        }
        copied
    }

    fn wrap(&self, source: heed::Error) -> StoreError {
        lmdb_error(&self.path, source)
    }
}

pub(in crate::store) struct FileWriter<'w> {
    engine: &'w FileEngine,
    txn: RwTxn<'w>,
}

impl FileWriter<'_> {
    /// Makes the changes durable: LMDB syncs the data and then its meta page before this returns.
    ///
    /// No flag of ours turns that off.
    pub(in crate::store) fn commit(self) -> Result<(), StoreError> {
        self.txn.commit().map_err(|source| self.engine.wrap(source))
    }

    pub(in crate::store) fn get(
        &self,
        tree: Tree,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.engine.trees[tree as usize].get(&self.txn, key);
        Ok(value.map_err(|source| self.engine.wrap(source))?.map(<[u8]>::to_vec))
    }

    pub(in crate::store) fn put(
        &mut self,
        tree: Tree,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StoreError> {
        let put = self.engine.trees[tree as usize].put(&mut self.txn, key, value);
        put.map_err(|source| self.engine.wrap(source))
    }

    pub(in crate::store) fn delete(&mut self, tree: Tree, key: &[u8]) -> Result<(), StoreError> {
        let deleted = self.engine.trees[tree as usize].delete(&mut self.txn, key);
        deleted.map(|_| ()).map_err(|source| self.engine.wrap(source))
    }

    pub(in crate::store) fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<(), StoreError> {
        scan(&self.engine.trees[tree as usize], &self.txn, prefix, &self.engine.path, visit)
    }
}

fn scan(
    handle: &TreeHandle,
    txn: &RoTxn<'_>,
    prefix: &[u8],
    path: &Path,
    visit: &mut EntryVisitor<'_>,
) -> Result<(), StoreError> {
    let mut visit_entry = |entry: heed::Result<(&[u8], &[u8])>| {
        let (key, value) = entry.map_err(|source| lmdb_error(path, source))?;
        visit(key, value)
    };
    // LMDB refuses an empty prefix.
    if prefix.is_empty() {
        handle.iter(txn).map_err(|source| lmdb_error(path, source))?.try_for_each(&mut visit_entry)
    } else {
        handle
            .prefix_iter(txn, prefix)
            .map_err(|source| lmdb_error(path, source))?
            .try_for_each(&mut visit_entry)
    }
}

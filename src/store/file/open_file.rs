//! One LMDB file that is open: reading, writing and copying its trees.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use heed::{CompactionOption, Env, RoTxn, RwTxn, WithoutTls};

use super::files::FilePair;
use super::lmdb_error::lmdb_error;
use super::map_fault;
use super::open::{
    Environment, FoundTrees, TreeHandle, check_free_list, check_length, create_trees, examine,
    find_cut, open_trees,
};
use crate::store::blob::Blob;
use crate::store::error::StoreError;
use crate::store::locator::Locator;
use crate::store::tree::{Access, EntryVisitor, Tree};

/// Number of bits of a version that hold LMDB's transaction number; those above hold the number of
/// the file.
pub(super) const TRANSACTION_BITS: u32 = 40;

/// An LMDB file that is open.
pub(super) struct OpenFile {
    pub(super) env: Env<WithoutTls>,
    pub(super) trees: [TreeHandle; Tree::ALL.len()],
    pub(super) path: PathBuf,
    pub(super) writable: bool,
    /// How many files the gallery had before this one, since the program began.
    number: u64,
    /// Set once the list of free pages was found to be sound.
    has_sound_free_list: OnceLock<()>,
    /// Dropped after `env`: closing the lock file would end the locks that LMDB holds on it.
    pub(super) files: Arc<FilePair>,
}

impl OpenFile {
    /// Opens the file at an absolute path.
    pub(super) fn open(path: &Path, access: Access, number: u64) -> Result<Self, StoreError> {
        examine(path, access)?;
        let Environment { files, env, writable } = Environment::open(path, access)?;
        map_fault::watch(path);
        let wrap = |source| lmdb_error(path, source);
        check_length(&env, path, writable)?;
        let has_sound_free_list = OnceLock::new();
        let check_before_writing = || expect_sound_free_list(&has_sound_free_list, &env, path);
        // Who opens it to write learns it before any work.
        if access != Access::Read {
            check_before_writing()?;
        }
        let found = match open_trees(&env).map_err(wrap)? {
            FoundTrees::Draft if writable => {
                check_before_writing()?;
                create_trees(&env).map_err(wrap)?
            }
            FoundTrees::Foreign if access == Access::Create => create_trees(&env).map_err(wrap)?,
            found => found,
        };
        let trees = match found {
            FoundTrees::All(trees) => trees,
            FoundTrees::Draft => {
                return Err(StoreError::Draft { locator: Locator::File(path.to_owned()) });
            }
            FoundTrees::Foreign => return Err(StoreError::foreign(path)),
        };
        let file = Self {
            env,
            trees,
            path: path.to_owned(),
            writable,
            number,
            has_sound_free_list,
            files: Arc::new(files),
        };
        file.clear_stale_readers()?;
        match file.find_foreign_state()? {
            Some(fault) => Err(fault),
            None => Ok(file),
        }
    }

    /// The number of the file, and the id of the last committed transaction, of whichever process.
    pub(super) fn version(&self) -> u64 {
        self.version_of(self.env.info().last_txn_id)
    }

    fn version_of(&self, transaction: usize) -> u64 {
        self.number << TRANSACTION_BITS | transaction as u64
    }

    /// Frees the slots of processes that were killed, which would pin old pages for ever.
    pub(super) fn clear_stale_readers(&self) -> Result<(), StoreError> {
        if self.writable {
            self.env.clear_stale_readers().map_err(|source| self.wrap(source))?;
        }
        Ok(())
    }

    /// Why this file can't be used any longer, if so.
    pub(super) fn fault(&self) -> Option<StoreError> {
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Some(StoreError::Missing { locator: Locator::File(self.path.clone()) });
            }
            Err(error) => return Some(StoreError::io(&self.path, error)),
            Ok(_) if !self.files.data_is_still_at(&self.path) => {
                return Some(StoreError::Moved { path: self.path.clone() });
            }
            Ok(_) => {}
        }
        match self.find_foreign_state() {
            Ok(None) => find_cut(&self.env, &self.path).err(),
            Ok(fault) => fault,
            Err(error) => Some(error),
        }
    }

    /// Compares the last transaction of the file with that of the lock file, which differ when
    /// other bytes were written into the file.
    fn find_foreign_state(&self) -> Result<Option<StoreError>, StoreError> {
        // A commit writes its number to the file first, and then to the lock file.
        let before = self.env.info().last_txn_id;
        let known = self.env.read_txn().map_err(|source| self.wrap(source))?.id();
        let after = self.env.info().last_txn_id;
        let is_known = before <= known + 1 && known <= after;
        Ok((!is_known).then(|| StoreError::Overwritten { path: self.path.clone() }))
    }

    pub(super) fn get<R>(
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
    pub(super) fn hold(&self, tree: Tree, key: &[u8]) -> Result<Option<Blob>, StoreError> {
        let txn = self.env.clone().static_read_txn().map_err(|source| self.wrap(source))?;
        Blob::map(txn, |txn| self.trees[tree as usize].get(txn, key))
            .map_err(|source| self.wrap(source))
    }

    pub(super) fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<u64, StoreError> {
        let txn = self.env.read_txn().map_err(|source| self.wrap(source))?;
        scan(&self.trees[tree as usize], &txn, prefix, &self.path, visit)?;
        // `version` may be ahead of this: LMDB shows a commit's number before readers see it.
        Ok(self.version_of(txn.id()))
    }

    /// Number of entries in a tree, as its root says.
    pub(super) fn entries(&self, tree: Tree) -> Result<u64, StoreError> {
        let txn = self.env.read_txn().map_err(|source| self.wrap(source))?;
        self.trees[tree as usize].len(&txn).map_err(|source| self.wrap(source))
    }

    /// Begins a write transaction, which waits for that of any other process.
    pub(super) fn begin(&self) -> Result<FileWriter<'_>, StoreError> {
        expect_sound_free_list(&self.has_sound_free_list, &self.env, &self.path)?;
        let txn = self.env.write_txn().map_err(|source| self.wrap(source))?;
        // What were written to a file that has lost its name, nobody would ever find.
        if !self.files.data_is_still_at(&self.path) {
            return Err(StoreError::Moved { path: self.path.clone() });
        }
        // LMDB would take the state that the lock file's number stands for, or an empty one.
        if self.env.info().last_txn_id + 1 != txn.id() {
            return Err(StoreError::Overwritten { path: self.path.clone() });
        }
        Ok(FileWriter { file: self, txn })
    }

    /// Writes a compact copy as of now into `target`, which may be a pipe.
    pub(super) fn copy_to(&self, target: &mut File) -> Result<(), StoreError> {
        self.env.copy_to_file(target, CompactionOption::Enabled).map_err(|source| match source {
            // Pages are read out of the map, so an I/O error is about the target.
            heed::Error::Io(source) => StoreError::copy(source),
            source => self.wrap(source),
        })
    }

    pub(super) fn wrap(&self, source: heed::Error) -> StoreError {
        lmdb_error(&self.path, source)
    }
}

/// Checks the list of free pages, unless it `is_known` to be sound.
fn expect_sound_free_list(
    is_known: &OnceLock<()>,
    env: &Env<WithoutTls>,
    path: &Path,
) -> Result<(), StoreError> {
    if is_known.get().is_none() {
        check_free_list(env, path)?;
        let _ = is_known.set(());
    }
    Ok(())
}

pub(in crate::store) struct FileWriter<'w> {
    pub(super) file: &'w OpenFile,
    pub(super) txn: RwTxn<'w>,
}

impl FileWriter<'_> {
    /// Makes the changes durable: LMDB syncs the data and then its meta page before this returns.
    ///
    /// No flag of ours turns that off.
    pub(in crate::store) fn commit(self) -> Result<(), StoreError> {
        self.txn.commit().map_err(|source| self.file.wrap(source))
    }

    pub(in crate::store) fn get(
        &self,
        tree: Tree,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.file.trees[tree as usize].get(&self.txn, key);
        Ok(value.map_err(|source| self.file.wrap(source))?.map(<[u8]>::to_vec))
    }

    pub(in crate::store) fn put(
        &mut self,
        tree: Tree,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StoreError> {
        let put = self.file.trees[tree as usize].put(&mut self.txn, key, value);
        put.map_err(|source| self.file.wrap(source))
    }

    pub(in crate::store) fn delete(&mut self, tree: Tree, key: &[u8]) -> Result<(), StoreError> {
        let deleted = self.file.trees[tree as usize].delete(&mut self.txn, key);
        deleted.map(|_| ()).map_err(|source| self.file.wrap(source))
    }

    pub(in crate::store) fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<(), StoreError> {
        scan(&self.file.trees[tree as usize], &self.txn, prefix, &self.file.path, visit)
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    fn make(path: &Path, commits: u8) -> OpenFile {
        let file = OpenFile::open(path, Access::Create, 0).unwrap();
        for number in 0..commits {
            let mut writer = file.begin().unwrap();
            writer.put(Tree::Meta, &[number], b"value").unwrap();
            writer.commit().unwrap();
        }
        file
    }

    #[test]
    fn nothing_is_written_into_a_file_that_was_overwritten_in_place() {
        for (commits, other_commits) in [(5, 2), (2, 5), (5, 6)] {
            let dir = tempfile::tempdir().unwrap();
            let file = make(&dir.path().join("one"), commits);
            drop(make(&dir.path().join("other"), other_commits));
            assert!(file.fault().is_none() && file.begin().is_ok());

            let other = fs::read(dir.path().join("other")).unwrap();
            let one = File::options().write(true).open(dir.path().join("one")).unwrap();
            one.write_all_at(&other, 0).unwrap();
            let refused = file.begin().err();
            assert!(matches!(refused, Some(StoreError::Overwritten { .. })), "{refused:?}");
            if other_commits != commits + 1 {
                assert!(matches!(file.fault(), Some(StoreError::Overwritten { .. })));
            }
            let again = dir.path().join("again");
            fs::copy(dir.path().join("one"), &again).unwrap();
            let found = OpenFile::open(&again, Access::Write, 0).unwrap();
            for number in 0..other_commits {
                assert!(found.get(Tree::Meta, &[number], |_| ()).unwrap().is_some());
            }
        }
    }
}

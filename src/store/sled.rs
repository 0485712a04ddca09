//! The sled engine: the same trees and bytes in a sled directory.
//!
//! It admits one process at a time, and sled holds in memory what it has read, whatever its cache
//! size says. A write collects its changes in memory, applies them in one transaction over all
//! trees, then flushes, so that nothing is reported as stored before it is on disk.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use sled::Transactional as _;
use sled::transaction::{ConflictableTransactionError, TransactionError, TransactionalTree};

use super::blob::Blob;
use super::error::StoreError;
use super::locator::Locator;
use super::tree::{Access, EntryVisitor, Tree};

/// Key of the number of commits, which is the gallery's version.
const COMMITS_KEY: &[u8] = b"commits";
/// Size of sled's page cache, in bytes. Whole pages of images stay in memory above it.
const CACHE_BYTES: u64 = 64 << 20;

/// Free space that a write must leave beside twice its own length, in bytes.
///
/// On a full disk sled 0.34 hangs, and what it had flushed can't be opened any more, so a write
/// that comes near is refused before it begins.
const SPARE_BYTES: u64 = 64 << 20;

pub(super) struct SledEngine {
    trees: [sled::Tree; Tree::ALL.len()],
    db: sled::Db,
    path: PathBuf,
    /// Device and inode of the file that holds the trees.
    file: Option<(u64, u64)>,
    commits: AtomicU64,
    /// Held from a write's first read to its last byte, so that there is one writer at a time.
    writing: Mutex<()>,
}

impl SledEngine {
    pub(super) fn open(dir: &Path, access: Access) -> Result<Self, StoreError> {
        examine(dir, access)?;
        if access == Access::Create {
            make_folder(dir).map_err(|source| StoreError::io(dir, source))?;
        }
        // sled waits for ever for threads that it can't have, so one is tried first.
        let thread = thread::Builder::new().spawn(|| ());
        let _ = thread.map_err(|source| StoreError::io(dir, source))?.join();
        let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let db = config.open().map_err(|source| sled_error(dir, source))?;
        // sled writes even for readers: it has made a snapshot by now.
        restrict(dir);
        let mut trees = Vec::with_capacity(Tree::ALL.len());
        for tree in Tree::ALL {
            trees.push(db.open_tree(tree.name()).map_err(|source| sled_error(dir, source))?);
        }
        #[expect(clippy::expect_used, reason = "the loop opens one tree for each name")]
        let trees: [sled::Tree; Tree::ALL.len()] = trees.try_into().expect("all trees are there");
        let stored = trees[Tree::Meta as usize]
            .get(COMMITS_KEY)
            .map_err(|source| sled_error(dir, source))?;
        let commits =
            stored.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, u64::from_le_bytes);
        Ok(Self {
            trees,
            db,
            path: dir.to_owned(),
            file: identity_of(dir),
            commits: commits.into(),
            writing: Mutex::new(()),
        })
    }

    /// Whether the folder that is open is still the one at its path.
    pub(super) fn is_in_place(&self) -> bool {
        self.file.is_some() && identity_of(&self.path) == self.file
    }

    #[expect(clippy::unused_self, reason = "the engines have the same methods")]
    pub(super) fn writable(&self) -> bool {
        true
    }

    pub(super) fn version(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    pub(super) fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.db.size_on_disk().map_err(|source| self.wrap(source))
    }

    pub(super) fn get<R>(
        &self,
        tree: Tree,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, StoreError> {
        let value = self.trees[tree as usize].get(key).map_err(|source| self.wrap(source))?;
        Ok(value.map(|value| read(&value)))
    }

    pub(super) fn hold(&self, tree: Tree, key: &[u8]) -> Result<Option<Blob>, StoreError> {
        let value = self.trees[tree as usize].get(key).map_err(|source| self.wrap(source))?;
        Ok(value.map(Blob::shared))
    }

    pub(super) fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<u64, StoreError> {
        // The version is read first: a commit meanwhile makes the result look older than it is,
        // never newer.
        let version = self.version();
        for entry in self.trees[tree as usize].scan_prefix(prefix) {
            let (key, value) = entry.map_err(|source| self.wrap(source))?;
            visit(&key, &value)?;
        }
        Ok(version)
    }

    /// Begins a write transaction, which waits for any other.
    pub(super) fn begin(&self) -> SledWriter<'_> {
        let one_writer = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        SledWriter { engine: self, changes: BTreeMap::new(), _one_writer: one_writer }
    }

    fn check_space(&self, changes: &Changes) -> Result<(), StoreError> {
        let disk = rustix::fs::statvfs(&self.path)
            .map_err(|error| StoreError::io(&self.path, error.into()))?;
        let length = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, |value| value.len() as u64);
        let needed = 2 * changes.values().map(length).sum::<u64>() + SPARE_BYTES;
        if disk.f_bavail * disk.f_frsize < needed {
            return Err(StoreError::DiskFull { path: self.path.clone() });
        }
        Ok(())
    }

    fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        self.check_space(changes)?;
        let commits = self.commits.load(Ordering::Acquire) + 1;
        let [meta, images, blobs, sources, origins, keys, owned, removed] = &self.trees;
        let applied = (meta, images, blobs, sources, origins, keys, owned, removed).transaction(
            |(meta, images, blobs, sources, origins, keys, owned, removed)| {
                let trees: [&TransactionalTree; Tree::ALL.len()] =
                    [meta, images, blobs, sources, origins, keys, owned, removed];
                for ((tree, key), value) in changes {
                    match value {
                        Some(value) => trees[*tree].insert(key.as_slice(), value.as_slice())?,
                        None => trees[*tree].remove(key.as_slice())?,
                    };
                }
                meta.insert(COMMITS_KEY, &commits.to_le_bytes())?;
                Ok::<(), ConflictableTransactionError<std::convert::Infallible>>(())
            },
        );
        match applied {
            Ok(()) => {}
            Err(TransactionError::Storage(source)) => return Err(self.wrap(source)),
            Err(TransactionError::Abort(never)) => match never {},
        }
        self.db.flush().map_err(|source| self.wrap(source))?;
        self.commits.store(commits, Ordering::Release);
        Ok(())
    }

    fn wrap(&self, source: sled::Error) -> StoreError {
        sled_error(&self.path, source)
    }
}

/// What a write has changed so far, by tree and key; `None` for a deleted key. The tree is its
/// index in [`Tree::ALL`], which can be sorted.
type Changes = BTreeMap<(usize, Vec<u8>), Option<Vec<u8>>>;

pub(super) struct SledWriter<'w> {
    engine: &'w SledEngine,
    changes: Changes,
    _one_writer: MutexGuard<'w, ()>,
}

impl SledWriter<'_> {
    pub(super) fn commit(self) -> Result<(), StoreError> {
        self.engine.commit(&self.changes)
    }

    pub(super) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.changes.get(&(tree as usize, key.to_vec())) {
            Some(changed) => Ok(changed.clone()),
            None => self.engine.get(tree, key, <[u8]>::to_vec),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the engines have the same methods")]
    pub(super) fn put(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.changes.insert((tree as usize, key.to_vec()), Some(value.to_vec()));
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "the engines have the same methods")]
    pub(super) fn delete(&mut self, tree: Tree, key: &[u8]) -> Result<(), StoreError> {
        self.changes.insert((tree as usize, key.to_vec()), None);
        Ok(())
    }

    /// Visits the entries as this write has left them.
    pub(super) fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<(), StoreError> {
        let mut entries = BTreeMap::new();
        self.engine.scan(tree, prefix, &mut |key, value| {
            entries.insert(key.to_vec(), value.to_vec());
            Ok(())
        })?;
        let first = (tree as usize, prefix.to_vec());
        let of_prefix = |key: &(usize, Vec<u8>)| key.0 == first.0 && key.1.starts_with(prefix);
        for ((_, key), value) in
            self.changes.range(first.clone()..).take_while(|(key, _)| of_prefix(key))
        {
            match value {
                Some(value) => entries.insert(key.clone(), value.clone()),
                None => entries.remove(key),
            };
        }
        entries.iter().try_for_each(|(key, value)| visit(key, value))
    }
}

/// Device and inode of the file in a sled directory that holds the trees.
fn identity_of(dir: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(dir.join("db")).ok()?;
    Some((found.dev(), found.ino()))
}

/// Examines the directory before sled does, because sled would make one anywhere.
fn examine(dir: &Path, access: Access) -> Result<(), StoreError> {
    let not_a_gallery =
        |reason: &str| StoreError::NotAGallery { path: dir.to_owned(), reason: reason.into() };
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            Some(_) if dir.join("db").is_file() && dir.join("conf").is_file() => Ok(()),
            None if access == Access::Create => Ok(()),
            None => Err(not_a_gallery("it is an empty folder")),
            Some(_) => {
                Err(not_a_gallery("it is a folder of other things; give a folder of its own"))
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound && access == Access::Create => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(StoreError::Missing { locator: Locator::Sled(dir.to_owned()) })
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(not_a_gallery("it is a file; a sled gallery is a folder"))
        }
        Err(error) => Err(StoreError::io(dir, error)),
    }
}

/// Makes the directory, because sled would let everybody read it.
fn make_folder(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Takes the rights of all others from a directory and what is in it, because it holds the secrets
/// that sign links. Files that sled makes later are behind the directory's own rights.
///
/// Only the owner can do this. Another user who was let in can go on as before.
fn restrict(dir: &Path) {
    take_rights(dir);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(file_type) if file_type.is_dir() => restrict(&entry.path()),
            Ok(file_type) if file_type.is_file() => take_rights(&entry.path()),
            _ => {}
        }
    }
}

fn take_rights(path: &Path) {
    if let Ok(metadata) = fs::metadata(path) {
        let owner = metadata.permissions().mode() & 0o700;
        let _ = fs::set_permissions(path, Permissions::from_mode(owner));
    }
}

fn sled_error(path: &Path, source: sled::Error) -> StoreError {
    match source {
        // sled reports that its lock is held as an I/O error of no particular kind.
        sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => {
            StoreError::InUse { path: path.to_owned() }
        }
        sled::Error::Io(error) => match StoreError::io(path, error) {
            StoreError::ReadOnly { .. } => {
                StoreError::ReadOnly { locator: Locator::Sled(path.to_owned()) }
            }
            other => other,
        },
        source => StoreError::Sled { path: path.to_owned(), source },
    }
}

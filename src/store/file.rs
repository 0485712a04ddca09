//! The file engine: one LMDB data file through heed, and a lock file `-lock` beside it that holds
//! no data.
//!
//! Several processes may have the gallery open at once; LMDB's lock file orders them. Reads copy
//! nothing and take no lock: they see the last commit. There are only trees of bytes here; what a
//! change means is in `changes`.
#![allow(unsafe_code)] // Opening a memory map is unsafe: see `open_environment`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use heed::types::Bytes;
use heed::{
    CompactionOption, Database, Env, EnvFlags, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls,
};

use super::blob::Blob;
use super::error::StoreError;
use super::locator::{Locator, lock_path};
use super::tree::{Access, EntryVisitor, Tree};

/// Address space reserved for the map, in bytes. It is far above any gallery and takes no memory;
/// where the system gives less, it is halved.
const MAP_BYTES: usize = 1 << 40;
/// Smallest map that is tried, in bytes.
const MIN_MAP_BYTES: usize = 1 << 32;
/// Number of read transactions at once, over all processes. Each lasts for the copy of one chunk.
const MAX_READERS: u32 = 2_048;
/// Number of trees in a file.
#[expect(clippy::cast_possible_truncation, reason = "there are six")]
const MAX_TREES: u32 = Tree::ALL.len() as u32;
/// Length of the lock file, in bytes: 64 for each reader, and a header.
const LOCK_BYTES: u64 = MAX_READERS as u64 * 64 + 4_096;
/// Free space below which an I/O error is taken for a full disk, in bytes: LMDB reports a write
/// that a full disk cut short as an I/O error.
const NEARLY_FULL_BYTES: u64 = 64 << 20;
/// Number of pages that may be missing at the end of a sound file; one that lacks more, or more
/// than an eighth of its pages, was cut.
///
/// LMDB hands out page numbers and leaves unwritten what it freed in the same transaction, so the
/// missing pages are free ones.
const MAX_MISSING_PAGES: u64 = 256;
/// Number of pages that may be missing even from the smallest file.
const MIN_MISSING_PAGES: u64 = 8;
/// `MDB_MAGIC`, which stands in the first page of every LMDB file.
const LMDB_MAGIC: [u8; 4] = 0xBEEF_C0DE_u32.to_le_bytes();
/// Offset of the magic number in the first page, in bytes: behind the page header.
const LMDB_MAGIC_OFFSET: usize = 16;

/// The system's number of "Input/output error".
const EIO: i32 = rustix::io::Errno::IO.raw_os_error();

/// LMDB's handle of one of our trees.
type TreeHandle = Database<Bytes, Bytes>;

pub(super) struct FileEngine {
    env: Env<WithoutTls>,
    trees: [TreeHandle; Tree::ALL.len()],
    path: PathBuf,
    writable: bool,
}

impl FileEngine {
    pub(super) fn open(path: &Path, access: Access) -> Result<Self, StoreError> {
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
        let trees = if access == Access::Create { create_trees(&env) } else { open_trees(&env) };
        let trees = trees.map_err(wrap)?.ok_or_else(|| StoreError::NotAGallery {
            path: path.clone(),
            reason: "it is an LMDB file of some other program, or an import never finished; \
                     `imagepool import DIR` on a new path makes a gallery"
                .into(),
        })?;
        Ok(Self { env, trees, path, writable })
    }

    pub(super) fn writable(&self) -> bool {
        self.writable
    }

    /// The id of the last committed transaction, of whichever process.
    pub(super) fn version(&self) -> u64 {
        self.env.info().last_txn_id as u64
    }

    pub(super) fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.env.real_disk_size().map_err(|source| self.wrap(source))
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
        Ok(txn.id() as u64)
    }

    /// Begins a write transaction, which waits for that of any other process.
    pub(super) fn begin(&self) -> Result<FileWriter<'_>, StoreError> {
        let txn = self.env.write_txn().map_err(|source| self.wrap(source))?;
        Ok(FileWriter { engine: self, txn })
    }

    /// Writes a compact copy as of now into `target`, which may be a pipe.
    pub(super) fn copy_to(&self, target: &mut File) -> Result<(), StoreError> {
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
    pub(super) fn copy_of(
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

pub(super) struct FileWriter<'w> {
    engine: &'w FileEngine,
    txn: RwTxn<'w>,
}

impl FileWriter<'_> {
    /// Makes the changes durable: LMDB syncs the data and then its meta page before this returns.
    ///
    /// No flag of ours turns that off.
    pub(super) fn commit(self) -> Result<(), StoreError> {
        self.txn.commit().map_err(|source| self.engine.wrap(source))
    }

    pub(super) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.engine.trees[tree as usize].get(&self.txn, key);
        Ok(value.map_err(|source| self.engine.wrap(source))?.map(<[u8]>::to_vec))
    }

    pub(super) fn put(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let put = self.engine.trees[tree as usize].put(&mut self.txn, key, value);
        put.map_err(|source| self.engine.wrap(source))
    }

    pub(super) fn delete(&mut self, tree: Tree, key: &[u8]) -> Result<(), StoreError> {
        let deleted = self.engine.trees[tree as usize].delete(&mut self.txn, key);
        deleted.map(|_| ()).map_err(|source| self.engine.wrap(source))
    }

    pub(super) fn scan(
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

/// Examines the file before LMDB does, because LMDB's errors say little.
fn examine(path: &Path, access: Access) -> Result<(), StoreError> {
    let not_a_gallery =
        |reason: &str| StoreError::NotAGallery { path: path.to_owned(), reason: reason.into() };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().unwrap_or(Path::new("/"));
            return match access {
                Access::Create if parent.is_dir() => Ok(()),
                Access::Create => Err(StoreError::NoParent { path: path.to_owned() }),
                Access::Read | Access::Write => {
                    Err(StoreError::Missing { locator: Locator::File(path.to_owned()) })
                }
            };
        }
        Err(error) => return Err(StoreError::io(path, error)),
    };
    if metadata.is_dir() {
        return Err(not_a_gallery(
            "it is a folder; a gallery is one file (for a sled gallery write sled:DIR)",
        ));
    }
    if !metadata.is_file() {
        return Err(not_a_gallery("it is no regular file"));
    }
    if metadata.len() == 0 {
        return if access == Access::Create { Ok(()) } else { Err(not_a_gallery("it is empty")) };
    }
    let mut head = [0; LMDB_MAGIC_OFFSET + LMDB_MAGIC.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    match read {
        Ok(()) if head[LMDB_MAGIC_OFFSET..] == LMDB_MAGIC => Ok(()),
        Ok(()) => Err(not_a_gallery("its first bytes are not a gallery's")),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(not_a_gallery("it is too short"))
        }
        Err(error) => Err(StoreError::io(path, error)),
    }
}

/// Allocates the lock file before LMDB maps it: a hole in it on a full disk would end the process
/// with SIGBUS.
fn allocate_lock_file(path: &Path) -> Result<(), StoreError> {
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(lock_path(path));
    let lock = lock.map_err(|source| StoreError::io(path, source))?;
    match rustix::fs::fallocate(&lock, rustix::fs::FallocateFlags::empty(), 0, LOCK_BYTES) {
        Err(error @ (rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT)) => {
            Err(StoreError::io(path, error.into()))
        }
        // Some file systems can't allocate ahead; they are used all the same.
        Ok(()) | Err(_) => Ok(()),
    }
}

fn open_environment(path: &Path, flags: EnvFlags) -> Result<Env<WithoutTls>, StoreError> {
    if !flags.contains(EnvFlags::READ_ONLY) {
        allocate_lock_file(path)?;
    }
    let mut map_bytes = MAP_BYTES;
    loop {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(map_bytes).max_readers(MAX_READERS).max_dbs(MAX_TREES);
        // SAFETY: NO_SUB_DIR and READ_ONLY change neither locking nor durability. The map's bytes
        // are changed by LMDB alone, under its lock file; whoever writes to a gallery by other
        // means breaks it, as with any database.
        let opened = unsafe { options.flags(EnvFlags::NO_SUB_DIR | flags).open(path) };
        match opened {
            Err(heed::Error::Io(error))
                if error.kind() == io::ErrorKind::OutOfMemory && map_bytes > MIN_MAP_BYTES =>
            {
                map_bytes /= 2;
            }
            opened => return opened.map_err(|source| lmdb_error(path, source)),
        }
    }
}

/// Refuses a file that was cut, and fills up one that lacks a little.
///
/// Touching a page behind a file's end would end the process with SIGBUS, while a page of zeros is
/// damage that can be reported.
fn check_length(env: &Env<WithoutTls>, path: &Path, writable: bool) -> Result<(), StoreError> {
    let (found, needed, page_bytes) = lengths(env, path)?;
    let pages = needed / page_bytes;
    let allowed_bytes = MAX_MISSING_PAGES.min(pages / 8).max(MIN_MISSING_PAGES) * page_bytes;
    if found + allowed_bytes < needed {
        return Err(StoreError::Truncated { path: path.to_owned(), found, needed });
    }
    if found < needed && writable {
        // Under the write lock nobody else makes the file longer, so this can't make it shorter.
        let _lock = env.write_txn().map_err(|source| lmdb_error(path, source))?;
        let (found, needed, _) = lengths(env, path)?;
        if found < needed {
            let file = env.try_clone_inner_file().map_err(|source| lmdb_error(path, source))?;
            file.set_len(needed).map_err(|source| StoreError::io(path, source))?;
        }
    }
    Ok(())
}

/// Returns the file's length, the length up to its last page number, and the length of a page, all
/// in bytes.
fn lengths(env: &Env<WithoutTls>, path: &Path) -> Result<(u64, u64, u64), StoreError> {
    // Pages are counted first: a commit in between makes the file longer, never shorter.
    let pages = env.info().last_page_number as u64 + 1;
    let page_bytes = u64::from(env.stat().page_size);
    let found = env.real_disk_size().map_err(|source| lmdb_error(path, source))?;
    Ok((found, pages * page_bytes, page_bytes))
}

/// Opens the trees. Returns `None` if one is missing.
fn open_trees(env: &Env<WithoutTls>) -> heed::Result<Option<[TreeHandle; Tree::ALL.len()]>> {
    let txn = env.read_txn()?;
    let mut trees = Vec::with_capacity(Tree::ALL.len());
    for tree in Tree::ALL {
        match env.open_database(&txn, Some(tree.name()))? {
            Some(handle) => trees.push(handle),
            None => return Ok(None),
        }
    }
    // The handles outlive the transaction only if it is committed.
    txn.commit()?;
    Ok(trees.try_into().ok())
}

/// Opens the trees, or makes them in a file that has none at all. Returns `None` for a file with
/// other trees.
fn create_trees(env: &Env<WithoutTls>) -> heed::Result<Option<[TreeHandle; Tree::ALL.len()]>> {
    if let Some(trees) = open_trees(env)? {
        return Ok(Some(trees));
    }
    let mut txn = env.write_txn()?;
    // Counted under the write lock, because another process may have made them just now.
    let entries =
        env.open_database::<Bytes, Bytes>(&txn, None)?.map_or(Ok(0), |root| root.len(&txn))?;
    if entries != 0 && entries != Tree::ALL.len() as u64 {
        return Ok(None);
    }
    let mut trees = Vec::with_capacity(Tree::ALL.len());
    for tree in Tree::ALL {
        trees.push(env.create_database(&mut txn, Some(tree.name()))?);
    }
    txn.commit()?;
    Ok(trees.try_into().ok())
}

fn nearly_full(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(Path::new("/"));
    rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_bavail * disk.f_frsize < NEARLY_FULL_BYTES)
}

fn lmdb_error(path: &Path, source: heed::Error) -> StoreError {
    match source {
        heed::Error::Io(source) if source.raw_os_error() == Some(EIO) && nearly_full(path) => {
            StoreError::DiskFull { path: path.to_owned() }
        }
        heed::Error::Io(source) => StoreError::io(path, source),
        heed::Error::Mdb(MdbError::Invalid | MdbError::VersionMismatch) => {
            StoreError::NotAGallery {
                path: path.to_owned(),
                reason: "its first pages are damaged".into(),
            }
        }
        heed::Error::Mdb(
            MdbError::Corrupted | MdbError::PageNotFound | MdbError::Panic | MdbError::Problem,
        ) => StoreError::BadPages { path: path.to_owned(), source },
        source => StoreError::Lmdb { path: path.to_owned(), source },
    }
}

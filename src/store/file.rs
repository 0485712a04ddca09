//! The file engine: one LMDB data file through heed, and a lock file `-lock` beside it that holds no data.
//!
//! Several processes may have the gallery open at once; LMDB's lock file orders them. Reads copy nothing and take no
//! lock: they see the last commit. What a change means stands in `store::mod`; here are only trees of bytes.
#![allow(unsafe_code)] // Opening a memory map is unsafe: see `open_environment`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use heed::types::Bytes;
use heed::{
    CompactionOption, Database, Env, EnvFlags, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls,
};

use super::{Access, Blob, EntryVisitor, Locator, StoreError, Tree, Writer};

/// Address space reserved for the map, far above any gallery; it is no memory. Halved where the system gives less.
const MAP_BYTES: usize = 1 << 40;
/// Below this there is no sense in trying on.
const LEAST_MAP_BYTES: usize = 1 << 32;
/// Read transactions at once, over all processes. Each lasts for the copy of one chunk.
const MAX_READERS: u32 = 2_048;
/// Length of the lock file: 64 bytes for each reader, and a header.
const LOCK_BYTES: u64 = MAX_READERS as u64 * 64 + 4_096;
/// LMDB reports a write that a full disk cut short as an I/O error. With less than this free it is the disk.
const NEARLY_FULL_BYTES: u64 = 64 << 20;
/// LMDB hands out page numbers and leaves unwritten what it freed in the same transaction, so a sound file may lack
/// some pages at its end: free ones. A file that lacks more than this many, or more than an eighth, was cut.
const UNWRITTEN_PAGES: u64 = 256;
/// What even the smallest file may lack.
const LEAST_UNWRITTEN_PAGES: u64 = 8;
/// `MDB_MAGIC`, and its offset in the first page: behind the page header.
const LMDB_MAGIC: [u8; 4] = 0xBEEF_C0DE_u32.to_le_bytes();
const LMDB_MAGIC_OFFSET: usize = 16;

/// "Input/output error".
const EIO: i32 = rustix::io::Errno::IO.raw_os_error();

type Bucket = Database<Bytes, Bytes>;

pub(super) struct FileEngine {
    env: Env<WithoutTls>,
    trees: [Bucket; Tree::ALL.len()],
    path: PathBuf,
    writable: bool,
}

impl FileEngine {
    pub(super) fn open(path: &Path, access: Access) -> Result<Self, StoreError> {
        let path = std::path::absolute(path).map_err(|source| StoreError::io(path, source))?;
        examine(&path, access)?;
        let (env, writable) = match open_environment(&path, EnvFlags::empty()) {
            Ok(env) => (env, true),
            // A gallery that can't be written can still be served: on a read-only file system LMDB does without
            // locks, which is right because nobody can write there.
            Err(StoreError::ReadOnly { .. } | StoreError::Denied { .. })
                if access == Access::Read =>
            {
                (open_environment(&path, EnvFlags::READ_ONLY)?, false)
            }
            Err(error) => return Err(error),
        };
        let wrap = |source| lmdb_error(&path, source);
        if writable {
            // Slots of processes that were killed would pin their pages for ever.
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

    /// A value, and the read transaction that it lies in.
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
        // `version` may be ahead of this: LMDB shows a commit's number before readers see the commit.
        Ok(txn.id() as u64)
    }

    pub(super) fn write<R>(
        &self,
        change: impl FnOnce(&mut Writer<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let txn = self.env.write_txn().map_err(|source| self.wrap(source))?;
        let mut writer = Writer::File(FileWriter { engine: self, txn });
        let result = change(&mut writer)?;
        #[cfg_attr(not(feature = "sled"), allow(irrefutable_let_patterns))]
        if let Writer::File(writer) = writer {
            writer.txn.commit().map_err(|source| self.wrap(source))?;
        }
        Ok(result)
    }

    /// Writes a compact copy as of now into `target`, which may be a pipe.
    pub(super) fn copy_to(&self, target: &mut File) -> Result<(), StoreError> {
        self.env.copy_to_file(target, CompactionOption::Enabled).map_err(|source| match source {
            // Pages are read out of the map, so this is about the target.
            heed::Error::Io(source) if source.kind() == io::ErrorKind::StorageFull => {
                StoreError::CopyDiskFull
            }
            heed::Error::Io(source) => StoreError::Copy { source },
            source => self.wrap(source),
        })
    }

    /// Writes a gallery with the trees that `scan` visits into `target`, by way of a gallery file at `scratch`.
    #[cfg(feature = "sled")]
    pub(super) fn copy_of(
        scratch: &Path,
        target: &mut File,
        scan: impl Fn(Tree, &mut EntryVisitor<'_>) -> Result<u64, StoreError>,
    ) -> Result<(), StoreError> {
        /// Bytes put between two commits; LMDB keeps what is uncommitted in memory.
        const COMMIT_BYTES: usize = 32 << 20;
        let copied = Self::open(scratch, Access::Create).and_then(|engine| {
            for tree in Tree::ALL {
                let mut batch = Vec::new();
                let mut batch_bytes = 0;
                let flush = |batch: &mut Vec<(Vec<u8>, Vec<u8>)>| {
                    engine.write(|writer| {
                        batch.drain(..).try_for_each(|(key, value)| writer.put(tree, &key, &value))
                    })
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
            // What is left of the scratch file is rubbish in any case; the result above is what counts.
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
    bucket: &Bucket,
    txn: &RoTxn<'_>,
    prefix: &[u8],
    path: &Path,
    visit: &mut EntryVisitor<'_>,
) -> Result<(), StoreError> {
    let mut visit_entry = |entry: heed::Result<(&[u8], &[u8])>| {
        let (key, value) = entry.map_err(|source| lmdb_error(path, source))?;
        visit(key, value)
    };
    // LMDB refuses to look for an empty key.
    if prefix.is_empty() {
        bucket.iter(txn).map_err(|source| lmdb_error(path, source))?.try_for_each(&mut visit_entry)
    } else {
        bucket
            .prefix_iter(txn, prefix)
            .map_err(|source| lmdb_error(path, source))?
            .try_for_each(&mut visit_entry)
    }
}

/// Looks at the file before LMDB does, whose own errors say little.
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

/// Gives the lock file its blocks before LMDB maps it: a hole in it on a full disk would end the process with SIGBUS.
fn reserve_lock(path: &Path) -> Result<(), StoreError> {
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
        // A file system that can't allocate ahead is used as it is.
        Ok(()) | Err(_) => Ok(()),
    }
}

fn open_environment(path: &Path, flags: EnvFlags) -> Result<Env<WithoutTls>, StoreError> {
    if !flags.contains(EnvFlags::READ_ONLY) {
        reserve_lock(path)?;
    }
    let mut map_bytes = MAP_BYTES;
    loop {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        let max_trees = u32::try_from(Tree::ALL.len()).expect("there are few trees");
        options.map_size(map_bytes).max_readers(MAX_READERS).max_dbs(max_trees);
        // SAFETY: NO_SUB_DIR and READ_ONLY change neither locking nor durability. The map's bytes are changed by LMDB
        // alone, under its lock file; whoever writes to a gallery by other means breaks it, as with any database.
        let opened = unsafe { options.flags(EnvFlags::NO_SUB_DIR | flags).open(path) };
        match opened {
            Err(heed::Error::Io(error))
                if error.kind() == io::ErrorKind::OutOfMemory && map_bytes > LEAST_MAP_BYTES =>
            {
                map_bytes /= 2;
            }
            opened => return opened.map_err(|source| lmdb_error(path, source)),
        }
    }
}

/// Refuses a file that was cut, and fills up one that lacks a little: touching a page behind a file's end would end
/// the process with SIGBUS, while a page of zeros is damage that can be reported.
fn check_length(env: &Env<WithoutTls>, path: &Path, writable: bool) -> Result<(), StoreError> {
    let (found, needed, page_bytes) = lengths(env, path)?;
    let pages = needed / page_bytes;
    let may_lack = UNWRITTEN_PAGES.min(pages / 8).max(LEAST_UNWRITTEN_PAGES) * page_bytes;
    if found + may_lack < needed {
        return Err(StoreError::Truncated { path: path.to_owned(), found, needed });
    }
    if found < needed && writable {
        // Under the write lock nobody else makes the file longer, so this can only ever make it longer.
        let _lock = env.write_txn().map_err(|source| lmdb_error(path, source))?;
        let (found, needed, _) = lengths(env, path)?;
        if found < needed {
            let file = env.try_clone_inner_file().map_err(|source| lmdb_error(path, source))?;
            file.set_len(needed).map_err(|source| StoreError::io(path, source))?;
        }
    }
    Ok(())
}

/// The file's length, the length up to its last page number, and the length of a page, in bytes.
fn lengths(env: &Env<WithoutTls>, path: &Path) -> Result<(u64, u64, u64), StoreError> {
    // The pages are counted first: a commit in between makes the file longer, never shorter.
    let pages = env.info().last_page_number as u64 + 1;
    let page_bytes = u64::from(env.stat().page_size);
    let found = env.real_disk_size().map_err(|source| lmdb_error(path, source))?;
    Ok((found, pages * page_bytes, page_bytes))
}

fn open_trees(env: &Env<WithoutTls>) -> heed::Result<Option<[Bucket; Tree::ALL.len()]>> {
    let txn = env.read_txn()?;
    let mut trees = Vec::with_capacity(Tree::ALL.len());
    for tree in Tree::ALL {
        match env.open_database(&txn, Some(tree.name()))? {
            Some(bucket) => trees.push(bucket),
            None => return Ok(None),
        }
    }
    // The handles outlive the transaction only if it is committed, not dropped.
    txn.commit()?;
    Ok(trees.try_into().ok())
}

/// Opens the trees, making them in a file that has none at all; `None` for a file with other trees.
fn create_trees(env: &Env<WithoutTls>) -> heed::Result<Option<[Bucket; Tree::ALL.len()]>> {
    if let Some(trees) = open_trees(env)? {
        return Ok(Some(trees));
    }
    let mut txn = env.write_txn()?;
    // Read under the write lock: another process may have made them just now.
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

/// Where LMDB keeps its lock file.
pub(super) fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    name.into()
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

//! The gallery at a path, on the file engine: the LMDB file that is there, opened anew when another
//! takes its place.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::open_file::{FileWriter, OpenFile, TRANSACTION_BITS};
use crate::store::blob::Blob;
use crate::store::error::StoreError;
use crate::store::locator::lock_path;
use crate::store::tree::{Access, EntryVisitor, Tree};

/// How long the file that was replaced is waited for until it is let go, at most.
const MAX_CLOSING_TIME: Duration = Duration::from_secs(2);

/// The gallery at a path: the file that is there, or that was there last.
pub(in crate::store) struct FileEngine {
    path: PathBuf,
    /// `None` while the file that is there can't be opened.
    current: ArcSwapOption<OpenFile>,
    /// Whether a commit failed in a way after which LMDB refuses all transactions.
    is_stuck: AtomicBool,
    /// The version of the file that was open last.
    last_version: AtomicU64,
    /// Held while the file is opened anew.
    opening: Mutex<()>,
}

impl FileEngine {
    pub(in crate::store) fn open(path: &Path, access: Access) -> Result<Self, StoreError> {
        let path = std::path::absolute(path).map_err(|source| StoreError::io(path, source))?;
        let file = OpenFile::open(&path, access, 0)?;
        Ok(Self {
            last_version: file.version().into(),
            current: ArcSwapOption::from_pointee(file),
            is_stuck: AtomicBool::new(false),
            opening: Mutex::default(),
            path,
        })
    }

    /// Looks whether the file at the path is still the one that is open and all there, and opens
    /// the one that took its place. Returns whether it did.
    pub(in crate::store) fn look_after(&self) -> Result<bool, StoreError> {
        let _one_look = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.last_version.load(Ordering::Relaxed) >> TRANSACTION_BITS;
        if let Some(file) = self.current.load_full() {
            match file.fault() {
                None if !self.is_stuck.load(Ordering::Relaxed) => {
                    file.clear_stale_readers()?;
                    return Ok(false);
                }
                // What is open can be read on, but it has no name any more.
                Some(error @ StoreError::Missing { .. }) => return Err(error),
                None | Some(_) => {}
            }
        }
        if let Some(file) = self.current.swap(None) {
            self.last_version.store(file.version(), Ordering::Relaxed);
            let closed = file.env.clone().prepare_for_closing();
            // Closed before LMDB is through, the lock file would lose LMDB's own locks.
            let files = Arc::clone(&file.files);
            drop(file);
            closed.wait_timeout(MAX_CLOSING_TIME);
            drop(files);
        }
        let file = OpenFile::open(&self.path, Access::Read, number + 1)?;
        self.last_version.store(file.version(), Ordering::Relaxed);
        self.is_stuck.store(false, Ordering::Relaxed);
        self.current.store(Some(Arc::new(file)));
        Ok(true)
    }

    /// Whether two versions are of the same file.
    pub(in crate::store) const fn is_same_file(one: u64, other: u64) -> bool {
        one >> TRANSACTION_BITS == other >> TRANSACTION_BITS
    }

    fn with<R>(
        &self,
        work: impl FnOnce(&OpenFile) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        // A guard counts no holders, so threads share no counter.
        let result = match self.current.load().as_deref() {
            Some(file) => work(file),
            None => Err(StoreError::NotOpen { path: self.path.clone() }),
        };
        if result.as_ref().is_err_and(StoreError::stops_lmdb) {
            self.is_stuck.store(true, Ordering::Relaxed);
        }
        result
    }

    pub(in crate::store) fn writable(&self) -> bool {
        self.current.load().as_deref().is_some_and(|file| file.writable)
    }

    /// Moves with each commit of whichever process, and with each file that takes the place of
    /// another one.
    pub(in crate::store) fn version(&self) -> u64 {
        match self.current.load().as_deref() {
            Some(file) => file.version(),
            None => self.last_version.load(Ordering::Relaxed),
        }
    }

    pub(in crate::store) fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.with(|file| file.env.real_disk_size().map_err(|source| file.wrap(source)))
    }

    pub(in crate::store) fn get<R>(
        &self,
        tree: Tree,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, StoreError> {
        self.with(|file| file.get(tree, key, read))
    }

    /// Returns a value with the read transaction that keeps it in place.
    pub(in crate::store) fn hold(
        &self,
        tree: Tree,
        key: &[u8],
    ) -> Result<Option<Blob>, StoreError> {
        self.with(|file| file.hold(tree, key))
    }

    pub(in crate::store) fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<u64, StoreError> {
        self.with(|file| file.scan(tree, prefix, visit))
    }

    /// Begins a write transaction, which waits for that of any other process, and has `run` use
    /// and commit it.
    pub(in crate::store) fn write<R>(
        &self,
        run: impl FnOnce(FileWriter<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.with(|file| run(file.begin()?))
    }

    /// Writes a compact copy as of now into `target`, which may be a pipe.
    pub(in crate::store) fn copy_to(&self, target: &mut File) -> Result<(), StoreError> {
        self.with(|file| file.copy_to(target))
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
                    engine.write(|mut writer| {
                        let mut entries = batch.drain(..);
                        entries.try_for_each(|(key, value)| writer.put(tree, &key, &value))?;
                        writer.commit()
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
            // A leftover that can't be removed does not make the copy worse.
            let _ = fs::remove_file(leftover);
        }
        copied
    }
}

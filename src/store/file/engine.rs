//! The gallery at a path, on the file engine: the LMDB file that is there, opened anew when another
//! takes its place.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use heed::EnvClosingEvent;

use super::compact::Compacted;
use super::files::FilePair;
use super::open_file::{FileWriter, OpenFile, TRANSACTION_BITS};
use crate::store::blob::Blob;
use crate::store::error::StoreError;
use crate::store::locator::lock_path;
use crate::store::tree::{Access, EntryVisitor, Tree};

/// Longest time that one look waits for the last readers of a file that was replaced.
const MAX_CLOSING_TIME: Duration = Duration::from_secs(2);

/// Pause between two looks at a file that is being opened anew.
const REOPENING_POLL: Duration = Duration::from_millis(1);

/// The gallery at a path: the file that is there, or that was there last.
pub(in crate::store) struct FileEngine {
    path: PathBuf,
    /// `None` while the file that is there can't be opened.
    current: ArcSwapOption<OpenFile>,
    /// Whether a commit failed in a way after which LMDB refuses all transactions.
    is_stuck: AtomicBool,
    /// The version of the file that was open last.
    last_version: AtomicU64,
    /// Held while the file is opened anew; the file before it, as long as somebody reads it.
    leaving: Mutex<Option<LeavingFile>>,
    /// Whether the file is being opened anew. Who needs it then waits.
    is_reopening: AtomicBool,
}

/// Why a gallery was opened anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reopened {
    /// Another file took its place, or other bytes were written into it.
    Replaced,
    /// A write failed, after which LMDB refuses everything.
    WriteFailed,
}

/// A file that is let go, whose last readers are not through.
struct LeavingFile {
    closed: EnvClosingEvent,
    /// Closed before LMDB is through, the lock file would lose LMDB's own locks.
    _files: Arc<FilePair>,
}

/// Ends the waiting for a file that is being opened anew, however that ends.
struct Reopening<'e>(&'e AtomicBool);

impl Drop for Reopening<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl FileEngine {
    pub(in crate::store) fn open(path: &Path, access: Access) -> Result<Self, StoreError> {
        let path = std::path::absolute(path).map_err(|source| StoreError::io(path, source))?;
        let file = OpenFile::open(&path, access, 0)?;
        Ok(Self {
            last_version: file.version().into(),
            current: ArcSwapOption::from_pointee(file),
            is_stuck: AtomicBool::new(false),
            leaving: Mutex::default(),
            is_reopening: AtomicBool::new(false),
            path,
        })
    }

    /// Looks whether the file at the path is still the one that is open and all there, and opens
    /// the one that took its place. Returns why it did.
    pub(in crate::store) fn look_after(&self) -> Result<Option<Reopened>, StoreError> {
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        let is_stuck = self.is_stuck.load(Ordering::Relaxed);
        let mut why = if is_stuck { Reopened::WriteFailed } else { Reopened::Replaced };
        if let Some(file) = self.current.load_full() {
            match file.fault() {
                None if !is_stuck => {
                    file.clear_stale_readers()?;
                    return Ok(None);
                }
                None | Some(StoreError::Stuck { .. }) => why = Reopened::WriteFailed,
                Some(
                    StoreError::Moved { .. }
                    | StoreError::Overwritten { .. }
                    | StoreError::Truncated { .. },
                ) => why = Reopened::Replaced,
                // What is open can be read on: nothing else is there that could be opened.
                Some(error) => return Err(error),
            }
        }
        self.is_reopening.store(true, Ordering::SeqCst);
        let _until_then = Reopening(&self.is_reopening);
        self.reopen(&mut leaving).map(|()| Some(why))
    }

    /// Lets the file go that is open, and opens the one at the path.
    fn reopen(&self, leaving: &mut Option<LeavingFile>) -> Result<(), StoreError> {
        if let Some(file) = self.current.swap(None) {
            self.last_version.store(file.version(), Ordering::Relaxed);
            let closed = file.env.clone().prepare_for_closing();
            *leaving = Some(LeavingFile { closed, _files: Arc::clone(&file.files) });
        }
        // LMDB opens no file twice in a process.
        if leaving.as_ref().is_some_and(|file| !file.closed.wait_timeout(MAX_CLOSING_TIME)) {
            return Err(StoreError::NotOpen { path: self.path.clone() });
        }
        *leaving = None;
        let number = self.last_version.load(Ordering::Relaxed) >> TRANSACTION_BITS;
        let file = OpenFile::open(&self.path, Access::Read, number + 1)?;
        self.last_version.store(file.version(), Ordering::Relaxed);
        self.is_stuck.store(false, Ordering::Relaxed);
        self.current.store(Some(Arc::new(file)));
        Ok(())
    }

    /// The file that is open, after waiting for it if it is being opened anew.
    fn present(&self) -> Guard<Option<Arc<OpenFile>>> {
        loop {
            // A guard counts no holders, so threads share no counter.
            let file = self.current.load();
            if file.is_some() {
                return file;
            }
            if !self.is_reopening.load(Ordering::SeqCst) {
                // It may have been opened between the two looks.
                return self.current.load();
            }
            drop(file);
            thread::sleep(REOPENING_POLL);
        }
    }

    /// The lock file, if it is no longer beside the gallery that is open.
    pub(in crate::store) fn lost_lock_file(&self) -> Option<PathBuf> {
        let present = self.present();
        let files = &present.as_deref()?.files;
        let is_lost = files.data_is_still_at(&self.path) && !files.lock_is_still_at(&self.path);
        is_lost.then(|| lock_path(&self.path))
    }

    /// Whether two versions are of the same file.
    pub(in crate::store) const fn is_same_file(one: u64, other: u64) -> bool {
        one >> TRANSACTION_BITS == other >> TRANSACTION_BITS
    }

    fn with<R>(
        &self,
        work: impl FnOnce(&OpenFile) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let result = match self.present().as_deref() {
            Some(file) => work(file),
            None => Err(StoreError::NotOpen { path: self.path.clone() }),
        };
        if result.as_ref().is_err_and(StoreError::stops_lmdb) {
            self.is_stuck.store(true, Ordering::Relaxed);
        }
        result
    }

    pub(in crate::store) fn writable(&self) -> bool {
        self.present().as_deref().is_none_or(|file| file.writable)
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

    pub(in crate::store) fn entries(&self, tree: Tree) -> Result<u64, StoreError> {
        self.with(|file| file.entries(tree))
    }

    /// Begins a write transaction, which waits for that of any other process, and has `run` use
    /// and commit it.
    pub(in crate::store) fn write<R>(
        &self,
        run: impl FnOnce(FileWriter<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.with(|file| run(file.begin()?))
    }

    /// See [`FileWriter::compact`].
    pub(in crate::store) fn compact<E: From<StoreError>>(
        &self,
        copy: &Path,
        check: impl FnOnce() -> Result<(), E>,
    ) -> Result<Result<Compacted, E>, StoreError> {
        self.write(|writer| Ok(writer.compact(copy, check)))
    }

    /// Writes a compact copy as of now into `target`, which may be a pipe.
    pub(in crate::store) fn copy_to(&self, target: &mut File) -> Result<(), StoreError> {
        self.with(|file| file.copy_to(target))
    }
}

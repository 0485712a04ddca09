//! A gallery's data file and lock file, opened and bound to each other before LMDB opens them by
//! their names.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::inode_lock::{self, FileIdentity};
use crate::store::error::StoreError;
use crate::store::locator::lock_path;
use crate::store::tree::Access;

/// Number of read transactions at once, over all processes. Each lasts for the copy of one chunk.
pub(super) const MAX_READERS: u32 = 2_048;
/// Length of the lock file, in bytes: 64 for each reader, and a header.
const LOCK_BYTES: u64 = MAX_READERS as u64 * 64 + 4_096;
/// Only its owner may read a gallery, because it holds the hashes of keys and secrets for links.
pub(super) const MODE: u32 = 0o600;

/// The two files of a gallery, bound to each other until this is dropped.
pub(super) struct FilePair {
    data: BoundFile,
    /// `None` where nobody can write, so that LMDB does without it.
    lock: Option<BoundFile>,
    writable: bool,
}

pub(super) struct BoundFile {
    pub(super) file: File,
    identity: FileIdentity,
}

impl BoundFile {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let identity = FileIdentity::of(&file.metadata()?);
        Ok(Self { file, identity })
    }

    /// Keeps all processes from opening this data file for writing, for as long as it is open
    /// here. Returns `false` if one has it open.
    pub(super) fn keep_for_reading(&self) -> io::Result<bool> {
        // Whoever writes marks a lock file, and no lock file is the data file.
        inode_lock::mark(&self.file, self.identity)
    }

    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| FileIdentity::of(&found) == self.identity)
    }
}

impl FilePair {
    /// Opens the two files, and makes them with [`Access::Create`]. Other processes that open the
    /// gallery wait until [`FilePair::open_gate`].
    pub(super) fn open(path: &Path, access: Access) -> Result<Self, StoreError> {
        match Self::open_writable(path, access) {
            // A gallery that can't be written can still be served.
            Err(StoreError::ReadOnly { .. } | StoreError::Denied { .. })
                if access == Access::Read =>
            {
                Self::open_read_only(path)
            }
            opened => opened,
        }
    }

    fn open_writable(path: &Path, access: Access) -> Result<Self, StoreError> {
        let wrap = |source| StoreError::io(path, source);
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(MODE).create(access == Access::Create);
        let data = options.open(path).and_then(BoundFile::new).map_err(wrap)?;
        inode_lock::close_gate(&data.file).map_err(wrap)?;
        // The lock file belongs to whatever is at the path now.
        if !data.is_at(path) {
            return Err(StoreError::Moved { path: path.to_owned() });
        }
        let lock_path = lock_path(path);
        let mut lock = open_lock_file(&lock_path).map_err(wrap)?;
        if !inode_lock::mark(&data.file, lock.identity).map_err(wrap)? {
            return Err(StoreError::OtherLock { path: path.to_owned() });
        }
        if !inode_lock::mark(&lock.file, data.identity).map_err(wrap)? {
            // Processes that had the file that was here before still use its lock file. They keep
            // it, and this file gets a new one.
            inode_lock::unmark(&data.file, lock.identity).map_err(wrap)?;
            fs::remove_file(&lock_path).map_err(wrap)?;
            lock = open_lock_file(&lock_path).map_err(wrap)?;
            let is_free = inode_lock::mark(&data.file, lock.identity).map_err(wrap)?
                && inode_lock::mark(&lock.file, data.identity).map_err(wrap)?;
            if !is_free {
                return Err(StoreError::OtherLock { path: path.to_owned() });
            }
        }
        Ok(Self { data, lock: Some(lock), writable: true })
    }

    fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let wrap = |source| StoreError::io(path, source);
        let data = File::open(path).and_then(BoundFile::new).map_err(wrap)?;
        match open_lock_file(&lock_path(path)) {
            Ok(lock) => {
                let is_free = inode_lock::mark(&data.file, lock.identity).map_err(wrap)?
                    && inode_lock::mark(&lock.file, data.identity).map_err(wrap)?;
                if is_free {
                    return Ok(Self { data, lock: Some(lock), writable: false });
                }
            }
            // LMDB reads without a lock on a read-only file system alone. A process elsewhere may
            // write there all the same, and marks the file then.
            Err(_) => {
                if data.keep_for_reading().map_err(wrap)? {
                    return Ok(Self { data, lock: None, writable: false });
                }
            }
        }
        Err(StoreError::OtherLock { path: path.to_owned() })
    }

    pub(super) fn is_writable(&self) -> bool {
        self.writable
    }

    /// Lets other processes open the gallery. What this one chose stays until it is dropped.
    pub(super) fn open_gate(&self) -> io::Result<()> {
        inode_lock::open_gate(&self.data.file)
    }

    /// Runs `work` while no other process is opening this data file.
    pub(super) fn while_gate_is_closed<R>(
        &self,
        work: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        inode_lock::close_gate(&self.data.file)?;
        let result = work();
        inode_lock::open_gate(&self.data.file)?;
        result
    }

    /// The metadata of the data file, whatever its name.
    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.data.file.metadata()
    }

    /// Whether the two files still have the names by which LMDB opened them.
    pub(super) fn are_still_at(&self, path: &Path) -> bool {
        self.data_is_still_at(path) && self.lock_is_still_at(path)
    }

    /// Whether the lock file beside the gallery at this path is still this one's.
    pub(super) fn lock_is_still_at(&self, path: &Path) -> bool {
        self.lock.as_ref().is_none_or(|lock| lock.is_at(&lock_path(path)))
    }

    /// Whether the gallery at this path is still this one.
    pub(super) fn data_is_still_at(&self, path: &Path) -> bool {
        self.data.is_at(path)
    }
}

/// Opens the lock file, and allocates it before LMDB maps it: a hole in it on a full disk would
/// end the process with SIGBUS.
fn open_lock_file(path: &Path) -> io::Result<BoundFile> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(MODE);
    let lock = options.open(path)?;
    match fallocate(&lock, FallocateFlags::empty(), 0, LOCK_BYTES) {
        Err(error @ (Errno::NOSPC | Errno::DQUOT)) => Err(error.into()),
        // Some file systems can't allocate ahead; they are used all the same.
        Ok(()) | Err(_) => BoundFile::new(lock),
    }
}

//! What LMDB's errors mean, in words for the person who has to mend the gallery.

use std::io;
use std::path::Path;

use heed::MdbError;
use rustix::process::{Resource, getrlimit};

use crate::store::error::StoreError;

/// Free space below which an I/O error is taken for a full disk, in bytes: LMDB reports a write
/// that a full disk cut short as an I/O error.
const NEARLY_FULL_BYTES: u64 = 64 << 20;

/// The system's number of "Input/output error".
const EIO: i32 = rustix::io::Errno::IO.raw_os_error();

/// Whether the file has reached the length up to which this process may write files.
fn is_at_file_limit(path: &Path) -> bool {
    let limit = getrlimit(Resource::Fsize).current;
    let length = std::fs::metadata(path).map_or(0, |file| file.len());
    // LMDB writes behind the present end, so the limit may be some megabytes ahead.
    limit.is_some_and(|limit| length.saturating_add(NEARLY_FULL_BYTES) > limit)
}

fn nearly_full(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(Path::new("/"));
    rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_bavail * disk.f_frsize < NEARLY_FULL_BYTES)
}

pub(super) fn lmdb_error(path: &Path, source: heed::Error) -> StoreError {
    match source {
        heed::Error::Io(source) if source.raw_os_error() == Some(EIO) && nearly_full(path) => {
            StoreError::DiskFull { path: path.to_owned() }
        }
        heed::Error::Io(source) if source.raw_os_error() == Some(EIO) && is_at_file_limit(path) => {
            StoreError::FileLimit { path: path.to_owned() }
        }
        heed::Error::Io(source) if source.kind() == io::ErrorKind::OutOfMemory => {
            StoreError::AddressSpace { path: path.to_owned() }
        }
        // LMDB asks for a lock at the offset of the process number when it first reads.
        heed::Error::Io(source) if source.kind() == io::ErrorKind::WouldBlock => {
            StoreError::SameProcessNumber { path: path.to_owned(), number: std::process::id() }
        }
        heed::Error::Io(source) => StoreError::io(path, source),
        heed::Error::Mdb(MdbError::Panic) => StoreError::Stuck { path: path.to_owned() },
        heed::Error::Mdb(MdbError::Invalid | MdbError::VersionMismatch) => {
            StoreError::NotAGallery {
                path: path.to_owned(),
                reason: "its first pages are damaged".into(),
            }
        }
        heed::Error::Mdb(MdbError::Corrupted | MdbError::PageNotFound | MdbError::Problem) => {
            StoreError::BadPages { path: path.to_owned(), source }
        }
        source => StoreError::Lmdb { path: path.to_owned(), source },
    }
}

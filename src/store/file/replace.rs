//! Lets a new file take a gallery's place, while nobody writes to the gallery or opens it.
//!
//! Whoever has the old file open sees that it has lost its name: a writer before it begins
//! (`OpenFile::begin`), a server at its next look. Both go on with the new one.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;
use std::thread::{self, ScopedJoinHandle};

use super::files::FilePair;
use crate::store::error::StoreError;

/// Renames `new`, which is whole and durable, to `path`, where the file of `old` is. The caller
/// holds LMDB's write lock of that.
pub(super) fn take_place(new: &Path, path: &Path, old: &FilePair) -> Result<(), StoreError> {
    let wrap = |source| StoreError::io(path, source);
    old.while_gate_is_closed(|| rename(new, path)).map_err(wrap)
}

/// Renames a file durably.
pub(super) fn rename(new: &Path, path: &Path) -> io::Result<()> {
    fs::rename(new, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// Runs `work` while another thread syncs the file, because the disk and the processor can be busy
/// at once. Both must succeed before the file takes a name.
///
/// # Errors
/// Those of the sync.
pub fn sync_while<R>(file: &File, work: impl FnOnce() -> R) -> io::Result<R> {
    thread::scope(|scope| {
        let syncing = thread::Builder::new().spawn_scoped(scope, || file.sync_all());
        let result = work();
        match syncing.map(ScopedJoinHandle::join) {
            Ok(Ok(synced)) => synced,
            // The system refused the thread.
            Err(_) | Ok(Err(_)) => file.sync_all(),
        }?;
        Ok(result)
    })
}

/// Gives a new file the owner and the rights of the one before, so that whoever could serve the
/// gallery at `path` still can.
pub(super) fn give_rights(new: &File, path: &Path, old: &Metadata) -> Result<(), StoreError> {
    let give = || {
        let made = new.metadata()?;
        if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
            fchown(new, Some(old.uid()), Some(old.gid()))?;
        }
        new.set_permissions(Permissions::from_mode(old.mode() & 0o777))
    };
    give().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::PermissionDenied => StoreError::NotOwner { path: path.to_owned(), source },
        _ => StoreError::io(path, source),
    })
}

/// Refuses to begin with a file of `needed` bytes for which the disk below `folder` has no room.
pub(super) fn check_space(path: &Path, needed: u64) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let disk = rustix::fs::statvfs(folder).map_err(|error| StoreError::io(folder, error.into()))?;
    let free = disk.f_bavail * disk.f_frsize;
    // A file system that does not know its size says that it has none.
    if disk.f_blocks > 0 && free < needed {
        return Err(StoreError::NoRoom { path: path.to_owned(), needed, free });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::open::Environment;
    use super::super::open_file::OpenFile;
    use super::*;
    use crate::store::tree::Access;

    /// It once went on with the lock file of the old one, or removed that of the new one.
    #[test]
    fn who_opens_a_gallery_while_it_is_replaced_gets_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, new) = (dir.path().join("gallery"), dir.path().join("new"));
        for gallery in [&path, &new] {
            drop(OpenFile::open(gallery, Access::Create, 0).unwrap());
        }
        let inode = fs::metadata(&new).unwrap().ino();
        let old = FilePair::open(&path, Access::Write).unwrap();
        old.open_gate().unwrap();
        thread::scope(|scope| {
            let opening = old.while_gate_is_closed(|| {
                let waiting = scope.spawn(|| FilePair::open(&path, Access::Write).err());
                let opening = scope.spawn(|| {
                    let opened = Environment::open(&path, Access::Write)?;
                    Ok(opened.files.metadata().unwrap().ino())
                });
                // Both have opened the old file by then, and wait for the gate.
                thread::sleep(Duration::from_millis(200));
                rename(&new, &path)?;
                Ok((waiting, opening))
            });
            let (waiting, opening) = opening.unwrap();
            let refused = waiting.join().unwrap();
            assert!(matches!(refused, Some(StoreError::Moved { .. })), "{refused:?}");
            let opened: Result<u64, StoreError> = opening.join().unwrap();
            assert_eq!(opened.unwrap(), inode);
        });
    }
}

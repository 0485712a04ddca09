//! Makes a gallery that is whole and durable before it has its name.
//!
//! A power cut while LMDB makes a file can leave one that is neither empty nor a gallery. So the
//! file is made in a folder of its own beside its place, and then renamed. Whatever happens
//! meanwhile, there is a gallery under the name or nothing. The folder is named and locked like
//! those that `cli/temporary.rs` cleans up after dead processes.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use tempfile::Builder;

use super::open::examine;
use crate::store::error::StoreError;
use crate::store::tree::Access;

/// Has `make` make a gallery at a path beside `path`, and gives it the name `path` unless another
/// process was faster. Returns whether it did.
///
/// # Errors
/// Those of `make`, and when the folder can't be written.
pub(in crate::store) fn publish_new(
    path: &Path,
    make: impl FnOnce(&Path) -> Result<(), StoreError>,
) -> Result<bool, StoreError> {
    let absolute = std::path::absolute(path).map_err(|source| StoreError::io(path, source))?;
    examine(&absolute, Access::Create)?;
    let wrap = |source| StoreError::io(&absolute, source);
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    let workshop = Builder::new().prefix(".imagepool-").suffix(".partial").tempdir_in(folder);
    let workshop = workshop.map_err(wrap)?;
    let held = File::open(workshop.path()).map_err(wrap)?;
    // A file system without locks is used all the same: only what is old is taken for a leftover.
    let _ = flock(&held, FlockOperation::LockExclusive);
    let made = workshop.path().join("gallery.pool");
    // A person knows nothing of the folder.
    make(&made).map_err(|error| error.at(&absolute))?;
    match give_new_name(&made, &absolute) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        named => named.map(|()| true).map_err(wrap),
    }
}

/// Renames a file durably to an absolute path, unless there is one already.
pub(super) fn give_new_name(made: &Path, path: &Path) -> io::Result<()> {
    match renameat_with(CWD, made, CWD, path, RenameFlags::NOREPLACE) {
        // Some file systems can't rename without replacing. A link never replaces anything.
        Err(Errno::INVAL | Errno::NOSYS) => fs::hard_link(made, path)?,
        renamed => renamed?,
    }
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `salvage` of more than ten minutes once lost its folder to any backup beside it.
    #[test]
    fn the_folder_is_locked_while_the_gallery_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gallery");
        let published = publish_new(&path, |made| {
            let folder = File::open(made.parent().unwrap()).unwrap();
            let locked = flock(&folder, FlockOperation::NonBlockingLockExclusive);
            assert_eq!(locked, Err(Errno::WOULDBLOCK));
            fs::write(made, "gallery").unwrap();
            Ok(())
        });
        assert!(published.unwrap());
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }
}

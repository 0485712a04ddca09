//! The place that a backup is to take: whatever is there now is looked at, and guarded until the
//! new file has its name.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use heed::types::Bytes;
use heed::{Env, WithoutTls};

use super::files::{BoundFile, MODE};
use super::lmdb_error::lmdb_error;
use super::map_fault;
use super::open::{Environment, examine, find_cut};
use super::publish::give_new_name;
use super::replace::{check_space, give_rights, rename, take_place};
use crate::store::error::StoreError;
use crate::store::tree::{Access, Tree};

/// A gallery's place, and the gallery that is there.
pub struct Place {
    path: PathBuf,
    found: Found,
    may_lose: bool,
}

enum Found {
    Nothing,
    Gallery(Environment),
    /// A file that LMDB can't open.
    Damaged,
}

impl Place {
    /// Looks at the place at `path`. With `may_lose` a gallery with images or keys, or one that is
    /// damaged, may be replaced. Its trees are not read then, because damage can end the process.
    ///
    /// # Errors
    /// When what is there must not be replaced, or can't be locked.
    pub fn look_at(path: &Path, may_lose: bool) -> Result<Self, StoreError> {
        // Through a link, the file that it leads to is replaced, not the link.
        let path = match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::path::absolute(path),
            resolved => resolved,
        }
        .map_err(|source| StoreError::io(path, source))?;
        let opened =
            examine(&path, Access::Write).and_then(|()| Environment::open(&path, Access::Write));
        let found = match opened {
            Ok(environment) => {
                map_fault::watch(&path);
                Found::Gallery(environment)
            }
            Err(StoreError::Missing { .. }) => {
                examine(&path, Access::Create)?;
                Found::Nothing
            }
            Err(error) if error.is_damage() && path.is_file() => {
                if !may_lose {
                    return Err(StoreError::Unopenable { source: Box::new(error) });
                }
                Found::Damaged
            }
            Err(error) => return Err(error),
        };
        let place = Self { path, found, may_lose };
        place.check_loss()?;
        Ok(place)
    }

    /// The folder in which a new file must be made, so that it can be renamed.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Copies a gallery's file as it lies to `copy`, durably. It is only read, and no process can
    /// open it for writing meanwhile. Returns its length in bytes.
    ///
    /// # Errors
    /// When a process has it open for writing, when it can't be read, or the copy not be written.
    pub fn copy_here(&self, backup: &Path, copy: &Path) -> Result<u64, StoreError> {
        let wrap = |source| StoreError::io(backup, source);
        examine(backup, Access::Read)?;
        let mut source = File::open(backup).and_then(BoundFile::new).map_err(wrap)?;
        if !source.keep_for_reading().map_err(wrap)? {
            return Err(StoreError::BeingUsed { path: backup.to_owned() });
        }
        check_space(&self.path, source.file.metadata().map_err(wrap)?.len())?;
        copy_file(&mut source.file, copy).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => StoreError::FileLimit { path: self.path.clone() },
            _ => StoreError::copy(error),
        })
    }

    /// Gives the file `new`, which is whole and durable, this place in one step. No process is in
    /// the middle of a commit to the gallery before then, where that can be locked.
    ///
    /// # Errors
    /// When something else is at the place by now, or the file can't be renamed.
    pub fn fill(self, new: &Path) -> Result<(), StoreError> {
        let path = &self.path;
        let wrap = |source| StoreError::io(path, source);
        if let Ok(old) = fs::metadata(path) {
            let new = File::open(new).map_err(wrap)?;
            give_rights(&new, path, &old)?;
            new.sync_all().map_err(wrap)?;
        }
        match &self.found {
            Found::Nothing if self.may_lose => rename(new, path).map_err(wrap),
            Found::Nothing => match give_new_name(new, path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    Err(StoreError::Moved { path: path.clone() })
                }
                named => named.map_err(wrap),
            },
            Found::Damaged => rename(new, path).map_err(wrap),
            Found::Gallery(Environment { env, files, .. }) => {
                let _lock = env.write_txn().map_err(|source| lmdb_error(path, source))?;
                if !files.data_is_still_at(path) {
                    return Err(StoreError::Moved { path: path.clone() });
                }
                // Images may have come since the first look.
                self.check_loss()?;
                take_place(new, path, files)
            }
        }
    }

    /// Refuses to lose images and keys that nobody said may go.
    fn check_loss(&self) -> Result<(), StoreError> {
        let Found::Gallery(Environment { env, .. }) = &self.found else { return Ok(()) };
        if self.may_lose {
            return Ok(());
        }
        let unopenable = |error| StoreError::Unopenable { source: Box::new(error) };
        find_cut(env, &self.path).map_err(unopenable)?;
        let counts = count(env).map_err(|source| unopenable(lmdb_error(&self.path, source)))?;
        match counts {
            Some((0, 0)) => Ok(()),
            Some((images, keys)) => {
                Err(StoreError::WouldBeLost { path: self.path.clone(), images, keys })
            }
            None => Err(unopenable(StoreError::foreign(&self.path))),
        }
    }
}

fn copy_file(source: &mut File, copy: &Path) -> io::Result<u64> {
    let mut target = OpenOptions::new().write(true).create_new(true).mode(MODE).open(copy)?;
    let bytes = io::copy(source, &mut target)?;
    target.sync_all()?;
    Ok(bytes)
}

/// Returns the numbers of images and keys; `None` for a file that is no gallery.
fn count(env: &Env<WithoutTls>) -> heed::Result<Option<(u64, u64)>> {
    let txn = env.read_txn()?;
    let mut counts = [0; 2];
    for (tree, count) in [Tree::Images, Tree::Keys].into_iter().zip(&mut counts) {
        match env.open_database::<Bytes, Bytes>(&txn, Some(tree.name()))? {
            Some(handle) => *count = handle.len(&txn)?,
            None => return Ok(None),
        }
    }
    Ok(Some((counts[0], counts[1])))
}

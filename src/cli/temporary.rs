//! Files that are written beside their target and then take its name, so that no half file ever
//! bears it.
//!
//! Their names can't be foreseen and are never opened through a link, so nobody who can write to
//! the folder can plant one. Each is locked while its process lives, and what a dead process left
//! is cleaned up by the next one.

use std::fs::{self, DirEntry, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use tempfile::{Builder, NamedTempFile, TempDir, TempPath};

use super::global::ExitReason;
use super::{output, signals};

/// How the names of our temporary files and folders begin and end.
const PREFIX: &str = ".imagepool-";
const SUFFIX: &str = ".partial";
/// Number of random characters in a name.
const RANDOM_CHARACTERS: usize = 16;
/// How long a leftover must have been left alone, because network file systems may not tell of
/// another machine's lock.
const LEFTOVER_AGE: Duration = Duration::from_secs(600);

/// Makes a file in a folder, with the rights `mode` but for those that the umask takes.
pub(super) fn file_in(folder: &Path, mode: u32) -> io::Result<NamedTempFile> {
    loop {
        let file = builder().permissions(Permissions::from_mode(mode)).tempfile_in(folder)?;
        if lock(file.as_file())? {
            return Ok(file);
        }
    }
}

/// A folder for a file that is not whole yet. It is removed when this is dropped, or when a signal
/// ends the process.
pub(super) struct Workshop {
    folder: TempDir,
    _lock: File,
}

impl Workshop {
    /// Makes a folder in `parent` that only its owner may enter.
    pub(super) fn new(parent: &Path) -> io::Result<Self> {
        let path = Arc::new(Mutex::new(None));
        // A system that refuses the thread leaves it to `remove_leftovers`.
        let _ = signals::end_with({
            let path = Arc::clone(&path);
            move || {
                // Whoever makes the folder is waited for, and can't go on.
                let mut path = path.lock().unwrap_or_else(PoisonError::into_inner);
                path.take().map(fs::remove_dir_all);
                output::complain("interrupted; the copy was thrown away unless it is in place");
                std::process::exit(ExitReason::Interrupted.code().into());
            }
        });
        let mut path = path.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let folder = builder().permissions(Permissions::from_mode(0o700)).tempdir_in(parent)?;
            let opened = File::open(folder.path())?;
            if lock(&opened)? {
                *path = Some(folder.path().to_owned());
                return Ok(Self { folder, _lock: opened });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes what dead processes of this user left in a folder. What can't be removed stays.
pub(super) fn remove_leftovers(folder: &Path) {
    for path in named_as_ours(folder) {
        let _ = remove_leftover(&path);
    }
}

/// Counts what dead processes of this user left in a folder.
pub(super) fn count_leftovers(folder: &Path) -> usize {
    named_as_ours(folder).filter(|path| matches!(find_leftover(path), Ok(Some(_)))).count()
}

fn named_as_ours(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let is_ours = |entry: &DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(PREFIX) && name.ends_with(SUFFIX)
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(is_ours).map(|entry| entry.path())
}

/// Durably gives a file in a folder of a [`Workshop`] its name beside that folder, which may be
/// another file's name with `replaces`.
pub(super) fn give_name(file: &Path, name: &Path, replaces: bool) -> io::Result<()> {
    let file = TempPath::try_from_path(file)?;
    let named = if replaces { file.persist(name) } else { file.persist_noclobber(name) };
    named.map_err(|failed| failed.error)?;
    sync_folder(folder_of(name))
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Returns the folder that a path lies in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn builder() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX).rand_bytes(RANDOM_CHARACTERS);
    builder
}

/// Locks a new file or folder. Returns `false` if another process took it for a leftover before.
fn lock(file: &File) -> io::Result<bool> {
    // A file system without locks is used all the same: what is in use there is never old.
    let _ = flock(file, FlockOperation::LockExclusive);
    Ok(file.metadata()?.nlink() > 0)
}

/// Opens and locks what a dead process of this user left at a path. Returns `None` for anything
/// else.
fn find_leftover(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    #[expect(clippy::cast_possible_wrap, reason = "flags are a set of bits")]
    let flags = flags.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    let is_old = metadata.modified()?.elapsed().is_ok_and(|age| age > LEFTOVER_AGE);
    if !is_ours || !is_old {
        return Ok(None);
    }
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(Some(file))
}

fn remove_leftover(path: &Path) -> io::Result<()> {
    let Some(held) = find_leftover(path)? else { return Ok(()) };
    let found = held.metadata()?;
    if found.is_dir() {
        fs::remove_dir_all(path)
    } else if found.is_file() {
        fs::remove_file(path)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use super::*;

    fn age(path: &Path) {
        let old = SystemTime::now() - 2 * LEFTOVER_AGE;
        File::open(path).unwrap().set_modified(old).unwrap();
    }

    #[test]
    fn only_old_leftovers_that_nobody_holds_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in [".imagepool-dead.partial", ".imagepool-young.partial", "notes.partial"] {
            fs::write(path(name), "x").unwrap();
        }
        fs::create_dir(path(".imagepool-folder.partial")).unwrap();
        fs::write(path(".imagepool-folder.partial/scratch"), "x").unwrap();
        symlink(path("notes.partial"), path(".imagepool-link.partial")).unwrap();
        let held = file_in(dir.path(), 0o600).unwrap();
        let held_folder = Workshop::new(dir.path()).unwrap();
        for name in [".imagepool-dead.partial", "notes.partial", ".imagepool-folder.partial"] {
            age(&path(name));
        }
        age(held.path());
        age(held_folder.path());
        remove_leftovers(dir.path());
        assert!(!path(".imagepool-dead.partial").exists());
        assert!(!path(".imagepool-folder.partial").exists());
        for kept in [".imagepool-young.partial", ".imagepool-link.partial", "notes.partial"] {
            assert!(path(kept).exists(), "{kept}");
        }
        assert!(held.path().exists() && held_folder.path().exists());
        assert_eq!(held.as_file().metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(held_folder.path()).unwrap().mode() & 0o777, 0o700);
    }
}

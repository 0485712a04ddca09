//! Opens files and folders beneath a given path, without following a link at any component.
//!
//! Whoever can write to a folder can swap a folder in it for a link between the walk and the
//! opening. So a path that the walk found is never opened as such.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// How a file is opened for reading. Without `NONBLOCK` a FIFO in its place would wait for a
/// writer.
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::NOFOLLOW);
/// How a folder is opened, for what is in it.
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);
/// Number from which a descriptor is not kept, so that a thousand given folders leave some for the
/// files.
const MAX_KEPT_DESCRIPTOR: RawFd = 256;

/// A path that was given to an import. Its own components may be links: whoever named it meant
/// their target.
#[derive(Debug)]
pub(super) struct ImportRoot {
    path: PathBuf,
    /// The folder at the path, opened once. `None` for what is no folder, and for a folder that
    /// would be one descriptor too many.
    folder: Option<OwnedFd>,
}

impl ImportRoot {
    pub(super) fn new(path: &Path) -> Self {
        let folder = openat(CWD, path, FOLDER | OFlags::CLOEXEC, Mode::empty()).ok();
        let folder = folder.filter(|folder| folder.as_raw_fd() < MAX_KEPT_DESCRIPTOR);
        Self { path: path.to_owned(), folder }
    }

    /// Opens a file that the walk found at `path`, for reading. `absolute` is the same path without
    /// links.
    ///
    /// Returns `None` if there is a link, a socket or a dead device by now. It may be anything else
    /// too: the caller must look at what is open before it reads.
    pub(super) fn open(&self, path: &Path, absolute: &Path) -> io::Result<Option<File>> {
        let (base, path) = self.locate(path, absolute);
        Ok(if_no_link(open_without_links(base, path, READ))?.map(File::from))
    }

    /// Opens the folder of a file that the walk found, or returns `None` if there is a link by now.
    pub(super) fn open_folder_of(
        &self,
        path: &Path,
        absolute: &Path,
    ) -> io::Result<Option<OwnedFd>> {
        let (base, path) = self.locate(path, absolute);
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if_no_link(open_without_links(base, folder, FOLDER))
    }

    /// Returns where to begin, and the path from there. What is not in a given folder is itself
    /// given, and its path without links is followed from the file system's root.
    fn locate<'p>(&'p self, path: &'p Path, absolute: &'p Path) -> (BorrowedFd<'p>, &'p Path) {
        match (&self.folder, path.strip_prefix(&self.path)) {
            (Some(folder), Ok(below)) if !below.as_os_str().is_empty() => (folder.as_fd(), below),
            _ => (CWD, absolute),
        }
    }
}

fn if_no_link(opened: Result<OwnedFd, Errno>) -> io::Result<Option<OwnedFd>> {
    match opened {
        Err(Errno::LOOP | Errno::NXIO) => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

fn open_without_links(base: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    if path.is_relative() {
        resolve |= ResolveFlags::BENEATH;
    }
    match openat2(base, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
        // Kernels before 5.6 lack the call, and filters of containers refuse it.
        Err(Errno::NOSYS | Errno::PERM) => open_step_by_step(base, path, flags),
        opened => opened,
    }
}

/// Does the same as `openat2`, with one call for each component.
fn open_step_by_step(base: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let always = OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut folder = openat(base, c".", FOLDER | always, Mode::empty())?;
    let mut components = path.components().peekable();
    while let Some(component) = components.next() {
        let flags = if components.peek().is_some() { FOLDER } else { flags };
        folder = match component {
            Component::RootDir => openat(CWD, c"/", FOLDER | always, Mode::empty())?,
            Component::CurDir => continue,
            Component::Normal(name) => openat(&folder, name, flags | always, Mode::empty())?,
            Component::ParentDir | Component::Prefix(_) => return Err(Errno::XDEV),
        };
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    type Open = fn(BorrowedFd<'_>, &Path, OFlags) -> Result<OwnedFd, Errno>;

    /// The ways to open a path, which must not differ.
    const WAYS: [(&str, Open); 2] =
        [("in one call", open_without_links), ("step by step", open_step_by_step)];

    #[test]
    fn a_link_is_followed_nowhere_on_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("given/a/b")).unwrap();
        fs::create_dir(root.join("elsewhere")).unwrap();
        fs::write(root.join("given/a/b/file"), "below").unwrap();
        fs::write(root.join("elsewhere/file"), "elsewhere").unwrap();
        symlink("../../elsewhere", root.join("given/a/link")).unwrap();
        symlink("b", root.join("given/a/inner")).unwrap();
        symlink("file", root.join("given/a/b/name")).unwrap();
        let given = openat(CWD, root.join("given"), FOLDER, Mode::empty()).unwrap();
        for (way, open) in WAYS {
            let mut text = String::new();
            let file = open(given.as_fd(), Path::new("a/b/file"), READ).unwrap();
            File::from(file).read_to_string(&mut text).unwrap();
            assert_eq!(text, "below", "{way}");
            for link in ["a/link/file", "a/inner/file", "a/b/name", "../elsewhere/file"] {
                assert!(open(given.as_fd(), Path::new(link), READ).is_err(), "{way}: {link}");
            }
            assert!(open(given.as_fd(), Path::new("a/link"), FOLDER).is_err(), "{way}");
            assert!(open(given.as_fd(), Path::new("."), FOLDER).is_ok(), "{way}");
            assert!(open(CWD, &root.join("elsewhere/file"), READ).is_ok(), "{way}");
            assert!(open(CWD, &root.join("given/a/link/file"), READ).is_err(), "{way}");
        }
    }
}

//! Which files there are below the given paths, and which tags their folders give them.
//!
//! Folders are walked in the order of their names. Symbolic links below a given path are not
//! followed, because they may point to any readable file. No file is opened before it is asked for,
//! and then through the folder that was given.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use walkdir::{DirEntry, WalkDir};

use super::beneath::ImportRoot;
use super::exclude::{ExcludeRules, Excluder};
use crate::image::parse_tag;

/// A regular file, which may be a picture.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
    /// The path below the imported folder, for people; not always exact UTF-8.
    pub(super) name: String,
    /// The absolute path, without links.
    pub(super) absolute: PathBuf,
    /// Tags from the folders between the imported folder and the file.
    pub(super) folder_tags: Vec<String>,
    pub(super) stamp: FileStamp,
    /// Whether the given path is a link to this file, which then is not below any given path.
    pub(super) is_link: bool,
    root: Arc<ImportRoot>,
}

impl SourceFile {
    /// Opens the file for reading. Returns `None` if it is not what the walk found any more.
    pub(super) fn open(&self) -> io::Result<Option<File>> {
        let Some(file) = self.root.open(&self.path, &self.absolute)? else { return Ok(None) };
        Ok(self.is_as_found(&file.metadata()?).then_some(file))
    }

    /// Opens the folder that the file lies in. Returns `None` if it is below a link by now.
    pub(super) fn open_folder(&self) -> io::Result<Option<OwnedFd>> {
        self.root.open_folder_of(&self.path, &self.absolute)
    }

    /// Whether this is the metadata of the file as the walk found it.
    pub(super) fn is_as_found(&self, metadata: &Metadata) -> bool {
        metadata.is_file() && FileStamp::of(metadata) == self.stamp
    }
}

/// Tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    pub(super) size_bytes: u64,
    pub(super) modified: Option<SystemTime>,
    inode: u64,
}

impl FileStamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            size_bytes: metadata.len(),
            modified: metadata.modified().ok(),
            inode: std::os::unix::fs::MetadataExt::ino(metadata),
        }
    }
}

/// What is said of a given path where nothing is.
pub const NO_SUCH_PATH: &str = "no such file or folder";

/// What is said of a symbolic link.
pub(super) const LINK: &str = "a symbolic link; links are not followed";

/// What a walk found at one path.
#[derive(Debug)]
pub(super) enum FoundEntry {
    Source(SourceFile),
    /// The file or folder is left out, with all that is in it.
    Excluded {
        path: PathBuf,
        absolute: PathBuf,
        reason: String,
    },
    /// A symbolic link below the given path.
    Link {
        path: PathBuf,
    },
    /// The entry is no regular file, so it is no picture.
    NotAFile {
        path: PathBuf,
        reason: &'static str,
    },
    Inaccessible {
        path: PathBuf,
        absolute: PathBuf,
        reason: String,
    },
}

impl FoundEntry {
    /// Length of the file, in bytes; 0 for what is no file.
    pub(super) fn size_bytes(&self) -> u64 {
        if let Self::Source(source) = self { source.stamp.size_bytes } else { 0 }
    }
}

/// Finds everything below `root`, which may be a single file, sorted by name.
pub(super) fn walk<'w>(
    root: &'w Path,
    rules: &'w ExcludeRules,
) -> impl Iterator<Item = FoundEntry> + 'w {
    Walk {
        root,
        canonical: root.canonicalize().unwrap_or_else(|_| root.to_owned()),
        // It is opened before the walk, so that both mean the same folder or nothing is opened.
        opened: Arc::new(ImportRoot::new(root)),
        entries: WalkDir::new(root).sort_by_file_name().into_iter(),
        excluder: Excluder::new(rules, root),
    }
}

struct Walk<'w> {
    root: &'w Path,
    /// The root's absolute path, without links.
    canonical: PathBuf,
    opened: Arc<ImportRoot>,
    entries: walkdir::IntoIter,
    excluder: Excluder<'w>,
}

impl Iterator for Walk<'_> {
    type Item = FoundEntry;

    fn next(&mut self) -> Option<FoundEntry> {
        loop {
            let found = match self.entries.next()? {
                Ok(entry) => self.examine(&entry),
                Err(error) => {
                    let path = error.path().unwrap_or(self.root).to_owned();
                    Some(match error.io_error() {
                        Some(error) => self.inaccessible(path, error),
                        None => self.inaccessible(path, &error.into()),
                    })
                }
            };
            if found.is_some() {
                return found;
            }
        }
    }
}

impl Walk<'_> {
    /// Classifies an entry, or returns `None` for a folder that the walk goes into.
    fn examine(&mut self, entry: &DirEntry) -> Option<FoundEntry> {
        let path = entry.path().to_owned();
        // The given path itself may be a link: whoever named it meant its target.
        let is_root = entry.depth() == 0;
        let is_link = is_root && entry.path_is_symlink();
        let file_type = if is_root {
            fs::metadata(&path).map(|metadata| metadata.file_type())
        } else {
            Ok(entry.file_type())
        };
        let file_type = match file_type {
            Ok(file_type) => file_type,
            Err(error) => return Some(self.inaccessible(path, &error)),
        };
        if let Some(reason) = self.excluder.reason(&path, file_type.is_dir()) {
            return Some(self.exclude(path, file_type.is_dir(), reason));
        }
        if file_type.is_dir() {
            return self.enter(path);
        }
        if file_type.is_symlink() {
            return Some(FoundEntry::Link { path });
        }
        if !file_type.is_file() {
            return Some(FoundEntry::NotAFile { path, reason: "not a regular file" });
        }
        let metadata = if is_root { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
        let stamp = match metadata {
            Ok(metadata) => FileStamp::of(&metadata),
            Err(error) => return Some(self.inaccessible(path, &error)),
        };
        let below = match path.strip_prefix(self.root) {
            Ok(below) if !below.as_os_str().is_empty() => below.to_owned(),
            _ => path.file_name().map(PathBuf::from).unwrap_or_default(),
        };
        let folder_tags = below.parent().map(folder_tags).unwrap_or_default();
        let name = below.to_string_lossy().into_owned();
        let absolute = self.absolute(&path);
        let root = Arc::clone(&self.opened);
        let source = SourceFile { path, name, absolute, folder_tags, stamp, is_link, root };
        Some(FoundEntry::Source(source))
    }

    /// Obeys what a folder says of itself, and returns the folder if the walk does not go into it.
    fn enter(&mut self, path: PathBuf) -> Option<FoundEntry> {
        let absolute = self.absolute(&path);
        let opened = &self.opened;
        let open = |name: &str| opened.open(&path.join(name), &absolute.join(name));
        match self.excluder.enter(&path, open) {
            Ok(None) => None,
            Ok(Some(reason)) => Some(self.exclude(path, true, reason)),
            Err(reason) => {
                self.entries.skip_current_dir();
                Some(FoundEntry::Inaccessible { path, absolute, reason })
            }
        }
    }

    fn exclude(&mut self, path: PathBuf, is_folder: bool, reason: String) -> FoundEntry {
        if is_folder {
            self.entries.skip_current_dir();
        }
        FoundEntry::Excluded { absolute: self.absolute(&path), path, reason }
    }

    fn inaccessible(&self, path: PathBuf, error: &io::Error) -> FoundEntry {
        let is_missing_root = path == self.root && error.kind() == io::ErrorKind::NotFound;
        let reason = if is_missing_root { NO_SUCH_PATH.to_owned() } else { error.to_string() };
        FoundEntry::Inaccessible { absolute: self.absolute(&path), path, reason }
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        absolute_path(self.root, &self.canonical, path)
    }
}

/// Replaces `root` by its canonical path at the beginning of `path`.
fn absolute_path(root: &Path, canonical: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix(root) {
        Ok(below) if !below.as_os_str().is_empty() => canonical.join(below),
        _ => canonical.to_owned(),
    }
}

/// Whether the name is one that programs write under before they rename the file, by the habits of
/// editors and browsers.
pub(super) fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let endings = [
        "~",
        ".tmp",
        ".temp",
        ".part",
        ".partial",
        ".crdownload",
        ".download",
        ".filepart",
        ".swp",
        ".swx",
    ];
    let beginnings = [".#", ".~", ".goutputstream-", ".fuse_hidden", ".nfs"];
    endings.iter().any(|ending| name.ends_with(ending))
        || beginnings.iter().any(|start| name.starts_with(start))
}

/// Makes a tag of each folder's name. What a tag may not begin with is cut off, and a name of
/// nothing else gives no tag.
fn folder_tags(folders: &Path) -> Vec<String> {
    let tag = |name: &OsStr| parse_tag(name.to_string_lossy().trim_start_matches(['+', '-'])).ok();
    folders.iter().filter_map(tag).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

    use super::*;

    /// Finds the only file below `root`.
    fn find(root: &Path) -> SourceFile {
        let source = |entry| match entry {
            FoundEntry::Source(source) => Some(source),
            _ => None,
        };
        walk(root, &ExcludeRules::new([], true)).find_map(source).unwrap()
    }

    #[test]
    fn what_is_put_in_a_files_place_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let replace = |make: &dyn Fn()| {
            let _ = fs::remove_file(&path);
            fs::write(&path, "found").unwrap();
            let found = [find(dir.path()), find(&path)];
            assert!(found.iter().all(|file| file.open().unwrap().is_some()));
            // The old file stays, or the new one might get its inode.
            fs::rename(&path, dir.path().join("old")).unwrap();
            make();
            assert!(found.iter().all(|file| file.open().unwrap().is_none()));
            fs::remove_file(dir.path().join("old")).unwrap();
        };
        replace(&|| fs::write(&path, "other").unwrap());
        replace(&|| symlink("old", &path).unwrap());
        let rights = Mode::from_raw_mode(0o600);
        // Without `NONBLOCK` this would wait for a writer for ever.
        replace(&|| mknodat(CWD, &path, FileType::Fifo, rights, 0).unwrap());
        replace(&|| mknodat(CWD, &path, FileType::Socket, rights, 0).unwrap());
        if rustix::process::geteuid().is_root() {
            let zero = makedev(1, 5);
            replace(&|| {
                // A container may forbid devices.
                if mknodat(CWD, &path, FileType::CharacterDevice, rights, zero).is_err() {
                    symlink("/dev/zero", &path).unwrap();
                }
            });
        }
    }

    #[test]
    fn a_folder_that_became_a_link_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("given");
        fs::create_dir_all(root.join("folder")).unwrap();
        fs::write(root.join("folder/file"), "found").unwrap();
        let found = [find(&root), find(&root.join("folder")), find(&root.join("folder/file"))];
        fs::rename(root.join("folder"), dir.path().join("elsewhere")).unwrap();
        symlink("../elsewhere", root.join("folder")).unwrap();
        // It is the very file that was found, but not where it was found.
        assert!(found[0].open().unwrap().is_none() && found[0].open_folder().unwrap().is_none());
        assert!(found[2].open().unwrap().is_none() && found[2].open_folder().unwrap().is_none());
        // The folder itself was given, and is still open.
        assert!(found[1].open().unwrap().is_some());
    }

    #[test]
    fn folders_become_tags_unless_they_can_not() {
        assert_eq!(
            folder_tags(Path::new("summer/-old-/+/a\nb/Beach 2024")),
            ["summer", "old-", "Beach 2024"]
        );
    }
}

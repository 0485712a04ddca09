//! Which files there are below the given paths, and which tags their folders give them.
//!
//! Folders are walked in the order of their names. Symbolic links below a given path are not
//! followed, because they may point to any readable file. Nothing is opened here.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use walkdir::{DirEntry, WalkDir};

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

/// What a walk found at one path.
#[derive(Debug)]
pub(super) enum FoundEntry {
    Source(SourceFile),
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
pub(super) fn walk(root: &Path) -> impl Iterator<Item = FoundEntry> + '_ {
    let canonical = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    WalkDir::new(root).sort_by_file_name().into_iter().filter_map(move |entry| match entry {
        Ok(entry) => examine(root, &canonical, &entry),
        Err(error) => {
            let path = error.path().unwrap_or(root).to_owned();
            let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
            let absolute = absolute_path(root, &canonical, &path);
            Some(FoundEntry::Inaccessible { path, absolute, reason })
        }
    })
}

/// Classifies an entry, or returns `None` for a folder.
fn examine(root: &Path, canonical: &Path, entry: &DirEntry) -> Option<FoundEntry> {
    let path = entry.path().to_owned();
    let absolute = absolute_path(root, canonical, &path);
    // The given path itself may be a link: whoever named it meant its target.
    let is_root = entry.depth() == 0;
    let is_link = is_root && entry.path_is_symlink();
    let file_type = if is_root {
        std::fs::metadata(&path).map(|metadata| metadata.file_type())
    } else {
        Ok(entry.file_type())
    };
    let file_type = match file_type {
        Ok(file_type) if file_type.is_dir() => return None,
        Ok(file_type) => file_type,
        Err(error) => {
            return Some(FoundEntry::Inaccessible { path, absolute, reason: error.to_string() });
        }
    };
    if file_type.is_symlink() {
        let reason = "a symbolic link; links are not followed";
        return Some(FoundEntry::NotAFile { path, reason });
    }
    if !file_type.is_file() {
        return Some(FoundEntry::NotAFile { path, reason: "not a regular file" });
    }
    let stamp = match std::fs::metadata(&path) {
        Ok(metadata) => FileStamp::of(&metadata),
        Err(error) => {
            return Some(FoundEntry::Inaccessible { path, absolute, reason: error.to_string() });
        }
    };
    let below = match path.strip_prefix(root) {
        Ok(below) if !below.as_os_str().is_empty() => below.to_owned(),
        _ => path.file_name().map(PathBuf::from).unwrap_or_default(),
    };
    let folder_tags = below.parent().map(folder_tags).unwrap_or_default();
    let name = below.to_string_lossy().into_owned();
    Some(FoundEntry::Source(SourceFile { path, name, absolute, folder_tags, stamp, is_link }))
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
    use super::*;

    #[test]
    fn folders_become_tags_unless_they_can_not() {
        assert_eq!(
            folder_tags(Path::new("summer/-old-/+/a\nb/Beach 2024")),
            ["summer", "old-", "Beach 2024"]
        );
    }
}

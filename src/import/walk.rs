//! Which files an import looks at, and which tags their folders give them.
//!
//! Folders are walked in the order of their names. Symbolic links below a given path are not followed: what they
//! point to may be any readable file. Nothing is opened here.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use walkdir::{DirEntry, WalkDir};

use crate::image::parse_tag;

/// A file to look at.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
    /// The path below the imported folder, for people; not always exact UTF-8.
    pub(super) name: String,
    /// Where it is, absolute and without links.
    pub(super) absolute: PathBuf,
    /// From the folders between the imported folder and the file.
    pub(super) folder_tags: Vec<String>,
    pub(super) stamp: FileStamp,
    /// Reached by a link that was named itself, so not below any given path.
    pub(super) linked: bool,
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

/// What a walk met.
#[derive(Debug)]
pub(super) enum FoundEntry {
    Source(SourceFile),
    /// No regular file, so no picture.
    Skipped {
        path: PathBuf,
        reason: &'static str,
    },
    /// Not accessible.
    Failed {
        path: PathBuf,
        absolute: PathBuf,
        reason: String,
    },
}

/// Everything below `root`, which may be a single file, sorted by name.
pub(super) fn walk(root: &Path) -> impl Iterator<Item = FoundEntry> + '_ {
    let canonical = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    WalkDir::new(root).sort_by_file_name().into_iter().filter_map(move |entry| match entry {
        Ok(entry) => meet(root, &canonical, &entry),
        Err(error) => {
            let path = error.path().unwrap_or(root).to_owned();
            let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
            Some(FoundEntry::Failed { absolute: absolute(root, &canonical, &path), path, reason })
        }
    })
}

fn meet(root: &Path, canonical: &Path, entry: &DirEntry) -> Option<FoundEntry> {
    let path = entry.path().to_owned();
    let absolute = absolute(root, canonical, &path);
    // The given path itself may be a link: its owner named it.
    let named = entry.depth() == 0;
    let linked = named && entry.path_is_symlink();
    let kind = if named {
        std::fs::metadata(&path).map(|metadata| metadata.file_type())
    } else {
        Ok(entry.file_type())
    };
    let kind = match kind {
        Ok(kind) if kind.is_dir() => return None,
        Ok(kind) => kind,
        Err(error) => {
            return Some(FoundEntry::Failed { path, absolute, reason: error.to_string() });
        }
    };
    if kind.is_symlink() {
        return Some(FoundEntry::Skipped {
            path,
            reason: "a symbolic link; links are not followed",
        });
    }
    if !kind.is_file() {
        return Some(FoundEntry::Skipped { path, reason: "not a regular file" });
    }
    let stamp = match std::fs::metadata(&path) {
        Ok(metadata) => FileStamp::of(&metadata),
        Err(error) => {
            return Some(FoundEntry::Failed { path, absolute, reason: error.to_string() });
        }
    };
    let below = match path.strip_prefix(root) {
        Ok(below) if !below.as_os_str().is_empty() => below.to_owned(),
        _ => path.file_name().map(PathBuf::from).unwrap_or_default(),
    };
    let folder_tags = below.parent().map(folder_tags).unwrap_or_default();
    let name = below.to_string_lossy().into_owned();
    Some(FoundEntry::Source(SourceFile { path, name, absolute, folder_tags, stamp, linked }))
}

/// The same path, without links.
fn absolute(root: &Path, canonical: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix(root) {
        Ok(below) if !below.as_os_str().is_empty() => canonical.join(below),
        _ => canonical.to_owned(),
    }
}

/// Whether a program writes under this name before it renames what it wrote; by the habits of editors and browsers.
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

/// Each folder's name as a tag; what a tag may not begin with is cut, and a name of nothing else gives none.
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

//! Which files an import looks at, and which tags their folders give them.
//!
//! Folders are walked in the order of their names. Symbolic links below a given path are not followed: what they
//! point to may be any readable file. Nothing is opened here.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::image::parse_tag;

/// A file to look at.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// The path below the imported folder, for people; not always exact UTF-8.
    pub(super) name: String,
    /// From the folders between the imported folder and the file.
    pub(super) folder_tags: Vec<String>,
    pub(super) size_bytes: u64,
}

/// What a walk met.
#[derive(Debug)]
pub(super) enum Met {
    Source(Source),
    /// No regular file, so no picture.
    Skipped {
        path: PathBuf,
        reason: &'static str,
    },
    /// Not accessible.
    Failed {
        path: PathBuf,
        reason: String,
    },
}

/// Everything below `root`, which may be a single file, sorted by name.
pub(super) fn walk(root: &Path) -> impl Iterator<Item = Met> + '_ {
    WalkDir::new(root).sort_by_file_name().into_iter().filter_map(move |entry| match entry {
        Ok(entry) => meet(root, &entry),
        Err(error) => {
            let path = error.path().unwrap_or(root).to_owned();
            let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
            Some(Met::Failed { path, reason })
        }
    })
}

fn meet(root: &Path, entry: &DirEntry) -> Option<Met> {
    let path = entry.path().to_owned();
    // The given path itself may be a link: its owner named it.
    let kind = if entry.depth() == 0 {
        match std::fs::metadata(&path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) => return Some(Met::Failed { path, reason: error.to_string() }),
        }
    } else {
        entry.file_type()
    };
    if kind.is_dir() {
        return None;
    }
    if kind.is_symlink() {
        return Some(Met::Skipped { path, reason: "a symbolic link; links are not followed" });
    }
    if !kind.is_file() {
        return Some(Met::Skipped { path, reason: "not a regular file" });
    }
    let size_bytes = match std::fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) => return Some(Met::Failed { path, reason: error.to_string() }),
    };
    let below = match path.strip_prefix(root) {
        Ok(below) if !below.as_os_str().is_empty() => below.to_owned(),
        _ => path.file_name().map(PathBuf::from).unwrap_or_default(),
    };
    let folder_tags = below.parent().map(folder_tags).unwrap_or_default();
    Some(Met::Source(Source { name: below.to_string_lossy().into_owned(), folder_tags, size_bytes, path }))
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

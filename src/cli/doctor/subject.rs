//! The place that is looked at.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::store::Locator;

/// Length of a block in which the system counts what a file takes, in bytes.
const BLOCK_BYTES: u64 = 512;

/// A gallery's place.
pub(super) struct Subject {
    pub(super) locator: Locator,
    /// The data file or directory, where links lead.
    pub(super) path: PathBuf,
    /// The folder that files of the gallery are made in.
    pub(super) folder: PathBuf,
    /// Of the data file or directory; `None` if there is none.
    pub(super) metadata: Option<Metadata>,
    /// What the gallery takes on disk, in bytes.
    pub(super) bytes: u64,
}

impl Subject {
    pub(super) fn new(locator: Locator) -> Self {
        let given = locator.path();
        let path = given
            .canonicalize()
            .or_else(|_| std::path::absolute(given))
            .unwrap_or_else(|_| given.to_owned());
        let metadata = fs::metadata(&path).ok();
        let is_folder = metadata.as_ref().is_some_and(Metadata::is_dir);
        let folder = match path.parent() {
            Some(parent) if !is_folder => parent.to_owned(),
            _ => path.clone(),
        };
        let bytes = bytes_of(&path);
        Self { locator, path, folder, metadata, bytes }
    }
}

/// What a file takes on disk, or all files in a folder, in bytes.
fn bytes_of(path: &Path) -> u64 {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            // sled keeps its large values in a folder of their own.
            entries.map(|entry| bytes_of(&entry.path())).sum()
        }
        Ok(found) => found.blocks() * BLOCK_BYTES,
        Err(_) => 0,
    }
}

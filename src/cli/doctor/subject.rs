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
        let bytes = match &locator {
            Locator::File(_) => metadata.as_ref().filter(|_| !is_folder).map_or(0, bytes_of),
            Locator::Sled(_) => bytes_of_sled(&path),
        };
        Self { locator, path, folder, metadata, bytes }
    }
}

/// What a file takes on disk, in bytes.
fn bytes_of(file: &Metadata) -> u64 {
    file.blocks() * BLOCK_BYTES
}

/// What a sled directory takes on disk, in bytes: its files, and those in the folder of its large
/// values. Nothing else is looked at, whatever lies there.
fn bytes_of_sled(dir: &Path) -> u64 {
    let entries_of = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    entries_of(dir)
        .chain(entries_of(&dir.join("blobs")))
        .filter_map(|entry| entry.metadata().ok())
        .filter(Metadata::is_file)
        .map(|file| bytes_of(&file))
        .sum()
}

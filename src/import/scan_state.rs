//! What an import found in each file, for the next import of the same folders and for `--prune`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::walk::FileStamp;
use crate::store::Origin;

/// The files that an import saw, by their absolute path.
#[derive(Debug, Default)]
pub struct ScanState(HashMap<PathBuf, ScannedFile>);

#[derive(Clone, Copy, Debug)]
pub(super) struct ScannedFile {
    /// The file's state when it was read; `None` if the next import must look at it again.
    pub(super) stamp: Option<FileStamp>,
    pub(super) content: FileContent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileContent {
    /// A picture with this hash, whose image is in the gallery.
    Picture([u8; 32]),
    NotAPicture,
    /// The file could not be read or converted, so it may hold what it held before.
    Unknown,
}

impl ScanState {
    /// Returns what is known of a file, if it is still as `stamp` says.
    pub(super) fn unchanged(&self, path: &Path, stamp: FileStamp) -> Option<ScannedFile> {
        self.0.get(path).filter(|scanned| scanned.stamp == Some(stamp)).copied()
    }

    pub(super) fn insert(&mut self, path: PathBuf, stamp: Option<FileStamp>, content: FileContent) {
        self.0.insert(path, ScannedFile { stamp, content });
    }

    /// Whether there is a single file at `folder` or below it.
    pub(super) fn has_files_below(&self, folder: &Path) -> bool {
        self.0.keys().any(|path| path.starts_with(folder))
    }

    /// Whether a file still holds the picture of `origin`, as far as anyone can know.
    pub(super) fn may_hold(&self, origin: &Origin) -> bool {
        if let Some(scanned) = self.0.get(&origin.path) {
            return match scanned.content {
                FileContent::Picture(hash) => hash == origin.source_hash,
                FileContent::NotAPicture => false,
                FileContent::Unknown => true,
            };
        }
        // The file may be below a folder that could not be read.
        let is_unknown = |folder: &Path| {
            self.0.get(folder).is_some_and(|scanned| scanned.content == FileContent::Unknown)
        };
        origin.path.ancestors().any(is_unknown)
    }
}

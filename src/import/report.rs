//! What an import says of each file, and its sums.

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::image::{ImageId, ImageRecord};

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileStatus {
    /// It is in the gallery now.
    Imported,
    /// It was imported before.
    AlreadyPresent,
    /// Its image is in the gallery, from another file.
    Duplicate,
    NotImage,
    Failed,
    /// Its image was removed, because the file is gone.
    Removed,
}

impl FileStatus {
    /// As it stands in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::AlreadyPresent => "already_present",
            Self::Duplicate => "duplicate",
            Self::NotImage => "not_image",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }
}

impl Serialize for FileStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One file's line in the report.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    pub status: FileStatus,
    pub id: Option<ImageId>,
    /// Pixels, of the stored image.
    pub width: Option<u32>,
    /// Pixels, of the stored image.
    pub height: Option<u32>,
    /// Of the source.
    pub format: Option<String>,
    /// Length of the source.
    pub bytes_in: u64,
    /// Length of the stored image.
    pub bytes_out: Option<u64>,
    /// Why it was not imported.
    pub reason: Option<String>,
    pub notes: Vec<String>,
}

impl FileReport {
    /// Of a file that will be imported unless something else is found.
    pub(super) fn blank(path: PathBuf) -> Self {
        Self {
            path,
            status: FileStatus::Imported,
            id: None,
            width: None,
            height: None,
            format: None,
            bytes_in: 0,
            bytes_out: None,
            reason: None,
            notes: Vec::new(),
        }
    }

    pub(super) fn refused(path: PathBuf, status: FileStatus, reason: impl Into<String>) -> Self {
        Self { status, reason: Some(reason.into()), ..Self::blank(path) }
    }

    pub(super) fn describe(&mut self, record: &ImageRecord) {
        self.width = Some(record.width);
        self.height = Some(record.height);
        self.format = Some(record.source_format.clone());
        self.bytes_out = Some(record.size_bytes);
    }
}

fn lossy<S: Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// The sums of an import.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImportSummary {
    pub imported: u64,
    pub already_present: u64,
    pub duplicates: u64,
    pub not_images: u64,
    pub failed: u64,
    /// Images removed because their source is gone.
    pub removed: u64,
    /// Length of the sources of all imported images.
    pub bytes_in: u64,
    /// Length of all imported images.
    pub bytes_out: u64,
    pub seconds: f64,
    /// Whether it was stopped before it had seen every file.
    #[serde(skip)]
    pub interrupted: bool,
    /// Folders without a single file, for which `--prune` removed nothing.
    #[serde(skip)]
    pub not_pruned: Vec<PathBuf>,
    /// Files that were written too recently to be looked at, see [`super::ImportOptions::settle`].
    #[serde(skip)]
    pub unsettled: u64,
}

impl ImportSummary {
    pub(super) fn count(&mut self, report: &FileReport) {
        match report.status {
            FileStatus::Imported => {
                self.imported += 1;
                self.bytes_in += report.bytes_in;
                self.bytes_out += report.bytes_out.unwrap_or(0);
            }
            FileStatus::AlreadyPresent => self.already_present += 1,
            FileStatus::Duplicate => self.duplicates += 1,
            FileStatus::NotImage => self.not_images += 1,
            FileStatus::Failed => self.failed += 1,
            FileStatus::Removed => self.removed += 1,
        }
    }
}

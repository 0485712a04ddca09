//! What an import says of each file and of the whole, and who hears it.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::image::{ImageId, ImageRecord};
use crate::store::StoreError;

/// Follows an import, on the calling thread.
pub trait Observer {
    /// Called before the first file, with the number of files and the sum of their bytes.
    fn planned(&mut self, files: u64, bytes: u64);

    /// Called after each file, once what `report` says is true and durable.
    ///
    /// # Errors
    /// When the observer can't keep the report; the import ends.
    fn file_done(&mut self, report: &FileReport) -> io::Result<()>;
}

/// Why an import ended early; what was reported before is in the gallery.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the report can't be written: {0}")]
    Report(#[source] io::Error),
    #[error(
        "the import's threads can't be started: {0}; \
         give fewer --jobs, or raise the limit of processes and threads (`ulimit -u`)"
    )]
    NoThread(#[source] io::Error),
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileStatus {
    /// The file was converted and is in the gallery now.
    Imported,
    /// The file was imported before.
    AlreadyPresent,
    /// The file's image is in the gallery already, from another file.
    Duplicate,
    /// The file was imported before under other settings, and its new image took the place of the
    /// old one.
    Replaced,
    /// A person removed the file's image, so it is left out.
    RemovedBefore,
    /// The file was imported before, but its stored image was damaged and is stored anew.
    Mended,
    NotImage,
    /// The file, or the folder with all that is in it, was left out.
    Excluded,
    Failed,
    /// The file is gone or left out now, so its image was removed.
    Removed,
}

impl FileStatus {
    /// The name that stands in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::AlreadyPresent => "already_present",
            Self::Duplicate => "duplicate",
            Self::Replaced => "replaced",
            Self::RemovedBefore => "removed_before",
            Self::Mended => "mended",
            Self::NotImage => "not_image",
            Self::Excluded => "excluded",
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
    /// Width of the stored image, in pixels.
    pub width: Option<u32>,
    /// Height of the stored image, in pixels.
    pub height: Option<u32>,
    /// Format of the source, such as `JPEG`.
    pub format: Option<String>,
    /// Length of the source, in bytes.
    pub bytes_in: u64,
    /// Length of the stored image, in bytes.
    pub bytes_out: Option<u64>,
    /// Why the file was not imported.
    pub reason: Option<String>,
    pub notes: Vec<String>,
}

impl FileReport {
    /// Starts the report of a file that will be imported unless something else is found.
    pub(super) fn new(path: PathBuf) -> Self {
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

    /// Makes the report of a file that is not imported.
    pub(super) fn refused(path: PathBuf, status: FileStatus, reason: impl Into<String>) -> Self {
        Self { status, reason: Some(reason.into()), ..Self::new(path) }
    }

    /// Fills in what the image's record says.
    pub(super) fn describe(&mut self, record: &ImageRecord) {
        self.width = Some(record.width);
        self.height = Some(record.height);
        self.format = Some(record.source_format.clone());
        self.bytes_out = Some(record.size_bytes);
    }
}

fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// The sums of an import.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImportSummary {
    pub imported: u64,
    pub already_present: u64,
    pub duplicates: u64,
    /// Number of images that took the place of one under other settings.
    pub replaced: u64,
    /// Number of files left out because a person removed their images.
    pub removed_before: u64,
    /// Number of images that were damaged and are stored anew.
    pub mended: u64,
    pub not_images: u64,
    /// Number of files and folders left out.
    pub excluded: u64,
    pub failed: u64,
    /// Number of images removed because their source is gone.
    pub removed: u64,
    /// Number of files deleted by `--delete-originals`.
    pub originals_deleted: u64,
    /// Number of files that `--delete-originals` kept though their images are stored; a note says
    /// why.
    pub originals_kept: u64,
    /// Number of symbolic links below the given paths, which are not followed.
    pub links: u64,
    /// Length of the sources of all imported and replaced images, in bytes.
    pub bytes_in: u64,
    /// Length of all imported and replaced images, in bytes.
    pub bytes_out: u64,
    pub seconds: f64,
    /// Whether the import was stopped before it had seen every file.
    #[serde(skip)]
    pub interrupted: bool,
    /// Given paths below which there is nothing at all.
    #[serde(skip)]
    pub empty: Vec<PathBuf>,
    /// Folders without a single picture, for which `--prune` removed nothing.
    #[serde(skip)]
    pub not_pruned: Vec<PathBuf>,
    /// Number of files that were written too recently to be looked at; see `settle_time` in
    /// `options.rs`.
    #[serde(skip)]
    pub unsettled: u64,
}

impl ImportSummary {
    /// Number of files that hold pictures, whatever became of them.
    #[must_use]
    pub fn pictures(&self) -> u64 {
        self.imported
            + self.already_present
            + self.duplicates
            + self.replaced
            + self.removed_before
            + self.mended
            + self.failed
    }

    pub(super) fn count(&mut self, report: &FileReport) {
        match report.status {
            FileStatus::Imported => {
                self.imported += 1;
                self.count_bytes(report);
            }
            FileStatus::Replaced => {
                self.replaced += 1;
                self.count_bytes(report);
            }
            FileStatus::RemovedBefore => self.removed_before += 1,
            FileStatus::AlreadyPresent => self.already_present += 1,
            FileStatus::Duplicate => self.duplicates += 1,
            FileStatus::Mended => self.mended += 1,
            FileStatus::NotImage => self.not_images += 1,
            FileStatus::Excluded => self.excluded += 1,
            FileStatus::Failed => self.failed += 1,
            FileStatus::Removed => self.removed += 1,
        }
    }

    fn count_bytes(&mut self, report: &FileReport) {
        self.bytes_in += report.bytes_in;
        self.bytes_out += report.bytes_out.unwrap_or(0);
    }
}

//! What workers hand to the committer: one [`WorkResult`] for each entry that the walk found.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use super::budget::MemoryPermit;
use super::options::ImportOptions;
use super::report::{FileReport, FileStatus};
use super::walk::SourceFile;
use crate::codec::{CodecError, SourceMetadata};
use crate::image::{ImageId, ImageRecord};
use crate::store::{Addition, Origin, SourceKey, StoreError};

/// What a worker made of an entry.
pub(super) enum WorkResult {
    /// The entry is not imported and was not read whole; `source` is `None` for what is no file.
    Refused { report: FileReport, source: Option<SourceFile> },
    /// The file may be a picture, but decoders that were given up left nothing to convert it with.
    /// The next round of a watch looks at it again.
    Postponed { report: FileReport, source: SourceFile },
    /// The file was read, and nothing is to be stored.
    Settled(FileOutcome),
    /// The outcome becomes true when the addition is committed.
    Pending { outcome: FileOutcome, addition: Addition, permit: MemoryPermit },
    /// As `Pending`, in the place of the image `damaged`, which is in the gallery but not whole.
    Mended { outcome: FileOutcome, addition: Addition, permit: MemoryPermit, damaged: ImageId },
    /// An earlier file of this import has the same bytes, and must be settled first.
    Repeated { outcome: FileOutcome, key: SourceKey },
    /// The gallery itself failed.
    Broken(StoreError),
}

/// Refuses a file that was not read whole.
pub(super) fn refuse_unread(file: SourceFile, status: FileStatus, reason: String) -> WorkResult {
    let bytes_in = file.stamp.size_bytes;
    let report = FileReport { bytes_in, ..FileReport::refused(file.path.clone(), status, reason) };
    WorkResult::Refused { report, source: Some(file) }
}

/// A source that was read whole.
pub(super) struct ReadSource {
    pub(super) file: SourceFile,
    /// BLAKE3 of the file.
    pub(super) hash: [u8; 32],
    /// Why the file must not be deleted.
    pub(super) keep_reason: Option<&'static str>,
    /// What the file says of itself.
    pub(super) metadata: SourceMetadata,
}

impl ReadSource {
    /// The origin to store with the image.
    ///
    /// A file that is going to be deleted gets an origin without a path, which lasts,
    /// unless there is a reason to keep the file.
    pub(super) fn origin(&self, options: &ImportOptions) -> Origin {
        let path = if options.delete_originals && self.keep_reason.is_none() {
            PathBuf::new()
        } else {
            self.file.absolute.clone()
        };
        let mut folder_tags = Vec::new();
        if options.folder_tags {
            folder_tags.clone_from(&self.file.folder_tags);
        }
        if options.metadata_tags {
            folder_tags.extend_from_slice(&self.metadata.keywords);
        }
        folder_tags.sort_unstable();
        folder_tags.dedup();
        Origin { path, source_hash: self.hash, folder_tags }
    }
}

/// A source that was read, and what is to be said of it.
pub(super) struct FileOutcome {
    pub(super) report: FileReport,
    pub(super) source: ReadSource,
}

impl FileOutcome {
    /// Takes over what a conversion says of the picture. One that its image does not show whole is
    /// never deleted.
    pub(super) fn note_parts(&mut self, partial: bool, notes: Vec<String>) {
        self.source.keep_reason = partial.then_some("the image does not show all of it");
        self.report.notes.extend(notes);
    }

    /// Leaves the file out because a person removed its image. Such a file is never deleted.
    pub(super) fn leave_removed(mut self, id: ImageId) -> Self {
        self.report.status = FileStatus::RemovedBefore;
        self.report.id = Some(id);
        self.report.bytes_out = None;
        self
    }

    /// Skips the file because image `id` looks like it. Such a file is never deleted.
    pub(super) fn skip_as_similar(mut self, id: ImageId, record: &ImageRecord) -> Self {
        self.report.describe(record);
        self.report.status = FileStatus::AlreadyPresent;
        self.report.id = Some(id);
        self.report.notes.push(format!("left out: it looks like {id}"));
        self.source.keep_reason = Some(SKIPPED);
        self
    }
}

/// Why a file that was skipped for a similar image is not deleted.
pub(super) const SKIPPED: &str = "it was left out";

/// The key under which the gallery remembers that a source was skipped for a similar image: each
/// byte of the settings hash inverted.
pub(super) fn skipped_key(source_hash: &[u8; 32], settings_hash: [u8; 8]) -> SourceKey {
    SourceKey::new(source_hash, settings_hash.map(|byte| !byte))
}

/// Says that an image was damaged and is stored anew.
pub(super) fn mended_note(problem: &str) -> String {
    format!("its stored image was damaged and is stored anew: {problem}")
}

/// Longest reason that is given for a file, in bytes.
const MAX_REASON_BYTES: usize = 1_000;

/// Returns an error in words. What is too long is cut off, because a decoder may quote megabytes of
/// the file.
pub(super) fn reason_of(error: &CodecError) -> String {
    struct Start(String);
    impl fmt::Write for Start {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let left = MAX_REASON_BYTES.saturating_sub(self.0.len());
            let end = text.floor_char_boundary(left);
            self.0.push_str(&text[..end]);
            if end == text.len() { Ok(()) } else { Err(fmt::Error) }
        }
    }
    let mut start = Start(String::new());
    if write!(start, "{error}").is_err() {
        start.0.push_str(" ...");
    }
    start.0
}

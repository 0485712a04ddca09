//! A file that was read, between the steps that a worker takes with it.

use super::budget::MemoryPermit;
use super::options::ImportOptions;
use super::outcome::{FileOutcome, ReadSource, WorkResult, reason_of};
use super::report::FileStatus;
use crate::codec::{CodecError, Converted};
use crate::image::{self, ImageId, ImageRecord};
use crate::store::{Addition, SourceKey};

/// A file that was read, on its way through a worker.
pub(super) struct Work<'i> {
    pub(super) outcome: FileOutcome,
    pub(super) permit: MemoryPermit,
    pub(super) key: SourceKey,
    pub(super) options: &'i ImportOptions,
}

impl Work<'_> {
    /// Whether an image is going to get a tag that it does not have.
    pub(super) fn has_new_tag(&self, record: &ImageRecord) -> bool {
        let is_new = |tag: &String| !record.tags.contains(tag);
        let origin = self.outcome.source.origin(self.options);
        let is_wanted = |tag: &&String| !record.refused_tags.contains(tag);
        self.options.tags.iter().any(is_new)
            || origin.folder_tags.iter().filter(is_wanted).any(is_new)
    }

    /// Whether the file says something of itself that an image's record lacks.
    pub(super) fn has_new_metadata(&self, record: &ImageRecord) -> bool {
        record.metadata.clone().fill_from(&self.outcome.source.metadata.picture)
    }

    pub(super) fn refused(mut self, error: &CodecError) -> WorkResult {
        let not_a_picture = matches!(error, CodecError::NotAPicture | CodecError::OtherKind(_));
        let report = &mut self.outcome.report;
        report.status = if not_a_picture { FileStatus::NotImage } else { FileStatus::Failed };
        report.reason = Some(reason_of(error));
        if matches!(error, CodecError::DecodersHang { .. }) {
            let FileOutcome { report, source } = self.outcome;
            return WorkResult::Postponed { report, source: source.file };
        }
        WorkResult::Settled(self.outcome)
    }

    pub(super) fn pending(
        self,
        id: ImageId,
        image: Option<(Box<ImageRecord>, Vec<u8>)>,
        renditions: Vec<(u16, Vec<u8>)>,
    ) -> WorkResult {
        let addition = Addition {
            id,
            image,
            metadata: self.outcome.source.metadata.picture.clone(),
            hand_tags: self.options.tags.clone(),
            renditions,
            source: self.key,
            origin: Some(self.outcome.source.origin(self.options)),
            moved_from: Vec::new(),
            again: self.options.again,
        };
        self.permit.try_resize(addition.size_bytes() as u64);
        WorkResult::Pending { outcome: self.outcome, addition, permit: self.permit }
    }
}

/// Makes the record of a new image.
pub(super) fn into_record(
    converted: Converted,
    size_bytes: u64,
    source: &ReadSource,
    source_bytes: u64,
) -> ImageRecord {
    ImageRecord {
        width: converted.width,
        height: converted.height,
        size_bytes,
        frames: converted.frames,
        alpha: converted.alpha,
        imported_at: image::now(),
        source_hash: source.hash,
        source_bytes,
        source_format: converted.format.name().to_owned(),
        source: source.file.name.clone(),
        thumbhash: converted.thumbhash,
        color: converted.color,
        perceptual_hash: converted.perceptual_hash,
        ..ImageRecord::default()
    }
}

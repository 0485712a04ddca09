//! One file: read it, recognise it, convert it unless the gallery has it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::ImportOptions;
use super::budget::{Budget, Permit};
use super::report::{FileReport, FileStatus};
use super::runner::{Job, Made, Runner};
use super::walk::{FileStamp, FoundEntry, SourceFile};
use crate::codec::{self, CodecError, Converted, SNIFF_BYTES, Settings, Sniffed, Timer};
use crate::image::{self, ImageId, ImageRecord};
use crate::store::{Addition, Origin, SourceKey, Store, StoreError};

/// What any conversion takes, however small its picture: decoders' and encoders' tables, and what allocators keep. A picture that takes
/// all of `--memory` by itself is so converted alone.
const CONVERSION_BYTES: u64 = 16_000_000;

/// What a worker made of a file.
pub(super) enum Finished {
    /// Nothing is to be stored.
    Settled(Outcome),
    /// True once the addition is committed.
    Pending { outcome: Outcome, addition: Addition, permit: Permit },
    /// The same bytes as a file before it in this import; it is settled when that one is through.
    Twin { outcome: Outcome, source: SourceKey, tags: Vec<String> },
    /// The gallery itself failed.
    Broken(StoreError),
}

/// What is to be said of a file.
pub(super) struct Outcome {
    pub(super) report: FileReport,
    /// `None` for what is no file, or could not be looked at.
    pub(super) file: Option<ReadSource>,
}

impl Outcome {
    fn refused(source: SourceFile, status: FileStatus, reason: impl Into<String>) -> Self {
        let bytes_in = source.stamp.size_bytes;
        let report =
            FileReport { bytes_in, ..FileReport::refused(source.path.clone(), status, reason) };
        Self { report, file: Some(ReadSource { source, hash: [0; 32], keep: None }) }
    }

    /// Of a file that is not imported, and never deleted, because the gallery has an image that looks alike.
    pub(super) fn left_out(mut self, id: ImageId, record: &ImageRecord) -> Self {
        self.report.describe(record);
        self.report.status = FileStatus::AlreadyPresent;
        self.report.id = Some(id);
        self.report.notes.push(format!("left out: it looks like {id}"));
        if let Some(file) = &mut self.file {
            file.keep = Some("it was left out");
        }
        self
    }
}

/// A file that was looked at.
pub(super) struct ReadSource {
    pub(super) source: SourceFile,
    /// BLAKE3; of no meaning unless it was read whole.
    pub(super) hash: [u8; 32],
    /// Why it must not be deleted.
    pub(super) keep: Option<&'static str>,
}

impl ReadSource {
    /// Of a file that is deleted, and not kept for some reason, one that lasts.
    pub(super) fn origin(&self, deleted: bool) -> Origin {
        let path = if deleted && self.keep.is_none() {
            PathBuf::new()
        } else {
            self.source.absolute.clone()
        };
        Origin { path, source_hash: self.hash }
    }
}

pub(super) struct Worker<'i> {
    store: Option<&'i Store>,
    options: &'i ImportOptions,
    settings: Arc<Settings>,
    settings_hash: [u8; 8],
    budget: Arc<Budget>,
    /// Sources that some worker has in hand or is through with, and whether the gallery had them before.
    claimed: Mutex<HashMap<SourceKey, bool>>,
}

impl<'i> Worker<'i> {
    pub(super) fn new(store: Option<&'i Store>, options: &'i ImportOptions) -> Self {
        Self {
            store,
            options,
            settings: Arc::new(options.settings.clone()),
            settings_hash: options.settings.hash(),
            budget: Budget::new(options.limits.memory_bytes),
            claimed: Mutex::default(),
        }
    }

    pub(super) fn process(&self, met: FoundEntry, runner: &mut Runner) -> Finished {
        let refused = |path, status, reason| {
            Finished::Settled(Outcome {
                report: FileReport::refused(path, status, reason),
                file: None,
            })
        };
        match met {
            FoundEntry::Skipped { path, reason } => {
                refused(path, FileStatus::NotImage, reason.to_owned())
            }
            FoundEntry::Failed { path, reason, .. } => refused(path, FileStatus::Failed, reason),
            FoundEntry::Source(source) => {
                self.process_source(source, runner).unwrap_or_else(Finished::Broken)
            }
        }
    }

    fn process_source(
        &self,
        source: SourceFile,
        runner: &mut Runner,
    ) -> Result<Finished, StoreError> {
        let refused = |source, status, reason| {
            Ok(Finished::Settled(Outcome::refused(source, status, reason)))
        };
        // Not even opened: closing it would drop the locks by which other processes know that this one is there.
        if self.store.is_some_and(|store| store.locator().holds(&source.path)) {
            return refused(source, FileStatus::NotImage, "the gallery itself".to_owned());
        }
        let permit = self.budget.reserve(source.stamp.size_bytes);
        let bytes = match self.read(&source) {
            Ok(bytes) => bytes,
            Err((status, reason)) => return refused(source, status, reason),
        };
        let hash = *blake3::hash(&bytes).as_bytes();
        let key = SourceKey::new(&hash, self.settings_hash);
        let tags = self.tags(&source);
        let report =
            FileReport { bytes_in: bytes.len() as u64, ..FileReport::blank(source.path.clone()) };
        let outcome = Outcome { report, file: Some(ReadSource { source, hash, keep: None }) };

        let known = self.store.map(|store| store.source(&key)).transpose()?.flatten();
        if known.is_none()
            && let Some((id, record)) = self.left_out_for(&hash)?
        {
            return Ok(Finished::Settled(outcome.left_out(id, &record)));
        }
        if self.claim(key, known.is_some()) == Some(false) {
            return Ok(Finished::Twin { outcome, source: key, tags });
        }
        let work =
            Work { outcome, bytes, permit, key, tags, delete: self.options.delete_originals };
        Ok(match known {
            Some((id, record)) => self.add_to_known(work, id, &record, runner),
            None if self.options.dry_run => self.look_only(work),
            None => self.convert(work, runner),
        })
    }

    /// The image that a source was left out for in an earlier import.
    fn left_out_for(&self, hash: &[u8; 32]) -> Result<Option<(ImageId, ImageRecord)>, StoreError> {
        match self.store.filter(|_| self.options.skip_similar) {
            Some(store) => store.source(&left_out_key(hash, self.settings_hash)),
            None => Ok(None),
        }
    }

    /// Adds tags, renditions and the origin that an image does not have yet.
    fn add_to_known(
        &self,
        mut work: Work,
        id: ImageId,
        record: &ImageRecord,
        runner: &mut Runner,
    ) -> Finished {
        let report = &mut work.outcome.report;
        report.describe(record);
        report.status = FileStatus::AlreadyPresent;
        report.id = Some(id);
        let missing: Vec<u16> = self
            .settings
            .renditions
            .iter()
            .copied()
            .filter(|width| {
                u32::from(*width) < record.width
                    && record.renditions.iter().all(|rendition| rendition.width != *width)
            })
            .collect();
        if self.options.dry_run {
            return Finished::Settled(work.outcome);
        }
        if missing.is_empty() {
            if work.tags.iter().any(|tag| !record.tags.contains(tag)) {
                report.notes.push("tags added".into());
            }
            return work.pending(id, None, Vec::new());
        }
        let settings =
            Arc::new(Settings { renditions: missing, ..Settings::clone(&self.settings) });
        match self.run(&mut work, settings, true, runner) {
            Ok(Made::Renditions(renditions)) => {
                work.outcome.report.notes.push(format!("{} renditions added", renditions.len()));
                work.pending(id, None, renditions)
            }
            Ok(Made::Image(_)) => unreachable!("only renditions were asked for"),
            Err(error) => work.refused(&error),
        }
    }

    fn look_only(&self, mut work: Work) -> Finished {
        match codec::probe(&work.bytes, &self.options.limits) {
            Ok((width, height)) => {
                let report = &mut work.outcome.report;
                (report.width, report.height) = (Some(width), Some(height));
                Finished::Settled(work.outcome)
            }
            Err(error) => work.refused(&error),
        }
    }

    fn convert(&self, mut work: Work, runner: &mut Runner) -> Finished {
        let source_bytes = work.bytes.len() as u64;
        let mut converted = match self.run(&mut work, Arc::clone(&self.settings), false, runner) {
            Ok(Made::Image(converted)) => *converted,
            Ok(Made::Renditions(_)) => unreachable!("the image was asked for"),
            Err(error) => return work.refused(&error),
        };
        let Outcome { report, file: Some(file) } = &mut work.outcome else {
            unreachable!("the file was read");
        };
        file.keep = converted.partial.then_some("the image does not show all of it");
        report.notes.clone_from(&converted.notes);
        let (webp, renditions) =
            (std::mem::take(&mut converted.webp), std::mem::take(&mut converted.renditions));
        let record = into_record(converted, webp.len() as u64, file, source_bytes, &work.tags);
        let id = ImageId::of(&webp);
        report.describe(&record);
        report.id = Some(id);
        work.pending(id, Some((Box::new(record), webp)), renditions)
    }

    /// Converts, once there is memory for it. While it waits the source is let go and read again after.
    fn run(
        &self,
        work: &mut Work,
        settings: Arc<Settings>,
        only_renditions: bool,
        runner: &mut Runner,
    ) -> Result<Made, CodecError> {
        let limits = self.options.limits;
        let timer = Timer::new(limits.decode_time);
        let memory_bytes = codec::memory_bytes(&work.bytes, &settings, &limits, &timer)?;
        let needed = memory_bytes.saturating_add(CONVERSION_BYTES);
        if !work.permit.try_resize(needed) {
            work.bytes = Vec::new();
            // Nothing may be held while waiting.
            work.permit.try_resize(0);
            work.permit = self.budget.reserve(needed);
            let Some(file) = &work.outcome.file else { unreachable!("the file was read") };
            let again = self
                .read(&file.source)
                .ok()
                .filter(|bytes| *blake3::hash(bytes).as_bytes() == file.hash);
            work.bytes = again.ok_or(CodecError::Container("it changed while it was read"))?;
        }
        let source = std::mem::take(&mut work.bytes);
        let made = runner.run(Job { source, settings, limits, memory_bytes, only_renditions })?;
        Ok(made)
    }

    /// What an earlier file with the same bytes found; `None` for the first.
    fn claim(&self, key: SourceKey, known: bool) -> Option<bool> {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = claimed.get(&key).copied();
        if earlier.is_none() {
            claimed.insert(key, known);
        }
        earlier
    }

    /// The file's bytes, if they are a picture of a format and length that are taken.
    fn read(&self, source: &SourceFile) -> Result<Vec<u8>, (FileStatus, String)> {
        let failed = |error: io::Error| (FileStatus::Failed, error.to_string());
        if source.stamp.size_bytes == 0 {
            return Err((FileStatus::NotImage, "an empty file".into()));
        }
        let mut file = File::open(&source.path).map_err(failed)?;
        if FileStamp::of(&file.metadata().map_err(failed)?) != source.stamp {
            return Err((
                FileStatus::Failed,
                "it changed since it was found; import it again".into(),
            ));
        }
        let mut bytes = Vec::with_capacity(SNIFF_BYTES);
        file.by_ref().take(SNIFF_BYTES as u64).read_to_end(&mut bytes).map_err(failed)?;
        match codec::sniff(&bytes) {
            Sniffed::Picture(_) => {}
            Sniffed::Unsupported(name) => {
                return Err((FileStatus::Failed, CodecError::Unsupported(name).to_string()));
            }
            Sniffed::Nothing => {
                return Err((FileStatus::NotImage, CodecError::NotAPicture.to_string()));
            }
        }
        let limit = self.options.limits.source_bytes;
        if source.stamp.size_bytes > limit {
            return Err((
                FileStatus::Failed,
                format!("it has more than --max-source-bytes {limit}"),
            ));
        }
        let rest = usize::try_from(source.stamp.size_bytes)
            .unwrap_or(usize::MAX)
            .saturating_sub(bytes.len());
        bytes.reserve_exact(rest);
        // Not one byte more: there is memory for these.
        file.take(rest as u64).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    fn tags(&self, source: &SourceFile) -> Vec<String> {
        let mut tags = self.options.tags.clone();
        if self.options.folder_tags {
            tags.extend(source.folder_tags.iter().cloned());
        }
        tags.sort_unstable();
        tags.dedup();
        tags
    }
}

/// A file on its way through a worker.
struct Work {
    outcome: Outcome,
    bytes: Vec<u8>,
    permit: Permit,
    key: SourceKey,
    tags: Vec<String>,
    /// The file is going to be deleted.
    delete: bool,
}

impl Work {
    fn refused(mut self, error: &CodecError) -> Finished {
        let not_a_picture = matches!(error, CodecError::NotAPicture);
        let report = &mut self.outcome.report;
        report.status = if not_a_picture { FileStatus::NotImage } else { FileStatus::Failed };
        report.reason = Some(error.to_string());
        Finished::Settled(self.outcome)
    }

    fn pending(
        mut self,
        id: ImageId,
        image: Option<(Box<ImageRecord>, Vec<u8>)>,
        renditions: Vec<(u16, Vec<u8>)>,
    ) -> Finished {
        let Some(file) = &self.outcome.file else { unreachable!("the file was read") };
        let origin = Some(file.origin(self.delete));
        let addition =
            Addition { id, image, tags: self.tags, renditions, source: self.key, origin };
        self.permit.try_resize(addition.size_bytes() as u64);
        Finished::Pending { outcome: self.outcome, addition, permit: self.permit }
    }
}

/// Marks a source that was left out because the gallery has an image that looks alike.
pub(super) fn left_out_key(hash: &[u8; 32], mut settings_hash: [u8; 8]) -> SourceKey {
    for byte in &mut settings_hash {
        *byte = !*byte;
    }
    SourceKey::new(hash, settings_hash)
}

fn into_record(
    converted: Converted,
    size_bytes: u64,
    file: &ReadSource,
    source_bytes: u64,
    tags: &[String],
) -> ImageRecord {
    ImageRecord {
        ordinal: 0,
        width: converted.width,
        height: converted.height,
        size_bytes,
        frames: converted.frames,
        alpha: converted.alpha,
        imported_at: image::now(),
        source_hash: file.hash,
        source_bytes,
        source_format: converted.format.name().to_owned(),
        source: file.source.name.clone(),
        tags: tags.to_vec(),
        thumbhash: converted.thumbhash,
        color: converted.color,
        perceptual_hash: converted.perceptual_hash,
        renditions: Vec::new(),
    }
}

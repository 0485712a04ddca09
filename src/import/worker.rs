//! One file, from its path to its outcome: read it, recognise it, convert it unless the gallery has
//! its image.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, PoisonError};

use super::budget::MemoryBudget;
use super::options::ImportOptions;
use super::outcome::{
    FileOutcome, ReadSource, WorkResult, mended_note, refuse_unread, skipped_key,
};
use super::report::{FileReport, FileStatus};
use super::runner::Runner;
use super::walk::{FoundEntry, LINK, SourceFile};
use super::work::{Work, into_record};
use crate::codec::{
    self, CodecError, DecodeLimits, SNIFF_BYTES, Settings, Sniffed, SourceMetadata, Timer,
};
use crate::image::{ImageId, ImageRecord};
use crate::store::{Condition, RemovedMark, SourceKey, Store, StoreError};

/// Memory that any conversion takes, however small its picture, in bytes: tables of decoders and
/// encoders, and what allocators keep. With it, a picture that takes all of `--memory` by itself is
/// converted alone.
const CONVERSION_BYTES: u64 = 16_000_000;

/// What the threads that convert share.
pub(super) struct ImportWorker<'i> {
    /// `None` in a dry run without a gallery.
    store: Option<&'i Store>,
    options: &'i ImportOptions,
    settings: Arc<Settings>,
    settings_hash: [u8; 8],
    budget: Arc<MemoryBudget>,
    /// Sources that some thread works on or is done with, and whether the gallery had their images
    /// before this import.
    claimed: Mutex<HashMap<SourceKey, bool>>,
}

impl<'i> ImportWorker<'i> {
    pub(super) fn new(
        store: Option<&'i Store>,
        options: &'i ImportOptions,
        budget: &Arc<MemoryBudget>,
    ) -> Self {
        Self {
            store,
            options,
            settings: Arc::new(options.settings.clone()),
            settings_hash: options.settings.hash(),
            budget: Arc::clone(budget),
            claimed: Mutex::default(),
        }
    }

    pub(super) fn process(&self, entry: FoundEntry, runner: &mut Runner) -> WorkResult {
        let refused = |path, status, reason| {
            let report = FileReport::refused(path, status, reason);
            WorkResult::Refused { report, source: None }
        };
        match entry {
            FoundEntry::Excluded { path, reason, .. } => {
                refused(path, FileStatus::Excluded, reason)
            }
            FoundEntry::Link { path } => refused(path, FileStatus::NotImage, LINK.to_owned()),
            FoundEntry::NotAFile { path, reason } => {
                refused(path, FileStatus::NotImage, reason.to_owned())
            }
            FoundEntry::Inaccessible { path, reason, .. } => {
                refused(path, FileStatus::Failed, reason)
            }
            FoundEntry::Source(file) => {
                self.process_file(file, runner).unwrap_or_else(WorkResult::Broken)
            }
        }
    }

    fn process_file(
        &self,
        file: SourceFile,
        runner: &mut Runner,
    ) -> Result<WorkResult, StoreError> {
        // The gallery is not even opened as a source: closing it would drop the locks by which
        // other processes know that this one uses it.
        if self.store.is_some_and(|store| store.locator().holds(&file.path)) {
            return Ok(refuse_unread(file, FileStatus::NotImage, "the gallery itself".to_owned()));
        }
        let permit = match self.budget.reserve(codec::header_bytes(file.stamp.size_bytes)) {
            Ok(permit) => permit,
            Err(hang) => {
                let report =
                    FileReport::refused(file.path.clone(), FileStatus::Failed, hang.to_string());
                return Ok(WorkResult::Postponed { report, source: file });
            }
        };
        let bytes = match self.read(&file) {
            Ok(bytes) => bytes,
            Err((status, reason)) => return Ok(refuse_unread(file, status, reason)),
        };
        let hash = *blake3::hash(&bytes).as_bytes();
        let key = SourceKey::new(&hash, self.settings_hash);
        let report =
            FileReport { bytes_in: bytes.len() as u64, ..FileReport::new(file.path.clone()) };
        let metadata = SourceMetadata::default();
        let source = ReadSource { file, hash, keep_reason: None, metadata };
        let mut outcome = FileOutcome { report, source };

        let known = match self.removed_before(&hash) {
            Ok(Some(mark)) => {
                return Ok(WorkResult::Settled(outcome.leave_removed(mark.image)));
            }
            Ok(None) => self.look_up(&key),
            Err(error) => Err(error),
        };
        let known = match known {
            // Neither a bad page nor a damaged mark can be mended here, but other images can be
            // imported.
            Err(error @ (StoreError::BadPages { .. } | StoreError::Damaged { .. })) => {
                outcome.report.status = FileStatus::Failed;
                outcome.report.reason = Some(error.to_string());
                return Ok(WorkResult::Settled(outcome));
            }
            known => known?,
        };
        outcome.source.metadata = self.read_metadata(&bytes, &known);
        if matches!(known, Known::Nothing)
            && let Some((id, record)) = self.similar_to_skipped(&hash)?
        {
            return Ok(WorkResult::Settled(outcome.skip_as_similar(id, &record)));
        }
        // Files of a damaged image wait for the first of them to mend it.
        if !self.claim(key, matches!(known, Known::Whole(..))) {
            return Ok(WorkResult::Repeated { outcome, key });
        }
        let work = Work { outcome, permit, key, options: self.options };
        Ok(match known {
            Known::Whole(id, record) => self.add_to_known(work, bytes, id, &record, runner),
            Known::Damaged(image) => self.mend(work, bytes, image, runner),
            // Only a conversion tells whether the image shows all of what is to be deleted.
            Known::Nothing if self.options.dry_run && !self.options.delete_originals => {
                self.probe(work, bytes, runner)
            }
            Known::Nothing => self.convert(work, bytes, Arc::clone(&self.settings), runner),
        })
    }

    /// Reads what a file says of itself, unless its image has all of that.
    fn read_metadata(&self, bytes: &[u8], known: &Known) -> SourceMetadata {
        match known {
            Known::Whole(_, record)
                if record.metadata.is_complete() && !self.options.metadata_tags =>
            {
                SourceMetadata::default()
            }
            _ => codec::read_metadata(bytes),
        }
    }

    /// Finds the mark of a source whose image a person removed, unless it is to be taken again.
    fn removed_before(&self, hash: &[u8; 32]) -> Result<Option<RemovedMark>, StoreError> {
        match self.store.filter(|_| !self.options.again) {
            Some(store) => store.removed_before(hash),
            None => Ok(None),
        }
    }

    /// Looks up the image of a source, and reads all of it.
    fn look_up(&self, key: &SourceKey) -> Result<Known, StoreError> {
        let Some(store) = self.store else { return Ok(Known::Nothing) };
        let Some(id) = store.source_id(key)? else { return Ok(Known::Nothing) };
        Ok(match store.condition(id)? {
            Condition::Absent => Known::Nothing,
            Condition::Whole(record) => Known::Whole(id, record),
            Condition::Damaged { record, problem } => {
                let renditions = record.map(|record| record.renditions).unwrap_or_default();
                let widths = renditions.iter().map(|rendition| rendition.width).collect();
                Known::Damaged(DamagedImage { id, widths, problem })
            }
        })
    }

    /// Converts the source of a damaged image anew, with all the renditions that the image had.
    fn mend(
        &self,
        work: Work<'_>,
        bytes: Vec<u8>,
        image: DamagedImage,
        runner: &mut Runner,
    ) -> WorkResult {
        let note = mended_note(&image.problem);
        let foresee = |mut outcome: FileOutcome| {
            let report = &mut outcome.report;
            (report.status, report.id) = (FileStatus::Mended, Some(image.id));
            report.notes.push(note.clone());
            WorkResult::Settled(outcome)
        };
        if self.options.dry_run && !self.options.delete_originals {
            return foresee(work.outcome);
        }
        let mut settings = Settings::clone(&self.settings);
        settings.renditions.extend(image.widths);
        settings.renditions.sort_unstable();
        settings.renditions.dedup();
        match self.convert(work, bytes, Arc::new(settings), runner) {
            WorkResult::Pending { mut outcome, addition, permit } => {
                outcome.report.notes.push(note);
                WorkResult::Mended { outcome, addition, permit, damaged: image.id }
            }
            WorkResult::Settled(outcome) if outcome.report.reason.is_none() => foresee(outcome),
            refused => refused,
        }
    }

    /// Finds the image for which an earlier import skipped a source.
    fn similar_to_skipped(
        &self,
        source_hash: &[u8; 32],
    ) -> Result<Option<(ImageId, ImageRecord)>, StoreError> {
        match self.store.filter(|_| self.options.skip_similar) {
            Some(store) => store.source(&skipped_key(source_hash, self.settings_hash)),
            None => Ok(None),
        }
    }

    /// Adds the tags, metadata, renditions and origin that a known image does not have yet.
    fn add_to_known(
        &self,
        mut work: Work<'_>,
        bytes: Vec<u8>,
        id: ImageId,
        record: &ImageRecord,
        runner: &mut Runner,
    ) -> WorkResult {
        let report = &mut work.outcome.report;
        report.describe(record);
        report.status = FileStatus::AlreadyPresent;
        report.id = Some(id);
        let is_missing = |width: u16| {
            u32::from(width) < record.width
                && record.renditions.iter().all(|rendition| rendition.width != width)
        };
        let widths = self.settings.renditions.iter().copied();
        let missing: Vec<u16> = widths.filter(|width| is_missing(*width)).collect();
        let must_convert =
            self.options.delete_originals || !(missing.is_empty() || self.options.dry_run);
        let renditions = if must_convert {
            match self.make_again(&mut work, bytes, record, missing, runner) {
                Ok(renditions) => renditions,
                Err(error) => return work.refused(&error),
            }
        } else {
            drop(bytes);
            Vec::new()
        };
        if self.options.dry_run {
            return WorkResult::Settled(work.outcome);
        }
        if work.has_new_metadata(record) {
            work.outcome.report.notes.push("metadata added".into());
        }
        let kept = renditions.iter().filter(|(_, webp)| !webp.is_empty()).count();
        if kept > 0 {
            work.outcome.report.notes.push(format!("{kept} renditions added"));
        } else if work.has_new_tag(record) {
            work.outcome.report.notes.push("tags added".into());
        }
        work.pending(id, None, renditions)
    }

    /// Makes renditions of a known image's source, and converts it if it may be deleted: nothing
    /// else tells whether the image shows all of it.
    fn make_again(
        &self,
        work: &mut Work<'_>,
        bytes: Vec<u8>,
        record: &ImageRecord,
        widths: Vec<u16>,
        runner: &mut Runner,
    ) -> Result<Vec<(u16, Vec<u8>)>, CodecError> {
        let settings = Settings { renditions: widths, ..Settings::clone(&self.settings) };
        let (image_bytes, deletes) = (record.size_bytes, self.options.delete_originals);
        let present = record.kept_renditions().map(|it| (it.width, it.size_bytes));
        let present: Vec<_> = present.collect();
        let job = move |source: Vec<u8>, settings: &Settings, limits: &_, timer: &_| {
            let mut made = Vec::new();
            if !settings.renditions.is_empty() {
                made = codec::render(&source, (image_bytes, &present), settings, limits, timer)?;
            }
            let image = Settings { renditions: Vec::new(), ..settings.clone() };
            let converted = deletes.then(|| codec::convert(source, &image, limits, timer));
            Ok((made, converted.transpose()?.map(|it| (it.partial, it.notes))))
        };
        let (renditions, told) = self.run(work, bytes, Arc::new(settings), runner, job)?;
        let (partial, notes) = told.unwrap_or_default();
        work.outcome.note_parts(partial, notes);
        Ok(renditions)
    }

    /// Decodes a picture and drops it, for a dry run.
    fn probe(&self, mut work: Work<'_>, bytes: Vec<u8>, runner: &mut Runner) -> WorkResult {
        let probe = |source: Vec<u8>, _: &Settings, limits: &DecodeLimits, timer: &Timer| {
            codec::probe_within(&source, limits, timer)
        };
        match self.run(&mut work, bytes, Arc::clone(&self.settings), runner, probe) {
            Ok((width, height)) => {
                let report = &mut work.outcome.report;
                (report.width, report.height) = (Some(width), Some(height));
                WorkResult::Settled(work.outcome)
            }
            Err(error) => work.refused(&error),
        }
    }

    fn convert(
        &self,
        mut work: Work<'_>,
        bytes: Vec<u8>,
        settings: Arc<Settings>,
        runner: &mut Runner,
    ) -> WorkResult {
        let source_bytes = bytes.len() as u64;
        let mut converted = match self.run(&mut work, bytes, settings, runner, codec::convert) {
            Ok(converted) => converted,
            Err(error) => return work.refused(&error),
        };
        work.outcome.note_parts(converted.partial, std::mem::take(&mut converted.notes));
        let FileOutcome { report, source } = &mut work.outcome;
        let webp = std::mem::take(&mut converted.webp);
        let renditions = std::mem::take(&mut converted.renditions);
        let mut record = into_record(converted, webp.len() as u64, source, source_bytes);
        record.settings_hash = self.settings_hash;
        let id = ImageId::of(&webp);
        report.describe(&record);
        report.id = Some(id);
        if self.options.dry_run {
            return WorkResult::Settled(work.outcome);
        }
        work.pending(id, Some((Box::new(record), webp)), renditions)
    }

    /// Runs a conversion on the runner's thread, once there is memory for it.
    ///
    /// While it has to wait for memory, the source's bytes are given back; they are read again
    /// after.
    fn run<T: Send + 'static>(
        &self,
        work: &mut Work<'_>,
        mut bytes: Vec<u8>,
        settings: Arc<Settings>,
        runner: &mut Runner,
        job: impl FnOnce(Vec<u8>, &Settings, &DecodeLimits, &Timer) -> Result<T, CodecError>
        + Send
        + 'static,
    ) -> Result<T, CodecError> {
        let limits = self.options.limits;
        self.budget.wait_for_abandoned()?;
        let memory_bytes;
        (bytes, memory_bytes) = {
            let settings = Arc::clone(&settings);
            runner.run(limits.decode_time, &work.permit, move |timer| {
                let memory_bytes = codec::memory_bytes(&bytes, &settings, &limits, timer)?;
                Ok((bytes, memory_bytes))
            })?
        };
        let needed_bytes = memory_bytes.saturating_add(CONVERSION_BYTES);
        if !work.permit.try_resize(needed_bytes) {
            drop(bytes);
            // Whoever waits must hold nothing: see `MemoryBudget::reserve`.
            work.permit.try_resize(0);
            work.permit = self.budget.reserve(needed_bytes)?;
            let ReadSource { file, hash, .. } = &work.outcome.source;
            let again = self.read(file).ok().filter(|bytes| blake3::hash(bytes) == *hash);
            bytes = again.ok_or(CodecError::Container("it changed while it was read"))?;
        }
        runner.run(limits.decode_time, &work.permit, move |timer| {
            codec::give_back_freed(memory_bytes);
            let result = job(bytes, &settings, &limits, timer);
            codec::give_back_freed(memory_bytes);
            result
        })
    }

    /// Claims a source for this thread. Returns `false` for bytes that were claimed before and new
    /// to the gallery then: whoever claimed them first converts them.
    fn claim(&self, key: SourceKey, in_gallery: bool) -> bool {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        match claimed.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(in_gallery);
                true
            }
            Entry::Occupied(entry) => *entry.get(),
        }
    }

    /// Reads a file, if it is a picture of a format and length that are accepted.
    fn read(&self, file: &SourceFile) -> Result<Vec<u8>, (FileStatus, String)> {
        let failed = |error: io::Error| (FileStatus::Failed, error.to_string());
        let size_bytes = file.stamp.size_bytes;
        if size_bytes == 0 {
            return Err((FileStatus::NotImage, "an empty file".into()));
        }
        let Some(mut opened) = file.open().map_err(failed)? else {
            let reason = "it changed since it was found; import it again".into();
            return Err((FileStatus::Failed, reason));
        };
        let mut bytes = Vec::with_capacity(SNIFF_BYTES);
        opened.by_ref().take(SNIFF_BYTES as u64).read_to_end(&mut bytes).map_err(failed)?;
        match codec::sniff(&bytes) {
            Sniffed::Picture(_) => {}
            Sniffed::Unsupported(name) => {
                return Err((FileStatus::Failed, CodecError::Unsupported(name).to_string()));
            }
            Sniffed::Other(what) => return Err((FileStatus::NotImage, what.to_owned())),
            Sniffed::Nothing => {
                return Err((FileStatus::NotImage, CodecError::NotAPicture.to_string()));
            }
        }
        let limit = self.options.limits.source_bytes;
        if size_bytes > limit {
            let reason = format!("it has more than --max-source-bytes {limit}");
            return Err((FileStatus::Failed, reason));
        }
        let rest = usize::try_from(size_bytes).unwrap_or(usize::MAX).saturating_sub(bytes.len());
        bytes.reserve_exact(rest);
        // A file that grew meanwhile is not read beyond the length that memory was reserved for.
        opened.take(rest as u64).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }
}

/// What the gallery has of a source.
enum Known {
    Nothing,
    Whole(ImageId, Box<ImageRecord>),
    Damaged(DamagedImage),
}

/// An image of the gallery that is not whole.
struct DamagedImage {
    id: ImageId,
    /// Widths of its renditions, as far as its record can be read.
    widths: Vec<u16>,
    problem: String,
}

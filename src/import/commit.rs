//! The committer: stores what the workers send, in batches, and reports each file once its commit
//! is durable.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::batch::Batch;
use super::options::ImportOptions;
use super::originals::{self, Pruned};
use super::outcome::{FileOutcome, ReadSource, SKIPPED, WorkResult, mended_note, skipped_key};
use super::report::{FileReport, FileStatus, ImportError, ImportSummary, Observer};
use super::scan_state::ScanState;
use super::similar::SimilarImages;
use super::walk::SourceFile;
use crate::image::{ImageId, PictureMetadata};
use crate::store::{Added, Addition, Condition, SourceKey, Store, StoreError};

pub(super) struct Committer<'i> {
    /// `None` in a dry run.
    store: Option<&'i Store>,
    /// The gallery to read; `None` only in a dry run without one.
    gallery: Option<&'i Store>,
    roots: &'i [PathBuf],
    /// The absolute paths of the roots, without links.
    canonical_roots: Vec<PathBuf>,
    options: &'i ImportOptions,
    observer: &'i mut dyn Observer,
    /// What was found in the files, for the caller.
    state: &'i mut ScanState,
    summary: ImportSummary,
    batch: Batch,
    /// Files with the same bytes as another file of this import.
    repeated: Vec<(FileOutcome, SourceKey)>,
    /// Sources that were settled with a stored image, and why the file must not be deleted.
    settled: HashMap<[u8; 32], Option<&'static str>>,
    /// In a dry run, the images that would have got an origin.
    foreseen: HashSet<ImageId>,
    similar: SimilarImages,
}

impl<'i> Committer<'i> {
    pub(super) fn new(
        gallery: Option<&'i Store>,
        roots: &'i [PathBuf],
        options: &'i ImportOptions,
        observer: &'i mut dyn Observer,
        state: &'i mut ScanState,
    ) -> Self {
        Self {
            store: gallery.filter(|_| !options.dry_run),
            gallery,
            roots,
            canonical_roots: roots.iter().filter_map(|root| root.canonicalize().ok()).collect(),
            options,
            observer,
            state,
            summary: ImportSummary::default(),
            batch: Batch::default(),
            repeated: Vec::new(),
            settled: HashMap::new(),
            foreseen: HashSet::new(),
            similar: SimilarImages::default(),
        }
    }

    /// Takes what the workers send until they are all gone.
    pub(super) fn take_all(&mut self, results: &Receiver<WorkResult>) -> Result<(), ImportError> {
        loop {
            let received = match self.batch.due() {
                None => results.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => results.recv_deadline(due),
            };
            match received {
                Ok(result) => self.take(result)?,
                Err(RecvTimeoutError::Timeout) => self.commit()?,
                Err(RecvTimeoutError::Disconnected) => return self.commit(),
            }
        }
    }

    fn take(&mut self, result: WorkResult) -> Result<(), ImportError> {
        match result {
            WorkResult::Refused { report, source } => self.settle_unread(&report, source),
            WorkResult::Postponed { report, source } => {
                self.state.insert(source.absolute, None, None);
                self.report(&report)
            }
            WorkResult::Settled(outcome) => self.settle(outcome),
            WorkResult::Pending { mut outcome, mut addition, permit } => {
                let now = Instant::now();
                self.compare(&mut outcome, &mut addition)?;
                self.batch.push(outcome, addition, Some(permit), now);
                self.commit_if_ready()
            }
            WorkResult::Mended { mut outcome, addition, permit, damaged } => {
                let ended = self.store.map(|store| store.mend(damaged, &addition)).transpose()?;
                drop((addition, permit));
                outcome.report.status = FileStatus::Mended;
                if let Some(added @ (Added::RemovedBefore | Added::Gone)) = ended {
                    take_over(added, &mut outcome.report);
                }
                self.settle(outcome)
            }
            WorkResult::Repeated { outcome, key } => {
                self.repeated.push((outcome, key));
                Ok(())
            }
            WorkResult::Broken(error) => {
                // What the other workers converted is stored all the same.
                self.commit()?;
                Err(error.into())
            }
        }
    }

    /// Notes that an image looks like another one, or skips it for that one.
    fn compare(
        &mut self,
        outcome: &mut FileOutcome,
        addition: &mut Addition,
    ) -> Result<(), ImportError> {
        let (Some(store), Some((record, _))) = (self.store, &addition.image) else { return Ok(()) };
        let earlier = store.images_of_source(&record.source_hash)?;
        let Some(other) = self.similar.find(store, addition.id, record, &earlier)? else {
            self.similar.add(addition.id, record);
            return Ok(());
        };
        let source_hash = record.source_hash;
        let report = &mut outcome.report;
        if !self.options.skip_similar {
            self.similar.add(addition.id, record);
            report.notes.push(format!("looks like {other}"));
            return Ok(());
        }
        report.status = FileStatus::Duplicate;
        report.notes.push(format!("left out: it looks like {other}"));
        (report.id, report.bytes_out) = (Some(other), None);
        outcome.source.keep_reason = Some(SKIPPED);
        addition.id = other;
        addition.image = None;
        addition.renditions.clear();
        addition.hand_tags.clear();
        addition.metadata = PictureMetadata::default();
        addition.source = skipped_key(&source_hash, self.options.settings.hash());
        // The other image is not of this file: when the file goes, that image stays.
        addition.origin = None;
        Ok(())
    }

    fn commit_if_ready(&mut self) -> Result<(), ImportError> {
        if self.batch.is_ready(Instant::now()) { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), ImportError> {
        let Some(store) = self.store.filter(|_| self.batch.due().is_some()) else { return Ok(()) };
        let mut batch = std::mem::take(&mut self.batch);
        for addition in &mut batch.additions {
            let Some(origin) = &addition.origin else { continue };
            let hash = &origin.source_hash;
            addition.moved_from =
                originals::moved_from(store, &self.canonical_roots, hash, &origin.path)?;
        }
        let added = store.add(&batch.additions)?;
        let mut mended = Vec::new();
        for (addition, added) in batch.additions.iter().zip(&added) {
            let was_there = matches!(added, Added::Existing | Added::Known | Added::Replaced);
            let made_again = was_there && addition.image.is_some();
            mended.push(if made_again { mend_if_damaged(store, addition)? } else { None });
        }
        for ((mut outcome, added), mended) in batch.into_outcomes().zip(added).zip(mended) {
            take_over(added, &mut outcome.report);
            if let Some(problem) = mended {
                if added != Added::Replaced {
                    outcome.report.status = FileStatus::Mended;
                }
                outcome.report.notes.push(mended_note(&problem));
            }
            self.settle(outcome)?;
        }
        Ok(())
    }

    /// Settles the files whose bytes came twice, after all others.
    pub(super) fn settle_repeated(&mut self) -> Result<(), ImportError> {
        for (outcome, key) in std::mem::take(&mut self.repeated) {
            self.settle_repeat(outcome, key)?;
        }
        self.commit()
    }

    fn settle_repeat(
        &mut self,
        mut outcome: FileOutcome,
        key: SourceKey,
    ) -> Result<(), ImportError> {
        outcome.report.status = FileStatus::Duplicate;
        let settled = self.settled.get(&outcome.source.hash).copied();
        outcome.source.keep_reason = settled.flatten();
        let Some(store) = self.store else {
            return match settled {
                Some(_) => self.settle(outcome),
                None => self.settle_failed_repeat(outcome),
            };
        };
        if let Some(id) = store.source_id(&key)?
            && let Condition::Whole(record) = store.condition(id)?
        {
            outcome.report.describe(&record);
            outcome.report.id = Some(id);
            let addition = Addition {
                id,
                image: None,
                metadata: outcome.source.metadata.picture.clone(),
                hand_tags: self.options.tags.clone(),
                renditions: Vec::new(),
                source: key,
                origin: Some(outcome.source.origin(self.options)),
                moved_from: Vec::new(),
                again: self.options.again,
            };
            self.batch.push(outcome, addition, None, Instant::now());
            return self.commit_if_ready();
        }
        let skipped = skipped_key(&outcome.source.hash, self.options.settings.hash());
        if self.options.skip_similar
            && let Some((id, record)) = store.source(&skipped)?
        {
            outcome = outcome.skip_as_similar(id, &record);
            outcome.report.status = FileStatus::Duplicate;
            return self.settle(outcome);
        }
        self.settle_failed_repeat(outcome)
    }

    fn settle_failed_repeat(&mut self, mut outcome: FileOutcome) -> Result<(), ImportError> {
        let reason = "the same bytes as another file of this import, which was not imported";
        outcome.report.status = FileStatus::Failed;
        outcome.report.reason = Some(reason.into());
        self.settle(outcome)
    }

    /// Removes the images whose files are gone from the roots, if `prune` is set, and returns the
    /// sums.
    pub(super) fn finish(mut self, prune: bool) -> Result<ImportSummary, ImportError> {
        if let Some(store) = self.gallery.filter(|_| prune) {
            let foreseen = self.options.dry_run.then_some(&self.foreseen);
            let Pruned { removed, left_alone } =
                originals::prune(store, self.roots, self.state, foreseen)?;
            for (path, id) in removed {
                let is_excluded = self.state.is_excluded(&path);
                let mut report = FileReport::new(path);
                (report.status, report.id) = (FileStatus::Removed, Some(id));
                report.notes.extend(is_excluded.then(|| "its file is left out now".into()));
                report.notes.extend(self.options.dry_run.then(|| WOULD_BE_REMOVED.into()));
                self.report(&report)?;
            }
            self.summary.not_pruned = left_alone;
        }
        Ok(self.summary)
    }

    /// Ends a file of which everything else is done: deletes it if that is wished, and reports it.
    fn settle(&mut self, outcome: FileOutcome) -> Result<(), ImportError> {
        let FileOutcome { mut report, source } = outcome;
        if report.status == FileStatus::Imported
            && let Some(gallery) = self.gallery.filter(|_| self.options.dry_run)
            && !gallery.images_of_source(&source.hash)?.is_empty()
        {
            report.status = FileStatus::Replaced;
        }
        let is_stored = matches!(
            report.status,
            FileStatus::Imported
                | FileStatus::AlreadyPresent
                | FileStatus::Duplicate
                | FileStatus::Replaced
                | FileStatus::Mended
        );
        if is_stored && self.options.delete_originals {
            self.delete_original(&mut report, &source);
        }
        if is_stored && source.keep_reason != Some(SKIPPED) {
            self.note_settled(&report, &source)?;
        }
        let picture = is_stored.then_some(source.hash);
        self.state.insert(source.file.absolute, Some(source.file.stamp), picture);
        self.report(&report)
    }

    /// Deletes the file of a stored image, or in a dry run says whether it would be.
    fn delete_original(&mut self, report: &mut FileReport, source: &ReadSource) {
        let deleted = match self.store {
            // Another gallery may have taken the place of the one that the image was stored in.
            Some(store) => store
                .while_in_place(|| {
                    let delete = || originals::delete(source, false);
                    expect_whole(store, report.id).and_then(|()| delete())
                })
                .unwrap_or_else(|error| Err(error.to_string())),
            None => originals::delete(source, true),
        };
        let verb = if self.store.is_some() { "original" } else { "dry run: original would be" };
        match deleted {
            Ok(()) => {
                self.summary.originals_deleted += 1;
                report.notes.push(format!("{verb} deleted"));
            }
            Err(reason) => {
                self.summary.originals_kept += 1;
                report.notes.push(format!("{verb} kept: {reason}"));
            }
        }
    }

    /// Remembers a source with a stored image, for files with the same bytes and for pruning.
    fn note_settled(
        &mut self,
        report: &FileReport,
        source: &ReadSource,
    ) -> Result<(), ImportError> {
        if self.options.dry_run || source.keep_reason.is_some() {
            self.settled.insert(source.hash, source.keep_reason);
        }
        if let Some(gallery) = self.gallery.filter(|_| self.options.dry_run && self.options.prune) {
            self.foreseen.extend(report.id);
            self.foreseen.extend(gallery.images_of_source(&source.hash)?);
        }
        Ok(())
    }

    fn settle_unread(
        &mut self,
        report: &FileReport,
        source: Option<SourceFile>,
    ) -> Result<(), ImportError> {
        if let Some(source) = source {
            self.state.insert(source.absolute, Some(source.stamp), None);
        }
        self.report(report)
    }

    fn report(&mut self, report: &FileReport) -> Result<(), ImportError> {
        self.summary.count(report);
        self.observer.file_done(report).map_err(ImportError::Report)
    }
}

/// What a dry run says of an image that `--prune` would remove.
const WOULD_BE_REMOVED: &str = "dry run: the image would be removed";

/// Puts into a report what the store did.
fn take_over(added: Added, report: &mut FileReport) {
    match added {
        Added::Existing if report.status == FileStatus::Imported => {
            report.status = FileStatus::Duplicate;
        }
        Added::Known => report.status = FileStatus::AlreadyPresent,
        Added::Replaced => report.status = FileStatus::Replaced,
        Added::RemovedBefore => {
            report.status = FileStatus::RemovedBefore;
            report.bytes_out = None;
        }
        Added::New | Added::Existing => {}
        Added::Gone => {
            report.status = FileStatus::Failed;
            report.reason = Some("removed by another process meanwhile; import it again".into());
        }
    }
}

/// Reads an image back from the gallery, or returns why that can't take its original's place.
fn expect_whole(store: &Store, id: Option<ImageId>) -> Result<(), String> {
    match id.map(|id| store.condition(id)) {
        Some(Ok(Condition::Whole(_))) => Ok(()),
        Some(Ok(Condition::Damaged { problem, .. })) => {
            Err(format!("its stored image is damaged: {problem}"))
        }
        Some(Ok(Condition::Absent)) | None => Err("its image was removed meanwhile".into()),
        Some(Err(error)) => Err(error.to_string()),
    }
}

/// Stores an image anew that was in the gallery before this addition, if it is damaged there.
/// Returns what was wrong with it.
fn mend_if_damaged(store: &Store, addition: &Addition) -> Result<Option<String>, StoreError> {
    let Condition::Damaged { problem, .. } = store.condition(addition.id)? else { return Ok(None) };
    let added = store.mend(addition.id, addition)?;
    // A person may have removed it in between.
    Ok((added != Added::RemovedBefore).then_some(problem))
}

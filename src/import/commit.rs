//! The committer: stores what the workers send, in batches, and reports each file once its commit is durable.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::budget::Permit;
use super::originals::{self, Content, ScanState};
use super::report::{FileReport, FileStatus, ImportSummary};
use super::similar::Looks;
use super::worker::{Finished, Outcome, left_out_key};
use super::{ImportError, ImportOptions, Observer};
use crate::store::{Added, Addition, SourceKey, Store};

/// A batch is committed when it has this many bytes of images,
const BATCH_BYTES: usize = 16 << 20;
/// or this many images,
const BATCH_IMAGES: usize = 256;
/// or when its first image has waited this long: a server shows it within a second.
const BATCH_AGE: Duration = Duration::from_millis(500);

pub(super) struct Committer<'i> {
    store: Option<&'i Store>,
    options: &'i ImportOptions,
    observer: &'i mut dyn Observer,
    /// What was found in the files, for the caller.
    met: &'i mut ScanState,
    summary: ImportSummary,
    outcomes: Vec<Outcome>,
    additions: Vec<Addition>,
    /// For the memory of the additions.
    permits: Vec<Permit>,
    batch_bytes: usize,
    batch_due: Instant,
    twins: Vec<(Outcome, SourceKey, Vec<String>)>,
    looks: Looks,
}

impl<'i> Committer<'i> {
    pub(super) fn new(
        store: Option<&'i Store>,
        options: &'i ImportOptions,
        observer: &'i mut dyn Observer,
        met: &'i mut ScanState,
    ) -> Self {
        Self {
            store,
            options,
            observer,
            met,
            summary: ImportSummary::default(),
            outcomes: Vec::new(),
            additions: Vec::new(),
            permits: Vec::new(),
            batch_bytes: 0,
            batch_due: Instant::now(),
            twins: Vec::new(),
            looks: Looks::default(),
        }
    }

    /// Takes what the workers send until they are all gone.
    pub(super) fn take_all(&mut self, finished: &Receiver<Finished>) -> Result<(), ImportError> {
        loop {
            let received = if self.additions.is_empty() {
                finished.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                finished.recv_deadline(self.batch_due)
            };
            match received {
                Ok(finished) => self.take(finished)?,
                Err(RecvTimeoutError::Timeout) => self.commit()?,
                Err(RecvTimeoutError::Disconnected) => return self.commit(),
            }
        }
    }

    fn take(&mut self, finished: Finished) -> Result<(), ImportError> {
        match finished {
            Finished::Settled(outcome) => self.settle(outcome),
            Finished::Pending { outcome, addition, permit } => {
                self.permits.push(permit);
                self.enqueue(outcome, addition)
            }
            Finished::Twin { outcome, source, tags } => {
                self.twins.push((outcome, source, tags));
                Ok(())
            }
            Finished::Broken(error) => {
                // What the other workers converted is not lost with it.
                self.commit()?;
                Err(error.into())
            }
        }
    }

    fn enqueue(&mut self, mut outcome: Outcome, mut addition: Addition) -> Result<(), ImportError> {
        if self.additions.is_empty() {
            self.batch_due = Instant::now() + BATCH_AGE;
        }
        self.compare(&mut outcome, &mut addition)?;
        self.batch_bytes += addition.size_bytes();
        self.outcomes.push(outcome);
        self.additions.push(addition);
        if self.batch_bytes >= BATCH_BYTES
            || self.additions.len() >= BATCH_IMAGES
            || Instant::now() >= self.batch_due
        {
            self.commit()?;
        }
        Ok(())
    }

    /// Notes that an image looks like another, or leaves it out for that one.
    fn compare(
        &mut self,
        outcome: &mut Outcome,
        addition: &mut Addition,
    ) -> Result<(), ImportError> {
        let (Some(store), Some((record, _))) = (self.store, &addition.image) else { return Ok(()) };
        let Some(other) = self.looks.find(store, addition.id, record)? else {
            self.looks.add(addition.id, record);
            return Ok(());
        };
        let record_hash = record.source_hash;
        let report = &mut outcome.report;
        if !self.options.skip_similar {
            self.looks.add(addition.id, record);
            report.notes.push(format!("looks like {other}"));
            return Ok(());
        }
        report.status = FileStatus::Duplicate;
        report.notes.push(format!("left out: it looks like {other}"));
        (report.id, report.bytes_out) = (Some(other), None);
        addition.id = other;
        addition.image = None;
        addition.renditions.clear();
        addition.tags.clear();
        addition.source = left_out_key(&record_hash, self.options.settings.hash());
        // The file is not what the other image came from: when it goes, the other stays.
        addition.origin = None;
        if let Some(file) = &mut outcome.file {
            file.keep = Some("it was left out");
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), ImportError> {
        let Some(store) = self.store else { return Ok(()) };
        if self.additions.is_empty() {
            return Ok(());
        }
        let added = store.add(&self.additions)?;
        self.additions.clear();
        self.permits.clear();
        self.batch_bytes = 0;
        for (mut outcome, added) in std::mem::take(&mut self.outcomes).into_iter().zip(added) {
            let report = &mut outcome.report;
            match added {
                Added::Existing if report.status == FileStatus::Imported => {
                    report.status = FileStatus::Duplicate
                }
                Added::New | Added::Existing => {}
                Added::Gone => {
                    report.status = FileStatus::Failed;
                    report.reason =
                        Some("removed by another process meanwhile; import it again".into());
                }
            }
            self.settle(outcome)?;
        }
        Ok(())
    }

    /// Settles the files whose bytes came twice.
    pub(super) fn settle_twins(&mut self) -> Result<(), ImportError> {
        for (mut outcome, source, tags) in std::mem::take(&mut self.twins) {
            let report = &mut outcome.report;
            report.status = FileStatus::Duplicate;
            let (Some(store), Some(file)) = (self.store, &outcome.file) else {
                self.settle(outcome)?;
                continue;
            };
            match store.source(&source)? {
                Some((id, record)) => {
                    report.describe(&record);
                    report.id = Some(id);
                    let origin = Some(file.origin(self.options.delete_originals));
                    let addition =
                        Addition { id, image: None, tags, renditions: Vec::new(), source, origin };
                    self.enqueue(outcome, addition)?;
                }
                None if self.options.skip_similar
                    && let Some((id, record)) = store
                        .source(&left_out_key(&file.hash, self.options.settings.hash()))? =>
                {
                    let mut outcome = outcome.left_out(id, &record);
                    outcome.report.status = FileStatus::Duplicate;
                    self.settle(outcome)?;
                }
                None => {
                    report.status = FileStatus::Failed;
                    report.reason = Some(
                        "the same bytes as another file of this import, which was not imported"
                            .into(),
                    );
                    self.settle(outcome)?;
                }
            }
        }
        self.commit()
    }

    /// Removes the images whose files are gone from `roots`, and gives the sums.
    pub(super) fn finish(
        mut self,
        roots: &[PathBuf],
        prune: bool,
    ) -> Result<ImportSummary, ImportError> {
        if let Some(store) = self.store.filter(|_| prune) {
            let (removed, left_alone) = originals::prune(store, roots, self.met)?;
            for (path, id) in removed {
                self.tell(&FileReport {
                    status: FileStatus::Removed,
                    id: Some(id),
                    ..FileReport::blank(path)
                })?;
            }
            self.summary.not_pruned = left_alone;
        }
        Ok(self.summary)
    }

    /// Everything about a file is done but saying so, and deleting it if that is wished.
    fn settle(&mut self, mut outcome: Outcome) -> Result<(), ImportError> {
        if let Some(file) = outcome.file.take() {
            let FileReport { status, notes, .. } = &mut outcome.report;
            let stored = matches!(
                status,
                FileStatus::Imported | FileStatus::AlreadyPresent | FileStatus::Duplicate
            );
            if stored && self.options.delete_originals && self.store.is_some() {
                match originals::delete(&file) {
                    Ok(()) => notes.push("original deleted".into()),
                    Err(reason) => notes.push(format!("original kept: {reason}")),
                }
            }
            let content = match status {
                FileStatus::NotImage => Content::NotAPicture,
                _ if stored => Content::Picture(file.hash),
                _ => Content::Unknown,
            };
            self.met.add(file.source.absolute, Some(file.source.stamp), content);
        }
        self.tell(&outcome.report)
    }

    fn tell(&mut self, report: &FileReport) -> Result<(), ImportError> {
        self.summary.count(report);
        self.observer.file_done(report).map_err(ImportError::Report)
    }
}

//! The committer: stores what the workers send, in batches, and reports each file once its commit is durable.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::report::{Report, Status, Summary};
use super::worker::Finished;
use super::{ImportError, Observer};
use crate::store::{Added, Addition, SourceKey, Store};

/// A batch is committed when it has this many bytes of images,
const BATCH_BYTES: usize = 16 << 20;
/// or this many images,
const BATCH_IMAGES: usize = 256;
/// or when its first image has waited this long: a server shows it within a second.
const BATCH_AGE: Duration = Duration::from_millis(500);

pub(super) struct Committer<'i> {
    store: Option<&'i Store>,
    observer: &'i mut dyn Observer,
    summary: Summary,
    reports: Vec<Report>,
    additions: Vec<Addition>,
    batch_bytes: usize,
    batch_due: Instant,
    twins: Vec<(Report, SourceKey, Vec<String>)>,
}

impl<'i> Committer<'i> {
    pub(super) fn new(store: Option<&'i Store>, observer: &'i mut dyn Observer) -> Self {
        Self {
            store,
            observer,
            summary: Summary::default(),
            reports: Vec::new(),
            additions: Vec::new(),
            batch_bytes: 0,
            batch_due: Instant::now(),
            twins: Vec::new(),
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
            Finished::Settled(report) => self.tell(&report),
            Finished::Pending { report, addition } => self.enqueue(report, addition),
            Finished::Twin { report, source, tags } => {
                self.twins.push((report, source, tags));
                Ok(())
            }
            Finished::Broken(error) => {
                // What the other workers converted is not lost with it.
                self.commit()?;
                Err(error.into())
            }
        }
    }

    fn enqueue(&mut self, report: Report, addition: Addition) -> Result<(), ImportError> {
        if self.additions.is_empty() {
            self.batch_due = Instant::now() + BATCH_AGE;
        }
        if let Addition::Image { webp, .. } = &addition {
            self.batch_bytes += webp.len();
        }
        self.reports.push(report);
        self.additions.push(addition);
        if self.batch_bytes >= BATCH_BYTES
            || self.additions.len() >= BATCH_IMAGES
            || Instant::now() >= self.batch_due
        {
            self.commit()?;
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
        self.batch_bytes = 0;
        for (mut report, added) in std::mem::take(&mut self.reports).into_iter().zip(added) {
            match added {
                Added::Existing if report.status == Status::Imported => report.status = Status::Duplicate,
                Added::New | Added::Existing => {}
                Added::Gone => {
                    report.status = Status::Failed;
                    report.reason = Some("removed by another process meanwhile; import it again".into());
                }
            }
            self.tell(&report)?;
        }
        Ok(())
    }

    /// Settles the files whose bytes came twice, and gives the sums.
    pub(super) fn finish(mut self) -> Result<Summary, ImportError> {
        for (mut report, source, tags) in std::mem::take(&mut self.twins) {
            report.status = Status::Duplicate;
            let Some(store) = self.store else {
                self.tell(&report)?;
                continue;
            };
            match store.source(&source)? {
                Some((id, record)) => {
                    report.describe(&record);
                    report.id = Some(id);
                    self.enqueue(report, Addition::Known { id, tags, source })?;
                }
                None => {
                    report.status = Status::Failed;
                    report.reason =
                        Some("the same bytes as another file of this import, which failed".into());
                    self.tell(&report)?;
                }
            }
        }
        self.commit()?;
        Ok(self.summary)
    }

    fn tell(&mut self, report: &Report) -> Result<(), ImportError> {
        self.summary.count(report);
        self.observer.file(report).map_err(ImportError::Report)
    }
}

//! Filling a gallery: walk, convert on all cores, commit in batches, report what is durable.
//!
//! A walk feeds workers through a bounded channel; they read, recognise and convert; one committer, the calling
//! thread, stores what they send. A file is reported only once what the report says is on disk. Source files are
//! only ever read.

mod commit;
mod report;
mod walk;
mod worker;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::codec::{Limits, Settings};
use crate::store::{Store, StoreError};
use commit::Committer;
pub use report::{Report, Status, Summary};
use walk::{Met, walk};
use worker::{Finished, Worker};

/// How to import.
#[derive(Clone, Debug)]
pub struct Options {
    pub settings: Settings,
    pub limits: Limits,
    /// Files converted at once; at least 1.
    pub jobs: usize,
    /// Put on every image.
    pub tags: Vec<String>,
    /// Whether the folders below each path are tags too.
    pub folder_tags: bool,
    /// Says what would happen and changes nothing.
    pub dry_run: bool,
}

/// Why an import ended early; what was reported before is in the gallery.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the report can't be written: {0}")]
    Report(#[source] io::Error),
}

/// Hears how an import goes, on the calling thread.
pub trait Observer {
    /// Before the first file: how many there are, and their bytes.
    fn planned(&mut self, files: u64, bytes: u64);

    /// After each file, once what `report` says is true and durable.
    ///
    /// # Errors
    /// When the observer can't keep the report; the import ends.
    fn file(&mut self, report: &Report) -> io::Result<()>;
}

/// Imports every picture below `roots`. `store` is `None` only in a dry run without a gallery. When `stop` becomes
/// true, what is converted is committed and the rest left.
///
/// # Errors
/// When the gallery can't be written or the report can't be kept. Files that can't be imported are reported instead.
pub fn import(
    store: Option<&Store>,
    roots: &[PathBuf],
    options: &Options,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Summary, ImportError> {
    let started = Instant::now();
    let met: Vec<Met> = roots.iter().flat_map(|root| walk(root)).collect();
    let sizes = met.iter().map(|met| if let Met::Source(source) = met { source.size_bytes } else { 0 });
    observer.planned(met.len() as u64, sizes.sum());

    let worker = Worker::new(store, options);
    let mut committer = Committer::new(store.filter(|_| !options.dry_run), observer);
    let jobs = options.jobs.max(1);
    thread::scope(|scope| {
        let (feed, sources) = bounded::<Met>(jobs);
        let (results, finished) = bounded::<Finished>(jobs);
        scope.spawn(move || feed_all(met, &feed, stop));
        for _ in 0..jobs {
            let (sources, results) = (sources.clone(), results.clone());
            let worker = &worker;
            scope.spawn(move || work(worker, &sources, &results, stop));
        }
        // The channels close, and so the threads end, when their other sides are gone: on an error too.
        drop((sources, results));
        committer.take_all(&finished)
    })?;
    let mut summary = committer.finish()?;
    summary.interrupted = stop.load(Ordering::Relaxed);
    summary.seconds = started.elapsed().as_secs_f64();
    Ok(summary)
}

fn feed_all(met: Vec<Met>, feed: &Sender<Met>, stop: &AtomicBool) {
    for met in met {
        if stop.load(Ordering::Relaxed) || feed.send(met).is_err() {
            return;
        }
    }
}

fn work(worker: &Worker<'_>, sources: &Receiver<Met>, results: &Sender<Finished>, stop: &AtomicBool) {
    for met in sources {
        if stop.load(Ordering::Relaxed) || results.send(worker.process(met)).is_err() {
            return;
        }
    }
}

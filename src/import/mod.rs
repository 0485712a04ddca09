//! Filling a gallery: walk, convert on all cores, commit in batches, report what is durable.
//!
//! A walk feeds workers through a bounded channel; they read, recognise and convert, within a common budget of memory; one
//! committer, the calling thread, stores what they send. A file is reported only once what the report says is on disk.
//! Source files are only ever read, unless their deletion is asked for.

mod budget;
mod commit;
mod originals;
mod report;
mod runner;
mod similar;
mod walk;
mod watch;
mod worker;

use std::cmp::Reverse;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::codec::{Limits, Settings};
use crate::store::{Store, StoreError};
use commit::Committer;
use originals::Content;
pub use originals::Sightings;
pub use report::{Report, Status, Summary};
use runner::Runner;
use walk::{Met, Source, is_temporary, walk};
pub use watch::watch;
use worker::{Finished, Worker};

/// Images that wait for the committer while it waits for the disk; their memory is counted.
const WAITING_IMAGES: usize = 256;

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
    /// Leaves out what looks like an image of the gallery.
    pub skip_similar: bool,
    /// Removes images whose files are gone from the paths.
    pub prune: bool,
    /// Deletes files once their images are durable.
    pub delete_originals: bool,
    /// Leaves files alone that were written less than this ago, and those that have the name of a temporary file: they may
    /// be half-written.
    pub settle: Option<Duration>,
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
    #[error(
        "the import's threads can't be started: {0}; \
         give fewer --jobs, or raise the limit of processes and threads (`ulimit -u`)"
    )]
    NoThread(#[source] io::Error),
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

/// Imports every picture below `roots`, but for files that `seen` shows to be as they were. `store` is `None` only in a dry run
/// without a gallery. When `stop` becomes true, what is converted is committed and the rest left. After that `seen` holds what
/// was met this time.
///
/// # Errors
/// When the gallery can't be written or the report can't be kept. Files that can't be imported are reported instead.
pub fn import(
    store: Option<&Store>,
    roots: &[PathBuf],
    options: &Options,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
    seen: &mut Sightings,
) -> Result<Summary, ImportError> {
    let started = Instant::now();
    let (met, mut now, unsettled) = plan(roots, options, seen);
    observer.planned(met.len() as u64, met.iter().map(size_bytes).sum());

    let worker = Worker::new(store, options);
    let store = store.filter(|_| !options.dry_run);
    let mut committer = Committer::new(store, options, observer, &mut now);
    let jobs = options.jobs.max(1);
    thread::scope(|scope| {
        let (feed, sources) = bounded::<Met>(jobs);
        let (results, finished) = bounded::<Finished>(WAITING_IMAGES);
        // `Scope::spawn` panics when there is no thread to be had.
        let thread = || thread::Builder::new().name("import".into());
        thread()
            .spawn_scoped(scope, move || feed_all(met, &feed, stop))
            .map_err(ImportError::NoThread)?;
        for _ in 0..jobs {
            let (sources, results) = (sources.clone(), results.clone());
            let worker = &worker;
            thread()
                .spawn_scoped(scope, move || work(worker, &sources, &results, stop))
                .map_err(ImportError::NoThread)?;
        }
        // The channels close, and so the threads end, when their other sides are gone: on an error too.
        drop((sources, results));
        committer.take_all(&finished)
    })?;
    committer.settle_twins()?;
    let interrupted = stop.load(Ordering::Relaxed);
    let mut summary = committer.finish(roots, options.prune && !interrupted)?;
    summary.interrupted = interrupted;
    summary.unsettled = unsettled;
    summary.seconds = started.elapsed().as_secs_f64();
    *seen = now;
    Ok(summary)
}

/// Walks the roots: what is to be looked at, the largest first, so that no core waits for one large picture at the end; what is
/// known of the other files; how many of those are too fresh.
fn plan(roots: &[PathBuf], options: &Options, seen: &Sightings) -> (Vec<Met>, Sightings, u64) {
    let mut now = Sightings::default();
    let mut unsettled = 0;
    let mut plan = Vec::new();
    for met in roots.iter().flat_map(|root| walk(root)) {
        match &met {
            Met::Failed { absolute, .. } => now.add(absolute.clone(), None, Content::Unknown),
            Met::Source(source) => {
                if let Some(known) = seen.of(&source.absolute, source.stamp) {
                    now.add(source.absolute.clone(), known.stamp, known.content);
                    continue;
                }
                if options.settle.is_some() && is_temporary(&source.path) {
                    continue;
                }
                if options.settle.is_some_and(|settle| is_fresh(source, settle)) {
                    now.add(source.absolute.clone(), None, Content::Unknown);
                    unsettled += 1;
                    continue;
                }
            }
            Met::Skipped { .. } => {}
        }
        plan.push(met);
    }
    plan.sort_by_key(|met| Reverse(size_bytes(met)));
    (plan, now, unsettled)
}

fn size_bytes(met: &Met) -> u64 {
    if let Met::Source(source) = met { source.stamp.size_bytes } else { 0 }
}

/// Whether the file was written less than `settle` ago. A time in the future says nothing.
fn is_fresh(source: &Source, settle: Duration) -> bool {
    let age =
        source.stamp.modified.and_then(|modified| SystemTime::now().duration_since(modified).ok());
    age.is_some_and(|age| age < settle)
}

fn feed_all(met: Vec<Met>, feed: &Sender<Met>, stop: &AtomicBool) {
    for met in met {
        if stop.load(Ordering::Relaxed) || feed.send(met).is_err() {
            return;
        }
    }
}

fn work(
    worker: &Worker<'_>,
    sources: &Receiver<Met>,
    results: &Sender<Finished>,
    stop: &AtomicBool,
) {
    let mut runner = Runner::start();
    for met in sources {
        if stop.load(Ordering::Relaxed) || results.send(worker.process(met, &mut runner)).is_err() {
            return;
        }
    }
}

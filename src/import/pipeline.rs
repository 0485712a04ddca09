//! The import itself: a walk, workers and a committer, joined by bounded channels.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::budget::MemoryBudget;
use super::commit::Committer;
use super::options::ImportOptions;
use super::outcome::WorkResult;
use super::plan::ImportPlan;
use super::report::{ImportError, ImportSummary, Observer};
use super::runner::Runner;
use super::scan_state::ScanState;
use super::walk::FoundEntry;
use super::worker::ImportWorker;
use crate::store::Store;

/// Number of images that may wait for the committer while it waits for the disk. Their memory is
/// counted.
const WAITING_IMAGES: usize = 256;

/// Imports every picture below `roots`, except files that `state` shows to be unchanged.
///
/// `store` is `None` only in a dry run without a gallery. When `stop` becomes true, what is
/// converted is committed and the rest left. On success `state` then holds what this import found.
///
/// # Errors
/// When the gallery can't be written or the report can't be kept. Files that can't be imported are
/// reported instead.
pub fn import(
    store: Option<&Store>,
    roots: &[PathBuf],
    options: &ImportOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
    state: &mut ScanState,
) -> Result<ImportSummary, ImportError> {
    let budget = MemoryBudget::new(options.limits.memory_bytes);
    import_within(&budget, store, roots, options, stop, observer, state)
}

/// As [`import`], within a budget that other imports of this process share, of which decoders that
/// were given up may still hold a part.
pub(super) fn import_within(
    budget: &Arc<MemoryBudget>,
    store: Option<&Store>,
    roots: &[PathBuf],
    options: &ImportOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
    state: &mut ScanState,
) -> Result<ImportSummary, ImportError> {
    let started = Instant::now();
    let plan = ImportPlan::new(roots, options, state, SystemTime::now());
    let ImportPlan { entries, state: mut new_state, unsettled, links, empty } = plan;
    let may_prune = new_state.may_prune(state, unsettled);
    observer.planned(entries.len() as u64, entries.iter().map(FoundEntry::size_bytes).sum());

    let worker = ImportWorker::new(store, options, budget);
    let mut committer = Committer::new(store, roots, options, observer, &mut new_state);
    let jobs = options.jobs.max(1);
    thread::scope(|scope| {
        let (feed, entries_to_do) = bounded::<FoundEntry>(jobs);
        let (results, results_to_take) = bounded::<WorkResult>(WAITING_IMAGES);
        // `Scope::spawn` panics when there is no thread to be had.
        let thread = || thread::Builder::new().name("import".into());
        thread()
            .spawn_scoped(scope, move || feed_all(entries, &feed, stop))
            .map_err(ImportError::NoThread)?;
        for _ in 0..jobs {
            let (entries, results) = (entries_to_do.clone(), results.clone());
            let worker = &worker;
            thread()
                .spawn_scoped(scope, move || work(worker, &entries, &results, stop))
                .map_err(ImportError::NoThread)?;
        }
        // A channel closes, and so its threads end, when its other side is gone: on an error too.
        drop((entries_to_do, results));
        committer.take_all(&results_to_take)
    })?;
    committer.settle_repeated()?;
    let interrupted = stop.load(Ordering::Relaxed);
    let prune = options.prune && !interrupted && may_prune;
    let mut summary = committer.finish(prune)?;
    summary.interrupted = interrupted;
    (summary.unsettled, summary.links, summary.empty) = (unsettled, links, empty);
    summary.seconds = started.elapsed().as_secs_f64();
    *state = new_state;
    Ok(summary)
}

fn feed_all(entries: Vec<FoundEntry>, feed: &Sender<FoundEntry>, stop: &AtomicBool) {
    for entry in entries {
        if stop.load(Ordering::Relaxed) || feed.send(entry).is_err() {
            return;
        }
    }
}

fn work(
    worker: &ImportWorker<'_>,
    entries: &Receiver<FoundEntry>,
    results: &Sender<WorkResult>,
    stop: &AtomicBool,
) {
    let mut runner = Runner::start();
    for entry in entries {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if results.send(worker.process(entry, &mut runner)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;
    use crate::codec::{DecodeLimits, Settings};
    use crate::import::exclude::ExcludeRules;
    use crate::import::report::FileReport;

    /// Keeps the reasons that are given.
    #[derive(Default)]
    struct Reasons(Vec<String>);

    impl Observer for Reasons {
        fn planned(&mut self, _files: u64, _bytes: u64) {}

        fn file_done(&mut self, report: &FileReport) -> io::Result<()> {
            self.0.extend(report.reason.clone());
            Ok(())
        }
    }

    #[test]
    fn a_file_for_which_decoders_left_no_memory_is_looked_at_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.png");
        image::RgbImage::new(10, 10).save(&file).unwrap();
        let options = ImportOptions {
            settings: Settings::default(),
            limits: DecodeLimits::default(),
            jobs: 1,
            tags: Vec::new(),
            folder_tags: false,
            metadata_tags: false,
            excludes: ExcludeRules::new([], true),
            skip_similar: false,
            again: false,
            prune: false,
            delete_originals: false,
            settle_time: None,
            dry_run: true,
        };
        let budget = MemoryBudget::with_patience(options.limits.memory_bytes, Duration::ZERO);
        let running = budget.reserve(options.limits.memory_bytes).unwrap();
        running.abandon();
        let mut state = ScanState::default();
        let mut import = |reasons: &mut Reasons| {
            let (roots, stop) = ([file.clone()], AtomicBool::new(false));
            import_within(&budget, None, &roots, &options, &stop, reasons, &mut state).unwrap()
        };
        let mut reasons = Reasons::default();
        assert_eq!(import(&mut reasons).failed, 1);
        assert!(reasons.0[0].contains("still run (1)") && reasons.0[0].contains("900 MB"));
        drop(running);
        assert_eq!(import(&mut reasons).imported, 1);
        assert_eq!(import(&mut reasons).imported, 0, "nothing is left to look at");
    }
}

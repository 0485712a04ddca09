//! Imports repeated as folders change, so that a gallery stays like them.
//!
//! An event only says that it is time to look. Each round walks the folders and compares what it
//! finds with the round before, so an event that was lost, doubled or late does no harm. Where
//! there are no events, as on network file systems, a look every minute finds the changes too.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::budget::MemoryBudget;
use super::options::ImportOptions;
use super::pipeline::import_within;
use super::report::{ImportError, ImportSummary, Observer};
use super::scan_state::ScanState;
use crate::store::{Locator, Store};

/// How long a file must have been left alone before it is looked at.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// A round begins when there was no event for this long.
const QUIET_TIME: Duration = Duration::from_millis(300);

/// A round begins at the latest this long after the first event, so that a folder that never rests
/// is looked at too.
const MAX_DELAY: Duration = Duration::from_secs(3);

/// Time between two rounds without any event.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Time until a round that failed, on a full disk perhaps, is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(15);

/// Longest time until a stop is noticed.
const STOP_POLL: Duration = Duration::from_millis(200);

/// Imports `roots` whenever something in them has changed, and removes the images of files that
/// went, until `stop`. Calls `round_done` after each round.
pub fn watch(
    store: &Store,
    roots: &[PathBuf],
    options: ImportOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
    mut round_done: impl FnMut(Result<ImportSummary, ImportError>),
) {
    let options = ImportOptions { prune: true, settle_time: Some(SETTLE_TIME), ..options };
    let (changed, changes) = bounded(1);
    let mut watcher = FolderWatcher::new(store.locator().clone(), &changed);
    let mut state = ScanState::default();
    // Decoders that are given up in one round hold their memory in the next.
    let budget = MemoryBudget::new(options.limits.memory_bytes);
    let mut version = store.version();
    while !stop.load(Ordering::Relaxed) {
        watcher.watch(roots);
        if !Store::is_same_file(version, store.version()) {
            // The images of the files that are known lay in a gallery that another one replaced.
            state = ScanState::default();
        }
        version = store.version();
        let result =
            import_within(&budget, Some(store), roots, &options, stop, observer, &mut state);
        let pause = match &result {
            Ok(summary) if summary.unsettled > 0 => SETTLE_TIME,
            Ok(_) => LOOK_INTERVAL,
            Err(_) => RETRY_INTERVAL,
        };
        round_done(result);
        wait(&changes, NextRound::new(pause, Instant::now()), stop);
    }
}

/// Returns when the next round is due, or at a stop.
fn wait(changes: &Receiver<()>, mut next: NextRound, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let Some(left) = next.time_left(Instant::now()) else { return };
        match changes.recv_timeout(left.min(STOP_POLL)) {
            Ok(()) => next.note_change(Instant::now()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// When the next round begins.
struct NextRound {
    due: Instant,
    first_change: Option<Instant>,
}

impl NextRound {
    /// Plans a round after `pause`, if nothing changes before.
    fn new(pause: Duration, now: Instant) -> Self {
        Self { due: now + pause, first_change: None }
    }

    fn note_change(&mut self, now: Instant) {
        let first = *self.first_change.get_or_insert(now);
        self.due = (now + QUIET_TIME).min(first + MAX_DELAY);
    }

    /// The time until the round; `None` when it is due.
    fn time_left(&self, now: Instant) -> Option<Duration> {
        self.due.checked_duration_since(now).filter(|left| !left.is_zero())
    }
}

/// Hears of changes below folders, as far as the system tells.
struct FolderWatcher {
    /// `None` when the system tells nothing.
    watcher: Option<RecommendedWatcher>,
    watched: Vec<PathBuf>,
    /// Keeps the channel open when there is no watcher.
    _changed: Sender<()>,
}

impl FolderWatcher {
    fn new(gallery: Locator, changed: &Sender<()>) -> Self {
        let send = changed.clone();
        let on_event = move |event: notify::Result<notify::Event>| {
            // After an error nobody knows which events were missed, so it counts as a change.
            if event.is_ok_and(|event| !is_change(&event, &gallery)) {
                return;
            }
            // An event that waits already is as good as two.
            let _ = send.try_send(());
        };
        // notify panics at its first use when it could not have a thread, so one is tried first.
        let watcher = thread::Builder::new()
            .spawn(|| ())
            .map(JoinHandle::join)
            .map_err(notify::Error::io)
            .and_then(|_| notify::recommended_watcher(on_event))
            .inspect_err(
                |error| tracing::warn!(%error, "changes are looked for once a minute only"),
            )
            .ok();
        Self { watcher, watched: Vec::new(), _changed: changed.clone() }
    }

    /// Begins to watch the roots that are not watched yet, and those that are new in the place of
    /// an old one.
    fn watch(&mut self, roots: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        self.watched.retain(|root| root.exists());
        for root in roots.iter().filter(|root| root.exists()) {
            if self.watched.contains(root) {
                continue;
            }
            if let Err(error) = watcher.watch(root, RecursiveMode::Recursive) {
                tracing::warn!(
                    folder = %root.display(),
                    %error,
                    "changes here are looked for once a minute only; \
                     is fs.inotify.max_user_watches large enough?"
                );
            }
            // A root that failed counts as watched: one warning is enough.
            self.watched.push(root.clone());
        }
    }
}

/// Whether a file may have come, changed or gone. Our own reading is no change, and neither is a
/// commit.
fn is_change(event: &notify::Event, gallery: &Locator) -> bool {
    let may_write = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    };
    let only_the_gallery =
        !event.paths.is_empty() && event.paths.iter().all(|path| gallery.holds(path));
    may_write && !only_the_gallery
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_begins_once_changes_stop_or_have_waited_long_enough() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut next = NextRound::new(LOOK_INTERVAL, start);
        assert_eq!(next.time_left(start), Some(LOOK_INTERVAL));

        next.note_change(at(1_000));
        assert!(next.time_left(at(1_299)).is_some() && next.time_left(at(1_300)).is_none());

        // Changes that never stop delay the round by three seconds at most.
        for millis in (1_100..3_900).step_by(100) {
            next.note_change(at(millis));
            assert!(next.time_left(at(millis)).is_some(), "at {millis}");
        }
        next.note_change(at(3_900));
        assert!(next.time_left(at(3_999)).is_some() && next.time_left(at(4_000)).is_none());
    }
}

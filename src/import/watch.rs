//! Keeping a gallery like its folders while they change.
//!
//! An event only says that it is time to look: each round walks the folders and compares what it meets with the round before,
//! so an event that was lost, doubled or late does no harm. Where there are no events, as on network file systems, a look every
//! minute finds the changes too.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::{ImportError, Observer, Options, Sightings, Summary, import};
use crate::store::{Locator, Store};

/// A file is looked at once it was left alone for this long.
const SETTLE: Duration = Duration::from_secs(1);

/// A round begins when there was no event for this long,
const QUIET: Duration = Duration::from_millis(300);
/// or when the first event is this old: a folder that never rests is looked at too.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks without any event.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Until a round that failed, on a full disk perhaps, is tried again.
const RETRY: Duration = Duration::from_secs(15);

/// How soon a stop is noticed.
const STOP_WITHIN: Duration = Duration::from_millis(200);

/// Imports `roots` again whenever something in them has changed, and removes the images of files that went, until `stop`. After
/// each round `done` hears how it went.
pub fn watch(
    store: &Store,
    roots: &[PathBuf],
    options: Options,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
    mut done: impl FnMut(Result<Summary, ImportError>),
) {
    let options = Options { prune: true, settle: Some(SETTLE), ..options };
    let (changed, changes) = bounded(1);
    let mut watcher = Watcher::new(store.locator().clone(), &changed);
    let mut seen = Sightings::default();
    while !stop.load(Ordering::Relaxed) {
        watcher.watch(roots);
        let round = import(Some(store), roots, &options, stop, observer, &mut seen);
        let next = match &round {
            Ok(summary) if summary.unsettled > 0 => SETTLE,
            Ok(_) => LOOK_EVERY,
            Err(_) => RETRY,
        };
        done(round);
        wait(&changes, next, stop);
    }
}

/// Returns after `longest`, or when a change has settled, or at a stop.
fn wait(changes: &Receiver<()>, longest: Duration, stop: &AtomicBool) {
    let mut end = Instant::now() + longest;
    let mut first_change = None;
    while Instant::now() < end && !stop.load(Ordering::Relaxed) {
        let left = end.saturating_duration_since(Instant::now());
        match changes.recv_timeout(left.min(STOP_WITHIN)) {
            Ok(()) => {
                let first = *first_change.get_or_insert_with(Instant::now);
                end = (Instant::now() + QUIET).min(first + PATIENCE);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Hears of changes below folders, as far as the system tells.
struct Watcher {
    watcher: Option<RecommendedWatcher>,
    watched: Vec<PathBuf>,
    /// Keeps the channel open when there is no watcher.
    _changed: Sender<()>,
}

impl Watcher {
    fn new(gallery: Locator, changed: &Sender<()>) -> Self {
        let send = changed.clone();
        let on_event = move |event: notify::Result<notify::Event>| {
            // Of an error it is not known what was missed.
            if event.is_ok_and(|event| !is_change(&event, &gallery)) {
                return;
            }
            // One that waits already is as good as two.
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

    /// Begins with the folders that are not watched yet, and with those that are new where an old one was.
    fn watch(&mut self, roots: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        self.watched.retain(|root| root.exists());
        for root in roots.iter().filter(|root| root.exists()) {
            if self.watched.contains(root) {
                continue;
            }
            if let Err(error) = watcher.watch(root, RecursiveMode::Recursive) {
                tracing::warn!(folder = %root.display(), %error, "changes here are looked for once a minute only; \
                    is fs.inotify.max_user_watches large enough?");
            }
            // Once is enough to say so.
            self.watched.push(root.clone());
        }
    }
}

/// Whether a file may have come, changed or gone. Our own reading is no change, and neither is a commit.
fn is_change(event: &notify::Event, gallery: &Locator) -> bool {
    let written = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    };
    let only_the_gallery =
        !event.paths.is_empty() && event.paths.iter().all(|path| gallery.holds(path));
    written && !only_the_gallery
}

//! Starting threads and event loops, which the system may refuse.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

use super::panics;

/// The error of a thread that the system refuses, and what to do.
const NO_THREAD: &str = "no thread can be started; raise the limit of processes and threads \
                         (`ulimit -u`, TasksMax=, --pids-limit)";
/// Time until an idle blocking thread of [`event_loop`] ends: longer than any process runs.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Starts a thread.
pub(super) fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(work).context(NO_THREAD)
}

/// Runs `work` on a thread of its own and waits for it, so that the memory that it needed goes back
/// to the system with that thread.
pub(super) fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    start(name, work)?.join().map_err(|_| anyhow::anyhow!("the thread {name:?} panicked"))
}

/// Makes an event loop for this thread, with a blocking thread that stays. tokio panics in
/// `spawn_blocking` when the first blocking thread can't be started; when a further one can't, the
/// work waits for one that is there.
pub(super) fn event_loop() -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    let event_loop = builder
        .enable_all()
        .thread_keep_alive(FOREVER)
        .build()
        .context("the event loop can't be made")?;
    panics::catch(|| event_loop.spawn_blocking(|| ())).context(NO_THREAD)?;
    Ok(event_loop)
}

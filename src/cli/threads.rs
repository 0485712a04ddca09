//! Starting threads and event loops, which the system may refuse.

use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

use super::panics;

/// Says that the system refuses a thread, and what to do.
const NO_THREAD: &str = "no thread can be started; raise the limit of processes and threads \
                         (`ulimit -u`, TasksMax=, --pids-limit)";

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

/// Makes an event loop for this thread, with a blocking thread that is idle for 10 seconds. tokio
/// panics in `spawn_blocking` when it can't start the first blocking thread; when it can't start a
/// further one, the work waits for those that are there.
pub(super) fn event_loop() -> anyhow::Result<Runtime> {
    let event_loop = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the event loop can't be made")?;
    panics::catch(|| event_loop.spawn_blocking(|| ())).context(NO_THREAD)?;
    Ok(event_loop)
}

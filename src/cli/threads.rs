//! Starting threads and event loops, which the system may refuse.

use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

use super::panics;
use crate::allocator;

/// Says that the system refuses a thread, and what to do.
const NO_THREAD: &str = "no thread can be started; raise the limit of processes and threads \
                         (`ulimit -u`, TasksMax=, --pids-limit)";

/// Starts a thread, or says what to do when the system refuses one.
pub(super) fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(work).context(NO_THREAD)
}

/// Runs `work` on a thread of its own and waits for it, so that the memory that it needed goes back
/// to the system with that thread.
pub(super) fn run_on_own_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    let result =
        start(name, work)?.join().map_err(|_| anyhow::anyhow!("the thread {name:?} panicked"));
    allocator::give_back_freed();
    result
}

/// Makes an event loop for this thread, and starts one blocking thread ahead.
///
/// tokio panics in `spawn_blocking` when it can't start its first blocking thread; when it can't
/// start a further one, the work waits. The thread ends after it has idled for 10 seconds.
pub(super) fn event_loop() -> anyhow::Result<Runtime> {
    let event_loop = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the event loop can't be made")?;
    panics::catch(|| event_loop.spawn_blocking(|| ())).context(NO_THREAD)?;
    Ok(event_loop)
}

//! A thread that converts one picture at a time, and is given up when a decoder does not come back.
//!
//! Decoders look at the clock whenever they read, or are stopped from here, see `codec::Timer`. One
//! that does neither can only be left behind: its thread goes on until it ends or the process does,
//! and costs a core until then, and its memory, which the budget does not give to others. Its file
//! is lost, and nothing else.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::budget::MemoryPermit;
use crate::codec::{CodecError, Timer};

/// How long a decoder may be over its time before it is given up.
const GRACE: Duration = Duration::from_secs(5);

/// Time between two looks at a decoder that is still running.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Stack size of the thread, in bytes. The default of 2 MiB is tight for some decoders that
/// recurse.
const STACK_BYTES: usize = 8 << 20;

/// A conversion together with the channel that takes its result.
type Task = Box<dyn FnOnce() + Send>;

/// The thread's owner, which waits for each of its results.
pub(super) struct Runner {
    tasks: Sender<Task>,
    poll_interval: Duration,
}

impl Runner {
    pub(super) fn start() -> Self {
        Self { tasks: start_thread(), poll_interval: POLL_INTERVAL }
    }

    /// Runs a job on this runner's thread, or gives it up once its decoders took `time_limit` and
    /// some grace. The thread holds `permit`, too, until the job ends.
    pub(super) fn run<T: Send + 'static>(
        &mut self,
        time_limit: Duration,
        permit: &MemoryPermit,
        job: impl FnOnce(&Timer) -> Result<T, CodecError> + Send + 'static,
    ) -> Result<T, CodecError> {
        let is_overdue = |timer: &Timer| timer.spent() > time_limit.saturating_add(GRACE);
        self.run_until(time_limit, permit, is_overdue, job)
    }

    fn run_until<T: Send + 'static>(
        &mut self,
        time_limit: Duration,
        permit: &MemoryPermit,
        is_overdue: impl Fn(&Timer) -> bool,
        job: impl FnOnce(&Timer) -> Result<T, CodecError> + Send + 'static,
    ) -> Result<T, CodecError> {
        let timer = Arc::new(Timer::new(time_limit));
        let (send, result) = bounded(1);
        let task = {
            let (timer, permit) = (Arc::clone(&timer), permit.clone());
            move || {
                // Nobody waits any more for the result of a job that was given up. The result is
                // then dropped before the permit, which stands for its memory.
                let _ = send.send(job(&timer));
                drop(permit);
            }
        };
        if self.tasks.send(Box::new(task)).is_err() {
            self.tasks = start_thread();
            return Err(CodecError::NoThread);
        }
        loop {
            let error = match result.recv_timeout(self.poll_interval) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) if !is_overdue(&timer) => {
                    timer.stop_overdue();
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {
                    permit.abandon();
                    CodecError::TooSlow { limit: time_limit }
                }
                Err(RecvTimeoutError::Disconnected) => CodecError::NoThread,
            };
            self.tasks = start_thread();
            return Err(error);
        }
    }
}

/// Starts a thread that runs the tasks sent to it, until the sender is dropped.
fn start_thread() -> Sender<Task> {
    let (tasks, received) = bounded::<Task>(1);
    let work = move || received.into_iter().for_each(|task| task());
    // If no thread can be had, the channel is closed, and the next job fails with `NoThread`.
    let _ = thread::Builder::new().name("convert".into()).stack_size(STACK_BYTES).spawn(work);
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::budget::MemoryBudget;

    const LIMIT: Duration = Duration::from_secs(60);

    fn runner() -> Runner {
        Runner { tasks: start_thread(), poll_interval: Duration::from_millis(1) }
    }

    #[test]
    fn a_decoder_that_does_not_come_back_is_left_behind() {
        let mut runner = runner();
        let budget = MemoryBudget::new(100);
        let permit = budget.reserve(60).unwrap();
        // The job ends only once the test drops `release`.
        let (release, stuck) = bounded::<()>(0);
        let lost = runner.run_until(
            LIMIT,
            &permit,
            |_| true,
            move |_| {
                let _ = stuck.recv();
                Ok(())
            },
        );
        assert!(matches!(lost, Err(CodecError::TooSlow { limit: LIMIT })));
        drop(permit);
        // The stuck job holds its memory until it ends.
        let next = budget.reserve(40).unwrap();
        assert!(!next.try_resize(41));
        assert_eq!(runner.run(LIMIT, &next, |_| Ok("next")).unwrap(), "next");
        // Nor does anybody wait for it at the end.
        drop(runner);
        assert!(!next.try_resize(100));
        drop(release);
        while !next.try_resize(100) {
            thread::yield_now();
        }
    }

    #[test]
    fn a_job_that_panics_costs_its_own_result_only() {
        let mut runner = runner();
        let permit = MemoryBudget::new(100).reserve(60).unwrap();
        let lost: Result<(), CodecError> = runner.run(LIMIT, &permit, |_| panic!("on purpose"));
        assert!(matches!(lost, Err(CodecError::NoThread)));
        assert_eq!(runner.run(LIMIT, &permit, |_| Ok("next")).unwrap(), "next");
    }
}

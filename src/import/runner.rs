//! A thread that converts one picture at a time, and is given up when a decoder does not come back.
//!
//! Decoders look at the clock whenever they read, see `codec::Timer`; one that loops without reading can only be left
//! behind. Its thread goes on until it ends or the process does, and costs a core until then; its file is lost, and
//! nothing else.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::codec::{self, CodecError, Converted, DecodeLimits, Settings, Timer};

/// How long a decoder may be late before it is given up.
const GRACE: Duration = Duration::from_secs(5);

/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Enough for any decoder; the default of threads, 2 MiB, is tight for some that recurse.
const STACK_BYTES: usize = 8 << 20;

pub(super) struct Job {
    pub(super) source: Vec<u8>,
    pub(super) settings: Arc<Settings>,
    pub(super) limits: DecodeLimits,
    /// What the job was weighed at.
    pub(super) memory_bytes: u64,
    /// Only the renditions, of an image that the gallery has.
    pub(super) only_renditions: bool,
}

/// What a job gave.
pub(super) enum Made {
    Image(Box<Converted>),
    Renditions(Vec<(u16, Vec<u8>)>),
}

type Outcome = Result<Made, CodecError>;

pub(super) struct Runner {
    jobs: Sender<(Job, Arc<Timer>)>,
    outcomes: Receiver<Outcome>,
}

impl Runner {
    pub(super) fn start() -> Self {
        let (jobs, received) = bounded::<(Job, Arc<Timer>)>(1);
        let (send, outcomes) = bounded(1);
        let work = move || {
            for (job, timer) in received {
                if send.send(run(job, &timer)).is_err() {
                    return;
                }
            }
        };
        // When there can be no more threads, the channels are closed, and each job says so.
        let _ = thread::Builder::new().name("convert".into()).stack_size(STACK_BYTES).spawn(work);
        Self { jobs, outcomes }
    }

    /// Runs a job on this runner's thread, or gives it up.
    pub(super) fn run(&mut self, job: Job) -> Outcome {
        let timer = Arc::new(Timer::new(job.limits.decode_time));
        let limit = job.limits.decode_time;
        if self.jobs.send((job, Arc::clone(&timer))).is_err() {
            *self = Self::start();
            return Err(CodecError::NoThread);
        }
        loop {
            match self.outcomes.recv_timeout(LOOK_EVERY) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Timeout) if timer.spent() <= limit + GRACE => {}
                Err(RecvTimeoutError::Timeout) => {
                    *self = Self::start();
                    return Err(CodecError::TooSlow { limit });
                }
                Err(RecvTimeoutError::Disconnected) => {
                    *self = Self::start();
                    return Err(CodecError::NoThread);
                }
            }
        }
    }
}

fn run(job: Job, timer: &Timer) -> Outcome {
    let Job { source, settings, limits, memory_bytes, only_renditions } = job;
    codec::give_back_freed(memory_bytes);
    let made = if only_renditions {
        codec::render(&source, &settings, &limits, timer).map(Made::Renditions)
    } else {
        codec::convert(source, &settings, &limits, timer)
            .map(|converted| Made::Image(Box::new(converted)))
    };
    codec::give_back_freed(memory_bytes);
    made
}

//! The state of a connection that two threads share: whether it is idle, and has to close.
//!
//! The thread that serves the connection reports when it begins and ends to respond. The accept
//! loop asks connections to close, and evicts idle ones to make room. Whether a connection is idle
//! and whether it was evicted is one atomic word, so it is either evicted or answers a request,
//! never both. `close_signal_model.rs` checks that for every interleaving of the two threads.

use std::task::Waker;

use super::sync::{AtomicU8, AtomicU64, AtomicWaker, Ordering};

/// State of a connection that is sending a response.
const RESPONDING: u64 = u64::MAX;
/// State of a connection that was evicted while it was idle. It is final.
const EVICTED: u64 = u64::MAX - 1;

/// How a connection is asked to close. Later ones are stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CloseRequest {
    /// It may go on.
    None,
    /// It ends once the responses under way are sent.
    Graceful,
    /// It ends now.
    Immediate,
}

/// Whether a connection is idle and whether it has to close.
pub(super) struct CloseSignal {
    /// Since when the connection has been idle, in milliseconds, or [`RESPONDING`] or [`EVICTED`].
    idle_since: AtomicU64,
    request: AtomicU8,
    /// The task that serves the connection.
    task: AtomicWaker,
}

impl CloseSignal {
    /// Returns the signal of a connection that is idle since `now`, in milliseconds.
    pub(super) fn new(now: u64) -> Self {
        Self {
            idle_since: AtomicU64::new(now),
            request: AtomicU8::new(CloseRequest::None as u8),
            task: AtomicWaker::new(),
        }
    }

    /// Marks the connection as responding, so that it is not evicted; false if it already was.
    pub(super) fn begin_responding(&self) -> bool {
        let current = self.idle_since.load(Ordering::Relaxed);
        // Only an eviction writes the word beside this thread, and an eviction is final.
        current != EVICTED
            && self
                .idle_since
                .compare_exchange(current, RESPONDING, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Marks a connection that was responding as idle since `now`, in milliseconds.
    pub(super) fn end_responding(&self, now: u64) {
        let now = now.min(EVICTED - 1);
        // A connection that was evicted stays so.
        let _ =
            self.idle_since.compare_exchange(RESPONDING, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Since when the connection is idle, in milliseconds; `None` if it is not, or is evicted.
    pub(super) fn idle_since(&self) -> Option<u64> {
        Some(self.idle_since.load(Ordering::Relaxed)).filter(|since| *since < EVICTED)
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.idle_since.load(Ordering::Relaxed) == EVICTED
    }

    /// Closes the connection if it is still idle since the given time; returns whether it was.
    pub(super) fn evict(&self, idle_since: u64) -> bool {
        let evicted = self
            .idle_since
            .compare_exchange(idle_since, EVICTED, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if evicted {
            self.request(CloseRequest::Immediate);
        }
        evicted
    }

    /// Asks the connection to close. A weaker request than an earlier one changes nothing.
    pub(super) fn request(&self, request: CloseRequest) {
        self.request.fetch_max(request as u8, Ordering::Release);
        self.task.wake();
    }

    /// Returns the strongest request so far, and wakes the task when there is another.
    pub(super) fn watch(&self, task: &Waker) -> CloseRequest {
        // The order matters: a request that comes between the two is read or wakes the task.
        self.task.register(task);
        match self.request.load(Ordering::Acquire) {
            request if request == CloseRequest::None as u8 => CloseRequest::None,
            request if request == CloseRequest::Graceful as u8 => CloseRequest::Graceful,
            _ => CloseRequest::Immediate,
        }
    }
}

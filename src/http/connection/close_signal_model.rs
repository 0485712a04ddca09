//! Checks `close_signal` for every interleaving of the two threads that share it.
//!
//! The loom crate (<https://docs.rs/loom>) runs each model once for every order in which the
//! threads' accesses can take effect under the memory model of C11, with its own atomics in the
//! place of `sync`.

use loom::sync::Arc;
use loom::thread;

use close_signal::{CloseRequest, CloseSignal};

/// The atomics of loom in the place of those of `super::sync`.
mod sync {
    use std::task::Waker;

    pub(super) use loom::sync::atomic::{AtomicU8, AtomicU64, Ordering};

    /// A waker of loom's, called as the atomic-waker crate's is.
    pub(super) struct AtomicWaker(loom::future::AtomicWaker);

    impl AtomicWaker {
        pub(super) fn new() -> Self {
            Self(loom::future::AtomicWaker::new())
        }

        pub(super) fn register(&self, waker: &Waker) {
            self.0.register_by_ref(waker);
        }

        pub(super) fn wake(&self) {
            self.0.wake();
        }
    }
}

#[path = "close_signal.rs"]
mod close_signal;

/// The accept loop evicted a connection while its request arrived: the response was cut.
#[test]
fn a_connection_is_evicted_or_answers_never_both() {
    loom::model(|| {
        let signal = Arc::new(CloseSignal::new(1));
        let evicting = thread::spawn({
            let signal = Arc::clone(&signal);
            move || signal.idle_since().is_some_and(|since| signal.evict(since))
        });
        let answers = signal.begin_responding();
        let is_evicted = evicting.join().unwrap();
        assert_ne!(answers, is_evicted);
        assert_eq!(signal.is_evicted(), is_evicted);
    });
}

#[test]
fn an_eviction_is_never_taken_back() {
    loom::model(|| {
        let signal = Arc::new(CloseSignal::new(1));
        let evicting = thread::spawn({
            let signal = Arc::clone(&signal);
            move || signal.idle_since().is_some_and(|since| signal.evict(since))
        });
        if signal.begin_responding() {
            signal.end_responding(2);
        }
        if evicting.join().unwrap() {
            assert!(signal.is_evicted());
            assert!(!signal.begin_responding());
        } else {
            assert_eq!(signal.idle_since(), Some(2));
        }
    });
}

/// A request to close that came while the task registered itself could be missed by both sides.
#[test]
fn a_request_to_close_is_seen_or_wakes_the_task() {
    loom::model(|| {
        let signal = Arc::new(CloseSignal::new(1));
        let closing = thread::spawn({
            let signal = Arc::clone(&signal);
            move || signal.request(CloseRequest::Graceful)
        });
        // Never ends if the request is missed, which loom reports as a deadlock.
        loom::future::block_on(std::future::poll_fn(|context| {
            match signal.watch(context.waker()) {
                CloseRequest::None => std::task::Poll::Pending,
                _ => std::task::Poll::Ready(()),
            }
        }));
        closing.join().unwrap();
    });
}

#[test]
fn of_two_requests_the_stronger_one_stays() {
    loom::model(|| {
        let signal = Arc::new(CloseSignal::new(1));
        let closing = thread::spawn({
            let signal = Arc::clone(&signal);
            move || signal.request(CloseRequest::Graceful)
        });
        signal.request(CloseRequest::Immediate);
        closing.join().unwrap();
        let task = std::task::Waker::noop();
        assert_eq!(signal.watch(task), CloseRequest::Immediate);
    });
}

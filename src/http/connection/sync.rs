//! The atomics that `close_signal` is built of; its loom model puts others in their place.

pub(super) use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

pub(super) use atomic_waker::AtomicWaker;

//! Panics that are caught are not printed, because whoever catches them says what was lost.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

use crate::codec;

thread_local! {
    /// Whether [`catch`] would catch a panic on this thread just now.
    static CATCHES_PANICS: Cell<bool> = const { Cell::new(false) };
}

/// Keeps panics that are caught, here or around a decoder, off stderr.
pub fn hide_caught_panics() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !codec::catches_panics() && !CATCHES_PANICS.get() {
            print(panic);
        }
    }));
}

/// Returns what `work` returns, or `None` if it panics. It is for crates that panic where they
/// could return an error; what `work` changes may be half-changed then.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Option<T> {
    CATCHES_PANICS.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    CATCHES_PANICS.set(false);
    result.ok()
}

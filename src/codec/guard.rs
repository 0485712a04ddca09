//! Turns a panic of a decoder into an error of its source.
//!
//! Many decoders can panic on hostile bytes; such a source must not end the import.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::CodecError;
use super::sniff::PictureFormat;

thread_local! {
    static CATCHES_PANICS: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread would become the error of a source just now, so that it need not
/// be printed.
#[must_use]
pub fn catches_panics() -> bool {
    CATCHES_PANICS.get()
}

/// Runs `work`, and returns an error if it panics.
pub(super) fn guard<T>(
    format: PictureFormat,
    work: impl FnOnce() -> Result<T, CodecError>,
) -> Result<T, CodecError> {
    // Unwind safety: nothing that `work` borrows mutably outlives it, so nobody can see a value
    // that a panic left half changed.
    CATCHES_PANICS.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CATCHES_PANICS.set(false);
    result.unwrap_or_else(|panic: Box<dyn Any + Send>| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|message| (*message).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(CodecError::Panicked { format, message })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_decoder_is_the_error_of_its_source() {
        assert!(!catches_panics());
        let lost = guard::<()>(PictureFormat::Gif, || {
            assert!(catches_panics());
            panic!("frame {} is odd", 7)
        });
        assert_eq!(lost.unwrap_err().to_string(), "the GIF decoder gave up: frame 7 is odd");
        assert!(!catches_panics());
    }
}

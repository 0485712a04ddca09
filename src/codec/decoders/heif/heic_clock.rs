//! Stops the HEVC decoder within a slice once its time is over.
//!
//! A slice of a few bytes may stand for a picture of any size. The decoder has no way to be told to
//! stop, so what it hands its blocks to unwinds through it, which a decoder without `unsafe` bears:
//! its state is dropped with the picture.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use heifer_hevc_dec::recon::Reconstructor;
use heifer_hevc_dec::syntax::{CodingUnit, SaoParams, Sink, TransformBlock};

use crate::codec::error::CodecError;
use crate::codec::timer::Timer;

/// Hands blocks on to the picture, and looks at the clock.
pub(super) struct TimedSink<'s, 'p> {
    pub(super) picture: &'s mut Reconstructor<'p>,
    pub(super) timer: &'s Timer,
    /// Number of coding units so far.
    pub(super) units: u32,
}

impl TimedSink<'_, '_> {
    /// Number of coding units, of 64 to 4,096 pixels, for each look at the clock.
    const UNITS_PER_CHECK: u32 = 64;
}

/// Runs what hands its blocks to a [`TimedSink`].
///
/// # Errors
/// Fails when the time was over. Other panics go on.
pub(super) fn stop_by_panic<T>(decode: impl FnOnce() -> T) -> Result<T, CodecError> {
    catch_unwind(AssertUnwindSafe(decode)).map_err(|panic: Box<dyn Any + Send>| {
        match panic.downcast::<CodecError>() {
            Ok(error) => *error,
            Err(other) => resume_unwind(other),
        }
    })
}

impl Sink for TimedSink<'_, '_> {
    fn sao(&mut self, ctb_x: u32, ctb_y: u32, params: &SaoParams) {
        self.picture.sao(ctb_x, ctb_y, params);
    }

    fn transform_block(&mut self, block: &TransformBlock<'_>) {
        self.picture.transform_block(block);
    }

    fn pcm(&mut self, x: u32, y: u32, log2_size: u8, samples: [&[u16]; 3]) {
        self.picture.pcm(x, y, log2_size, samples);
    }

    fn coding_unit(&mut self, unit: &CodingUnit) {
        self.picture.coding_unit(unit);
        self.units = self.units.wrapping_add(1);
        if self.units.is_multiple_of(Self::UNITS_PER_CHECK)
            && let Err(error) = self.timer.check()
        {
            // This calls no panic hook, so nothing is printed.
            resume_unwind(Box::new(error));
        }
    }
}

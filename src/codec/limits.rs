//! Defines the limits on what a source may ask for: size, memory, time.
//!
//! A source that asks for more is refused before it gets any of it.
//!
//! How the time is measured is in `timer`.

use std::time::Duration;

use super::error::CodecError;
use super::header::Header;

/// The limits on one source, all of which it must keep.
#[derive(Clone, Copy, Debug)]
pub struct DecodeLimits {
    /// Length of the source, in bytes.
    pub source_bytes: u64,
    /// Width times height of one frame.
    pub pixels: u64,
    /// Number of frames of an animation.
    pub frames: u32,
    /// Width times height times frames.
    pub total_pixels: u64,
    /// Peak memory of one conversion, the source included, in bytes.
    pub memory_bytes: u64,
    /// Time in decoders, over all frames. Encoding is not counted.
    pub decode_time: Duration,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            source_bytes: 256_000_000,
            pixels: 300_000_000,
            frames: 10_000,
            total_pixels: 2_000_000_000,
            memory_bytes: 900_000_000,
            decode_time: Duration::from_secs(60),
        }
    }
}

impl DecodeLimits {
    /// No limits, for pictures that are known to be good.
    pub const NONE: Self = Self {
        source_bytes: u64::MAX,
        pixels: u64::MAX,
        frames: u32::MAX,
        total_pixels: u64::MAX,
        memory_bytes: u64::MAX,
        decode_time: Duration::MAX,
    };

    /// Checks the limits on size, which are known from the header.
    pub(super) fn check(&self, header: &Header) -> Result<(), CodecError> {
        let Header { width, height, frames, .. } = *header;
        let pixels = u64::from(width) * u64::from(height);
        if pixels > self.pixels {
            return Err(CodecError::TooManyPixels { width, height, limit: self.pixels });
        }
        if frames > self.frames {
            return Err(CodecError::TooManyFrames { frames, limit: self.frames });
        }
        if pixels * u64::from(frames) > self.total_pixels {
            return Err(CodecError::TooManyTotalPixels {
                frames,
                width,
                height,
                limit: self.total_pixels,
            });
        }
        Ok(())
    }
}

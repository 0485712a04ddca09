//! Animations, one composed frame after the other.

use image::metadata::Orientation;

use crate::codec::error::CodecError;

/// One composed frame.
pub(crate) struct Frame {
    /// The whole canvas.
    pub(crate) rgba: Vec<u8>,
    pub(crate) duration_ms: u32,
}

/// An animation that is decoded frame by frame.
pub(crate) trait Frames {
    /// The next frame; `None` after the last.
    fn next(&mut self) -> Result<Option<Frame>, CodecError>;
    /// How often it loop_count, 0 for ever; known once the first frame is decoded.
    fn loop_count(&self) -> u16;
    fn profile(&self) -> Option<Vec<u8>>;
    fn orientation(&self) -> Orientation;
    /// Whether there are frames that can't be read behind the last.
    fn is_truncated(&mut self) -> bool {
        false
    }
}

pub(crate) const TRUNCATED_NOTE: &str = "frames behind the last one shown are broken";

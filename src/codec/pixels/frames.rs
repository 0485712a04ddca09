//! Defines how a decoded animation is read: one composed frame after the other.

use image::metadata::Orientation;

use super::profile::Profile;
use crate::codec::error::CodecError;

/// A composed frame of an animation.
pub(crate) struct Frame {
    /// Pixels of the whole canvas.
    pub(crate) rgba: Vec<u8>,
    /// Time for which the frame is shown, in milliseconds.
    pub(crate) duration_ms: u32,
}

/// An animation that is decoded frame by frame.
pub(crate) trait Frames {
    /// Decodes the next frame. Returns `None` after the last.
    fn next(&mut self) -> Result<Option<Frame>, CodecError>;
    /// Returns how often the animation plays, or 0 for ever. Known once the first frame is decoded.
    fn loop_count(&self) -> u16;
    /// Returns the ICC profile of all frames. Without one they are sRGB.
    fn profile(&self) -> Option<Profile>;
    /// Returns how to turn the frames upright.
    fn orientation(&self) -> Orientation;
    /// Returns a note on everything that the frames do not show. Known once all are decoded.
    fn damage(&self) -> Vec<String> {
        Vec::new()
    }
}

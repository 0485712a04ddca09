//! Defines how a decoded animation is read: one composed frame after the other.

use image::metadata::Orientation;

use super::profile::Profile;
use crate::codec::error::CodecError;

/// Longest delay that stands for "as fast as possible", in milliseconds.
const MAX_IGNORED_DELAY_MS: u32 = 10;

/// Time for which browsers show a frame with such a delay, in milliseconds.
const DEFAULT_DELAY_MS: u32 = 100;

/// Returns the time for which browsers show a frame of a GIF or PNG that has this delay.
pub(crate) const fn shown_ms(delay_ms: u32) -> u32 {
    if delay_ms <= MAX_IGNORED_DELAY_MS { DEFAULT_DELAY_MS } else { delay_ms }
}

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
    /// Returns what the user should know of frames that are shown as they are meant.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
    /// Returns a note on everything that the frames do not show. Known once all are decoded.
    fn damage(&self) -> Vec<String> {
        Vec::new()
    }
}

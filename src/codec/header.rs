//! What a source's headers say, before any pixel is decoded.

/// What a source's headers say, before any pixel is decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// Pixels as stored, not turned.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// 1 for a still picture.
    pub(crate) frames: u32,
    /// Memory until the picture, or one frame, is upright.
    pub(crate) decode_bytes: u64,
    /// Whether there may be transparency.
    pub(crate) alpha: bool,
    /// Whether the format keeps pixels as they were.
    pub(crate) lossless: bool,
}

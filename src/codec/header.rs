//! Defines what every decoder says of a picture before it decodes any pixel.

/// Size and needs of a picture, read from its headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// Width in pixels, as a rule before orientation is applied.
    pub(crate) width: u32,
    /// Height in pixels, as the width.
    pub(crate) height: u32,
    /// Number of frames, 1 for a still picture.
    pub(crate) frames: u32,
    /// Memory that decoding takes until the picture, or one frame, is upright, in bytes.
    pub(crate) decode_bytes: u64,
    /// Whether pixels may be transparent.
    pub(crate) alpha: bool,
    /// Whether the source is stored without loss.
    pub(crate) lossless: bool,
}

//! Defines the codec's error: why a source became no image.

use std::time::Duration;

use super::sniff::PictureFormat;

/// An error of any decoder, whatever its type.
pub(crate) type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// The reason why a source became no image.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("not a picture")]
    NotAPicture,
    /// What is known and no picture, with what to do.
    #[error("{0}")]
    OtherKind(&'static str),
    #[error("{0}: not supported by this build; export it as PNG or JPEG")]
    Unsupported(&'static str),
    #[error(
        "camera raw ({kind}) without a full-size preview: not supported by this build; export it \
         as JPEG or TIFF"
    )]
    RawWithoutPreview { kind: &'static str },
    #[error("corrupt or unsupported {format}: {source}")]
    Decode { format: PictureFormat, source: BoxedError },
    #[error("truncated {0}: the end of the picture is missing")]
    Truncated(PictureFormat),
    #[error("corrupt: {0}")]
    Container(&'static str),
    #[error("corrupt WebP: {0}")]
    Bitstream(webpx::Error),
    #[error("{width} x {height} pixels are more than --max-pixels {limit}")]
    TooManyPixels { width: u32, height: u32, limit: u64 },
    #[error("{frames} frames are more than --max-frames {limit}")]
    TooManyFrames { frames: u32, limit: u32 },
    #[error(
        "{frames} frames of {width} x {height} pixels are more than --max-total-pixels {limit}"
    )]
    TooManyTotalPixels { frames: u32, width: u32, height: u32, limit: u64 },
    #[error(
        "{width} x {height} pixels of this kind take up to {needed_mb} MB to convert, \
         more than --memory {limit_mb}MB",
        needed_mb = needed.div_ceil(1_000_000),
        limit_mb = limit / 1_000_000
    )]
    TooMuchMemory { width: u32, height: u32, needed: u64, limit: u64 },
    #[error(
        "{width} x {height} pixels take up to {needed_mb} MB to convert with {given}, \
         more than --memory {limit_mb}MB; {instead}, or raise --memory to {needed_mb}MB",
        needed_mb = needed.div_ceil(1_000_000),
        limit_mb = limit / 1_000_000
    )]
    FlagTakesMemory {
        width: u32,
        height: u32,
        needed: u64,
        limit: u64,
        /// The flag without which the picture would keep the limit.
        given: &'static str,
        /// What to do about it.
        instead: &'static str,
    },
    #[error("decoding took longer than --decode-time {}", humantime::format_duration(*limit))]
    TooSlow { limit: Duration },
    #[error("it could not be made smaller: {0}")]
    Resize(fast_image_resize::ResizeError),
    #[error("WebP could not be written: {0}")]
    Encode(webpx::Error),
    #[error("no thread could be started to convert it")]
    NoThread,
    #[error(
        "not converted: decoders that took longer than --decode-time still run ({decoders}) and \
         hold {held_mb} MB of --memory; import it again",
        held_mb = held_bytes.div_ceil(1_000_000)
    )]
    DecodersHang { decoders: usize, held_bytes: u64 },
    #[error("the {format} decoder gave up: {message}")]
    Panicked { format: PictureFormat, message: String },
}

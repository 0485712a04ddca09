//! Pictures in, WebP out: untrusted bytes become pixels within limits, and pixels become WebP.
//!
//! Nothing here knows of galleries or files: a picture comes as bytes and leaves as [`Converted`]. In reading order:
//! `sniff` recognises a format, `decode` leads to its decoder, one file a format (`plain` has those that the image crate
//! decodes as they are), `raster` and `colour` make it upright and sRGB, `features`, `resize` and `yuv` compute what is
//! stored, `webp` and `animation` encode.

mod animation;
mod bmp;
mod canvas;
mod colour;
mod convert;
mod decode;
mod features;
mod gif;
mod guard;
#[cfg(any(feature = "avif", feature = "heic"))]
mod heif;
mod ico;
mod jpeg;
mod jpeg_markers;
#[cfg(feature = "jxl")]
mod jxl;
mod limits;
mod memory;
mod plain;
mod png;
mod raster;
mod resize;
mod riff;
mod sniff;
mod tiff;
mod transpose;
mod webp;
mod yuv;

use std::time::Duration;

pub use convert::{convert, memory_bytes, probe, render};
pub use guard::catches_panics;
pub use limits::{Limits, Timer};
pub use memory::give_back_freed;
pub use sniff::{Format, SNIFF_BYTES, Sniffed, sniff};

/// Most pixels a side that WebP can hold.
pub const MAX_WEBP_SIDE: u32 = 16_383;

/// When pictures are stored without loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lossless {
    /// Where it is smaller, of sources that are themselves lossless and have few colours.
    Auto,
    Always,
    Never,
}

/// What shapes the result of a conversion, beside the source itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// libwebp's quality of lossy images, 0 to 100.
    pub quality: u8,
    pub lossless: Lossless,
    /// Widths of the renditions, ascending; those that are not smaller than the image are left out.
    pub renditions: Vec<u16>,
}

impl Settings {
    /// Names what shapes the image itself: the same source under the same hash gives the same image. Renditions lie
    /// beside it and do not count.
    #[must_use]
    pub fn hash(&self) -> [u8; 8] {
        let mut hash = [0; 8];
        let text = format!("imagepool 1: quality {}, lossless {:?}", self.quality, self.lossless);
        hash.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..8]);
        hash
    }
}

/// A source as a gallery keeps it.
#[derive(Debug)]
pub struct Converted {
    pub webp: Vec<u8>,
    pub format: Format,
    /// Pixels, orientation applied.
    pub width: u32,
    /// Pixels, orientation applied.
    pub height: u32,
    /// Of the stored image: repeated frames of a source are stored as one.
    pub frames: u32,
    /// Whether any pixel is less than opaque.
    pub alpha: bool,
    /// See [`crate::image::ImageRecord::thumbhash`].
    pub thumbhash: Vec<u8>,
    /// See [`crate::image::ImageRecord::color`].
    pub color: [u8; 3],
    /// See [`crate::image::ImageRecord::perceptual_hash`].
    pub perceptual_hash: u64,
    /// Widths, ascending, and WebP.
    pub renditions: Vec<(u16, Vec<u8>)>,
    /// The source holds more than the image does: further pages, or more pixels than WebP can. A note says what.
    pub partial: bool,
    /// What the person should know of the conversion, such as that the picture was scaled down.
    pub notes: Vec<String>,
}

/// What a source's headers say, before any pixel is decoded.
#[derive(Clone, Copy, Debug)]
struct Header {
    /// Pixels as stored, not turned.
    width: u32,
    height: u32,
    /// 1 for a still picture.
    frames: u32,
    /// Memory until the picture, or one frame, is upright.
    decode_bytes: u64,
    /// Whether there may be transparency.
    alpha: bool,
    /// Whether the format keeps pixels as they were.
    lossless: bool,
}

/// Why a source became no image.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("not a picture")]
    NotAPicture,
    #[error("{0}: not supported by this build")]
    Unsupported(&'static str),
    #[error("corrupt or unsupported {format}: {source}")]
    Decode { format: Format, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("truncated {0}: the end of the picture is missing")]
    Truncated(Format),
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
        "{width} x {height} pixels of this kind take up to {needed_mb} MB to convert, more than --memory {limit_mb}MB",
        needed_mb = needed.div_ceil(1_000_000),
        limit_mb = limit / 1_000_000
    )]
    TooMuchMemory { width: u32, height: u32, needed: u64, limit: u64 },
    #[error("decoding took longer than --decode-time {}", humantime::format_duration(*limit))]
    TooSlow { limit: Duration },
    #[error("it could not be made smaller: {0}")]
    Resize(fast_image_resize::ResizeError),
    #[error("WebP could not be written: {0}")]
    Encode(webpx::Error),
    #[error("no thread could be started to convert it")]
    NoThread,
    #[error("the {format} decoder gave up: {message}")]
    Panicked { format: Format, message: String },
}

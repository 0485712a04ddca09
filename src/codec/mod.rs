//! Pictures in, WebP out: untrusted bytes become pixels within limits, and pixels become WebP.
//!
//! Nothing here knows of galleries or files: a picture comes as bytes and leaves as [`Converted`]. Animations other
//! than WebP's own keep their first frame.

mod decode;
mod jpeg;
mod riff;
mod sniff;
mod webp;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::DynamicImage;

pub use sniff::{Format, SNIFF_BYTES, Sniffed, sniff};

/// Most pixels a side that WebP can hold.
pub const MAX_WEBP_SIDE: u32 = 16_383;

/// What shapes the result of a conversion, beside the source itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// libwebp's quality, 0 to 100.
    pub quality: u8,
}

impl Settings {
    /// Names these settings: the same source under the same hash gives the same image.
    #[must_use]
    pub fn hash(self) -> [u8; 8] {
        let mut hash = [0; 8];
        let text = format!("imagepool 1: quality {}", self.quality);
        hash.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..8]);
        hash
    }
}

/// What a source may ask for; whatever asks for more is refused before it is given.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Length of the source.
    pub source_bytes: u64,
    /// Width times height, of one frame.
    pub pixels: u64,
    /// Frames of an animation.
    pub frames: u32,
    /// Width times height times frames.
    pub total_pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { source_bytes: 256 << 20, pixels: 128 << 20, frames: 10_000, total_pixels: 4 << 30 }
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
    pub frames: u32,
    /// Whether any pixel is less than opaque.
    pub alpha: bool,
    /// See [`crate::image::ImageRecord::thumbhash`].
    pub thumbhash: Vec<u8>,
    /// See [`crate::image::ImageRecord::color`].
    pub color: [u8; 3],
    /// What the person should know of the conversion, such as that the picture was scaled down.
    pub notes: Vec<String>,
}

/// Why a source became no image.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("not a picture")]
    NotAPicture,
    #[error("{0}: not supported by this build")]
    Unsupported(&'static str),
    #[error("corrupt or unsupported {format}: {source}")]
    Decode { format: Format, source: image::ImageError },
    #[error("truncated {0}: the end of the picture is missing")]
    Truncated(Format),
    #[error("corrupt WebP: {0}")]
    Container(&'static str),
    #[error("corrupt WebP: {0}")]
    Bitstream(webpx::Error),
    #[error("{width} x {height} pixels are more than the limit of {limit}")]
    TooManyPixels { width: u32, height: u32, limit: u64 },
    #[error("{frames} frames of {width} x {height} pixels are more than the limit")]
    TooManyFrames { frames: u32, width: u32, height: u32 },
    #[error("WebP could not be written: {0}")]
    Encode(webpx::Error),
    #[error("the {format} decoder gave up: {message}")]
    Panicked { format: Format, message: String },
}

/// Converts a source, recognised by its content.
///
/// # Errors
/// Why it can't be converted. Decoders that panic are caught and lose this source only.
pub fn convert(source: &[u8], settings: Settings, limits: &Limits) -> Result<Converted, CodecError> {
    let format = recognise(source)?;
    guard(format, || match format {
        Format::WebP => webp::take_over(source, settings, limits),
        _ => {
            let picture = decode::decode(source, format, limits)?;
            from_pixels(&picture.pixels, format, settings, picture.notes)
        }
    })
}

/// Decodes a source whole and drops the pixels: what [`convert`] would say of it, without the encoding.
///
/// # Errors
/// As [`convert`].
pub fn probe(source: &[u8], limits: &Limits) -> Result<(u32, u32), CodecError> {
    let format = recognise(source)?;
    guard(format, || match format {
        Format::WebP => webp::decode_all(source, limits).map(|decoded| (decoded.width, decoded.height)),
        _ => decode::decode(source, format, limits)
            .map(|picture| (picture.pixels.width(), picture.pixels.height())),
    })
}

fn recognise(source: &[u8]) -> Result<Format, CodecError> {
    match sniff(source) {
        Sniffed::Picture(format) => Ok(format),
        Sniffed::Unsupported(name) => Err(CodecError::Unsupported(name)),
        Sniffed::Nothing => Err(CodecError::NotAPicture),
    }
}

/// Encodes 8-bit RGB or RGBA pixels.
fn from_pixels(
    pixels: &DynamicImage,
    format: Format,
    settings: Settings,
    notes: Vec<String>,
) -> Result<Converted, CodecError> {
    let webp = webp::encode(pixels, settings.quality)?;
    let (thumbhash, color) = placeholder(pixels);
    Ok(Converted {
        webp,
        format,
        width: pixels.width(),
        height: pixels.height(),
        frames: 1,
        alpha: has_transparency(pixels),
        thumbhash,
        color,
        notes,
    })
}

fn has_transparency(pixels: &DynamicImage) -> bool {
    pixels.as_rgba8().is_some_and(|rgba| rgba.pixels().any(|pixel| pixel[3] != u8::MAX))
}

/// The thumbhash and the average colour, both from a copy of at most 100 pixels a side, averaged down.
fn placeholder(pixels: &DynamicImage) -> (Vec<u8>, [u8; 3]) {
    /// The largest side that thumbhash takes.
    const SIDE: u32 = 100;
    let small = if pixels.width().max(pixels.height()) > SIDE {
        pixels.thumbnail(SIDE, SIDE).into_rgba8()
    } else {
        pixels.to_rgba8()
    };
    let mut sum = [0_u64; 3];
    let mut weight = 0_u64;
    for pixel in small.pixels() {
        let alpha = u64::from(pixel[3]);
        weight += alpha;
        for (sum, channel) in sum.iter_mut().zip(&pixel.0) {
            *sum += u64::from(*channel) * alpha;
        }
    }
    let color = sum.map(|sum| u8::try_from(sum.checked_div(weight).unwrap_or(0)).unwrap_or(u8::MAX));
    let hash = thumbhash::rgba_to_thumb_hash(small.width() as usize, small.height() as usize, &small);
    (hash, color)
}

/// Many decoders can panic on hostile bytes; such a panic becomes an error of that source.
fn guard<T>(format: Format, work: impl FnOnce() -> Result<T, CodecError>) -> Result<T, CodecError> {
    // Nothing that `work` borrows mutably outlives it, so nothing half-changed can be seen after a panic.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic: Box<dyn Any + Send>| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|message| (*message).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(CodecError::Panicked { format, message })
    })
}

fn check_pixels(width: u32, height: u32, limits: &Limits) -> Result<(), CodecError> {
    if u64::from(width) * u64::from(height) > limits.pixels {
        return Err(CodecError::TooManyPixels { width, height, limit: limits.pixels });
    }
    Ok(())
}

//! Estimates the memory that a conversion takes, from the source's headers.
//!
//! What decoding takes is each decoder's own estimate, in `Header::decode_bytes`.

use super::decode::{read_header, recognise};
use super::encode::still::MAX_AUTO_LOSSLESS_PIXELS;
use super::encode::webp::MAX_WEBP_SIDE;
use super::error::CodecError;
use super::guard::guard;
use super::header::Header;
use super::limits::DecodeLimits;
use super::pixels::resize::{self, Shrinker, fit_within, scaled_height};
use super::settings::{Lossless, Settings};
use super::timer::Timer;

/// Memory that the lossy encoder takes for a picture with alpha, in bytes a pixel.
///
/// This and the next two are beside the picture itself, and are rounded up from the peaks of whole
/// imports (`VmHWM`) of pictures with 8 million pixels: here 39, with noise for alpha. A copy of
/// the picture is kept while both lossy and lossless are tried. Opaque pictures are encoded within
/// the memory of their own pixels, see `pixels/yuv.rs`.
const LOSSY_ALPHA_BYTES_PER_PIXEL: u64 = 40;

/// Memory that the lossless encoder takes, in bytes a pixel. Measured: 34, for noise with alpha.
const LOSSLESS_BYTES_PER_PIXEL: u64 = 40;

/// Memory that the lossy encoder takes for an opaque picture whose YUV is to be sharp, in bytes a
/// pixel. Measured: 13 of 32 million pixels, 16 of 8 million.
const SHARP_YUV_BYTES_PER_PIXEL: u64 = 18;

/// Memory that an animation's encoder takes, in bytes a pixel of the canvas. Measured: 41.
const ANIMATION_BYTES_PER_PIXEL: u64 = 48;

/// Memory that reading a header takes beside copies of the source, in bytes: a colour profile
/// twice, and tables.
const HEADER_BYTES: u64 = 12 << 20;

/// Returns the memory that a source of this length and [`memory_bytes`] take together, in bytes.
/// Pieces of a file that belong together are copied: all of them at worst, into a vector that
/// grows.
#[must_use]
pub const fn header_bytes(source_bytes: u64) -> u64 {
    source_bytes.saturating_mul(4).saturating_add(HEADER_BYTES)
}

/// Returns the peak memory, in bytes, that [`super::convert()`] or [`super::render()`] will take,
/// including the source itself.
///
/// # Errors
/// Returns an error if the source is not a picture, or breaks a limit.
pub fn memory_bytes(
    source: &[u8],
    settings: &Settings,
    limits: &DecodeLimits,
    timer: &Timer,
) -> Result<u64, CodecError> {
    let format = recognise(source)?;
    guard(format, || {
        let header = read_header(source, format, limits, timer)?;
        let needed_with =
            |settings: &Settings| estimate(&header, settings).saturating_add(source.len() as u64);
        let (needed, limit) = (needed_with(settings), limits.memory_bytes);
        if needed > limit {
            let Header { width, height, .. } = header;
            return Err(match flag_to_blame(settings, |other| needed_with(other) <= limit) {
                Some((given, instead)) => {
                    CodecError::FlagTakesMemory { width, height, needed, limit, given, instead }
                }
                None => CodecError::TooMuchMemory { width, height, needed, limit },
            });
        }
        Ok(needed)
    })
}

/// Finds the flag without which a picture fits that does not fit under these settings, and what to
/// do about it.
fn flag_to_blame(
    settings: &Settings,
    fits: impl Fn(&Settings) -> bool,
) -> Option<(&'static str, &'static str)> {
    let fits_with = |lossless| fits(&Settings { lossless, ..settings.clone() });
    let always = "--lossless always";
    let blurred = || Settings { sharp_yuv: false, ..settings.clone() };
    match settings.lossless {
        _ if settings.sharp_yuv && fits(&blurred()) => {
            Some(("--sharp-yuv", "leave out --sharp-yuv"))
        }
        Lossless::Always if fits_with(Lossless::Auto) => {
            Some((always, "leave out --lossless always"))
        }
        Lossless::Always if fits_with(Lossless::Never) => Some((always, "give --lossless never")),
        Lossless::Auto if fits_with(Lossless::Never) => {
            Some(("--lossless auto", "give --lossless never"))
        }
        _ => fits(&Settings { renditions: Vec::new(), ..settings.clone() })
            .then_some(("these --renditions", "give smaller ones or none")),
    }
}

/// Returns the peak memory beside the source, in bytes.
fn estimate(header: &Header, settings: &Settings) -> u64 {
    let (width, height) = (header.width, header.height);
    let pixels = u64::from(width) * u64::from(height);
    let smaller = |rendition: &&u16| u32::from(**rendition) < width.max(height);
    let largest = settings.renditions.iter().rev().find(smaller).map(|largest| u32::from(*largest));
    let shrinking =
        largest.map_or(0, |largest| Shrinker::memory_bytes(width, height, largest, header.alpha));
    if header.frames > 1 {
        let (fitting_width, fitting_height) = fit_within((width, height), MAX_WEBP_SIDE);
        // Width and height may change places.
        let copies = copied_pixels(fitting_width, fitting_height, settings).max(copied_pixels(
            fitting_height,
            fitting_width,
            settings,
        ));
        let fitting = resize::shrink_bytes(width, height, fitting_height, header.alpha);
        let encoded = (pixels + copies) * ANIMATION_BYTES_PER_PIXEL;
        let beside = 8 * pixels + shrinking.max(fitting) + encoded;
        return header.decode_bytes.saturating_add(beside);
    }
    let picture = pixels * if header.alpha { 4 } else { 3 };
    let lossless = match settings.lossless {
        Lossless::Always => true,
        Lossless::Auto => header.lossless && pixels <= MAX_AUTO_LOSSLESS_PIXELS,
        Lossless::Never => false,
    };
    let without_loss = if lossless { pixels * LOSSLESS_BYTES_PER_PIXEL } else { 0 };
    let held =
        largest.map_or(0, |largest| Shrinker::held_bytes(width, height, largest, header.alpha));
    let lossy = match (header.alpha, settings.sharp_yuv) {
        (true, _) => pixels * LOSSY_ALPHA_BYTES_PER_PIXEL,
        (false, true) => pixels * SHARP_YUV_BYTES_PER_PIXEL,
        (false, false) => 0,
    };
    let encoding = without_loss.max(lossy + held);
    let (_, fitting_height) = fit_within((width, height), MAX_WEBP_SIDE);
    let fitting = resize::shrink_bytes(width, height, fitting_height, header.alpha);
    header.decode_bytes.max(picture + encoding.max(shrinking).max(fitting))
}

/// Returns the number of pixels of all renditions of a picture.
fn copied_pixels(width: u32, height: u32, settings: &Settings) -> u64 {
    let widths = settings.renditions.iter().map(|rendition| u32::from(*rendition));
    let smaller = widths.filter(|rendition| *rendition < width);
    smaller
        .map(|rendition| u64::from(rendition) * u64::from(scaled_height(width, height, rendition)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Renditions were counted as if the animation were as wide as it is high.
    #[test]
    fn renditions_of_an_animation_take_less_than_it_does() {
        let estimate = |renditions: &[u16]| {
            let settings = Settings { renditions: renditions.to_vec(), ..Settings::default() };
            let (width, height) = (32, 65_312);
            let decode_bytes = 0;
            estimate(
                &Header { width, height, frames: 2, decode_bytes, alpha: true, lossless: true },
                &settings,
            )
        };
        assert!(estimate(&[320, 640, 16_000]) < 2 * estimate(&[]));
    }

    /// Fuzzing found a sum that wrapped around at 2^64, so that the picture was let in.
    #[test]
    #[cfg(feature = "avif")]
    fn what_needs_all_memory_there_is_gets_none() {
        let source = include_bytes!("../../tests/data/boundless-tile.avif");
        let settings = Settings { renditions: vec![16], ..Settings::default() };
        let weighed = memory_bytes(
            source,
            &settings,
            &DecodeLimits::NONE,
            &Timer::new(DecodeLimits::default().decode_time),
        );
        assert!(weighed.is_ok_and(|needed| needed == u64::MAX));
    }
}

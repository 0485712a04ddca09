//! Takes camera raw by the full-size preview that most cameras put into it.
//!
//! One rule holds for all makers: the largest JPEG in the file is taken if both its sides are at
//! least nine tenths of the raw picture's, as is a first page of that size. Everything else is
//! refused, as is a file whose raw picture has no size that can be read. In reading order: `facts`
//! reads what is known of the raw picture, and `preview` finds the largest JPEG.
//!
//! Developing raw data is left out: it takes a profile for each camera, and no two programs agree
//! on what it shows.

mod facts;
mod preview;

use image::metadata::Orientation;

use self::facts::RawFacts;
use self::preview::{Preview, largest_jpeg};
use crate::codec::decoders::tiff;
use crate::codec::decoders::tiff::exif::stated_orientation;
use crate::codec::error::CodecError;
use crate::codec::formats::{jpeg, jpeg_markers};
use crate::codec::header::Header;
use crate::codec::pixels::raster::Raster;
use crate::codec::timer::Timer;

/// The note on what is shown of camera raw.
const NOTE: &str = "camera raw: this is the preview that the camera made; the raw data was not \
                    developed";

/// What is shown of a raw file.
enum Shown<'s> {
    Preview(Preview<'s>),
    /// The first page of a TIFF.
    FirstPage,
}

/// Whether a TIFF holds raw data of a camera.
pub(in crate::codec) fn is_raw_tiff(source: &[u8]) -> bool {
    tiff::raw::read(source).is_some()
}

/// Reads size and needs of the preview.
///
/// # Errors
/// Fails when no preview is as large as the raw picture, or it can't be decoded.
pub(in crate::codec) fn header(source: &[u8], timer: &Timer) -> Result<Header, CodecError> {
    match choose(source)?.0 {
        Shown::Preview(preview) => jpeg::header(preview.jpeg, timer),
        Shown::FirstPage => tiff::header(source, timer),
    }
}

/// Decodes the preview, within the memory given, in bytes.
///
/// # Errors
/// Fails as [`header`] does, and when the preview is broken.
pub(in crate::codec) fn decode(
    source: &[u8],
    memory_bytes: u64,
    timer: &Timer,
) -> Result<Raster, CodecError> {
    let (shown, facts) = choose(source)?;
    let mut raster = match shown {
        Shown::Preview(preview) => {
            let mut raster = jpeg::decode(preview.jpeg, timer)?;
            raster.orientation = preview_orientation(&preview, &facts);
            raster
        }
        Shown::FirstPage => tiff::decode(source, memory_bytes, timer)?,
    };
    raster.partial = true;
    raster.notes.insert(0, NOTE.into());
    Ok(raster)
}

fn choose(source: &[u8]) -> Result<(Shown<'_>, RawFacts), CodecError> {
    let facts = RawFacts::read(source);
    let none = CodecError::RawWithoutPreview { kind: facts.kind };
    let Some(size) = facts.size else { return Err(none) };
    let preview = largest_jpeg(source, &facts.data_offsets)
        .filter(|preview| is_full_size((preview.width, preview.height), size));
    match (preview, facts.first_page) {
        (Some(preview), _) => Ok((Shown::Preview(preview), facts)),
        (None, Some(page)) if is_full_size(page, size) => Ok((Shown::FirstPage, facts)),
        _ => Err(none),
    }
}

/// Whether both sides are at least nine tenths of the raw picture's, upright or turned. What lies
/// around the visible part of the sensor is less than that.
fn is_full_size(preview: (u32, u32), raw: (u32, u32)) -> bool {
    let reaches = |side: u32, raw: u32| u64::from(side) * 10 >= u64::from(raw) * 9;
    let sorted = |(a, b): (u32, u32)| if a < b { (a, b) } else { (b, a) };
    let (preview, raw) = (sorted(preview), sorted(raw));
    raw.0 > 0 && reaches(preview.0, raw.0) && reaches(preview.1, raw.1)
}

/// Returns how to turn a preview upright. What it says itself counts before what the raw file says
/// of the raw picture, and a preview of another shape than the raw picture was turned already.
fn preview_orientation(preview: &Preview<'_>, facts: &RawFacts) -> Orientation {
    if let Some(own) = jpeg_markers::exif(preview.jpeg).and_then(stated_orientation) {
        return own;
    }
    let is_upright = |(width, height): (u32, u32)| height > width;
    let was_turned = facts
        .size
        .is_some_and(|raw| is_upright(raw) != is_upright((preview.width, preview.height)));
    match facts.orientation {
        Some(orientation) if !was_turned => orientation,
        _ => Orientation::NoTransforms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_full_size_from_nine_tenths_of_both_sides() {
        for (preview, raw, expected) in [
            ((900, 600), (1000, 660), true),
            ((899, 660), (1000, 660), false),
            ((1000, 593), (1000, 660), false),
            ((600, 900), (1000, 660), true),
            ((160, 120), (0, 0), false),
        ] {
            assert_eq!(is_full_size(preview, raw), expected, "{preview:?} of {raw:?}");
        }
    }
}

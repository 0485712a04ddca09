//! Decodes JPEG with libjpeg-turbo: baseline, progressive and arithmetic; grey, YCbCr, RGB, CMYK
//! and YCCK.

use image::metadata::Orientation;

use super::jpeg_markers::{self, BrokenProfile, unsupported_kind};
use super::libjpeg::{Colours, Condition, Failure, Libjpeg};
use crate::codec::decoders::tiff::exif::exif_orientation;
use crate::codec::error::CodecError;
use crate::codec::header::Header;
use crate::codec::pixels::channels::Channels;
use crate::codec::pixels::profile::Profile;
use crate::codec::pixels::raster::Raster;
use crate::codec::sniff::PictureFormat;
use crate::codec::timer::Timer;

/// The note on a picture whose data has lost something in its middle.
pub(crate) const DAMAGED_NOTE: &str =
    "its data is damaged: a part of the picture may be missing or wrong";
const NO_END_NOTE: &str = "its end is missing, but all of its pixels are there";
const BROKEN_PROFILE_NOTE: &str = "its colour profile is there twice or in part and was left out; \
                                   colours are taken as sRGB";

fn failed(failure: Failure) -> CodecError {
    failure.into_error(PictureFormat::Jpeg)
}

/// Opens a picture, and says what channels it has.
fn open<'s>(source: &'s [u8], timer: &'s Timer) -> Result<(Libjpeg<'s>, Channels), CodecError> {
    if let Some(kind) = unsupported_kind(source) {
        return Err(CodecError::Unsupported(kind));
    }
    let picture = Libjpeg::open(source, timer).map_err(failed)?;
    let channels = picture
        .channels()
        .ok_or(CodecError::Unsupported("JPEG with another number of components than 1, 3 or 4"))?;
    Ok((picture, channels))
}

/// Reads size and needs of a picture.
pub(crate) fn header(source: &[u8], timer: &Timer) -> Result<Header, CodecError> {
    let (picture, channels) = open(source, timer)?;
    let (width, height) = picture.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    // Colours are converted after decoding has ended.
    let growth = pixels * channels.growth() as u64;
    let profile = jpeg_markers::profile(source).unwrap_or_default();
    Ok(Header {
        width,
        height,
        frames: 1,
        decode_bytes: pixels * channels.count() as u64
            + picture.memory_bytes().max(growth)
            + profile.as_ref().map_or(0, Profile::memory_bytes),
        alpha: false,
        lossless: false,
    })
}

/// Decodes a picture.
pub(crate) fn decode(source: &[u8], timer: &Timer) -> Result<Raster, CodecError> {
    let (picture, channels) = open(source, timer)?;
    let (width, height) = picture.dimensions();
    let (mut samples, condition) = picture.decode(Colours::Converted).map_err(failed)?;
    if channels == Channels::Cmyk {
        // Adobe's programs store the inverse of ink, with or without their marker, and all other
        // programs read it so.
        samples.iter_mut().for_each(|sample| *sample = 255 - *sample);
    }
    let mut notes = Vec::new();
    match condition {
        Condition::Whole => {}
        Condition::NoEnd => notes.push(NO_END_NOTE.into()),
        Condition::Damaged => notes.push(DAMAGED_NOTE.into()),
    }
    let profile = jpeg_markers::profile(source).unwrap_or_else(|BrokenProfile| {
        notes.push(BROKEN_PROFILE_NOTE.into());
        None
    });
    Ok(Raster {
        width,
        height,
        channels,
        samples,
        profile,
        orientation: jpeg_markers::exif(source).map_or(Orientation::NoTransforms, exif_orientation),
        partial: !notes.is_empty(),
        notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_whose_time_is_over_decodes_no_further() {
        let mut source = Vec::new();
        let picture = image::RgbImage::new(64, 64);
        image::codecs::jpeg::JpegEncoder::new(&mut source).encode_image(&picture).unwrap();
        let in_time = Timer::new(std::time::Duration::from_secs(60));
        assert_eq!(decode(&source, &in_time).unwrap().notes, [""; 0]);
        assert!(matches!(decode(&source, &Timer::over()), Err(CodecError::TooSlow { .. })));
    }

    #[test]
    fn samples_far_outside_of_their_range_are_clamped() {
        let luma = |x: u32, y: u32| if (x / 16 + y / 16).is_multiple_of(2) { 0 } else { 255 };
        let picture = image::GrayImage::from_fn(64, 64, |x, y| image::Luma([luma(x, y)]));
        let mut source = Vec::new();
        image::codecs::jpeg::JpegEncoder::new(&mut source).encode_image(&picture).unwrap();
        let timer = Timer::new(std::time::Duration::from_secs(60));
        let sound = decode(&source, &timer).unwrap();
        assert!(sound.notes.is_empty() && sound.samples == picture.as_raw().as_slice());
        // All coefficients become greater, and black and white stay what they are.
        let table = memchr::memmem::find(&source, &[0xFF, 0xDB]).unwrap();
        source[table + 5] *= 7;
        let loud = decode(&source, &timer).unwrap();
        assert_eq!(loud.notes, [DAMAGED_NOTE]);
        assert!(loud.samples == picture.as_raw().as_slice());
    }
}

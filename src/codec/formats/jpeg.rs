//! Decodes JPEG with zune-jpeg: baseline and progressive; grey, YCbCr, RGB, CMYK and YCCK.

use std::borrow::Cow;

use image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::jpeg_markers::{self, Markers, without_long_metadata};
use crate::codec::decoders::tiff::exif::exif_orientation;
use crate::codec::error::CodecError;
use crate::codec::header::Header;
use crate::codec::pixels::channels::Channels;
use crate::codec::pixels::profile::Profile;
use crate::codec::pixels::raster::Raster;
use crate::codec::sniff::PictureFormat;
use crate::codec::timer::{TimedReader, Timer};

/// Most scans of a progressive picture. Each costs a walk over all of it, and encoders write some
/// ten.
const MAX_SCANS: usize = 200;

/// The decoder looks at the clock, because a scan of a few bytes may stand for millions of blocks.
type Decoder<'s> = JpegDecoder<TimedReader<'s>>;

fn decode_error(error: &DecodeErrors) -> CodecError {
    // The decoder puts its message in quotes.
    let words = error.to_string();
    CodecError::Decode { format: PictureFormat::Jpeg, source: words.trim_matches('"').into() }
}

fn open<'s>(source: &'s [u8], timer: &'s Timer) -> Result<Decoder<'s>, CodecError> {
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
        .jpeg_set_max_scans(MAX_SCANS);
    let reader = TimedReader::new(without_long_metadata(Cow::Borrowed(source)), timer);
    let mut decoder = JpegDecoder::new_with_options(reader, options);
    decoder.decode_headers().map_err(|error| decode_error(&error))?;
    Ok(decoder)
}

/// Reads size and needs of a picture, and refuses one whose end is missing.
pub(crate) fn header(source: &[u8], timer: &Timer) -> Result<Header, CodecError> {
    let markers = Markers::read(source);
    if !markers.complete {
        return Err(CodecError::Truncated(PictureFormat::Jpeg));
    }
    if markers.arithmetic {
        return Err(CodecError::Unsupported("JPEG with arithmetic coding"));
    }
    let decoder = open(source, timer)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let (_, channels) = channels(&decoder);
    let pixels = (width * height) as u64;
    // A coefficient has 16 bits.
    let coefficients = if markers.buffered { 2 * channels.count() as u64 } else { 0 };
    let copied = if markers.has_long_metadata() { source.len() as u64 } else { 0 };
    let beside = copied + jpeg_markers::profile(source).as_ref().map_or(0, Profile::memory_bytes);
    Ok(Header {
        width: u32::try_from(width).unwrap_or(u32::MAX),
        height: u32::try_from(height).unwrap_or(u32::MAX),
        frames: 1,
        decode_bytes: pixels
            * (channels.count() as u64 + coefficients.max(channels.growth() as u64))
            + beside,
        alpha: false,
        lossless: false,
    })
}

/// Decodes a picture.
pub(crate) fn decode(source: &[u8], timer: &Timer) -> Result<Raster, CodecError> {
    let mut decoder = open(source, timer)?;
    let (space, channels) = channels(&decoder);
    decoder.set_options(decoder.options().jpeg_set_out_colorspace(space));
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let mut samples = vec![0; width * height * channels.count()];
    decoder.decode_into(&mut samples).map_err(|error| decode_error(&error))?;
    // The decoder fills what it can't read with grey.
    timer.check()?;
    if channels == Channels::Cmyk {
        to_ink(&mut samples, space);
    }
    Ok(Raster {
        width: u32::try_from(width).unwrap_or(u32::MAX),
        height: u32::try_from(height).unwrap_or(u32::MAX),
        channels,
        samples,
        profile: jpeg_markers::profile(source),
        orientation: jpeg_markers::exif(source).map_or(Orientation::NoTransforms, exif_orientation),
        partial: false,
        notes: Vec::new(),
    })
}

/// Returns the colour space to ask the decoder for, and the channels that it gives.
fn channels(decoder: &Decoder<'_>) -> (ColorSpace, Channels) {
    match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (ColorSpace::Luma, Channels::Grey),
        Some(space @ (ColorSpace::CMYK | ColorSpace::YCCK)) => (space, Channels::Cmyk),
        _ => (ColorSpace::RGB, Channels::Rgb),
    }
}

/// Converts stored CMYK or YCCK samples to amounts of ink, where 0 is no ink.
///
/// Adobe's programs store the inverse of ink, with or without their marker, and all other programs
/// read it so. The colours of YCCK, once converted to RGB, are the inverse of what is stored.
fn to_ink(samples: &mut [u8], space: ColorSpace) {
    for pixel in samples.as_chunks_mut::<4>().0 {
        if space == ColorSpace::YCCK {
            let [y, cb, cr, _] = pixel.map(f32::from);
            let rgb = [
                y + 1.402 * (cr - 128.0),
                y - 0.344_136 * (cb - 128.0) - 0.714_136 * (cr - 128.0),
                y + 1.772 * (cb - 128.0),
            ];
            for (sample, value) in pixel.iter_mut().zip(rgb) {
                *sample = 255 - saturate(value);
            }
        }
        *pixel = pixel.map(|sample| 255 - sample);
    }
}

/// Rounds to a byte.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts from floats saturate"
)]
fn saturate(value: f32) -> u8 {
    value.round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_whose_time_is_over_reads_no_further() {
        let picture = image::RgbImage::from_fn(512, 512, |x, y| {
            image::Rgb([x * 7 % 256, y * 5 % 256, x * y % 256].map(|value| value.to_le_bytes()[0]))
        });
        let mut source = Vec::new();
        image::codecs::jpeg::JpegEncoder::new(&mut source).encode_image(&picture).unwrap();
        let in_time = Timer::new(std::time::Duration::from_secs(60));
        let whole = open(&source, &in_time).unwrap().decode().unwrap();
        // It fills with grey what it can't read, so that is no picture either.
        let over = Timer::over();
        let cut = open(&source, &over).unwrap().decode();
        assert!(cut.is_err() || cut.is_ok_and(|cut| cut != whole));
        assert!(matches!(decode(&source, &over), Err(CodecError::TooSlow { .. })));
    }
}

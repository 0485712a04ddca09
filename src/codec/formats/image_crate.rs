//! Decodes what the image crate reads: BMP, ICO, PNM, QOI and TGA.
//!
//! Files that its decoders refuse and other programs show are corrected first, see `bmp`, `tga`,
//! `ends` and `ico`.

use std::borrow::Cow;

use image::codecs::bmp::BmpDecoder;
use image::codecs::{ico, pnm, qoi, tga};
use image::error::ImageFormatHint;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageResult};

use super::bmp::{RunLengthBitmap, without_os2_fields};
use super::tga::with_valid_alpha_bits;
use super::{ends, pnm as pnm_header};
use crate::codec::error::CodecError;
use crate::codec::header::Header;
use crate::codec::pixels::channels::Channels;
use crate::codec::pixels::profile::Profile;
use crate::codec::pixels::raster::Raster;
use crate::codec::sniff::PictureFormat;
use crate::codec::timer::{TimedReader, Timer};

/// The note on a BMP whose runs leave pixels out.
const SKIPPED_NOTE: &str = "it lacks pixels, which are shown in its first colour";

/// Opens the decoder of a format.
fn open<'s>(
    source: &'s [u8],
    format: PictureFormat,
    timer: &'s Timer,
) -> ImageResult<Box<dyn ImageDecoder + 's>> {
    let reader = TimedReader::new(source, timer);
    Ok(match format {
        PictureFormat::Bmp => Box::new(BmpDecoder::new(reader)?),
        PictureFormat::Ico => Box::new(ico::IcoDecoder::new(reader)?),
        PictureFormat::Pnm => Box::new(pnm::PnmDecoder::new(reader)?),
        PictureFormat::Qoi => Box::new(qoi::QoiDecoder::new(reader)?),
        PictureFormat::Tga => Box::new(tga::TgaDecoder::new(reader)?),
        other => {
            let format = ImageFormatHint::Name(other.name().to_owned());
            return Err(ImageError::Unsupported(format.into()));
        }
    })
}

/// Returns the source as the decoder takes it, and whether its end was missing.
fn corrected(source: &[u8], format: PictureFormat) -> (Cow<'_, [u8]>, bool) {
    let source = match format {
        PictureFormat::Bmp => without_os2_fields(source),
        PictureFormat::Tga => with_valid_alpha_bits(source),
        _ => Cow::Borrowed(source),
    };
    match ends::completed(&source, format) {
        Some(completed) => (Cow::Owned(completed), true),
        None => (source, false),
    }
}

/// Returns what describes the pixels of a BMP that are coded in runs.
fn runs(source: &[u8], format: PictureFormat) -> Option<RunLengthBitmap> {
    if format == PictureFormat::Bmp { RunLengthBitmap::parse(source) } else { None }
}

/// Reads size and needs of a picture.
pub(crate) fn header(
    source: &[u8],
    format: PictureFormat,
    timer: &Timer,
) -> Result<Header, CodecError> {
    if format == PictureFormat::Pnm && pnm_header::has_long_header(source) {
        return Err(CodecError::Decode { format, source: pnm_header::LONG_HEADER.into() });
    }
    let (mut source, _) = corrected(source, format);
    let mut unpacked = match &source {
        Cow::Owned(copy) => copy.len() as u64,
        Cow::Borrowed(_) => 0,
    };
    if let Some(runs) = runs(&source, format) {
        unpacked += runs.unpacked_bytes(&source);
        source = Cow::Owned(runs.unpacked_headers(&source));
    }
    let decoder = open(&source, format, timer).map_err(|error| decode_error(format, error))?;
    let (width, height) = decoder.dimensions();
    let color = decoder.color_type();
    // Deep samples are held twice for a while: as decoded, and as 8-bit samples.
    let narrowed = if color.bytes_per_pixel() > color.channel_count() {
        u64::from(color.channel_count())
    } else {
        0
    };
    let growth = match (color.has_color(), color.has_alpha()) {
        (false, false) => Channels::Grey.growth(),
        (false, true) => Channels::GreyAlpha.growth(),
        (true, _) => 0,
    };
    let beside = narrowed.max(growth as u64);
    Ok(Header {
        width,
        height,
        frames: 1,
        decode_bytes: unpacked
            + decoder.total_bytes()
            + u64::from(width) * u64::from(height) * beside,
        alpha: color.has_alpha(),
        lossless: true,
    })
}

/// Decodes a picture within the memory given, in bytes.
pub(crate) fn decode(
    source: &[u8],
    format: PictureFormat,
    memory_bytes: u64,
    timer: &Timer,
) -> Result<Raster, CodecError> {
    let decode_error = |error| decode_error(format, error);
    let (mut source, lacks_end) = corrected(source, format);
    let mut notes: Vec<String> = lacks_end.then(|| ends::NOTE.to_owned()).into_iter().collect();
    if let Some(runs) = runs(&source, format) {
        let (unpacked, is_skipping) = runs.unpack(&source);
        source = Cow::Owned(unpacked);
        notes.extend(is_skipping.then(|| SKIPPED_NOTE.to_owned()));
    }
    let mut decoder = open(&source, format, timer).map_err(decode_error)?;
    let mut allocation = image::Limits::no_limits();
    allocation.max_alloc = Some(memory_bytes);
    decoder.set_limits(allocation).map_err(decode_error)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    // A picture whose profile can't be read is shown as if it had none, as other programs do.
    let profile = decoder.icc_profile().unwrap_or(None).and_then(Profile::new);
    let picture = DynamicImage::from_decoder(decoder).map_err(decode_error)?;
    let (width, height) = (picture.width(), picture.height());
    let color = picture.color();
    let (channels, samples) = match (color.has_color(), color.has_alpha()) {
        (false, false) => (Channels::Grey, picture.into_luma8().into_raw()),
        (false, true) => (Channels::GreyAlpha, picture.into_luma_alpha8().into_raw()),
        (true, false) => (Channels::Rgb, picture.into_rgb8().into_raw()),
        (true, true) => (Channels::Rgba, picture.into_rgba8().into_raw()),
    };
    Ok(Raster {
        width,
        height,
        channels,
        samples,
        profile,
        orientation,
        partial: !notes.is_empty(),
        notes,
    })
}

fn decode_error(format: PictureFormat, error: ImageError) -> CodecError {
    CodecError::Decode { format, source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targas_with_any_number_of_alpha_bits_are_read() {
        let timer = Timer::new(std::time::Duration::from_secs(10));
        // One red pixel, in 5 bits a colour, and in 8.
        for (depth, pixel) in [(16, &[0x00, 0x7C][..]), (32, &[0, 0, 255, 255])] {
            for alpha_bits in 0..=8 {
                let mut targa =
                    vec![0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, depth, alpha_bits];
                targa.extend_from_slice(pixel);
                let raster = decode(&targa, PictureFormat::Tga, 1 << 20, &timer).unwrap();
                assert_eq!(raster.samples[..3], [255, 0, 0], "{depth} bits, {alpha_bits} of alpha");
            }
        }
    }
}

//! Untrusted bytes to pixels: 8-bit RGB or RGBA in sRGB, upright, within the limits and WebP's size.

use std::io::Cursor;

use image::codecs::{bmp, gif, jpeg, png, tiff};
use image::{DynamicImage, ImageDecoder, ImageResult};
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use super::{CodecError, Format, Limits, MAX_WEBP_SIDE, check_pixels};

/// What decoders may allocate beside the picture itself, in bytes for each pixel of the limit.
const ALLOCATED_BYTES_PER_PIXEL: u64 = 16;

pub(super) struct Picture {
    /// 8-bit RGB or RGBA.
    pub(super) pixels: DynamicImage,
    pub(super) notes: Vec<String>,
}

/// Decodes any format but WebP.
pub(super) fn decode(source: &[u8], format: Format, limits: &Limits) -> Result<Picture, CodecError> {
    if format == Format::Jpeg && !super::jpeg::is_complete(source) {
        return Err(CodecError::Truncated(format));
    }
    let failed = |source| CodecError::Decode { format, source };
    let mut decoder = open(source, format).map_err(failed)?;
    let (width, height) = decoder.dimensions();
    check_pixels(width, height, limits)?;
    let mut allocation = image::Limits::no_limits();
    allocation.max_alloc = Some(limits.pixels * ALLOCATED_BYTES_PER_PIXEL);
    decoder.set_limits(allocation).map_err(failed)?;
    let orientation = decoder.orientation().map_err(failed)?;
    // A profile that can't be read is as good as none: the picture is shown, as other programs would.
    let profile = decoder.icc_profile().unwrap_or(None);
    let mut pixels = DynamicImage::from_decoder(decoder).map_err(failed)?;

    pixels = if pixels.color().has_alpha() { pixels.into_rgba8().into() } else { pixels.into_rgb8().into() };
    let mut notes = Vec::new();
    if let Some(profile) = profile
        && let Some(note) = to_srgb(&mut pixels, &profile)
    {
        notes.push(note);
    }
    pixels.apply_orientation(orientation);
    if pixels.width().max(pixels.height()) > MAX_WEBP_SIDE {
        notes.push(format!(
            "scaled down from {} x {}: WebP holds {MAX_WEBP_SIDE} pixels a side",
            pixels.width(),
            pixels.height()
        ));
        pixels = pixels.resize(MAX_WEBP_SIDE, MAX_WEBP_SIDE, image::imageops::FilterType::CatmullRom);
    }
    Ok(Picture { pixels, notes })
}

fn open<'s>(source: &'s [u8], format: Format) -> ImageResult<Box<dyn ImageDecoder + 's>> {
    let reader = Cursor::new(source);
    Ok(match format {
        Format::Bmp => Box::new(bmp::BmpDecoder::new(reader)?),
        Format::Gif => Box::new(gif::GifDecoder::new(reader)?),
        Format::Jpeg => Box::new(jpeg::JpegDecoder::new(reader)?),
        Format::Png => Box::new(png::PngDecoder::new(reader)?),
        Format::Tiff => Box::new(tiff::TiffDecoder::new(reader)?),
        Format::WebP => unreachable!("WebP is decoded by libwebp"),
    })
}

/// Converts pixels from an RGB profile to sRGB in place; a note where that can't be done.
fn to_srgb(pixels: &mut DynamicImage, profile: &[u8]) -> Option<String> {
    let Ok(source) = ColorProfile::new_from_slice(profile) else {
        return Some("its colour profile can't be read: colours are taken as sRGB".into());
    };
    if source.color_space != DataColorSpace::Rgb {
        return Some(format!("its {:?} colour profile is not applied", source.color_space));
    }
    let (layout, channels) = match pixels {
        DynamicImage::ImageRgba8(_) => (Layout::Rgba, 4),
        _ => (Layout::Rgb, 3),
    };
    let target = ColorProfile::new_srgb();
    let Ok(transform) = source.create_transform_8bit(layout, &target, layout, TransformOptions::default())
    else {
        return Some("its colour profile can't be applied: colours are taken as sRGB".into());
    };
    let row_bytes = pixels.width() as usize * channels;
    let bytes: &mut [u8] = match pixels {
        DynamicImage::ImageRgba8(rgba) => rgba,
        DynamicImage::ImageRgb8(rgb) => rgb,
        _ => unreachable!("pixels are RGB8 or RGBA8 here"),
    };
    let mut row = vec![0; row_bytes];
    for target in bytes.chunks_exact_mut(row_bytes.max(1)) {
        row.copy_from_slice(target);
        if transform.transform(&row, target).is_err() {
            return Some("its colour profile can't be applied: colours are taken as sRGB".into());
        }
    }
    None
}

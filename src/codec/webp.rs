//! WebP by libwebp: encoding, and taking over sources that are WebP already.

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage, RgbaImage};
use webpx::{AnimationDecoder, ColorMode, Decoder, DecoderConfig, Encoder, EncoderConfig, Unstoppable};

use super::riff::Container;
use super::{
    CodecError, Converted, Format, Limits, Settings, check_pixels, from_pixels, has_transparency, placeholder,
};

/// libwebp's own default between 0 (fast) and 6 (small).
const METHOD: u8 = 4;

/// Encodes 8-bit RGB or RGBA pixels, lossy.
pub(super) fn encode(pixels: &DynamicImage, quality: u8) -> Result<Vec<u8>, CodecError> {
    let (width, height) = (pixels.width(), pixels.height());
    let encoder = match pixels {
        DynamicImage::ImageRgba8(rgba) => Encoder::new_rgba(rgba, width, height),
        DynamicImage::ImageRgb8(rgb) => Encoder::new_rgb(rgb, width, height),
        _ => unreachable!("pixels are RGB8 or RGBA8 here"),
    };
    let config = EncoderConfig::new().quality(f32::from(quality)).method(METHOD);
    encoder.config(config).encode(Unstoppable).map_err(|error| CodecError::Encode(error.decompose().0))
}

pub(super) struct Decoded {
    pub(super) width: u32,
    pub(super) height: u32,
    frames: u32,
    /// The still picture, or an animation's first frame.
    first: DynamicImage,
}

/// Decodes every frame, one at a time, and keeps the first.
pub(super) fn decode_all(webp: &[u8], limits: &Limits) -> Result<Decoded, CodecError> {
    let corrupt = |error: webpx::At<webpx::Error>| CodecError::Bitstream(error.decompose().0);
    let info = webpx::ImageInfo::from_webp(webp).map_err(corrupt)?;
    let (width, height) = (info.width, info.height);
    check_pixels(width, height, limits)?;
    let frames = u32::try_from(Container::parse(webp)?.frames()).unwrap_or(u32::MAX);
    let total_pixels = u64::from(width) * u64::from(height) * u64::from(frames);
    if frames > limits.frames || total_pixels > limits.total_pixels {
        return Err(CodecError::TooManyFrames { frames, width, height });
    }
    // The limits above are ours and stricter where it matters; webpx's own would refuse large pictures.
    let none = webpx::Limits::none();
    if !info.has_animation {
        let decoder = Decoder::new(webp).map_err(corrupt)?.config(DecoderConfig::new().limits(none));
        let first = if info.has_alpha {
            let (bytes, width, height) = decoder.decode_rgba_raw().map_err(corrupt)?;
            RgbaImage::from_raw(width, height, bytes).map(DynamicImage::from)
        } else {
            let (bytes, width, height) = decoder.decode_rgb_raw().map_err(corrupt)?;
            RgbImage::from_raw(width, height, bytes).map(DynamicImage::from)
        };
        let first =
            first.ok_or(CodecError::Container("its picture has another size than its header says"))?;
        return Ok(Decoded { width, height, frames: 1, first });
    }
    let mut decoder =
        AnimationDecoder::with_options_limits(webp, ColorMode::Rgba, false, &none).map_err(corrupt)?;
    let mut first = None;
    let mut decoded = 0;
    while let Some(frame) = decoder.next_frame().map_err(corrupt)? {
        decoded += 1;
        if first.is_none() {
            first = RgbaImage::from_raw(frame.width, frame.height, frame.data).map(DynamicImage::from);
        }
    }
    let first = first.ok_or(CodecError::Container("its animation has no frames"))?;
    Ok(Decoded { width, height, frames: decoded, first })
}

/// Takes a WebP source over without encoding it again, its metadata left out; only a still picture that must be
/// turned is encoded anew. The source is decoded whole all the same: a gallery holds nothing that does not decode.
pub(super) fn take_over(source: &[u8], settings: Settings, limits: &Limits) -> Result<Converted, CodecError> {
    let container = Container::parse(source)?;
    let mut decoded = decode_all(source, limits)?;
    let turn = container.chunk(b"EXIF").and_then(exif_orientation).unwrap_or(Orientation::NoTransforms);
    let mut notes = Vec::new();
    if turn != Orientation::NoTransforms {
        if decoded.frames == 1 && container.chunk(b"ICCP").is_none() {
            decoded.first.apply_orientation(turn);
            return from_pixels(
                &decoded.first,
                Format::WebP,
                settings,
                vec!["turned upright and encoded anew".into()],
            );
        }
        notes.push("its EXIF orientation is not applied".into());
    }
    let webp = container.without_metadata();
    let (thumbhash, color) = placeholder(&decoded.first);
    Ok(Converted {
        webp,
        format: Format::WebP,
        width: decoded.width,
        height: decoded.height,
        frames: decoded.frames,
        alpha: has_transparency(&decoded.first),
        thumbhash,
        color,
        notes,
    })
}

/// The orientation in an EXIF chunk, which some programs begin with JPEG's `Exif\0\0`.
fn exif_orientation(chunk: &[u8]) -> Option<Orientation> {
    Orientation::from_exif_chunk(chunk.strip_prefix(b"Exif\0\0").unwrap_or(chunk))
}

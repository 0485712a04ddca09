//! From a source to its decoder: one place that knows them all.

use super::animation::{CUT_NOTE, Frames};
use super::gif::GifFrames;
use super::limits::{Limits, Timer};
use super::png::PngFrames;
use super::raster::{Channels, Raster};
use super::sniff::{Format, Sniffed, sniff};
use super::webp::{self, WebPFrames};
use super::{CodecError, Header, gif, ico, jpeg, plain, png, tiff};

pub(super) fn recognise(source: &[u8]) -> Result<Format, CodecError> {
    match sniff(source) {
        Sniffed::Picture(format) => Ok(format),
        Sniffed::Unsupported(name) => Err(CodecError::Unsupported(name)),
        Sniffed::Nothing => Err(CodecError::NotAPicture),
    }
}

pub(super) fn checked_header(
    source: &[u8],
    format: Format,
    limits: &Limits,
    timer: &Timer,
) -> Result<Header, CodecError> {
    let header = timer.time(|| match format {
        Format::Gif => gif::header(source, timer),
        #[cfg(feature = "avif")]
        Format::Avif => super::heif::avif::header(source)
            .map_err(|source| CodecError::Decode { format, source }),
        #[cfg(feature = "heic")]
        Format::Heic => super::heif::heic::header(source)
            .map_err(|source| CodecError::Decode { format, source }),
        #[cfg(feature = "jxl")]
        Format::Jxl => {
            super::jxl::header(source).map_err(|source| CodecError::Decode { format, source })
        }
        Format::Ico => ico::header(source, timer),
        Format::Jpeg => jpeg::header(source),
        Format::Png => png::header(source, timer),
        Format::Tiff => tiff::header(source, timer),
        Format::WebP => webp::header(source),
        // Whatever is not one after all, see `sniff`.
        Format::Tga => plain::header(source, format, timer).map_err(|_| CodecError::NotAPicture),
        _ => plain::header(source, format, timer),
    })?;
    if header.width == 0 || header.height == 0 {
        return Err(CodecError::Container("it has no pixels"));
    }
    limits.check(&header)?;
    Ok(header)
}

/// Decodes a still picture, or an animation's first frame.
pub(super) fn decode(
    source: &[u8],
    format: Format,
    header: &Header,
    limits: &Limits,
    timer: &Timer,
) -> Result<Raster, CodecError> {
    match format {
        Format::Gif => {
            let mut frames = GifFrames::open(source, header, timer)?;
            let first = frames.next()?.ok_or(CodecError::Container("it has no picture in it"))?;
            let is_cut = frames.is_cut();
            Ok(Raster {
                width: header.width,
                height: header.height,
                channels: Channels::Rgba,
                samples: first.rgba,
                profile: frames.profile(),
                orientation: frames.orientation(),
                partial: is_cut,
                notes: is_cut.then(|| CUT_NOTE.into()).into_iter().collect(),
            })
        }
        #[cfg(feature = "avif")]
        Format::Avif => super::heif::avif::decode(source, limits.memory_bytes)
            .map_err(|source| CodecError::Decode { format, source }),
        #[cfg(feature = "heic")]
        Format::Heic => super::heif::heic::decode(source, limits.memory_bytes)
            .map_err(|source| CodecError::Decode { format, source }),
        #[cfg(feature = "jxl")]
        Format::Jxl => super::jxl::decode(source, limits.memory_bytes)
            .map_err(|source| CodecError::Decode { format, source }),
        Format::Ico => ico::decode(source, limits.memory_bytes, timer),
        Format::Jpeg => jpeg::decode(source),
        Format::Png => png::decode(source, timer),
        Format::Tiff => tiff::decode(source, limits.memory_bytes, timer),
        Format::WebP => webp::decode(source),
        Format::Tga => plain::decode(source, format, limits.memory_bytes, timer)
            .map_err(|_| CodecError::NotAPicture),
        _ => plain::decode(source, format, limits.memory_bytes, timer),
    }
}

pub(super) fn is_animation(source: &[u8], format: Format, header: &Header) -> bool {
    header.frames > 1 || format == Format::WebP && webp::is_animation(source)
}

pub(super) fn open_frames<'s>(
    source: &'s [u8],
    format: Format,
    header: &Header,
    timer: &'s Timer,
) -> Result<Box<dyn Frames + 's>, CodecError> {
    timer.time(|| {
        Ok(match format {
            Format::Gif => Box::new(GifFrames::open(source, header, timer)?) as Box<dyn Frames>,
            Format::Png => Box::new(PngFrames::open(source, timer)?),
            #[cfg(feature = "jxl")]
            Format::Jxl => Box::new(
                super::jxl::JxlFrames::new(source, header.decode_bytes)
                    .map_err(|source| CodecError::Decode { format, source })?,
            ),
            Format::WebP => Box::new(WebPFrames::open(source)?),
            other => unreachable!("{other} has no animations here"),
        })
    })
}

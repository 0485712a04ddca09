//! Leads from a source to its decoder: the one place that knows every format's decoder.

#[cfg(any(feature = "avif", feature = "heic"))]
use super::decoders::heif;
use super::decoders::{raw, tiff};
use super::error::CodecError;
use super::formats::gif::GifFrames;
#[cfg(feature = "jxl")]
use super::formats::jxl;
use super::formats::png::PngFrames;
use super::formats::webp::WebPFrames;
use super::formats::{gif, ico, image_crate, jpeg, png, webp};
use super::header::Header;
use super::limits::DecodeLimits;
use super::pixels::frames::Frames;
use super::pixels::raster::Raster;
use super::sniff::{PictureFormat, Sniffed, sniff};
use super::timer::Timer;

/// Returns the format of a source.
pub(super) fn recognise(source: &[u8]) -> Result<PictureFormat, CodecError> {
    match sniff(source) {
        // Most camera raw files are TIFFs, and only their directories tell.
        Sniffed::Picture(PictureFormat::Tiff) if raw::is_raw_tiff(source) => {
            Ok(PictureFormat::CameraRaw)
        }
        Sniffed::Picture(format) => Ok(format),
        Sniffed::Unsupported(name) => Err(CodecError::Unsupported(name)),
        Sniffed::Other(what) => Err(CodecError::OtherKind(what)),
        Sniffed::Nothing => Err(CodecError::NotAPicture),
    }
}

/// Reads the header of a source, and checks the limits that can be checked without decoding.
pub(super) fn read_header(
    source: &[u8],
    format: PictureFormat,
    limits: &DecodeLimits,
    timer: &Timer,
) -> Result<Header, CodecError> {
    let header = timer.time(|| match format {
        PictureFormat::Gif => gif::header(source),
        #[cfg(feature = "avif")]
        PictureFormat::Avif => {
            heif::avif::header(source).map_err(|source| CodecError::Decode { format, source })
        }
        #[cfg(feature = "heic")]
        PictureFormat::Heic => {
            heif::heic::header(source).map_err(|source| CodecError::Decode { format, source })
        }
        #[cfg(feature = "jxl")]
        PictureFormat::Jxl => {
            jxl::header(source).map_err(|source| CodecError::Decode { format, source })
        }
        PictureFormat::CameraRaw => raw::header(source, timer),
        PictureFormat::Ico => ico::header(source, timer),
        PictureFormat::Jpeg => jpeg::header(source, timer),
        PictureFormat::Png => png::header(source, timer),
        PictureFormat::Tiff => tiff::header(source, timer),
        PictureFormat::WebP => webp::header(source),
        // A file of another kind may pass for a TGA, see `sniff`.
        PictureFormat::Tga => {
            image_crate::header(source, format, timer).map_err(|_| CodecError::NotAPicture)
        }
        _ => image_crate::header(source, format, timer),
    })?;
    if header.width == 0 || header.height == 0 {
        return Err(CodecError::Container("it has no pixels"));
    }
    limits.check(&header)?;
    Ok(header)
}

/// Decodes a still picture, or the first frame of an animation.
pub(super) fn decode(
    source: &[u8],
    format: PictureFormat,
    header: &Header,
    limits: &DecodeLimits,
    timer: &Timer,
) -> Result<Raster, CodecError> {
    match format {
        PictureFormat::Gif => gif::decode(source, header, timer),
        #[cfg(feature = "avif")]
        PictureFormat::Avif => heif::avif::decode(source, limits.memory_bytes, timer)
            .map_err(|source| CodecError::Decode { format, source }),
        #[cfg(feature = "heic")]
        PictureFormat::Heic => heif::heic::decode(source, limits.memory_bytes, timer)
            .map_err(|source| CodecError::Decode { format, source }),
        #[cfg(feature = "jxl")]
        PictureFormat::Jxl => jxl::decode(source, header.decode_bytes, timer)
            .map_err(|source| CodecError::Decode { format, source }),
        PictureFormat::CameraRaw => raw::decode(source, limits.memory_bytes, timer),
        PictureFormat::Ico => ico::decode(source, limits.memory_bytes, timer),
        PictureFormat::Jpeg => jpeg::decode(source, timer),
        PictureFormat::Png => png::decode(source, timer),
        PictureFormat::Tiff => tiff::decode(source, limits.memory_bytes, timer),
        PictureFormat::WebP => webp::decode(source),
        PictureFormat::Tga => image_crate::decode(source, format, limits.memory_bytes, timer)
            .map_err(|_| CodecError::NotAPicture),
        _ => image_crate::decode(source, format, limits.memory_bytes, timer),
    }
}

/// Whether the source is to be decoded frame by frame, even if it has one frame only.
pub(super) fn is_animation(source: &[u8], format: PictureFormat, header: &Header) -> bool {
    header.frames > 1 || format == PictureFormat::WebP && webp::is_animation(source)
}

/// Opens an animation to decode it frame by frame.
pub(super) fn open_frames<'s>(
    source: &'s [u8],
    format: PictureFormat,
    header: &Header,
    timer: &'s Timer,
) -> Result<Box<dyn Frames + 's>, CodecError> {
    timer.time(|| {
        Ok(match format {
            PictureFormat::Gif => {
                Box::new(GifFrames::open(source, header, timer)?) as Box<dyn Frames>
            }
            PictureFormat::Png => Box::new(PngFrames::open(source, timer)?),
            #[cfg(feature = "jxl")]
            PictureFormat::Jxl => Box::new(
                jxl::JxlFrames::new(source, header.decode_bytes, timer)
                    .map_err(|source| CodecError::Decode { format, source })?,
            ),
            PictureFormat::WebP => Box::new(WebPFrames::open(source)?),
            other => return Err(CodecError::Unsupported(other.name())),
        })
    })
}

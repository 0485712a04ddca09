//! WebP by libwebp: encoding still pictures, decoding sources that are WebP already.

use image::DynamicImage;
use image::metadata::Orientation;
use webpx::{AnimationDecoder, ColorMode, Decoder, DecoderConfig, EncoderConfig, Unstoppable};

use super::animation::{Frame, Frames};
use super::raster::{Channels, Raster, exif_orientation, pixels_of};
use super::riff::Container;
use super::yuv::Yuv;
use super::{CodecError, Header};

/// libwebp's effort, between 0 (fast) and 6 (small): its default.
const METHOD: u8 = 4;

/// For large pictures, and for renditions: it takes less than half the time of 4. At quality 75 bytes grew by 5 % and the mean
/// SSIM fell by 0.0013, over photographs and wallpapers; method 3 took as long as 4. See docs/performance.md.
const FAST_METHOD: u8 = 2;

/// Pictures with more pixels are large. In them a detail is small, and they take most of the time.
const LARGE_PIXELS: u64 = 8_000_000;

/// In pictures with more pixels than this, all blocks are quantised alike: to say for each in which of four segments it lies
/// takes up to two bits of the four or five that VP8 has left for a block then.
const HUGE_PIXELS: u64 = 1 << 27;

/// The same for lossless pictures: level 6 of libwebp's presets (`WebPConfigLosslessPreset`), its default.
const LOSSLESS_LEVEL: u8 = 6;

/// The level that tells quickly whether [`LOSSLESS_LEVEL`] is worth its time.
const QUICK_LOSSLESS_LEVEL: u8 = 0;

type Failed = webpx::At<webpx::Error>;

fn encoding(error: Failed) -> CodecError {
    CodecError::Encode(error.decompose().0)
}

fn corrupt(error: Failed) -> CodecError {
    CodecError::Bitstream(error.decompose().0)
}

/// How much time an encoding may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    Quick,
    /// What is usual for pictures of this size.
    Usual,
}

/// Encodes RGB or RGBA pixels, lossy. Large pictures may have too much detail for the 512 KiB in which VP8 holds the
/// prediction modes of all blocks, see [`is_too_detailed`].
pub(super) fn encode(
    picture: DynamicImage,
    quality: u8,
    effort: Effort,
) -> Result<Vec<u8>, CodecError> {
    let (width, height) = (picture.width(), picture.height());
    let pixels = u64::from(width) * u64::from(height);
    let method =
        if pixels > LARGE_PIXELS || effort == Effort::Quick { FAST_METHOD } else { METHOD };
    // When the modes do not fit, libwebp would try again with a lower limit, and again, which with this method changes nothing.
    let limit = if method == FAST_METHOD { 100 } else { 0 };
    let segments = if pixels > HUGE_PIXELS { 1 } else { 4 };
    let config = EncoderConfig::new()
        .quality(f32::from(quality))
        .method(method)
        .partition_limit(limit)
        .segments(segments);
    let encoded = match picture {
        DynamicImage::ImageRgb8(rgb) => {
            // libwebp would copy the pixels twice on its way to the same planes.
            let yuv = Yuv::from_rgb(rgb.into_raw(), width, height);
            webpx::Encoder::new_yuv(yuv.planes()).config(config).encode(Unstoppable)
        }
        rgba => webpx::Encoder::new_rgba(pixels_of(&rgba).0, width, height)
            .config(config)
            .encode(Unstoppable),
    };
    encoded.map_err(encoding)
}

/// Whether lossy WebP of this size can't hold the picture's detail (RFC 6386, 9.2: the first partition has 19 bits for its
/// length).
pub(super) fn is_too_detailed(error: &CodecError) -> bool {
    use webpx::EncodingError::{Partition0Overflow, PartitionOverflow};
    matches!(
        error,
        CodecError::Encode(webpx::Error::EncodeFailed(Partition0Overflow | PartitionOverflow))
    )
}

/// Encodes RGB or RGBA pixels without loss.
pub(super) fn encode_lossless(
    picture: &DynamicImage,
    effort: Effort,
) -> Result<Vec<u8>, CodecError> {
    let config = EncoderConfig::new_lossless_level(match effort {
        Effort::Quick => QUICK_LOSSLESS_LEVEL,
        Effort::Usual => LOSSLESS_LEVEL,
    });
    let (bytes, channels) = pixels_of(picture);
    let encoder = if channels == 4 {
        webpx::Encoder::new_rgba(bytes, picture.width(), picture.height())
    } else {
        webpx::Encoder::new_rgb(bytes, picture.width(), picture.height())
    };
    encoder.config(config).encode(Unstoppable).map_err(encoding)
}

pub(super) fn header(source: &[u8]) -> Result<Header, CodecError> {
    let container = Container::parse(source)?;
    let info = webpx::ImageInfo::from_webp(source).map_err(corrupt)?;
    let frames =
        if info.has_animation { u32::try_from(container.frames()).unwrap_or(u32::MAX) } else { 1 };
    let pixels = u64::from(info.width) * u64::from(info.height);
    let lossless = container.chunk(b"VP8L").is_some();
    // A lossless picture is ARGB while it is decoded; the animation decoder keeps two canvases beside ours.
    let bytes_per_pixel = match (frames > 1 || info.has_animation, lossless) {
        (true, _) => 16,
        (false, true) => 8,
        (false, false) => 5,
    };
    Ok(Header {
        width: info.width,
        height: info.height,
        frames,
        decode_bytes: pixels * bytes_per_pixel,
        alpha: info.has_alpha,
        lossless,
    })
}

/// Whether the container says that it is an animation, of one frame even.
pub(super) fn is_animation(source: &[u8]) -> bool {
    webpx::ImageInfo::from_webp(source).is_ok_and(|info| info.has_animation)
}

/// Whether libwebp's demultiplexer takes a file too: browsers read with that one, which is stricter than the decoder of stills.
pub(super) fn is_demuxable(webp: &[u8]) -> bool {
    WebPFrames::open(webp).is_ok()
}

/// Decodes a still picture, from its own chunks: libwebp reads on into what follows them.
pub(super) fn decode(source: &[u8]) -> Result<Raster, CodecError> {
    let container = Container::parse(source)?;
    let picture = container.without_metadata();
    let info = webpx::ImageInfo::from_webp(&picture).map_err(corrupt)?;
    // Ours are checked before; webpx's own would refuse large pictures.
    let config = DecoderConfig::new().limits(webpx::Limits::none());
    let decoder = Decoder::new(&picture).map_err(corrupt)?.config(config);
    let (channels, decoded) = if info.has_alpha {
        (Channels::Rgba, decoder.decode_rgba_raw())
    } else {
        (Channels::Rgb, decoder.decode_rgb_raw())
    };
    let (samples, width, height) = decoded.map_err(corrupt)?;
    if samples.len() as u64 != u64::from(width) * u64::from(height) * channels.count() as u64 {
        return Err(CodecError::Container("its picture has another size than its header says"));
    }
    Ok(Raster {
        width,
        height,
        channels,
        samples,
        profile: container.chunk(b"ICCP").map(<[u8]>::to_vec),
        orientation: orientation(&container),
        partial: false,
        notes: Vec::new(),
    })
}

pub(super) struct WebPFrames<'s> {
    decoder: AnimationDecoder,
    container: Container<'s>,
}

impl<'s> WebPFrames<'s> {
    pub(super) fn open(source: &'s [u8]) -> Result<Self, CodecError> {
        let no_limits = webpx::Limits::none();
        let decoder =
            AnimationDecoder::with_options_limits(source, ColorMode::Rgba, false, &no_limits);
        Ok(Self { decoder: decoder.map_err(corrupt)?, container: Container::parse(source)? })
    }
}

impl Frames for WebPFrames<'_> {
    fn next(&mut self) -> Result<Option<Frame>, CodecError> {
        let frame = self.decoder.next_frame().map_err(corrupt)?;
        Ok(frame.map(|frame| Frame { rgba: frame.data, duration_ms: frame.duration_ms }))
    }

    fn plays(&self) -> u16 {
        u16::try_from(self.decoder.info().loop_count).unwrap_or(u16::MAX)
    }

    fn profile(&self) -> Option<Vec<u8>> {
        self.container.chunk(b"ICCP").map(<[u8]>::to_vec)
    }

    fn orientation(&self) -> Orientation {
        orientation(&self.container)
    }
}

/// The orientation in the EXIF chunk, which some programs begin with JPEG's `Exif\0\0`.
fn orientation(container: &Container<'_>) -> Orientation {
    let exif = container.chunk(b"EXIF").map(|exif| exif.strip_prefix(b"Exif\0\0").unwrap_or(exif));
    exif.map_or(Orientation::NoTransforms, exif_orientation)
}

//! Encodes pixels to WebP with libwebp, and knows its limits.
//!
//! What is encoded how is decided in `still` and `animation`.

use std::borrow::Cow;

use image::DynamicImage;
use webpx::{EncoderConfig, Unstoppable};

use crate::codec::error::CodecError;
use crate::codec::pixels::rgb::pixels_of;
use crate::codec::pixels::yuv::Yuv;

/// Largest width and height that WebP can hold, in pixels.
pub const MAX_WEBP_SIDE: u32 = 16_383;

/// Effort of libwebp's lossy encoder, from 0 (fast) to 6 (small). 4 is its default.
const METHOD: u8 = 4;

/// Effort for large pictures and for renditions, which takes less than half the time of 4.
///
/// Over photographs and wallpapers at quality 75, bytes grew by 5 % and the mean SSIM fell by
/// 0.0013. Method 3 took as long as 4. See docs/performance.md.
const FAST_METHOD: u8 = 2;

/// Pictures with more pixels than this are encoded with [`FAST_METHOD`]: a detail is small in them,
/// and they take most of the time.
const LARGE_PIXELS: u64 = 8_000_000;

/// Pictures with more pixels than this are encoded in one segment, so that all blocks are quantised
/// alike. Naming one of four segments takes up to two of the four or five bits that VP8 has left
/// for each block of such a picture.
const HUGE_PIXELS: u64 = 1 << 27;

/// How much time an encoding may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// As little as gives acceptable results.
    Fast,
    /// As much as is normal for a picture of this size.
    Normal,
}

/// How much time an encoding without loss may take. Each is a level of libwebp's presets, see
/// `WebPConfigLosslessPreset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LosslessLevel {
    /// Tells whether `Normal` is worth its time.
    Quick = 0,
    /// The default of libwebp.
    Normal = 6,
}

/// A picture on its way to lossy WebP. It can be encoded several times.
///
/// Large pictures may have too much detail for the 512 KiB in which VP8 holds the prediction modes
/// of all blocks, see [`is_too_detailed`].
pub(crate) struct LossySource<'p> {
    pixels: LossyPixels<'p>,
    width: u32,
    height: u32,
}

enum LossyPixels<'p> {
    /// Given RGB, libwebp would copy the pixels twice on its way to the same planes.
    Planes(Yuv),
    /// The planes are made by libwebp, because they are to be sharp or have alpha.
    Pixels { picture: Cow<'p, DynamicImage>, sharp_yuv: bool },
}

impl<'p> LossySource<'p> {
    /// Takes RGB or RGBA pixels.
    pub(crate) fn new(picture: Cow<'p, DynamicImage>, sharp_yuv: bool) -> Self {
        let (width, height) = (picture.width(), picture.height());
        let pixels = if picture.color().has_alpha() || sharp_yuv {
            LossyPixels::Pixels { picture, sharp_yuv }
        } else {
            LossyPixels::Planes(Yuv::from_rgb(picture.into_owned().into_bytes(), width, height))
        };
        Self { pixels, width, height }
    }

    /// Encodes the picture.
    pub(crate) fn encode(&self, quality: u8, effort: Effort) -> Result<Vec<u8>, CodecError> {
        let (width, height) = (self.width, self.height);
        let pixels = u64::from(width) * u64::from(height);
        let method =
            if pixels > LARGE_PIXELS || effort == Effort::Fast { FAST_METHOD } else { METHOD };
        // When the modes do not fit, libwebp tries again with lower limits. With this method that
        // changes nothing, so it starts with the lowest.
        let limit = if method == FAST_METHOD { 100 } else { 0 };
        let segments = if pixels > HUGE_PIXELS { 1 } else { 4 };
        let config = EncoderConfig::new()
            .quality(f32::from(quality))
            .method(method)
            .partition_limit(limit)
            .segments(segments);
        let encoded = match &self.pixels {
            LossyPixels::Planes(yuv) => {
                webpx::Encoder::new_yuv(yuv.planes()).config(config).encode(Unstoppable)
            }
            LossyPixels::Pixels { picture, sharp_yuv } => {
                encoder_of(picture).config(config.sharp_yuv(*sharp_yuv)).encode(Unstoppable)
            }
        };
        encoded.map_err(encoding_error)
    }
}

/// Returns libwebp's encoder of RGB or RGBA pixels.
fn encoder_of(picture: &DynamicImage) -> webpx::Encoder<'_> {
    let (bytes, channels) = pixels_of(picture);
    if channels == 4 {
        webpx::Encoder::new_rgba(bytes, picture.width(), picture.height())
    } else {
        webpx::Encoder::new_rgb(bytes, picture.width(), picture.height())
    }
}

/// Whether the error says that lossy WebP of this size can't hold the picture's detail (RFC 6386,
/// 9.2: the first partition has 19 bits for its length).
pub(crate) fn is_too_detailed(error: &CodecError) -> bool {
    use webpx::EncodingError::{Partition0Overflow, PartitionOverflow};
    matches!(
        error,
        CodecError::Encode(webpx::Error::EncodeFailed(Partition0Overflow | PartitionOverflow))
    )
}

/// Encodes RGB or RGBA pixels, lossless.
pub(crate) fn encode_lossless(
    picture: &DynamicImage,
    level: LosslessLevel,
) -> Result<Vec<u8>, CodecError> {
    let config = EncoderConfig::new_lossless_level(level as u8);
    encoder_of(picture).config(config).encode(Unstoppable).map_err(encoding_error)
}

/// Returns the note on a picture that was scaled down because WebP can't hold it.
pub(crate) fn scaled_down_note((width, height): (u32, u32), longest_side: u32) -> String {
    let reason = if longest_side == MAX_WEBP_SIDE {
        format!("WebP holds {MAX_WEBP_SIDE} pixels a side")
    } else {
        "lossy WebP can't hold so much detail".into()
    };
    format!("scaled down from {width} x {height}: {reason}")
}

/// Returns libwebp's error without the place in webpx where it came up.
pub(crate) fn encoding_error(error: webpx::At<webpx::Error>) -> CodecError {
    CodecError::Encode(error.decompose().0)
}

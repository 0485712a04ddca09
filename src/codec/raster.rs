//! Pixels between a decoder and the encoder: as a file holds them ([`Raster`]), then upright in sRGB.

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage, RgbaImage};

use super::{colour, tiff, transpose};

/// What the 8-bit samples of a pixel mean, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channels {
    Grey,
    GreyAlpha,
    Rgb,
    Rgba,
    /// 0 is no ink.
    Cmyk,
}

impl Channels {
    /// Bytes of a pixel.
    pub(super) const fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::GreyAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba | Self::Cmyk => 4,
        }
    }

    /// Bytes that a pixel takes more while it becomes RGB or RGBA: greys are copied.
    pub(super) const fn growth(self) -> usize {
        match self {
            Self::Grey => 3,
            Self::GreyAlpha => 4,
            Self::Rgb | Self::Rgba | Self::Cmyk => 0,
        }
    }

    pub(super) const fn has_alpha(self) -> bool {
        matches!(self, Self::GreyAlpha | Self::Rgba)
    }
}

/// One picture as its file holds it: neither turned nor converted to sRGB. Alpha is not premultiplied.
pub(super) struct Raster {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) channels: Channels,
    /// Rows from the top, `width * height * channels.count()` bytes.
    pub(super) samples: Vec<u8>,
    /// ICC profile of the samples; without one they are sRGB.
    pub(super) profile: Option<Vec<u8>>,
    /// What is to be done to show it upright.
    pub(super) orientation: Orientation,
    /// The file holds more than this picture, such as further pages; a note says what.
    pub(super) partial: bool,
    /// What the person should know.
    pub(super) notes: Vec<String>,
}

/// What a decoder of another crate says went wrong.
#[cfg(any(feature = "avif", feature = "heic", feature = "jxl"))]
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is said of pictures that are brighter than sRGB can be.
#[cfg(any(feature = "avif", feature = "heic", feature = "jxl"))]
pub(super) const HDR_NOTE: &str = "HDR: brightness was reduced to what sRGB holds";

/// Undoes what premultiplication did to a pixel whose last byte is alpha; of an invisible pixel no colour is left.
#[cfg(any(feature = "avif", feature = "heic", feature = "jxl"))]
pub(super) fn divide_by_alpha(pixel: &mut [u8]) {
    let Some((alpha, colours)) = pixel.split_last_mut() else { return };
    let alpha = u16::from(*alpha);
    for colour in colours {
        let divided = (u16::from(*colour) * 255 + alpha / 2).checked_div(alpha).unwrap_or(0);
        *colour = u8::try_from(divided).unwrap_or(u8::MAX);
    }
}

impl Raster {
    /// The picture upright in sRGB, 8-bit RGB or RGBA, and the notes on it.
    pub(super) fn upright(self) -> (DynamicImage, Vec<String>) {
        let Self { width, height, channels, samples, profile, orientation, mut notes, partial: _ } =
            self;
        let (conversion, note) = colour::Conversion::new(channels, profile.as_deref());
        notes.extend(note);
        let pixels = conversion.apply(samples, width as usize);
        (turned(from_pixels(width, height, pixels), orientation), notes)
    }
}

/// The orientation in EXIF metadata. Some programs write it as a number of another type than the standard's.
pub(super) fn exif_orientation(exif: &[u8]) -> Orientation {
    let known = Orientation::from_exif_chunk(exif).or_else(|| tiff::exif_orientation(exif));
    known.unwrap_or(Orientation::NoTransforms)
}

/// The picture, upright, in the memory that it has: the largest pictures of telephones have a quarter turn.
pub(super) fn turned(picture: DynamicImage, orientation: Orientation) -> DynamicImage {
    let (picture, rest) = match orientation {
        Orientation::Rotate90 => (transposed(picture), Orientation::FlipHorizontal),
        Orientation::Rotate270 => (transposed(picture), Orientation::FlipVertical),
        Orientation::Rotate90FlipH => (transposed(picture), Orientation::NoTransforms),
        Orientation::Rotate270FlipH => (transposed(picture), Orientation::Rotate180),
        other => (picture, other),
    };
    let mut picture = picture;
    picture.apply_orientation(rest);
    picture
}

fn transposed(picture: DynamicImage) -> DynamicImage {
    let (width, height) = (picture.width(), picture.height());
    let pixel_bytes = pixels_of(&picture).1;
    let pixels =
        transpose::in_place(picture.into_bytes(), width as usize, height as usize, pixel_bytes);
    from_pixels(height, width, pixels)
}

/// RGB or RGBA pixels, by how many there are.
///
/// # Panics
/// When the length fits neither.
pub(super) fn from_pixels(width: u32, height: u32, pixels: Vec<u8>) -> DynamicImage {
    let picture = if pixels.len() as u64 == u64::from(width) * u64::from(height) * 3 {
        RgbImage::from_raw(width, height, pixels).map(DynamicImage::from)
    } else {
        RgbaImage::from_raw(width, height, pixels).map(DynamicImage::from)
    };
    picture.expect("the pixels fill the picture")
}

/// The bytes of an RGB or RGBA picture, and how many a pixel has.
pub(super) fn pixels_of(picture: &DynamicImage) -> (&[u8], usize) {
    match picture {
        DynamicImage::ImageRgb8(rgb) => (rgb, 3),
        DynamicImage::ImageRgba8(rgba) => (rgba, 4),
        _ => unreachable!("pictures are RGB or RGBA here"),
    }
}

/// Drops an alpha channel that hides nothing.
pub(super) fn without_needless_alpha(picture: DynamicImage) -> DynamicImage {
    match picture {
        DynamicImage::ImageRgba8(rgba) if rgba.pixels().all(|pixel| pixel[3] == u8::MAX) => {
            let (width, height) = rgba.dimensions();
            let mut pixels = rgba.into_raw();
            for pixel in 0..pixels.len() / 4 {
                pixels.copy_within(pixel * 4..pixel * 4 + 3, pixel * 3);
            }
            pixels.truncate(pixels.len() / 4 * 3);
            from_pixels(width, height, pixels)
        }
        other => other,
    }
}

//! Makes 8-bit RGB and RGBA pictures from bytes, and gives their bytes.
//!
//! Whatever comes behind [`super::raster::Raster::into_upright_srgb`] is one of these two.

use image::{DynamicImage, RgbImage, RgbaImage};

/// Makes a picture of RGB or RGBA pixels. Which of them they are is told by their length.
///
/// # Panics
/// Panics if the length fits neither.
#[expect(clippy::expect_used, reason = "callers compute the length from width and height")]
pub(crate) fn from_pixels(width: u32, height: u32, pixels: Vec<u8>) -> DynamicImage {
    let picture = if pixels.len() as u64 == u64::from(width) * u64::from(height) * 3 {
        RgbImage::from_raw(width, height, pixels).map(DynamicImage::from)
    } else {
        RgbaImage::from_raw(width, height, pixels).map(DynamicImage::from)
    };
    picture.expect("the pixels fill the picture")
}

/// Returns the bytes of an RGB or RGBA picture, and the number of bytes a pixel.
pub(crate) fn pixels_of(picture: &DynamicImage) -> (&[u8], usize) {
    (picture.as_bytes(), picture.color().bytes_per_pixel().into())
}

/// Drops an alpha channel that hides nothing.
pub(crate) fn drop_opaque_alpha(picture: DynamicImage) -> DynamicImage {
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

/// Undoes the premultiplication of a pixel, whose last byte is alpha. An invisible pixel becomes
/// black.
#[cfg(any(feature = "avif", feature = "heic", feature = "jxl"))]
pub(crate) fn divide_by_alpha(pixel: &mut [u8]) {
    let Some((alpha, colours)) = pixel.split_last_mut() else { return };
    let alpha = u16::from(*alpha);
    for colour in colours {
        let divided = (u16::from(*colour) * 255 + alpha / 2).checked_div(alpha).unwrap_or(0);
        *colour = u8::try_from(divided).unwrap_or(u8::MAX);
    }
}

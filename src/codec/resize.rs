//! Smaller copies of a picture, in linear light: averaging encoded values would darken fine detail
//! (<http://www.ericbrasseur.org/gamma.html>).
//!
//! As in libvips, a copy is made in two steps: whole blocks of pixels are averaged while the picture is still far
//! larger than the copy, and a cubic filter (Catmull-Rom, which rings less than Lanczos in linear light) does the rest.

use std::sync::LazyLock;

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::DynamicImage;

use super::CodecError;
use super::raster::{from_pixels, pixels_of};

/// The filter begins with at least this many times the width that it makes.
const FILTERED_FROM: u32 = 2;

/// The filter begins with at most this many pixels, 6 or 8 bytes each.
const MAX_FILTERED_PIXELS: u64 = 40_000_000;

/// Makes copies of a picture, each from the one before: ask for the largest first.
pub(super) struct Shrinker {
    linear: Image<'static>,
    width: u32,
    height: u32,
}

impl Shrinker {
    /// For copies of at most this width.
    pub(super) fn new(picture: &DynamicImage, largest: u32) -> Self {
        let (width, height) = (picture.width(), picture.height());
        let factor = block_side(width, height, largest);
        Self { linear: average_blocks(picture, factor), width, height }
    }

    /// Memory that [`Shrinker::new`] and the first copy need, in bytes.
    pub(super) fn memory_bytes(width: u32, height: u32, largest: u32) -> u64 {
        let factor = block_side(width, height, largest);
        let first = u64::from(width.div_ceil(factor)) * u64::from(height.div_ceil(factor));
        let copy = u64::from(largest) * u64::from(scaled_height(width, height, largest));
        // It may be asked before the picture is turned, of the wrong side; a copy is smaller all the same.
        let copy = copy.min(u64::from(width) * u64::from(height));
        // The linear picture with and without alpha premultiplied, the filter's two passes, the copy's bytes.
        first * 16 + copy * 24
    }

    /// A copy of this width, not larger than the one before.
    pub(super) fn copy(&mut self, width: u32) -> Result<DynamicImage, CodecError> {
        let height = scaled_height(self.width, self.height, width);
        let mut copy = Image::new(width, height, self.linear.pixel_type());
        let filter = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
        Resizer::new().resize(&self.linear, &mut copy, &filter).map_err(CodecError::Resize)?;
        let encoded = encode(&copy);
        self.linear = copy;
        Ok(from_pixels(width, height, encoded))
    }
}

/// The height that keeps the shape of a picture at another width; at least 1.
pub(super) fn scaled_height(width: u32, height: u32, new_width: u32) -> u32 {
    let exact = u64::from(height) * u64::from(new_width) + u64::from(width) / 2;
    u32::try_from(exact / u64::from(width.max(1))).unwrap_or(u32::MAX).max(1)
}

/// Side of the blocks that are averaged.
fn block_side(width: u32, height: u32, largest: u32) -> u32 {
    let by_width = width / (FILTERED_FROM * largest).max(1);
    let mut factor = by_width.max(1);
    let pixels = u64::from(width) * u64::from(height);
    while pixels / (u64::from(factor) * u64::from(factor)) > MAX_FILTERED_PIXELS {
        factor += 1;
    }
    factor
}

/// 8-bit sRGB to 16-bit linear light.
static TO_LINEAR: LazyLock<[u16; 256]> = LazyLock::new(|| {
    std::array::from_fn(|value| {
        let encoded = value as f64 / 255.0;
        let linear = if encoded <= 0.04045 { encoded / 12.92 } else { ((encoded + 0.055) / 1.055).powf(2.4) };
        round(linear * 65535.0)
    })
});

/// 16-bit linear light to 8-bit sRGB.
static FROM_LINEAR: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..=u16::MAX)
        .map(|value| {
            let linear = f64::from(value) / 65535.0;
            let encoded =
                if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
            u8::try_from(round(encoded * 255.0)).unwrap_or(u8::MAX)
        })
        .collect()
});

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts from floats saturate")]
fn round(value: f64) -> u16 {
    value.round() as u16
}

/// The picture in linear light, each block of `side * side` pixels averaged into one; blocks at the right and at the
/// bottom may be smaller. Colours count by their alpha.
fn average_blocks(picture: &DynamicImage, side: u32) -> Image<'static> {
    let (bytes, channels) = pixels_of(picture);
    let (width, height) = (picture.width().div_ceil(side), picture.height().div_ceil(side));
    let kind = if channels == 4 { PixelType::U16x4 } else { PixelType::U16x3 };
    let mut linear = Image::new(width, height, kind);
    let row_bytes = picture.width() as usize * channels;
    let samples = width as usize * channels;
    let mut sums = vec![0_u64; samples];
    let mut target = linear.buffer_mut().chunks_exact_mut(samples * 2);
    for rows in bytes.chunks(row_bytes * side as usize) {
        let Some(target) = target.next() else { break };
        if side == 1 {
            linear_row(rows, channels, target);
            continue;
        }
        sums.fill(0);
        for row in rows.chunks_exact(row_bytes) {
            for (block, sum) in row.chunks(side as usize * channels).zip(sums.chunks_exact_mut(channels)) {
                add_block(block, sum);
            }
        }
        let block_rows = rows.len() / row_bytes;
        for (index, (sum, target)) in
            sums.chunks_exact(channels).zip(target.chunks_exact_mut(channels * 2)).enumerate()
        {
            let columns = (picture.width() as usize - index * side as usize).min(side as usize);
            write_mean(sum, (columns * block_rows) as u64, target);
        }
    }
    linear
}

fn linear_row(row: &[u8], channels: usize, target: &mut [u8]) {
    let to_linear = &*TO_LINEAR;
    for (index, (value, target)) in row.iter().zip(target.as_chunks_mut::<2>().0).enumerate() {
        let is_alpha = channels == 4 && index % 4 == 3;
        let linear = if is_alpha { u16::from(*value) * 257 } else { to_linear[usize::from(*value)] };
        *target = linear.to_ne_bytes();
    }
}

/// Adds the pixels of a row to the sum of their block: colours in linear light, with alpha premultiplied.
fn add_block(block: &[u8], sum: &mut [u64]) {
    let to_linear = &*TO_LINEAR;
    match sum {
        [red, green, blue, alpha] => {
            for [r, g, b, a] in block.as_chunks::<4>().0 {
                let weight = u64::from(*a);
                *red += u64::from(to_linear[usize::from(*r)]) * weight;
                *green += u64::from(to_linear[usize::from(*g)]) * weight;
                *blue += u64::from(to_linear[usize::from(*b)]) * weight;
                *alpha += weight;
            }
        }
        [red, green, blue] => {
            for [r, g, b] in block.as_chunks::<3>().0 {
                *red += u64::from(to_linear[usize::from(*r)]);
                *green += u64::from(to_linear[usize::from(*g)]);
                *blue += u64::from(to_linear[usize::from(*b)]);
            }
        }
        _ => unreachable!("a pixel has 3 or 4 channels here"),
    }
}

fn write_mean(sum: &[u64], pixels: u64, target: &mut [u8]) {
    let (colours, weight, alpha) = match sum {
        [colours @ .., alpha] if sum.len() == 4 => (colours, *alpha, Some(alpha * 257 / pixels)),
        colours => (colours, pixels, None),
    };
    let means = colours.iter().map(|sum| sum.checked_div(weight).unwrap_or(0)).chain(alpha);
    for (target, mean) in target.as_chunks_mut::<2>().0.iter_mut().zip(means) {
        *target = u16::try_from(mean).unwrap_or(u16::MAX).to_ne_bytes();
    }
}

/// Linear light to 8-bit sRGB.
fn encode(linear: &Image<'_>) -> Vec<u8> {
    let from_linear = &**FROM_LINEAR;
    let has_alpha = linear.pixel_type() == PixelType::U16x4;
    let samples = linear.buffer().as_chunks::<2>().0.iter().map(|bytes| u16::from_ne_bytes(*bytes));
    samples
        .enumerate()
        .map(|(index, value)| {
            if has_alpha && index % 4 == 3 {
                // Rounded: 257 steps of 16 bits are one of 8.
                u8::try_from((u32::from(value) + 128) / 257).unwrap_or(u8::MAX)
            } else {
                from_linear[usize::from(value)]
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    #[test]
    fn fine_detail_keeps_its_brightness() {
        // Black and white columns emit half the light of white, which is 188 in sRGB, not 128.
        let stripes = RgbImage::from_fn(640, 64, |x, _| Rgb(if x % 2 == 0 { [255; 3] } else { [0; 3] }));
        for width in [320, 100, 33] {
            let copy = Shrinker::new(&stripes.clone().into(), width).copy(width).unwrap();
            let middle = copy.to_rgb8().get_pixel(width / 2, 2).0;
            assert!(middle.iter().all(|value| value.abs_diff(188) <= 3), "{middle:?} at width {width}");
        }
    }

    #[test]
    fn flat_colours_survive_at_every_size_and_shape() {
        for (width, height) in [(1000, 1), (33, 777), (4001, 13), (50, 50)] {
            let flat = DynamicImage::from(RgbImage::from_pixel(width, height, Rgb([200, 100, 7])));
            let mut shrinker = Shrinker::new(&flat, width / 2);
            for copy_width in [width / 2, width / 3, 1] {
                let copy = shrinker.copy(copy_width).unwrap();
                assert_eq!(copy.width(), copy_width);
                assert_eq!(copy.height(), scaled_height(width, height, copy_width));
                assert!(copy.to_rgb8().pixels().all(|pixel| *pixel == Rgb([200, 100, 7])));
            }
        }
    }

    #[test]
    fn what_is_transparent_lends_its_colour_to_nothing() {
        // Opaque red beside invisible green: never yellow.
        let picture = RgbaImage::from_fn(600, 60, |x, _| {
            Rgba(if x % 2 == 0 { [255, 0, 0, 255] } else { [0, 255, 0, 0] })
        });
        for width in [300, 60] {
            let copy = Shrinker::new(&picture.clone().into(), width).copy(width).unwrap();
            let Rgba([red, green, blue, alpha]) = *copy.to_rgba8().get_pixel(width / 2, 3);
            assert!(red >= 253 && green <= 2 && blue <= 2, "{red} {green} {blue} at width {width}");
            assert!(alpha.abs_diff(128) <= 2, "{alpha}");
        }
    }
}

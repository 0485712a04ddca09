//! Makes smaller copies of a picture, in linear light.
//!
//! Averaging encoded values would darken fine detail (<http://www.ericbrasseur.org/gamma.html>).
//! The filter is Catmull-Rom, a cubic that rings less than Lanczos in linear light. It passes over
//! the picture in bands of rows, so that the largest pictures need little memory beside their own.
//! As in libvips, whole blocks of pixels are averaged first if the picture is far larger than the
//! copy.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::DynamicImage;

use super::rgb::{from_pixels, pixels_of};
use crate::codec::error::CodecError;

/// Ratio of widths that averaging leaves to the filter, at least.
const MIN_FILTER_RATIO: u32 = 2;

/// Most pixels that averaging may leave, of 6 or 8 bytes each. If more would be left, the filter
/// does all.
const MAX_AVERAGED_PIXELS: u64 = 10_000_000;

/// Least and most rows of a copy that are made at once. The rows of the picture that two bands
/// share are filtered twice.
const BAND_ROWS: RangeInclusive<u32> = 16..=64;

/// Bytes of a band that may make it higher than it must be: what processors keep close at hand.
const BAND_BYTES: u64 = 4 << 20;

/// A maker of copies of a picture, each from the one before. Ask for the largest first.
pub(crate) struct Shrinker {
    /// The last copy, in linear light.
    linear: Image<'static>,
    /// Width of the picture.
    width: u32,
    /// Height of the picture.
    height: u32,
}

impl Shrinker {
    /// Prepares copies of at most the width `largest`.
    ///
    /// # Errors
    /// Returns an error if the picture can't be resized.
    pub(crate) fn new(picture: &DynamicImage, largest: u32) -> Result<Self, CodecError> {
        let (width, height) = (picture.width(), picture.height());
        let linear = match block_side(width, height, largest) {
            Some(side) => average_blocks(picture, side),
            None => {
                let (bytes, channels) = pixels_of(picture);
                let mut rows =
                    RowShrinker::new(picture, largest, scaled_height(width, height, largest));
                let mut linear = Image::new(largest, rows.copy_height, pixel_type(channels));
                let mut target = linear.buffer_mut();
                for row in bytes.chunks_exact(width as usize * channels) {
                    let copied = rows.push(row)?;
                    let (copy, rest) = target.split_at_mut(copied.len());
                    copy.copy_from_slice(&copied);
                    target = rest;
                }
                linear
            }
        };
        Ok(Self { linear, width, height })
    }

    /// Returns the memory that [`Shrinker::new`] and the first copy need, in bytes.
    pub(crate) fn memory_bytes(width: u32, height: u32, largest: u32, alpha: bool) -> u64 {
        let copy_height = scaled_height(width, height, largest);
        let copy = u64::from(largest) * u64::from(copy_height);
        // Width and height may be those before orientation, so that the copy comes out too large. A
        // copy is always smaller than the picture.
        let copy = copy.min(u64::from(width) * u64::from(height));
        let (averaged_bytes, copy_bytes) = if alpha { (16, 24) } else { (6, 15) };
        // The two passes of the filter, and the bytes of the copy.
        let filtered = copy * copy_bytes;
        match block_side(width, height, largest) {
            Some(side) => {
                let averaged = u64::from(width.div_ceil(side)) * u64::from(height.div_ceil(side));
                averaged * averaged_bytes + filtered
            }
            None => shrink_bytes(width, height, copy_height, alpha) + filtered,
        }
    }

    /// Returns the memory that is held after the copy of the width `largest` was made, with that
    /// copy, in bytes.
    pub(crate) fn held_bytes(width: u32, height: u32, largest: u32, alpha: bool) -> u64 {
        let copy = u64::from(largest) * u64::from(scaled_height(width, height, largest));
        copy.min(u64::from(width) * u64::from(height)) * if alpha { 12 } else { 9 }
    }

    /// Makes a copy of this width, which must not be larger than the one before.
    ///
    /// # Errors
    /// Returns an error if the picture can't be resized.
    pub(crate) fn copy(&mut self, width: u32) -> Result<DynamicImage, CodecError> {
        let height = scaled_height(self.width, self.height, width);
        if (width, height) != (self.linear.width(), self.linear.height()) {
            let mut copy = Image::new(width, height, self.linear.pixel_type());
            Resizer::new()
                .resize(&self.linear, &mut copy, &filter())
                .map_err(CodecError::Resize)?;
            self.linear = copy;
        }
        Ok(from_pixels(
            width,
            height,
            encode(self.linear.buffer(), self.linear.pixel_type()).collect(),
        ))
    }
}

/// Shrinks a picture, within its own memory.
///
/// # Errors
/// Returns an error if the picture can't be resized.
pub(crate) fn shrink(
    picture: DynamicImage,
    width: u32,
    height: u32,
) -> Result<DynamicImage, CodecError> {
    let mut rows = RowShrinker::new(&picture, width, height);
    let row_bytes = picture.width() as usize * pixels_of(&picture).1;
    let mut bytes = picture.into_bytes();
    let mut written = 0;
    for start in (0..bytes.len()).step_by(row_bytes) {
        let copied = rows.push(&bytes[start..start + row_bytes])?;
        // The copy has fewer and shorter rows, so it never overwrites rows that were not read yet.
        for value in encode(&copied, pixel_type(rows.channels)) {
            bytes[written] = value;
            written += 1;
        }
    }
    bytes.truncate(written);
    Ok(from_pixels(width, height, bytes))
}

/// Returns the memory that [`shrink`] needs, in bytes.
pub(crate) fn shrink_bytes(width: u32, height: u32, copy_height: u32, alpha: bool) -> u64 {
    // A band with the rows that its filter reaches, in linear light: as rows, as a picture, and
    // with alpha premultiplied.
    let pixel_bytes = if alpha { 8 * 3 } else { 6 * 2 };
    let band = band_rows(width, height, copy_height);
    let rows = u64::from(band + 6) * u64::from(height.div_ceil(copy_height.max(1)));
    rows * u64::from(width) * pixel_bytes
}

/// Returns the number of rows of a copy that are made at once.
fn band_rows(width: u32, height: u32, copy_height: u32) -> u32 {
    let row_bytes = u64::from(width) * 6 * u64::from(height.div_ceil(copy_height.max(1)));
    let rows = u32::try_from(BAND_BYTES / row_bytes.max(1)).unwrap_or(u32::MAX);
    rows.clamp(*BAND_ROWS.start(), *BAND_ROWS.end())
}

/// A copy that is made while the picture passes row by row.
struct RowShrinker {
    /// Bytes of a pixel, 3 or 4.
    channels: usize,
    width: u32,
    height: u32,
    copy_width: u32,
    copy_height: u32,
    /// Rows of the picture, in linear light, that are still needed.
    linear: Vec<u8>,
    /// Number of the first of these rows.
    first: u32,
    /// Number of rows of the picture that were pushed.
    rows_read: u32,
    /// Number of rows of the copy that were returned.
    rows_copied: u32,
    resizer: Resizer,
}

impl RowShrinker {
    fn new(picture: &DynamicImage, copy_width: u32, copy_height: u32) -> Self {
        let (width, height) = (picture.width(), picture.height());
        Self {
            channels: pixels_of(picture).1,
            width,
            height,
            copy_width,
            copy_height,
            linear: Vec::new(),
            first: 0,
            rows_read: 0,
            rows_copied: 0,
            resizer: Resizer::new(),
        }
    }

    /// Takes the next row, and returns the rows of the copy that this completes, in linear light.
    fn push(&mut self, row: &[u8]) -> Result<Vec<u8>, CodecError> {
        let start = self.linear.len();
        self.linear.resize(start + row.len() * 2, 0);
        linear_row(row, self.channels, &mut self.linear[start..]);
        self.rows_read += 1;
        let scale = f64::from(self.height) / f64::from(self.copy_height);
        // Catmull-Rom reaches two pixels of the copy to either side.
        let reach = 2.0 * scale + 1.0;
        let mut copied = Vec::new();
        let band_rows = band_rows(self.width, self.height, self.copy_height);
        while self.rows_copied < self.copy_height {
            let until = (self.rows_copied + band_rows).min(self.copy_height);
            let needed = (f64::from(until) * scale + reach).min(f64::from(self.height));
            if f64::from(self.rows_read) < needed {
                break;
            }
            copied.extend_from_slice(self.band(until, scale)?.buffer());
            self.rows_copied = until;
            let row_bytes = row.len() * 2;
            while f64::from(self.first) + 1.0 < f64::from(self.rows_copied) * scale - reach {
                self.first += 1;
            }
            let held = (self.rows_read - self.first) as usize * row_bytes;
            self.linear.drain(..self.linear.len() - held);
        }
        Ok(copied)
    }

    /// Makes the rows of the copy from the last one returned to `until`.
    fn band(&mut self, until: u32, scale: f64) -> Result<Image<'static>, CodecError> {
        let kind = pixel_type(self.channels);
        let mut source = Image::new(self.width, self.rows_read - self.first, kind);
        source.buffer_mut().copy_from_slice(&self.linear);
        let mut band = Image::new(self.copy_width, until - self.rows_copied, kind);
        let top = f64::from(self.rows_copied) * scale - f64::from(self.first);
        let height =
            (f64::from(until - self.rows_copied) * scale).min(f64::from(source.height()) - top);
        let filter = filter().crop(0.0, top, f64::from(self.width), height);
        self.resizer.resize(&source, &mut band, &filter).map_err(CodecError::Resize)?;
        Ok(band)
    }
}

fn pixel_type(channels: usize) -> PixelType {
    if channels == 4 { PixelType::U16x4 } else { PixelType::U16x3 }
}

fn filter() -> ResizeOptions {
    ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom))
}

/// Returns the height that keeps a picture's shape at another width, at least 1.
pub(crate) fn scaled_height(width: u32, height: u32, new_width: u32) -> u32 {
    let exact = u64::from(height) * u64::from(new_width) + u64::from(width) / 2;
    u32::try_from(exact / u64::from(width.max(1))).unwrap_or(u32::MAX).max(1)
}

/// Returns the size, or the largest of its shape whose longer side is at most `longest_side`.
pub(crate) fn fit_within((width, height): (u32, u32), longest_side: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= longest_side {
        return (width, height);
    }
    let scaled = |side: u32| {
        let side = (u64::from(side) * u64::from(longest_side) + u64::from(longest / 2))
            / u64::from(longest);
        u32::try_from(side).unwrap_or(longest_side).max(1)
    };
    (scaled(width), scaled(height))
}

/// Returns the side of the blocks to be averaged, or `None` if the filter does all.
fn block_side(width: u32, height: u32, largest: u32) -> Option<u32> {
    let side = width / (MIN_FILTER_RATIO * largest).max(1);
    let left = u64::from(width.div_ceil(side.max(1))) * u64::from(height.div_ceil(side.max(1)));
    (side > 1 && left <= MAX_AVERAGED_PIXELS).then_some(side)
}

/// Table from 8-bit sRGB to 16-bit linear light.
static TO_LINEAR: LazyLock<[u16; 256]> = LazyLock::new(|| {
    std::array::from_fn(|value| {
        let encoded = value as f64 / 255.0;
        let linear = if encoded <= 0.04045 {
            encoded / 12.92
        } else {
            ((encoded + 0.055) / 1.055).powf(2.4)
        };
        round(linear * 65535.0)
    })
});

/// Table from 16-bit linear light to 8-bit sRGB.
static FROM_LINEAR: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..=u16::MAX)
        .map(|value| {
            let linear = f64::from(value) / 65535.0;
            let encoded = if linear <= 0.003_130_8 {
                linear * 12.92
            } else {
                1.055 * linear.powf(1.0 / 2.4) - 0.055
            };
            u8::try_from(round(encoded * 255.0)).unwrap_or(u8::MAX)
        })
        .collect()
});

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts from floats saturate"
)]
fn round(value: f64) -> u16 {
    value.round() as u16
}

/// Returns the picture in linear light, each block of `side * side` pixels averaged into one.
///
/// Blocks at the right and at the bottom may be smaller. Colours count by their alpha.
fn average_blocks(picture: &DynamicImage, side: u32) -> Image<'static> {
    let (bytes, channels) = pixels_of(picture);
    let (width, height) = (picture.width().div_ceil(side), picture.height().div_ceil(side));
    let mut linear = Image::new(width, height, pixel_type(channels));
    let row_bytes = picture.width() as usize * channels;
    let samples = width as usize * channels;
    let mut sums = vec![0_u64; samples];
    let mut target = linear.buffer_mut().chunks_exact_mut(samples * 2);
    for rows in bytes.chunks(row_bytes * side as usize) {
        let Some(target) = target.next() else { break };
        sums.fill(0);
        for row in rows.chunks_exact(row_bytes) {
            for (block, sum) in
                row.chunks(side as usize * channels).zip(sums.chunks_exact_mut(channels))
            {
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

/// Converts a row to linear light, as 16-bit samples.
fn linear_row(row: &[u8], channels: usize, target: &mut [u8]) {
    let to_linear = &*TO_LINEAR;
    for (index, (value, target)) in row.iter().zip(target.as_chunks_mut::<2>().0).enumerate() {
        let is_alpha = channels == 4 && index % 4 == 3;
        let linear =
            if is_alpha { u16::from(*value) * 257 } else { to_linear[usize::from(*value)] };
        *target = linear.to_ne_bytes();
    }
}

/// Adds the pixels of a row to the sum of their block, in linear light and premultiplied by alpha.
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
        // Without alpha there are three channels.
        sum => {
            let [red, green, blue] = sum else { return };
            for [r, g, b] in block.as_chunks::<3>().0 {
                *red += u64::from(to_linear[usize::from(*r)]);
                *green += u64::from(to_linear[usize::from(*g)]);
                *blue += u64::from(to_linear[usize::from(*b)]);
            }
        }
    }
}

/// Writes the mean of a block, not premultiplied, as 16-bit samples.
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

/// Converts linear light to 8-bit sRGB.
fn encode(linear: &[u8], kind: PixelType) -> impl Iterator<Item = u8> {
    let from_linear = &**FROM_LINEAR;
    let has_alpha = kind == PixelType::U16x4;
    let samples = linear.as_chunks::<2>().0.iter().map(|bytes| u16::from_ne_bytes(*bytes));
    samples.enumerate().map(move |(index, value)| {
        if has_alpha && index % 4 == 3 {
            // Divides by 257, the steps of 16 bits in one of 8, and rounds.
            u8::try_from((u32::from(value) + 128) / 257).unwrap_or(u8::MAX)
        } else {
            from_linear[usize::from(value)]
        }
    })
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    #[test]
    fn fine_detail_keeps_its_brightness() {
        // Black and white columns emit half the light of white: 188 in sRGB, not 128.
        let stripes =
            RgbImage::from_fn(640, 64, |x, _| Rgb(if x % 2 == 0 { [255; 3] } else { [0; 3] }));
        for width in [320, 100, 33] {
            let copy = Shrinker::new(&stripes.clone().into(), width).unwrap().copy(width).unwrap();
            let middle = copy.to_rgb8().get_pixel(width / 2, 2).0;
            assert!(
                middle.iter().all(|value| value.abs_diff(188) <= 3),
                "{middle:?} at width {width}"
            );
        }
    }

    #[test]
    fn flat_colours_survive_at_every_size_and_shape() {
        for (width, height) in [(1000, 1), (33, 777), (4001, 13), (50, 50)] {
            let flat = DynamicImage::from(RgbImage::from_pixel(width, height, Rgb([200, 100, 7])));
            let mut shrinker = Shrinker::new(&flat, width / 2).unwrap();
            for copy_width in [width / 2, width / 3, 1] {
                let copy = shrinker.copy(copy_width).unwrap();
                assert_eq!(copy.width(), copy_width);
                assert_eq!(copy.height(), scaled_height(width, height, copy_width));
                assert!(copy.to_rgb8().pixels().all(|pixel| *pixel == Rgb([200, 100, 7])));
            }
        }
    }

    #[test]
    fn row_by_row_gives_what_all_at_once_does() {
        let channel = |value: u32| u8::try_from(value % 256).unwrap();
        for (width, height, smaller) in
            [(300, 500, 299), (301, 499, 255), (64, 1000, 9), (500, 3, 100), (7, 200, 1)]
        {
            let opaque =
                RgbImage::from_fn(width, height, |x, y| Rgb([x * 7, y * 3, x * y].map(channel)));
            let clear = RgbaImage::from_fn(width, height, |x, y| {
                Rgba([x * 7, y * 3, x * y, x + y].map(channel))
            });
            for picture in [DynamicImage::from(opaque), DynamicImage::from(clear)] {
                let mut linear = Shrinker { linear: average_blocks(&picture, 1), width, height };
                let at_once = linear.copy(smaller).unwrap();
                let shrunk = shrink(picture, smaller, at_once.height()).unwrap();
                assert_eq!(shrunk.width(), smaller);
                let furthest = shrunk
                    .as_bytes()
                    .iter()
                    .zip(at_once.as_bytes())
                    .map(|(a, b)| a.abs_diff(*b))
                    .max();
                assert!(furthest <= Some(1), "{furthest:?} at {width} x {height} to {smaller}");
            }
        }
    }

    /// Copies were blurred when they were made of blocks larger than their pixels.
    #[test]
    fn copies_of_large_pictures_are_sharp() {
        let stripes = RgbImage::from_fn(16_400, 2_500, |x, _| {
            Rgb(if x / 4 % 2 == 0 { [255; 3] } else { [0; 3] })
        });
        let copy = Shrinker::new(&stripes.clone().into(), 16_000).unwrap().copy(16_000).unwrap();
        for picture in [copy, shrink(stripes.into(), 16_000, 2439).unwrap()] {
            let row = &picture.as_bytes()[..3 * 16_000];
            assert!(row.iter().filter(|value| !(16..240).contains(*value)).count() > row.len() / 2);
        }
    }

    #[test]
    fn what_is_transparent_lends_its_colour_to_nothing() {
        // Opaque red beside invisible green: never yellow.
        let picture = RgbaImage::from_fn(600, 60, |x, _| {
            Rgba(if x % 2 == 0 { [255, 0, 0, 255] } else { [0, 255, 0, 0] })
        });
        for width in [300, 60] {
            let copy = Shrinker::new(&picture.clone().into(), width).unwrap().copy(width).unwrap();
            let Rgba([red, green, blue, alpha]) = *copy.to_rgba8().get_pixel(width / 2, 3);
            assert!(red >= 253 && green <= 2 && blue <= 2, "{red} {green} {blue} at width {width}");
            assert!(alpha.abs_diff(128) <= 2, "{alpha}");
        }
    }
}

//! Computes the features of a picture: placeholder, dominant colour, perceptual hash.

use image::{DynamicImage, RgbaImage};

use super::rgb::pixels_of;

/// Longest side of the copy from which all features are computed, in pixels. Thumbhash takes no
/// larger one.
const SIDE: u32 = 100;

/// The features of a picture.
#[derive(Debug)]
pub(crate) struct Features {
    /// Blurred placeholder of some 25 bytes, see <https://evanw.github.io/thumbhash/>.
    pub(crate) thumbhash: Vec<u8>,
    /// Mean of the most frequent colours, in sRGB.
    pub(crate) color: [u8; 3],
    /// Hash that similar pictures share, see [`perceptual_hash`].
    pub(crate) perceptual_hash: u64,
}

impl Features {
    /// Computes the features of a picture.
    pub(crate) fn of(picture: &DynamicImage) -> Self {
        let small = thumbnail(picture);
        let (width, height) = (small.width() as usize, small.height() as usize);
        Self {
            thumbhash: thumbhash::rgba_to_thumb_hash(width, height, &small),
            color: dominant_color(&small),
            perceptual_hash: perceptual_hash(&small),
        }
    }
}

/// Returns a copy of at most [`SIDE`] pixels a side, each the mean of a block of pixels.
#[expect(clippy::expect_used, reason = "the loops push columns * rows pixels of four bytes")]
fn thumbnail(picture: &DynamicImage) -> RgbaImage {
    let (bytes, channels) = pixels_of(picture);
    let (width, height) = (picture.width(), picture.height());
    let longest = width.max(height).max(1);
    let scaled = |side: u32| if longest <= SIDE { side } else { (side * SIDE / longest).max(1) };
    let (columns, rows) = (scaled(width), scaled(height));
    let start = |index: u32, size: u32, count: u32| index as usize * size as usize / count as usize;
    let row_bytes = width as usize * channels;
    let mut sums = vec![0_u32; row_bytes];
    RgbaImage::from_raw(columns, rows, {
        let mut pixels = Vec::with_capacity((columns * rows * 4) as usize);
        for row in 0..rows {
            let lines = start(row, height, rows)..start(row + 1, height, rows);
            sums.fill(0);
            for line in lines.clone() {
                add_line(&mut sums, &bytes[line * row_bytes..][..row_bytes], channels);
            }
            for column in 0..columns {
                let block = start(column, width, columns) * channels
                    ..start(column + 1, width, columns) * channels;
                pixels.extend(mean(&sums[block], channels, lines.len()));
            }
        }
        pixels
    })
    .expect("every pixel was pushed")
}

/// Adds the samples of a line to the sums. Colours beside an alpha are premultiplied.
fn add_line(sums: &mut [u32], line: &[u8], channels: usize) {
    if channels == 3 {
        for (sum, value) in sums.iter_mut().zip(line) {
            *sum += u32::from(*value);
        }
        return;
    }
    for (sum, [red, green, blue, alpha]) in
        sums.as_chunks_mut::<4>().0.iter_mut().zip(line.as_chunks().0)
    {
        let weight = u32::from(*alpha);
        for (sum, value) in sum.iter_mut().zip([*red, *green, *blue]) {
            *sum += u32::from(value) * weight / 255;
        }
        sum[3] += weight;
    }
}

/// Returns the mean pixel of a block, from the sums of its columns.
fn mean(sums: &[u32], channels: usize, lines: usize) -> [u8; 4] {
    let mut total = [0_u64; 4];
    for pixel in sums.chunks_exact(channels) {
        for (total, sum) in total.iter_mut().zip(pixel) {
            *total += u64::from(*sum);
        }
    }
    let pixels = (sums.len() / channels * lines) as u64;
    let (weight, alpha) = if channels == 4 {
        (total[3], total[3].checked_div(pixels).unwrap_or(0))
    } else {
        (pixels * 255, 255)
    };
    let colour = |sum: u64| byte((sum * 255).checked_div(weight).unwrap_or(0));
    [colour(total[0]), colour(total[1]), colour(total[2]), byte(alpha)]
}

fn byte(value: u64) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

/// Returns the mean of the pixels in the fullest of 512 boxes of the colour cube. Pixels count by
/// their alpha.
fn dominant_color(small: &RgbaImage) -> [u8; 3] {
    let mut boxes = vec![[0_u64; 4]; 512];
    for pixel in small.pixels() {
        let [red, green, blue, alpha] = pixel.0;
        let index =
            pixel.0[..3].iter().fold(0, |index, value| index << 3 | usize::from(value >> 5));
        for (sum, value) in boxes[index].iter_mut().zip([red, green, blue, 1]) {
            *sum += u64::from(value) * u64::from(alpha);
        }
    }
    let [red, green, blue, weight] =
        boxes.into_iter().max_by_key(|sums| sums[3]).unwrap_or_default();
    [red, green, blue].map(|sum| byte(sum.checked_div(weight).unwrap_or(0)))
}

/// Returns 64 bits, nearly all of which similar pictures share.
///
/// The bits say which of the lowest 8 x 8 frequencies of the brightness in 32 x 32 pixels are above
/// their median. Transparent pixels count as grey. Source: C. Zauner, "Implementation and
/// Benchmarking of Perceptual Image Hash Functions" (2010), 3.2.1.
fn perceptual_hash(small: &RgbaImage) -> u64 {
    const SIDE: usize = 32;
    let brightness = luma_square::<SIDE>(small);
    let mut frequencies = [0.0_f32; 64];
    let cosine = |frequency: usize, position: usize| {
        let phase = (2 * position + 1) as f32 * frequency as f32 / (2 * SIDE) as f32;
        (phase * std::f32::consts::PI).cos()
    };
    let basis: [[f32; SIDE]; 8] =
        std::array::from_fn(|index| std::array::from_fn(|position| cosine(index + 1, position)));
    for (v, vertical) in basis.iter().enumerate() {
        for (u, horizontal) in basis.iter().enumerate() {
            frequencies[v * 8 + u] = brightness
                .iter()
                .zip(vertical)
                .map(|(row, weight)| {
                    weight * row.iter().zip(horizontal).map(|(a, b)| a * b).sum::<f32>()
                })
                .sum();
        }
    }
    let mut sorted = frequencies;
    sorted.sort_by(f32::total_cmp);
    let median = (sorted[31] + sorted[32]) / 2.0;
    frequencies.iter().fold(0, |hash, value| hash << 1 | u64::from(*value > median))
}

/// Returns the brightness in a square, whatever the picture's shape.
///
/// Each sample is the mean of 4 x 4 points, interpolated between the pixels around them.
fn luma_square<const SIDE: usize>(small: &RgbaImage) -> [[f32; SIDE]; SIDE] {
    const GREY: f32 = 128.0;
    let brightness = |x: u32, y: u32| {
        let [red, green, blue, alpha] = small.get_pixel(x, y).0.map(f32::from);
        let alpha = alpha / 255.0;
        (0.299 * red + 0.587 * green + 0.114 * blue) * alpha + GREY * (1.0 - alpha)
    };
    const POINTS: usize = 4;
    let at = |index: usize, point: usize, size: u32| {
        let position = (index * POINTS + point) as f32 + 0.5;
        let scaled = position * size as f32 / (SIDE * POINTS) as f32 - 0.5;
        let low = scaled.clamp(0.0, (size - 1) as f32);
        (whole(low), low.fract())
    };
    std::array::from_fn(|row| {
        std::array::from_fn(|column| {
            let mut sum = 0.0;
            for down in 0..POINTS {
                for right in 0..POINTS {
                    let (x, dx) = at(column, right, small.width());
                    let (y, dy) = at(row, down, small.height());
                    let (next_x, next_y) =
                        ((x + 1).min(small.width() - 1), (y + 1).min(small.height() - 1));
                    let top = brightness(x, y) * (1.0 - dx) + brightness(next_x, y) * dx;
                    let bottom =
                        brightness(x, next_y) * (1.0 - dx) + brightness(next_x, next_y) * dx;
                    sum += top * (1.0 - dy) + bottom * dy;
                }
            }
            sum / (POINTS * POINTS) as f32
        })
    })
}

/// Returns the whole part of a position in a picture, which is never negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts from floats saturate"
)]
const fn whole(position: f32) -> u32 {
    position as u32
}

#[cfg(test)]
mod tests {
    use image::imageops::FilterType;
    use image::{Rgb, RgbImage, Rgba};

    use super::*;

    fn waves(width: u32, height: u32, seed: f32) -> DynamicImage {
        let picture = RgbImage::from_fn(width, height, |x, y| {
            let (x, y) = (x as f32 / width as f32, y as f32 / height as f32);
            let value = ((x * 9.0 * seed).sin() + (y * 7.0 + x * seed * seed).cos()) * 60.0 + 128.0;
            Rgb([
                u8::try_from(whole(value)).unwrap(),
                u8::try_from(whole(value * 0.7)).unwrap(),
                40,
            ])
        });
        picture.into()
    }

    fn distance(a: &DynamicImage, b: &DynamicImage) -> u32 {
        (Features::of(a).perceptual_hash ^ Features::of(b).perceptual_hash).count_ones()
    }

    #[test]
    fn a_resized_picture_hashes_alike_and_another_does_not() {
        let original = waves(900, 600, 1.0);
        for (width, height) in [(450, 300), (300, 200), (120, 80), (1800, 1200)] {
            let copy = original.resize_exact(width, height, FilterType::Triangle);
            assert!(
                distance(&original, &copy) <= 4,
                "{width} x {height}: {}",
                distance(&original, &copy)
            );
        }
        for seed in [1.7, 2.3, 3.1] {
            let other = distance(&original, &waves(900, 600, seed));
            assert!(other > 12, "seed {seed}: {other}");
        }
    }

    #[test]
    fn the_dominant_colour_is_one_of_the_picture() {
        let mut picture = RgbaImage::from_pixel(300, 300, Rgba([250, 10, 10, 255]));
        for (_, _, pixel) in picture.enumerate_pixels_mut().filter(|(x, ..)| *x < 100) {
            *pixel = Rgba([10, 10, 250, 255]);
        }
        assert_eq!(Features::of(&picture.clone().into()).color, [250, 10, 10]);
        // Transparent red does not count.
        for (_, _, pixel) in picture.enumerate_pixels_mut().filter(|(x, ..)| *x >= 100) {
            pixel[3] = 0;
        }
        assert_eq!(Features::of(&picture.into()).color, [10, 10, 250]);
    }

    #[test]
    fn every_shape_has_features() {
        for (width, height) in [(1, 1), (1, 5000), (5000, 1), (101, 99), (100, 100), (3, 2)] {
            let flat = DynamicImage::from(RgbImage::from_pixel(width, height, Rgb([9, 200, 30])));
            assert_eq!(Features::of(&flat).color, [9, 200, 30], "{width} x {height}");
        }
    }
}

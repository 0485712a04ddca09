//! Converts RGB to the YUV of lossy WebP: BT.601, limited range, one chroma sample for four pixels.
//!
//! The planes are written over the RGB pixels, row pair by row pair, so that the largest pictures
//! need no memory beside their own. Half of that goes back to the system before they are encoded.
//! Coefficients: ITU-R BT.601 in the fixed point of libwebp (`dsp/yuv.h`).

use webpx::YuvPlanesRef;

/// A picture as Y, U and V, all in the memory that its RGB was in.
///
/// Each pair of rows is stored as the first row's Y, the pair's U, the second row's Y and the
/// pair's V. That gives every plane a constant stride.
pub(crate) struct Yuv {
    bytes: Vec<u8>,
    width: u32,
    height: u32,
}

impl Yuv {
    /// Converts `width * height` RGB pixels.
    pub(crate) fn from_rgb(mut bytes: Vec<u8>, width: u32, height: u32) -> Self {
        let (columns, rows) = (width as usize, height as usize);
        let layout = RowPairLayout::new(columns);
        let pairs = rows.div_ceil(2);
        // One pair more than is used, so that each plane is as long as its stride times its rows,
        // wherever it begins. Only a picture of few rows grows by that.
        let length = (pairs + 1) * layout.pair;
        bytes.resize(bytes.len().max(length), 0);
        let mut pair = vec![0; 6 * columns];
        let mut sums = vec![[0; 3]; layout.chroma];
        for index in 0..pairs {
            let (first, second) = pair.split_at_mut(3 * columns);
            let start = index * 6 * columns;
            first.copy_from_slice(&bytes[start..][..3 * columns]);
            if index * 2 + 1 < rows {
                second.copy_from_slice(&bytes[start + 3 * columns..][..3 * columns]);
            } else {
                second.copy_from_slice(first);
            }
            convert_pair(
                first,
                second,
                &mut sums,
                &mut bytes[index * layout.pair..][..layout.pair],
            );
        }
        bytes.truncate(length);
        release_spare(&mut bytes);
        Self { bytes, width, height }
    }

    /// Returns the planes as libwebp takes them.
    pub(crate) fn planes(&self) -> YuvPlanesRef<'_> {
        let layout = RowPairLayout::new(self.width as usize);
        YuvPlanesRef {
            y: &self.bytes,
            y_stride: layout.pair / 2,
            u: &self.bytes[layout.width..],
            u_stride: layout.pair,
            v: &self.bytes[layout.pair - layout.chroma..],
            v_stride: layout.pair,
            a: None,
            a_stride: 0,
            width: self.width,
            height: self.height,
        }
    }
}

/// Gives the pages behind the vector's end back to the system, if they are worth a system call.
///
/// The encoder may need them.
#[allow(unsafe_code, reason = "there is no safe interface to madvise")]
fn release_spare(bytes: &mut Vec<u8>) {
    const MIN_BYTES: usize = 16 << 20;
    let page = rustix::param::page_size();
    let spare = bytes.spare_capacity_mut();
    let start = spare.as_ptr().align_offset(page);
    let Some(whole) = spare.get_mut(start..).filter(|spare| spare.len() >= MIN_BYTES) else {
        return;
    };
    let length = whole.len() / page * page;
    // SAFETY: The range is whole pages of memory that this vector owns and holds nothing in, so
    // that reading zeros from them later is as good as what was there. It is private memory of the
    // allocator, whose own data lies before and behind an allocation, never within. Failing costs
    // memory only.
    let _ = unsafe {
        rustix::mm::madvise(whole.as_mut_ptr().cast(), length, rustix::mm::Advice::LinuxDontNeed)
    };
}

/// Where the samples of a pair of rows are.
struct RowPairLayout {
    /// Luma samples of a row.
    width: usize,
    /// Chroma samples of a row.
    chroma: usize,
    /// Bytes of a pair of rows.
    pair: usize,
}

impl RowPairLayout {
    const fn new(width: usize) -> Self {
        let chroma = width.div_ceil(2);
        Self { width, chroma, pair: 2 * (width + chroma) }
    }
}

/// Converts a pair of RGB rows. `sums` is room for the sums of four pixels each.
fn convert_pair(first: &[u8], second: &[u8], sums: &mut [[i32; 3]], target: &mut [u8]) {
    let (upper, lower) = target.split_at_mut(target.len() / 2);
    let width = first.len() / 3;
    let (upper_luma, u) = upper.split_at_mut(width);
    let (lower_luma, v) = lower.split_at_mut(width);
    luma(first, upper_luma);
    luma(second, lower_luma);
    for ((sum, a), b) in
        sums.iter_mut().zip(first.as_chunks::<6>().0).zip(second.as_chunks::<6>().0)
    {
        for channel in 0..3 {
            sum[channel] = i32::from(a[channel])
                + i32::from(a[channel + 3])
                + i32::from(b[channel])
                + i32::from(b[channel + 3]);
        }
    }
    if width % 2 == 1
        && let (Some(sum), Some(a), Some(b)) =
            (sums.last_mut(), first.last_chunk::<3>(), second.last_chunk::<3>())
    {
        *sum = std::array::from_fn(|channel| 2 * (i32::from(a[channel]) + i32::from(b[channel])));
    }
    for (([red, green, blue], u), v) in sums.iter().zip(u).zip(v) {
        *u = chroma(-9719 * red - 19081 * green + 28800 * blue);
        *v = chroma(28800 * red - 24116 * green - 4684 * blue);
    }
}

/// Converts a row of RGB to luma.
fn luma(rgb: &[u8], target: &mut [u8]) {
    for ([red, green, blue], y) in rgb.as_chunks::<3>().0.iter().zip(target) {
        let sum = 16839 * u32::from(*red) + 33059 * u32::from(*green) + 6420 * u32::from(*blue);
        *y = byte((sum + (16 << 16) + (1 << 15)) >> 16);
    }
}

/// Returns a chroma sample from the weighted sum of four pixels, which has 16 + 2 bits of fraction.
fn chroma(weighted: i32) -> u8 {
    byte(((weighted + (128 << 18) + (1 << 17)) >> 18).cast_unsigned())
}

/// Narrows a result to a byte: the coefficients keep every one within 16 to 240.
#[expect(
    clippy::cast_possible_truncation,
    reason = "in range, and checked conversion would double the time"
)]
const fn byte(value: u32) -> u8 {
    value as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns Y, U and V of a pixel.
    fn sample(yuv: &Yuv, x: usize, y: usize) -> [u8; 3] {
        let planes = yuv.planes();
        [
            planes.y[y * planes.y_stride + x],
            planes.u[y / 2 * planes.u_stride + x / 2],
            planes.v[y / 2 * planes.v_stride + x / 2],
        ]
    }

    #[test]
    fn known_colours_come_out_as_bt_601_says() {
        for (rgb, expected) in [
            ([0, 0, 0], [16, 128, 128]),
            ([255, 255, 255], [235, 128, 128]),
            ([255, 0, 0], [82, 90, 240]),
            ([0, 255, 0], [145, 54, 34]),
            ([0, 0, 255], [41, 240, 110]),
        ] {
            for (width, height) in [(1, 1), (2, 1), (1, 2), (3, 3), (4, 2), (5, 7)] {
                let yuv = Yuv::from_rgb(rgb.repeat((width * height) as usize), width, height);
                for (x, y) in [(0, 0), (width as usize - 1, height as usize - 1)] {
                    assert_eq!(sample(&yuv, x, y), expected, "{rgb:?} in {width} x {height}");
                }
            }
        }
    }

    #[test]
    fn every_pixel_keeps_its_place() {
        for (width, height) in [(1, 1), (7, 5), (8, 6), (2, 9), (9, 1)] {
            let pixels: Vec<_> =
                (0..width * height).map(|pixel| u8::try_from(pixel * 37 % 256).unwrap()).collect();
            let yuv =
                Yuv::from_rgb(pixels.iter().flat_map(|grey| [*grey; 3]).collect(), width, height);
            for (index, grey) in pixels.iter().enumerate() {
                let (x, y) = (index % width as usize, index / width as usize);
                let mut expected = [0];
                luma(&[*grey; 3], &mut expected);
                assert_eq!(
                    sample(&yuv, x, y),
                    [expected[0], 128, 128],
                    "{x}, {y} of {width} x {height}"
                );
            }
        }
    }
}

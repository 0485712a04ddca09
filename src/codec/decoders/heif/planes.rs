//! Turns planes of luma and chroma, as video decoders give them, into bytes of grey or RGB.
//!
//! Chroma of half the size is interpolated. Each of its samples is taken to lie in the middle of
//! the two or four pixels it stands for: the common encoders of AVIF and HEIC place it there, and
//! libavif and libheif read it so. Matrices are those of ITU-T H.273. `ICtCp` and constant
//! luminance, which no still picture was seen with, are left out.

use crate::codec::pixels::cicp::{Cicp, SrgbConverter, to_byte};

/// The samples of one plane, as a decoder keeps them.
#[cfg_attr(
    not(all(feature = "avif", feature = "heic")),
    allow(dead_code, reason = "each decoder has its own kind")
)]
#[derive(Clone, Copy)]
pub(super) enum PlaneSamples<'f> {
    Bytes(&'f [u8]),
    Words(&'f [u16]),
    /// Words in the machine's own byte order.
    WordBytes(&'f [u8]),
}

#[derive(Clone, Copy)]
pub(super) struct Plane<'f> {
    pub(super) samples: PlaneSamples<'f>,
    /// Samples from one row to the next.
    pub(super) stride: usize,
    /// Samples to skip at the start of each row.
    pub(super) left: usize,
    /// Rows to skip.
    pub(super) top: usize,
}

impl Plane<'_> {
    /// Fills `row` with the samples of row `y`.
    fn read(&self, y: usize, row: &mut [f32]) {
        let start = (self.top + y) * self.stride + self.left;
        let range = start..start + row.len();
        match self.samples {
            PlaneSamples::Bytes(samples) => {
                row.iter_mut()
                    .zip(&samples[range])
                    .for_each(|(value, sample)| *value = f32::from(*sample));
            }
            PlaneSamples::Words(samples) => {
                row.iter_mut()
                    .zip(&samples[range])
                    .for_each(|(value, sample)| *value = f32::from(*sample));
            }
            PlaneSamples::WordBytes(bytes) => {
                let pairs = bytes[range.start * 2..range.end * 2].chunks_exact(2);
                row.iter_mut().zip(pairs).for_each(|(value, pair)| {
                    *value = f32::from(u16::from_ne_bytes([pair[0], pair[1]]));
                });
            }
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct ChromaPlanes<'f> {
    pub(super) cb: Plane<'f>,
    pub(super) cr: Plane<'f>,
    pub(super) half_width: bool,
    pub(super) half_height: bool,
}

/// The planes of a decoded picture.
#[derive(Clone, Copy)]
pub(super) struct Planes<'f> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) luma: Plane<'f>,
    /// Planes of colour; `None` in monochrome.
    pub(super) chroma: Option<ChromaPlanes<'f>>,
    /// Bits of a sample of luma and of chroma, from 8 to 16.
    pub(super) depths: [u8; 2],
}

/// The bytes that pixels are painted into, row by row.
pub(super) struct PixelBuffer {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Bytes of a pixel. The first three are RGB, if there are three.
    pub(super) channels: usize,
    pub(super) bytes: Vec<u8>,
}

impl PixelBuffer {
    pub(super) fn new(width: u32, height: u32, channels: usize) -> Self {
        let (width, height) = (width as usize, height as usize);
        Self { width, height, channels, bytes: vec![0; width * height * channels] }
    }
}

/// The range of code values. A value means `(code - zero) * scale`.
#[derive(Clone, Copy)]
struct CodeRange {
    zero: f32,
    scale: f32,
}

impl CodeRange {
    fn luma(depth: u8, full: bool) -> Self {
        let unit = f32::from(1_u16 << (depth - 8));
        if full {
            Self { zero: 0.0, scale: 1.0 / (256.0 * unit - 1.0) }
        } else {
            Self { zero: 16.0 * unit, scale: 1.0 / (219.0 * unit) }
        }
    }

    fn chroma(depth: u8, full: bool) -> Self {
        let unit = f32::from(1_u16 << (depth - 8));
        Self {
            zero: 128.0 * unit,
            scale: 1.0 / if full { 256.0 * unit - 1.0 } else { 224.0 * unit },
        }
    }

    fn apply(self, row: &mut [f32]) {
        row.iter_mut().for_each(|value| *value = (*value - self.zero) * self.scale);
    }
}

/// The linear ways from luma and chroma to RGB.
#[derive(Clone, Copy)]
enum MatrixCoefficients {
    /// The planes are green, blue and red.
    Identity,
    YCgCo,
    /// Weights of Cr in red, of Cb and Cr in green, and of Cb in blue.
    Weights {
        red_cr: f32,
        green_cb: f32,
        green_cr: f32,
        blue_cb: f32,
    },
}

impl MatrixCoefficients {
    fn new(cicp: Cicp) -> Self {
        match cicp.matrix {
            0 => Self::Identity,
            8 => Self::YCgCo,
            _ => {
                let (red, blue) = cicp.luma_weights();
                let green = 1.0 - red - blue;
                let (red_cr, blue_cb) = (2.0 * (1.0 - red), 2.0 * (1.0 - blue));
                let (green_cb, green_cr) = (blue * blue_cb / green, red * red_cr / green);
                Self::Weights { red_cr, green_cb, green_cr, blue_cb }
            }
        }
    }

    /// Converts rows of luma, Cb and Cr to red, green and blue, in place and in this order.
    fn apply(self, rows: &mut [Vec<f32>; 3]) {
        let [first, second, third] = rows;
        let pixels = first.iter_mut().zip(second).zip(third);
        match self {
            Self::Identity => pixels.for_each(|((a, b), c)| (*a, *b, *c) = (*c, *a, *b)),
            Self::YCgCo => pixels.for_each(|((a, b), c)| {
                let rest = *a - *b;
                (*a, *b, *c) = (rest + *c, *a + *b, rest - *c);
            }),
            Self::Weights { red_cr, green_cb, green_cr, blue_cb } => {
                pixels.for_each(|((a, b), c)| {
                    let (luma, cb, cr) = (*a, *b, *c);
                    *a = luma + red_cr * cr;
                    *b = luma - green_cb * cb - green_cr * cr;
                    *c = luma + blue_cb * cb;
                });
            }
        }
    }
}

/// Whether samples under this matrix can be converted.
pub(super) const fn is_supported(cicp: Cicp) -> bool {
    !matches!(cicp.matrix, 11 | 14)
}

/// Paints a picture into a buffer at `left` and `top`, as far as it lies inside. `convert` brings
/// the samples to sRGB if it is given. A buffer of one channel takes the luma alone.
pub(super) fn paint(
    planes: &Planes,
    cicp: Cicp,
    convert: Option<&SrgbConverter>,
    buffer: &mut PixelBuffer,
    left: usize,
    top: usize,
) {
    let width = planes.width.min(buffer.width.saturating_sub(left));
    let height = planes.height.min(buffer.height.saturating_sub(top));
    if width == 0 || height == 0 {
        return;
    }
    let luma_range = CodeRange::luma(planes.depths[0], cicp.full_range);
    let matrix = MatrixCoefficients::new(cicp);
    let chroma_range = match matrix {
        MatrixCoefficients::Identity => CodeRange::luma(planes.depths[1], cicp.full_range),
        _ => CodeRange::chroma(planes.depths[1], cicp.full_range),
    };
    let chroma = planes.chroma.filter(|_| buffer.channels >= 3);
    let mut rows: [Vec<f32>; 3] = std::array::from_fn(|_| vec![0.0; width]);
    let mut upsampler = ChromaUpsampler::default();
    let (channels, stride) = (buffer.channels, buffer.width * buffer.channels);
    let targets = buffer.bytes.chunks_exact_mut(stride).skip(top).take(height);
    for (y, target) in targets.enumerate() {
        let target = &mut target[left * channels..(left + width) * channels];
        planes.luma.read(y, &mut rows[0]);
        luma_range.apply(&mut rows[0]);
        let Some(chroma) = chroma else {
            write_grey(&rows[0], convert, target, channels);
            continue;
        };
        for (plane, row) in [(chroma.cb, 1), (chroma.cr, 2)] {
            upsampler.upsample(&plane, &chroma, planes, y, &mut rows[row]);
            chroma_range.apply(&mut rows[row]);
        }
        matrix.apply(&mut rows);
        write_rgb(&rows, convert, target, channels);
    }
}

/// Two rows of chroma, to interpolate between.
#[derive(Default)]
struct ChromaUpsampler {
    near: Vec<f32>,
    far: Vec<f32>,
}

impl ChromaUpsampler {
    /// Fills `row` with a chroma plane's values at row `y` of the picture.
    fn upsample(
        &mut self,
        plane: &Plane,
        chroma: &ChromaPlanes,
        planes: &Planes,
        y: usize,
        row: &mut [f32],
    ) {
        // Pixels beyond the end of the row affect its last one, if the picture has them.
        let columns = if chroma.half_width {
            planes.width.div_ceil(2).min(row.len() / 2 + 1)
        } else {
            row.len()
        };
        self.near.resize(columns, 0.0);
        self.far.resize(columns, 0.0);
        if chroma.half_height {
            let rows = planes.height.div_ceil(2);
            let near = y / 2;
            let far = if y % 2 == 1 { (near + 1).min(rows - 1) } else { near.saturating_sub(1) };
            plane.read(near, &mut self.near);
            plane.read(far, &mut self.far);
            self.near
                .iter_mut()
                .zip(&self.far)
                .for_each(|(near, far)| *near = 0.75 * *near + 0.25 * *far);
        } else {
            plane.read(y, &mut self.near);
        }
        if !chroma.half_width {
            row.copy_from_slice(&self.near);
            return;
        }
        let mut before = self.near[0];
        for (x, pair) in row.chunks_mut(2).enumerate() {
            let here = self.near[x];
            let behind = self.near.get(x + 1).copied().unwrap_or(here);
            pair[0] = 0.75 * here + 0.25 * before;
            if let Some(second) = pair.get_mut(1) {
                *second = 0.75 * here + 0.25 * behind;
            }
            before = here;
        }
    }
}

fn write_grey(row: &[f32], convert: Option<&SrgbConverter>, target: &mut [u8], channels: usize) {
    let colours = channels.min(3) - if channels == 2 { 1 } else { 0 };
    for (pixel, value) in target.chunks_exact_mut(channels).zip(row) {
        let byte =
            convert.map_or_else(|| to_byte(*value), |convert| convert.convert([*value; 3])[0]);
        pixel[..colours].fill(byte);
    }
}

fn write_rgb(
    rows: &[Vec<f32>; 3],
    convert: Option<&SrgbConverter>,
    target: &mut [u8],
    channels: usize,
) {
    let values = rows[0].iter().zip(&rows[1]).zip(&rows[2]);
    let pixels = target.chunks_exact_mut(channels).zip(values);
    match convert {
        None => pixels.for_each(|(pixel, ((red, green), blue))| {
            pixel[0] = to_byte(*red);
            pixel[1] = to_byte(*green);
            pixel[2] = to_byte(*blue);
        }),
        Some(convert) => pixels.for_each(|(pixel, ((red, green), blue))| {
            pixel[..3].copy_from_slice(&convert.convert([*red, *green, *blue]));
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BT601: Cicp = Cicp { primaries: 1, transfer: 13, matrix: 6, full_range: false };

    fn plane(samples: &[u8], stride: usize) -> Plane<'_> {
        Plane { samples: PlaneSamples::Bytes(samples), stride, left: 0, top: 0 }
    }

    fn painted(luma: u8, cb: u8, cr: u8, cicp: Cicp) -> Vec<u8> {
        let (luma, cb, cr) = ([luma; 9], [cb; 4], [cr; 4]);
        let chroma = ChromaPlanes {
            cb: plane(&cb, 2),
            cr: plane(&cr, 2),
            half_width: true,
            half_height: true,
        };
        let planes = Planes {
            width: 3,
            height: 3,
            luma: plane(&luma, 3),
            chroma: Some(chroma),
            depths: [8, 8],
        };
        let mut buffer = PixelBuffer::new(3, 3, 3);
        paint(&planes, cicp, None, &mut buffer, 0, 0);
        buffer.bytes
    }

    #[test]
    fn ranges_reach_black_and_white() {
        assert_eq!(painted(16, 128, 128, BT601), [0; 27]);
        assert_eq!(painted(235, 128, 128, BT601), [255; 27]);
        assert_eq!(painted(128, 128, 128, Cicp { full_range: true, ..BT601 }), [128; 27]);
    }

    #[test]
    fn red_is_red_by_its_matrix() {
        let red = painted(82, 90, 240, BT601);
        assert!(red[0] >= 253 && red[1] <= 2 && red[2] <= 2, "{red:?}");
        let red = painted(63, 102, 240, Cicp { matrix: 1, ..BT601 });
        assert!(red[0] >= 253 && red[1] <= 2 && red[2] <= 2, "{red:?}");
        let identity = painted(10, 20, 30, Cicp { matrix: 0, full_range: true, ..BT601 });
        assert_eq!(identity[..3], [30, 10, 20]);
    }

    #[test]
    fn a_picture_beyond_the_canvas_is_cut() {
        let luma = [200_u8; 16];
        let planes =
            Planes { width: 4, height: 4, luma: plane(&luma, 4), chroma: None, depths: [8, 8] };
        let mut buffer = PixelBuffer::new(3, 3, 1);
        paint(&planes, Cicp { full_range: true, ..BT601 }, None, &mut buffer, 2, 1);
        assert_eq!(buffer.bytes, [0, 0, 0, 0, 0, 200, 0, 0, 200]);
        paint(&planes, BT601, None, &mut buffer, 9, 9);
    }
}

//! CIE L*a*b* to sRGB.

use super::directory::tag;
use super::layout::{Kind, Layout};

/// Chromaticities of white light (ISO 3664, and IEC 61966-2-1).
const D50: [f64; 2] = [0.3457, 0.3585];
const D65: [f64; 2] = [0.3127, 0.3290];

type Matrix = [[f64; 3]; 3];

/// To the responses of the eye's receptors, in which light is adapted to, and back (Bradford; ICC.1:2010, annex E).
const RECEPTORS: Matrix =
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]];
const FROM_RECEPTORS: Matrix = [
    [0.986_992_9, -0.147_054_3, 0.159_962_7],
    [0.432_305_3, 0.518_360_3, 0.049_291_2],
    [-0.008_528_7, 0.040_042_8, 0.968_486_7],
];

/// From XYZ under D65 to linear light (IEC 61966-2-1, with the digits that make white come out white).
const TO_RGB: Matrix = [
    [3.240_454_2, -1.537_138_5, -0.498_531_4],
    [-0.969_266_0, 1.876_010_8, 0.041_556_0],
    [0.055_643_4, -0.204_025_9, 1.057_225_2],
];

/// How the 16 bits of a sample encode L*, a* and b*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    /// TIFF 6.0, section 23: a* and b* are signed.
    Signed8,
    Signed16,
    /// ICC.1:2001-04, annex A: a* and b* begin at -128. Floating-point samples are brought to the former.
    Icc8,
    Icc16,
}

pub(super) struct Lab {
    encoding: Encoding,
    /// From XYZ relative to white, to linear sRGB.
    to_rgb: [[f32; 3]; 3],
    /// sRGB's curve, from 16 bits of light.
    curve: Vec<u8>,
}

impl Lab {
    /// Colours are relative to the white of a tag (TIFF 6.0, section 20), else to D50, as Photoshop, ICC profiles and
    /// libtiff have it. Only libvips writes signed or floating-point samples, and means D65.
    pub(super) fn new(layout: &Layout<'_>, icc: bool) -> Self {
        let tags = &layout.directory;
        let encoding = match (icc, layout.bits) {
            _ if layout.kind == Kind::Float => Encoding::Icc8,
            (true, 8) => Encoding::Icc8,
            (true, _) => Encoding::Icc16,
            (false, 8) => Encoding::Signed8,
            (false, _) => Encoding::Signed16,
        };
        let is_libvips = matches!(tags.number(tag::SAMPLE_FORMAT, 0), Some(2 | 3));
        let white = match [0, 1].map(|index| tags.real(tag::WHITE_POINT, index)) {
            [Some(x), Some(y)] if (0.1..0.9).contains(&x) && (0.1..0.9).contains(&y) => [x, y],
            _ if is_libvips => D65,
            _ => D50,
        };
        Self::with(encoding, white)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and 255"
    )]
    fn with(encoding: Encoding, white: [f64; 2]) -> Self {
        // IEC 61966-2-1.
        let encode = |light: f32| match light {
            dark if dark <= 0.003_130_8 => 12.92 * dark,
            light => 1.055 * light.powf(1.0 / 2.4) - 0.055,
        };
        let curve =
            (0..=u16::MAX).map(|light| (encode(f32::from(light) / 65_535.0) * 255.0).round() as u8);
        Self { encoding, to_rgb: to_rgb(white), curve: curve.collect() }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "casts from floats saturate"
    )]
    pub(super) fn rgb(&self, samples: [u16; 3]) -> [u8; 3] {
        let [l, a, b] = self.decode(samples);
        // CIE 15:2004, section 8.2.1, solved for X, Y and Z.
        let y = (l + 16.0) / 116.0;
        let [x, y, z] = [y + a / 500.0, y, y - b / 200.0].map(|value| {
            if value > 6.0 / 29.0 {
                value * value * value
            } else {
                (value - 4.0 / 29.0) * 108.0 / 841.0
            }
        });
        self.to_rgb.map(|row| {
            let light = row[0] * x + row[1] * y + row[2] * z;
            self.curve[usize::from((light * 65_535.0 + 0.5) as u16)]
        })
    }

    /// L*, 0 to 100, a* and b*.
    fn decode(&self, [l, a, b]: [u16; 3]) -> [f32; 3] {
        let fraction = f32::from(l) / 655.35;
        match self.encoding {
            // Samples of 8 bits come with both bytes the same.
            Encoding::Signed8 => {
                let [a, b] = [a, b].map(|value| f32::from(value.to_be_bytes()[0].cast_signed()));
                [fraction, a, b]
            }
            Encoding::Signed16 => {
                let [a, b] = [a, b].map(|value| f32::from(value.cast_signed()) / 256.0);
                [fraction, a, b]
            }
            Encoding::Icc8 => {
                let [a, b] = [a, b].map(|value| f32::from(value) / 257.0 - 128.0);
                [fraction, a, b]
            }
            Encoding::Icc16 => {
                let [a, b] = [a, b].map(|value| f32::from(value) / 256.0 - 128.0);
                [f32::from(l) / 652.8, a, b]
            }
        }
    }
}

/// From XYZ relative to this white, to linear sRGB, by way of the eye's adaptation to D65.
#[expect(clippy::cast_possible_truncation, reason = "seven digits are enough")]
fn to_rgb(white: [f64; 2]) -> [[f32; 3]; 3] {
    let [from, to] = [white, D65].map(|[x, y]| [x / y, 1.0, (1.0 - x - y) / y]);
    let [seen, wanted] =
        [from, to].map(|light| RECEPTORS.map(|row| (0..3).map(|i| row[i] * light[i]).sum::<f64>()));
    let mut adapted = RECEPTORS;
    for (row, (seen, wanted)) in adapted.iter_mut().zip(seen.into_iter().zip(wanted)) {
        *row = row.map(|value| value * wanted / seen);
    }
    let mut matrix = product(&product(&TO_RGB, &FROM_RECEPTORS), &adapted);
    for row in &mut matrix {
        for (value, light) in row.iter_mut().zip(from) {
            *value *= light;
        }
    }
    matrix.map(|row| row.map(|value| value as f32))
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    a.map(|row| [0, 1, 2].map(|column| (0..3).map(|i| row[i] * b[i][column]).sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_other_programs() {
        for (encoding, white, lab, expected) in [
            (Encoding::Signed8, D50, [65_535, 0, 0], [255, 255, 255]),
            (Encoding::Signed16, D50, [65_535, 0, 0], [255, 255, 255]),
            (Encoding::Icc8, D50, [65_535, 128 * 257, 128 * 257], [255, 255, 255]),
            (Encoding::Icc16, D65, [0xFF00, 0x8000, 0x8000], [255, 255, 255]),
            (Encoding::Signed16, D50, [0, 0, 0], [0, 0, 0]),
            // Red is 54.29, 80.81, 69.89 in Photoshop, and 53.24, 80.09, 67.20 under D65.
            (Encoding::Signed16, D50, [35_579, 20_687, 17_892], [255, 0, 0]),
            (Encoding::Signed16, D65, [34_891, 20_503, 17_203], [255, 0, 0]),
        ] {
            let rgb = Lab::with(encoding, white).rgb(lab);
            let is_near = rgb.iter().zip(expected).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 1);
            assert!(is_near, "{encoding:?} {lab:?} {rgb:?}");
        }
    }
}

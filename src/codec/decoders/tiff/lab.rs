//! Converts CIE L*a*b* to sRGB.

use super::directory::tag;
use super::layout::{SampleKind, TiffLayout};

/// Chromaticity of D50, the white point of ISO 3664.
const D50: [f64; 2] = [0.3457, 0.3585];
/// Chromaticity of D65, the white point of IEC 61966-2-1.
const D65: [f64; 2] = [0.3127, 0.3290];

type ColourMatrix = [[f64; 3]; 3];

/// From XYZ to cone responses, in which adaptation to light is a scaling (Bradford; ICC.1:2010,
/// annex E).
const XYZ_TO_CONES: ColourMatrix =
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]];
/// From cone responses back to XYZ.
const CONES_TO_XYZ: ColourMatrix = [
    [0.986_992_9, -0.147_054_3, 0.159_962_7],
    [0.432_305_3, 0.518_360_3, 0.049_291_2],
    [-0.008_528_7, 0.040_042_8, 0.968_486_7],
];

/// From XYZ under D65 to linear light (IEC 61966-2-1, with enough digits that white is 255).
const TO_RGB: ColourMatrix = [
    [3.240_454_2, -1.537_138_5, -0.498_531_4],
    [-0.969_266_0, 1.876_010_8, 0.041_556_0],
    [0.055_643_4, -0.204_025_9, 1.057_225_2],
];

/// How samples, widened to 16 bits, encode L*, a* and b*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LabEncoding {
    /// TIFF 6.0, section 23: a* and b* are signed.
    Signed8,
    Signed16,
    /// ICC.1:2001-04, annex A: a* and b* begin at -128. Floating-point samples are scaled to
    /// `Icc8`.
    Icc8,
    Icc16,
}

pub(super) struct LabConverter {
    encoding: LabEncoding,
    /// From XYZ relative to white, to linear sRGB.
    to_rgb: [[f32; 3]; 3],
    /// The transfer curve of sRGB, indexed by 16 bits of light.
    curve: Vec<u8>,
}

impl LabConverter {
    /// Chooses the encoding and the white of a picture. The white is that of a tag (TIFF 6.0,
    /// section 20), else D50, as in Photoshop, ICC profiles and libtiff. Only libvips writes signed
    /// or floating-point samples, and it means D65.
    pub(super) fn new(layout: &TiffLayout<'_>, icc: bool) -> Self {
        let tags = &layout.directory;
        let encoding = match (icc, layout.bits) {
            _ if layout.sample_kind == SampleKind::Float => LabEncoding::Icc8,
            (true, 8) => LabEncoding::Icc8,
            (true, _) => LabEncoding::Icc16,
            (false, 8) => LabEncoding::Signed8,
            (false, _) => LabEncoding::Signed16,
        };
        let is_signed_or_float = matches!(tags.number(tag::SAMPLE_FORMAT, 0), Some(2 | 3));
        let white = match [0, 1].map(|index| tags.real(tag::WHITE_POINT, index)) {
            [Some(x), Some(y)] if (0.1..0.9).contains(&x) && (0.1..0.9).contains(&y) => [x, y],
            _ if is_signed_or_float => D65,
            _ => D50,
        };
        Self::with_white(encoding, white)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and 255"
    )]
    fn with_white(encoding: LabEncoding, white: [f64; 2]) -> Self {
        // The transfer function of IEC 61966-2-1.
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
    pub(super) fn to_srgb(&self, samples: [u16; 3]) -> [u8; 3] {
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

    /// Returns L* from 0 to 100, a* and b*.
    fn decode(&self, [l, a, b]: [u16; 3]) -> [f32; 3] {
        let lightness = f32::from(l) / 655.35;
        match self.encoding {
            // A sample of 8 bits was widened by repeating its byte, so one of them is enough.
            LabEncoding::Signed8 => {
                let [a, b] = [a, b].map(|value| f32::from(value.to_be_bytes()[0].cast_signed()));
                [lightness, a, b]
            }
            LabEncoding::Signed16 => {
                let [a, b] = [a, b].map(|value| f32::from(value.cast_signed()) / 256.0);
                [lightness, a, b]
            }
            LabEncoding::Icc8 => {
                let [a, b] = [a, b].map(|value| f32::from(value) / 257.0 - 128.0);
                [lightness, a, b]
            }
            LabEncoding::Icc16 => {
                let [a, b] = [a, b].map(|value| f32::from(value) / 256.0 - 128.0);
                [f32::from(l) / 652.8, a, b]
            }
        }
    }
}

/// Returns the matrix from XYZ relative to `white` to linear sRGB, adapted to D65.
#[expect(clippy::cast_possible_truncation, reason = "seven digits are enough")]
fn to_rgb(white: [f64; 2]) -> [[f32; 3]; 3] {
    let [from, to] = [white, D65].map(|[x, y]| [x / y, 1.0, (1.0 - x - y) / y]);
    let [seen, wanted] = [from, to]
        .map(|light| XYZ_TO_CONES.map(|row| (0..3).map(|i| row[i] * light[i]).sum::<f64>()));
    let mut adapted = XYZ_TO_CONES;
    for (row, (seen, wanted)) in adapted.iter_mut().zip(seen.into_iter().zip(wanted)) {
        *row = row.map(|value| value * wanted / seen);
    }
    let mut matrix = matrix_product(&matrix_product(&TO_RGB, &CONES_TO_XYZ), &adapted);
    for row in &mut matrix {
        for (value, light) in row.iter_mut().zip(from) {
            *value *= light;
        }
    }
    matrix.map(|row| row.map(|value| value as f32))
}

fn matrix_product(a: &ColourMatrix, b: &ColourMatrix) -> ColourMatrix {
    a.map(|row| [0, 1, 2].map(|column| (0..3).map(|i| row[i] * b[i][column]).sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_other_programs() {
        for (encoding, white, lab, expected) in [
            (LabEncoding::Signed8, D50, [65_535, 0, 0], [255, 255, 255]),
            (LabEncoding::Signed16, D50, [65_535, 0, 0], [255, 255, 255]),
            (LabEncoding::Icc8, D50, [65_535, 128 * 257, 128 * 257], [255, 255, 255]),
            (LabEncoding::Icc16, D65, [0xFF00, 0x8000, 0x8000], [255, 255, 255]),
            (LabEncoding::Signed16, D50, [0, 0, 0], [0, 0, 0]),
            // Red is 54.29, 80.81, 69.89 in Photoshop, and 53.24, 80.09, 67.20 under D65.
            (LabEncoding::Signed16, D50, [35_579, 20_687, 17_892], [255, 0, 0]),
            (LabEncoding::Signed16, D65, [34_891, 20_503, 17_203], [255, 0, 0]),
        ] {
            let rgb = LabConverter::with_white(encoding, white).to_srgb(lab);
            let is_near = rgb.iter().zip(expected).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 1);
            assert!(is_near, "{encoding:?} {lab:?} {rgb:?}");
        }
    }
}

//! Converts colours that are described by code points (ITU-T H.273) to 8-bit sRGB.
//!
//! AVIF and HEIC use code points when they carry no ICC profile, PNG even if it does. The curves of
//! BT.709 and its relatives are taken for sRGB's. They are camera curves that displays undo with
//! about sRGB's, so code values are shown as they are, as in browsers. Browsers do otherwise for
//! PNG, see [`Cicp::as_displayed`]. PQ and HLG are brought to the brightness of SDR white
//! (203 cd/m², BT.2408), and highlights above a knee are compressed (see
//! [`compress_highlights`]). Colours outside sRGB are clipped.

/// The code points of primaries, transfer characteristics and matrix coefficients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cicp {
    pub(crate) primaries: u16,
    pub(crate) transfer: u16,
    pub(crate) matrix: u16,
    pub(crate) full_range: bool,
}

const PQ: u16 = 16;
const HLG: u16 = 18;
/// The curve of BT.1886. It is none of H.273's, whose numbers have a byte.
const BT1886: u16 = 256;
/// SDR white (BT.2408), in cd/m².
const WHITE: f32 = 203.0;
/// Peak of the display that highlights are compressed from, in cd/m², unless the picture says how
/// bright it is. HLG means it by its maximum, and most PQ pictures are made for it.
const PEAK: f32 = 1000.0;

/// Last index of the table that makes values linear. It is as fine as 12 bits.
const LINEAR_STEPS: f32 = 4095.0;
/// Last index of the table that encodes them. It is finer, because sRGB's curve is steep near
/// black.
const ENCODED_STEPS: f32 = 16383.0;

/// The note on a picture that is brighter than sRGB can be.
pub(crate) const HDR_NOTE: &str = "HDR: brightness was reduced to what sRGB holds";

impl Cicp {
    /// Whether both the primaries and the curve are told, and known here.
    pub(crate) const fn is_known(self) -> bool {
        matches!(self.primaries, 1 | 4..=12 | 22) && matches!(self.transfer, 1 | 4..=10 | 13..=HLG)
    }

    /// Returns these code points with the curve of BT.709 and its relatives replaced by that of
    /// the displays which BT.1886 prescribes for them.
    pub(crate) const fn as_displayed(self) -> Self {
        match self.transfer {
            1 | 6 | 14 | 15 => Self { transfer: BT1886, ..self },
            _ => self,
        }
    }

    pub(crate) const fn is_hdr(self) -> bool {
        matches!(self.transfer, PQ | HLG)
    }

    fn is_srgb_curve(self) -> bool {
        !matches!(self.transfer, 4 | 5 | 7..=10 | PQ..=HLG | BT1886)
    }

    /// Returns `Kr` and `Kb` of the luma-chroma matrix, if the matrix is of that kind.
    #[cfg(any(feature = "avif", feature = "heic"))]
    pub(crate) fn luma_weights(self) -> (f32, f32) {
        match self.matrix {
            1 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            7 => (0.212, 0.087),
            9 | 10 => (0.2627, 0.0593),
            // The luminances of the primaries.
            12 | 13 => {
                let [_, [red, _, blue], _] = to_xyz(self.primaries);
                (red, blue)
            }
            // BT.601, which also stands for an unspecified matrix.
            _ => (0.299, 0.114),
        }
    }
}

type GamutMatrix = [[f32; 3]; 3];

/// Turns gamma-encoded RGB into sRGB bytes.
pub(crate) struct SrgbConverter {
    /// Matrix between the primaries; `None` when they are sRGB's already.
    gamut: Option<GamutMatrix>,
    linear: Vec<f32>,
    encoded: Vec<u8>,
    /// The brightest light of an HDR picture, in SDR whites.
    peak: Option<f32>,
    hlg: bool,
}

impl SrgbConverter {
    /// Prepares a conversion, or returns `None` when the samples are sRGB as they are. A picture in
    /// PQ may say how bright its brightest light is, in cd/m².
    pub(crate) fn new(cicp: Cicp, brightest: Option<f32>) -> Option<Self> {
        let same_primaries = matches!(cicp.primaries, 0..=2);
        if same_primaries && cicp.is_srgb_curve() {
            return None;
        }
        let table = |steps: f32, curve: &dyn Fn(f32) -> f32| -> Vec<f32> {
            std::iter::successors(Some(0.0_f32), |step| (*step < steps).then_some(step + 1.0))
                .map(|step| curve(step / steps))
                .collect()
        };
        Some(Self {
            gamut: (!same_primaries)
                .then(|| multiply(&invert(&to_xyz(1)), &to_xyz(cicp.primaries))),
            linear: table(LINEAR_STEPS, &|value| linearise(cicp.transfer, value)),
            encoded: table(ENCODED_STEPS, &srgb_encode).into_iter().map(to_byte).collect(),
            peak: cicp.is_hdr().then(|| {
                brightest.filter(|_| cicp.transfer == PQ).unwrap_or(PEAK).max(WHITE) / WHITE
            }),
            hlg: cicp.transfer == HLG,
        })
    }

    /// Converts one pixel, whose samples are from 0 to 1.
    pub(crate) fn convert(&self, pixel: [f32; 3]) -> [u8; 3] {
        let mut rgb = pixel.map(|value| self.linear[table_index(value, LINEAR_STEPS)]);
        if self.hlg {
            // The system gamma of BT.2100 for a display of 1000 cd/m² needs the luminance by
            // BT.2020's weights.
            let luminance = 0.2627 * rgb[0] + 0.6780 * rgb[1] + 0.0593 * rgb[2];
            let gain = luminance.max(1e-6).powf(0.2) * PEAK / WHITE;
            rgb = rgb.map(|value| value * gain);
        }
        if let Some(gamut) = &self.gamut {
            rgb = gamut.map(|row| row[0] * rgb[0] + row[1] * rgb[1] + row[2] * rgb[2]);
        }
        if let Some(peak) = self.peak {
            let brightest = rgb[0].max(rgb[1]).max(rgb[2]).max(1e-6);
            let gain = compress_highlights(brightest, peak) / brightest;
            rgb = rgb.map(|value| value * gain);
        }
        rgb.map(|value| self.encoded[table_index(value, ENCODED_STEPS)])
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the table first"
)]
fn table_index(value: f32, steps: f32) -> usize {
    (value.clamp(0.0, 1.0) * steps + 0.5) as usize
}

/// Rounds a sample from 0 to 1 to a byte.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float to byte clamps"
)]
pub(crate) fn to_byte(value: f32) -> u8 {
    (value * 255.0 + 0.5) as u8
}

/// Brings values between the knee and the peak below SDR white and leaves darker ones alone. The
/// curve is Reinhard's, and begins at the knee with a slope of one. The caller applies it to the
/// brightest channel, so hues stay. Where the peak is SDR white, nothing has to be compressed.
fn compress_highlights(value: f32, peak: f32) -> f32 {
    const KNEE: f32 = 0.6;
    if value <= KNEE || peak <= 1.0 {
        return value;
    }
    let over = (value - KNEE) / (1.0 - KNEE);
    let peak = (peak - KNEE) / (1.0 - KNEE);
    KNEE + (1.0 - KNEE) * over * (1.0 + over / (peak * peak)) / (1.0 + over)
}

/// Returns the light for a code value, where 1 is SDR white. For HLG it is the light of the scene.
fn linearise(transfer: u16, value: f32) -> f32 {
    match transfer {
        4 => value.powf(2.2),
        5 => value.powf(2.8),
        BT1886 => value.powf(2.4),
        // SMPTE 240M.
        7 if value < 0.0913 => value / 4.0,
        7 => ((value + 0.1115) / 1.1115).powf(1.0 / 0.45),
        8 => value,
        9 if value > 0.0 => 10_f32.powf((value - 1.0) * 2.0),
        10 if value > 0.0 => 10_f32.powf((value - 1.0) * 2.5),
        9 | 10 => 0.0,
        17 => value.powf(2.6) * 52.37 / 48.0,
        PQ => {
            let power = value.powf(1.0 / 78.843_75);
            let ratio = (power - 0.835_937_5).max(0.0) / (18.851_562 - 18.6875 * power);
            ratio.powf(1.0 / 0.159_301_76) * 10_000.0 / WHITE
        }
        HLG if value <= 0.5 => value * value / 3.0,
        HLG => (((value - 0.559_910_7) / 0.178_832_77).exp() + 0.284_668_92) / 12.0,
        _ if value <= 0.040_45 => value / 12.92,
        _ => ((value + 0.055) / 1.055).powf(2.4),
    }
}

fn srgb_encode(value: f32) -> f32 {
    if value <= 0.003_130_8 { value * 12.92 } else { 1.055 * value.powf(1.0 / 2.4) - 0.055 }
}

/// Returns the matrix from RGB of these primaries to XYZ, adapted to D65 if their white is another.
fn to_xyz(primaries: u16) -> GamutMatrix {
    const D65: [f32; 2] = [0.3127, 0.3290];
    const C: [f32; 2] = [0.310, 0.316];
    let (red, green, blue, white) = match primaries {
        4 => ([0.67, 0.33], [0.21, 0.71], [0.14, 0.08], C),
        5 => ([0.64, 0.33], [0.29, 0.60], [0.15, 0.06], D65),
        6 | 7 => ([0.630, 0.340], [0.310, 0.595], [0.155, 0.070], D65),
        8 => ([0.681, 0.319], [0.243, 0.692], [0.145, 0.049], C),
        9 => ([0.708, 0.292], [0.170, 0.797], [0.131, 0.046], D65),
        10 => ([1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0 / 3.0, 1.0 / 3.0]),
        11 => ([0.680, 0.320], [0.265, 0.690], [0.150, 0.060], [0.314, 0.351]),
        12 => ([0.680, 0.320], [0.265, 0.690], [0.150, 0.060], D65),
        22 => ([0.630, 0.340], [0.295, 0.605], [0.155, 0.077], D65),
        _ => ([0.64, 0.33], [0.30, 0.60], [0.15, 0.06], D65),
    };
    // A chromaticity of y = 0 has no XYZ of luminance one, but its scale is found below all the
    // same.
    let column = |[x, y]: [f32; 2]| [x, y, 1.0 - x - y];
    let light = |[x, y]: [f32; 2]| [x / y, 1.0, (1.0 - x - y) / y];
    let columns = [column(red), column(green), column(blue)];
    let unscaled: GamutMatrix =
        std::array::from_fn(|row| std::array::from_fn(|channel| columns[channel][row]));
    let scale = apply(&invert(&unscaled), light(white));
    let matrix: GamutMatrix =
        unscaled.map(|row| [row[0] * scale[0], row[1] * scale[1], row[2] * scale[2]]);
    if white == D65 {
        return matrix;
    }
    const BRADFORD: GamutMatrix =
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]];
    let (from, to) = (apply(&BRADFORD, light(white)), apply(&BRADFORD, light(D65)));
    let mut cones = multiply(&BRADFORD, &matrix);
    for (row, (from, to)) in cones.iter_mut().zip(from.into_iter().zip(to)) {
        *row = row.map(|value| value * to / from);
    }
    multiply(&invert(&BRADFORD), &cones)
}

fn apply(matrix: &GamutMatrix, vector: [f32; 3]) -> [f32; 3] {
    matrix.map(|row| row[0] * vector[0] + row[1] * vector[1] + row[2] * vector[2])
}

fn multiply(left: &GamutMatrix, right: &GamutMatrix) -> GamutMatrix {
    left.map(|row| std::array::from_fn(|column| (0..3).map(|at| row[at] * right[at][column]).sum()))
}

/// Inverts a matrix by cofactors. Every matrix here has an inverse.
fn invert(matrix: &GamutMatrix) -> GamutMatrix {
    let cofactor = |row: usize, column: usize| {
        let (a, b, c, d) = ((row + 1) % 3, (row + 2) % 3, (column + 1) % 3, (column + 2) % 3);
        matrix[a][c] * matrix[b][d] - matrix[a][d] * matrix[b][c]
    };
    let determinant: f32 = (0..3).map(|column| matrix[0][column] * cofactor(0, column)).sum();
    std::array::from_fn(|row| std::array::from_fn(|column| cofactor(column, row) / determinant))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn cicp(primaries: u16, transfer: u16) -> Cicp {
        Cicp { primaries, transfer, matrix: 0, full_range: true }
    }

    #[test]
    fn srgb_and_its_relatives_are_left_alone() {
        for transfer in [1, 2, 6, 13, 14, 15] {
            assert!(SrgbConverter::new(cicp(1, transfer), None).is_none(), "transfer {transfer}");
        }
    }

    #[test]
    fn white_stays_white_and_grey_grey_whatever_the_primaries() {
        for primaries in [4, 5, 6, 8, 9, 10, 11, 12, 22] {
            let convert = SrgbConverter::new(cicp(primaries, 13), None).expect("other primaries");
            assert_eq!(convert.convert([1.0; 3]), [255; 3], "primaries {primaries}");
            let grey = convert.convert([0.5; 3]);
            assert!(
                grey.iter().all(|value| value.abs_diff(128) <= 1),
                "primaries {primaries}: {grey:?}"
            );
        }
    }

    #[test]
    fn known_colours_come_out_as_computed_by_hand() {
        // Display P3's (1, 0.5, 0): linear green is -0.0420 + 1.0421 * 0.2140 = 0.1810, which sRGB
        // encodes as 118.
        let p3 = SrgbConverter::new(cicp(12, 13), None).expect("P3").convert([1.0, 0.5, 0.0]);
        assert!(p3[0] == 255 && p3[1].abs_diff(118) <= 1 && p3[2] == 0, "{p3:?}");
        let linear = SrgbConverter::new(cicp(1, 8), None).expect("linear").convert([0.215_86; 3]);
        assert_eq!(linear, [128; 3]);
    }

    #[test]
    fn hdr_keeps_greys_and_orders_highlights() {
        // PQ's 0.58 is 203 cd/m²: SDR white, which lies above the knee.
        let pq = SrgbConverter::new(cicp(9, PQ), None).expect("PQ");
        let [dark, white, bright] = [0.3, 0.58, 0.75].map(|value| pq.convert([value; 3])[0]);
        assert!(dark < white && white < bright && white > 215, "{dark} {white} {bright}");
        let of_sdr = SrgbConverter::new(cicp(9, PQ), Some(203.0)).expect("PQ");
        assert!(of_sdr.convert([0.580_6; 3])[0] >= 254, "nothing is brighter than SDR white");
        let brighter = SrgbConverter::new(cicp(9, PQ), Some(4000.0)).expect("PQ");
        let [bright, brightest] = [0.75, 0.9].map(|value| brighter.convert([value; 3])[0]);
        assert!(bright < 254 && bright < brightest, "{bright} {brightest}");
        let hlg = SrgbConverter::new(cicp(9, HLG), None).expect("HLG");
        let [grey, white, peak] = [0.4, 0.75, 1.0].map(|value| hlg.convert([value; 3])[0]);
        assert!(grey < white && white > 215 && peak >= 254, "{grey} {white} {peak}");
    }
}

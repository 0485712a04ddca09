//! Unpacks samples of any depth and kind from a row to 16 bits that span what they can hold.

use super::directory::ByteOrder;
use super::layout::{Colour, Predictor, SampleKind, TiffLayout};

/// Undoes the predictor in a row (TIFF 6.0, section 14; Adobe, "TIFF Technical Note 3").
pub(super) fn undo_predictor(layout: &TiffLayout<'_>, row: &mut [u8]) {
    let samples = layout.samples_in_chunk();
    match layout.predictor {
        Predictor::None => {}
        Predictor::Horizontal => {
            let byte_order = layout.directory.file.byte_order;
            match layout.bits {
                8 => add_left(row, samples),
                16 => add_left_wide::<2>(row, samples, byte_order),
                32 => add_left_wide::<4>(row, samples, byte_order),
                _ => add_left_wide::<8>(row, samples, byte_order),
            }
        }
        Predictor::FloatingPoint => {
            add_left(row, samples);
            // The first bytes of all samples come first, then all second bytes, and so on.
            let bytes = layout.bits as usize / 8;
            let count = row.len() / bytes;
            let original = row.to_vec();
            for (index, sample) in row.chunks_exact_mut(bytes).enumerate() {
                for (byte_index, byte) in sample.iter_mut().enumerate() {
                    *byte = original[byte_index * count + index];
                }
            }
        }
    }
}

fn add_left(row: &mut [u8], samples: usize) {
    for index in samples..row.len() {
        row[index] = row[index].wrapping_add(row[index - samples]);
    }
}

fn add_left_wide<const BYTES: usize>(row: &mut [u8], samples: usize, byte_order: ByteOrder) {
    let numbers = row.as_chunks_mut::<BYTES>().0;
    for index in samples..numbers.len() {
        let sum = byte_order
            .number(&numbers[index])
            .wrapping_add(byte_order.number(&numbers[index - samples]));
        match byte_order {
            ByteOrder::Little => numbers[index].copy_from_slice(&sum.to_le_bytes()[..BYTES]),
            ByteOrder::Big => numbers[index].copy_from_slice(&sum.to_be_bytes()[8 - BYTES..]),
        }
    }
}

/// Takes samples out of packed rows.
#[derive(Clone, Copy)]
pub(super) struct SampleUnpacker {
    bits: u32,
    sample_kind: SampleKind,
    byte_order: ByteOrder,
    /// Distance from a sample to the same one of the next pixel, in samples.
    stride: usize,
    colour: Colour,
    /// The numbers that are black and white, for kinds of samples whose range is open.
    range: SampleRange,
}

impl SampleUnpacker {
    pub(super) fn new(layout: &TiffLayout<'_>, range: SampleRange) -> Self {
        Self {
            bits: layout.bits,
            sample_kind: layout.sample_kind,
            byte_order: layout.sample_byte_order(),
            stride: layout.samples_in_chunk(),
            colour: layout.colour,
            range,
        }
    }

    /// Unpacks the sample at `offset` of each pixel, the one at `index` of those shown. Samples
    /// span 0 to 65535, but an index into a palette stays as it is.
    pub(super) fn unpack_row(&self, row: &[u8], offset: usize, index: usize, target: &mut [u16]) {
        let is_palette_index = self.colour == Colour::Palette && index == 0;
        match (self.bits, self.sample_kind) {
            (8, _) => {
                let scale = if is_palette_index { 1 } else { 257 };
                for (target, sample) in
                    target.iter_mut().zip(row.iter().skip(offset).step_by(self.stride))
                {
                    *target = u16::from(*sample) * scale;
                }
            }
            (1 | 2 | 4, _) => {
                let (in_byte, largest) = (8 / self.bits as usize, (1 << self.bits) - 1);
                let scale = if is_palette_index { 1 } else { u16::MAX / largest };
                for (x, target) in target.iter_mut().enumerate() {
                    let index = offset + x * self.stride;
                    let shift = self.bits as usize * (in_byte - 1 - index % in_byte);
                    *target = (u16::from(row[index / in_byte]) >> shift & largest) * scale;
                }
            }
            (16, SampleKind::Unsigned) => {
                let samples = row.as_chunks::<2>().0.iter().skip(offset).step_by(self.stride);
                for (target, sample) in target.iter_mut().zip(samples) {
                    *target = match self.byte_order {
                        ByteOrder::Little => u16::from_le_bytes(*sample),
                        ByteOrder::Big => u16::from_be_bytes(*sample),
                    };
                }
            }
            _ if self.colour == Colour::Palette || !has_open_range(self.sample_kind, self.bits) => {
                for (x, target) in target.iter_mut().enumerate() {
                    let number = self.number(row, offset + x * self.stride);
                    *target = if is_palette_index {
                        low_bits(number)
                    } else {
                        self.scale_to_16_bits(number)
                    };
                }
            }
            _ => {
                let SampleRange { black, white } = match self.colour {
                    // L*, then a* and b*, as ICC profiles encode them in 8 bits.
                    Colour::Lab { .. } if index == 0 => SampleRange { black: 0.0, white: 100.0 },
                    Colour::Lab { .. } if index < 3 => SampleRange { black: -128.0, white: 127.0 },
                    // Alpha stays between 0 and 1 even where colours go beyond.
                    colour
                        if self.sample_kind == SampleKind::Float && index >= colour.samples() =>
                    {
                        SampleRange::default()
                    }
                    _ => self.range,
                };
                for (x, target) in target.iter_mut().enumerate() {
                    let value = self.real(row, offset + x * self.stride);
                    *target = unit_to_16_bits((value - black) / (white - black));
                }
            }
        }
    }

    /// Returns the bits of a sample.
    fn number(&self, row: &[u8], index: usize) -> u64 {
        let bits = self.bits as usize;
        if bits >= 8 && bits.is_multiple_of(8) {
            return self.byte_order.number(&row[index * (bits / 8)..][..bits / 8]);
        }
        // The first sample is in the highest bits, whatever the byte order.
        let (start, end) = (index * bits, (index + 1) * bits);
        let window = ByteOrder::Big.number(&row[start / 8..end.div_ceil(8)]);
        window >> (end.next_multiple_of(8) - end) & ((1 << bits) - 1)
    }

    /// Returns the value of a sample.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "16 bits of it are kept"
    )]
    fn real(&self, row: &[u8], index: usize) -> f64 {
        let number = self.number(row, index);
        match (self.sample_kind, self.bits) {
            (SampleKind::Unsigned, _) => number as f64,
            (SampleKind::Signed, bits) => {
                ((number << (64 - bits)).cast_signed() >> (64 - bits)) as f64
            }
            (SampleKind::Float, 16) => small_float(number, 5, 10),
            (SampleKind::Float, 24) => small_float(number, 7, 16),
            (SampleKind::Float, 32) => f32::from_bits(number as u32).into(),
            (SampleKind::Float, _) => f64::from_bits(number),
        }
    }

    /// Scales a whole number to 16 bits.
    fn scale_to_16_bits(&self, number: u64) -> u16 {
        if self.bits >= 16 {
            return low_bits(number >> (self.bits - 16));
        }
        let largest = (1 << self.bits) - 1;
        low_bits((number * 65_535 + largest / 2) / largest)
    }
}

fn low_bits(number: u64) -> u16 {
    u16::try_from(number & 0xFFFF).unwrap_or_default()
}

/// Scales a value from 0 to 1 to 16 bits. Values beyond become the nearest, and NaN becomes 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts from floats saturate"
)]
fn unit_to_16_bits(value: f64) -> u16 {
    // This rounds as `round` does, without a function call.
    (value * 65_535.0 + 0.5) as u16
}

/// Reads a floating-point number narrower than 32 bits, laid out like those of IEEE 754.
fn small_float(number: u64, exponent_bits: u32, mantissa_bits: u32) -> f64 {
    let mantissa = number & ((1 << mantissa_bits) - 1);
    let exponent = number >> mantissa_bits & ((1 << exponent_bits) - 1);
    let sign = number >> (mantissa_bits + exponent_bits) & 1;
    let bias = (1 << (exponent_bits - 1)) - 1;
    if exponent == 0 {
        // Subnormal numbers are far smaller than 16 bits can show.
        return 0.0;
    }
    let exponent = if exponent == (1 << exponent_bits) - 1 { 2047 } else { exponent + 1023 - bias };
    f64::from_bits(sign << 63 | exponent << 52 | mantissa << (52 - mantissa_bits))
}

/// Whether samples can hold far more than pictures do, so that white has to be found by looking.
pub(super) const fn has_open_range(sample_kind: SampleKind, bits: u32) -> bool {
    match sample_kind {
        SampleKind::Unsigned => bits > 24,
        SampleKind::Signed | SampleKind::Float => true,
    }
}

/// The numbers that are black and white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SampleRange {
    black: f64,
    white: f64,
}

impl Default for SampleRange {
    fn default() -> Self {
        Self { black: 0.0, white: 1.0 }
    }
}

/// Largest sample that fractions count as light up to. A picture of 0 to 255 without larger ones
/// would be black.
const MAX_LIGHT: f64 = 16.0;

/// Statistics of a picture's samples, to find what is black and white among them.
///
/// Floating-point samples lie between 0 and 1, and anything beyond is brighter than white. But
/// programs that count in whole numbers, or filter pictures that do, save these as they are: 0 to
/// 255 or 0 to 65535. libvips and Pillow show the latter correctly and the former as black,
/// `ImageMagick` the other way around. Here the pixels decide. Wide and signed whole numbers span
/// all they can hold, as in `ImageMagick`, unless no sample is that large, or that small.
#[derive(Default)]
pub(super) struct SampleSurvey {
    samples: u64,
    /// Number of samples well beyond 1.
    large: u64,
    any_fraction: bool,
    smallest: f64,
    largest: f64,
}

impl SampleSurvey {
    pub(super) fn observe(
        &mut self,
        unpack: &SampleUnpacker,
        row: &[u8],
        samples: impl Iterator<Item = usize>,
    ) {
        for index in samples {
            let value = unpack.real(row, index);
            if value.is_finite() {
                self.samples += 1;
                self.large += u64::from(value > 1.5);
                self.any_fraction = self.any_fraction || value.fract() != 0.0;
                self.smallest = self.smallest.min(value);
                self.largest = self.largest.max(value);
            }
        }
    }

    /// Whether samples lie so far beyond black or white that 8 bits would tell, and are cut off.
    pub(super) fn exceeds(&self, SampleRange { black, white }: SampleRange) -> bool {
        let half_a_step = (white - black) / 512.0;
        self.smallest < black - half_a_step || self.largest > white + half_a_step
    }

    pub(super) fn range(&self, sample_kind: SampleKind, bits: u32) -> SampleRange {
        let is_fraction = match sample_kind {
            SampleKind::Float => {
                let few_are_large = self.large * 2 <= self.samples;
                self.largest <= 1.0
                    || self.any_fraction && (few_are_large || self.largest <= MAX_LIGHT)
            }
            SampleKind::Unsigned | SampleKind::Signed => false,
        };
        let half = 2.0_f64.powf(f64::from(bits) - 1.0);
        match (sample_kind, self.largest) {
            _ if is_fraction => SampleRange::default(),
            (SampleKind::Signed, _) if self.smallest < 0.0 => {
                SampleRange { black: -half, white: half - 1.0 }
            }
            (_, largest) if largest <= 255.0 => SampleRange { black: 0.0, white: 255.0 },
            (SampleKind::Signed, _) if bits <= 16 => SampleRange { black: 0.0, white: half - 1.0 },
            (_, largest) if largest <= 65_535.0 => SampleRange { black: 0.0, white: 65_535.0 },
            (SampleKind::Signed, _) => SampleRange { black: 0.0, white: half - 1.0 },
            (SampleKind::Unsigned, _) => SampleRange { black: 0.0, white: 2.0 * half - 1.0 },
            (SampleKind::Float, largest) => SampleRange { black: 0.0, white: largest },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(
        bits: u32,
        sample_kind: SampleKind,
        byte_order: ByteOrder,
        range: SampleRange,
    ) -> SampleUnpacker {
        SampleUnpacker { bits, sample_kind, byte_order, stride: 1, colour: Colour::Rgb, range }
    }

    #[test]
    fn samples_of_any_depth_span_sixteen_bits() {
        use ByteOrder::{Big, Little};
        use SampleKind::{Float, Unsigned};
        for (bits, sample_kind, order, row, expected) in [
            (1, Unsigned, Little, &[0b1010_0000][..], &[65_535, 0, 65_535][..]),
            (2, Unsigned, Big, &[0b00_01_10_11], &[0, 21_845, 43_690, 65_535]),
            (4, Unsigned, Big, &[0x0F, 0x80], &[0, 65_535, 34_952]),
            (8, Unsigned, Big, &[0, 128, 255], &[0, 32_896, 65_535]),
            (12, Unsigned, Little, &[0xFF, 0xF0, 0x00], &[65_535, 0]),
            (16, Unsigned, Little, &[1, 0, 0xFF, 0xFF], &[1, 65_535]),
            (24, Unsigned, Big, &[0x80, 0, 0], &[32_768]),
            (16, Float, Big, &[0x3C, 0, 0x38, 0, 0xBC, 0, 0x7E, 0], &[65_535, 32_768, 0, 0]),
            (24, Float, Big, &[0x3F, 0, 0], &[65_535]),
            (32, Float, Big, &[0x3F, 0, 0, 0], &[32_768]),
            (64, Float, Big, &[0x3F, 0xF0, 0, 0, 0, 0, 0, 0], &[65_535]),
        ] {
            let mut target = vec![0; expected.len()];
            unpack(bits, sample_kind, order, SampleRange::default()).unpack_row(
                row,
                0,
                0,
                &mut target,
            );
            assert_eq!(target, expected, "{bits} bits, {sample_kind:?}, {order:?}");
        }
    }

    #[test]
    fn white_is_found_by_looking() {
        use SampleKind::{Float, Signed, Unsigned};
        const WIDEST: f64 = 4_294_967_295.0;
        for (sample_kind, values, expected, is_cut) in [
            (Float, &[0.0, 0.25, 1.0][..], (0.0, 1.0), false),
            // A highlight, or a rounding error.
            (Float, &[0.0, 0.25, 0.5, 3.5], (0.0, 1.0), true),
            (Float, &[0.5, 1.000_001], (0.0, 1.0), false),
            (Float, &[-0.5, 0.5], (0.0, 1.0), true),
            // Much light, and no picture that is almost black.
            (Float, &[0.0, 4.5, 9.0, 10.0], (0.0, 1.0), true),
            (Float, &[0.0, 1.0, 2.0], (0.0, 255.0), false),
            (Float, &[12.5, 200.25, 100.0], (0.0, 255.0), false),
            (Float, &[0.0, 256.0], (0.0, 65_535.0), false),
            (Float, &[-1.0, 1e6], (0.0, 1e6), false),
            (Float, &[-1e6, 1e6], (0.0, 1e6), true),
            (Float, &[f32::NAN, f32::INFINITY], (0.0, 1.0), false),
            (Signed, &[0.0, 255.0], (0.0, 255.0), false),
            (Signed, &[0.0, 1e9], (0.0, WIDEST.div_euclid(2.0)), false),
            (Signed, &[-1.0, 1.0], (-WIDEST.div_euclid(2.0) - 1.0, WIDEST.div_euclid(2.0)), false),
            (Unsigned, &[0.0, 65_535.0], (0.0, 65_535.0), false),
            (Unsigned, &[0.0, 65_536.0], (0.0, WIDEST), false),
        ] {
            #[expect(clippy::cast_possible_truncation, reason = "they are small")]
            let bytes = |value: &f32| match sample_kind {
                Float => value.to_be_bytes(),
                Signed | Unsigned => (*value as i32).to_be_bytes(),
            };
            let row: Vec<u8> = values.iter().flat_map(bytes).collect();
            let mut survey = SampleSurvey::default();
            survey.observe(
                &unpack(32, sample_kind, ByteOrder::Big, SampleRange::default()),
                &row,
                0..values.len(),
            );
            let expected = SampleRange { black: expected.0, white: expected.1 };
            assert_eq!(survey.range(sample_kind, 32), expected, "{sample_kind:?} {values:?}");
            assert_eq!(survey.exceeds(expected), is_cut, "{sample_kind:?} {values:?}");
        }
    }

    #[test]
    fn signed_samples_begin_at_black() {
        for (range, expected) in
            [((-32_768.0, 32_767.0), [0, 32_768, 65_535]), ((0.0, 32_767.0), [0, 0, 65_535])]
        {
            let mut target = [0; 3];
            let range = SampleRange { black: range.0, white: range.1 };
            unpack(16, SampleKind::Signed, ByteOrder::Big, range).unpack_row(
                &[0x80, 0, 0, 0, 0x7F, 0xFF],
                0,
                0,
                &mut target,
            );
            assert_eq!(target, expected);
        }
    }
}

//! Samples of any depth and kind: out of the packed bytes of a row, as 16 bits that span what they can hold.

use super::directory::Order;
use super::layout::{Colour, Kind, Layout, Predictor};

/// Puts back what the predictor took out of a row (TIFF 6.0, section 14; Adobe, "TIFF Technical Note 3").
pub(super) fn undo_predictor(layout: &Layout<'_>, row: &mut [u8]) {
    let samples = layout.samples_in_chunk();
    match layout.predictor {
        Predictor::None => {}
        Predictor::Horizontal => {
            let order = layout.directory.file.order;
            match layout.bits {
                8 => add_left(row, samples),
                16 => add_left_wide::<2>(row, samples, order),
                32 => add_left_wide::<4>(row, samples, order),
                _ => add_left_wide::<8>(row, samples, order),
            }
        }
        Predictor::FloatingPoint => {
            add_left(row, samples);
            // All first bytes, then all second ones, and so on.
            let bytes = layout.bits as usize / 8;
            let count = row.len() / bytes;
            let apart = row.to_vec();
            for (index, sample) in row.chunks_exact_mut(bytes).enumerate() {
                for (place, byte) in sample.iter_mut().enumerate() {
                    *byte = apart[place * count + index];
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

fn add_left_wide<const BYTES: usize>(row: &mut [u8], samples: usize, order: Order) {
    let numbers = row.as_chunks_mut::<BYTES>().0;
    for index in samples..numbers.len() {
        let sum =
            order.number(&numbers[index]).wrapping_add(order.number(&numbers[index - samples]));
        match order {
            Order::Little => numbers[index].copy_from_slice(&sum.to_le_bytes()[..BYTES]),
            Order::Big => numbers[index].copy_from_slice(&sum.to_be_bytes()[8 - BYTES..]),
        }
    }
}

/// How to take samples out of rows.
#[derive(Clone, Copy)]
pub(super) struct Unpack {
    bits: u32,
    kind: Kind,
    order: Order,
    /// Samples from a pixel to the next one.
    stride: usize,
    colour: Colour,
    /// Which numbers are black and white, of kinds of samples whose range is open.
    range: Range,
}

impl Unpack {
    pub(super) fn new(layout: &Layout<'_>, range: Range) -> Self {
        Self {
            bits: layout.bits,
            kind: layout.kind,
            order: layout.order(),
            stride: layout.samples_in_chunk(),
            colour: layout.colour,
            range,
        }
    }

    /// The sample `offset` of each pixel of a row, which of those shown is the one at `index`: 0 to 65535, or an
    /// index of a palette.
    pub(super) fn row(&self, row: &[u8], offset: usize, index: usize, target: &mut [u16]) {
        let raw = self.colour == Colour::Palette && index == 0;
        match (self.bits, self.kind) {
            (8, _) => {
                let scale = if raw { 1 } else { 257 };
                for (target, sample) in
                    target.iter_mut().zip(row.iter().skip(offset).step_by(self.stride))
                {
                    *target = u16::from(*sample) * scale;
                }
            }
            (1 | 2 | 4, _) => {
                let (in_byte, largest) = (8 / self.bits as usize, (1 << self.bits) - 1);
                let scale = if raw { 1 } else { u16::MAX / largest };
                for (x, target) in target.iter_mut().enumerate() {
                    let index = offset + x * self.stride;
                    let shift = self.bits as usize * (in_byte - 1 - index % in_byte);
                    *target = (u16::from(row[index / in_byte]) >> shift & largest) * scale;
                }
            }
            (16, Kind::Unsigned) => {
                let samples = row.as_chunks::<2>().0.iter().skip(offset).step_by(self.stride);
                for (target, sample) in target.iter_mut().zip(samples) {
                    *target = match self.order {
                        Order::Little => u16::from_le_bytes(*sample),
                        Order::Big => u16::from_be_bytes(*sample),
                    };
                }
            }
            _ if self.colour == Colour::Palette || !has_open_range(self.kind, self.bits) => {
                for (x, target) in target.iter_mut().enumerate() {
                    let number = self.number(row, offset + x * self.stride);
                    *target = if raw { low_bits(number) } else { self.spread(number) };
                }
            }
            _ => {
                let Range { black, white } = match self.colour {
                    // L*, then a* and b*, as ICC profiles encode them in 8 bits.
                    Colour::Lab { .. } if index == 0 => Range { black: 0.0, white: 100.0 },
                    Colour::Lab { .. } if index < 3 => Range { black: -128.0, white: 127.0 },
                    // Alpha does not follow where colours are counted.
                    colour if self.kind == Kind::Float && index >= colour.samples() => {
                        Range::default()
                    }
                    _ => self.range,
                };
                for (x, target) in target.iter_mut().enumerate() {
                    let value = self.real(row, offset + x * self.stride);
                    *target = fraction((value - black) / (white - black));
                }
            }
        }
    }

    /// The bits of a sample.
    fn number(&self, row: &[u8], index: usize) -> u64 {
        let bits = self.bits as usize;
        if bits >= 8 && bits.is_multiple_of(8) {
            return self.order.number(&row[index * (bits / 8)..][..bits / 8]);
        }
        // The first sample is in the highest bits, whatever the order of bytes.
        let (start, end) = (index * bits, (index + 1) * bits);
        let window = Order::Big.number(&row[start / 8..end.div_ceil(8)]);
        window >> (end.next_multiple_of(8) - end) & ((1 << bits) - 1)
    }

    /// A sample as a number.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "16 bits of it are kept"
    )]
    fn real(&self, row: &[u8], index: usize) -> f64 {
        let number = self.number(row, index);
        match (self.kind, self.bits) {
            (Kind::Unsigned, _) => number as f64,
            (Kind::Signed, bits) => ((number << (64 - bits)).cast_signed() >> (64 - bits)) as f64,
            (Kind::Float, 16) => small_float(number, 5, 10),
            (Kind::Float, 24) => small_float(number, 7, 16),
            (Kind::Float, 32) => f32::from_bits(number as u32).into(),
            (Kind::Float, _) => f64::from_bits(number),
        }
    }

    /// A whole number to the 16 bits that span all it can be.
    fn spread(&self, number: u64) -> u16 {
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

/// 0 to 1 as 16 bits; what is beyond, or no number, is the nearest.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts from floats saturate"
)]
fn fraction(value: f64) -> u16 {
    // Rounding is a call of a function, and this is the same.
    (value * 65_535.0 + 0.5) as u16
}

/// A number of sign, exponent and mantissa, as IEEE 754 has it for larger ones.
fn small_float(number: u64, exponent_bits: u32, mantissa_bits: u32) -> f64 {
    let mantissa = number & ((1 << mantissa_bits) - 1);
    let exponent = number >> mantissa_bits & ((1 << exponent_bits) - 1);
    let sign = number >> (mantissa_bits + exponent_bits) & 1;
    let bias = (1 << (exponent_bits - 1)) - 1;
    if exponent == 0 {
        // Below the least normal number the mantissa counts by itself; both are far below what 16 bits show.
        return 0.0;
    }
    let exponent = if exponent == (1 << exponent_bits) - 1 { 2047 } else { exponent + 1023 - bias };
    f64::from_bits(sign << 63 | exponent << 52 | mantissa << (52 - mantissa_bits))
}

/// Whether samples can hold far more than pictures do, so that what is white has to be found out.
pub(super) const fn has_open_range(kind: Kind, bits: u32) -> bool {
    match kind {
        Kind::Unsigned => bits > 24,
        Kind::Signed | Kind::Float => true,
    }
}

/// The numbers that are black and white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    black: f64,
    white: f64,
}

impl Default for Range {
    fn default() -> Self {
        Self { black: 0.0, white: 1.0 }
    }
}

/// What samples there are, to find what is black and white among them.
///
/// Floating-point samples are between 0 and 1, and what is beyond is brighter than white; but programs that count in
/// whole numbers, or filter pictures that do, save those as they are, 0 to 255 or 0 to 65535. libvips and Pillow
/// show the latter as they are meant and the former as black, `ImageMagick` the other way around; here the pixels
/// decide. Wide and signed whole numbers span all they can hold, as in `ImageMagick`, unless none is as large as
/// that, or as small.
#[derive(Default)]
pub(super) struct Survey {
    samples: u64,
    /// Those well beyond 1.
    large: u64,
    any_fraction: bool,
    smallest: f64,
    largest: f64,
}

impl Survey {
    pub(super) fn look(
        &mut self,
        unpack: &Unpack,
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

    pub(super) fn range(&self, kind: Kind, bits: u32) -> Range {
        let is_fraction = match kind {
            Kind::Float => {
                self.largest <= 1.0 || self.any_fraction && self.large * 2 <= self.samples
            }
            Kind::Unsigned | Kind::Signed => false,
        };
        let half = 2.0_f64.powf(f64::from(bits) - 1.0);
        match (kind, self.largest) {
            _ if is_fraction => Range::default(),
            (Kind::Signed, _) if self.smallest < 0.0 => Range { black: -half, white: half - 1.0 },
            (_, largest) if largest <= 255.0 => Range { black: 0.0, white: 255.0 },
            (Kind::Signed, _) if bits <= 16 => Range { black: 0.0, white: half - 1.0 },
            (_, largest) if largest <= 65_535.0 => Range { black: 0.0, white: 65_535.0 },
            (Kind::Signed, _) => Range { black: 0.0, white: half - 1.0 },
            (Kind::Unsigned, _) => Range { black: 0.0, white: 2.0 * half - 1.0 },
            (Kind::Float, largest) => Range { black: 0.0, white: largest },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(bits: u32, kind: Kind, order: Order, range: Range) -> Unpack {
        Unpack { bits, kind, order, stride: 1, colour: Colour::Rgb, range }
    }

    #[test]
    fn samples_of_any_depth_span_sixteen_bits() {
        use Kind::{Float, Unsigned};
        use Order::{Big, Little};
        for (bits, kind, order, row, expected) in [
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
            unpack(bits, kind, order, Range::default()).row(row, 0, 0, &mut target);
            assert_eq!(target, expected, "{bits} bits, {kind:?}, {order:?}");
        }
    }

    #[test]
    fn white_is_found_by_looking() {
        use Kind::{Float, Signed, Unsigned};
        const WIDEST: f64 = 4_294_967_295.0;
        for (kind, values, expected) in [
            (Float, &[0.0, 0.25, 1.0][..], (0.0, 1.0)),
            // A highlight, or a rounding error.
            (Float, &[0.0, 0.25, 0.5, 3.5], (0.0, 1.0)),
            (Float, &[0.5, 1.000_001], (0.0, 1.0)),
            (Float, &[0.0, 1.0, 2.0], (0.0, 255.0)),
            (Float, &[12.5, 200.25, 100.0], (0.0, 255.0)),
            (Float, &[0.0, 256.0], (0.0, 65_535.0)),
            (Float, &[-1.0, 1e6], (0.0, 1e6)),
            (Float, &[f32::NAN, f32::INFINITY], (0.0, 1.0)),
            (Signed, &[0.0, 255.0], (0.0, 255.0)),
            (Signed, &[0.0, 1e9], (0.0, WIDEST.div_euclid(2.0))),
            (Signed, &[-1.0, 1.0], (-WIDEST.div_euclid(2.0) - 1.0, WIDEST.div_euclid(2.0))),
            (Unsigned, &[0.0, 65_535.0], (0.0, 65_535.0)),
            (Unsigned, &[0.0, 65_536.0], (0.0, WIDEST)),
        ] {
            #[expect(clippy::cast_possible_truncation, reason = "they are small")]
            let bytes = |value: &f32| match kind {
                Float => value.to_be_bytes(),
                Signed | Unsigned => (*value as i32).to_be_bytes(),
            };
            let row: Vec<u8> = values.iter().flat_map(bytes).collect();
            let mut survey = Survey::default();
            survey.look(&unpack(32, kind, Order::Big, Range::default()), &row, 0..values.len());
            let expected = Range { black: expected.0, white: expected.1 };
            assert_eq!(survey.range(kind, 32), expected, "{kind:?} {values:?}");
        }
    }

    #[test]
    fn signed_samples_begin_at_black() {
        for (range, expected) in
            [((-32_768.0, 32_767.0), [0, 32_768, 65_535]), ((0.0, 32_767.0), [0, 0, 65_535])]
        {
            let mut target = [0; 3];
            let range = Range { black: range.0, white: range.1 };
            unpack(16, Kind::Signed, Order::Big, range).row(
                &[0x80, 0, 0, 0, 0x7F, 0xFF],
                0,
                0,
                &mut target,
            );
            assert_eq!(target, expected);
        }
    }
}

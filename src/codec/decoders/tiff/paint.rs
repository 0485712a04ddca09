//! Paints pixels from samples: palettes, YCbCr and associated alpha become a raster's channels.
//!
//! L*a*b* has a file of its own, `lab`.

use super::directory::{Directory, tag};
use super::error::TiffError;
use super::lab::LabConverter;
use super::layout::{Colour, TiffLayout};
use crate::codec::pixels::channels::Channels;

/// Turns rows of 16-bit samples, one slice for each sample shown, into rows of a raster.
pub(super) struct Painter {
    pub(super) channels: Channels,
    colour: Colour,
    /// Whether colours were multiplied by the opacity; `None` without opacity.
    alpha: Option<bool>,
    palette: Vec<[u8; 3]>,
    lab: Option<LabConverter>,
    ycbcr: YCbCrConverter,
}

impl Painter {
    /// Prepares the palette and conversions of a picture.
    ///
    /// # Errors
    /// Fails when a palette is missing.
    pub(super) fn new(layout: &TiffLayout<'_>) -> Result<Self, TiffError> {
        let palette = if layout.colour == Colour::Palette {
            read_palette(&layout.directory, layout.bits)?
        } else {
            Vec::new()
        };
        let lab = match layout.colour {
            Colour::Lab { icc } => Some(LabConverter::new(layout, icc)),
            _ => None,
        };
        Ok(Self {
            channels: channels_of(layout),
            colour: layout.colour,
            alpha: layout.alpha.map(|alpha| alpha.associated),
            palette,
            lab,
            ycbcr: YCbCrConverter::new(layout),
        })
    }

    pub(super) fn paint_row(&self, samples: &[Vec<u16>], target: &mut [u8]) {
        let step = self.channels.count();
        let opacity = self.alpha.and_then(|_| samples.last());
        match (self.colour, opacity) {
            // The common case by far: scanned pages.
            (Colour::Grey { white_is_zero }, None) => {
                let inverted = if white_is_zero { u16::MAX } else { 0 };
                for (pixel, sample) in target.iter_mut().zip(&samples[0]) {
                    *pixel = to_8_bits(*sample ^ inverted);
                }
            }
            (Colour::Cmyk, opacity) => self.paint_inks(samples, opacity, target),
            (_, None) => {
                for (x, pixel) in target.chunks_exact_mut(step).enumerate() {
                    self.paint_pixel(samples, x, u16::MAX, pixel);
                }
            }
            (_, Some(opacity)) => {
                for ((x, pixel), opacity) in target.chunks_exact_mut(step).enumerate().zip(opacity)
                {
                    let (colours, alpha) = pixel.split_at_mut(step - 1);
                    self.paint_pixel(samples, x, *opacity, colours);
                    alpha[0] = to_8_bits(*opacity);
                }
            }
        }
    }

    /// Writes CMYK pixels. No channel holds the opacity of inks, so transparent pixels become
    /// paper. Inks that were multiplied by their opacity are that already.
    fn paint_inks(&self, samples: &[Vec<u16>], opacity: Option<&Vec<u16>>, target: &mut [u8]) {
        let opacity = opacity.filter(|_| self.alpha == Some(false));
        for (x, inks) in target.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let opacity = opacity.map_or(u16::MAX, |opacity| opacity[x]);
            for (ink, samples) in inks.iter_mut().zip(samples) {
                *ink = to_8_bits(multiply(samples[x], opacity));
            }
        }
    }

    /// Writes the colours of one pixel, without its alpha.
    fn paint_pixel(&self, samples: &[Vec<u16>], x: usize, opacity: u16, pixel: &mut [u8]) {
        let is_multiplied = self.alpha == Some(true);
        let finish =
            |value: u16| to_8_bits(if is_multiplied { divide(value, opacity) } else { value });
        match (self.colour, &self.lab) {
            (Colour::Palette, _) => {
                let index = usize::from(samples[0][x]);
                pixel.copy_from_slice(&self.palette.get(index).copied().unwrap_or_default());
            }
            (Colour::YCbCr, _) => {
                let rgb = self.ycbcr.convert([samples[0][x], samples[1][x], samples[2][x]]);
                pixel.copy_from_slice(&rgb.map(finish));
            }
            (Colour::Lab { .. }, Some(lab)) => {
                pixel.copy_from_slice(&lab.to_srgb([samples[0][x], samples[1][x], samples[2][x]]));
            }
            (Colour::Grey { white_is_zero: true }, _) => pixel[0] = u8::MAX - finish(samples[0][x]),
            _ => {
                for (value, samples) in pixel.iter_mut().zip(samples) {
                    *value = finish(samples[x]);
                }
            }
        }
    }
}

/// Returns the channels of a raster of this picture.
pub(super) fn channels_of(layout: &TiffLayout<'_>) -> Channels {
    match (layout.colour, layout.alpha) {
        (Colour::Cmyk, _) => Channels::Cmyk,
        (Colour::Grey { .. }, None) => Channels::Grey,
        (Colour::Grey { .. }, Some(_)) => Channels::GreyAlpha,
        (_, None) => Channels::Rgb,
        (_, Some(_)) => Channels::Rgba,
    }
}

/// Rounds 16 bits to 8.
fn to_8_bits(value: u16) -> u8 {
    u8::try_from((u32::from(value) * 255 + 32_767) / 65_535).unwrap_or(u8::MAX)
}

fn multiply(value: u16, opacity: u16) -> u16 {
    u16::try_from((u32::from(value) * u32::from(opacity) + 32_767) / 65_535).unwrap_or(u16::MAX)
}

fn divide(value: u16, opacity: u16) -> u16 {
    if opacity == 0 {
        return 0;
    }
    let (value, opacity) = (u32::from(value), u32::from(opacity));
    u16::try_from((value * 65_535 + opacity / 2) / opacity).unwrap_or(u16::MAX)
}

/// Reads a palette (TIFF 6.0, section 5): all reds, all greens, all blues, of 16 bits each.
fn read_palette(directory: &Directory<'_>, bits: u32) -> Result<Vec<[u8; 3]>, TiffError> {
    let colours = 1_u64 << bits;
    if directory.count(tag::COLOR_MAP) < 3 {
        return Err(TiffError::Corrupt("it has no palette"));
    }
    let value = |index| directory.number(tag::COLOR_MAP, index).unwrap_or_default();
    // Old programs wrote 8 bits. Like libtiff, this takes a palette without larger values for
    // theirs.
    let shift = if (0..3 * colours).any(|index| value(index) > 0xFF) { 8 } else { 0 };
    let part = |index| u8::try_from(value(index) >> shift & 0xFF).unwrap_or_default();
    Ok((0..colours)
        .map(|index| [part(index), part(index + colours), part(index + 2 * colours)])
        .collect())
}

/// Converts YCbCr to RGB (TIFF 6.0, section 21).
struct YCbCrConverter {
    /// Shares of red, green and blue in Y.
    parts: [f32; 3],
    /// The value of Y, Cb and Cr that stands for zero.
    zero: [f32; 3],
    scale: [f32; 3],
}

impl YCbCrConverter {
    #[expect(clippy::cast_possible_truncation, reason = "a few digits are enough")]
    fn new(layout: &TiffLayout<'_>) -> Self {
        let tags = &layout.directory;
        // libtiff leaves JPEG to libjpeg, which knows only the usual coefficients.
        let is_jpeg = layout.compression == super::layout::Compression::Jpeg;
        let real = |number, index, otherwise: f64| match tags.real(number, index) {
            Some(value) if value.is_finite() && !is_jpeg => value as f32,
            _ => otherwise as f32,
        };
        let parts = [0.299, 0.587, 0.114];
        let parts = [0, 1, 2].map(|index: u8| {
            real(tag::YCBCR_COEFFICIENTS, index.into(), parts[usize::from(index)])
        });
        let usual = if parts[1] > 0.0 { parts } else { [0.299, 0.587, 0.114] };
        let reference = [0.0, 255.0, 128.0, 255.0, 128.0, 255.0];
        let reference = [0, 1, 2, 3, 4, 5].map(|index: u8| {
            real(tag::REFERENCE_BLACK_WHITE, index.into(), reference[usize::from(index)])
        });
        let spans = [255.0, 127.0, 127.0];
        let mut scale = [1.0; 3];
        for ((scale, ends), span) in scale.iter_mut().zip(reference.as_chunks::<2>().0).zip(spans) {
            if (ends[1] - ends[0]).abs() > f32::EPSILON {
                *scale = span / (ends[1] - ends[0]);
            }
        }
        Self {
            parts: usual,
            zero: [reference[0], reference[2], reference[4]].map(|zero| zero * 257.0),
            scale,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "casts from floats saturate"
    )]
    fn convert(&self, samples: [u16; 3]) -> [u16; 3] {
        let mut ycc = samples.map(f32::from);
        for ((value, zero), scale) in ycc.iter_mut().zip(self.zero).zip(self.scale) {
            *value = (*value - zero) * scale;
        }
        let [y, cb, cr] = ycc;
        let [of_red, of_green, of_blue] = self.parts;
        let red = y + cr * (2.0 - 2.0 * of_red);
        let blue = y + cb * (2.0 - 2.0 * of_blue);
        let green = (y - of_blue * blue - of_red * red) / of_green;
        [red, green, blue].map(|value| (value + 0.5) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_are_rounded_to_eight() {
        for value in 0..=u8::MAX {
            assert_eq!(to_8_bits(u16::from(value) * 257), value);
        }
        assert_eq!((to_8_bits(128), to_8_bits(129)), (0, 1));
    }

    #[test]
    fn multiplied_alpha_is_taken_out() {
        for (value, opacity, expected) in
            [(0, 0, 0), (32_768, 32_768, 65_535), (100, 200, 32_768), (9, 3, 65_535)]
        {
            assert_eq!(divide(value, opacity), expected, "{value} of {opacity}");
        }
    }
}

//! Pixels from samples: palettes, YCbCr and multiplied alpha become the channels of a raster. L*a*b* has a file of
//! its own, `lab`.

use super::directory::{Directory, tag};
use super::lab::Lab;
use super::layout::{Colour, Layout};
use super::problem::Problem;
use crate::codec::pixels::channels::Channels;

/// Turns rows of 16-bit samples, one slice for each that is shown, into rows of a raster.
pub(super) struct Painter {
    pub(super) channels: Channels,
    colour: Colour,
    /// Whether there is an opacity, and whether colours are multiplied with it.
    alpha: Option<bool>,
    palette: Vec<[u8; 3]>,
    lab: Option<Lab>,
    luma: Luma,
}

impl Painter {
    /// # Errors
    /// When a palette is missing.
    pub(super) fn new(layout: &Layout<'_>) -> Result<Self, Problem> {
        let palette = if layout.colour == Colour::Palette {
            palette(&layout.directory, layout.bits)?
        } else {
            Vec::new()
        };
        let lab = match layout.colour {
            Colour::Lab { icc } => Some(Lab::new(layout, icc)),
            _ => None,
        };
        Ok(Self {
            channels: channels(layout),
            colour: layout.colour,
            alpha: layout.alpha.map(|alpha| alpha.associated),
            palette,
            lab,
            luma: Luma::new(layout),
        })
    }

    pub(super) fn row(&self, samples: &[Vec<u16>], target: &mut [u8]) {
        let step = self.channels.count();
        let opacity = self.alpha.and_then(|_| samples.last());
        match (self.colour, opacity) {
            // By far the most frequent, of scanned pages.
            (Colour::Grey { white_is_zero }, None) => {
                let inverted = if white_is_zero { u16::MAX } else { 0 };
                for (pixel, sample) in target.iter_mut().zip(&samples[0]) {
                    *pixel = narrow(*sample ^ inverted);
                }
            }
            (Colour::Cmyk, opacity) => self.inks(samples, opacity, target),
            (_, None) => {
                for (x, pixel) in target.chunks_exact_mut(step).enumerate() {
                    self.pixel(samples, x, u16::MAX, pixel);
                }
            }
            (_, Some(opacity)) => {
                for ((x, pixel), opacity) in target.chunks_exact_mut(step).enumerate().zip(opacity)
                {
                    let (colours, alpha) = pixel.split_at_mut(step - 1);
                    self.pixel(samples, x, *opacity, colours);
                    alpha[0] = narrow(*opacity);
                }
            }
        }
    }

    /// There is no channel for the opacity of inks: what is transparent is paper. Multiplied ink is just that
    /// already.
    fn inks(&self, samples: &[Vec<u16>], opacity: Option<&Vec<u16>>, target: &mut [u8]) {
        let opacity = opacity.filter(|_| self.alpha == Some(false));
        for (x, inks) in target.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let opacity = opacity.map_or(u16::MAX, |opacity| opacity[x]);
            for (ink, samples) in inks.iter_mut().zip(samples) {
                *ink = narrow(multiplied(samples[x], opacity));
            }
        }
    }

    /// The colours of one pixel, without its alpha.
    fn pixel(&self, samples: &[Vec<u16>], x: usize, opacity: u16, pixel: &mut [u8]) {
        let is_multiplied = self.alpha == Some(true);
        let finish =
            |value: u16| narrow(if is_multiplied { unmultiplied(value, opacity) } else { value });
        match (self.colour, &self.lab) {
            (Colour::Palette, _) => {
                let index = usize::from(samples[0][x]);
                pixel.copy_from_slice(&self.palette.get(index).copied().unwrap_or_default());
            }
            (Colour::YCbCr, _) => {
                let rgb = self.luma.rgb([samples[0][x], samples[1][x], samples[2][x]]);
                pixel.copy_from_slice(&rgb.map(finish));
            }
            (Colour::Lab { .. }, Some(lab)) => {
                pixel.copy_from_slice(&lab.rgb([samples[0][x], samples[1][x], samples[2][x]]));
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

/// What a raster of this picture holds.
pub(super) fn channels(layout: &Layout<'_>) -> Channels {
    match (layout.colour, layout.alpha) {
        (Colour::Cmyk, _) => Channels::Cmyk,
        (Colour::Grey { .. }, None) => Channels::Grey,
        (Colour::Grey { .. }, Some(_)) => Channels::GreyAlpha,
        (_, None) => Channels::Rgb,
        (_, Some(_)) => Channels::Rgba,
    }
}

/// 16 bits to 8, rounded.
fn narrow(value: u16) -> u8 {
    u8::try_from((u32::from(value) * 255 + 32_767) / 65_535).unwrap_or(u8::MAX)
}

fn multiplied(value: u16, opacity: u16) -> u16 {
    u16::try_from((u32::from(value) * u32::from(opacity) + 32_767) / 65_535).unwrap_or(u16::MAX)
}

fn unmultiplied(value: u16, opacity: u16) -> u16 {
    if opacity == 0 {
        return 0;
    }
    let (value, opacity) = (u32::from(value), u32::from(opacity));
    u16::try_from((value * 65_535 + opacity / 2) / opacity).unwrap_or(u16::MAX)
}

/// The colours of a palette (TIFF 6.0, section 5): all reds, all greens, all blues, of 16 bits each.
fn palette(directory: &Directory<'_>, bits: u32) -> Result<Vec<[u8; 3]>, Problem> {
    let colours = 1_u64 << bits;
    if directory.count(tag::COLOR_MAP) < 3 {
        return Err(Problem::Corrupt("it has no palette"));
    }
    let value = |index| directory.number(tag::COLOR_MAP, index).unwrap_or_default();
    // Old programs wrote 8 bits, which libtiff tells by there being nothing larger.
    let shift = if (0..3 * colours).any(|index| value(index) > 0xFF) { 8 } else { 0 };
    let part = |index| u8::try_from(value(index) >> shift & 0xFF).unwrap_or_default();
    Ok((0..colours)
        .map(|index| [part(index), part(index + colours), part(index + 2 * colours)])
        .collect())
}

/// From YCbCr to RGB (TIFF 6.0, section 21).
struct Luma {
    /// Parts of red, green and blue in Y.
    parts: [f32; 3],
    /// For Y, Cb and Cr what is zero, and what it is multiplied with to span 0 to 65535.
    zero: [f32; 3],
    scale: [f32; 3],
}

impl Luma {
    #[expect(clippy::cast_possible_truncation, reason = "a few digits are enough")]
    fn new(layout: &Layout<'_>) -> Self {
        let tags = &layout.directory;
        // libtiff leaves JPEG to libjpeg, which knows only these.
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
    fn rgb(&self, samples: [u16; 3]) -> [u16; 3] {
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
            assert_eq!(narrow(u16::from(value) * 257), value);
        }
        assert_eq!((narrow(128), narrow(129)), (0, 1));
    }

    #[test]
    fn multiplied_alpha_is_taken_out() {
        for (value, opacity, expected) in
            [(0, 0, 0), (32_768, 32_768, 65_535), (100, 200, 32_768), (9, 3, 65_535)]
        {
            assert_eq!(unmultiplied(value, opacity), expected, "{value} of {opacity}");
        }
    }
}

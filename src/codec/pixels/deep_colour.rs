//! Converts samples of 16 bits to 8-bit sRGB, by what the picture says of its colours.
//!
//! Where light grows with the samples, or far beyond white, 8 bits are too few before the
//! conversion: dark parts would fall into bands.

use std::sync::Arc;

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformExecutor, TransformOptions};

use super::channels::Channels;
use super::cicp::to_byte;
use super::colour::{CodePointConverter, Conversion, icc_profile, power_profile};
use super::profile::Profile;

/// A conversion of 16-bit greys or colours to 8-bit sRGB, with three bytes a pixel, or four with
/// alpha.
pub(crate) struct DeepConversion {
    from: Channels,
    /// How colours are converted, or `None` if they are sRGB's.
    method: Option<Method>,
    /// Whether there is a profile that can't be used.
    lacks_profile: bool,
}

enum Method {
    Transform { transform: Arc<dyn TransformExecutor<u16> + Send + Sync>, takes_greys: bool },
    CodePoints(CodePointConverter),
}

impl DeepConversion {
    /// Prepares the conversion of samples with this profile. Returns the same notes as
    /// [`Conversion::new`].
    pub(crate) fn new(from: Channels, profile: Option<&Profile>) -> (Self, Option<String>) {
        let (shallow, note) = Conversion::new(from, profile);
        let method = match profile {
            _ if shallow.keeps_colours() => None,
            Some(Profile::CodePoints(code_points)) => {
                CodePointConverter::new(code_points).map(Method::CodePoints)
            }
            Some(Profile::PowerCurve(curve)) => by_profile(from, &power_profile(curve)),
            Some(Profile::Bytes(bytes)) => {
                icc_profile(bytes).ok().and_then(|profile| by_profile(from, &profile))
            }
            None | Some(Profile::TooLong) => None,
        };
        (Self { from, method, lacks_profile: shallow.lacks_profile() }, note)
    }

    /// Whether a profile was left out because it can't be used.
    pub(crate) const fn lacks_profile(&self) -> bool {
        self.lacks_profile
    }

    /// Converts rows of `width` pixels, whose samples have two bytes, the higher one first.
    pub(crate) fn apply(&self, samples: &[u8], width: usize) -> Vec<u8> {
        let row_bytes = 2 * self.from.count() * width;
        let target_bytes = if self.from.has_alpha() { 4 } else { 3 } * width;
        let rows = samples.len().checked_div(row_bytes).unwrap_or(0);
        let mut converted = vec![0; rows * target_bytes];
        for y in 0..rows {
            let row = &samples[y * row_bytes..][..row_bytes];
            self.convert_row(row, &mut converted[y * target_bytes..][..target_bytes]);
        }
        converted
    }

    fn convert_row(&self, row: &[u8], target: &mut [u8]) {
        let mut pixels = self.read_row(row);
        match &self.method {
            None => {
                for (target, sample) in target.iter_mut().zip(pixels) {
                    *target = sample.to_be_bytes()[0];
                }
            }
            Some(Method::Transform { transform, .. }) => {
                let mut converted = vec![0; target.len()];
                // It fails only for rows of other lengths.
                if transform.transform(&pixels, &mut converted).is_ok() {
                    pixels = converted;
                }
                for (target, sample) in target.iter_mut().zip(pixels) {
                    *target = to_byte(f32::from(sample) / f32::from(u16::MAX));
                }
            }
            Some(Method::CodePoints(converter)) => {
                let pixel_bytes = if self.from.has_alpha() { 4 } else { 3 };
                let targets = target.chunks_exact_mut(pixel_bytes);
                for (target, pixel) in targets.zip(pixels.chunks_exact(pixel_bytes)) {
                    if let ([.., target], [_, _, _, alpha]) = (&mut *target, pixel) {
                        *target = alpha.to_be_bytes()[0];
                    }
                    let colour = converter.convert_deep([pixel[0], pixel[1], pixel[2]]);
                    target[..3].copy_from_slice(&colour);
                }
            }
        }
    }

    /// Reads a row as RGB or RGBA, or as greys if the transform takes these.
    fn read_row(&self, row: &[u8]) -> Vec<u16> {
        let samples = row.as_chunks().0.iter().map(|sample| u16::from_be_bytes(*sample));
        let takes_greys = matches!(self.method, Some(Method::Transform { takes_greys: true, .. }));
        match self.from {
            Channels::Grey if !takes_greys => samples.flat_map(|grey| [grey; 3]).collect(),
            Channels::GreyAlpha if !takes_greys => {
                let samples: Vec<u16> = samples.collect();
                let pixels = samples.as_chunks().0.iter();
                pixels.flat_map(|[grey, alpha]| [*grey, *grey, *grey, *alpha]).collect()
            }
            _ => samples.collect(),
        }
    }
}

/// Prepares a conversion by a profile that [`Conversion::new`] takes.
fn by_profile(from: Channels, source: &ColorProfile) -> Option<Method> {
    let takes_greys = source.color_space == DataColorSpace::Gray;
    let target = if from.has_alpha() { Layout::Rgba } else { Layout::Rgb };
    let layout = match from {
        Channels::Grey if takes_greys => Layout::Gray,
        Channels::GreyAlpha if takes_greys => Layout::GrayAlpha,
        _ => target,
    };
    // Fixed point has 13 bits, which are too few for light.
    let options = TransformOptions { prefer_fixed_point: false, ..TransformOptions::default() };
    let srgb = ColorProfile::new_srgb();
    let transform = source.create_transform_16bit(layout, &srgb, target, options).ok()?;
    Some(Method::Transform { transform, takes_greys })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::pixels::cicp::Cicp;
    use crate::codec::pixels::profile::{CodePoints, PowerCurve};

    fn converted(from: Channels, profile: Option<&Profile>, samples: &[u16]) -> Vec<u8> {
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_be_bytes()).collect();
        DeepConversion::new(from, profile).0.apply(&bytes, samples.len() / from.count())
    }

    #[test]
    fn dark_light_keeps_its_steps() {
        let primaries = [[0.3127, 0.329], [0.64, 0.33], [0.3, 0.6], [0.15, 0.06]];
        let power = Profile::PowerCurve(PowerCurve { power: 1.0, primaries });
        let cicp = Cicp { primaries: 1, transfer: 8, matrix: 0, full_range: true };
        let grey = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
        let grey = Profile::new(grey).unwrap();
        // 0.0003035 of light is one step of sRGB near black, and 0.00913 are 20.
        let samples = [0, 20, 40, 200, 398, 65535];
        let expected = [0, 1, 2, 10, 18, 255];
        for (from, profile) in [
            (Channels::Grey, &power),
            (Channels::Grey, &grey),
            (Channels::Grey, &Profile::CodePoints(CodePoints { cicp, brightest: None })),
        ] {
            let greys = converted(from, Some(profile), &samples);
            let greys: Vec<u8> = greys.chunks(3).map(|pixel| pixel[1]).collect();
            let is_near = greys.iter().zip(expected).all(|(is, must)| is.abs_diff(must) <= 1);
            assert!(is_near, "{profile:?}: {greys:?}");
        }
    }

    #[test]
    fn alpha_stays_and_the_narrow_range_is_that_of_16_bits() {
        let cicp = Cicp { primaries: 1, transfer: 13, matrix: 0, full_range: false };
        let narrow = Profile::CodePoints(CodePoints { cicp, brightest: None });
        let rgba = [16 << 8, 235 << 8, 128 << 8, 0x4321];
        assert_eq!(converted(Channels::Rgba, Some(&narrow), &rgba), [0, 255, 130, 0x43]);
        let grey = [128 << 8, 0x4321];
        assert_eq!(converted(Channels::GreyAlpha, Some(&narrow), &grey), [130, 130, 130, 0x43]);
        assert_eq!(converted(Channels::GreyAlpha, None, &grey), [128, 128, 128, 0x43]);
        let p3 = Profile::new(ColorProfile::new_display_p3().encode().unwrap()).unwrap();
        let colour = converted(Channels::Rgba, Some(&p3), &[65535, 32896, 0, 0x4321]);
        assert!(colour[1].abs_diff(118) <= 1 && colour[3] == 0x43, "{colour:?}");
    }
}

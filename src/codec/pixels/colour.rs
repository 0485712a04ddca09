//! Converts samples to sRGB, by their ICC profile if there is one.

use std::sync::Arc;

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformExecutor, TransformOptions};

use super::channels::Channels;
use super::profile::{Profile, TOO_LONG_NOTE, with_needed_tags};

/// Largest difference between two profiles that count as the same, in steps of an 8-bit channel.
const SAME_WITHIN: u8 = 2;

/// A conversion of samples to 8-bit sRGB, with three bytes a pixel, or four with alpha.
pub(crate) struct Conversion {
    from: Channels,
    /// The conversion by profile, or `None` if no profile has to be applied.
    transform: Option<Arc<dyn TransformExecutor<u8> + Send + Sync>>,
}

impl Conversion {
    /// Prepares the conversion of samples with this profile. Returns a note if the profile can't be
    /// used.
    ///
    /// A picture whose profile is broken is shown as if it had none, as other programs do.
    pub(crate) fn new(from: Channels, profile: Option<&Profile>) -> (Self, Option<String>) {
        let profile = match profile {
            Some(Profile::TooLong) => {
                return (Self { from, transform: None }, Some(TOO_LONG_NOTE.into()));
            }
            Some(Profile::Bytes(bytes)) => Some(bytes),
            None => None,
        };
        match profile.map(|profile| transform(from, profile)) {
            None | Some(Ok(None)) => (Self { from, transform: None }, None),
            Some(Ok(transform)) => (Self { from, transform }, None),
            Some(Err(reason)) => {
                let note = format!("its colour profile {reason}; colours are taken as sRGB");
                (Self { from, transform: None }, Some(note))
            }
        }
    }

    /// Whether [`Conversion::apply`] would change nothing.
    pub(crate) fn is_identity(&self) -> bool {
        self.transform.is_none() && matches!(self.from, Channels::Rgb | Channels::Rgba)
    }

    /// Returns the number of bytes of a converted pixel.
    pub(crate) const fn channels(&self) -> usize {
        if self.from.has_alpha() { 4 } else { 3 }
    }

    /// Converts rows of `width` pixels, within the memory of `samples` unless pixels become longer.
    pub(crate) fn apply(&self, mut samples: Vec<u8>, width: usize) -> Vec<u8> {
        if self.is_identity() || width == 0 {
            return samples;
        }
        let (from, to) = (self.from.count() * width, self.channels() * width);
        let rows = samples.len() / from;
        if to <= from {
            let mut row = vec![0; from];
            for y in 0..rows {
                row.copy_from_slice(&samples[y * from..][..from]);
                self.apply_row(&row, &mut samples[y * to..][..to]);
            }
            samples.truncate(rows * to);
            return samples;
        }
        let mut converted = vec![0; rows * to];
        for (row, target) in samples.chunks_exact(from).zip(converted.chunks_exact_mut(to)) {
            self.apply_row(row, target);
        }
        converted
    }

    /// Converts one row.
    fn apply_row(&self, row: &[u8], target: &mut [u8]) {
        if let Some(transform) = &self.transform
            && transform.transform(row, target).is_ok()
        {
            return;
        }
        match self.from {
            Channels::Rgb | Channels::Rgba => target.copy_from_slice(row),
            Channels::Grey => {
                for (target, grey) in target.as_chunks_mut::<3>().0.iter_mut().zip(row) {
                    *target = [*grey; 3];
                }
            }
            Channels::GreyAlpha => {
                for (target, [grey, alpha]) in
                    target.as_chunks_mut::<4>().0.iter_mut().zip(row.as_chunks().0)
                {
                    *target = [*grey, *grey, *grey, *alpha];
                }
            }
            Channels::Cmyk => {
                for (target, [c, m, y, k]) in
                    target.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks().0)
                {
                    *target = [c, m, y].map(|ink| multiply(255 - ink, 255 - k));
                }
            }
        }
    }
}

/// Returns `a * b / 255`, rounded.
fn multiply(a: u8, b: u8) -> u8 {
    let product = u16::from(a) * u16::from(b) + 128;
    u8::try_from((product + (product >> 8)) >> 8).unwrap_or(u8::MAX)
}

/// Returns the transform to sRGB, or `None` if the profile is sRGB in all but name.
fn transform(
    from: Channels,
    profile: &[u8],
) -> Result<Option<Arc<dyn TransformExecutor<u8> + Send + Sync>>, &'static str> {
    let source = ColorProfile::new_from_slice(&with_needed_tags(profile));
    let source = source.map_err(|_| "can't be read")?;
    let (layout, target) = match (from, source.color_space) {
        (Channels::Grey, DataColorSpace::Gray) => (Layout::Gray, Layout::Rgb),
        (Channels::GreyAlpha, DataColorSpace::Gray) => (Layout::GrayAlpha, Layout::Rgba),
        (Channels::Rgb, DataColorSpace::Rgb) => (Layout::Rgb, Layout::Rgb),
        (Channels::Rgba, DataColorSpace::Rgb) => (Layout::Rgba, Layout::Rgba),
        (Channels::Cmyk, DataColorSpace::Cmyk) => (Layout::Rgba, Layout::Rgb),
        _ => return Err("is for other kinds of pixels"),
    };
    let transform = source
        .create_transform_8bit(
            layout,
            &ColorProfile::new_srgb(),
            target,
            TransformOptions::default(),
        )
        .map_err(|_| "can't be applied")?;
    if matches!(from, Channels::Rgb | Channels::Rgba) && is_identity(&*transform, from.count()) {
        return Ok(None);
    }
    Ok(Some(transform))
}

/// Whether a transform leaves a grid of colours as it is.
fn is_identity(transform: &dyn TransformExecutor<u8>, channels: usize) -> bool {
    const STEPS: [u8; 6] = [0, 51, 102, 153, 204, 255];
    let mut colours = Vec::with_capacity(STEPS.len().pow(3) * channels);
    for red in STEPS {
        for green in STEPS {
            for blue in STEPS {
                colours.extend_from_slice(&[red, green, blue, u8::MAX][..channels]);
            }
        }
    }
    let mut converted = vec![0; colours.len()];
    transform.transform(&colours, &mut converted).is_ok()
        && colours.iter().zip(&converted).all(|(a, b)| a.abs_diff(*b) <= SAME_WITHIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_without_a_profile_become_rgb() {
        for (from, samples, expected) in [
            (Channels::Rgb, vec![1, 2, 3], vec![1, 2, 3]),
            (Channels::Grey, vec![7, 9], vec![7, 7, 7, 9, 9, 9]),
            (Channels::GreyAlpha, vec![7, 128], vec![7, 7, 7, 128]),
            (Channels::Cmyk, vec![0, 0, 0, 0, 255, 0, 0, 0], vec![255, 255, 255, 0, 255, 255]),
            (Channels::Cmyk, vec![0, 0, 0, 255, 0, 0, 0, 128], vec![0, 0, 0, 127, 127, 127]),
        ] {
            let width = samples.len() / from.count();
            assert_eq!(Conversion::new(from, None).0.apply(samples, width), expected, "{from:?}");
        }
    }

    #[test]
    fn a_profile_that_is_srgb_costs_nothing_and_a_broken_one_is_noted() {
        let profile = |bytes: Vec<u8>| Profile::new(bytes).unwrap();
        let srgb = profile(ColorProfile::new_srgb().encode().unwrap());
        let (conversion, note) = Conversion::new(Channels::Rgb, Some(&srgb));
        assert!(conversion.is_identity() && note.is_none());
        let p3 = profile(ColorProfile::new_display_p3().encode().unwrap());
        let (conversion, note) = Conversion::new(Channels::Rgb, Some(&p3));
        assert!(!conversion.is_identity() && note.is_none());
        let (conversion, note) =
            Conversion::new(Channels::Rgb, Some(&profile(b"no profile".into())));
        assert!(conversion.is_identity() && note.unwrap().contains("can't be read"));
        let (_, note) = Conversion::new(Channels::Cmyk, Some(&p3));
        assert!(note.unwrap().contains("other kinds of pixels"));
        let (conversion, note) = Conversion::new(Channels::Rgb, Some(&Profile::TooLong));
        assert!(conversion.is_identity() && note.unwrap().contains("longer than 4 MiB"));
    }

    #[test]
    fn a_grey_profile_is_applied() {
        // The profile is of linear light, whose middle is far brighter in sRGB.
        let linear =
            Profile::new(ColorProfile::new_gray_with_gamma(1.0).encode().unwrap()).unwrap();
        let (conversion, note) = Conversion::new(Channels::Grey, Some(&linear));
        assert_eq!(note, None);
        let converted = conversion.apply(vec![0, 128, 255], 3);
        assert_eq!((converted[0], converted[8]), (0, 255));
        assert!(converted[3].abs_diff(188) <= 2, "{converted:?}");
    }
}

//! Converts samples of 8 bits to sRGB, by what the picture says of its colours.

use std::sync::Arc;

use moxcms::{
    Chromaticity, ColorPrimaries, ColorProfile, DataColorSpace, Layout, ToneReprCurve,
    TransformExecutor, TransformOptions,
};

use super::channels::Channels;
use super::cicp::{HDR_NOTE, SrgbConverter, to_byte};
use super::profile::{CodePoints, PowerCurve, Profile, TOO_LONG_NOTE, with_needed_tags};

/// Largest difference between two profiles that count as the same, in steps of an 8-bit channel.
const SAME_WITHIN: u8 = 2;

/// A conversion of samples to 8-bit sRGB, with three bytes a pixel, or four with alpha.
pub(crate) struct Conversion {
    from: Channels,
    /// How colours are converted, or `None` if they are sRGB's.
    method: Option<Method>,
    /// Whether there is a profile that can't be used.
    lacks_profile: bool,
}

enum Method {
    Transform(Arc<dyn TransformExecutor<u8> + Send + Sync>),
    CodePoints(CodePointConverter),
    /// The colour of each grey.
    Greys(Box<[[u8; 3]; 256]>),
}

impl Conversion {
    /// Prepares the conversion of samples with this profile. Returns a note if the profile can't be
    /// used, or if the picture loses by it.
    ///
    /// A picture whose profile is broken is shown as if it had none, as other programs do.
    pub(crate) fn new(from: Channels, profile: Option<&Profile>) -> (Self, Option<String>) {
        let prepared = match profile {
            None => Ok((None, None)),
            Some(Profile::TooLong) => Err(TOO_LONG_NOTE.into()),
            Some(Profile::CodePoints(code_points)) => by_code_points(from, code_points),
            Some(Profile::Bytes(bytes)) => {
                or_note(icc_profile(bytes).and_then(|profile| by_profile(from, &profile)))
            }
            Some(Profile::PowerCurve(curve)) => or_note(by_profile(from, &power_profile(curve))),
        };
        let lacks_profile = prepared.is_err();
        let (method, note) = prepared.unwrap_or_else(|note| (None, Some(note)));
        (Self { from, method, lacks_profile }, note)
    }

    /// Whether a profile was left out because it can't be used.
    pub(crate) const fn lacks_profile(&self) -> bool {
        self.lacks_profile
    }

    /// Whether [`Conversion::apply`] would change nothing.
    pub(crate) fn is_identity(&self) -> bool {
        self.method.is_none() && matches!(self.from, Channels::Rgb | Channels::Rgba)
    }

    /// Whether the colours are sRGB's as they are.
    pub(super) const fn keeps_colours(&self) -> bool {
        self.method.is_none()
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
        match &self.method {
            Some(Method::Transform(transform)) if transform.transform(row, target).is_ok() => {
                return;
            }
            Some(Method::CodePoints(converter)) => {
                return converter.convert_row(row, target, self.from.count());
            }
            Some(Method::Greys(colours)) => return paint_greys(row, target, self.from, colours),
            _ => {}
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

/// Writes the colour of each grey of a row.
fn paint_greys(row: &[u8], target: &mut [u8], from: Channels, colours: &[[u8; 3]; 256]) {
    let pixel_bytes = if from.has_alpha() { 4 } else { 3 };
    let pixels = target.chunks_exact_mut(pixel_bytes).zip(row.chunks_exact(from.count()));
    for (target, pixel) in pixels {
        target[..3].copy_from_slice(&colours[usize::from(pixel[0])]);
        if let ([.., target], [_, alpha]) = (target, pixel) {
            *target = *alpha;
        }
    }
}

/// A method and a note on it, or a note on why there is none.
type PreparedMethod = Result<(Option<Method>, Option<String>), String>;

/// Leaves a profile that can't be used out, with a note.
fn or_note(method: Result<Option<Method>, &'static str>) -> PreparedMethod {
    method
        .map(|method| (method, None))
        .map_err(|reason| format!("its colour profile {reason}; colours are taken as sRGB"))
}

/// Prepares a conversion by code points.
fn by_code_points(from: Channels, code_points: &CodePoints) -> PreparedMethod {
    let note = code_points.cicp.is_hdr().then(|| HDR_NOTE.to_owned());
    let Some(converter) = CodePointConverter::new(code_points) else {
        return Ok((None, note));
    };
    let method = match from {
        Channels::Rgb | Channels::Rgba => Method::CodePoints(converter),
        Channels::Grey | Channels::GreyAlpha => {
            greys(|greys, colours| converter.convert_row(greys, colours, 3))
        }
        Channels::Cmyk => return or_note(Err("is for other kinds of pixels")),
    };
    Ok((Some(method), note))
}

/// Converts samples that code points describe.
pub(super) struct CodePointConverter {
    /// `None` if the samples are sRGB but for their range.
    converter: Option<SrgbConverter>,
    full_range: bool,
}

impl CodePointConverter {
    /// Prepares a conversion, or returns `None` if the samples are sRGB as they are.
    pub(super) fn new(code_points: &CodePoints) -> Option<Self> {
        let converter = SrgbConverter::new(code_points.cicp, code_points.brightest);
        let full_range = code_points.cicp.full_range;
        (converter.is_some() || !full_range).then_some(Self { converter, full_range })
    }

    /// Converts one pixel of 16-bit samples.
    pub(super) fn convert_deep(&self, pixel: [u16; 3]) -> [u8; 3] {
        // The narrow range has 256 times as many steps as in 8 bits, the full range 257 times.
        let steps = if self.full_range { 257.0 } else { 256.0 };
        self.convert(pixel.map(|sample| f32::from(sample) / steps))
    }

    /// Converts one pixel, whose samples are in steps of 8 bits. The narrow range is BT.2100's.
    fn convert(&self, pixel: [f32; 3]) -> [u8; 3] {
        let (black, range) = if self.full_range { (0.0, 255.0) } else { (16.0, 219.0) };
        let pixel = pixel.map(|step| (step - black) / range);
        match &self.converter {
            Some(converter) => converter.convert(pixel),
            None => pixel.map(to_byte),
        }
    }

    /// Converts a row of RGB or RGBA, whose pixels have the bytes given.
    fn convert_row(&self, row: &[u8], target: &mut [u8], pixel_bytes: usize) {
        target.copy_from_slice(row);
        for pixel in target.chunks_exact_mut(pixel_bytes) {
            let colour = self.convert([pixel[0], pixel[1], pixel[2]].map(f32::from));
            pixel[..3].copy_from_slice(&colour);
        }
    }
}

/// Reads an ICC profile.
pub(super) fn icc_profile(bytes: &[u8]) -> Result<ColorProfile, &'static str> {
    ColorProfile::new_from_slice(&with_needed_tags(bytes)).map_err(|_| "can't be read")
}

/// Makes a profile of primaries and a power.
pub(super) fn power_profile(curve: &PowerCurve) -> ColorProfile {
    let [white, red, green, blue] = curve.primaries.map(|[x, y]| Chromaticity::new(x, y));
    let mut profile = ColorProfile::new_srgb();
    profile.update_rgb_colorimetry(white.to_xyyb(), ColorPrimaries { red, green, blue });
    let curve = ToneReprCurve::Parametric(vec![curve.power]);
    profile.red_trc = Some(curve.clone());
    profile.green_trc = Some(curve.clone());
    profile.blue_trc = Some(curve);
    profile
}

/// Prepares a conversion by a profile. Returns `None` if the profile is sRGB in all but name.
///
/// Greys with a profile for colours are colours whose three samples are the same, as in browsers.
fn by_profile(from: Channels, source: &ColorProfile) -> Result<Option<Method>, &'static str> {
    let is_grey = matches!(from, Channels::Grey | Channels::GreyAlpha);
    let (layout, target) = match (from, source.color_space) {
        (Channels::Grey, DataColorSpace::Gray) => (Layout::Gray, Layout::Rgb),
        (Channels::GreyAlpha, DataColorSpace::Gray) => (Layout::GrayAlpha, Layout::Rgba),
        (Channels::Rgba, DataColorSpace::Rgb) => (Layout::Rgba, Layout::Rgba),
        (_, DataColorSpace::Rgb) if is_grey || from == Channels::Rgb => (Layout::Rgb, Layout::Rgb),
        (Channels::Cmyk, DataColorSpace::Cmyk) => (Layout::Rgba, Layout::Rgb),
        _ => return Err("is for other kinds of pixels"),
    };
    let srgb = ColorProfile::new_srgb();
    let transform = source
        .create_transform_8bit(layout, &srgb, target, TransformOptions::default())
        .map_err(|_| "can't be applied")?;
    let colours = if layout == Layout::Rgba { 4 } else { 3 };
    if source.color_space == DataColorSpace::Rgb && is_identity(&*transform, colours) {
        return Ok(None);
    }
    if is_grey && layout == Layout::Rgb {
        return Ok(Some(greys(|greys, colours| {
            // It fails only for rows of other lengths.
            let _ = transform.transform(greys, colours);
        })));
    }
    Ok(Some(Method::Transform(transform)))
}

/// Finds the colour of each grey by a conversion of rows of RGB.
fn greys(convert: impl Fn(&[u8], &mut [u8])) -> Method {
    let greys: Vec<u8> = (0..=u8::MAX).flat_map(|grey| [grey; 3]).collect();
    let mut colours = Box::new([[0; 3]; 256]);
    convert(&greys, colours.as_flattened_mut());
    Method::Greys(colours)
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
    use crate::codec::pixels::cicp::Cicp;

    const SRGB: [[f32; 2]; 4] = [[0.3127, 0.329], [0.64, 0.33], [0.3, 0.6], [0.15, 0.06]];

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
        let (conversion, note) = Conversion::new(Channels::Cmyk, Some(&p3));
        assert!(conversion.lacks_profile() && note.unwrap().contains("other kinds of pixels"));
        let (conversion, note) = Conversion::new(Channels::Rgb, Some(&Profile::TooLong));
        assert!(conversion.is_identity() && note.unwrap().contains("longer than 4 MiB"));
    }

    #[test]
    fn greys_with_a_profile_for_colours_are_colours() {
        let linear = PowerCurve { power: 1.0, primaries: SRGB };
        let wide = Profile::new(ColorProfile::new_pro_photo_rgb().encode().unwrap()).unwrap();
        for (profile, expected) in [(Profile::PowerCurve(linear), 188), (wide, 146)] {
            for from in [Channels::Grey, Channels::GreyAlpha] {
                let (conversion, note) = Conversion::new(from, Some(&profile));
                assert_eq!(note, None);
                let converted = conversion.apply([128, 77][..from.count()].to_vec(), 1);
                assert!(converted[0].abs_diff(expected) <= 1, "{from:?}: {converted:?}");
                assert_eq!(converted[..3], [converted[0]; 3]);
                assert_eq!(converted.get(3).copied(), from.has_alpha().then_some(77));
            }
        }
    }

    #[test]
    fn code_points_are_obeyed_in_their_range() {
        let code_points = |primaries, transfer, full_range| {
            let cicp = Cicp { primaries, transfer, matrix: 0, full_range };
            Profile::CodePoints(CodePoints { cicp, brightest: None })
        };
        for (profile, from, to) in [
            (code_points(1, 13, true), [9, 128, 200], [9, 128, 200]),
            (code_points(1, 13, false), [16, 128, 235], [0, 130, 255]),
            (code_points(12, 13, true), [255, 128, 0], [255, 118, 0]),
            (code_points(1, 8, true), [0, 55, 255], [0, 128, 255]),
        ] {
            let (conversion, note) = Conversion::new(Channels::Rgb, Some(&profile));
            let converted = conversion.apply(from.to_vec(), 1);
            let is_near = converted.iter().zip(to).all(|(is, must)| is.abs_diff(must) <= 1);
            assert!(is_near && note.is_none(), "{profile:?}: {converted:?}");
        }
        let pq = code_points(9, 16, true);
        for from in [Channels::Rgba, Channels::Grey] {
            let (conversion, note) = Conversion::new(from, Some(&pq));
            assert_eq!(note.as_deref(), Some(HDR_NOTE));
            let white = conversion.apply(vec![148; from.count()], 1);
            assert!(white[0] > 215 && white[0] < 250, "{white:?}");
        }
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

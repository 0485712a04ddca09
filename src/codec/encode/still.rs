//! Encodes still pictures: the image itself, lossy or lossless, and its renditions.

use std::borrow::Cow;
use std::collections::HashSet;

use image::DynamicImage;

use super::rendition::{Rendered, keep_smaller};
use super::webp::{self, Effort, LosslessLevel, LossySource};
use crate::codec::error::CodecError;
use crate::codec::memory::give_back_freed;
use crate::codec::pixels::resize::{self, Shrinker, fit_within};
use crate::codec::settings::{Lossless, Settings};

/// Most colours of a picture that [`Lossless::Auto`] tries to encode lossless. With more, lossy
/// would win, and trying is slow.
const MAX_AUTO_LOSSLESS_COLOURS: usize = 1024;

/// Most pixels of a picture that [`Lossless::Auto`] tries to encode lossless, which takes much
/// memory (`LOSSLESS_BYTES_PER_PIXEL` in `estimate`).
pub(crate) const MAX_AUTO_LOSSLESS_PIXELS: u64 = 10_000_000;

/// Least quality that a JPEG is stored at, so as not to take more bytes than the JPEG itself.
const LEAST_QUALITY: u8 = 5;

/// A fast lossless attempt with more than this many tenths of the bytes of lossy is not followed by
/// a thorough one.
///
/// Among some hundred pictures, those with few colours that end up smaller lossless were at most
/// 2.4 times as large after the fast attempt. Of a copy less is to be gained.
const fn most_quick_tenths(effort: Effort) -> usize {
    match effort {
        Effort::Normal => 30,
        Effort::Fast => 15,
    }
}

/// Scales a picture down if its longer side has more than `longest_side` pixels.
pub(crate) fn shrink_to_fit(
    picture: DynamicImage,
    longest_side: u32,
) -> Result<DynamicImage, CodecError> {
    let size = (picture.width(), picture.height());
    let (width, height) = fit_within(size, longest_side);
    if (width, height) == size { Ok(picture) } else { resize::shrink(picture, width, height) }
}

/// What an image's source says of how to encode the image.
#[derive(Clone, Copy)]
pub(crate) struct StillSource {
    /// Whether it is stored without loss.
    pub(crate) lossless: bool,
    /// Length that a lossy image is not to exceed, in bytes: that of a JPEG.
    pub(crate) most_bytes: Option<usize>,
}

/// An encoded still picture.
pub(crate) struct EncodedStill {
    pub(crate) webp: Vec<u8>,
    /// See [`encode_renditions`].
    pub(crate) renditions: Vec<Rendered>,
    /// What the user should know.
    pub(crate) note: Option<String>,
}

/// How to encode a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Lossy {
        quality: u8,
    },
    Lossless,
    /// Whichever of both is smaller.
    Smaller {
        quality: u8,
    },
}

impl Coding {
    fn of(picture: &DynamicImage, source: StillSource, settings: &Settings) -> Self {
        let quality = settings.quality;
        let pixels = u64::from(picture.width()) * u64::from(picture.height());
        match settings.lossless {
            Lossless::Always => Self::Lossless,
            Lossless::Auto
                if source.lossless
                    && pixels <= MAX_AUTO_LOSSLESS_PIXELS
                    && has_few_colours(picture) =>
            {
                Self::Smaller { quality }
            }
            Lossless::Auto | Lossless::Never => Self::Lossy { quality },
        }
    }
}

/// Encodes a picture and its renditions. [`Lossless::Auto`] takes whichever of lossy and lossless
/// is smaller.
pub(crate) fn encode(
    picture: DynamicImage,
    source: StillSource,
    settings: &Settings,
) -> Result<EncodedStill, CodecError> {
    let coding = Coding::of(&picture, source, settings);
    let Coding::Lossy { quality } = coding else {
        let (webp, coding) = encode_as(Cow::Borrowed(&picture), coding, Effort::Normal, settings)?;
        let copies = Copies::new(&picture, settings)?;
        let renditions = copies.encode(coding, (webp.len() as u64, &[]), settings)?;
        return Ok(EncodedStill { webp, renditions, note: None });
    };
    // The picture gives its memory to the encoder, so the copies are prepared first.
    let copies = Copies::new(&picture, settings)?;
    let pixels = LossySource::new(Cow::Owned(picture), settings.sharp_yuv);
    let mut webp = pixels.encode(quality, Effort::Normal)?;
    let (mut used, mut note) = (quality, None);
    if let Some(most) = source.most_bytes.filter(|most| *most < webp.len()) {
        note = Some(match encode_within(&pixels, quality, most)? {
            Some((smaller, lower)) => {
                (webp, used) = (smaller, lower);
                format!("stored at quality {lower}: at {quality} it would be larger than the JPEG")
            }
            None => "larger than the JPEG".into(),
        });
    }
    drop(pixels);
    let coding = Coding::Lossy { quality: used };
    let renditions = copies.encode(coding, (webp.len() as u64, &[]), settings)?;
    Ok(EncodedStill { webp, renditions, note })
}

/// Encodes the renditions of a stored image, which was made of `picture`. `stored` is the length of
/// the image in bytes, and widths and lengths of the renditions that it has.
///
/// A copy that is not smaller than the next larger one, or than the image, is empty: nobody would
/// gain by it. Returns them ascending in width.
pub(crate) fn encode_renditions(
    picture: &DynamicImage,
    source: StillSource,
    stored: (u64, &[(u16, u64)]),
    settings: &Settings,
) -> Result<Vec<Rendered>, CodecError> {
    let coding = Coding::of(picture, source, settings);
    Copies::new(picture, settings)?.encode(coding, stored, settings)
}

/// The copies of a picture that are to be encoded, each made from the next larger one.
struct Copies<'s> {
    /// Their widths, ascending.
    widths: &'s [u16],
    /// The largest copy and what makes the others; `None` without any.
    largest: Option<(DynamicImage, Shrinker)>,
}

impl<'s> Copies<'s> {
    fn new(picture: &DynamicImage, settings: &'s Settings) -> Result<Self, CodecError> {
        let smaller = |width: &u16| u32::from(*width) < picture.width();
        let widths = &settings.renditions[..settings.renditions.partition_point(smaller)];
        let Some(largest) = widths.last() else { return Ok(Self { widths, largest: None }) };
        let mut shrinker = Shrinker::new(picture, u32::from(*largest))?;
        let copy = shrinker.copy(u32::from(*largest))?;
        // The image itself is encoded next, and needs the memory.
        give_back_freed(picture.as_bytes().len() as u64);
        Ok(Self { widths, largest: Some((copy, shrinker)) })
    }

    /// Encodes all copies.
    fn encode(
        self,
        coding: Coding,
        (image_bytes, present): (u64, &[(u16, u64)]),
        settings: &Settings,
    ) -> Result<Vec<Rendered>, CodecError> {
        let Some((copy, mut shrinker)) = self.largest else { return Ok(Vec::new()) };
        let mut largest = Some(copy);
        let mut renditions = Vec::new();
        for width in self.widths.iter().rev() {
            let copy = match largest.take() {
                Some(copy) => copy,
                None => shrinker.copy(u32::from(*width))?,
            };
            renditions
                .push((*width, encode_as(Cow::Owned(copy), coding, Effort::Fast, settings)?.0));
        }
        renditions.reverse();
        keep_smaller(image_bytes, present, &mut renditions);
        Ok(renditions)
    }
}

/// Encodes a picture, and says whether that was done with or without loss.
fn encode_as(
    picture: Cow<'_, DynamicImage>,
    coding: Coding,
    effort: Effort,
    settings: &Settings,
) -> Result<(Vec<u8>, Coding), CodecError> {
    let quality = match coding {
        Coding::Lossless => {
            let webp = webp::encode_lossless(&picture, LosslessLevel::Normal)?;
            return Ok((webp, coding));
        }
        Coding::Lossy { quality } => {
            let pixels = LossySource::new(picture, settings.sharp_yuv);
            return Ok((pixels.encode(quality, effort)?, coding));
        }
        Coding::Smaller { quality } => quality,
    };
    let lossy =
        LossySource::new(Cow::Borrowed(&picture), settings.sharp_yuv).encode(quality, effort)?;
    let with_loss = Coding::Lossy { quality };
    let quick = webp::encode_lossless(&picture, LosslessLevel::Quick)?;
    if quick.len() * 10 > most_quick_tenths(effort) * lossy.len() {
        return Ok((lossy, with_loss));
    }
    let lossless = webp::encode_lossless(&picture, LosslessLevel::Normal)?;
    Ok(if lossless.len() <= lossy.len() { (lossless, coding) } else { (lossy, with_loss) })
}

/// Encodes a picture at the highest quality below `quality` that takes at most `most` bytes, as far
/// as some attempts find it.
fn encode_within(
    pixels: &LossySource<'_>,
    quality: u8,
    most: usize,
) -> Result<Option<(Vec<u8>, u8)>, CodecError> {
    let (mut fits, mut too_large) = (LEAST_QUALITY, quality);
    let mut best = None;
    while fits < too_large {
        let tried = fits.midpoint(too_large);
        let webp = pixels.encode(tried, Effort::Normal)?;
        if webp.len() <= most {
            best = Some((webp, tried));
            fits = tried + 4;
        } else {
            too_large = tried.saturating_sub(3);
        }
    }
    Ok(best)
}

fn has_few_colours(picture: &DynamicImage) -> bool {
    let mut colours = HashSet::new();
    let mut last = None;
    let mut is_new = |colour: [u8; 4]| {
        if last != Some(colour) {
            last = Some(colour);
            colours.insert(colour);
        }
        colours.len() > MAX_AUTO_LOSSLESS_COLOURS
    };
    let too_many = match picture {
        DynamicImage::ImageRgba8(rgba) => rgba.pixels().any(|pixel| is_new(pixel.0)),
        _ => picture.as_bytes().as_chunks().0.iter().any(|[r, g, b]| is_new([*r, *g, *b, 255])),
    };
    !too_many
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    #[test]
    fn copies_of_a_drawing_are_stored_without_loss_where_that_is_smaller() {
        let stripes = RgbImage::from_fn(1280, 400, |x, y| {
            Rgb(if (x / 64 + y / 40) % 3 == 0 { [250, 250, 250] } else { [0, 60, 160] })
        });
        let settings =
            |lossless| Settings { lossless, renditions: vec![640], ..Settings::default() };
        let is_lossless = |source_lossless, lossless| {
            let source = StillSource { lossless: source_lossless, most_bytes: None };
            let stored = (u64::MAX, &[] as &[(u16, u64)]);
            let picture = DynamicImage::from(stripes.clone());
            let renditions = encode_renditions(&picture, source, stored, &settings(lossless));
            renditions.unwrap()[0].1[12..].starts_with(b"VP8L")
        };
        assert!(is_lossless(true, Lossless::Auto));
        assert!(!is_lossless(false, Lossless::Auto));
        assert!(!is_lossless(true, Lossless::Never));
        assert!(is_lossless(false, Lossless::Always));
    }
}

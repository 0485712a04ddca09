//! Encodes still pictures: the image itself, lossy or lossless, and its renditions.

use std::collections::HashSet;

use image::DynamicImage;

use super::webp::{self, Effort};
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

/// A fast lossless attempt this many times as large as lossy is not followed by a thorough one.
///
/// Among some hundred pictures, those with few colours that end up smaller lossless were at most
/// 2.4 times as large after the fast attempt.
const MAX_QUICK_LOSSLESS_RATIO: usize = 3;

/// Scales a picture down if its longer side has more than `longest_side` pixels.
pub(crate) fn shrink_to_fit(
    picture: DynamicImage,
    longest_side: u32,
) -> Result<DynamicImage, CodecError> {
    let size = (picture.width(), picture.height());
    let (width, height) = fit_within(size, longest_side);
    if (width, height) == size { Ok(picture) } else { resize::shrink(picture, width, height) }
}

/// Encodes the renditions, each made from the next larger one. Returns them ascending in width.
pub(crate) fn encode_renditions(
    picture: &DynamicImage,
    settings: &Settings,
) -> Result<Vec<(u16, Vec<u8>)>, CodecError> {
    let mut shrinker = None;
    let mut renditions = Vec::new();
    for width in
        settings.renditions.iter().rev().filter(|width| u32::from(**width) < picture.width())
    {
        let wide = u32::from(*width);
        let shrinker = match &mut shrinker {
            Some(shrinker) => shrinker,
            none => none.insert(Shrinker::new(picture, wide)?),
        };
        let copy = shrinker.copy(wide)?;
        let webp = match settings.lossless {
            Lossless::Always => webp::encode_lossless(&copy, Effort::Normal)?,
            Lossless::Auto | Lossless::Never => webp::encode(copy, settings.quality, Effort::Fast)?,
        };
        renditions.push((*width, webp));
    }
    renditions.reverse();
    drop(shrinker);
    // The image itself is encoded next, and needs the memory.
    give_back_freed(picture.as_bytes().len() as u64);
    Ok(renditions)
}

/// Encodes the image itself. [`Lossless::Auto`] takes whichever of lossy and lossless is smaller.
pub(crate) fn encode(
    picture: DynamicImage,
    lossless_source: bool,
    settings: &Settings,
) -> Result<Vec<u8>, CodecError> {
    let pixels = u64::from(picture.width()) * u64::from(picture.height());
    match settings.lossless {
        Lossless::Always => webp::encode_lossless(&picture, Effort::Normal),
        Lossless::Auto
            if lossless_source
                && pixels <= MAX_AUTO_LOSSLESS_PIXELS
                && has_few_colours(&picture) =>
        {
            let lossy = webp::encode(picture.clone(), settings.quality, Effort::Normal)?;
            if webp::encode_lossless(&picture, Effort::Fast)?.len()
                > MAX_QUICK_LOSSLESS_RATIO * lossy.len()
            {
                return Ok(lossy);
            }
            let lossless = webp::encode_lossless(&picture, Effort::Normal)?;
            Ok(if lossless.len() <= lossy.len() { lossless } else { lossy })
        }
        Lossless::Auto | Lossless::Never => webp::encode(picture, settings.quality, Effort::Normal),
    }
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

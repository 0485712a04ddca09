//! The way of one picture through the codec: recognised, weighed, decoded, made upright and sRGB, encoded.

use std::collections::HashSet;

use image::DynamicImage;

use super::animation::{self, Animation, Frames as _, Wanted, fitting, scaled_down_note};
use super::colour::Conversion;
use super::decode::{checked_header, decode, is_animation, open_frames, recognise};
use super::features::Features;
use super::guard::guard;
use super::limits::{Limits, Timer};
use super::memory::give_back_freed;
use super::raster::{Channels, Raster, without_needless_alpha};
use super::resize::{self, Shrinker, scaled_height};
use super::riff::Container;
use super::sniff::Format;
use super::webp::{self, Effort, WebPFrames};
use super::{CodecError, Converted, Header, Lossless, MAX_WEBP_SIDE, Settings};

/// Sources with more colours are not tried without loss by [`Lossless::Auto`]: lossy would win, and trying is slow.
const FEW_COLOURS: usize = 1024;

/// Nor are larger ones: it takes [`LOSSLESS_BYTES_PER_PIXEL`].
const AUTO_LOSSLESS_PIXELS: u64 = 10_000_000;

/// When a quick attempt without loss is this many times as large as lossy, a thorough one is not made. Of the pictures with few
/// colours among some hundred, those that are smaller without loss were at most 2.4 times as large after the quick attempt.
const HOPELESS_LOSSLESS: usize = 3;

/// What encoders take beside the picture itself, in bytes a pixel, rounded up from the peaks of whole imports (`VmHWM`) of
/// pictures with 8 million pixels: 39 with noise for alpha, 34 for the same without loss, 41 for the canvas of an animation. A copy
/// is kept while both ways are tried.
/// Opaque pictures are encoded within the memory of their own pixels, see `yuv`.
const LOSSY_ALPHA_BYTES_PER_PIXEL: u64 = 40;
const LOSSLESS_BYTES_PER_PIXEL: u64 = 40;
const ANIMATION_BYTES_PER_PIXEL: u64 = 48;

/// The memory that [`convert`] or [`render`] will take at its peak, in bytes, the source included, from its headers.
///
/// # Errors
/// When it is no picture, or breaks a limit.
pub fn memory_bytes(
    source: &[u8],
    settings: &Settings,
    limits: &Limits,
    timer: &Timer,
) -> Result<u64, CodecError> {
    let format = recognise(source)?;
    guard(format, || {
        let header = checked_header(source, format, limits, timer)?;
        let needed = estimate(&header, settings).saturating_add(source.len() as u64);
        if needed > limits.memory_bytes {
            let Header { width, height, .. } = header;
            return Err(CodecError::TooMuchMemory {
                width,
                height,
                needed,
                limit: limits.memory_bytes,
            });
        }
        Ok(needed)
    })
}

/// Converts a source, recognised by its content; call [`memory_bytes`] before.
///
/// # Errors
/// Why it can't be converted. Decoders that panic are caught and lose this source only.
pub fn convert(
    source: Vec<u8>,
    settings: &Settings,
    limits: &Limits,
    timer: &Timer,
) -> Result<Converted, CodecError> {
    let format = recognise(&source)?;
    guard(format, || {
        let header = checked_header(&source, format, limits, timer)?;
        if format == Format::WebP {
            return take_over(source, &header, settings, timer);
        }
        let mut broken_animation = false;
        if header.frames > 1 {
            let wanted = Wanted { whole: true, widths: &settings.renditions };
            match encode_animation(&source, format, &header, settings, &wanted, timer) {
                Ok(animation) => return from_animation(animation, format),
                // A PNG has a picture for programs that know of no animations.
                Err(CodecError::Decode { .. } | CodecError::Container(_))
                    if format == Format::Png =>
                {
                    broken_animation = true;
                }
                Err(error) => return Err(error),
            }
        }
        let mut longest_side = MAX_WEBP_SIDE;
        loop {
            let mut raster = timer.time(|| decode(&source, format, &header, limits, timer))?;
            if broken_animation {
                raster.partial = true;
                raster.notes.push("its animation is broken: this is its still picture".into());
            }
            match from_raster(raster, format, header.lossless, settings, longest_side) {
                // So large a picture is decoded again rather than kept beside what is made of it.
                Err(error) if webp::is_too_detailed(&error) && longest_side > 1000 => {
                    longest_side = longest_side.min(header.width.max(header.height)) / 8 * 7;
                }
                done => return done,
            }
        }
    })
}

/// The renditions of a source at the widths of `settings`, without the image itself.
///
/// # Errors
/// As [`convert`].
pub fn render(
    source: &[u8],
    settings: &Settings,
    limits: &Limits,
    timer: &Timer,
) -> Result<Vec<(u16, Vec<u8>)>, CodecError> {
    let format = recognise(source)?;
    guard(format, || {
        let header = checked_header(source, format, limits, timer)?;
        if is_animation(source, format, &header) {
            let wanted = Wanted { whole: false, widths: &settings.renditions };
            let animation = encode_animation(source, format, &header, settings, &wanted, timer)?;
            return Ok(animation.renditions);
        }
        let raster = timer.time(|| decode(source, format, &header, limits, timer))?;
        let picture = fit(without_needless_alpha(raster.upright().0), MAX_WEBP_SIDE)?;
        renditions(&picture, settings)
    })
}

/// Decodes a source whole and drops the pixels: what [`convert`] would say of it, without the encoding. Width and height,
/// upright.
///
/// # Errors
/// As [`convert`].
pub fn probe(source: &[u8], limits: &Limits) -> Result<(u32, u32), CodecError> {
    let format = recognise(source)?;
    let timer = Timer::new(limits.decode_time);
    guard(format, || {
        let header = checked_header(source, format, limits, &timer)?;
        if is_animation(source, format, &header) {
            let mut frames = open_frames(source, format, &header, &timer)?;
            while timer.time(|| frames.next())?.is_some() {}
            return Ok((header.width, header.height));
        }
        let raster = timer.time(|| decode(source, format, &header, limits, &timer))?;
        let picture = raster.upright().0;
        Ok((picture.width(), picture.height()))
    })
}

/// Memory beside the source, in bytes.
fn estimate(header: &Header, settings: &Settings) -> u64 {
    let (width, height) = (header.width, header.height);
    let pixels = u64::from(width) * u64::from(height);
    let smaller = |rendition: &&u16| u32::from(**rendition) < width.max(height);
    let largest = settings.renditions.iter().rev().find(smaller).map(|largest| u32::from(*largest));
    let shrinking =
        largest.map_or(0, |largest| Shrinker::memory_bytes(width, height, largest, header.alpha));
    if header.frames > 1 {
        let sizes = settings.renditions.iter().filter(smaller).map(|rendition| {
            let rendition = u32::from(*rendition);
            u64::from(rendition) * u64::from(scaled_height(width, height, rendition))
        });
        let encoded = (pixels + sizes.sum::<u64>()) * ANIMATION_BYTES_PER_PIXEL;
        return header.decode_bytes.saturating_add(8 * pixels + shrinking + encoded);
    }
    let picture = pixels * if header.alpha { 4 } else { 3 };
    let lossless = match settings.lossless {
        Lossless::Always => true,
        Lossless::Auto => header.lossless && pixels <= AUTO_LOSSLESS_PIXELS,
        Lossless::Never => false,
    };
    let encoding = match (lossless, header.alpha) {
        (true, _) => pixels * LOSSLESS_BYTES_PER_PIXEL,
        (false, true) => pixels * LOSSY_ALPHA_BYTES_PER_PIXEL,
        (false, false) => 0,
    };
    let (_, fitting_height) = fitting((width, height), MAX_WEBP_SIDE);
    let fitting = resize::shrink_bytes(width, height, fitting_height, header.alpha);
    header.decode_bytes.max(picture + encoding.max(shrinking).max(fitting))
}

fn encode_animation(
    source: &[u8],
    format: Format,
    header: &Header,
    settings: &Settings,
    wanted: &Wanted<'_>,
    timer: &Timer,
) -> Result<Animation, CodecError> {
    let mut frames = open_frames(source, format, header, timer)?;
    animation::encode(&mut *frames, (header.width, header.height), settings, wanted, timer)
}

fn from_animation(animation: Animation, format: Format) -> Result<Converted, CodecError> {
    let Animation { webp, renditions, width, height, features, partial, notes } = animation;
    let header = webp::header(&webp)?;
    Ok(Converted {
        webp,
        format,
        width,
        height,
        frames: header.frames,
        alpha: header.alpha,
        thumbhash: features.thumbhash,
        color: features.color,
        perceptual_hash: features.perceptual_hash,
        renditions,
        partial,
        notes,
    })
}

fn from_raster(
    raster: Raster,
    format: Format,
    lossless_source: bool,
    settings: &Settings,
    longest_side: u32,
) -> Result<Converted, CodecError> {
    let mut partial = raster.partial;
    let (picture, mut notes) = raster.upright();
    let size = (picture.width(), picture.height());
    let picture = fit(without_needless_alpha(picture), longest_side)?;
    if size != (picture.width(), picture.height()) {
        partial = true;
        notes.push(scaled_down_note(size, longest_side));
    }
    let features = Features::of(&picture);
    let renditions = renditions(&picture, settings)?;
    let (width, height) = (picture.width(), picture.height());
    let alpha = picture.color().has_alpha();
    Ok(Converted {
        webp: encode(picture, lossless_source, settings)?,
        format,
        width,
        height,
        frames: 1,
        alpha,
        thumbhash: features.thumbhash,
        color: features.color,
        perceptual_hash: features.perceptual_hash,
        renditions,
        partial,
        notes,
    })
}

/// Scales a picture down whose longer side has more pixels.
fn fit(picture: DynamicImage, longest_side: u32) -> Result<DynamicImage, CodecError> {
    let size = (picture.width(), picture.height());
    let (width, height) = fitting(size, longest_side);
    if (width, height) == size { Ok(picture) } else { resize::shrink(picture, width, height) }
}

/// Ascending in width; each is made from the next larger one.
fn renditions(
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
            Lossless::Always => webp::encode_lossless(&copy, Effort::Usual)?,
            Lossless::Auto | Lossless::Never => {
                webp::encode(copy, settings.quality, Effort::Quick)?
            }
        };
        renditions.push((*width, webp));
    }
    renditions.reverse();
    drop(shrinker);
    // The picture itself is encoded next.
    give_back_freed(picture.as_bytes().len() as u64);
    Ok(renditions)
}

fn encode(
    picture: DynamicImage,
    lossless_source: bool,
    settings: &Settings,
) -> Result<Vec<u8>, CodecError> {
    let pixels = u64::from(picture.width()) * u64::from(picture.height());
    match settings.lossless {
        Lossless::Always => webp::encode_lossless(&picture, Effort::Usual),
        Lossless::Auto
            if lossless_source && pixels <= AUTO_LOSSLESS_PIXELS && has_few_colours(&picture) =>
        {
            let lossy = webp::encode(picture.clone(), settings.quality, Effort::Usual)?;
            if webp::encode_lossless(&picture, Effort::Quick)?.len()
                > HOPELESS_LOSSLESS * lossy.len()
            {
                return Ok(lossy);
            }
            let lossless = webp::encode_lossless(&picture, Effort::Usual)?;
            Ok(if lossless.len() <= lossy.len() { lossless } else { lossy })
        }
        Lossless::Auto | Lossless::Never => webp::encode(picture, settings.quality, Effort::Usual),
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
        colours.len() > FEW_COLOURS
    };
    let too_many = match picture {
        DynamicImage::ImageRgba8(rgba) => rgba.pixels().any(|pixel| is_new(pixel.0)),
        _ => picture.as_bytes().as_chunks().0.iter().any(|[r, g, b]| is_new([*r, *g, *b, 255])),
    };
    !too_many
}

/// Takes a WebP over byte for byte, less its metadata; one that must be turned, or whose colours are not sRGB, is encoded
/// anew. It is decoded whole all the same: a gallery holds nothing that does not decode.
fn take_over(
    source: Vec<u8>,
    header: &Header,
    settings: &Settings,
    timer: &Timer,
) -> Result<Converted, CodecError> {
    let format = Format::WebP;
    if webp::is_animation(&source) {
        let shown_as_stored = {
            let frames = WebPFrames::open(&source)?;
            let profile = frames.profile();
            is_shown_as_stored(&frames.orientation(), Channels::Rgba, profile.as_deref())
        };
        let wanted = Wanted { whole: !shown_as_stored, widths: &settings.renditions };
        let mut animation = encode_animation(&source, format, header, settings, &wanted, timer)?;
        if shown_as_stored {
            animation.webp = Container::parse(&source)?.without_metadata().into_owned();
        } else {
            animation.notes.push("encoded anew: upright and in sRGB".into());
        }
        return from_animation(animation, format);
    }
    let mut raster = timer.time(|| webp::decode(&source))?;
    let stored = Container::parse(&source)?.without_metadata().into_owned();
    let shown_as_stored =
        is_shown_as_stored(&raster.orientation, raster.channels, raster.profile.as_deref());
    if !shown_as_stored || !webp::is_demuxable(&stored) {
        let note = if shown_as_stored { "its container is broken" } else { "upright and in sRGB" };
        raster.notes.push(format!("encoded anew: {note}"));
        drop((source, stored));
        return from_raster(raster, format, header.lossless, settings, MAX_WEBP_SIDE);
    }
    let (picture, notes) = raster.upright();
    let picture = without_needless_alpha(picture);
    let features = Features::of(&picture);
    Ok(Converted {
        webp: stored,
        format,
        width: picture.width(),
        height: picture.height(),
        frames: 1,
        alpha: picture.color().has_alpha(),
        thumbhash: features.thumbhash,
        color: features.color,
        perceptual_hash: features.perceptual_hash,
        renditions: renditions(&picture, settings)?,
        partial: false,
        notes,
    })
}

/// Whether the stored pixels are those to be shown, as a browser without the profile would show them.
fn is_shown_as_stored(
    orientation: &image::metadata::Orientation,
    channels: Channels,
    profile: Option<&[u8]>,
) -> bool {
    *orientation == image::metadata::Orientation::NoTransforms
        && Conversion::new(channels, profile).0.is_identity()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings =
        Settings { quality: 75, lossless: Lossless::Auto, renditions: Vec::new() };

    /// Found by fuzzing: the sum once began anew behind 2^64, and the picture was let in.
    #[cfg(feature = "avif")]
    #[test]
    fn what_needs_all_memory_there_is_gets_none() {
        let source = include_bytes!("../../tests/data/boundless-tile.avif");
        let settings = Settings { renditions: vec![16], ..SETTINGS };
        let weighed = memory_bytes(
            source,
            &settings,
            &Limits::NONE,
            &Timer::new(Limits::default().decode_time),
        );
        assert!(weighed.is_ok_and(|needed| needed == u64::MAX));
    }

    /// Found by fuzzing: a picture without loss that goes on behind its chunk once was stored without its end.
    #[test]
    fn a_picture_must_end_in_its_chunk() {
        let source = include_bytes!("../../tests/data/beyond-its-chunk.webp");
        let limits = Limits::default();
        let converted =
            convert(source.to_vec(), &SETTINGS, &limits, &Timer::new(limits.decode_time));
        assert!(matches!(converted, Err(CodecError::Bitstream(_))), "{converted:?}");
    }
}

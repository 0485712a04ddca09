//! Takes one picture all the way: recognised, decoded, made upright and sRGB, and encoded.
//!
//! How much memory that takes is worked out in `estimate`, which decoders read what in `decode`.

use super::decode::{decode, is_animation, open_frames, read_header, recognise};
use super::encode::animation::{AnimationOutputs, EncodedAnimation};
use super::encode::rendition::{Rendered, keep_smaller};
use super::encode::riff::RiffContainer;
use super::encode::still::{EncodedStill, StillSource};
use super::encode::webp::{MAX_WEBP_SIDE, is_too_detailed, scaled_down_note};
use super::encode::{animation, still};
use super::error::CodecError;
use super::formats::webp;
use super::formats::webp::WebPFrames;
use super::guard::guard;
use super::header::Header;
use super::limits::DecodeLimits;
use super::pixels::channels::Channels;
use super::pixels::colour::Conversion;
use super::pixels::features::Features;
use super::pixels::frames::Frames as _;
use super::pixels::profile::Profile;
use super::pixels::raster::{Raster, Upright};
use super::pixels::rgb::drop_opaque_alpha;
use super::settings::Settings;
use super::sniff::PictureFormat;
use super::timer::Timer;
use super::unshown::unshown;

/// A source, converted to what a gallery keeps.
#[derive(Debug)]
pub struct Converted {
    /// The image.
    pub webp: Vec<u8>,
    /// Format of the source.
    pub format: PictureFormat,
    /// Width of the image, in pixels.
    pub width: u32,
    /// Height of the image, in pixels.
    pub height: u32,
    /// Number of frames of the image, in which repeated frames of a source are one.
    pub frames: u32,
    /// Whether any pixel is less than opaque.
    pub alpha: bool,
    /// See [`crate::image::ImageRecord::thumbhash`].
    pub thumbhash: Vec<u8>,
    /// See [`crate::image::ImageRecord::color`].
    pub color: [u8; 3],
    /// See [`crate::image::ImageRecord::perceptual_hash`].
    pub perceptual_hash: u64,
    /// Renditions: their widths, ascending, and their WebP; empty where a rendition would not be
    /// smaller than the next larger one, or than the image.
    pub renditions: Vec<Rendered>,
    /// Whether the source holds more than the image does, such as further pages, or more pixels
    /// than WebP can. A note says what.
    pub partial: bool,
    /// What the user should know of the conversion, such as that the picture was scaled down.
    pub notes: Vec<String>,
}

/// Converts a source, which is recognised by its content.
///
/// Call [`super::memory_bytes`] first: only that checks the memory of the whole conversion.
///
/// # Errors
/// Returns an error if the source can't be converted. A decoder that panics loses this source only.
pub fn convert(
    source: Vec<u8>,
    settings: &Settings,
    limits: &DecodeLimits,
    timer: &Timer,
) -> Result<Converted, CodecError> {
    let format = recognise(&source)?;
    let unshown = guard(format, || Ok(unshown(&source, format)))?;
    let mut converted = guard(format, || {
        let header = read_header(&source, format, limits, timer)?;
        if format == PictureFormat::WebP {
            return convert_webp(source, &header, settings, timer);
        }
        let mut broken_animation = false;
        if header.frames > 1 {
            let outputs = AnimationOutputs { whole: true, rendition_widths: &settings.renditions };
            match encode_animation(&source, format, &header, settings, &outputs, timer) {
                Ok(animation) => return converted_animation(animation, format),
                // A PNG also holds a still picture, for programs without animations.
                Err(
                    CodecError::Decode { .. } | CodecError::Container(_) | CodecError::Truncated(_),
                ) if format == PictureFormat::Png => {
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
            let still = StillSource {
                lossless: header.lossless,
                most_bytes: (format == PictureFormat::Jpeg).then_some(source.len()),
            };
            match convert_still(raster, format, still, settings, longest_side) {
                // Only large pictures come here: decoding again takes time, but keeping the pixels
                // beside their copies would take more memory.
                Err(error) if is_too_detailed(&error) && longest_side > 1000 => {
                    longest_side = longest_side.min(header.width.max(header.height)) / 8 * 7;
                }
                done => return done,
            }
        }
    })?;
    converted.partial |= !unshown.is_empty();
    converted.notes.extend(unshown);
    Ok(converted)
}

/// Makes the renditions of a source at the widths of `settings`, see [`Converted::renditions`].
///
/// The image itself, which takes `image_bytes`, is there, and so are the renditions that `present`
/// names by width and length in bytes.
///
/// # Errors
/// Returns the same errors as [`convert`].
pub fn render(
    source: &[u8],
    (image_bytes, present): (u64, &[(u16, u64)]),
    settings: &Settings,
    limits: &DecodeLimits,
    timer: &Timer,
) -> Result<Vec<Rendered>, CodecError> {
    let format = recognise(source)?;
    guard(format, || {
        let header = read_header(source, format, limits, timer)?;
        if is_animation(source, format, &header) {
            let outputs = AnimationOutputs { whole: false, rendition_widths: &settings.renditions };
            let animation = encode_animation(source, format, &header, settings, &outputs, timer)?;
            let mut renditions = animation.renditions;
            keep_smaller(image_bytes, present, &mut renditions);
            return Ok(renditions);
        }
        let raster = timer.time(|| decode(source, format, &header, limits, timer))?;
        let picture = still::shrink_to_fit(
            drop_opaque_alpha(raster.into_upright_srgb().picture),
            MAX_WEBP_SIDE,
        )?;
        let still = StillSource { lossless: header.lossless, most_bytes: None };
        still::encode_renditions(&picture, still, (image_bytes, present), settings)
    })
}

/// Decodes the whole source and drops the pixels, which shows whether [`convert`] would take it.
/// Returns width and height, upright.
///
/// # Errors
/// Returns the same errors as [`convert`], but for those of encoding.
pub fn probe(source: &[u8], limits: &DecodeLimits) -> Result<(u32, u32), CodecError> {
    probe_within(source, limits, &Timer::new(limits.decode_time))
}

/// As [`probe`], within the time that is left to `timer`.
///
/// # Errors
/// Returns the same errors as [`probe`].
pub fn probe_within(
    source: &[u8],
    limits: &DecodeLimits,
    timer: &Timer,
) -> Result<(u32, u32), CodecError> {
    let format = recognise(source)?;
    guard(format, || {
        let header = read_header(source, format, limits, timer)?;
        if is_animation(source, format, &header) {
            let mut frames = open_frames(source, format, &header, timer)?;
            while timer.time(|| frames.next())?.is_some() {}
            return Ok((header.width, header.height));
        }
        let raster = timer.time(|| decode(source, format, &header, limits, timer))?;
        let picture = raster.into_upright_srgb().picture;
        Ok((picture.width(), picture.height()))
    })
}

/// Decodes an animation and encodes it at the sizes asked for.
fn encode_animation(
    source: &[u8],
    format: PictureFormat,
    header: &Header,
    settings: &Settings,
    outputs: &AnimationOutputs<'_>,
    timer: &Timer,
) -> Result<EncodedAnimation, CodecError> {
    let mut frames = open_frames(source, format, header, timer)?;
    animation::encode(&mut *frames, (header.width, header.height), settings, outputs, timer)
}

/// Returns an encoded animation as the result of the conversion.
fn converted_animation(
    animation: EncodedAnimation,
    format: PictureFormat,
) -> Result<Converted, CodecError> {
    let EncodedAnimation { webp, mut renditions, width, height, features, partial, notes } =
        animation;
    keep_smaller(webp.len() as u64, &[], &mut renditions);
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

/// Converts a decoded still picture, scaled down if its longer side exceeds `longest_side`.
fn convert_still(
    raster: Raster,
    format: PictureFormat,
    source: StillSource,
    settings: &Settings,
    longest_side: u32,
) -> Result<Converted, CodecError> {
    let Upright { picture, mut partial, mut notes } = raster.into_upright_srgb();
    let size = (picture.width(), picture.height());
    let picture = still::shrink_to_fit(drop_opaque_alpha(picture), longest_side)?;
    if size != (picture.width(), picture.height()) {
        partial = true;
        notes.push(scaled_down_note(size, longest_side));
    }
    let features = Features::of(&picture);
    let (width, height) = (picture.width(), picture.height());
    let alpha = picture.color().has_alpha();
    let EncodedStill { webp, renditions, note } = still::encode(picture, source, settings)?;
    notes.extend(note);
    Ok(Converted {
        webp,
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

/// Keeps a WebP byte for byte, without its metadata.
///
/// One that must be turned, or whose colours are not sRGB, is encoded anew. It is decoded as a
/// whole in either case, because a gallery holds nothing that does not decode.
fn convert_webp(
    source: Vec<u8>,
    header: &Header,
    settings: &Settings,
    timer: &Timer,
) -> Result<Converted, CodecError> {
    let format = PictureFormat::WebP;
    if webp::is_animation(&source) {
        let shown_as_stored = {
            let frames = WebPFrames::open(&source)?;
            let profile = frames.profile();
            is_shown_as_stored(&frames.orientation(), Channels::Rgba, profile.as_ref())
        };
        let outputs =
            AnimationOutputs { whole: !shown_as_stored, rendition_widths: &settings.renditions };
        let mut animation = encode_animation(&source, format, header, settings, &outputs, timer)?;
        let container = RiffContainer::parse(&source)?;
        animation.notes.extend(webp::further_profiles_note(&container));
        if shown_as_stored {
            animation.webp = container.without_metadata().into_owned();
        } else {
            animation.notes.push("encoded anew: upright and in sRGB".into());
        }
        return converted_animation(animation, format);
    }
    let mut raster = timer.time(|| webp::decode(&source))?;
    let stored = RiffContainer::parse(&source)?.without_metadata().into_owned();
    drop(source);
    let still = StillSource { lossless: header.lossless, most_bytes: None };
    let shown_as_stored =
        is_shown_as_stored(&raster.orientation, raster.channels, raster.profile.as_ref());
    if !shown_as_stored || !webp::is_demuxable(&stored) {
        let note = if shown_as_stored { "its container is broken" } else { "upright and in sRGB" };
        raster.notes.push(format!("encoded anew: {note}"));
        drop(stored);
        return convert_still(raster, format, still, settings, MAX_WEBP_SIDE);
    }
    let Upright { picture, partial, notes } = raster.into_upright_srgb();
    let picture = drop_opaque_alpha(picture);
    let features = Features::of(&picture);
    let image_bytes = stored.len() as u64;
    let renditions = still::encode_renditions(&picture, still, (image_bytes, &[]), settings)?;
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
        renditions,
        partial,
        notes,
    })
}

/// Whether a browser shows the stored pixels correctly without orientation and colour profile.
fn is_shown_as_stored(
    orientation: &image::metadata::Orientation,
    channels: Channels,
    profile: Option<&Profile>,
) -> bool {
    *orientation == image::metadata::Orientation::NoTransforms
        && Conversion::new(channels, profile).0.is_identity()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fuzzing found a lossless picture that goes on behind its chunk; it was stored without its
    /// end.
    #[test]
    fn a_picture_must_end_in_its_chunk() {
        let source = include_bytes!("../../tests/data/beyond-its-chunk.webp");
        let limits = DecodeLimits::default();
        let converted = convert(
            source.to_vec(),
            &Settings::default(),
            &limits,
            &Timer::new(limits.decode_time),
        );
        assert!(matches!(converted, Err(CodecError::Bitstream(_))), "{converted:?}");
    }
}

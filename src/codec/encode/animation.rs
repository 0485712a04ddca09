//! Encodes animations frame by frame, at every size at once.
//!
//! Frames are decoded one at a time, so that memory never holds all of them uncompressed.

use image::DynamicImage;
use webpx::AnimationEncoder;

use super::rendition::Rendered;
use super::still::shrink_to_fit;
use super::webp::MAX_WEBP_SIDE;
use super::webp::{encoding_error, scaled_down_note};
use crate::codec::error::CodecError;
use crate::codec::pixels::channels::Channels;
use crate::codec::pixels::colour::Conversion;
use crate::codec::pixels::features::Features;
use crate::codec::pixels::frames::Frames;
use crate::codec::pixels::orientation::apply_orientation;
use crate::codec::pixels::resize::fit_within;
use crate::codec::pixels::resize::{Shrinker, scaled_height};
use crate::codec::pixels::rgb::from_pixels;
use crate::codec::settings::{Lossless, Settings};
use crate::codec::timer::Timer;

/// An encoded animation.
pub(crate) struct EncodedAnimation {
    /// The animation at its own size; empty unless it was asked for.
    pub(crate) webp: Vec<u8>,
    /// Renditions: their widths, ascending, and their WebP.
    pub(crate) renditions: Vec<Rendered>,
    /// Width of the animation at its own size, in pixels.
    pub(crate) width: u32,
    /// Height of the animation at its own size, in pixels.
    pub(crate) height: u32,
    /// Features of the first frame.
    pub(crate) features: Features,
    /// Whether the image does not show all of the source.
    pub(crate) partial: bool,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

/// What to encode an animation as.
pub(crate) struct AnimationOutputs<'w> {
    /// Whether to encode the animation at its own size.
    pub(crate) whole: bool,
    /// Widths of the renditions, ascending. Those not smaller than the animation are left out.
    pub(crate) rendition_widths: &'w [u16],
}

/// Decodes all frames and encodes them, upright and in sRGB, at every size asked for.
pub(crate) fn encode(
    frames: &mut dyn Frames,
    (width, height): (u32, u32),
    settings: &Settings,
    outputs: &AnimationOutputs<'_>,
    timer: &Timer,
) -> Result<EncodedAnimation, CodecError> {
    let mut encoders: Option<Vec<SizedEncoder>> = None;
    let mut conversion = None;
    let mut lacks_profile = false;
    let mut features = None;
    let mut notes = Vec::new();
    let mut size = (width, height);
    let mut time_ms = 0_i32;
    while let Some(frame) = timer.time(|| frames.next())? {
        let conversion = conversion.get_or_insert_with(|| {
            let profile = frames.profile();
            let (conversion, note) = Conversion::new(Channels::Rgba, profile.as_ref());
            lacks_profile = conversion.lacks_profile();
            notes.extend(note);
            conversion
        });
        let picture = from_pixels(width, height, conversion.apply(frame.rgba, width as usize));
        let picture = apply_orientation(picture, frames.orientation());
        if features.is_none() {
            size = (picture.width(), picture.height());
            if fit_within(size, MAX_WEBP_SIDE) != size {
                notes.push(scaled_down_note(size, MAX_WEBP_SIDE));
            }
            features = Some(Features::of(&picture));
        }
        let picture = shrink_to_fit(picture, MAX_WEBP_SIDE)?;
        let encoders = match &mut encoders {
            Some(encoders) => encoders,
            none => none.insert(SizedEncoder::for_each_size(
                size,
                settings,
                outputs,
                frames.loop_count(),
            )?),
        };
        add_frame(encoders, &picture, time_ms)?;
        // Players stop at a frame without duration.
        let duration = i32::try_from(frame.duration_ms.max(1)).unwrap_or(i32::MAX);
        time_ms = time_ms.saturating_add(duration);
    }
    let features = features.ok_or(CodecError::Container("it has no picture in it"))?;
    let (width, height) = fit_within(size, MAX_WEBP_SIDE);
    let (mut webp, mut renditions) = (Vec::new(), Vec::new());
    for encoder in encoders.unwrap_or_default() {
        let encoded = encoder.encoder.finish(time_ms).map_err(encoding_error)?;
        match encoder.rendition {
            Some(width) => renditions.push((width, encoded)),
            None => webp = encoded,
        }
    }
    renditions.reverse();
    let damage = frames.damage();
    let partial = !damage.is_empty() || lacks_profile || (width, height) != size;
    notes.extend(frames.notes());
    notes.extend(damage);
    Ok(EncodedAnimation { webp, renditions, width, height, features, partial, notes })
}

/// The encoder of one size of an animation.
struct SizedEncoder {
    encoder: AnimationEncoder,
    width: u32,
    /// Width of the rendition, or `None` for the animation at its own size.
    rendition: Option<u16>,
}

impl SizedEncoder {
    /// Returns an encoder for every size, from wide to narrow.
    fn for_each_size(
        size: (u32, u32),
        settings: &Settings,
        outputs: &AnimationOutputs<'_>,
        loop_count: u16,
    ) -> Result<Vec<Self>, CodecError> {
        let (width, height) = fit_within(size, MAX_WEBP_SIDE);
        let whole = outputs.whole.then_some((None, width, height));
        let smaller = outputs
            .rendition_widths
            .iter()
            .rev()
            .filter(|smaller| u32::from(**smaller) < width)
            .map(|smaller| {
                let smaller_width = u32::from(*smaller);
                (Some(*smaller), smaller_width, scaled_height(width, height, smaller_width))
            });
        let encoder = |(rendition, width, height)| {
            // In mixed mode each frame is stored as whichever of lossy and lossless is smaller.
            let mixed = settings.lossless == Lossless::Auto;
            let mut encoder =
                AnimationEncoder::with_options(width, height, mixed, u32::from(loop_count))
                    .map_err(encoding_error)?;
            encoder.set_quality(f32::from(settings.quality));
            encoder.set_lossless(settings.lossless == Lossless::Always);
            Ok(Self { encoder, width, rendition })
        };
        whole.into_iter().chain(smaller).map(encoder).collect()
    }
}

/// Adds a frame to every encoder, scaled to its size.
fn add_frame(
    encoders: &mut [SizedEncoder],
    picture: &DynamicImage,
    time_ms: i32,
) -> Result<(), CodecError> {
    let mut shrinker: Option<Shrinker> = None;
    for encoder in encoders {
        let result = if encoder.width == picture.width() {
            encoder.encoder.add_frame_rgba(picture.as_bytes(), time_ms)
        } else {
            let shrinker = match &mut shrinker {
                Some(shrinker) => shrinker,
                none => none.insert(Shrinker::new(picture, encoder.width)?),
            };
            encoder.encoder.add_frame_rgba(shrinker.copy(encoder.width)?.as_bytes(), time_ms)
        };
        result.map_err(encoding_error)?;
    }
    Ok(())
}

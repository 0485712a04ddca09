//! Animations to animated WebP, frame by frame: neither all frames nor all canvases are ever in memory at once.

use image::DynamicImage;
use image::metadata::Orientation;
use webpx::AnimationEncoder;

use super::colour::Conversion;
use super::features::Features;
use super::limits::Timer;
use super::raster::{Channels, from_pixels, turned};
use super::resize::{Shrinker, scaled_height};
use super::{CodecError, Lossless, MAX_WEBP_SIDE, Settings};

/// One composed frame.
pub(super) struct Frame {
    /// The whole canvas.
    pub(super) rgba: Vec<u8>,
    pub(super) duration_ms: u32,
}

/// An animation that is decoded frame by frame.
pub(super) trait Frames {
    /// The next frame; `None` after the last.
    fn next(&mut self) -> Result<Option<Frame>, CodecError>;
    /// How often it plays, 0 for ever; known once the first frame is decoded.
    fn plays(&self) -> u16;
    fn profile(&self) -> Option<Vec<u8>>;
    fn orientation(&self) -> Orientation;
    /// Whether there are frames that can't be read behind the last.
    fn is_cut(&mut self) -> bool {
        false
    }
}

pub(super) const CUT_NOTE: &str = "frames behind the last one shown are broken";

/// An encoded animation.
pub(super) struct Animation {
    /// Empty unless it was wanted.
    pub(super) webp: Vec<u8>,
    /// Width and WebP, ascending.
    pub(super) renditions: Vec<(u16, Vec<u8>)>,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) features: Features,
    /// The image does not show all of the source.
    pub(super) partial: bool,
    pub(super) notes: Vec<String>,
}

/// Which encodings of an animation are wanted.
pub(super) struct Wanted<'w> {
    /// The animation at its own size.
    pub(super) whole: bool,
    /// Renditions; ascending, and those that are not smaller are left out.
    pub(super) widths: &'w [u16],
}

/// Decodes all frames, and encodes them, upright and in sRGB, at every size that is wanted.
pub(super) fn encode(
    frames: &mut dyn Frames,
    (width, height): (u32, u32),
    settings: &Settings,
    wanted: &Wanted<'_>,
    timer: &Timer,
) -> Result<Animation, CodecError> {
    let mut encoders: Option<Vec<Encoder>> = None;
    let mut conversion = None;
    let mut features = None;
    let mut notes = Vec::new();
    let mut size = (width, height);
    let mut time_ms = 0_i32;
    while let Some(frame) = timer.time(|| frames.next())? {
        let conversion = conversion.get_or_insert_with(|| {
            let (conversion, note) = Conversion::new(Channels::Rgba, frames.profile().as_deref());
            notes.extend(note);
            conversion
        });
        let picture = from_pixels(width, height, conversion.apply(frame.rgba, width as usize));
        let picture = turned(picture, frames.orientation());
        if features.is_none() {
            size = (picture.width(), picture.height());
            if fitting(size, MAX_WEBP_SIDE) != size {
                notes.push(scaled_down_note(size, MAX_WEBP_SIDE));
            }
            features = Some(Features::of(&picture));
        }
        let encoders = match &mut encoders {
            Some(encoders) => encoders,
            none => none.insert(Encoder::of_each_size(size, settings, wanted, frames.plays())?),
        };
        add(encoders, &picture, time_ms)?;
        // Players stop at a frame of no time.
        let duration = i32::try_from(frame.duration_ms.max(1)).unwrap_or(i32::MAX);
        time_ms = time_ms.saturating_add(duration);
    }
    let features = features.ok_or(CodecError::Container("it has no picture in it"))?;
    let (width, height) = fitting(size, MAX_WEBP_SIDE);
    let (mut webp, mut renditions) = (Vec::new(), Vec::new());
    for encoder in encoders.unwrap_or_default() {
        let encoded = encoder.encoder.finish(time_ms).map_err(encode_error)?;
        match encoder.rendition {
            Some(width) => renditions.push((width, encoded)),
            None => webp = encoded,
        }
    }
    renditions.reverse();
    let is_cut = frames.is_cut();
    if is_cut {
        notes.push(CUT_NOTE.into());
    }
    let partial = is_cut || (width, height) != size;
    Ok(Animation { webp, renditions, width, height, features, partial, notes })
}

struct Encoder {
    encoder: AnimationEncoder,
    width: u32,
    /// `None` for the animation itself.
    rendition: Option<u16>,
}

impl Encoder {
    /// From wide to narrow.
    fn of_each_size(
        size: (u32, u32),
        settings: &Settings,
        wanted: &Wanted<'_>,
        plays: u16,
    ) -> Result<Vec<Self>, CodecError> {
        let (width, height) = fitting(size, MAX_WEBP_SIDE);
        let whole = wanted.whole.then_some((None, width, height));
        let smaller =
            wanted.widths.iter().rev().filter(|smaller| u32::from(**smaller) < width).map(
                |smaller| {
                    let smaller_width = u32::from(*smaller);
                    (Some(*smaller), smaller_width, scaled_height(width, height, smaller_width))
                },
            );
        let encoder = |(rendition, width, height)| {
            // In mixed mode each frame is stored as whichever of lossy and lossless is smaller.
            let mixed = settings.lossless == Lossless::Auto;
            let mut encoder =
                AnimationEncoder::with_options(width, height, mixed, u32::from(plays))
                    .map_err(encode_error)?;
            encoder.set_quality(f32::from(settings.quality));
            encoder.set_lossless(settings.lossless == Lossless::Always);
            Ok(Self { encoder, width, rendition })
        };
        whole.into_iter().chain(smaller).map(encoder).collect()
    }
}

/// Gives a frame to every encoder, at its size.
fn add(encoders: &mut [Encoder], picture: &DynamicImage, time_ms: i32) -> Result<(), CodecError> {
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
        result.map_err(encode_error)?;
    }
    Ok(())
}

fn encode_error(error: webpx::At<webpx::Error>) -> CodecError {
    CodecError::Encode(error.decompose().0)
}

/// The size, or the largest of its shape whose longer side is at most this.
pub(super) fn fitting((width, height): (u32, u32), longest_side: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= longest_side {
        return (width, height);
    }
    let scaled = |side: u32| {
        let side = (u64::from(side) * u64::from(longest_side) + u64::from(longest / 2))
            / u64::from(longest);
        u32::try_from(side).unwrap_or(longest_side).max(1)
    };
    (scaled(width), scaled(height))
}

pub(super) fn scaled_down_note((width, height): (u32, u32), longest_side: u32) -> String {
    let reason = if longest_side == MAX_WEBP_SIDE {
        format!("WebP holds {MAX_WEBP_SIDE} pixels a side")
    } else {
        "lossy WebP can't hold so much detail".into()
    };
    format!("scaled down from {width} x {height}: {reason}")
}

//! Gives size and needs of a PNG, and its still picture.

use std::borrow::Cow;

use png::DecodingError;

use super::chunks::Damage;
use super::colours::Colours;
use super::orientation::orientation;
use super::reader::{channels, decode_error, frame_buffer, open};
use crate::codec::error::CodecError;
use crate::codec::header::Header;
use crate::codec::pixels::channels::Channels;
use crate::codec::pixels::deep_colour::DeepConversion;
use crate::codec::pixels::profile::Profile;
use crate::codec::pixels::raster::Raster;
use crate::codec::timer::Timer;

/// Copies of a row that the decoder holds: the rows that it unfilters, and one to transform.
const ROWS: u64 = 4;

/// Memory of a frame of an animation, in bytes a pixel: as decoded, as RGBA, and twice the canvas.
const FRAME_BYTES_PER_PIXEL: u64 = 16;

/// The same where samples are decoded with 16 bits.
const DEEP_FRAME_BYTES_PER_PIXEL: u64 = 24;

/// The note on pixels whose checksum is wrong. All programs but Pillow show them.
const DOUBTFUL_PIXELS_NOTE: &str = "damaged: the checksum of its compressed pixels is wrong";

/// Reads size and needs of a picture.
pub(in crate::codec) fn header(source: &[u8], timer: &Timer) -> Result<Header, CodecError> {
    let damage = Damage::find(source, false);
    let colours = Colours::read(source);
    let is_deep = colours.needs_deep_samples(source);
    let mended = damage.mend(source);
    let copied = if matches!(mended, Cow::Owned(_)) { source.len() as u64 } else { 0 };
    let reader =
        open(mended, is_deep, false, timer).map_err(|error| decode_error(error, &damage))?;
    let info = reader.info();
    let (width, height) = info.size();
    let frames = info.animation_control().map_or(1, |animation| animation.num_frames).max(1);
    let channels = channels(&reader);
    let bytes_per_pixel = match (frames > 1, is_deep) {
        (true, true) => DEEP_FRAME_BYTES_PER_PIXEL,
        (true, false) => FRAME_BYTES_PER_PIXEL,
        (false, true) => (2 * channels.count() + if channels.has_alpha() { 4 } else { 3 }) as u64,
        (false, false) => (channels.count() + channels.growth()) as u64,
    };
    let pixel_bytes = u64::from(width) * u64::from(height) * bytes_per_pixel;
    let row_bytes = 8 * u64::from(width) * ROWS;
    let profile_bytes = colours.profile.as_ref().map_or(0, Profile::memory_bytes);
    Ok(Header {
        width,
        height,
        frames,
        decode_bytes: pixel_bytes + copied + row_bytes + profile_bytes,
        alpha: channels.has_alpha() || frames > 1,
        lossless: true,
    })
}

/// Decodes the still picture.
///
/// Pixels whose checksum is wrong are shown if there are enough of them, as in browsers: it can't
/// tell which of them are damaged, if any.
pub(in crate::codec) fn decode(source: &[u8], timer: &Timer) -> Result<Raster, CodecError> {
    let damage = Damage::find(source, true);
    let colours = Colours::read(source);
    let is_deep = colours.needs_deep_samples(source);
    let mended = damage.mend(source);
    let decode = |is_strict| decode_samples(&mended, is_deep, is_strict, timer);
    let mut damage_notes = damage.notes();
    let decoded = decode(true).or_else(|_| {
        let decoded = decode(false)?;
        damage_notes.push(DOUBTFUL_PIXELS_NOTE.into());
        Ok(decoded)
    });
    let decoded = decoded.map_err(|error| decode_error(error, &damage))?;
    let Decoded { size: (width, height), mut channels, mut samples } = decoded;
    let Colours { mut profile, mut notes } = colours;
    if is_deep {
        let (conversion, note) = DeepConversion::new(channels, profile.take().as_ref());
        notes.extend(note);
        samples = conversion.apply(&samples, width as usize);
        channels = if channels.has_alpha() { Channels::Rgba } else { Channels::Rgb };
    }
    let partial = !damage_notes.is_empty();
    notes.extend(damage_notes);
    let orientation = orientation(source);
    Ok(Raster { width, height, channels, samples, profile, orientation, partial, notes })
}

/// The samples of a still picture, as they were decoded.
struct Decoded {
    size: (u32, u32),
    channels: Channels,
    samples: Vec<u8>,
}

fn decode_samples(
    mended: &[u8],
    is_deep: bool,
    is_strict: bool,
    timer: &Timer,
) -> Result<Decoded, DecodingError> {
    let mut reader = open(Cow::Borrowed(mended), is_deep, is_strict, timer)?;
    let mut samples = frame_buffer(&reader)?;
    reader.next_frame(&mut samples)?;
    Ok(Decoded { size: reader.info().size(), channels: channels(&reader), samples })
}

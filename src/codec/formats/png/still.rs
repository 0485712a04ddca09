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
    let mut partial = !damage_notes.is_empty() || !notes.is_empty();
    if is_deep {
        let (conversion, note) = DeepConversion::new(channels, profile.take().as_ref());
        notes.extend(note);
        partial |= conversion.lacks_profile();
        samples = conversion.apply(&samples, width as usize);
        channels = if channels.has_alpha() { Channels::Rgba } else { Channels::Rgb };
    }
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

#[cfg(test)]
mod tests {
    use std::slice;
    use std::time::Duration;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;
    use crate::codec::formats::png::chunks::tests::{chunk, png};

    const ROW: [u8; 7] = [0, 1, 2, 3, 4, 5, 6];

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A PNG of 2 x 20 pixels with these chunks behind its header.
    fn picture(depth: u8, colours: u8, chunks: &[Vec<u8>]) -> Vec<u8> {
        let header = [&[0, 0, 0, 2, 0, 0, 0, 20, depth, colours][..], &[0; 3]].concat();
        png(&[&[chunk(b"IHDR", &header)], chunks].concat())
    }

    fn decoded(source: &[u8]) -> Result<Raster, CodecError> {
        decode(source, &Timer::new(Duration::from_secs(60)))
    }

    /// In small damage every pixel is there, so it costs no picture; but the original must stay.
    #[test]
    fn damage_that_leaves_every_pixel_is_noted_and_the_original_kept() {
        let pixels = compressed(&ROW.repeat(20));
        let whole = [chunk(b"IDAT", &pixels), chunk(b"IEND", b"")];
        let whole = picture(8, 2, &whole);
        let mut wrong_sum = pixels.clone();
        *wrong_sum.last_mut().unwrap() ^= 1;
        let wrong_sum = picture(8, 2, &[chunk(b"IDAT", &wrong_sum), chunk(b"IEND", b"")]);
        let mut wrong_header = whole.clone();
        wrong_header[30] ^= 1;
        let mut failures = Vec::new();
        for (says, source, is_damaged) in [
            ("whole", whole.clone(), false),
            ("without its end", whole[..whole.len() - 12].to_vec(), true),
            ("cut in a checksum", whole[..whole.len() - 14].to_vec(), true),
            ("cut in the compression's checksum", whole[..whole.len() - 18].to_vec(), true),
            ("wrong checksum of its pixels", wrong_sum, true),
            ("wrong checksum of its header", wrong_header, true),
        ] {
            match decoded(&source) {
                Ok(raster) => {
                    let shows_all = raster.samples == ROW[1..].repeat(20);
                    if !shows_all
                        || raster.partial != is_damaged
                        || raster.notes.is_empty() == is_damaged
                    {
                        failures.push(format!("{says}: {shows_all} {:?}", raster.notes));
                    }
                }
                Err(error) => failures.push(format!("{says}: {error}")),
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn errors_say_what_is_wrong_and_truncated_only_what_is() {
        let pixels = chunk(b"IDAT", &compressed(&ROW.repeat(20)));
        let half = chunk(b"IDAT", &compressed(&ROW.repeat(10)));
        let noise: Vec<u8> = (0..40_u8).map(|byte| byte.wrapping_mul(151)).collect();
        let (noise, end) = (chunk(b"IDAT", &noise), chunk(b"IEND", b""));
        let raw: Vec<u8> = (0..140_u8).map(|byte| byte.wrapping_mul(89) & !7).collect();
        let long = compressed(&raw);
        let (first, second) = long.split_at(long.len() / 2);
        let [first, second] = [first, second].map(|part| chunk(b"IDAT", part));
        let text = chunk(b"tEXt", b"a\0b");
        let unknown = chunk(b"ABCD", b"");
        let palette = chunk(b"PLTE", &[0; 6]);
        let two = [palette.clone(), palette, half.clone()];
        let mut twice = picture(8, 2, slice::from_ref(&half));
        twice.splice(8..8, chunk(b"IHDR", &twice[16..29]));
        let wrong_filter = chunk(b"IDAT", &compressed(&[9; 7 * 20]));
        let mut iphone = picture(8, 2, slice::from_ref(&half));
        iphone.splice(8..8, chunk(b"CgBI", &[0; 4]));
        let mut failures = Vec::new();
        for (source, expected) in [
            (picture(8, 2, &[half, end.clone()]), "truncated PNG"),
            (picture(8, 2, slice::from_ref(&first)), "truncated PNG"),
            (picture(8, 2, &[first.clone(), end.clone()]), "truncated PNG"),
            (picture(8, 2, &[]), "truncated PNG"),
            (picture(8, 2, &[])[..20].to_vec(), "truncated PNG"),
            (picture(8, 2, slice::from_ref(&end)), "it has no pixels"),
            (picture(8, 2, &[noise, end.clone()]), "its compressed pixels are damaged"),
            (picture(8, 2, &[first, text, second, end.clone()]), "pixels are damaged"),
            (picture(8, 2, &[unknown, pixels.clone(), end.clone()]), "no reader knows"),
            (picture(8, 2, &[wrong_filter, end.clone()]), "a filter that PNG does not know"),
            (picture(8, 3, &[pixels.clone(), end.clone()]), "its palette is missing"),
            (picture(8, 3, &two), "is there twice"),
            (twice, "is there twice"),
            (picture(4, 2, &[pixels, end]), "a depth that its colours can't have"),
            (iphone, "only iPhones show"),
        ] {
            match decoded(&source) {
                Ok(_) => failures.push(format!("shown, not {expected:?}")),
                Err(error) if error.to_string().contains(expected) => {}
                Err(error) => failures.push(format!("{error}, not {expected:?}")),
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }
}

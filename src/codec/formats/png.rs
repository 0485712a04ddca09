//! Decodes PNG and APNG with the png crate: every depth and colour type, as 8-bit samples.

use std::borrow::Cow;
use std::io::{self, Read as _};

use flate2::read::ZlibDecoder;
use image::metadata::Orientation;
use png::{BlendOp, ColorType, Decoder, DecodingError, DisposeOp, Reader, Transformations};

use crate::codec::decoders::tiff::exif::exif_orientation;
use crate::codec::error::CodecError;
use crate::codec::header::Header;
use crate::codec::pixels::canvas::{Area, Blend, Canvas, Disposal};
use crate::codec::pixels::channels::Channels;
use crate::codec::pixels::frames::{Frame, Frames};
use crate::codec::pixels::profile::{MAX_PROFILE_BYTES, Profile};
use crate::codec::pixels::raster::Raster;
use crate::codec::sniff::PictureFormat;
use crate::codec::timer::{TimedReader, Timer};

/// Memory that the decoder may take beside the picture, in bytes: for rows, and for chunks that it
/// keeps.
const SIDE_BYTES: usize = 64 << 20;

/// Longest chunk beside the pixels that the decoder is given, in bytes. None of those that it needs
/// is as long, and it would keep all of the others.
const MAX_KEPT_BYTES: usize = 64 << 10;

/// Copies of a row that the decoder holds: the rows that it unfilters, and one to transform.
const ROWS: u64 = 4;

const SIGNATURE_BYTES: usize = 8;

/// Bytes of a chunk beside its content: length, kind and checksum.
const CHUNK_FRAME_BYTES: usize = 12;

fn decode_error(error: DecodingError) -> CodecError {
    CodecError::Decode { format: PictureFormat::Png, source: error.into() }
}

/// Opens the decoder.
fn open<'s>(source: &'s [u8], timer: &'s Timer) -> Result<Reader<TimedReader<'s>>, CodecError> {
    let limits = png::Limits { bytes: SIDE_BYTES };
    let reader = TimedReader::new(without_long_metadata(source), timer);
    let mut decoder = Decoder::new_with_limits(reader, limits);
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.read_info().map_err(decode_error)
}

/// A chunk's kind, its content, and all of its bytes.
type Chunk<'s> = (&'s [u8], &'s [u8], &'s [u8]);

/// The chunks of a PNG. One that is cut short ends them.
fn chunks(source: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = source.get(SIGNATURE_BYTES..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = rest.first_chunk().copied().map(u32::from_be_bytes)?;
        let length = usize::try_from(length).ok()?.checked_add(CHUNK_FRAME_BYTES)?;
        let (chunk, behind) = rest.split_at_checked(length)?;
        rest = behind;
        Some((&chunk[4..8], &chunk[8..length - 4], chunk))
    })
}

/// Returns the kinds and contents of the chunks.
pub(crate) fn contents(source: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    chunks(source).map(|(kind, content, _)| (kind, content))
}

/// Whether the decoder is given a chunk.
fn is_kept((kind, content, _): &Chunk<'_>) -> bool {
    content.len() <= MAX_KEPT_BYTES || matches!(*kind, b"IDAT" | b"fdAT")
}

/// Returns the source without long chunks that have nothing to do with its pixels. Mostly there are
/// none.
fn without_long_metadata(source: &[u8]) -> Cow<'_, [u8]> {
    if chunks(source).all(|chunk| is_kept(&chunk)) {
        return Cow::Borrowed(source);
    }
    let whole: usize = chunks(source).map(|(.., chunk)| chunk.len()).sum();
    let (signature, rest) = source.split_at(SIGNATURE_BYTES);
    let mut kept = Vec::with_capacity(source.len());
    kept.extend_from_slice(signature);
    for (.., chunk) in chunks(source).filter(is_kept) {
        kept.extend_from_slice(chunk);
    }
    // What is cut short is left to the decoder.
    kept.extend_from_slice(rest.get(whole..).unwrap_or_default());
    Cow::Owned(kept)
}

/// Inflates the colour profile, unless it is too long.
fn profile(source: &[u8]) -> Option<Profile> {
    let mut before_pixels = chunks(source).take_while(|(kind, ..)| *kind != b"IDAT");
    let (_, content, _) = before_pixels.find(|(kind, ..)| *kind == b"iCCP")?;
    // A name of up to 79 bytes ends in a zero, and the only method of compression follows, 0.
    let name = content.iter().take(80).position(|byte| *byte == 0).filter(|length| *length > 0)?;
    let [0, compressed @ ..] = &content[name + 1..] else { return None };
    let inflate = || ZlibDecoder::new(compressed).take(MAX_PROFILE_BYTES as u64 + 1);
    // The length is found first, so that no vector grows.
    let length = io::copy(&mut inflate(), &mut io::sink()).ok()?;
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_PROFILE_BYTES);
    let Some(length) = length else { return Some(Profile::TooLong) };
    let mut inflated = Vec::with_capacity(length);
    inflate().read_to_end(&mut inflated).ok()?;
    Profile::new(inflated)
}

/// Reads size and needs of a picture.
pub(crate) fn header(source: &[u8], timer: &Timer) -> Result<Header, CodecError> {
    let reader = open(source, timer)?;
    let info = reader.info();
    let (width, height) = info.size();
    let frames = info.animation_control().map_or(1, |animation| animation.num_frames).max(1);
    let channels = channels(&reader);
    let pixels = u64::from(width) * u64::from(height);
    let decode_bytes = if frames > 1 {
        pixels * 16
    } else {
        pixels * (channels.count() + channels.growth()) as u64
    };
    let copied = if chunks(source).all(|chunk| is_kept(&chunk)) { 0 } else { source.len() as u64 };
    let row_bytes = 8 * u64::from(width) * ROWS;
    let beside = copied + row_bytes + profile(source).as_ref().map_or(0, Profile::memory_bytes);
    Ok(Header {
        width,
        height,
        frames,
        decode_bytes: decode_bytes + beside,
        alpha: channels.has_alpha() || frames > 1,
        lossless: true,
    })
}

/// Decodes the still picture.
pub(crate) fn decode(source: &[u8], timer: &Timer) -> Result<Raster, CodecError> {
    let mut reader = open(source, timer)?;
    let (width, height) = reader.info().size();
    let mut samples = frame_buffer(&reader)?;
    reader.next_frame(&mut samples).map_err(decode_error)?;
    Ok(Raster {
        width,
        height,
        channels: channels(&reader),
        samples,
        profile: profile(source),
        orientation: orientation(source),
        partial: false,
        notes: Vec::new(),
    })
}

/// Returns a buffer that any frame fits in.
fn frame_buffer(reader: &Reader<TimedReader<'_>>) -> Result<Vec<u8>, CodecError> {
    let length = reader.output_buffer_size().ok_or(CodecError::Container("it is too large"))?;
    Ok(vec![0; length])
}

fn channels(reader: &Reader<TimedReader<'_>>) -> Channels {
    match reader.output_color_type().0 {
        ColorType::Grayscale => Channels::Grey,
        ColorType::GrayscaleAlpha => Channels::GreyAlpha,
        // Palettes are expanded to colours.
        ColorType::Rgb | ColorType::Indexed => Channels::Rgb,
        ColorType::Rgba => Channels::Rgba,
    }
}

/// Returns the orientation in the EXIF chunk, which may be behind the pixels.
fn orientation(source: &[u8]) -> Orientation {
    let exif = chunks(source).find(|(kind, ..)| *kind == b"eXIf");
    exif.map_or(Orientation::NoTransforms, |(_, exif, _)| exif_orientation(exif))
}

/// The frames of an APNG.
pub(crate) struct PngFrames<'s> {
    source: &'s [u8],
    reader: Reader<TimedReader<'s>>,
    canvas: Canvas,
    channels: Channels,
    buffer: Vec<u8>,
    remaining: u32,
    loop_count: u16,
}

impl<'s> PngFrames<'s> {
    /// Opens an animation, and skips the still picture if that is not one of its frames.
    pub(crate) fn open(source: &'s [u8], timer: &'s Timer) -> Result<Self, CodecError> {
        let mut reader = open(source, timer)?;
        let (width, height) = reader.info().size();
        let animation = reader.info().animation_control().copied();
        let mut buffer = frame_buffer(&reader)?;
        if reader.info().frame_control().is_none() {
            reader.next_frame(&mut buffer).map_err(decode_error)?;
        }
        Ok(Self {
            source,
            canvas: Canvas::new(width, height),
            channels: channels(&reader),
            reader,
            buffer,
            remaining: animation.map_or(1, |animation| animation.num_frames),
            loop_count: animation
                .map_or(0, |animation| u16::try_from(animation.num_plays).unwrap_or(u16::MAX)),
        })
    }
}

impl Frames for PngFrames<'_> {
    fn next(&mut self) -> Result<Option<Frame>, CodecError> {
        if self.remaining == 0 {
            return Ok(None);
        }
        self.remaining -= 1;
        let output = self.reader.next_frame(&mut self.buffer).map_err(decode_error)?;
        let control =
            *self.reader.info().frame_control().ok_or(CodecError::Container(
                "a frame of its animation says nothing of its place",
            ))?;
        let frame = to_rgba(&self.buffer[..output.buffer_size()], self.channels);
        let area = Area {
            left: control.x_offset,
            top: control.y_offset,
            width: control.width,
            height: control.height,
        };
        let blend = match control.blend_op {
            BlendOp::Source => Blend::Source,
            BlendOp::Over => Blend::Over,
        };
        let disposal = match control.dispose_op {
            DisposeOp::None => Disposal::Keep,
            DisposeOp::Background => Disposal::Clear,
            DisposeOp::Previous => Disposal::Restore,
        };
        let rgba = self.canvas.draw(&frame, area, blend, disposal)?.to_vec();
        let denominator = if control.delay_den == 0 { 100 } else { u32::from(control.delay_den) };
        let delay_ms = (u32::from(control.delay_num) * 1000 + denominator / 2) / denominator;
        Ok(Some(Frame { rgba, duration_ms: delay_ms }))
    }

    fn loop_count(&self) -> u16 {
        self.loop_count
    }

    fn profile(&self) -> Option<Profile> {
        profile(self.source)
    }

    fn orientation(&self) -> Orientation {
        orientation(self.source)
    }
}

fn to_rgba(samples: &[u8], channels: Channels) -> Vec<u8> {
    let grey = |[grey, alpha]: [u8; 2]| [grey, grey, grey, alpha];
    match channels {
        Channels::Grey => samples.iter().flat_map(|value| grey([*value, 255])).collect(),
        Channels::GreyAlpha => {
            samples.as_chunks().0.iter().flat_map(|pixel| grey(*pixel)).collect()
        }
        Channels::Rgb => {
            samples.as_chunks().0.iter().flat_map(|[r, g, b]| [*r, *g, *b, 255]).collect()
        }
        Channels::Rgba | Channels::Cmyk => samples.to_vec(),
    }
}

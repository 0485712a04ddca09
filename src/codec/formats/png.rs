//! Decodes PNG and APNG with the png crate: every depth and colour type, as 8-bit samples.

use image::metadata::Orientation;
use png::{BlendOp, ColorType, Decoder, DecodingError, DisposeOp, Reader, Transformations};

use crate::codec::decoders::tiff::exif::exif_orientation;
use crate::codec::error::CodecError;
use crate::codec::header::Header;
use crate::codec::pixels::canvas::{Area, Blend, Canvas, Disposal};
use crate::codec::pixels::channels::Channels;
use crate::codec::pixels::frames::{Frame, Frames};
use crate::codec::pixels::raster::Raster;
use crate::codec::sniff::PictureFormat;
use crate::codec::timer::{TimedReader, Timer};

/// Memory that the decoder may take beside the picture, in bytes: for rows, and for chunks such as
/// an inflated colour profile.
const SIDE_BYTES: usize = 64 << 20;

fn decode_error(error: DecodingError) -> CodecError {
    CodecError::Decode { format: PictureFormat::Png, source: error.into() }
}

/// Opens the decoder.
fn open<'s>(source: &'s [u8], timer: &'s Timer) -> Result<Reader<TimedReader<'s>>, CodecError> {
    let limits = png::Limits { bytes: SIDE_BYTES };
    let mut decoder = Decoder::new_with_limits(TimedReader::new(source, timer), limits);
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.read_info().map_err(decode_error)
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
    Ok(Header {
        width,
        height,
        frames,
        decode_bytes,
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
    // Reads metadata behind the pixels. A fault there does not matter.
    let _ = reader.finish();
    Ok(Raster {
        width,
        height,
        channels: channels(&reader),
        samples,
        profile: reader.info().icc_profile.as_ref().map(|profile| profile.to_vec()),
        orientation: orientation(&reader),
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

fn orientation(reader: &Reader<TimedReader<'_>>) -> Orientation {
    let exif = reader.info().exif_metadata.as_ref();
    exif.map_or(Orientation::NoTransforms, |exif| exif_orientation(exif))
}

/// The frames of an APNG.
pub(crate) struct PngFrames<'s> {
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

    fn profile(&self) -> Option<Vec<u8>> {
        self.reader.info().icc_profile.as_ref().map(|profile| profile.to_vec())
    }

    fn orientation(&self) -> Orientation {
        orientation(&self.reader)
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

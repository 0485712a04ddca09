//! Decodes GIF with the gif crate, and composes its frames as browsers do.

use std::io::{BufReader, Chain, Read};

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, DisposalMethod, Repeat};
use image::metadata::Orientation;

use crate::codec::error::CodecError;
use crate::codec::header::Header;
use crate::codec::pixels::canvas::{Area, Blend, Canvas, Disposal};
use crate::codec::pixels::frames::{Frame, Frames, shown_ms};
use crate::codec::pixels::profile::{self, Profile};
use crate::codec::sniff::PictureFormat;
use crate::codec::timer::{TimedReader, Timer};

/// The trailer, appended to every file: many files lack it, and a second one does no harm.
const TRAILER: &[u8] = &[0x3B];

type Source<'s> = Chain<BufReader<TimedReader<'s>>, &'static [u8]>;

fn decode_error(error: DecodingError) -> CodecError {
    CodecError::Decode { format: PictureFormat::Gif, source: error.into() }
}

/// Opens the decoder.
fn open<'s>(
    source: &'s [u8],
    timer: &'s Timer,
    skip_pixels: bool,
) -> Result<Decoder<Source<'s>>, CodecError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::RGBA);
    options.skip_frame_decoding(skip_pixels);
    // Browsers skip blocks they don't know.
    options.allow_unknown_blocks(true);
    let reader = BufReader::new(TimedReader::new(source, timer)).chain(TRAILER);
    options.read_info(reader).map_err(decode_error)
}

/// Reads size and needs, and counts the frames without decoding their pixels.
pub(crate) fn header(source: &[u8], timer: &Timer) -> Result<Header, CodecError> {
    let mut decoder = open(source, timer, true)?;
    let (mut width, mut height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    let mut frames = 0;
    loop {
        match decoder.next_frame_info() {
            Ok(Some(frame)) => {
                // Browsers enlarge the canvas until the first frame fits, and cut later frames.
                if frames == 0 {
                    width = width.max(u32::from(frame.left) + u32::from(frame.width));
                    height = height.max(u32::from(frame.top) + u32::from(frame.height));
                }
                frames += 1;
            }
            Ok(None) => break,
            // Browsers show the frames before the damage.
            Err(DecodingError::Format(_)) if frames > 0 => break,
            Err(error) => return Err(decode_error(error)),
        }
    }
    if frames == 0 {
        return Err(CodecError::Container("it has no picture in it"));
    }
    // 4 bytes a pixel for the frame, 4 for the canvas, 4 for the pixels below the frame, and 1 for
    // the indices of colours.
    let pixels = u64::from(width) * u64::from(height) * 13;
    // The decoder keeps profile and XMP, which may be in thousands of blocks, in vectors that grow.
    let profile = decoder.icc_profile().unwrap_or_default().len();
    let metadata = profile + decoder.xmp_metadata().unwrap_or_default().len();
    let decode_bytes = pixels + 5 * metadata as u64 + profile::memory_bytes(profile);
    Ok(Header { width, height, frames, decode_bytes, alpha: true, lossless: true })
}

/// The frames of a GIF.
pub(crate) struct GifFrames<'s> {
    decoder: Decoder<Source<'s>>,
    canvas: Canvas,
    remaining: u32,
}

impl<'s> GifFrames<'s> {
    /// Opens a source, given its own header.
    pub(crate) fn open(
        source: &'s [u8],
        header: &Header,
        timer: &'s Timer,
    ) -> Result<Self, CodecError> {
        let decoder = open(source, timer, false)?;
        let canvas = Canvas::new(header.width, header.height);
        Ok(Self { decoder, canvas, remaining: header.frames })
    }
}

impl Frames for GifFrames<'_> {
    fn next(&mut self) -> Result<Option<Frame>, CodecError> {
        if self.remaining == 0 {
            return Ok(None);
        }
        self.remaining -= 1;
        let Some(frame) = self.decoder.read_next_frame().map_err(decode_error)? else {
            return Ok(None);
        };
        let area = Area {
            left: u32::from(frame.left),
            top: u32::from(frame.top),
            width: u32::from(frame.width),
            height: u32::from(frame.height),
        };
        let disposal = match frame.dispose {
            DisposalMethod::Any | DisposalMethod::Keep => Disposal::Keep,
            DisposalMethod::Background => Disposal::Clear,
            DisposalMethod::Previous => Disposal::Restore,
        };
        let duration_ms = shown_ms(u32::from(frame.delay) * 10);
        let rgba = self.canvas.draw(&frame.buffer, area, Blend::Over, disposal)?.to_vec();
        Ok(Some(Frame { rgba, duration_ms }))
    }

    /// A file without the loop extension plays once. The extension counts repetitions after the
    /// first time.
    fn loop_count(&self) -> u16 {
        match self.decoder.repeat() {
            Repeat::Infinite => 0,
            Repeat::Finite(repetitions) => repetitions.saturating_add(1),
        }
    }

    fn profile(&self) -> Option<Profile> {
        self.decoder.icc_profile().and_then(Profile::new)
    }

    fn orientation(&self) -> Orientation {
        Orientation::NoTransforms
    }

    fn is_truncated(&mut self) -> bool {
        !matches!(self.decoder.next_frame_info(), Ok(None))
    }
}

//! Decodes GIF with the gif crate, and composes its frames as browsers do.
//!
//! The crate stops at the first damage, and loses its place there. So `gif_blocks` finds the
//! frames, and the crate gets each of them as a file of its own, made whole.

use std::io::{self, Read};

use gif::{DecodeOptions, DecodingError, MemoryLimit};
use image::metadata::Orientation;

use super::gif_blocks::{Block, Damage, FrameBlock, GifBlocks, SubBlocks};
use crate::codec::error::CodecError;
use crate::codec::header::Header;
use crate::codec::pixels::canvas::{Area, Blend, Canvas, Disposal};
use crate::codec::pixels::channels::Channels;
use crate::codec::pixels::frames::{Frame, Frames, shown_ms};
use crate::codec::pixels::profile::{self, MAX_PROFILE_BYTES, Profile};
use crate::codec::pixels::raster::Raster;
use crate::codec::sniff::PictureFormat;
use crate::codec::timer::{TimedReader, Timer};

/// Bytes of a table of 256 colours.
const PALETTE_BYTES: usize = 768;

fn decode_error(error: DecodingError) -> CodecError {
    CodecError::Decode { format: PictureFormat::Gif, source: error.into() }
}

/// What a walk through all blocks tells.
struct Overview {
    width: u32,
    height: u32,
    frames: u32,
    /// Pixels of the largest frame.
    frame_pixels: u64,
    /// How often the animation plays, or 0 for ever.
    loop_count: u16,
    /// One byte longer than the longest profile if it is too long.
    profile: Vec<u8>,
    damage: Damage,
}

impl Overview {
    fn of(source: &[u8]) -> Result<Self, CodecError> {
        let mut blocks = GifBlocks::new(source).ok_or(CodecError::Truncated(PictureFormat::Gif))?;
        let mut overview = Self {
            width: blocks.width.into(),
            height: blocks.height.into(),
            frames: 0,
            frame_pixels: 0,
            loop_count: 1,
            profile: Vec::new(),
            damage: Damage::default(),
        };
        for block in blocks.by_ref() {
            match block {
                Block::Frame(frame) => overview.add_frame(&frame),
                Block::Application(content) => overview.read_application(content),
            }
        }
        overview.damage = blocks.damage;
        match overview.frames {
            0 if blocks.damage.truncated => Err(CodecError::Truncated(PictureFormat::Gif)),
            0 => Err(CodecError::Container("it has no picture in it")),
            _ => Ok(overview),
        }
    }

    /// Browsers enlarge the canvas until the first frame fits, and cut later frames.
    fn add_frame(&mut self, frame: &FrameBlock<'_>) {
        if self.frames == 0 {
            self.width = self.width.max(u32::from(frame.left) + u32::from(frame.width));
            self.height = self.height.max(u32::from(frame.top) + u32::from(frame.height));
        }
        self.frames = self.frames.saturating_add(1);
        self.frame_pixels = self.frame_pixels.max(frame.pixels());
    }

    /// A file without the loop extension plays once. The extension counts repetitions after the
    /// first time.
    fn read_application(&mut self, content: SubBlocks<'_>) {
        let mut contents = content.contents();
        match contents.next() {
            Some(b"NETSCAPE2.0" | b"ANIMEXTS1.0") => {
                if let Some([1, low, high]) = contents.next() {
                    let repetitions = u16::from_le_bytes([*low, *high]);
                    self.loop_count =
                        if repetitions == 0 { 0 } else { repetitions.saturating_add(1) };
                }
            }
            Some(b"ICCRGBG1012") if self.profile.is_empty() => {
                let bytes = contents.flatten().copied();
                self.profile = bytes.take(MAX_PROFILE_BYTES + 1).collect();
            }
            _ => {}
        }
    }
}

/// Reads size and needs, and counts the frames without decoding their pixels.
pub(crate) fn header(source: &[u8]) -> Result<Header, CodecError> {
    let overview = Overview::of(source)?;
    let canvas = u64::from(overview.width) * u64::from(overview.height);
    // 4 bytes a pixel for the canvas, and 4 for the pixels below the frame. The frame takes 4, and
    // 1 for the indices of colours; it is gone when the canvas is copied.
    let pixels = 8 * canvas + (5 * overview.frame_pixels).max(4 * canvas);
    // The profile is put together in a vector that grows.
    let profile = overview.profile.len();
    let decode_bytes = pixels + 3 * profile as u64 + profile::memory_bytes(profile);
    Ok(Header {
        width: overview.width,
        height: overview.height,
        frames: overview.frames,
        decode_bytes,
        alpha: true,
        lossless: true,
    })
}

/// Decodes the first frame.
pub(crate) fn decode(source: &[u8], header: &Header, timer: &Timer) -> Result<Raster, CodecError> {
    let mut frames = GifFrames::open(source, header, timer)?;
    let first = frames.next()?.ok_or(CodecError::Container("it has no picture in it"))?;
    frames.check_pixels()?;
    let notes = frames.damage();
    Ok(Raster {
        width: header.width,
        height: header.height,
        channels: Channels::Rgba,
        samples: first.rgba,
        profile: frames.profile(),
        orientation: frames.orientation(),
        partial: !notes.is_empty(),
        notes,
    })
}

/// The frames of a GIF.
pub(crate) struct GifFrames<'s> {
    blocks: GifBlocks<'s>,
    timer: &'s Timer,
    overview: Overview,
    canvas: Canvas,
    /// Whether a frame had any pixel so far.
    has_pixels: bool,
}

impl<'s> GifFrames<'s> {
    /// Opens a source, given its own header.
    pub(crate) fn open(
        source: &'s [u8],
        header: &Header,
        timer: &'s Timer,
    ) -> Result<Self, CodecError> {
        let blocks = GifBlocks::new(source).ok_or(CodecError::Truncated(PictureFormat::Gif))?;
        let overview = Overview::of(source)?;
        let canvas = Canvas::new(header.width, header.height);
        Ok(Self { blocks, timer, overview, canvas, has_pixels: false })
    }

    fn check_pixels(&self) -> Result<(), CodecError> {
        if self.has_pixels {
            return Ok(());
        }
        Err(CodecError::Container("none of its pixels can be read"))
    }

    /// Decodes the pixels of a frame, as far as they are there. The rest is transparent. Returns
    /// `None` for a frame behind others that the end of the file cuts: nobody shows it.
    fn read_pixels(&mut self, frame: &FrameBlock<'_>) -> Result<Option<Vec<u8>>, CodecError> {
        let (width, height) = (usize::from(frame.width), usize::from(frame.height));
        let mut rgba = vec![0; width * height * 4];
        if rgba.is_empty() {
            return Ok(Some(rgba));
        }
        let mut filled = fill(&mut rgba, frame, self.timer, usize::MAX);
        if matches!(filled, Err(DecodingError::LzwError(_))) {
            // The crate drops what it read together with a wrong code, so that is as little as can
            // be.
            rgba.fill(0);
            filled = fill(&mut rgba, frame, self.timer, 1);
        }
        let filled = match filled {
            Err(DecodingError::LzwError(_)) => Filled::Partly,
            other => other.map_err(decode_error)?,
        };
        let is_whole = filled != Filled::Partly;
        self.overview.damage.surplus |= filled == Filled::Beyond;
        if !is_whole {
            self.overview.damage.broken |= !frame.is_cut();
            self.overview.damage.truncated |= frame.is_cut();
            if frame.is_cut() && self.has_pixels {
                return Ok(None);
            }
        }
        self.has_pixels |= is_whole || rgba.iter().skip(3).step_by(4).any(|alpha| *alpha > 0);
        Ok(Some(rgba))
    }
}

impl Frames for GifFrames<'_> {
    fn next(&mut self) -> Result<Option<Frame>, CodecError> {
        let next = self.blocks.find_map(|block| match block {
            Block::Frame(frame) => Some(frame),
            Block::Application(_) => None,
        });
        let Some(frame) = next else {
            self.check_pixels()?;
            return Ok(None);
        };
        let Some(rgba) = self.read_pixels(&frame)? else { return Ok(None) };
        let area = Area {
            left: u32::from(frame.left),
            top: u32::from(frame.top),
            width: u32::from(frame.width),
            height: u32::from(frame.height),
        };
        let [flags, low, high, _] = frame.control;
        let disposal = match flags >> 2 & 7 {
            2 => Disposal::Clear,
            3 => Disposal::Restore,
            _ => Disposal::Keep,
        };
        let duration_ms = shown_ms(u32::from(u16::from_le_bytes([low, high])) * 10);
        let shown = self.canvas.draw(&rgba, area, Blend::Over, disposal)?;
        drop(rgba);
        Ok(Some(Frame { rgba: shown.to_vec(), duration_ms }))
    }

    fn loop_count(&self) -> u16 {
        self.overview.loop_count
    }

    fn profile(&self) -> Option<Profile> {
        Profile::new(&self.overview.profile)
    }

    fn orientation(&self) -> Orientation {
        Orientation::NoTransforms
    }

    fn damage(&self) -> Vec<String> {
        self.overview.damage.notes()
    }
}

/// How the pixels of a frame fill it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    Partly,
    Wholly,
    /// Some are left over.
    Beyond,
}

/// Decodes a frame into `rgba`. The decoder gets at most `step` bytes at a time.
fn fill(
    rgba: &mut [u8],
    frame: &FrameBlock<'_>,
    timer: &Timer,
    step: usize,
) -> Result<Filled, DecodingError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    // What decoding takes was counted before.
    options.set_memory_limit(MemoryLimit::Unlimited);
    let beginning = beginning_of(frame);
    let cut = frame.codes.cut;
    // A block of no bytes ends the codes, and the trailer the file.
    let length = u8::try_from(cut.len()).ok().filter(|length| *length > 0);
    let end = [length.as_slice(), cut, &[0, 0x3B]].concat();
    let file = beginning.chain(TimedReader::new(frame.codes.whole, timer)).chain(&*end);
    let mut decoder = options.read_info(Steps { file, step })?;
    if decoder.next_frame_info()?.is_none() {
        return Ok(Filled::Partly);
    }
    let is_whole = if frame.interlaced {
        fill_interlaced(rgba, frame, |rows| decoder.fill_buffer(rows))?
    } else {
        decoder.fill_buffer(rgba)?
    };
    Ok(match is_whole {
        false => Filled::Partly,
        // Damage behind the last pixel does not matter.
        true if decoder.fill_buffer(&mut [0; 4]).unwrap_or_default() => Filled::Beyond,
        true => Filled::Wholly,
    })
}

/// Decodes the rows of an interlaced frame. Returns whether all of its pixels are there.
fn fill_interlaced(
    rgba: &mut [u8],
    frame: &FrameBlock<'_>,
    mut fill_buffer: impl FnMut(&mut [u8]) -> Result<bool, DecodingError>,
) -> Result<bool, DecodingError> {
    let row_bytes = usize::from(frame.width) * 4;
    let mut rows = interlaced_rows(frame.height.into());
    while let Some(unfinished) = rows.next() {
        let filled = fill_buffer(&mut rgba[unfinished.0 * row_bytes..][..row_bytes]);
        if !matches!(filled, Ok(true)) {
            for (row, above) in std::iter::once(unfinished).chain(rows) {
                stand_in(
                    &mut rgba[(row - above) * row_bytes..][..(above + 1) * row_bytes],
                    row_bytes,
                );
            }
            return filled;
        }
    }
    Ok(true)
}

/// Fills the gaps of the last of `rows` from the first: until finer rows come, coarser ones stand
/// for them.
fn stand_in(rows: &mut [u8], row_bytes: usize) {
    let (above, row) = rows.split_at_mut(rows.len() - row_bytes);
    for (pixel, above) in row.as_chunks_mut().0.iter_mut().zip(above.as_chunks().0) {
        if *pixel == [0; 4] {
            *pixel = *above;
        }
    }
}

/// Returns a GIF up to the codes of its only frame. The crate leaves pixels transparent whose
/// colour is not in the table. In browsers they are black.
fn beginning_of(frame: &FrameBlock<'_>) -> io::Cursor<Vec<u8>> {
    const WITH_256_COLOURS: u8 = 0x87;
    let size = [frame.width, frame.height].map(u16::to_le_bytes).concat();
    let mut palette = frame.palette.to_vec();
    palette.resize(PALETTE_BYTES, 0);
    let interlaced = if frame.interlaced { 0x40 } else { 0 };
    io::Cursor::new(
        [
            b"GIF89a",
            &*size,
            &[WITH_256_COLOURS, 0, 0],
            &palette,
            &[0x21, 0xF9, 4],
            &frame.control,
            &[0, 0x2C, 0, 0, 0, 0],
            &size,
            &[interlaced, frame.code_size],
        ]
        .concat(),
    )
}

/// Returns the rows of an interlaced frame in the order in which they come, and how far above each
/// lies the one that stands for it until then.
fn interlaced_rows(height: usize) -> impl Iterator<Item = (usize, usize)> {
    [(0, 8, 0), (4, 8, 4), (2, 4, 2), (1, 2, 1)].into_iter().flat_map(
        move |(first, step, above)| (first..height).step_by(step).map(move |row| (row, above)),
    )
}

/// Reads in small steps.
struct Steps<R> {
    file: R,
    /// Most bytes of a read.
    step: usize,
}

impl<R: Read> Read for Steps<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.step);
        self.file.read(&mut buffer[..most])
    }
}

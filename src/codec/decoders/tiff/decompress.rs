//! Decompresses a chunk to a stream of rows of packed samples, whatever the compression.
//!
//! Rows come one at a time, so a strip of a hundred megabytes needs no more memory than one row.
//! Only fax data, JPEG and WebP are decoded a whole chunk at once.

use std::borrow::Cow;
use std::io::{self, BufRead, Cursor, Read};

use super::directory::tag;
use super::error::{TiffError, from_io};
use super::fax;
use super::layout::{Compression, TiffLayout};
use crate::codec::error::CodecError;
use crate::codec::formats::libjpeg::{Colours, Condition, Failure, Libjpeg};
use crate::codec::formats::webp;
use crate::codec::pixels::channels::Channels;
use crate::codec::sniff::PictureFormat;
use crate::codec::timer::Timer;

/// Bytes that decoding an embedded JPEG or WebP takes for each sample: the 16-bit coefficients of a
/// JPEG in several scans, and the result.
pub(super) const BYTES_PER_INNER_SAMPLE: u64 = 3;

/// Most rows and columns by which a JPEG may exceed its strip or tile. Some writers round up.
pub(super) const MAX_SURPLUS: usize = 64;

/// Binary logarithm of the longest distance, in bytes, that Zstandard may look back. Its own
/// encoder asks for no more.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Returns the memory that a decompressor keeps beside rows, for one chunk, in bytes.
pub(super) const fn state_bytes(compression: Compression) -> u64 {
    if matches!(compression, Compression::Zstd) { 1 << ZSTD_WINDOW_LOG } else { 1 << 16 }
}

/// An opened chunk.
pub(super) struct Chunk<'s> {
    /// Rows of packed samples.
    pub(super) rows: Box<dyn Read + 's>,
    /// Whether a part of its pixels is missing or may be wrong.
    pub(super) damaged: bool,
}

/// Opens the chunk at this place. `sample` matters only if the picture is planar.
///
/// # Errors
/// Fails when nothing is there, or when fax data, a JPEG or a WebP does not decode.
pub(super) fn open_chunk<'s>(
    layout: &TiffLayout<'s>,
    sample: usize,
    column: u32,
    row: u32,
    timer: &Timer,
) -> Result<Chunk<'s>, CodecError> {
    let bytes = layout.chunk(sample, column, row)?;
    let is_picture = matches!(layout.compression, Compression::Jpeg | Compression::WebP);
    // The order of bits concerns the file's bytes, compressed or not, but not embedded pictures.
    let bytes = if layout.bits_reversed && !is_picture {
        Cow::Owned(bytes.iter().map(|byte| byte.reverse_bits()).collect())
    } else {
        Cow::Borrowed(bytes)
    };
    let mut damaged = false;
    let rows: Box<dyn Read + 's> = match layout.compression {
        Compression::None if layout.subsampling != (1, 1) => {
            Box::new(SubsampledReader::new(layout, Cursor::new(bytes)))
        }
        Compression::None => Box::new(Cursor::new(bytes)),
        Compression::FaxRows { .. } | Compression::FaxGroup3 { .. } | Compression::FaxGroup4 => {
            let rows =
                fax::decode(&bytes, layout.compression, layout.chunk_width, layout.rows(row))?;
            Box::new(Cursor::new(rows))
        }
        Compression::Lzw => undo_subsampling(layout, LzwReader::new(bytes)),
        Compression::Deflate => {
            undo_subsampling(layout, flate2::bufread::ZlibDecoder::new(Cursor::new(bytes)))
        }
        Compression::PackBits => undo_subsampling(
            layout,
            PackBitsReader { source: Cursor::new(bytes), run: Run::Literal(0) },
        ),
        Compression::Zstd => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(Cursor::new(bytes)).map_err(from_io)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(from_io)?;
            undo_subsampling(layout, decoder)
        }
        Compression::Jpeg => {
            let (rows, condition) = decode_jpeg(layout, &bytes, row, timer)?;
            damaged = condition == Condition::Damaged;
            Box::new(Cursor::new(rows))
        }
        Compression::WebP => Box::new(Cursor::new(decode_webp(layout, &bytes)?)),
    };
    Ok(Chunk { rows, damaged })
}

fn undo_subsampling<'s>(layout: &TiffLayout<'_>, rows: impl Read + 's) -> Box<dyn Read + 's> {
    if layout.subsampling == (1, 1) {
        Box::new(rows)
    } else {
        Box::new(SubsampledReader::new(layout, rows))
    }
}

/// Decodes a JPEG (Adobe, "TIFF Technical Note 2") without converting its colours. The tables that
/// all chunks share are in a tag of their own.
fn decode_jpeg(
    layout: &TiffLayout<'_>,
    bytes: &[u8],
    row: u32,
    timer: &Timer,
) -> Result<(Vec<u8>, Condition), CodecError> {
    let jpeg = match layout.directory.bytes(tag::JPEG_TABLES) {
        // The end marker of the tables and the start marker of the picture are left out.
        Some([tables @ .., 0xFF, 0xD9]) if bytes.starts_with(&[0xFF, 0xD8]) => {
            Cow::Owned([tables, &bytes[2..]].concat())
        }
        _ => Cow::Borrowed(bytes),
    };
    let failed = |failure: Failure| failure.into_error(PictureFormat::Tiff);
    let picture = Libjpeg::open(&jpeg, timer).map_err(failed)?;
    let (width, height) = picture.dimensions();
    let (width, height) = (width as usize, height as usize);
    let (chunk_width, chunk_height) = (layout.chunk_width as usize, layout.chunk_height as usize);
    let rows = layout.rows(row) as usize;
    let fits = (chunk_width..=chunk_width.saturating_add(MAX_SURPLUS)).contains(&width)
        && (rows..=chunk_height.saturating_add(MAX_SURPLUS)).contains(&height);
    let samples = picture.components();
    if !fits || samples != layout.samples_in_chunk() {
        return Err(TiffError::Corrupt("a JPEG inside is of another kind than the tags say").into());
    }
    let (mut decoded, condition) = picture.decode(Colours::Stored).map_err(failed)?;
    if width > chunk_width {
        for row in 0..rows {
            decoded.copy_within(
                row * width * samples..(row * width + chunk_width) * samples,
                row * chunk_width * samples,
            );
        }
    }
    Ok((decoded, condition))
}

/// Decodes a WebP to as many samples a pixel as the tags say.
fn decode_webp(layout: &TiffLayout<'_>, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let header = webp::header(bytes)?;
    let fits = header.width == layout.chunk_width && header.height <= layout.chunk_height;
    if !fits || header.frames != 1 || !matches!(layout.samples_in_chunk(), 3 | 4) {
        return Err(TiffError::Corrupt("a WebP inside is of another kind than the tags say").into());
    }
    let decoded = webp::decode(bytes)?;
    let from = if decoded.channels == Channels::Rgba { 4 } else { 3 };
    Ok(if from == layout.samples_in_chunk() {
        decoded.samples
    } else if from == 4 {
        decoded.samples.as_chunks::<4>().0.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]).collect()
    } else {
        decoded
            .samples
            .as_chunks::<3>()
            .0
            .iter()
            .flat_map(|[r, g, b]| [*r, *g, *b, u8::MAX])
            .collect()
    })
}

/// LZW as in TIFF 6.0, section 13, or as older programs wrote it: from the lowest bit, with codes
/// that grow one code later.
struct LzwReader<'s> {
    source: Cursor<Cow<'s, [u8]>>,
    decoder: weezl::decode::Decoder,
}

impl<'s> LzwReader<'s> {
    fn new(source: Cow<'s, [u8]>) -> Self {
        use weezl::BitOrder::{Lsb, Msb};
        use weezl::decode::Configuration;
        // Both begin with the code that clears the table, 256 in nine bits.
        let is_old = matches!(*source, [0, second, ..] if second & 1 == 1);
        let configuration = if is_old {
            Configuration::new(Lsb, 8)
        } else {
            Configuration::with_tiff_size_switch(Msb, 8)
        };
        Self {
            source: Cursor::new(source),
            decoder: configuration.with_yield_on_full_buffer(true).build(),
        }
    }
}

impl Read for LzwReader<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = self.decoder.decode_bytes(self.source.fill_buf()?, target);
            self.source.consume(result.consumed_in);
            match result.status {
                Ok(weezl::LzwStatus::Ok) if result.consumed_out == 0 && result.consumed_in > 0 => {}
                Ok(_) => return Ok(result.consumed_out),
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }
}

/// `PackBits`, the run-length coding of TIFF 6.0, section 9.
struct PackBitsReader<'s> {
    source: Cursor<Cow<'s, [u8]>>,
    run: Run,
}

/// The rest of a run.
enum Run {
    Literal(usize),
    Repeated(usize, u8),
}

impl Read for PackBitsReader<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        while let Run::Literal(0) | Run::Repeated(0, _) = self.run {
            let mut bytes = [0];
            if self.source.read(&mut bytes)? == 0 {
                return Ok(0);
            }
            self.run = match bytes[0] {
                literal @ 0..=127 => Run::Literal(usize::from(literal) + 1),
                128 => continue,
                repeated => {
                    self.source.read_exact(&mut bytes)?;
                    Run::Repeated(257 - usize::from(repeated), bytes[0])
                }
            };
        }
        match &mut self.run {
            Run::Literal(left) => {
                let wanted = target.len().min(*left);
                let read = self.source.read(&mut target[..wanted])?;
                *left -= read;
                Ok(read)
            }
            Run::Repeated(left, byte) => {
                let count = target.len().min(*left);
                target[..count].fill(*byte);
                *left -= count;
                Ok(count)
            }
        }
    }
}

/// Subsampled 8-bit YCbCr (TIFF 6.0, section 21). In the file each block of pixels is its Y
/// samples, row by row, then one Cb and one Cr; the rows given out have all three for each pixel.
struct SubsampledReader<R> {
    source: R,
    across: usize,
    down: usize,
    blocks: Vec<u8>,
    /// The rows of one row of blocks, three bytes a pixel.
    rows: Vec<u8>,
    taken: usize,
    width: usize,
}

impl<R: Read> SubsampledReader<R> {
    fn new(layout: &TiffLayout<'_>, source: R) -> Self {
        let (across, down) = (layout.subsampling.0 as usize, layout.subsampling.1 as usize);
        let width = layout.chunk_width as usize;
        let rows = vec![0; width * 3 * down];
        let blocks = vec![0; width.div_ceil(across) * (across * down + 2)];
        Self { source, across, down, blocks, taken: rows.len(), rows, width }
    }
}

impl<R: Read> Read for SubsampledReader<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.rows.len() {
            self.source.read_exact(&mut self.blocks)?;
            for (y, row) in self.rows.chunks_exact_mut(self.width * 3).enumerate() {
                for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                    let block = &self.blocks[x / self.across * (self.across * self.down + 2)..];
                    let colours = self.across * self.down;
                    *pixel = [
                        block[y * self.across + x % self.across],
                        block[colours],
                        block[colours + 1],
                    ];
                }
            }
            self.taken = 0;
        }
        let count = target.len().min(self.rows.len() - self.taken);
        target[..count].copy_from_slice(&self.rows[self.taken..][..count]);
        self.taken += count;
        Ok(count)
    }
}

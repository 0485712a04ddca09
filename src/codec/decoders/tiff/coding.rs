//! The bytes of a chunk, decompressed: whatever the compression, a stream of rows of packed samples.
//!
//! Rows come one at a time, so that a strip of a hundred megabytes needs no more memory than one row. Only the
//! formats within the format, JPEG and WebP, are decoded a whole chunk at once.

use std::borrow::Cow;
use std::io::{self, BufRead, Cursor, Read};

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::directory::tag;
use super::fax::Fax;
use super::layout::{Compression, Layout};
use super::problem::{Problem, reading};
use crate::codec::error::CodecError;
use crate::codec::formats::jpeg_markers::Markers;
use crate::codec::formats::webp;
use crate::codec::pixels::channels::Channels;
use crate::codec::sniff::PictureFormat;

/// What a decoder of JPEG or WebP takes for a sample: all coefficients of a progressive JPEG, of 16 bits, and the
/// result.
pub(super) const BYTES_PER_INNER_SAMPLE: u64 = 3;

/// Rows and columns by which a JPEG may be larger than its strip or tile, which some writers round up.
const MAX_SURPLUS: usize = 64;

/// Scans of a progressive picture, as in `jpeg`.
const MAX_SCANS: usize = 200;

/// Logarithm of the most bytes that zstd may look back; the most that its own encoder asks for.
const ZSTD_WINDOW_LOG: u32 = 27;

/// What decompressors keep beside rows, for one chunk, in bytes.
pub(super) const fn state_bytes(compression: Compression) -> u64 {
    if matches!(compression, Compression::Zstd) { 1 << ZSTD_WINDOW_LOG } else { 1 << 16 }
}

/// Opens one chunk: of a sample, where each has chunks of its own, and by its place in the picture.
///
/// # Errors
/// When it is not there, or, of JPEG and WebP, does not decode.
pub(super) fn open<'s>(
    layout: &Layout<'s>,
    sample: usize,
    column: u32,
    row: u32,
) -> Result<Box<dyn Read + 's>, CodecError> {
    let bytes = layout.chunk(sample, column, row)?;
    let is_picture = matches!(layout.compression, Compression::Jpeg | Compression::WebP);
    // The order of bits is a matter of whatever is in the file, compressed or not, but not of whole pictures.
    let bytes = if layout.bits_reversed && !is_picture {
        Cow::Owned(bytes.iter().map(|byte| byte.reverse_bits()).collect())
    } else {
        Cow::Borrowed(bytes)
    };
    Ok(match layout.compression {
        Compression::None if layout.subsampling != (1, 1) => {
            Box::new(Subsampled::new(layout, Cursor::new(bytes)))
        }
        Compression::None => Box::new(Cursor::new(bytes)),
        Compression::FaxRows { .. } | Compression::FaxGroup3 { .. } | Compression::FaxGroup4 => {
            Box::new(Fax::new(bytes, layout.compression, layout.chunk_width))
        }
        Compression::Lzw => subsampled(layout, Lzw::new(bytes)),
        Compression::Deflate => {
            subsampled(layout, flate2::bufread::ZlibDecoder::new(Cursor::new(bytes)))
        }
        Compression::PackBits => {
            subsampled(layout, PackBits { source: Cursor::new(bytes), run: Run::Literal(0) })
        }
        Compression::Zstd => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(Cursor::new(bytes)).map_err(reading)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(reading)?;
            subsampled(layout, decoder)
        }
        Compression::Jpeg => Box::new(Cursor::new(jpeg_samples(layout, &bytes, row)?)),
        Compression::WebP => Box::new(Cursor::new(webp_samples(layout, &bytes)?)),
    })
}

fn subsampled<'s>(layout: &Layout<'_>, rows: impl Read + 's) -> Box<dyn Read + 's> {
    if layout.subsampling == (1, 1) {
        Box::new(rows)
    } else {
        Box::new(Subsampled::new(layout, rows))
    }
}

/// The samples of a JPEG (Adobe, "TIFF Technical Note 2"), their colours not converted. Tables that all chunks share
/// are in a tag of their own.
fn jpeg_samples(layout: &Layout<'_>, bytes: &[u8], row: u32) -> Result<Vec<u8>, CodecError> {
    let failed = |error: zune_jpeg::errors::DecodeErrors| CodecError::Decode {
        format: PictureFormat::Tiff,
        source: error.into(),
    };
    let jpeg = match layout.directory.bytes(tag::JPEG_TABLES) {
        // Without the end of the tables, and the start of the picture behind it.
        Some([tables @ .., 0xFF, 0xD9]) if bytes.starts_with(&[0xFF, 0xD8]) => {
            Cow::Owned([tables, &bytes[2..]].concat())
        }
        _ => Cow::Borrowed(bytes),
    };
    if !Markers::read(&jpeg).complete {
        return Err(Problem::Truncated.into());
    }
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
        .jpeg_set_max_scans(MAX_SCANS);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&jpeg[..]), options);
    decoder.decode_headers().map_err(failed)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let (chunk_width, chunk_height) = (layout.chunk_width as usize, layout.chunk_height as usize);
    let rows = layout.rows(row) as usize;
    let fits = (chunk_width..=chunk_width.saturating_add(MAX_SURPLUS)).contains(&width)
        && (rows..=chunk_height.saturating_add(MAX_SURPLUS)).contains(&height);
    let space = decoder.input_colorspace();
    let samples = space.map_or(0, |space| space.num_components());
    if !fits || samples != layout.samples_in_chunk() {
        return Err(Problem::Corrupt("a JPEG inside is of another kind than the tags say").into());
    }
    if let Some(space) = space {
        decoder.set_options(options.jpeg_set_out_colorspace(space));
    }
    let mut decoded = decoder.decode().map_err(failed)?;
    if width > chunk_width {
        for row in 0..rows {
            decoded.copy_within(
                row * width * samples..(row * width + chunk_width) * samples,
                row * chunk_width * samples,
            );
        }
    }
    Ok(decoded)
}

/// The samples of a WebP, as many a pixel as the tags say.
fn webp_samples(layout: &Layout<'_>, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let header = webp::header(bytes)?;
    let fits = header.width == layout.chunk_width && header.height <= layout.chunk_height;
    if !fits || header.frames != 1 || !matches!(layout.samples_in_chunk(), 3 | 4) {
        return Err(Problem::Corrupt("a WebP inside is of another kind than the tags say").into());
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

/// LZW as TIFF 6.0, section 13, has it, or as programs wrote it before: from the lowest bit, codes growing one later.
struct Lzw<'s> {
    source: Cursor<Cow<'s, [u8]>>,
    decoder: weezl::decode::Decoder,
}

impl<'s> Lzw<'s> {
    fn new(source: Cow<'s, [u8]>) -> Self {
        use weezl::BitOrder::{Lsb, Msb};
        use weezl::decode::Configuration;
        // Both begin with the code to clear the table, 256 in nine bits.
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

impl Read for Lzw<'_> {
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

/// TIFF 6.0, section 9.
struct PackBits<'s> {
    source: Cursor<Cow<'s, [u8]>>,
    run: Run,
}

/// What is left of a run.
enum Run {
    Literal(usize),
    Repeated(usize, u8),
}

impl Read for PackBits<'_> {
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

/// YCbCr of 8 bits whose pixels share colours (TIFF 6.0, section 21): in the file each block of pixels is its
/// brightnesses, row by row, then one Cb and one Cr. Here every pixel gets them.
struct Subsampled<R> {
    source: R,
    across: usize,
    down: usize,
    blocks: Vec<u8>,
    /// The rows of those blocks, three bytes a pixel, and how many were handed out.
    rows: Vec<u8>,
    taken: usize,
    width: usize,
}

impl<R: Read> Subsampled<R> {
    fn new(layout: &Layout<'_>, source: R) -> Self {
        let (across, down) = (layout.subsampling.0 as usize, layout.subsampling.1 as usize);
        let width = layout.chunk_width as usize;
        let rows = vec![0; width * 3 * down];
        let blocks = vec![0; width.div_ceil(across) * (across * down + 2)];
        Self { source, across, down, blocks, taken: rows.len(), rows, width }
    }
}

impl<R: Read> Read for Subsampled<R> {
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

//! Reads TIFF: strips and tiles, planar or not, every depth, and the compressions that people meet.
//!
//! In reading order: `directory` reads tags and their values, `layout` makes sense of them,
//! `decompress` (with `fax`) turns a chunk into rows of packed samples, `samples` unpacks them, and
//! `paint` (with `lab`) turns them into the pixels of a raster. `exif` reads the orientation for
//! other formats, `raw` tells camera raw from other TIFFs, `old_jpeg` makes a JPEG of a page that
//! is one in the old style, `beside` says what else is in a file, and `error` why a TIFF can't be
//! shown. This file ties them together.
//!
//! TIFF 6.0, Adobe's technical notes and `BigTIFF` are covered, but only the first page of a file
//! is decoded. Tiles of old-style JPEG, JBIG, JPEG 2000, LERC and LZMA are refused by name.
//!
//! This reader is our own because the tiff crate, at 0.11, decodes no palettes, CIE L*a*b*,
//! subsampled YCbCr, mixtures of sample formats or files without byte counts, and panics at tiled
//! planar pictures (<https://github.com/image-rs/image-tiff/issues/403>). It goes when the crate
//! decodes these: not before its release 0.12, and not before that issue is fixed.

pub(in crate::codec) mod beside;
mod decompress;
mod directory;
mod error;
pub(in crate::codec) mod exif;
mod fax;
mod lab;
mod layout;
mod old_jpeg;
mod paint;
pub(in crate::codec) mod raw;
mod samples;

use image::metadata::Orientation;

use self::directory::{TiffFile, tag};
use self::exif::orientation;
use self::layout::{Colour, Compression, TiffLayout};
use self::paint::Painter;
use self::samples::{SampleRange, SampleSurvey, SampleUnpacker, has_open_range, undo_predictor};
use crate::codec::error::CodecError;
use crate::codec::formats::jpeg::{self, DAMAGED_NOTE};
use crate::codec::header::Header;
use crate::codec::pixels::channels::Channels;
use crate::codec::pixels::profile::{self, Profile};
use crate::codec::pixels::raster::Raster;
use crate::codec::timer::Timer;

/// Reads the size and needs of the first page from its tags.
///
/// # Errors
/// Fails when the tags make no sense, or ask for what is not supported.
pub(in crate::codec) fn header(source: &[u8], timer: &Timer) -> Result<Header, CodecError> {
    timer.check()?;
    let file = TiffFile::open(source)?;
    if let Some(page) = old_jpeg::assemble(&file)? {
        let header = jpeg::header(&page, timer)?;
        let profile = file.read_first_page()?.bytes(tag::ICC_PROFILE).unwrap_or_default().len();
        let copies = page.len() as u64 + profile::memory_bytes(profile);
        return Ok(Header { decode_bytes: header.decode_bytes.saturating_add(copies), ..header });
    }
    let layout = TiffLayout::new(file.read_first_page()?)?;
    Ok(Header {
        width: layout.width,
        height: layout.height,
        frames: 1,
        decode_bytes: decode_bytes(&layout),
        alpha: paint::channels_of(&layout).has_alpha(),
        lossless: !matches!(layout.compression, Compression::Jpeg | Compression::WebP),
    })
}

/// Decodes the first page to 8-bit samples.
///
/// # Errors
/// Fails when the page is corrupt or cut off, needs more than `memory_bytes`, or time is over.
pub(in crate::codec) fn decode(
    source: &[u8],
    memory_bytes: u64,
    timer: &Timer,
) -> Result<Raster, CodecError> {
    let file = TiffFile::open(source)?;
    if let Some(page) = old_jpeg::assemble(&file)? {
        return decode_old_jpeg(&file, &page, timer);
    }
    let layout = TiffLayout::new(file.read_first_page()?)?;
    let (width, height) = (layout.width, layout.height);
    let needed = decode_bytes(&layout);
    if needed > memory_bytes {
        return Err(CodecError::TooMuchMemory { width, height, needed, limit: memory_bytes });
    }
    let painter = Painter::new(&layout)?;
    let Painted { samples, is_damaged, is_cut } = paint_picture(&layout, &painter, timer)?;
    // L*a*b* became sRGB while it was painted, so a profile no longer applies.
    let profile = match layout.colour {
        Colour::Lab { .. } => None,
        _ => layout.directory.bytes(tag::ICC_PROFILE),
    };
    let mut notes = pages_notes(&file);
    if is_damaged {
        notes.push(DAMAGED_NOTE.into());
    }
    if is_cut {
        notes.push("what is brighter than white or darker than black is cut off".into());
    }
    let further = layout.samples - layout.shown().count();
    if further > 0 {
        notes.push(format!("{further} channels beside its colours are not kept"));
    }
    let partial = !notes.is_empty();
    if painter.channels == Channels::Cmyk && layout.alpha.is_some() {
        notes.push("what is transparent is shown white".into());
    }
    Ok(Raster {
        width,
        height,
        channels: painter.channels,
        samples,
        profile: profile.and_then(Profile::new),
        orientation: orientation(&layout.directory).unwrap_or(Orientation::NoTransforms),
        partial,
        notes,
    })
}

/// Decodes the first page from the JPEG that it is. What the TIFF says of it counts.
fn decode_old_jpeg(file: &TiffFile<'_>, page: &[u8], timer: &Timer) -> Result<Raster, CodecError> {
    let directory = file.read_first_page()?;
    let mut raster = jpeg::decode(page, timer)?;
    raster.notes.extend(pages_notes(file));
    Ok(Raster {
        profile: directory.bytes(tag::ICC_PROFILE).and_then(Profile::new).or(raster.profile),
        orientation: orientation(&directory).unwrap_or(Orientation::NoTransforms),
        partial: !raster.notes.is_empty(),
        ..raster
    })
}

/// Returns notes on what follows the first page.
fn pages_notes(file: &TiffFile<'_>) -> Vec<String> {
    let (pages, pages_are_whole) = file.count_pages();
    let further = (pages > 1).then(|| format!("only the first of {pages} pages"));
    let damaged =
        (!pages_are_whole).then(|| "damaged: what follows its pages can't be read".into());
    further.into_iter().chain(damaged).collect()
}

/// Returns the memory that the picture takes until it is upright, in bytes: its samples, and the
/// larger of what decoding takes beside them and what its copy in RGB takes.
fn decode_bytes(layout: &TiffLayout<'_>) -> u64 {
    let channels = paint::channels_of(layout);
    let pixels = u64::from(layout.width) * u64::from(layout.height);
    let raster = pixels.saturating_mul(channels.count() as u64);
    let planes = if layout.planar { layout.shown().count() as u64 } else { 1 };
    // Rows are packed, packed again while a predictor or subsampling is undone, then 16-bit
    // samples.
    let shown = layout.shown().count() as u64;
    let rows = planes * 2 * layout.row_bytes().saturating_mul(u64::from(layout.subsampling.1))
        + shown * 2 * u64::from(layout.width);
    let inner = match layout.compression {
        Compression::Jpeg | Compression::WebP => {
            let side = |side: u32| u64::from(side) + decompress::MAX_SURPLUS as u64;
            let samples = side(layout.chunk_width) * side(layout.chunk_height);
            let samples = samples.saturating_mul(planes * layout.samples_in_chunk() as u64);
            samples.saturating_mul(decompress::BYTES_PER_INNER_SAMPLE)
        }
        compression if compression.is_fax() => {
            let rows = layout.chunk_height.min(layout.height);
            planes * fax::memory_bytes(layout.chunk_width, rows, layout.longest_chunk())
        }
        _ => 0,
    };
    // A chunk is copied when its bits are reversed, and a JPEG with its tables.
    let copies = match layout.compression {
        Compression::Jpeg => 2,
        _ => u64::from(layout.bits_reversed),
    };
    let copies = planes.saturating_mul(layout.longest_chunk()).saturating_mul(copies);
    let decoding = rows
        .saturating_add(inner)
        .saturating_add(copies)
        .saturating_add(planes * decompress::state_bytes(layout.compression));
    let rgb = pixels.saturating_mul(if channels.has_alpha() { 4 } else { 3 });
    let grows = if rgb > raster { rgb } else { 0 };
    let profile = layout.directory.bytes(tag::ICC_PROFILE).unwrap_or_default().len();
    let converting = profile::memory_bytes(profile).saturating_add(grows);
    raster.saturating_add(decoding.max(converting))
}

/// The samples of a raster.
struct Painted {
    samples: Vec<u8>,
    /// Whether a part of them may be wrong.
    is_damaged: bool,
    /// Whether some were beyond black or white.
    is_cut: bool,
}

/// Decodes the picture to the samples of a raster.
fn paint_picture(
    layout: &TiffLayout<'_>,
    painter: &Painter,
    timer: &Timer,
) -> Result<Painted, CodecError> {
    let (range, is_cut) = find_sample_range(layout, timer)?;
    let unpacker = SampleUnpacker::new(layout, range);
    let pixel_bytes = painter.channels.count();
    let row_bytes = layout.width as usize * pixel_bytes;
    let mut picture = vec![0; row_bytes * layout.height as usize];
    let mut samples = vec![Vec::new(); layout.shown().count()];
    let needs_no_change = is_stored_as_shown(layout, pixel_bytes);
    let is_damaged = for_each_row(layout, timer, |part| {
        let start = part.y as usize * row_bytes + part.x as usize * pixel_bytes;
        let target = &mut picture[start..][..part.pixels * pixel_bytes];
        if needs_no_change {
            target.copy_from_slice(&part.planes[0][..target.len()]);
            return;
        }
        for (index, (samples, sample)) in samples.iter_mut().zip(layout.shown()).enumerate() {
            samples.resize(part.pixels, 0);
            let (row, offset) =
                if layout.planar { (&part.planes[index], 0) } else { (&part.planes[0], sample) };
            unpacker.unpack_row(row, offset, index, samples);
        }
        painter.paint_row(&samples, target);
    })?;
    Ok(Painted { samples: picture, is_damaged, is_cut })
}

/// Whether a row in the file has the very bytes of a row of the raster.
fn is_stored_as_shown(layout: &TiffLayout<'_>, pixel_bytes: usize) -> bool {
    let is_plain =
        matches!(layout.colour, Colour::Grey { white_is_zero: false } | Colour::Rgb | Colour::Cmyk);
    let alpha_is_plain =
        layout.alpha.is_none_or(|alpha| !alpha.associated && layout.colour != Colour::Cmyk);
    layout.bits == 8
        && is_plain
        && alpha_is_plain
        && !layout.planar
        && layout.samples == pixel_bytes
}

/// Finds which numbers are black and white. Where the format leaves that open, the whole picture is
/// decoded once more to see. Tells whether samples lie beyond these.
fn find_sample_range(
    layout: &TiffLayout<'_>,
    timer: &Timer,
) -> Result<(SampleRange, bool), CodecError> {
    let has_range = matches!(layout.colour, Colour::Palette | Colour::Lab { .. });
    if has_range || !has_open_range(layout.sample_kind, layout.bits) {
        return Ok((SampleRange::default(), false));
    }
    let unpacker = SampleUnpacker::new(layout, SampleRange::default());
    let mut survey = SampleSurvey::default();
    for_each_row(layout, timer, |part| {
        for sample in 0..layout.colour.samples() {
            let (row, offset) =
                if layout.planar { (&part.planes[sample], 0) } else { (&part.planes[0], sample) };
            let stride = layout.samples_in_chunk();
            survey.observe(&unpacker, row, (0..part.pixels).map(|x| offset + x * stride));
        }
    })?;
    let range = survey.range(layout.sample_kind, layout.bits);
    Ok((range, survey.exceeds(range)))
}

/// A row of a chunk, cut at the edge of the picture.
struct ChunkRow<'p> {
    x: u32,
    y: u32,
    pixels: usize,
    /// Packed samples: one row, or one for each sample that is shown when the picture is planar.
    planes: &'p [Vec<u8>],
}

/// Decompresses the picture chunk by chunk and calls `visit` with each row, from a chunk's top.
/// Tells whether a chunk is damaged.
fn for_each_row(
    layout: &TiffLayout<'_>,
    timer: &Timer,
    mut visit: impl FnMut(ChunkRow<'_>),
) -> Result<bool, CodecError> {
    let (across, down) = layout.chunks();
    let chunked_samples: Vec<usize> =
        if layout.planar { layout.shown().collect() } else { vec![0] };
    let row_bytes = usize::try_from(layout.row_bytes())
        .map_err(|_| error::TiffError::Corrupt("rows are too long"))?;
    let mut planes = vec![vec![0; row_bytes]; chunked_samples.len()];
    let mut damaged = false;
    for row in 0..down {
        for column in 0..across {
            timer.check()?;
            let chunks = chunked_samples
                .iter()
                .map(|sample| decompress::open_chunk(layout, *sample, column, row, timer));
            let mut chunks = chunks.collect::<Result<Vec<_>, _>>()?;
            damaged |= chunks.iter().any(|chunk| chunk.damaged);
            let x = column * layout.chunk_width;
            let pixels = layout.chunk_width.min(layout.width - x) as usize;
            for y in 0..layout.rows(row) {
                for (chunk, plane) in chunks.iter_mut().zip(&mut planes) {
                    chunk.rows.read_exact(plane).map_err(error::from_io)?;
                    undo_predictor(layout, plane);
                }
                visit(ChunkRow { x, y: row * layout.chunk_height + y, pixels, planes: &planes });
            }
        }
    }
    Ok(damaged)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Builds a big-endian TIFF of three by two pixels whose tags are 32-bit numbers.
    fn file(tags: &[(u16, &[u32])], pixels: &[u8]) -> Vec<u8> {
        let all = [&[(tag::IMAGE_WIDTH, &[3][..]), (tag::IMAGE_LENGTH, &[2])], tags].concat();
        let directory = 8 + pixels.len();
        let mut beyond = directory + 2 + all.len() * 12 + 4;
        let mut file =
            [b"MM\0*", &u32::try_from(directory).unwrap().to_be_bytes()[..], pixels].concat();
        file.extend(u16::try_from(all.len()).unwrap().to_be_bytes());
        let mut values = Vec::new();
        for (tag, numbers) in &all {
            file.extend([tag.to_be_bytes(), [0, 4]].concat());
            file.extend(u32::try_from(numbers.len()).unwrap().to_be_bytes());
            let bytes = numbers.iter().flat_map(|number| number.to_be_bytes());
            if numbers.len() == 1 {
                file.extend(bytes);
            } else {
                file.extend(u32::try_from(beyond).unwrap().to_be_bytes());
                values.extend(bytes);
                beyond += numbers.len() * 4;
            }
        }
        [file, vec![0; 4], values].concat()
    }

    fn decoded(source: &[u8]) -> Result<(Channels, Vec<u8>), CodecError> {
        let timer = Timer::new(Duration::from_secs(60));
        header(source, &timer)?;
        decode(source, u64::MAX, &timer).map(|raster| (raster.channels, raster.samples))
    }

    #[test]
    fn kinds_that_the_usual_decoders_refuse() {
        const STRIP: (u16, &[u32]) = (tag::STRIP_OFFSETS, &[8]);
        let with = |photometric: &'static [u32], bits: &'static [u32]| {
            [STRIP, (tag::PHOTOMETRIC, photometric), (tag::BITS_PER_SAMPLE, bits)]
        };
        let planar_tiles: [(u16, &[u32]); 7] = [
            (tag::PHOTOMETRIC, &[2]),
            (tag::BITS_PER_SAMPLE, &[8, 8, 8]),
            (tag::PLANAR_CONFIGURATION, &[2]),
            (tag::TILE_WIDTH, &[2]),
            (tag::TILE_LENGTH, &[2]),
            (tag::TILE_OFFSETS, &[8, 12, 16, 20, 24, 28]),
            (tag::TILE_BYTE_COUNTS, &[4; 6]),
        ];
        let palette: (u16, &[u32]) = (tag::COLOR_MAP, &[0, 0xFFFF, 0x8000, 0xFFFF, 0, 0x1000]);
        let shared = (tag::YCBCR_SUBSAMPLING, &[2, 2][..]);
        for (name, source, expected) in [
            (
                "palette",
                file(&[&with(&[3], &[1])[..], &[palette]].concat(), &[0x40, 0xA0]),
                (
                    Channels::Rgb,
                    vec![0, 128, 0, 255, 255, 16, 0, 128, 0, 255, 255, 16, 0, 128, 0, 255, 255, 16],
                ),
            ),
            (
                "L*a*b*",
                file(&with(&[8], &[8, 8, 8]), &[255, 0, 0, 0, 0, 0].repeat(3)),
                (Channels::Rgb, { [255, 255, 255, 0, 0, 0].repeat(3) }),
            ),
            (
                "shared colours",
                file(
                    &[&with(&[6], &[8, 8, 8])[..], &[shared]].concat(),
                    &[10, 20, 40, 50, 128, 128, 30, 0, 60, 0, 128, 128],
                ),
                (Channels::Rgb, {
                    [10, 20, 30, 40, 50, 60].into_iter().flat_map(|grey| [grey; 3]).collect()
                }),
            ),
            (
                "planar tiles",
                file(
                    &planar_tiles,
                    &[
                        1, 2, 4, 5, 3, 0, 6, 0, 11, 12, 14, 15, 13, 0, 16, 0, 21, 22, 24, 25, 23,
                        0, 26, 0,
                    ],
                ),
                (Channels::Rgb, (1..7).flat_map(|first| [first, first + 10, first + 20]).collect()),
            ),
        ] {
            assert_eq!(decoded(&source).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn fax_data_is_black_on_white_in_either_order_of_bits() {
        let rows = [0b0010_0011, 0b1010_1111, 0b0000_0000, 0b0001_0000, 0b0000_0001_u8];
        let strip: (u16, &[u32]) = (tag::STRIP_OFFSETS, &[8]);
        let group_4: (u16, &[u32]) = (tag::COMPRESSION, &[4]);
        let expected = (Channels::Grey, [255, 0, 255].repeat(2));
        assert_eq!(decoded(&file(&[strip, group_4], &rows)).unwrap(), expected);
        let reversed: (u16, &[u32]) = (tag::FILL_ORDER, &[2]);
        let rows = rows.map(u8::reverse_bits);
        assert_eq!(decoded(&file(&[strip, group_4, reversed], &rows)).unwrap(), expected);
    }

    #[test]
    fn what_is_cut_off_or_too_large_is_refused() {
        let strip: (u16, &[u32]) = (tag::STRIP_OFFSETS, &[8]);
        let bits: (u16, &[u32]) = (tag::BITS_PER_SAMPLE, &[8]);
        let whole = file(&[strip, bits], &[1; 6]);
        assert!(decoded(&whole).is_ok());
        for length in 0..whole.len() - 4 {
            assert!(decoded(&whole[..length]).is_err(), "{length} bytes");
        }
        let beyond: (u16, &[u32]) = (tag::STRIP_OFFSETS, &[80]);
        assert!(matches!(decoded(&file(&[beyond, bits], &[1; 6])), Err(CodecError::Truncated(_))));
        let timer = Timer::new(Duration::from_secs(60));
        assert!(matches!(decode(&whole, 5, &timer), Err(CodecError::TooMuchMemory { .. })));
        let lerc = file(&[strip, bits, (tag::COMPRESSION, &[34_887])], &[1; 6]);
        assert!(decoded(&lerc).unwrap_err().to_string().contains("34887 (LERC)"));
    }
}

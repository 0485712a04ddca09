//! TIFF: strips and tiles, planes or not, every depth, and the compressions that people meet (TIFF 6.0, Adobe's
//! technical notes, `BigTIFF`).
//!
//! `directory` reads tags, `layout` makes sense of them, `coding` decompresses, `samples`, `paint` and `lab` make
//! pixels of it. Of a file with several pages the first is decoded. Old-style JPEG, JBIG, JPEG 2000, LERC, LZMA and
//! raw camera data are refused by name.
//!
//! The tiff crate is not used: it decodes no palettes, CIE L*a*b*, YCbCr with fewer colours than pixels, mixtures of
//! sample formats or files without byte counts, and panics at some planar tiles.

mod coding;
mod directory;
pub(in crate::codec) mod exif;
mod fax;
mod lab;
mod layout;
mod paint;
mod problem;
mod samples;

use image::metadata::Orientation;

use self::directory::{File, tag};
use self::exif::orientation;
use self::layout::{Colour, Compression, Layout};
use self::paint::Painter;
use self::samples::{Range, Survey, Unpack, has_open_range, undo_predictor};
use crate::codec::error::CodecError;
use crate::codec::header::Header;
use crate::codec::pixels::channels::Channels;
use crate::codec::pixels::raster::Raster;
use crate::codec::timer::Timer;

/// Longest colour profile; those of printers have a few megabytes.
const MAX_PROFILE_BYTES: usize = 64 << 20;

/// Reads the tags of the first page.
///
/// # Errors
/// When they make no sense, or ask for what is not supported.
pub(in crate::codec) fn header(source: &[u8], timer: &Timer) -> Result<Header, CodecError> {
    timer.check()?;
    let layout = Layout::new(File::open(source)?.first_page()?)?;
    Ok(Header {
        width: layout.width,
        height: layout.height,
        frames: 1,
        decode_bytes: decode_bytes(&layout),
        alpha: paint::channels(&layout).has_alpha(),
        lossless: !matches!(layout.compression, Compression::Jpeg | Compression::WebP),
    })
}

/// Decodes the first page to 8-bit samples.
///
/// # Errors
/// When it is corrupt, cut off, needs more than `memory_bytes`, or time is over.
pub(in crate::codec) fn decode(
    source: &[u8],
    memory_bytes: u64,
    timer: &Timer,
) -> Result<Raster, CodecError> {
    let file = File::open(source)?;
    let layout = Layout::new(file.first_page()?)?;
    let (width, height) = (layout.width, layout.height);
    let needed = decode_bytes(&layout);
    if needed > memory_bytes {
        return Err(CodecError::TooMuchMemory { width, height, needed, limit: memory_bytes });
    }
    let painter = Painter::new(&layout)?;
    let samples = paint(&layout, &painter, timer)?;
    // What became sRGB on the way has no use for a profile.
    let profile = match layout.colour {
        Colour::Lab { .. } => None,
        _ => layout.directory.bytes(tag::ICC_PROFILE),
    };
    let profile =
        profile.filter(|profile| !profile.is_empty() && profile.len() <= MAX_PROFILE_BYTES);
    let pages = file.pages();
    let mut notes = Vec::new();
    if pages > 1 {
        notes.push(format!("only the first of {pages} pages"));
    }
    if painter.channels == Channels::Cmyk && layout.alpha.is_some() {
        notes.push("what is transparent is shown white".into());
    }
    Ok(Raster {
        width,
        height,
        channels: painter.channels,
        samples,
        profile: profile.map(<[u8]>::to_vec),
        orientation: orientation(&layout.directory).unwrap_or(Orientation::NoTransforms),
        partial: pages > 1,
        notes,
    })
}

/// Memory until the picture is upright: its samples, and either what decoding takes beside them, or its copies in
/// RGB.
fn decode_bytes(layout: &Layout<'_>) -> u64 {
    let channels = paint::channels(layout);
    let pixels = u64::from(layout.width) * u64::from(layout.height);
    let raster = pixels.saturating_mul(channels.count() as u64);
    let planes = if layout.planar { layout.shown().count() as u64 } else { 1 };
    // Packed, packed again while a predictor is undone or colours are shared, and as 16-bit samples.
    let shown = layout.shown().count() as u64;
    let rows = planes * 2 * layout.row_bytes().saturating_mul(u64::from(layout.subsampling.1))
        + shown * 2 * u64::from(layout.width);
    let inner = if matches!(layout.compression, Compression::Jpeg | Compression::WebP) {
        let samples = u64::from(layout.chunk_width) * u64::from(layout.chunk_height);
        let samples = samples.saturating_mul(planes * layout.samples_in_chunk() as u64);
        samples.saturating_mul(coding::BYTES_PER_INNER_SAMPLE)
    } else {
        0
    };
    // Of a chunk that is JPEG, or whose bits are reversed, there is a copy.
    let has_copy = layout.bits_reversed || layout.compression == Compression::Jpeg;
    let copies = if has_copy { planes.saturating_mul(layout.longest_chunk()) } else { 0 };
    let decoding = rows
        .saturating_add(inner)
        .saturating_add(copies)
        .saturating_add(planes * coding::state_bytes(layout.compression));
    let rgb = pixels.saturating_mul(if channels.has_alpha() { 4 } else { 3 });
    let grows = if rgb > raster { rgb } else { 0 };
    raster.saturating_add(decoding.max(grows))
}

fn paint(layout: &Layout<'_>, painter: &Painter, timer: &Timer) -> Result<Vec<u8>, CodecError> {
    let unpack = Unpack::new(layout, range(layout, timer)?);
    let pixel_bytes = painter.channels.count();
    let row_bytes = layout.width as usize * pixel_bytes;
    let mut picture = vec![0; row_bytes * layout.height as usize];
    let mut samples = vec![Vec::new(); layout.shown().count()];
    let is_stored_so = is_stored_as_shown(layout, pixel_bytes);
    each_row(layout, timer, |part| {
        let start = part.y as usize * row_bytes + part.x as usize * pixel_bytes;
        let target = &mut picture[start..][..part.pixels * pixel_bytes];
        if is_stored_so {
            target.copy_from_slice(&part.planes[0][..target.len()]);
            return;
        }
        for (index, (samples, sample)) in samples.iter_mut().zip(layout.shown()).enumerate() {
            samples.resize(part.pixels, 0);
            let (row, offset) =
                if layout.planar { (&part.planes[index], 0) } else { (&part.planes[0], sample) };
            unpack.row(row, offset, index, samples);
        }
        painter.row(&samples, target);
    })?;
    Ok(picture)
}

/// Whether the bytes of a row are those of a raster.
fn is_stored_as_shown(layout: &Layout<'_>, pixel_bytes: usize) -> bool {
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

/// Which numbers are black and white: where that is open, from all of the picture, which is decoded once more for it.
fn range(layout: &Layout<'_>, timer: &Timer) -> Result<Range, CodecError> {
    let has_range = matches!(layout.colour, Colour::Palette | Colour::Lab { .. });
    if has_range || !has_open_range(layout.kind, layout.bits) {
        return Ok(Range::default());
    }
    let unpack = Unpack::new(layout, Range::default());
    let mut survey = Survey::default();
    each_row(layout, timer, |part| {
        for sample in 0..layout.colour.samples() {
            let (row, offset) =
                if layout.planar { (&part.planes[sample], 0) } else { (&part.planes[0], sample) };
            let stride = layout.samples_in_chunk();
            survey.look(&unpack, row, (0..part.pixels).map(|x| offset + x * stride));
        }
    })?;
    Ok(survey.range(layout.kind, layout.bits))
}

/// A row of a chunk, without what lies beyond the edge of the picture.
struct Part<'p> {
    x: u32,
    y: u32,
    pixels: usize,
    /// Packed samples: one row, or one for each sample that is shown.
    planes: &'p [Vec<u8>],
}

/// Decompresses the picture, chunk by chunk, each from its top.
fn each_row(
    layout: &Layout<'_>,
    timer: &Timer,
    mut visit: impl FnMut(Part<'_>),
) -> Result<(), CodecError> {
    let (across, down) = layout.chunks();
    let with_chunks: Vec<usize> = if layout.planar { layout.shown().collect() } else { vec![0] };
    let row_bytes = usize::try_from(layout.row_bytes())
        .map_err(|_| problem::Problem::Corrupt("rows are too long"))?;
    let mut planes = vec![vec![0; row_bytes]; with_chunks.len()];
    for row in 0..down {
        for column in 0..across {
            timer.check()?;
            let chunks =
                with_chunks.iter().map(|sample| coding::open(layout, *sample, column, row));
            let mut chunks = chunks.collect::<Result<Vec<_>, _>>()?;
            let x = column * layout.chunk_width;
            let pixels = layout.chunk_width.min(layout.width - x) as usize;
            for y in 0..layout.rows(row) {
                for (chunk, plane) in chunks.iter_mut().zip(&mut planes) {
                    chunk.read_exact(plane).map_err(problem::reading)?;
                    undo_predictor(layout, plane);
                }
                visit(Part { x, y: row * layout.chunk_height + y, pixels, planes: &planes });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A big-endian TIFF of three by two pixels; tags are 32-bit numbers, or bytes in the order of the file.
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

//! Puts a JPEG together from the tags of old-style JPEG compression (TIFF 6.0, section 22).
//!
//! Writers understood that section in three ways: the tags lead to a whole JPEG, to its head alone,
//! or to its tables. The strips then hold what follows. Adobe's Technical Note 2 (1995) replaced
//! it, and libtiff reads all three.

use std::borrow::Cow;

use super::directory::{Directory, TiffFile, tag};
use super::error::TiffError;

/// Number that names this compression in a file.
const OLD_JPEG: u64 = 6;
/// Most components of a JPEG that is put together.
const MAX_COMPONENTS: u64 = 4;
/// Most strips of a picture, as many as a JPEG has rows.
const MAX_STRIPS: u64 = 65_535;
/// Most bytes of what stands before the strips and between them.
const MAX_HEAD_BYTES: usize = 256 << 10;
/// Photometric interpretation of red, green and blue.
const RGB: u64 = 2;

const INCOMPLETE: TiffError = TiffError::Corrupt("its old-style JPEG lacks a part");

/// Returns the first page as a JPEG, or `None` if it is compressed in another way.
///
/// # Errors
/// Fails when tags are missing or lead nowhere.
pub(super) fn assemble<'s>(file: &TiffFile<'s>) -> Result<Option<Cow<'s, [u8]>>, TiffError> {
    let Some(tags) = file.read_whole_tags(None, &tag::OF_OLD_JPEG) else { return Ok(None) };
    if tags.number(tag::COMPRESSION, 0) != Some(OLD_JPEG) {
        return Ok(None);
    }
    // What is refused here is refused by name.
    if tags.count(tag::STRIP_OFFSETS) == 0 || !has_full_range(&tags) {
        return Ok(None);
    }
    let strips = Strips::read(&tags)?;
    let stream = tags.number(tag::JPEG_STREAM, 0).filter(|at| *at != 0);
    let stream = stream.and_then(|at| {
        let jpeg = match tags.number(tag::JPEG_STREAM_LENGTH, 0).filter(|length| *length != 0) {
            Some(length) => file.bytes(at, length),
            None => file.bytes_from(at),
        };
        jpeg.filter(|jpeg| jpeg.starts_with(&[0xFF, 0xD8])).map(|jpeg| (at, jpeg))
    });
    let mut jpeg = vec![0xFF, 0xD8];
    match stream {
        Some((at, whole)) if strips.begin_within(at, whole.len() as u64) => {
            return Ok(Some(whole.into()));
        }
        Some((_, head)) => copy_head(&mut jpeg, head),
        None => write_head(&mut jpeg, &tags, file)?,
    }
    strips.append(&mut jpeg, file)?;
    Ok(Some(jpeg.into()))
}

/// Where the strips are, and what a scan needs to know of them.
struct Strips<'d, 's> {
    tags: &'d Directory<'s>,
    count: u64,
    /// Number of blocks of all components that a strip has; 0 if there is but one strip.
    blocks: u16,
    components: u8,
}

impl<'d, 's> Strips<'d, 's> {
    fn read(tags: &'d Directory<'s>) -> Result<Self, TiffError> {
        let number = |tag| tags.number(tag, 0);
        let components = components(tags)?;
        let count = tags.count(tag::STRIP_OFFSETS).clamp(1, MAX_STRIPS);
        let (across, down) = subsampling(tags);
        let side = |of: Option<u64>, factor: u64| of.unwrap_or_default().div_ceil(8 * factor);
        let blocks = side(number(tag::IMAGE_WIDTH), across)
            .saturating_mul(side(number(tag::ROWS_PER_STRIP), down));
        let blocks = if count == 1 { 0 } else { u16::try_from(blocks).map_err(|_| INCOMPLETE)? };
        let blocks = match number(tag::JPEG_RESTART_INTERVAL).map(u16::try_from) {
            Some(Ok(given)) if given > 0 => given,
            _ => blocks,
        };
        Ok(Self { tags, count, blocks, components })
    }

    /// Whether the first strip begins in these bytes of the file.
    fn begin_within(&self, at: u64, length: u64) -> bool {
        let first = self.tags.number(tag::STRIP_OFFSETS, 0).unwrap_or(at);
        (at..at.saturating_add(length)).contains(&first)
    }

    /// Appends a scan of all strips, each of which begins anew.
    fn append(&self, jpeg: &mut Vec<u8>, file: &TiffFile<'s>) -> Result<(), TiffError> {
        let [high, low] = self.blocks.to_be_bytes();
        jpeg.extend([0xFF, 0xDD, 0, 4, high, low]);
        for index in 0..self.count {
            let number = |tag| self.tags.number(tag, index);
            let at = number(tag::STRIP_OFFSETS).ok_or(INCOMPLETE)?;
            let strip = match number(tag::STRIP_BYTE_COUNTS) {
                Some(length) => file.bytes(at, length).or_else(|| file.bytes_from(at)),
                None => file.bytes_from(at),
            };
            let strip = strip.ok_or(TiffError::Truncated)?;
            if index > 0 {
                jpeg.extend([0xFF, 0xD0 + (index - 1).to_le_bytes()[0] % 8]);
            } else if !strip.starts_with(&[0xFF, 0xDA]) {
                jpeg.extend([0xFF, 0xDA, 0, 6 + 2 * self.components, self.components]);
                for component in 0..self.components {
                    jpeg.extend([component_id(self.tags, component), component * 0x11]);
                }
                jpeg.extend([0, 63, 0]);
            }
            // Strips may overlap in a hostile file.
            if jpeg.len() + strip.len() > MAX_HEAD_BYTES + file.len() {
                return Err(TiffError::Corrupt("strips overlap"));
            }
            jpeg.extend_from_slice(strip);
        }
        jpeg.extend([0xFF, 0xD9]);
        Ok(())
    }
}

/// Copies the segments of a JPEG up to its scan.
fn copy_head(jpeg: &mut Vec<u8>, head: &[u8]) {
    let mut rest = &head[2..];
    while let [0xFF, marker, high, low, ..] = *rest {
        let length = 2 + usize::from(u16::from_be_bytes([high, low]));
        if matches!(marker, 0xDA | 0xD9) || length > rest.len() {
            return;
        }
        let (segment, behind) = rest.split_at(length);
        jpeg.extend_from_slice(segment);
        rest = behind;
    }
}

/// Writes the head of a JPEG whose tables lie in the TIFF, for each component its own.
fn write_head(
    jpeg: &mut Vec<u8>,
    tags: &Directory<'_>,
    file: &TiffFile<'_>,
) -> Result<(), TiffError> {
    let components = components(tags)?;
    for component in 0..components {
        let at = tags.number(tag::JPEG_Q_TABLES, component.into()).ok_or(INCOMPLETE)?;
        jpeg.extend([0xFF, 0xDB, 0, 67, component]);
        jpeg.extend(file.bytes(at, 64).ok_or(TiffError::Truncated)?);
        for (class, tag) in [(0, tag::JPEG_DC_TABLES), (0x10, tag::JPEG_AC_TABLES)] {
            let at = tags.number(tag, component.into()).ok_or(INCOMPLETE)?;
            let counts = file.bytes(at, 16).ok_or(TiffError::Truncated)?;
            let values: u16 = counts.iter().map(|count| u16::from(*count)).sum();
            let table = file.bytes(at, 16 + u64::from(values)).ok_or(TiffError::Truncated)?;
            let [high, low] = (19 + values).to_be_bytes();
            jpeg.extend([0xFF, 0xC4, high, low, class + component]);
            jpeg.extend(table);
        }
    }
    let side = |tag| {
        let side = tags.number(tag, 0).and_then(|side| u16::try_from(side).ok());
        side.map(u16::to_be_bytes).ok_or(INCOMPLETE)
    };
    let ([top, bottom], [left, right]) = (side(tag::IMAGE_LENGTH)?, side(tag::IMAGE_WIDTH)?);
    let frame = [0xFF, 0xC0, 0, 8 + 3 * components, 8, top, bottom, left, right, components];
    jpeg.extend(frame);
    let (across, down) = subsampling(tags);
    for component in 0..components {
        let factors = if component == 0 { across << 4 | down } else { 0x11 };
        jpeg.extend([component_id(tags, component), factors.to_le_bytes()[0], component]);
    }
    Ok(())
}

/// Whether black and white are the numbers that JPEG has for them.
fn has_full_range(tags: &Directory<'_>) -> bool {
    const FULL_RANGES: [[f64; 6]; 2] =
        [[0.0, 255.0, 128.0, 255.0, 128.0, 255.0], [0.0, 255.0, 0.0, 255.0, 0.0, 255.0]];
    let given = std::array::from_fn(|index| {
        tags.real(tag::REFERENCE_BLACK_WHITE, index as u64).unwrap_or(f64::NAN)
    });
    tags.count(tag::REFERENCE_BLACK_WHITE) == 0 || FULL_RANGES.contains(&given)
}

fn components(tags: &Directory<'_>) -> Result<u8, TiffError> {
    let samples = tags
        .number(tag::SAMPLES_PER_PIXEL, 0)
        .unwrap_or_else(|| tags.count(tag::BITS_PER_SAMPLE).max(1));
    let samples = u8::try_from(samples.clamp(1, MAX_COMPONENTS + 1)).map_err(|_| INCOMPLETE)?;
    let is_possible = matches!(samples, 1 | 3 | 4);
    if is_possible { Ok(samples) } else { Err(TiffError::Corrupt("too many samples")) }
}

/// Returns how many pixels share a colour, across and down, each from 1 to 4.
fn subsampling(tags: &Directory<'_>) -> (u64, u64) {
    let is_ycbcr = tags.number(tag::PHOTOMETRIC, 0) == Some(6);
    let factor = |index| {
        let given = tags.number(tag::YCBCR_SUBSAMPLING, index).unwrap_or(2);
        if is_ycbcr { given.clamp(1, 4) } else { 1 }
    };
    (factor(0), factor(1))
}

/// Returns the id of a component, by which decoders tell RGB from YCbCr.
fn component_id(tags: &Directory<'_>, component: u8) -> u8 {
    match tags.number(tag::PHOTOMETRIC, 0) {
        Some(RGB) => b"RGBA"[usize::from(component) % 4],
        _ => component + 1,
    }
}

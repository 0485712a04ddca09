//! Reads ICO and CUR: the largest of their pictures.
//!
//! In newer files that is a PNG, in older ones a bitmap with a mask. Bitmaps are left to the image
//! crate. PNGs are not, because it takes only RGBA ones.

use std::borrow::Cow;

use super::{image_crate, png};
use crate::codec::error::CodecError;
use crate::codec::header::Header;
use crate::codec::pixels::raster::Raster;
use crate::codec::sniff::PictureFormat;
use crate::codec::timer::Timer;

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1A\n";

/// Reads size and needs of the largest picture.
pub(crate) fn header(source: &[u8], timer: &Timer) -> Result<Header, CodecError> {
    let copies = 2 * source.len() as u64;
    let source = &with_corrected_sizes(source);
    let mut header = match largest(source) {
        Some(picture) if picture.starts_with(PNG_SIGNATURE) => png::header(picture, timer),
        _ => image_crate::header(source, PictureFormat::Ico, timer),
    }?;
    // Sizes are corrected in one copy, and opacity in another.
    header.decode_bytes += copies;
    Ok(header)
}

/// Decodes the largest picture, within the memory given, in bytes.
pub(crate) fn decode(
    source: &[u8],
    memory_bytes: u64,
    timer: &Timer,
) -> Result<Raster, CodecError> {
    let source = &with_corrected_sizes(source);
    match largest(source) {
        Some(picture) if picture.starts_with(PNG_SIGNATURE) => png::decode(picture, timer),
        _ => image_crate::decode(
            &with_opaque_bitmaps(source),
            PictureFormat::Ico,
            memory_bytes,
            timer,
        ),
    }
}

/// Corrects entries of the directory that give another size than their bitmaps have.
///
/// The decoder refuses them, while other programs take the bitmap's size.
fn with_corrected_sizes(source: &[u8]) -> Cow<'_, [u8]> {
    const DIRECTORY: usize = 6;
    let mut corrected = Cow::Borrowed(source);
    for (index, entry) in entries(source).enumerate() {
        let (start, _) = location(entry);
        let Some(header) = source.get(start..).and_then(<[u8]>::first_chunk::<12>) else {
            continue;
        };
        // The mask below the pixels counts as rows of the picture.
        let (width, height) = (u32_at(header, 4), u32_at(header, 8) / 2);
        if u32_at(header, 0) == 40 && (1..=256).contains(&width) && (1..=256).contains(&height) {
            // 256 is written as 0.
            let sides = [width.to_le_bytes()[0], height.to_le_bytes()[0]];
            if entry[..2] != sides {
                corrected.to_mut()[DIRECTORY + size_of_val(entry) * index..][..2]
                    .copy_from_slice(&sides);
            }
        }
    }
    corrected
}

/// Makes bitmaps of 32 bits opaque if the alpha of every pixel is 0.
///
/// They come from programs without alpha, whose masks alone say what is transparent. Windows and
/// browsers read them like this.
fn with_opaque_bitmaps(source: &[u8]) -> Cow<'_, [u8]> {
    const HEADER: usize = 40;
    let mut corrected = Cow::Borrowed(source);
    // Entries may claim the same bytes over and over, so the bytes to read are counted.
    let mut unread = source.len();
    for (start, length) in entries(source).map(location) {
        let Some(bitmap) = source.get(start..).and_then(|rest| rest.get(..length)) else {
            continue;
        };
        let Some((header, pixels)) = bitmap.split_at_checked(HEADER) else { continue };
        let is_deep =
            u32_at(header, 0) == 40 && header[14..16] == [32, 0] && u32_at(header, 16) == 0;
        // The mask below the pixels counts as rows of the picture.
        let size = u64::from(u32_at(header, 4))
            .saturating_mul(u64::from(u32_at(header, 8) / 2))
            .saturating_mul(4);
        let Some(pixels) = usize::try_from(size).ok().and_then(|size| pixels.get(..size)) else {
            continue;
        };
        unread = match unread.checked_sub(pixels.len()) {
            Some(unread) => unread,
            None => break,
        };
        if is_deep && pixels.as_chunks::<4>().0.iter().all(|[.., alpha]| *alpha == 0) {
            for [.., alpha] in
                corrected.to_mut()[start + HEADER..][..pixels.len()].as_chunks_mut::<4>().0
            {
                *alpha = 255;
            }
        }
    }
    corrected
}

/// Returns the bytes of the picture with the most pixels, or the most bits a pixel if several are
/// as large.
fn largest(source: &[u8]) -> Option<&[u8]> {
    // 0 stands for 256.
    let side = |value: u8| if value == 0 { 256 } else { u32::from(value) };
    let largest = entries(source).max_by_key(|entry| {
        (side(entry[0]) * side(entry[1]), u16::from_le_bytes([entry[6], entry[7]]))
    })?;
    let (start, length) = location(largest);
    source.get(start..start.checked_add(length)?)
}

/// Returns the entries of the directory, which say where each picture is and how large.
fn entries(source: &[u8]) -> impl Iterator<Item = &[u8; 16]> {
    let (count, entries) = match source.split_first_chunk::<6>() {
        Some((directory, entries)) => (u16::from_le_bytes([directory[4], directory[5]]), entries),
        None => (0, &[][..]),
    };
    entries.as_chunks::<16>().0.iter().take(usize::from(count))
}

/// Returns where a picture begins, and its length.
fn location(entry: &[u8; 16]) -> (usize, usize) {
    (u32_at(entry, 12) as usize, u32_at(entry, 8) as usize)
}

/// Returns the 32-bit number at an offset.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_say_what_their_bitmaps_are() {
        let mut icon = vec![0, 0, 1, 0, 1, 0];
        icon.extend([16, 32, 0, 0, 1, 0, 32, 0, 12, 0, 0, 0, 22, 0, 0, 0]);
        icon.extend([40, 0, 0, 0, 16, 0, 0, 0, 32, 0, 0, 0]);
        assert_eq!(with_corrected_sizes(&icon)[6..8], [16, 16]);
        icon[6..8].copy_from_slice(&[16, 16]);
        assert!(matches!(with_corrected_sizes(&icon), Cow::Borrowed(_)));
        // 256 pixels are written as 0.
        icon[26..34].copy_from_slice(&[0, 1, 0, 0, 0, 2, 0, 0]);
        assert_eq!(with_corrected_sizes(&icon)[6..8], [0, 0]);
    }
}

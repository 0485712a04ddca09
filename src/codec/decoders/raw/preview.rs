//! Finds the largest JPEG within a raw file.
//!
//! Makers put previews into tags, boxes and sections of their own, and move them from model to
//! model. So the whole file is looked through for a JPEG that is whole, which raw data never is by
//! chance.

use crate::codec::formats::jpeg_extent::end_of_jpeg;

/// What a JPEG begins with: its start marker, and the first byte of the next.
const START: &[u8] = b"\xFF\xD8\xFF";
/// Most JPEGs without an end that are looked at. Each costs a walk to the end of the file.
const MAX_ENDLESS: usize = 16;
/// Most segments before first scans, in all. Raw data in tiles is thousands of JPEGs with a few.
const MAX_SEGMENTS: usize = 1_000_000;

/// A whole JPEG within another file.
pub(super) struct Preview<'s> {
    /// Its bytes, from its start marker to its end marker.
    pub(super) jpeg: &'s [u8],
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Returns the JPEG with the most pixels, of those that do not begin at one of `raw_data`.
pub(super) fn largest_jpeg<'s>(source: &'s [u8], raw_data: &[u64]) -> Option<Preview<'s>> {
    let mut largest: Option<Preview<'s>> = None;
    let (mut at, mut endless, mut segments_left) = (0, 0, MAX_SEGMENTS);
    while endless < MAX_ENDLESS
        && segments_left > 0
        && let Some(found) = memchr::memmem::find(source.get(at..)?, START)
    {
        let start = at + found;
        at = start + START.len();
        let Some(frame) = frame_header(&source[start..], &mut segments_left) else { continue };
        let Some(length) = end_of_jpeg(&source[start..], frame.scan) else {
            endless += 1;
            continue;
        };
        at = start + length;
        let area = |width: u32, height: u32| u64::from(width) * u64::from(height);
        let most = largest.as_ref().map_or(0, |known| area(known.width, known.height));
        if area(frame.width, frame.height) > most && !raw_data.contains(&(start as u64)) {
            let jpeg = &source[start..at];
            largest = Some(Preview { jpeg, width: frame.width, height: frame.height });
        }
    }
    largest
}

/// What comes before the first scan.
struct FrameHeader {
    width: u32,
    height: u32,
    /// Offset of the marker of the first scan.
    scan: usize,
}

/// Reads the segments before the first scan. Returns `None` unless they follow each other without a
/// gap, and the picture is one of baseline or progressive JPEG with its own tables. Raw data is
/// neither, and the tables of a strip stand elsewhere.
fn frame_header(jpeg: &[u8], segments_left: &mut usize) -> Option<FrameHeader> {
    let (mut at, mut size, mut has_tables) = (2, None, false);
    loop {
        *segments_left = segments_left.checked_sub(1)?;
        let &[0xFF, marker, high, low] = jpeg.get(at..)?.first_chunk::<4>()? else { return None };
        let content = jpeg.get(at + 4..)?;
        match marker {
            0xDA if !has_tables => return None,
            0xDA => return size.map(|(width, height)| FrameHeader { width, height, scan: at }),
            0xC0..=0xC2 => {
                let word = |at: usize| {
                    let bytes = content.get(at..)?.first_chunk::<2>()?;
                    Some(u32::from(u16::from_be_bytes(*bytes)))
                };
                size = Some((word(3)?, word(1)?));
            }
            0xDB => has_tables = true,
            0xC4 | 0xDD | 0xE0..=0xEF | 0xFE => {}
            _ => return None,
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a JPEG without pixels whose metadata holds a larger one.
    fn jpeg(frame: u8, width: u8) -> Vec<u8> {
        let inner =
            b"\xFF\xD8\xFF\xDB\0\x02\xFF\xC0\0\x08\x08\0\xC8\0\xC8\x03\xFF\xDA\0\x02\xFF\xD9";
        let mut jpeg = [b"\xFF\xD8\xFF\xE1\0\x18", &inner[..]].concat();
        jpeg.extend([0xFF, 0xDB, 0, 2, 0xFF, frame, 0, 8, 8, 0, 9, 0, width, 3]);
        jpeg.extend(
            b"\xFF\xDA\0\x02\x01\xFF\0\x02\xFF\xD0\x03\xFF\xC4\0\x02\xFF\xDA\0\x02\x05\xFF\xD9",
        );
        jpeg
    }

    #[test]
    fn the_largest_whole_jpeg_is_found_and_none_of_raw_data() {
        let (small, large) = (jpeg(0xC0, 10), jpeg(0xC2, 20));
        let lossless = b"\xFF\xD8\xFF\xC3\0\x08\x08\0\xC8\0\xC8\x03\xFF\xDA\0\x02\xFF\xD9";
        let file = [b"raw", &small[..], b"\xFF\xD8\xFF\0", &large, lossless, b"end"].concat();
        let found = largest_jpeg(&file, &[]).unwrap();
        assert_eq!((found.jpeg, found.width, found.height), (&large[..], 20, 9));
        let large_at = (3 + small.len() + 4) as u64;
        assert_eq!(largest_jpeg(&file, &[large_at]).unwrap().jpeg, small);
        for length in 0..large.len() {
            // What is within its metadata may be found instead.
            let found = largest_jpeg(&large[..length], &[]);
            assert!(found.is_none_or(|inner| inner.width == 200), "the first {length} bytes");
        }
    }

    #[test]
    fn hostile_files_do_not_take_quadratic_time() {
        let start = b"\xFF\xD8\xFF\xDB\0\x02\xFF\xC0\0\x08\x08\0\xC8\0\xC8\x03\xFF\xDA\0\x02";
        for hostile in [start.repeat(200_000), b"\xFF\xFE\0\x05\xFF\xD8\xFF\xFE".repeat(400_000)] {
            assert!(largest_jpeg(&hostile, &[]).is_none());
        }
    }
}

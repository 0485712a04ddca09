//! Finds what a JPEG holds beside its picture: what lies behind its end, and what applications put
//! into its segments.
//!
//! Cameras that write several pictures put them behind the first, and may say in an index what each
//! is (CIPA DC-007, Multi-Picture Format). Large thumbnails of that index are the same picture.

use std::collections::HashSet;

use super::behind;
use crate::codec::formats::jpeg_extent::end_of_jpeg;
use crate::codec::formats::jpeg_markers::before_pixels;

/// What a JPEG begins with: its start marker, and the first byte of the next.
const START: &[u8] = b"\xFF\xD8\xFF";
/// What a segment of the index begins with.
const INDEX_PREFIX: &[u8] = b"MPF\0";
/// The tag of the index with an entry for each picture.
const INDEX_ENTRIES: u16 = 0xB002;
/// Most tags of the index that are looked at. It has three.
const MAX_INDEX_TAGS: usize = 64;
/// Most pictures behind the first that are looked at.
const MAX_PICTURES: usize = 10_000;
/// Length of an entry of the index, in bytes.
const ENTRY_BYTES: usize = 16;

/// Most bytes of unknown segments of applications that are passed over. Cameras write sensor data
/// of heat there, and nothing says so.
const MAX_UNKNOWN_BYTES: usize = 32 * 1024;
/// What a segment with a part of a box begins with. Numbers of 10 bytes and the box's kind follow
/// (ISO/IEC 18477-3, annex B).
const BOX_PREFIX: &[u8] = b"JP";

/// Words in the segments of applications, and what is there then. XMP holds data in the same
/// segments as its properties, or in later ones.
const IN_SEGMENTS: &[(&[u8], &str)] = &[
    (b"GDepth:", DEPTH_MAP),
    (b"GImage:", "its original, before the camera changed its focus, is not kept"),
    (b"GAudio:", "its sound is not kept"),
    (b"WAVEfmt ", "its sound is not kept"),
    // FlashPix names its streams in UTF-16.
    (b"A\0u\0d\0i\0o\0 \0S\0t\0r\0e\0a\0m\0", "its sound is not kept"),
    (b"HDR_RI ver", GAIN_MAP),
];
const DEPTH_MAP: &str = "its depth map is not kept";
const GAIN_MAP: &str = "its HDR gain map is not kept";
/// Words in the segments of a picture that only brightens another one.
const IN_GAIN_MAPS: [&[u8]; 3] = [b"hdrgm:", b"HDRGainMap", b"urn:iso:std:iso:ts:21496:-1"];

/// Returns a note on each thing that is not shown.
pub(super) fn unshown(jpeg: &[u8]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    let mut add = |note: String| {
        if !notes.contains(&note) {
            notes.push(note);
        }
    };
    let mut unknown_bytes = 0;
    for segment in before_pixels(jpeg).filter(|segment| matches!(segment.marker, 0xE1..=0xEF)) {
        let has = |what: &[u8]| memchr::memmem::find(segment.content, what).is_some();
        let named = IN_SEGMENTS.iter().filter(|(word, _)| has(word));
        named.for_each(|(_, note)| add((*note).into()));
        if segment.content.starts_with(b"FLIR\0") {
            add("its thermal data is not kept".into());
        }
        match (segment.marker, box_kind(segment.content)) {
            (0xEB, Some(b"RESI" | b"FINE" | b"RFIN")) => {
                add("its residual of JPEG XT is not kept".into());
            }
            // Credentials of the content, which can be long.
            (0xEB, Some(b"jumb")) => {}
            (0xE3..=0xEC | 0xEF, _) => unknown_bytes += segment.content.len(),
            _ => {}
        }
    }
    if unknown_bytes > MAX_UNKNOWN_BYTES {
        add(format!("{unknown_bytes} bytes of unknown segments are not kept"));
    }
    let Some(end) = end_of_jpeg(jpeg, 2) else { return notes };
    let thumbnails = thumbnails(jpeg);
    let (mut at, mut further) = (end, 0);
    for _ in 0..MAX_PICTURES {
        let rest = &jpeg[at..];
        let start = memchr::memmem::find(rest, START).unwrap_or(rest.len());
        if let Some(note) = behind::note(&rest[..start]).and_then(|_| behind::note(rest)) {
            add(note);
            break;
        }
        if start == rest.len() {
            break;
        }
        let Some(length) = end_of_jpeg(&rest[start..], 2) else {
            further += 1;
            break;
        };
        if is_gain_map(&rest[start..start + length]) {
            add(GAIN_MAP.into());
        } else if !thumbnails.contains(&(at + start)) {
            further += 1;
        }
        at += start + length;
    }
    if further > 0 {
        add(format!("only the first of {} pictures", further + 1));
    }
    notes
}

fn box_kind(content: &[u8]) -> Option<&[u8; 4]> {
    content.strip_prefix(BOX_PREFIX)?.get(10..)?.first_chunk()
}

fn is_gain_map(picture: &[u8]) -> bool {
    before_pixels(picture).any(|segment| {
        let has = |what: &[u8]| memchr::memmem::find(segment.content, what).is_some();
        matches!(segment.marker, 0xE1 | 0xE2) && IN_GAIN_MAPS.into_iter().any(has)
    })
}

/// Returns where the index says that there are large thumbnails. It is a TIFF directory, and
/// offsets count from its beginning.
fn thumbnails(jpeg: &[u8]) -> HashSet<usize> {
    let index = before_pixels(jpeg)
        .filter(|segment| segment.marker == 0xE2)
        .find_map(|segment| segment.content.strip_prefix(INDEX_PREFIX));
    let Some(index) = index else { return HashSet::new() };
    let start = index.as_ptr().addr() - jpeg.as_ptr().addr();
    let is_little = index.starts_with(b"II");
    let number = |at: usize, bytes: usize| {
        let bytes = index.get(at..at.checked_add(bytes)?)?;
        let add = |number: usize, byte: &u8| number << 8 | usize::from(*byte);
        Some(if is_little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) })
    };
    let entries = || {
        let directory = number(4, 4)?;
        let tags = number(directory, 2)?.min(MAX_INDEX_TAGS);
        let mut tags = (0..tags).map(|tag| directory + 2 + tag * 12);
        let tag = tags.find(|tag| number(*tag, 2) == Some(INDEX_ENTRIES.into()))?;
        let (length, at) = (number(tag + 4, 4)?, number(tag + 8, 4)?);
        Some((0..length / ENTRY_BYTES).map_while(move |entry| {
            let entry = at.checked_add(entry * ENTRY_BYTES)?;
            // The kind stands in three of the four bytes of its field.
            Some((number(entry, 4)? & 0x00FF_FFFF, number(entry + 8, 4)?))
        }))
    };
    let is_thumbnail = |kind: usize| kind >> 16 == 1;
    entries()
        .into_iter()
        .flatten()
        .filter(|(kind, _)| is_thumbnail(*kind))
        .filter_map(|(_, offset)| start.checked_add(offset))
        .collect()
}

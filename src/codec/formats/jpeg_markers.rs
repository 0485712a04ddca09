//! Reads the markers of a JPEG: whether its end is there, what the decoder does not tell, and its
//! metadata.
//!
//! Decoders fill a missing end with grey and report nothing, but a gallery must not hold such a
//! picture. Format: ITU-T T.81, annex B.

use std::borrow::Cow;
use std::ops::Range;

use crate::codec::pixels::profile::{MAX_PROFILE_BYTES, Profile};

/// Marker before the data of a scan.
const START_OF_SCAN: u8 = 0xDA;
/// Marker at the end of the picture.
const END_OF_IMAGE: u8 = 0xD9;

/// What a segment begins with that holds a piece of the colour profile (ICC.1:2022, B.4). The
/// number of the piece follows, and how many there are.
const PROFILE_PREFIX: &[u8] = b"ICC_PROFILE\0";
/// What a segment with EXIF begins with.
const EXIF_PREFIX: &[u8] = b"Exif\0\0";

/// Most metadata that the decoder is given, in bytes. It copies all of it, and takes quadratic time
/// for XMP in pieces.
const MAX_METADATA_BYTES: usize = 256 << 10;

/// What the markers say of a JPEG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Markers {
    /// Whether the end-of-image marker is there. What comes behind it does not matter.
    pub(crate) complete: bool,
    /// Whether it uses arithmetic coding, which few programs read, instead of Huffman coding.
    pub(crate) arithmetic: bool,
    /// Whether all coefficients are kept until the last scan, because the JPEG is progressive or a
    /// scan lacks components.
    pub(crate) buffered: bool,
    /// Bytes of the segments with metadata, with their markers.
    metadata_bytes: usize,
}

impl Markers {
    /// Walks the markers up to the end of the picture.
    pub(crate) fn read(jpeg: &[u8]) -> Self {
        let mut markers = Self::default();
        let mut components = 0;
        for Segment { marker, content, place } in segments(jpeg) {
            match marker {
                END_OF_IMAGE => markers.complete = true,
                START_OF_SCAN => {
                    markers.buffered |=
                        content.first().is_some_and(|in_scan| *in_scan < components);
                }
                // Start of frame. Every fourth of these markers defines tables instead.
                0xC0..=0xCF if !marker.is_multiple_of(4) || marker == 0xC0 => {
                    components = content.get(5).copied().unwrap_or_default();
                    markers.buffered |= matches!(marker, 0xC2 | 0xC6 | 0xCA | 0xCE);
                    markers.arithmetic |= marker >= 0xC9;
                }
                _ if is_metadata(marker) => markers.metadata_bytes += place.len(),
                _ => {}
            }
        }
        markers
    }

    /// Whether [`without_long_metadata`] copies the JPEG.
    pub(crate) const fn has_long_metadata(&self) -> bool {
        self.metadata_bytes > MAX_METADATA_BYTES
    }
}

/// Returns the JPEG without metadata if that is long.
pub(crate) fn without_long_metadata(jpeg: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if !Markers::read(&jpeg).has_long_metadata() {
        return jpeg;
    }
    let mut kept = Vec::with_capacity(jpeg.len());
    let mut from = 0;
    for Segment { place, .. } in segments(&jpeg).filter(|segment| is_metadata(segment.marker)) {
        kept.extend_from_slice(&jpeg[from..place.start]);
        from = place.end;
    }
    kept.extend_from_slice(&jpeg[from..]);
    Cow::Owned(kept)
}

/// Puts the colour profile together, or returns `None` if a piece is missing or there twice.
pub(crate) fn profile(jpeg: &[u8]) -> Option<Profile> {
    let mut pieces: [Option<&[u8]>; 256] = [None; 256];
    let (mut found, mut length) = (0_usize, 0);
    for (number, count, piece) in profile_pieces(jpeg) {
        found += 1;
        length += piece.len();
        let is_twice = pieces[usize::from(number)].replace(piece).is_some();
        if is_twice || !(1..=count).contains(&number) {
            return None;
        }
    }
    if profile_pieces(jpeg).any(|(_, count, _)| usize::from(count) != found) {
        return None;
    }
    if length > MAX_PROFILE_BYTES {
        return Some(Profile::TooLong);
    }
    Profile::new(pieces.iter().flatten().copied().collect::<Vec<_>>().concat())
}

/// Returns the EXIF metadata. Of several, the last counts.
pub(crate) fn exif(jpeg: &[u8]) -> Option<&[u8]> {
    before_pixels(jpeg)
        .filter(|segment| segment.marker == 0xE1)
        .filter_map(|segment| segment.content.strip_prefix(EXIF_PREFIX))
        .last()
}

/// Returns the pieces of the profile: the number of each, how many there are, and its bytes.
fn profile_pieces(jpeg: &[u8]) -> impl Iterator<Item = (u8, u8, &[u8])> {
    before_pixels(jpeg).filter(|segment| segment.marker == 0xE2).filter_map(|segment| match segment
        .content
        .strip_prefix(PROFILE_PREFIX)
    {
        Some([number, count, piece @ ..]) => Some((*number, *count, piece)),
        _ => None,
    })
}

/// Whether a segment is metadata of an application. Those of JFIF and Adobe say what colours are.
const fn is_metadata(marker: u8) -> bool {
    matches!(marker, 0xE1..=0xED | 0xEF)
}

pub(crate) struct Segment<'j> {
    pub(crate) marker: u8,
    pub(crate) content: &'j [u8],
    /// The bytes of the marker and the segment.
    place: Range<usize>,
}

/// Walks the segments before the first scan.
pub(crate) fn before_pixels(jpeg: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    segments(jpeg).take_while(|segment| segment.marker != START_OF_SCAN)
}

/// Walks the segments. The end-of-image marker is the last, and has no content.
///
/// Segments are stepped over, because a thumbnail within one has an end marker of its own.
fn segments(jpeg: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut at = 2; // Behind the start-of-image marker.
    let next = move || {
        loop {
            // A marker is 0xFF, any number of 0xFF as fill bytes, and neither a stuffed zero nor a
            // restart marker.
            at += memchr::memchr(0xFF, jpeg.get(at..)?)? + 1;
            let marker = *jpeg.get(at)?;
            if marker == 0xFF {
                continue; // A fill byte, which may be the start of the marker.
            }
            if matches!(marker, 0x00 | 0x01 | 0xD0..=0xD8) {
                at += 1;
                continue;
            }
            let start = at - 1;
            if marker == END_OF_IMAGE {
                at = jpeg.len();
                return Some(Segment { marker, content: &[], place: start..start + 2 });
            }
            let length = jpeg.get(at + 1..at + 3)?;
            let length = usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
            let content = jpeg.get(at + 3..at + 1 + length).unwrap_or_default();
            at += 1 + length;
            return Some(Segment { marker, content, place: start..at.min(jpeg.len()) });
        }
    };
    std::iter::from_fn(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jpeg_is_complete_only_with_its_own_end_marker() {
        let thumbnail_with_an_end = [0xFF, 0xE1, 0x00, 0x06, 1, 2, 0xFF, 0xD9];
        let scan = [0xFF, 0xDA, 0x00, 0x03, 0, 1, 2, 0xFF, 0x00, 3, 0xFF, 0xD0, 4];
        let mut jpeg = vec![0xFF, 0xD8];
        jpeg.extend(thumbnail_with_an_end);
        jpeg.extend(scan);
        assert!(!Markers::read(&jpeg).complete);
        let whole = [jpeg.as_slice(), &[0xFF, 0xFF, 0xD9], b"trailing"].concat();
        assert!(Markers::read(&whole).complete);
        for length in 0..jpeg.len() + 2 {
            assert!(!Markers::read(&whole[..length]).complete, "the first {length} bytes");
        }
    }

    #[test]
    fn long_metadata_goes_and_what_colours_are_stays() {
        let segment = |marker: u8, content: &[u8]| {
            let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
            [&[0xFF, marker][..], &length, content].concat()
        };
        let adobe = segment(0xEE, b"Adobe");
        let exif = segment(0xE1, b"Exif\0\0turned");
        let pixels = [0xFF, 0xDA, 0x00, 0x03, 0, 1, 0xFF, 0x00, 3, 0xFF, 0xD9];
        let with = |metadata: &[u8]| {
            [&[0xFF, 0xD8][..], &exif, metadata, &adobe, &pixels, b"trailing"].concat()
        };
        let short = with(&segment(0xE1, b"xmp"));
        assert_eq!(without_long_metadata(short.as_slice().into()), short);
        let long = with(&segment(0xED, &[7; 60_000]).repeat(5));
        let reduced = [&[0xFF, 0xD8][..], &adobe, &pixels, b"trailing"].concat();
        assert_eq!(without_long_metadata(long.as_slice().into()), reduced);
        assert_eq!(super::exif(&long), Some(&b"turned"[..]));
    }

    #[test]
    fn a_profile_is_put_together_from_all_its_pieces() {
        let bytes = |pieces: &[(u8, u8, &[u8])]| {
            let mut jpeg = vec![0xFF, 0xD8];
            for (number, count, piece) in pieces {
                let length = u16::try_from(piece.len() + 16).unwrap().to_be_bytes();
                jpeg.extend([&[0xFF, 0xE2][..], &length, PROFILE_PREFIX].concat());
                jpeg.extend([&[*number, *count][..], piece].concat());
            }
            match profile(&jpeg) {
                Some(Profile::Bytes(bytes)) => Some(bytes),
                _ => None,
            }
        };
        assert_eq!(bytes(&[(2, 2, b"cd"), (1, 2, b"ab")]), Some(b"abcd".to_vec()));
        assert_eq!(bytes(&[(1, 2, b"ab")]), None);
        assert_eq!(bytes(&[(1, 2, b"ab"), (1, 2, b"ab")]), None);
        assert_eq!(bytes(&[(0, 1, b"ab")]), None);
        assert_eq!(bytes(&[]), None);
    }
}

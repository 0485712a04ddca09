//! Reads what stands before the pixels of a JPEG: its kind, its colour profile and its EXIF.
//!
//! libjpeg decodes the pixels. Format: ITU-T T.81, annex B.

use crate::codec::pixels::profile::{MAX_PROFILE_BYTES, Profile};

/// Marker before the data of a scan.
const START_OF_SCAN: u8 = 0xDA;
/// Marker at the end of the picture.
const END_OF_IMAGE: u8 = 0xD9;
/// Marker of a frame of JPEG-LS (ITU-T T.87, C.1.1).
const JPEG_LS_FRAME: u8 = 0xF7;

/// What a segment begins with that holds a piece of the colour profile (ICC.1:2022, B.4). The
/// number of the piece follows, and how many there are.
const PROFILE_PREFIX: &[u8] = b"ICC_PROFILE\0";
/// What a segment with EXIF begins with.
const EXIF_PREFIX: &[u8] = b"Exif\0\0";

/// Most markers and fill bytes before the pixels. No real picture has so many, and each walk over
/// them takes time.
const MAX_MARKERS: usize = 1_000_000;

/// The pieces of a colour profile make no whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BrokenProfile;

/// Whether there are more than [`MAX_MARKERS`] before the pixels. Those behind them are not found.
pub(crate) fn has_too_many_markers(jpeg: &[u8]) -> bool {
    let mut walk = Walk::new(jpeg);
    while walk.next().is_some() {}
    walk.markers > MAX_MARKERS
}

/// Returns the name of a kind of JPEG that is not decoded, if it is one.
pub(crate) fn unsupported_kind(jpeg: &[u8]) -> Option<&'static str> {
    let frame = before_pixels(jpeg).find(|segment| is_start_of_frame(segment.marker))?;
    match (frame.marker, frame.content) {
        (0xC3 | 0xC7 | 0xCB | 0xCF, _) => Some("lossless JPEG"),
        (0xC5 | 0xC6 | 0xCD | 0xCE, _) => Some("hierarchical JPEG"),
        (JPEG_LS_FRAME, _) => Some("JPEG-LS"),
        (_, [12, ..]) => Some("JPEG with 12 bits a sample"),
        (_, [_, 0, 0, ..]) => Some("JPEG whose height stands behind its pixels"),
        _ => None,
    }
}

/// Whether a marker starts a frame. Every fourth of these markers defines tables instead.
const fn is_start_of_frame(marker: u8) -> bool {
    matches!(marker, 0xC0 | 0xC1..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | JPEG_LS_FRAME)
}

/// Puts the colour profile together, or returns `None` if there is none.
///
/// # Errors
/// Fails if a piece is missing or there twice.
pub(crate) fn profile(jpeg: &[u8]) -> Result<Option<Profile>, BrokenProfile> {
    let mut pieces: [Option<&[u8]>; 256] = [None; 256];
    let (mut found, mut length) = (0_usize, 0);
    for (number, count, piece) in profile_pieces(jpeg) {
        found += 1;
        length += piece.len();
        let is_twice = pieces[usize::from(number)].replace(piece).is_some();
        if is_twice || !(1..=count).contains(&number) {
            return Err(BrokenProfile);
        }
    }
    if profile_pieces(jpeg).any(|(_, count, _)| usize::from(count) != found) {
        return Err(BrokenProfile);
    }
    if length > MAX_PROFILE_BYTES {
        return Ok(Some(Profile::TooLong));
    }
    Ok(Profile::new(pieces.iter().flatten().copied().collect::<Vec<_>>().concat()))
}

/// Returns the EXIF metadata. Of several, the first with content counts, as in other programs: some
/// phones write a second one.
pub(crate) fn exif(jpeg: &[u8]) -> Option<&[u8]> {
    before_pixels(jpeg)
        .filter(|segment| segment.marker == 0xE1)
        .filter_map(|segment| segment.content.strip_prefix(EXIF_PREFIX))
        .find(|exif| !exif.is_empty())
}

/// Returns the segments of applications that stand before the pixels: their markers and contents.
pub(crate) fn application_segments(jpeg: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    before_pixels(jpeg)
        .filter(|segment| matches!(segment.marker, 0xE0..=0xEF))
        .map(|segment| (segment.marker, segment.content))
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

pub(crate) struct Segment<'j> {
    pub(crate) marker: u8,
    pub(crate) content: &'j [u8],
}

/// Walks the segments up to the first scan, as libjpeg does.
pub(crate) fn before_pixels(jpeg: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    Walk::new(jpeg)
}

/// A walk over the segments before the first scan.
struct Walk<'j> {
    jpeg: &'j [u8],
    at: usize,
    /// Number of markers and fill bytes passed so far.
    markers: usize,
}

impl<'j> Walk<'j> {
    /// Begins behind the start-of-image marker.
    const fn new(jpeg: &'j [u8]) -> Self {
        Self { jpeg, at: 2, markers: 0 }
    }
}

impl<'j> Iterator for Walk<'j> {
    type Item = Segment<'j>;

    fn next(&mut self) -> Option<Segment<'j>> {
        while self.markers <= MAX_MARKERS {
            // A marker is 0xFF, any number of 0xFF as fill bytes, and neither a stuffed zero nor a
            // restart marker.
            self.at += memchr::memchr(0xFF, self.jpeg.get(self.at..)?)? + 1;
            self.markers += 1;
            let marker = *self.jpeg.get(self.at)?;
            if marker == 0xFF {
                continue; // A fill byte, which may be the start of the marker.
            }
            if matches!(marker, 0x00 | 0x01 | 0xD0..=0xD8) {
                self.at += 1;
                continue;
            }
            if matches!(marker, START_OF_SCAN | END_OF_IMAGE) {
                return None;
            }
            let length = self.jpeg.get(self.at + 1..self.at + 3)?;
            let length = usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
            let content = self.jpeg.get(self.at + 3..self.at + 1 + length).unwrap_or_default();
            self.at += 1 + length;
            return Some(Segment { marker, content });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
        [&[0xFF, marker][..], &length, content].concat()
    }

    #[test]
    fn the_first_exif_before_the_pixels_counts() {
        let exif = |content: &[u8]| segment(0xE1, &[EXIF_PREFIX, content].concat());
        let jpeg = |segments: &[Vec<u8>]| [vec![0xFF, 0xD8], segments.concat()].concat();
        let (xmp, scan) = (segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0"), segment(0xDA, b""));
        // A length of 0 counts as 2, and zeros between segments are passed over.
        let odd = vec![0xFF, 0xE5, 0, 0, 0, 0, 0xFF];
        let found = |segments: &[Vec<u8>]| super::exif(&jpeg(segments)).map(<[u8]>::to_vec);
        assert_eq!(found(&[odd, xmp, exif(b"a"), exif(b"b")]), Some(b"a".to_vec()));
        assert_eq!(found(&[exif(b""), exif(b"b")]), Some(b"b".to_vec()));
        assert_eq!(found(&[scan, exif(b"a")]), None);
    }

    #[test]
    fn walks_end_after_a_million_markers() {
        let markers = |marker: &[u8], count: usize| {
            [b"\xFF\xD8", &marker.repeat(count)[..], b"\xFF\xDA\0\x02"].concat()
        };
        for marker in [&b"\xFF"[..], b"\xFF\0", b"\xFF\xD0", b"\xFF\xFE\0\x02", b"\xFF\xE1\0\0"] {
            // The marker of the scan counts, too.
            assert!(!has_too_many_markers(&markers(marker, MAX_MARKERS - 1)), "{marker:?}");
            assert!(has_too_many_markers(&markers(marker, MAX_MARKERS)), "{marker:?}");
        }
        assert_eq!(before_pixels(&markers(b"\xFF\xFE\0\x02", 2_000_000)).count(), 1_000_001);
    }

    #[test]
    fn a_profile_is_put_together_from_all_its_pieces() {
        let bytes = |pieces: &[(u8, u8, &[u8])]| {
            let mut jpeg = vec![0xFF, 0xD8];
            for (number, count, piece) in pieces {
                jpeg.extend(segment(0xE2, &[PROFILE_PREFIX, &[*number, *count], piece].concat()));
            }
            profile(&jpeg).map(|profile| match profile {
                Some(Profile::Bytes(bytes)) => Some(bytes),
                _ => None,
            })
        };
        assert_eq!(bytes(&[(2, 2, b"cd"), (1, 2, b"ab")]), Ok(Some(b"abcd".to_vec())));
        assert_eq!(bytes(&[(1, 2, b"ab")]), Err(BrokenProfile));
        assert_eq!(bytes(&[(1, 2, b"ab"), (1, 2, b"ab")]), Err(BrokenProfile));
        assert_eq!(bytes(&[(0, 1, b"ab")]), Err(BrokenProfile));
        assert_eq!(bytes(&[(0, 0, b"ab")]), Err(BrokenProfile));
        assert_eq!(bytes(&[]), Ok(None));
    }
}

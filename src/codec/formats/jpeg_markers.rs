//! Reads the markers of a JPEG: whether its end is there, and what the decoder does not tell.
//!
//! Decoders fill a missing end with grey and report nothing, but a gallery must not hold such a
//! picture. Format: ITU-T T.81, annex B.

/// Marker before the data of a scan.
const START_OF_SCAN: u8 = 0xDA;
/// Marker at the end of the picture.
const END_OF_IMAGE: u8 = 0xD9;

/// What a segment begins with that holds a piece of the colour profile (ICC.1:2022, B.4). The
/// number of the piece follows, and how many there are.
const PROFILE_PREFIX: &[u8] = b"ICC_PROFILE\0";

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
    /// Bytes of the colour profile, whose pieces are in segments of their own.
    pub(crate) profile_bytes: usize,
    /// Memory that the decoder takes for metadata, in bytes: a copy of it, in lists that grow.
    pub(crate) metadata_bytes: u64,
}

/// Memory that a segment with metadata takes in the decoder's lists, in bytes.
const SEGMENT_BYTES: u64 = 256;

impl Markers {
    /// Walks the markers up to the end of the picture.
    ///
    /// Segments are stepped over, because a thumbnail within one has an end marker of its own.
    pub(crate) fn read(jpeg: &[u8]) -> Self {
        let mut markers = Self::default();
        let mut components = 0;
        let mut at = 2; // Behind the start-of-image marker.
        loop {
            // A marker is 0xFF, any number of 0xFF as fill bytes, and neither a stuffed zero nor a
            // restart marker.
            let Some(found) = jpeg.get(at..).and_then(|rest| memchr::memchr(0xFF, rest)) else {
                return markers;
            };
            at += found + 1;
            let Some(&marker) = jpeg.get(at) else { return markers };
            if marker == 0xFF {
                continue; // A fill byte, which may be the start of the marker.
            }
            if matches!(marker, 0x00 | 0x01 | 0xD0..=0xD8) {
                at += 1;
                continue;
            }
            if marker == END_OF_IMAGE {
                markers.complete = true;
                return markers;
            }
            let Some(length) = jpeg.get(at + 1..at + 3) else { return markers };
            let length = usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
            let segment = jpeg.get(at + 3..at + 1 + length).unwrap_or_default();
            match marker {
                START_OF_SCAN => {
                    markers.buffered |=
                        segment.first().is_some_and(|in_scan| *in_scan < components);
                }
                // Start of frame. Every fourth of these markers defines tables instead.
                0xC0..=0xCF if !marker.is_multiple_of(4) || marker == 0xC0 => {
                    components = segment.get(5).copied().unwrap_or_default();
                    markers.buffered |= matches!(marker, 0xC2 | 0xC6 | 0xCA | 0xCE);
                    markers.arithmetic |= marker >= 0xC9;
                }
                // Metadata of applications: EXIF, XMP, profile, IPTC.
                0xE0..=0xEF => {
                    markers.metadata_bytes += segment.len() as u64 + SEGMENT_BYTES;
                    if let Some(piece) = segment.strip_prefix(PROFILE_PREFIX) {
                        markers.profile_bytes += piece.len().saturating_sub(2);
                    }
                }
                _ => {}
            }
            at += 1 + length;
        }
    }
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
}

//! Whether a JPEG is all there. Decoders fill a missing end with grey and say nothing; a gallery must not.

/// Walks the markers of a JPEG (ITU-T T.81, annex B) up to its end-of-image marker; `false` when the bytes end first.
/// What comes behind that marker does not matter, and neither do marker segments: an embedded thumbnail has an end
/// of its own.
pub(super) fn is_complete(jpeg: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xDA;
    const END_OF_IMAGE: u8 = 0xD9;
    let mut at = 2; // behind the start-of-image marker
    loop {
        // To the next marker: 0xFF, fill bytes of 0xFF, then neither a stuffed zero nor a restart marker.
        let Some(found) = jpeg.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0xFF)) else {
            return false;
        };
        at += found + 1;
        let Some(&marker) = jpeg.get(at) else { return false };
        match marker {
            0xFF => continue, // fill: look at it again as the start of a marker
            0x00 | 0x01 | 0xD0..=0xD8 => at += 1,
            END_OF_IMAGE => return true,
            _ => {
                let Some(length) = jpeg.get(at + 1..at + 3) else { return false };
                at += 1 + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
                if marker == START_OF_SCAN && at >= jpeg.len() {
                    return false;
                }
            }
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
        assert!(!is_complete(&jpeg));
        let whole = [jpeg.as_slice(), &[0xFF, 0xFF, 0xD9], b"trailing"].concat();
        assert!(is_complete(&whole));
        for length in 0..jpeg.len() + 2 {
            assert!(!is_complete(&whole[..length]), "the first {length} bytes");
        }
    }
}

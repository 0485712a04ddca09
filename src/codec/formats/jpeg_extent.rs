//! Finds where a JPEG ends, for what lies behind it.

/// Returns the offset behind the end marker of a JPEG, or `None` without one. `from` is the offset
/// of any of its markers.
///
/// Segments are stepped over, because a thumbnail within one has an end marker of its own.
pub(crate) fn end_of_jpeg(jpeg: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memchr(0xFF, jpeg.get(at..)?)? + 1;
        match *jpeg.get(at)? {
            // A fill byte, which may be the start of the marker.
            0xFF => at += fill_bytes(&jpeg[at..]),
            0xD9 => return Some(at + 1),
            // A stuffed zero, or a marker without content.
            0x00 | 0x01 | 0xD0..=0xD8 => at += 1,
            _ => {
                let length = jpeg.get(at + 1..)?.first_chunk::<2>()?;
                at += 1 + usize::from(u16::from_be_bytes(*length)).max(2);
            }
        }
    }
}

/// Returns how many of these bytes can be passed over at once, because more fill bytes follow them.
fn fill_bytes(rest: &[u8]) -> usize {
    const STEP: usize = 1024;
    let steps = rest.as_chunks().0.iter().take_while(|step| **step == [0xFF; STEP]).count();
    (steps * STEP).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jpeg_ends_with_its_own_end_marker() {
        let thumbnail_with_an_end = [0xFF, 0xE1, 0x00, 0x06, 1, 2, 0xFF, 0xD9];
        let scan = [0xFF, 0xDA, 0x00, 0x03, 0, 1, 2, 0xFF, 0x00, 3, 0xFF, 0xD0, 4];
        let whole =
            [&[0xFF, 0xD8], &thumbnail_with_an_end[..], &scan, &[0xFF, 0xFF, 0xD9]].concat();
        assert_eq!(end_of_jpeg(&[&whole[..], b"\xFF\xD9 trailing"].concat(), 2), Some(whole.len()));
        for count in [1, 1022, 1023, 1024, 1025, 5000] {
            let filled = [&whole[..whole.len() - 2], &vec![0xFF; count], &[0xFF, 0xD9]].concat();
            assert_eq!(end_of_jpeg(&filled, 2), Some(filled.len()), "{count} fill bytes");
            assert_eq!(end_of_jpeg(&filled[..filled.len() - 1], 2), None, "{count} fill bytes");
        }
        for length in 0..whole.len() {
            assert_eq!(end_of_jpeg(&whole[..length], 2), None, "the first {length} bytes");
        }
    }
}

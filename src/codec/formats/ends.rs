//! Completes BMPs and QOIs whose pixels are all there, and whose end is not.
//!
//! The decoders refuse such files, and other programs show them.

use crate::codec::sniff::PictureFormat;

/// The note on a picture that was completed.
pub(super) const NOTE: &str = "the end of the file is missing, but no pixel";

/// Returns a source with its end, if only that is missing.
pub(super) fn completed(source: &[u8], format: PictureFormat) -> Option<Vec<u8>> {
    let (pixels_end, end): (usize, &[u8]) = match format {
        PictureFormat::Bmp => bmp_padding(source)?,
        PictureFormat::Qoi => (qoi_pixels_end(source)?, &QOI_END),
        _ => return None,
    };
    let whole = || [&source[..pixels_end], end].concat();
    let is_missing = source.len() < pixels_end + end.len();
    is_missing.then(whole)
}

/// Returns the offset behind the pixels, and the bytes that follow to fill their last row.
///
/// Source: Microsoft, `BITMAPINFOHEADER` and `BITMAPCOREHEADER` (Win32 GDI).
fn bmp_padding(source: &[u8]) -> Option<(usize, &'static [u8])> {
    let u16_at = |at: usize| Some(u16::from_le_bytes(*source.get(at..)?.first_chunk()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(*source.get(at..)?.first_chunk()?));
    let (width, rows, bits) = if u32_at(14)? == 12 {
        (u16_at(18)?.into(), u16_at(20)?.into(), u16_at(24)?)
    } else {
        // Compression 1, 2, 4 and 5 has no rows of one length.
        matches!(u32_at(30)?, 0 | 3 | 6).then_some(())?;
        (u32_at(18)?, u32_at(22)?.cast_signed().unsigned_abs(), u16_at(28)?)
    };
    let used = (u64::from(width) * u64::from(bits)).div_ceil(8);
    let row = used.next_multiple_of(4);
    let end = row.checked_mul(rows.into())?.checked_add(u32_at(10)?.into())?;
    let padding = usize::try_from(row - used).ok()?;
    let pixels_end = usize::try_from(end).ok()?.checked_sub(padding)?;
    (pixels_end <= source.len()).then_some((pixels_end, &[0; 4][..padding]))
}

/// What follows the pixels of a QOI.
const QOI_END: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 1];

/// Returns the offset behind the pixels, if all are there.
///
/// Source: "The Quite OK Image Format", version 1.0.
fn qoi_pixels_end(source: &[u8]) -> Option<usize> {
    let header = source.first_chunk::<14>()?;
    let side = |at: usize| header[at..].first_chunk().copied().map(u32::from_be_bytes);
    let pixels = u64::from(side(4)?) * u64::from(side(8)?);
    let (mut at, mut known) = (header.len(), 0);
    while known < pixels {
        let (bytes, run) = match source.get(at)? {
            0xFE => (4, 1),
            0xFF => (5, 1),
            chunk @ 0xC0.. => (1, u64::from(chunk & 0x3F) + 1),
            0x80.. => (2, 1),
            _ => (1, 1),
        };
        at += bytes;
        known += run;
    }
    (at <= source.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_may_lack_the_padding_of_its_last_row() {
        // 3 pixels of 24 bits take 9 bytes of a row of 12.
        let mut headers = [0; 54];
        headers[..2].copy_from_slice(b"BM");
        (headers[10], headers[14], headers[18], headers[28]) = (54, 40, 3, 24);
        for rows in [2_i32, -2] {
            headers[22..26].copy_from_slice(&rows.to_le_bytes());
            let whole = [&headers[..], &[7; 21], &[0; 3]].concat();
            assert_eq!(completed(&whole, PictureFormat::Bmp), None);
            for cut in 1..=3 {
                let rest = &whole[..whole.len() - cut];
                assert_eq!(completed(rest, PictureFormat::Bmp).as_ref(), Some(&whole), "{cut}");
            }
            assert_eq!(completed(&whole[..whole.len() - 4], PictureFormat::Bmp), None);
        }
        headers[30] = 1;
        assert_eq!(completed(&[&headers[..], &[7; 21]].concat(), PictureFormat::Bmp), None);
    }

    #[test]
    fn a_qoi_may_lack_its_end() {
        // Five pixels: RGB, a run of two, a difference to the last and RGBA.
        let pixels = [0xFE, 1, 2, 3, 0xC1, 0x80, 0x88, 0xFF, 1, 2, 3, 4];
        let whole = [b"qoif\0\0\0\x05\0\0\0\x01\x04\0".as_slice(), &pixels, &QOI_END].concat();
        assert_eq!(completed(&whole, PictureFormat::Qoi), None);
        for cut in 1..=8 {
            let rest = &whole[..whole.len() - cut];
            assert_eq!(completed(rest, PictureFormat::Qoi).as_ref(), Some(&whole), "{cut}");
        }
        assert_eq!(completed(&whole[..whole.len() - 9], PictureFormat::Qoi), None);
    }
}

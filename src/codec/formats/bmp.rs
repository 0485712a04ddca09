//! Rewrites BMPs that the image crate's decoder does not take, as ones that it takes.

use std::borrow::Cow;

/// Length of the file header, in bytes: `BM`, the file's size, and at 10 where the pixels begin.
const FILE_HEADER: usize = 14;

/// Returns a BMP with the header of OS/2 2 as one with the header of Windows 3.
///
/// The decoder does not know the header of OS/2 2. The first 40 of its 64 bytes mean the same in
/// both, but for compression 3 and 4, and the rest concerns printers. Other sources are returned as
/// they are.
///
/// Source: "OS/2 2.0 Presentation Manager: GPI Guide", `BITMAPINFOHEADER2`.
pub(crate) fn without_os2_fields(source: &[u8]) -> Cow<'_, [u8]> {
    const WINDOWS_HEADER: usize = 40;
    const OS2_HEADER: usize = 64;
    let is_os2 = source.get(FILE_HEADER..FILE_HEADER + 4) == Some(&[64, 0, 0, 0]);
    let (true, Some((headers, rest))) = (is_os2, source.split_at_checked(FILE_HEADER + OS2_HEADER))
    else {
        return Cow::Borrowed(source);
    };
    let mut windows = headers[..FILE_HEADER + WINDOWS_HEADER].to_vec();
    let removed = OS2_HEADER - WINDOWS_HEADER;
    let pixels_at = u32::from_le_bytes([headers[10], headers[11], headers[12], headers[13]]);
    let pixels_at = pixels_at.saturating_sub(u32::try_from(removed).unwrap_or(0));
    windows[10..14].copy_from_slice(&pixels_at.to_le_bytes());
    windows[FILE_HEADER] = 40;
    windows.extend_from_slice(rest);
    Cow::Owned(windows)
}

/// The layout of a BMP whose pixels are coded in runs of equal ones, `BI_RLE8` or `BI_RLE4`.
///
/// The decoder refuses runs that go beyond their row, rows from the top, and pixels that are
/// skipped. All of these occur in files, and other programs show them.
///
/// Source: Microsoft, "Bitmap Compression" (Win32 GDI).
#[derive(Debug)]
pub(crate) struct RunLengthBitmap {
    /// Bits of a pixel, 8 or 4.
    bits: u8,
    /// Number of colours of the palette.
    colours: u32,
    /// Width in pixels.
    width: usize,
    rows: usize,
    /// Offset of the coded pixels.
    pixels_at: usize,
}

impl RunLengthBitmap {
    const BITS_AT: usize = FILE_HEADER + 14;
    const COMPRESSION_AT: usize = FILE_HEADER + 16;
    const COLOURS_AT: usize = FILE_HEADER + 32;
    const HEADERS: usize = FILE_HEADER + 40;

    /// Reads the headers. Returns `None` if the pixels of `source` are not coded in runs.
    pub(crate) fn parse(source: &[u8]) -> Option<Self> {
        let headers = source.get(..Self::HEADERS)?;
        let u32_at = |at: usize| headers[at..].first_chunk().copied().map(u32::from_le_bytes);
        let side = |at| usize::try_from(u32_at(at)?.cast_signed().unsigned_abs()).ok();
        let bits = headers[Self::BITS_AT];
        matches!((u32_at(Self::COMPRESSION_AT)?, bits), (1, 8) | (2, 4)).then_some(())?;
        // A header of 12 bytes has no compression.
        (u32_at(FILE_HEADER)? >= 40).then_some(())?;
        // Some files say that their pixels begin where their palette does.
        let colours = u32_at(Self::COLOURS_AT)
            .filter(|colours| (1..=256).contains(colours))
            .unwrap_or(1 << bits);
        let palette_end =
            (FILE_HEADER as u64) + u64::from(u32_at(FILE_HEADER)?) + 4 * u64::from(colours);
        let pixels_at = usize::try_from(palette_end.max(u64::from(u32_at(10)?))).ok()?;
        (Self::HEADERS..=source.len()).contains(&pixels_at).then_some(())?;
        Some(Self {
            bits,
            colours,
            width: side(FILE_HEADER + 4)?,
            rows: side(FILE_HEADER + 8)?,
            pixels_at,
        })
    }

    /// Bytes of an unpacked row.
    fn row_bytes(&self) -> usize {
        self.width.next_multiple_of(4)
    }

    /// Returns the memory that [`RunLengthBitmap::unpack`] takes, in bytes.
    pub(crate) fn unpacked_bytes(&self, source: &[u8]) -> u64 {
        self.row_bytes() as u64 * self.rows as u64 + source.len() as u64
    }

    /// Returns the headers of a BMP with 8 bits a pixel and no runs, without its pixels.
    pub(crate) fn unpacked_headers(&self, source: &[u8]) -> Vec<u8> {
        let mut headers = source[..self.pixels_at].to_vec();
        headers[10..14]
            .copy_from_slice(&u32::try_from(self.pixels_at).unwrap_or(u32::MAX).to_le_bytes());
        headers[Self::COLOURS_AT..Self::COLOURS_AT + 4]
            .copy_from_slice(&self.colours.to_le_bytes());
        headers[Self::BITS_AT] = 8;
        headers[Self::COMPRESSION_AT] = 0;
        headers
    }

    /// Returns a BMP with 8 bits a pixel and no runs, and whether pixels were skipped.
    ///
    /// Pixels beyond the end of a row or of the picture are dropped, and skipped ones get the first
    /// colour of the palette. If the source ends early, so does the result.
    pub(crate) fn unpack(&self, source: &[u8]) -> (Vec<u8>, bool) {
        // Nothing is written twice, because rows are only left for later ones.
        let mut written_pixels = 0;
        let mut bmp = self.unpacked_headers(source);
        let start = bmp.len();
        let row_bytes = self.row_bytes();
        bmp.resize(start + row_bytes * self.rows, 0);
        let pixels = &mut bmp[start..];
        let mut rest = &source[self.pixels_at..];
        let (mut x, mut y) = (0, 0);
        let nibble =
            |byte: u8, index: usize| if index.is_multiple_of(2) { byte >> 4 } else { byte & 0x0F };
        while y < self.rows {
            let Some((&[count, value], after)) = rest.split_first_chunk() else {
                let written = if x >= self.width { y + 1 } else { y };
                bmp.truncate(start + row_bytes * written);
                break;
            };
            rest = after;
            let count = usize::from(count);
            let free = self.width.saturating_sub(x);
            let row = &mut pixels[y * row_bytes..][..self.width];
            match (count, value) {
                (0, 0) => (x, y) = (0, y + 1),
                (0, 1) => break,
                (0, 2) => {
                    let Some((&[right, down], after)) = rest.split_first_chunk() else { continue };
                    rest = after;
                    (x, y) = (x + usize::from(right), y + usize::from(down));
                }
                (0, literals) => {
                    let literals = usize::from(literals);
                    let bytes = if self.bits == 4 { literals.div_ceil(2) } else { literals };
                    let (found, after) = rest.split_at(bytes.min(rest.len()));
                    rest = after.get(bytes % 2..).unwrap_or_default();
                    let to = row.iter_mut().skip(x).take(literals).enumerate();
                    if self.bits == 4 {
                        to.zip(found.iter().flat_map(|byte| [byte; 2]))
                            .for_each(|((index, pixel), byte)| *pixel = nibble(*byte, index));
                    } else {
                        to.zip(found).for_each(|((_, pixel), byte)| *pixel = *byte);
                    }
                    written_pixels += literals.min(free);
                    x += literals;
                }
                (count, value) => {
                    for (index, pixel) in row.iter_mut().skip(x).take(count).enumerate() {
                        *pixel = if self.bits == 4 { nibble(value, index) } else { value };
                    }
                    written_pixels += count.min(free);
                    x += count;
                }
            }
        }
        (bmp, written_pixels < self.width * self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a BMP of 5 x 3 pixels in runs.
    fn coded(bits: u8, height: i32, runs: &[u8]) -> Vec<u8> {
        let mut bmp = vec![0; RunLengthBitmap::HEADERS + (4 << bits)];
        bmp[..2].copy_from_slice(b"BM");
        bmp[10] = u8::try_from(RunLengthBitmap::HEADERS).unwrap();
        bmp[FILE_HEADER] = 40;
        bmp[FILE_HEADER + 4] = 5;
        bmp[FILE_HEADER + 8..FILE_HEADER + 12].copy_from_slice(&height.to_le_bytes());
        bmp[RunLengthBitmap::BITS_AT] = bits;
        bmp[RunLengthBitmap::COMPRESSION_AT] = if bits == 4 { 2 } else { 1 };
        bmp.extend_from_slice(runs);
        bmp
    }

    fn rows(bits: u8, height: i32, runs: &[u8]) -> Vec<[u8; 5]> {
        let source = coded(bits, height, runs);
        let found = RunLengthBitmap::parse(&source).unwrap();
        let (unpacked, _) = found.unpack(&source);
        assert!(unpacked.len() as u64 <= found.unpacked_bytes(&source));
        unpacked[found.pixels_at..].chunks(8).map(|row| row[..5].try_into().unwrap()).collect()
    }

    #[test]
    fn runs_are_cut_at_their_row_and_skipped_pixels_are_the_first_colour() {
        let runs = [9, 7, 0, 0, 1, 3, 0, 2, 2, 1, 1, 4, 0, 1];
        assert_eq!(rows(8, 3, &runs), [[7; 5], [3, 0, 0, 0, 0], [0, 0, 0, 4, 0]]);
        // Rows from the top are in the same order: the decoder turns them.
        assert_eq!(rows(8, -3, &runs), rows(8, 3, &runs));
        assert_eq!(rows(8, 3, &[0, 1]), [[0; 5]; 3]);
        assert_eq!(rows(8, 3, &[0, 2, 200, 200, 5, 5]), [[0; 5]; 3]);
        assert_eq!(rows(8, 3, &[0, 3, 1, 2, 3, 99, 2, 4, 0, 1])[0], [1, 2, 3, 4, 4]);
    }

    #[test]
    fn skipped_pixels_are_told() {
        for (runs, expected) in [
            (&[9, 7, 0, 0, 5, 3, 0, 0, 3, 1, 0, 4, 1, 2, 3, 4, 0, 1][..], false),
            (&[0, 1], true),
            (&[9, 7, 0, 0, 5, 3, 0, 0, 4, 1, 0, 1], true),
            (&[0, 2, 1, 0, 4, 7, 0, 0, 5, 3, 0, 0, 5, 1], true),
        ] {
            let source = coded(8, 3, runs);
            assert_eq!(RunLengthBitmap::parse(&source).unwrap().unpack(&source).1, expected);
        }
    }

    #[test]
    fn four_bits_alternate() {
        assert_eq!(
            rows(4, 3, &[5, 0x12, 0, 0, 0, 3, 0x34, 0x50, 1, 0x60, 0, 1])[..2],
            [[1, 2, 1, 2, 1], [3, 4, 5, 6, 0]]
        );
    }

    #[test]
    fn what_ends_early_ends_early() {
        assert_eq!(rows(8, 3, &[5, 1, 0, 0, 3, 2]).len(), 1);
        assert_eq!(rows(8, 3, &[5, 1, 0, 0, 5, 2]).len(), 2);
        assert_eq!(rows(8, 3, &[5, 1, 0, 0, 5, 2, 0, 0, 5, 3]).len(), 3);
        assert_eq!(rows(8, 3, &[0, 2, 1]).len(), 0);
    }

    #[test]
    fn others_are_left_alone() {
        assert!(RunLengthBitmap::parse(&coded(24, 3, &[])).is_none());
        assert!(RunLengthBitmap::parse(b"BM").is_none());
    }
}

//! Decodes black-and-white fax data with `hayro-ccitt`.
//!
//! That is ITU-T T.4 (Group 3 in one and two dimensions), T.6 (Group 4) and TIFF's Modified Huffman
//! (TIFF 6.0, sections 10 and 11). The crate decodes a whole chunk at once and finds the next line
//! after a damaged one in Group 3. This file adds packed rows, the difference between a marked end
//! and data that was cut off, and rows that begin at 16-bit words. Uncompressed mode, an extension
//! that nobody writes, is left out.

use hayro_ccitt::{DecodeError, DecodeSettings, Decoder, DecoderContext, EncodingMode};

use super::error::TiffError;
use super::layout::Compression;

/// Bytes that the decoder keeps for each change of colour in a row: two lists of 32-bit numbers,
/// which grow by doubling.
const BYTES_PER_CHANGE: u64 = 2 * 2 * 4;

/// Returns the most memory that decoding a chunk takes beside its source, in bytes.
///
/// A change of colour takes a pixel of the row and a bit of the source, so both bound the changes.
pub(super) fn memory_bytes(width: u32, rows: u32, source_bytes: u64) -> u64 {
    let packed = u64::from(width.div_ceil(8)) * u64::from(rows);
    let changes = u64::from(width).min(source_bytes.saturating_mul(8));
    packed.saturating_add(changes * BYTES_PER_CHANGE)
}

/// Decodes a chunk to rows of packed bits. 1 is black, the first pixel is the highest bit, and each
/// row begins at a byte. Rows behind a marked end are white.
///
/// # Errors
/// Fails when the data is corrupt, or ends without a mark before all rows are there.
pub(super) fn decode(
    source: &[u8],
    compression: Compression,
    width: u32,
    rows: u32,
) -> Result<Vec<u8>, TiffError> {
    let at_words = compression == Compression::FaxRows { at_words: true };
    let mut packed = PackedRows::new(width, rows);
    let mut context = DecoderContext::new(settings(compression, width, rows));
    let result = if at_words {
        context = DecoderContext::new(settings(compression, width, 1));
        decode_at_words(source, rows, &mut packed, &mut context)
    } else {
        hayro_ccitt::decode(source, &mut packed, &mut context)
    };
    match result {
        Ok(_) if packed.count == rows as usize => Ok(packed.bytes),
        Ok(end) if packed.count > 0 && (end < source.len() || ends_with_mark(source)) => {
            Ok(packed.bytes)
        }
        Ok(_) | Err(DecodeError::UnexpectedEof) => Err(TiffError::Truncated),
        Err(_) => Err(TiffError::Corrupt("corrupt fax data")),
    }
}

fn settings(compression: Compression, width: u32, rows: u32) -> DecodeSettings {
    let is_rows = matches!(compression, Compression::FaxRows { .. });
    let encoding = match compression {
        Compression::FaxGroup4 => EncodingMode::Group4,
        Compression::FaxGroup3 { two_dimensional: true } => EncodingMode::Group3_2D,
        _ => EncodingMode::Group3_1D,
    };
    DecodeSettings {
        columns: width,
        rows,
        end_of_block: !is_rows,
        // Otherwise a damaged first mark would pass for a file without marks, where the decoder
        // does not look for the next line.
        end_of_line: matches!(compression, Compression::FaxGroup3 { .. }),
        rows_are_byte_aligned: is_rows,
        encoding,
        strict: false,
    }
}

/// Decodes rows that each begin at a 16-bit word, one at a time, with a context for one row.
///
/// The decoder can't say where a row ended: it takes a byte of padding, with the zeros that follow,
/// for the end of a line. So this searches for the shortest part of the source that holds the row.
fn decode_at_words(
    source: &[u8],
    rows: u32,
    packed: &mut PackedRows,
    context: &mut DecoderContext,
) -> Result<usize, DecodeError> {
    let mut start = 0;
    for _ in 0..rows {
        let rest = source.get(start..).unwrap_or_default();
        let mut try_with =
            |bytes: usize| hayro_ccitt::decode(&rest[..bytes], &mut Nowhere, context);
        // Doubling keeps the time in proportion to the row. A part that is far too long can hold
        // thousands of false ends.
        let mut bytes = 1;
        while bytes < rest.len() && try_with(bytes) == Err(DecodeError::UnexpectedEof) {
            bytes *= 2;
        }
        let (mut too_few, mut enough) = (bytes / 2, bytes.min(rest.len()));
        while too_few + 1 < enough {
            let middle = too_few.midpoint(enough);
            if try_with(middle).is_ok() {
                enough = middle;
            } else {
                too_few = middle;
            }
        }
        hayro_ccitt::decode(&rest[..enough], packed, context)?;
        start += enough.next_multiple_of(2);
    }
    Ok(start)
}

/// Whether the last bits before the padding are two ends of a line, which mark the end of a page.
fn ends_with_mark(source: &[u8]) -> bool {
    const MARKS: u64 = 0b0000_0000_0001_0000_0000_0001;
    // In two dimensions a bit follows each end of a line. 1 means that the next line is coded by
    // itself.
    const TAGGED_MARKS: u64 = 0b00_0000_0000_0110_0000_0000_0011;
    let last = &source[source.len().saturating_sub(8)..];
    let bits = last.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    let bits = bits.checked_shr(bits.trailing_zeros()).unwrap_or_default();
    bits & 0xFF_FFFF == MARKS || bits & 0x3FF_FFFF == TAGGED_MARKS
}

/// Receives rows and packs their pixels.
struct PackedRows {
    bytes: Vec<u8>,
    width: usize,
    row_bytes: usize,
    /// Number of rows so far.
    count: usize,
}

impl PackedRows {
    fn new(width: u32, rows: u32) -> Self {
        let (width, row_bytes) = (width as usize, width.div_ceil(8) as usize);
        Self { bytes: vec![0; row_bytes * rows as usize], width, row_bytes, count: 0 }
    }
}

impl Decoder for PackedRows {
    fn push_row(&mut self, changes: &[u32]) {
        let start = self.count * self.row_bytes;
        let Some(row) = self.bytes.get_mut(start..start + self.row_bytes) else { return };
        for run in changes.chunks(2) {
            let end = run.get(1).map_or(self.width, |end| *end as usize);
            blacken(row, run[0] as usize, end);
        }
        self.count += 1;
    }
}

/// Sets the bits from `from` up to `to`.
fn blacken(row: &mut [u8], from: usize, to: usize) {
    if from >= to {
        return;
    }
    let (first, last) = (from / 8, (to - 1) / 8);
    let (head, tail) = (0xFF >> (from % 8), 0xFF << (7 - (to - 1) % 8));
    if first == last {
        row[first] |= head & tail;
    } else {
        row[first] |= head;
        row[first + 1..last].fill(0xFF);
        row[last] |= tail;
    }
}

/// Receives rows that are decoded only to see whether they can be.
struct Nowhere;

impl Decoder for Nowhere {
    fn push_row(&mut self, _: &[u32]) {}
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const ROWS: Compression = Compression::FaxRows { at_words: false };
    const ROWS_AT_WORDS: Compression = Compression::FaxRows { at_words: true };
    const GROUP_3: Compression = Compression::FaxGroup3 { two_dimensional: false };
    const GROUP_3_2D: Compression = Compression::FaxGroup3 { two_dimensional: true };

    /// The end of a line.
    const EOL: &str = "000000000001 ";
    /// Three rows of eight pixels: two white, three black, three white; all white; all black.
    const STRIPE: &str = "0111 10 1000 ";
    const WHITE: &str = "10011 ";
    const BLACK: &str = "00110101 000101 ";
    const PICTURE: [u8; 3] = [0b0011_1000, 0, 0xFF];
    /// The same rows in Group 4.
    const GROUP_4_PICTURE: &str = "001 0111 10 1  0001 1  001 00110101 000101 ";

    /// Packs digits, from the highest bit of a byte. `|` begins a new byte, and `w` a new word.
    fn bits(digits: &str) -> Vec<u8> {
        let mut packed = Vec::new();
        let mut count = 0_usize;
        for digit in digits.chars() {
            match digit {
                '0' | '1' => {
                    if count.is_multiple_of(8) {
                        packed.push(0);
                    }
                    let byte: &mut u8 = packed.last_mut().unwrap();
                    *byte |= u8::from(digit == '1') << (7 - count % 8);
                    count += 1;
                }
                '|' => count = count.next_multiple_of(8),
                'w' => {
                    count = count.next_multiple_of(16);
                    packed.resize(count / 8, 0);
                }
                _ => {}
            }
        }
        packed
    }

    fn decoded(digits: &str, compression: Compression, rows: u32) -> Result<Vec<u8>, String> {
        decode(&bits(digits), compression, 8, rows).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_of_fax_gives_the_same_rows() {
        let eol_at_bytes = format!("0000{EOL}{STRIPE}00 0000{EOL}{WHITE}000 0000{EOL}{BLACK}");
        for (name, compression, digits) in [
            ("rows", ROWS, format!("{STRIPE}|{WHITE}|{BLACK}")),
            ("rows at words", ROWS_AT_WORDS, format!("{STRIPE}w{WHITE}w{BLACK}w")),
            ("group 3", GROUP_3, format!("{EOL}{STRIPE}{EOL}{WHITE}{EOL}{BLACK}")),
            ("ends of lines that fill bytes", GROUP_3, eol_at_bytes),
            ("no first end of a line", GROUP_3, format!("{STRIPE}{EOL}{WHITE}{EOL}{BLACK}")),
            ("two dimensions", GROUP_3_2D, format!("{EOL}1{STRIPE}{EOL}0 0001 1{EOL}1{BLACK}")),
            ("group 4", Compression::FaxGroup4, GROUP_4_PICTURE.to_owned()),
        ] {
            assert_eq!(decoded(&digits, compression, 3), Ok(PICTURE.to_vec()), "{name}");
        }
    }

    /// A row that ends in an odd byte is followed by a byte of zeros, which looks like the end of a
    /// line when the next row begins with zeros too, as 29 white pixels do.
    #[test]
    fn word_aligned_rows_that_begin_with_zeros_are_no_line_ends() {
        let white = "00000010 w";
        let black = "00110101 000011001101 w";
        let digits = [white, white, black, white, white].concat();
        let mut expected = vec![0; 20];
        expected[8..12].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0b1111_1000]);
        assert_eq!(decode(&bits(&digits), ROWS_AT_WORDS, 29, 5).unwrap(), expected);

        // Each such row made every row before it slower: a file of 120 KB took a minute.
        let start = Instant::now();
        let digits = white.repeat(60_000);
        assert!(decode(&bits(&digits), ROWS_AT_WORDS, 29, 60_000).is_ok());
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }

    #[test]
    fn a_damaged_line_of_a_fax_costs_that_line_alone() {
        // Eight zeros and a one begin no code and are not the end of a line.
        let damage = "00000000 1 1111111";
        let in_one = format!("{EOL}{STRIPE}{EOL}{damage}{EOL}{BLACK}");
        assert_eq!(decoded(&in_one, GROUP_3, 3), Ok(vec![PICTURE[0], 0, PICTURE[2]]));
        let in_two = format!("{EOL}1{STRIPE}{EOL}1{damage}{EOL}1{BLACK}");
        assert_eq!(decoded(&in_two, GROUP_3_2D, 3), Ok(vec![PICTURE[0], 0, PICTURE[2]]));
        // The first end of a line may be the damaged one.
        let first = format!("0000 {STRIPE}{EOL}{damage}{EOL}{BLACK}");
        assert_eq!(decoded(&first, GROUP_3, 3).unwrap()[1..], [0, PICTURE[2]]);
        // Elsewhere nothing says where the next row begins.
        for compression in [ROWS, ROWS_AT_WORDS, Compression::FaxGroup4] {
            let digits = format!("{damage}{}", "1".repeat(64));
            assert_eq!(decoded(&digits, compression, 3), Err("corrupt fax data".into()));
        }
    }

    #[test]
    fn lines_shorter_or_longer_than_the_width_end_where_they_are_marked() {
        let short = format!("{EOL}0111 10 {EOL}{BLACK}");
        assert_eq!(decoded(&short, GROUP_3, 2), Ok(vec![PICTURE[0], 0xFF]));
        let long = format!("{EOL}{STRIPE}11 1000 10 {EOL}{BLACK}");
        assert_eq!(decoded(&long, GROUP_3, 2), Ok(vec![PICTURE[0], 0xFF]));
    }

    #[test]
    fn rows_behind_a_marked_end_are_white_and_cut_data_is_refused() {
        let lines = format!("{EOL}{STRIPE}{EOL}{WHITE}{EOL}{BLACK}");
        let tagged = format!("{EOL}1{STRIPE}{EOL}1{WHITE}{EOL}1{BLACK}");
        let with_white = [&PICTURE[..], &[0; 2]].concat();
        for (compression, digits, mark) in [
            (GROUP_3, &lines[..], EOL.repeat(6)),
            (GROUP_3_2D, &tagged, format!("{EOL}1").repeat(6)),
            (Compression::FaxGroup4, GROUP_4_PICTURE, EOL.repeat(2)),
        ] {
            for behind in ["", "| 10101010 00000000"] {
                let marked = format!("{digits}{mark}{behind}");
                assert_eq!(decoded(&marked, compression, 5), Ok(with_white.clone()), "{marked}");
            }
            assert!(decoded(digits, compression, 5).is_err(), "{compression:?}");
        }
        let rows = format!("{STRIPE}|{WHITE}|{BLACK}");
        assert_eq!(decoded(&rows, ROWS, 5), Err("the end is missing".into()));
        assert_eq!(decoded("", Compression::FaxGroup4, 5), Err("the end is missing".into()));
        let only_mark = EOL.repeat(2);
        assert!(decoded(&only_mark, Compression::FaxGroup4, 5).is_err());
    }

    #[test]
    fn memory_follows_the_rows_and_what_the_source_can_say() {
        assert_eq!(memory_bytes(8, 3, 100), 3 + 8 * 16);
        // A wide row of a short source has few changes.
        assert_eq!(memory_bytes(u32::MAX, 1, 10), (1 << 29) + 80 * 16);
    }
}

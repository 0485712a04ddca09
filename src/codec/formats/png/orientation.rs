//! Finds out which side of a PNG is up, by its EXIF metadata.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::ZlibDecoder;
use image::metadata::Orientation;

use super::chunks::{Chunk, chunks};
use crate::codec::decoders::tiff::exif::exif_orientation;

/// What JPEG has in front of EXIF. Some programs copy it into other formats.
const EXIF_PREFIX: &[u8] = b"Exif\0\0";

/// The texts in which `ImageMagick` and others keep EXIF, as hexadecimal digits.
const EXIF_KEYWORDS: [&[u8]; 2] = [b"Raw profile type exif", b"Raw profile type APP1"];

/// Most texts with these keywords that are read. One may be XMP.
const MAX_TEXTS: usize = 2;

/// Longest text that is read, in bytes. It holds the digits of the longest EXIF of a JPEG.
const MAX_TEXT_BYTES: u64 = 160 << 10;

/// Returns the orientation in the first EXIF chunk, or else in a text. Both may be behind the
/// pixels.
pub(super) fn orientation(source: &[u8]) -> Orientation {
    let chunk = chunks(source).find(|chunk| chunk.kind == *b"eXIf" && chunk.is_intact());
    let exif = chunk.map(|chunk| Cow::Borrowed(chunk.content)).or_else(|| exif_in_text(source));
    exif.map_or(Orientation::NoTransforms, |exif| exif_orientation(without_prefix(&exif)))
}

fn without_prefix(exif: &[u8]) -> &[u8] {
    exif.strip_prefix(EXIF_PREFIX).unwrap_or(exif)
}

fn exif_in_text(source: &[u8]) -> Option<Cow<'_, [u8]>> {
    let texts = chunks(source).filter_map(|chunk| exif_text(&chunk)).take(MAX_TEXTS);
    let mut texts = texts.map(|text| raw_profile(&text));
    let is_exif =
        |exif: &Vec<u8>| matches!(without_prefix(exif), [b'I', b'I', ..] | [b'M', b'M', ..]);
    texts.find(is_exif).map(Cow::Owned)
}

/// Returns the text of a chunk whose keyword says that it is EXIF.
fn exif_text(chunk: &Chunk<'_>) -> Option<Vec<u8>> {
    let keyword = EXIF_KEYWORDS.iter().find(|keyword| chunk.content.starts_with(keyword))?;
    let text = match (&chunk.kind, &chunk.content[keyword.len()..]) {
        (b"tEXt", [0, text @ ..]) => Box::new(text) as Box<dyn std::io::Read>,
        // The only method of compression is 0.
        (b"zTXt", [0, 0, text @ ..]) => Box::new(ZlibDecoder::new(text)),
        _ => return None,
    };
    let mut read = Vec::new();
    // What was inflated before an error may be all that is needed.
    let _ = text.take(MAX_TEXT_BYTES).read_to_end(&mut read);
    chunk.is_intact().then_some(read)
}

/// Reads the form in which `ImageMagick` keeps pieces of metadata in texts: hexadecimal digits
/// behind a name and a length. A text that is cut short gives what is there.
pub(in crate::codec) fn raw_profile(text: &[u8]) -> Vec<u8> {
    let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let digits: Vec<u8> = words
        .skip(2)
        .flatten()
        .map_while(|digit| char::from(*digit).to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok())
        .collect();
    digits.as_chunks().0.iter().map(|[high, low]| high << 4 | low).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_behind_name_and_length_until_something_else_comes() {
        assert_eq!(raw_profile(b"\nexif\n      4\n4d4D\n00fF\n"), b"MM\0\xFF");
        assert_eq!(raw_profile(b"exif 4 4949zz49"), b"II");
        for text in [&b""[..], b"exif", b"exif 4", b"exif 4 x"] {
            assert_eq!(raw_profile(text), b"");
        }
    }
}

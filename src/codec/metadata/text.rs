//! Cleans texts of metadata, and reads the encodings that they come in.

use crate::image::nfc;

/// Longest text that is kept, in characters.
const MAX_CHARACTERS: usize = 500;

/// Reads bytes as UTF-8 or, if they are none, as Latin-1.
pub(super) fn decode(bytes: &[u8]) -> String {
    str::from_utf8(bytes).map_or_else(|_| decode_latin_1(bytes), str::to_owned)
}

pub(super) fn decode_latin_1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Brings a text to one line in NFC without control characters. Returns `None` if nothing is left.
pub(super) fn clean(text: &str) -> Option<String> {
    let is_space = |character: char| character.is_whitespace() || character.is_control();
    let mut cleaned = String::new();
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        if !cleaned.is_empty() {
            cleaned.push(' ');
        }
        cleaned.push_str(&nfc(word));
    }
    if let Some((end, _)) = cleaned.char_indices().nth(MAX_CHARACTERS) {
        cleaned.truncate(end);
    }
    (!cleaned.is_empty()).then_some(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_one_line_of_bounded_length() {
        for (text, expected) in [
            ("  A\tbeach\r\n at\u{1b}[31m night\0", Some("A beach at [31m night")),
            ("Cafe\u{301}", Some("Café")),
            (" \u{85}\0\n", None),
        ] {
            assert_eq!(clean(text).as_deref(), expected, "{text:?}");
        }
        assert_eq!(clean(&"é".repeat(501)).unwrap(), "é".repeat(500));
        assert_eq!(decode(b"caf\xE9"), "café");
        assert_eq!(decode("café".as_bytes()), "café");
    }
}

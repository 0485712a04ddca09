//! Texts that may quote a key, without its secret part.

use std::borrow::Cow;

/// Number of digits in a key's public id.
const PUBLIC_DIGITS: usize = 16;
/// Number of hexadecimal digits in a row that may be a key, one more than an image id has.
pub const SUSPECT_DIGITS: usize = 33;

/// Cuts every long run of hexadecimal digits to a public id's length.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let is_digit = |character: &char| character.is_ascii_hexdigit();
    let suspect =
        text.split(|character: char| !is_digit(&character)).any(|run| run.len() >= SUSPECT_DIGITS);
    if !suspect {
        return Cow::Borrowed(text);
    }
    let mut redacted = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let run = rest.chars().take_while(is_digit).count();
        let (digits, behind) = rest.split_at(run);
        redacted.push_str(if run >= SUSPECT_DIGITS { &digits[..PUBLIC_DIGITS] } else { digits });
        if run >= SUSPECT_DIGITS {
            redacted.push('…');
        }
        let other = behind.find(|character: char| is_digit(&character)).unwrap_or(behind.len());
        redacted.push_str(&behind[..other]);
        rest = &behind[other..];
    }
    Cow::Owned(redacted)
}

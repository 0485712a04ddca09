//! Judges what lies behind the end of a picture.

/// Most bytes behind a picture that say nothing. Cameras and programs leave some there, and nothing
/// that a person would miss fits into them.
const MAX_PADDING: usize = 64;
/// Most bytes of the block that Samsung's phones put behind every picture. The time and the mode of
/// the camera take some hundred; what else may be in it takes far more.
const MAX_SAMSUNG_BLOCK: usize = 2048;

/// Returns a note on what lies behind a picture, or `None` if that is nothing.
pub(super) fn note(behind: &[u8]) -> Option<String> {
    let behind = without_padding(behind);
    if behind.len() <= MAX_PADDING {
        return None;
    }
    let bytes = behind.len();
    let has = |what: &[u8]| memchr::memmem::find(behind, what).is_some();
    if has(b"ftyp") {
        return Some(format!("the film behind the picture is not kept ({bytes} bytes)"));
    }
    if has(b"SoundShot") {
        return Some(format!("the sound behind the picture is not kept ({bytes} bytes)"));
    }
    if bytes <= MAX_SAMSUNG_BLOCK && behind.ends_with(b"SEFT") {
        return None;
    }
    if behind.starts_with(b"PK\x03\x04") {
        return Some(format!("the zip archive behind the picture is not kept ({bytes} bytes)"));
    }
    Some(bytes_note(bytes))
}

/// Returns the note on bytes of which nothing else is known.
pub(super) fn bytes_note(bytes: usize) -> String {
    format!("{bytes} bytes behind the picture are not kept")
}

/// Returns bytes without zeros, white space and fill bytes around them.
fn without_padding(bytes: &[u8]) -> &[u8] {
    let says_something = |byte: &u8| !matches!(byte, 0 | 0xFF) && !byte.is_ascii_whitespace();
    let Some(start) = bytes.iter().position(says_something) else { return &[] };
    let end = bytes.iter().rposition(says_something).unwrap_or(start);
    &bytes[start..=end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_nothing_and_everything_else_is_named() {
        let film = [&b"\0\0\0\x18ftypmp42"[..], &[7; 100]].concat();
        let block = |length: usize| [&vec![7; length][..], b"SEFT"].concat();
        for (behind, expected) in [
            (&[0; 70_000][..], None),
            (&[&[0xFF; 900][..], b" \r\n", &[7; 64], &[0; 900]].concat(), None),
            (&[7; 65], Some("65 bytes behind the picture are not kept")),
            (&film, Some("the film behind the picture is not kept (109 bytes)")),
            (&block(1000), None),
            (
                &[&film[..], b"SEFT"].concat(),
                Some("the film behind the picture is not kept (113 bytes)"),
            ),
            (&block(3000), Some("3004 bytes behind the picture are not kept")),
            (
                &[b"SoundShot", &block(3000)[..]].concat(),
                Some("the sound behind the picture is not kept (3013 bytes)"),
            ),
            (
                &[b"PK\x03\x04", &[7; 65][..]].concat(),
                Some("the zip archive behind the picture is not kept (69 bytes)"),
            ),
        ] {
            assert_eq!(note(behind).as_deref(), expected);
        }
    }
}

//! Finds PNMs whose header is longer than that of any real one.
//!
//! The decoder keeps lines of a header several times over, and their length is not in any estimate.

use image::codecs::pnm::PnmDecoder;

/// Longest header that is read, comments included, in bytes.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Why a header that is longer is refused.
pub(super) const LONG_HEADER: &str = "its header is longer than 64 KiB";

/// Whether the header is longer than [`MAX_HEADER_BYTES`].
pub(super) fn has_long_header(source: &[u8]) -> bool {
    let Some(mut rest) = source.get(..MAX_HEADER_BYTES) else { return false };
    // The decoder reads to the end of the header, or to what is wrong in it, and no further.
    let _ = PnmDecoder::new(&mut rest);
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_any_kind_may_be_64_kib_long() {
        const LONG: usize = MAX_HEADER_BYTES;
        let comment = |length: usize| [b"#", &vec![b'c'; length][..], b"\n"].concat();
        let digits = |length: usize| [&vec![b'0'; length][..], b"2 2 255\n"].concat();
        let spaces = |length: usize| [&vec![b' '; length][..], b"2 2 255\n"].concat();
        let mut wrong = Vec::new();
        for kind in b'1'..=b'6' {
            for length in [0, LONG - 100, LONG] {
                let numbers: &[u8] =
                    if matches!(kind, b'1' | b'4') { b"2 2\n" } else { b"2 2 9\n" };
                for (what, header) in [
                    ("comment", [comment(length), numbers.to_vec()].concat()),
                    ("digits", digits(length)),
                    ("spaces", spaces(length)),
                ] {
                    // Pixels may be as long as they like.
                    let pixels = b"1 ".repeat(LONG);
                    let pnm = [b"P", &[kind][..], b"\n", &header, &pixels].concat();
                    if has_long_header(&pnm) != (length == LONG) {
                        wrong.push((char::from(kind), what, length));
                    }
                }
            }
        }
        for (what, long) in [
            ("tuple type", [b"TUPLTYPE ", &vec![b'a'; LONG][..], b"\n"].concat()),
            ("tuple types", b"TUPLTYPE RGB\n".repeat(LONG / 10)),
            ("comment", comment(LONG)),
            ("comments", b"#\n".repeat(LONG)),
            ("number", [b"WIDTH ", &vec![b'0'; LONG][..], b"2\n"].concat()),
            ("word", vec![b'W'; LONG]),
        ] {
            let pam = [b"P7\n", &long[..], b"HEIGHT 2\nDEPTH 1\nMAXVAL 9\nENDHDR\n"].concat();
            if !has_long_header(&pam) {
                wrong.push(('7', what, LONG));
            }
        }
        let pam = b"P7\nWIDTH 400\nHEIGHT 400\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n";
        assert!(!has_long_header(&[&pam[..], &[b'a'; 160_000]].concat()));
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

//! What a file is, by its first bytes; its name does not count.

use std::fmt;

/// A format that this build decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Bmp,
    Gif,
    Jpeg,
    Png,
    Tiff,
    WebP,
}

impl Format {
    /// As people write it, for example `JPEG`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Tiff => "TIFF",
            Self::WebP => "WebP",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What some bytes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    Picture(Format),
    /// A picture, in a format that this build does not decode.
    Unsupported(&'static str),
    Nothing,
}

/// Number of bytes from the start of a file after which [`sniff`] learns nothing more.
pub const SNIFF_BYTES: usize = 32;

/// Recognises a picture by its first [`SNIFF_BYTES`] bytes.
#[must_use]
pub fn sniff(head: &[u8]) -> Sniffed {
    let picture = Sniffed::Picture;
    match head {
        [0xFF, 0xD8, 0xFF, ..] => picture(Format::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => picture(Format::Png),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => picture(Format::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => picture(Format::WebP),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => picture(Format::Tiff),
        [b'B', b'M', ..] if has_bitmap_header(head) => picture(Format::Bmp),
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => sniff_brand(brand),
        [0xFF, 0x0A, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => Sniffed::Unsupported("JPEG XL"),
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] | [0xFF, 0x4F, 0xFF, 0x51, ..] => {
            Sniffed::Unsupported("JPEG 2000")
        }
        [b'8', b'B', b'P', b'S', 0, 1 | 2, ..] => Sniffed::Unsupported("Photoshop document"),
        [b'q', b'o', b'i', b'f', ..] => Sniffed::Unsupported("QOI"),
        [0, 0, 1, 0, images, 0, ..] if *images > 0 => Sniffed::Unsupported("ICO"),
        [b'P', b'1'..=b'7', b'\n' | b'\r' | b' ' | b'\t', ..] => Sniffed::Unsupported("PNM"),
        _ => Sniffed::Nothing,
    }
}

/// `BM` alone begins many a text; the size of the header that follows is one of a few.
fn has_bitmap_header(head: &[u8]) -> bool {
    matches!(head.get(14..18), Some([12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
}

/// The brand of an ISO media file: still pictures are told from films by it.
fn sniff_brand(brand: &[u8]) -> Sniffed {
    match brand.get(..4) {
        Some(b"avif" | b"avis") => Sniffed::Unsupported("AVIF"),
        Some(b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1") => {
            Sniffed::Unsupported("HEIC")
        }
        _ => Sniffed::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_and_look_alikes_are_not_taken() {
        for (head, expected) in [
            (&b"\xFF\xD8\xFF\xE0"[..], Sniffed::Picture(Format::Jpeg)),
            (b"GIF89a", Sniffed::Picture(Format::Gif)),
            (b"RIFF\0\0\0\0WEBPVP8 ", Sniffed::Picture(Format::WebP)),
            (b"RIFF\0\0\0\0WAVEfmt ", Sniffed::Nothing),
            (b"II*\0", Sniffed::Picture(Format::Tiff)),
            (b"BMW is a car, and this is a text.", Sniffed::Nothing),
            (b"BM\0\0\0\0\0\0\0\0\0\0\0\0\x28\0\0\0", Sniffed::Picture(Format::Bmp)),
            (b"\0\0\0\x1Cftypheic", Sniffed::Unsupported("HEIC")),
            (b"\0\0\0\x1Cftypisom", Sniffed::Nothing),
            (b"an image of text", Sniffed::Nothing),
            (b"<html>", Sniffed::Nothing),
            (b"", Sniffed::Nothing),
        ] {
            assert_eq!(sniff(head), expected, "{:?}", String::from_utf8_lossy(head));
        }
    }
}

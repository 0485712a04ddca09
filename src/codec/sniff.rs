//! Recognises the format of a file by its first bytes. Its name does not count.

use std::fmt;

use super::signatures::{Signature, media_file, signature};

/// A format that this build decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFormat {
    Avif,
    Bmp,
    /// The raw data of a camera, taken by its preview.
    CameraRaw,
    Gif,
    Heic,
    Ico,
    Jpeg,
    Jxl,
    Png,
    Pnm,
    Qoi,
    Tga,
    Tiff,
    WebP,
}

impl PictureFormat {
    /// Returns the name as people write it, for example `JPEG`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avif => "AVIF",
            Self::Bmp => "BMP",
            Self::CameraRaw => "camera raw",
            Self::Gif => "GIF",
            Self::Heic => "HEIC",
            Self::Ico => "ICO",
            Self::Jpeg => "JPEG",
            Self::Jxl => "JPEG XL",
            Self::Png => "PNG",
            Self::Pnm => "PNM",
            Self::Qoi => "QOI",
            Self::Tga => "TGA",
            Self::Tiff => "TIFF",
            Self::WebP => "WebP",
        }
    }
}

impl fmt::Display for PictureFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the first bytes of a file look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// A picture that this build decodes.
    Picture(PictureFormat),
    /// A picture in a format that this build does not decode, with the format's name.
    Unsupported(&'static str),
    /// No picture, with what it is and what to do.
    Other(&'static str),
    /// No picture.
    Nothing,
}

/// Number of bytes from the start of a file after which [`sniff`] learns nothing more.
///
/// A drawing in SVG may have a long prologue. Camera raw in a TIFF is told by its directories.
pub const SNIFF_BYTES: usize = 4096;

/// Recognises a picture by its first [`SNIFF_BYTES`] bytes.
#[must_use]
pub fn sniff(head: &[u8]) -> Sniffed {
    let head = head.get(..SNIFF_BYTES).unwrap_or(head);
    let picture = Sniffed::Picture;
    match head {
        [0xFF, 0xD8, 0xFF, ..] => picture(PictureFormat::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => picture(PictureFormat::Png),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => picture(PictureFormat::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            picture(PictureFormat::WebP)
        }
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => picture(PictureFormat::Tiff),
        [b'B', b'M', ..] if has_bitmap_header(head) => picture(PictureFormat::Bmp),
        [a, b, c, d, b'f', b't', b'y', b'p', brands @ ..] => {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            sniff_brands(brands.get(..length.saturating_sub(8)).unwrap_or(brands))
        }
        [0xFF, 0x0A, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => {
            built_in(PictureFormat::Jxl, cfg!(feature = "jxl"))
        }
        [b'q', b'o', b'i', b'f', ..] => picture(PictureFormat::Qoi),
        // Icons and cursors: how many there are, then the first one's width, height, colours and a
        // zero.
        [0, 0, 1 | 2, 0, images, 0, _, _, _, 0, ..] if *images > 0 => picture(PictureFormat::Ico),
        [b'P', b'1'..=b'7', rest @ ..] if has_netpbm_header(rest) => picture(PictureFormat::Pnm),
        _ => match signature(head) {
            Some(signature) => signature.into(),
            // TGA has no magic number, so everything else comes first.
            None if has_targa_header(head) => picture(PictureFormat::Tga),
            None => Sniffed::Nothing,
        },
    }
}

impl From<Signature> for Sniffed {
    fn from(signature: Signature) -> Self {
        match signature {
            Signature::Picture(name) => Self::Unsupported(name),
            Signature::CameraRaw => Self::Picture(PictureFormat::CameraRaw),
            Signature::Other(what) => Self::Other(what),
        }
    }
}

/// Whether the size of the second header is one of the few there are. `BM` alone begins texts too.
fn has_bitmap_header(head: &[u8]) -> bool {
    matches!(head.get(14..18), Some([12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
}

/// Whether white space follows, then a number, a comment or a keyword. `P1` alone begins texts too.
fn has_netpbm_header(rest: &[u8]) -> bool {
    let mut rest = rest.iter().copied().skip_while(u8::is_ascii_whitespace);
    rest.next().is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'#' | b'W'))
        && rest.next().is_some()
}

/// Whether every field of a TGA header makes sense, because TGA has no magic number (Truevision,
/// "TGA File Format Specification 2.0").
///
/// A file of another kind may still pass. It is found out when it does not decode.
fn has_targa_header(head: &[u8]) -> bool {
    let Some(header) = head.first_chunk::<18>() else { return false };
    let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let (map, kind, map_length, map_depth) = (header[1], header[2], word(5), header[7]);
    let (width, height, depth, flags) = (word(12), word(14), header[16], header[17]);
    let has_map = map == 1 && map_length > 0 && matches!(map_depth, 15 | 16 | 24 | 32);
    let no_map = map == 0 && map_length == 0 && map_depth == 0;
    let has_known_pixels = match kind {
        1 | 9 => has_map && depth == 8,
        2 | 10 => no_map && matches!(depth, 15 | 16 | 24 | 32),
        3 | 11 => no_map && matches!(depth, 8 | 16),
        _ => false,
    };
    width > 0 && height > 0 && has_known_pixels && flags & 0xC0 == 0
}

/// Returns a format whose decoder may be left out of the build.
const fn built_in(format: PictureFormat, is_built_in: bool) -> Sniffed {
    if is_built_in { Sniffed::Picture(format) } else { Sniffed::Unsupported(format.name()) }
}

/// Tells pictures from films by the brands of an ISO media file.
///
/// The file's own brand comes first, then its version, then the brands that it is compatible with.
/// `mif1` and `msf1` say only that it is a picture.
fn sniff_brands(brands: &[u8]) -> Sniffed {
    let avif = built_in(PictureFormat::Avif, cfg!(feature = "avif"));
    let heic = built_in(PictureFormat::Heic, cfg!(feature = "heic"));
    let others = brands.get(8..).unwrap_or_default().as_chunks::<4>().0;
    match brands.first_chunk::<4>() {
        Some(b"avif" | b"avis") => avif,
        Some(b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis") => heic,
        Some(_) if others.iter().any(|brand| matches!(brand, b"avif" | b"avis")) => avif,
        Some(b"mif1" | b"msf1") => heic,
        Some(_) if others.iter().any(|brand| matches!(brand, b"heic" | b"heix" | b"mif1")) => heic,
        Some(brand) => media_file(brand).into(),
        None => Sniffed::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_and_look_alikes_are_not_taken() {
        for (head, expected) in [
            (&b"\xFF\xD8\xFF\xE0"[..], Sniffed::Picture(PictureFormat::Jpeg)),
            (b"GIF89a", Sniffed::Picture(PictureFormat::Gif)),
            (b"RIFF\0\0\0\0WEBPVP8 ", Sniffed::Picture(PictureFormat::WebP)),
            (b"RIFF\0\0\0\0WAVEfmt ", Sniffed::Other("a sound (WAV)")),
            (b"II*\0", Sniffed::Picture(PictureFormat::Tiff)),
            (b"BMW is a car, and this is a text.", Sniffed::Nothing),
            (b"BM\0\0\0\0\0\0\0\0\0\0\0\0\x28\0\0\0", Sniffed::Picture(PictureFormat::Bmp)),
            (b"\0\0\0\x1Cftypheic", built_in(PictureFormat::Heic, cfg!(feature = "heic"))),
            (
                b"\0\0\0\x1Cftypmif1\0\0\0\0mif1avif",
                built_in(PictureFormat::Avif, cfg!(feature = "avif")),
            ),
            (
                b"\0\0\0\x18ftypMiHE\0\0\0\0heicmif1",
                built_in(PictureFormat::Heic, cfg!(feature = "heic")),
            ),
            // What follows the brands does not count.
            (b"\0\0\0\x14ftypisom\0\0\0\0isomheic", Sniffed::Other("a film (MP4)")),
            (b"\0\0\0\x0Cjxlc", Sniffed::Nothing),
            (b"8BPS\0\x01", Sniffed::Unsupported("Photoshop document")),
            (b"\0\0\0\x1Cftypisom", Sniffed::Other("a film (MP4)")),
            (b"P6\n# a comment\n2 2", Sniffed::Picture(PictureFormat::Pnm)),
            (b"P7\nWIDTH 2", Sniffed::Picture(PictureFormat::Pnm)),
            (b"P1 is the first of our products", Sniffed::Nothing),
            (b"\0\0\x02\0\0\0\0\0\0\0\0\0\x40\0\x40\0\x18\0", Sniffed::Picture(PictureFormat::Tga)),
            (b"\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\x40\0\x18\0", Sniffed::Nothing),
            (b"\0\0\x01\0\x01\0\x10\x10\0\0", Sniffed::Picture(PictureFormat::Ico)),
            (b"an image of text", Sniffed::Nothing),
            (b"<html>", Sniffed::Nothing),
            (b"", Sniffed::Nothing),
        ] {
            assert_eq!(sniff(head), expected, "{:?}", String::from_utf8_lossy(head));
        }
    }
}

//! Recognises what is no picture that any build decodes: pictures of other kinds, camera raw,
//! films, sounds, archives and documents.
//!
//! The first bytes decide. Archives of office programs count as documents, of which nothing is
//! said.

/// What a file is that is no picture for any build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// A picture in a format that is not decoded, with the format's name.
    Picture(&'static str),
    /// Raw data of a camera, in a container of its maker.
    CameraRaw,
    /// No picture, with what it is and what to do.
    Other(&'static str),
}

use Signature::{CameraRaw, Other, Picture};

/// What begins with these bytes. Of several that fit, the first counts.
const STARTS: &[(&[u8], Signature)] = &[
    (b"FUJIFILMCCD-RAW ", CameraRaw),
    (b"IIU\0", CameraRaw),
    (b"IIRO", CameraRaw),
    (b"IIRS", CameraRaw),
    (b"MMOR", CameraRaw),
    (b"II\x1A\0\0\0HEAPCCDR", CameraRaw),
    (b"FOVb", CameraRaw),
    (b"\0MRM", CameraRaw),
    (b"8BPS\0\x01", Picture("Photoshop document")),
    (b"8BPS\0\x02", Picture("Photoshop document")),
    (b"\0\0\0\x0CjP  ", Picture("JPEG 2000")),
    (b"\xFF\x4F\xFF\x51", Picture("JPEG 2000")),
    (b"II\xBC", Picture("JPEG XR")),
    (b"\x76\x2F\x31\x01", Picture("OpenEXR")),
    (b"#?RADIANCE", Picture("Radiance HDR")),
    (b"#?RGBE", Picture("Radiance HDR")),
    (b"DDS \x7C\0\0\0", Picture("DDS")),
    (b"gimp xcf ", Picture("GIMP document")),
    (b"Paint Shop Pro Image File", Picture("Paint Shop Pro document")),
    (b"BPG\xFB", Picture("BPG")),
    (b"FLIF", Picture("FLIF")),
    (b"SDPX", Picture("DPX")),
    (b"XPDS", Picture("DPX")),
    (b"/* XPM */", Picture("XPM")),
    (b"\x0A\x05\x01\x01", Picture("PCX")),
    (b"\x0A\x05\x01\x08", Picture("PCX")),
    (b"\x01\xDA\0\x01", Picture("SGI")),
    (b"\x01\xDA\x01\x01", Picture("SGI")),
    (b"\xD7\xCD\xC6\x9A", Picture("Windows Metafile")),
    (b"\x8AMNG\r\n\x1A\n", Picture("MNG")),
    (b"\x8BJNG\r\n\x1A\n", Picture("JNG")),
    (b"icns\0", Picture("Apple icon")),
    (b"SIMPLE  =", Picture("FITS")),
    (b"\xC5\xD0\xD3\xC6", Picture("EPS")),
    (b"%!PS-Adobe-1.0 EPSF", Picture("EPS")),
    (b"%!PS-Adobe-2.0 EPSF", Picture("EPS")),
    (b"%!PS-Adobe-3.0 EPSF", Picture("EPS")),
    (b"%!PS-Adobe-3.1 EPSF", Picture("EPS")),
    (b"%!PS", Other("a PostScript document: export its pages as PNG or JPEG")),
    (b"%PDF-", Other("a PDF: export its pages as PNG or JPEG")),
    (b"AT&TFORM", Other("a DjVu document: export its pages as PNG or JPEG")),
    (b"\x1F\x8B", Other("a gzip archive: unpack it and import what is in it")),
    (b"\xFD7zXZ\0", Other("an xz archive: unpack it and import what is in it")),
    (b"7z\xBC\xAF\x27\x1C", Other("a 7z archive: unpack it and import the folder")),
    (b"Rar!\x1A\x07", Other("a rar archive: unpack it and import the folder")),
    (b"\x28\xB5\x2F\xFD", Other("a zstd archive: unpack it and import what is in it")),
    (b"\0\0\x01\xBA", Other("a film (MPEG)")),
    (b"\0\0\x01\xB3", Other("a film (MPEG)")),
    (b"\x30\x26\xB2\x75\x8E\x66\xCF\x11", Other("a film (WMV)")),
    (b"FLV\x01", Other("a film (FLV)")),
    (b"OggS\0", Other("a film or a sound (Ogg)")),
    (b"fLaC", Other("a sound (FLAC)")),
    (b"ID3\x02", Other("a sound (MP3)")),
    (b"ID3\x03", Other("a sound (MP3)")),
    (b"ID3\x04", Other("a sound (MP3)")),
];

/// Where a tar archive has its magic number.
const TAR_MAGIC: usize = 257;
/// Where the name of a zip archive's first file begins. Its length stands four bytes before.
const ZIP_NAME: usize = 30;
/// Length of a packet in an MPEG transport stream, in bytes.
const TRANSPORT_PACKET: usize = 188;

/// Recognises a file by its first bytes.
pub(super) fn signature(head: &[u8]) -> Option<Signature> {
    let starting = STARTS.iter().find(|(start, _)| head.starts_with(start));
    if let Some((_, signature)) = starting {
        return Some(*signature);
    }
    match head {
        [b'P', b'K', 3, 4, ..] => zip(head),
        [b'P', b'K', 5, 6, ..] | [b'P', b'K', 7, 8, ..] => Some(Other(ZIP)),
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', ..] => {
            Some(Other("a bzip2 archive: unpack it and import what is in it"))
        }
        [0x1A, 0x45, 0xDF, 0xA3, ..] => {
            let is_web = memchr::memmem::find(head.get(..64).unwrap_or(head), b"webm").is_some();
            Some(Other(if is_web { "a film (WebM)" } else { "a film (MKV)" }))
        }
        [b'R', b'I', b'F', b'F', _, _, _, _, kind @ ..] => match kind.first_chunk()? {
            b"AVI " => Some(Other("a film (AVI)")),
            b"WAVE" => Some(Other("a sound (WAV)")),
            _ => None,
        },
        // Films of old QuickTime have no brand.
        [0, _, _, _, b'm', b'o', b'o', b'v', ..]
        | [_, _, _, _, b'm', b'd', b'a', b't', ..]
        | [0, 0, 0, 8, b'w', b'i', b'd', b'e', ..]
        | [0, 0, 0, _, b'p', b'n', b'o', b't', ..] => Some(Other(MOV)),
        [1, 0, 0, 0, ..] if head.get(40..44) == Some(b" EMF") => Some(Picture("Windows Metafile")),
        _ if head.get(128..132) == Some(b"DICM") => Some(Picture("DICOM")),
        _ if head.get(TAR_MAGIC..TAR_MAGIC + 5) == Some(b"ustar") => {
            Some(Other("a tar archive: unpack it and import the folder"))
        }
        _ if is_transport_stream(head) => Some(Other("a film (MPEG)")),
        _ if is_svg(head) => Some(Picture("SVG")),
        _ => None,
    }
}

const ZIP: &str = "a zip archive: unpack it and import the folder";
const MOV: &str = "a film (MOV)";

/// Recognises an ISO media file by its own brand, which is none of a picture.
pub(super) fn media_file(brand: &[u8; 4]) -> Signature {
    match brand {
        b"crx " => CameraRaw,
        b"jp2 " | b"jpx " | b"jpm " => Picture("JPEG 2000"),
        b"qt  " => Other(MOV),
        b"M4A " | b"M4B " | b"M4P " => Other("a sound (M4A)"),
        [b'3', b'g', ..] => Other("a film (3GP)"),
        _ => Other("a film (MP4)"),
    }
}

/// Tells archives from the documents of office programs, and of painting programs, which are zip
/// files too.
fn zip(head: &[u8]) -> Option<Signature> {
    let length = head.get(ZIP_NAME - 4..ZIP_NAME - 2);
    let length = length.map_or(0, |two| usize::from(u16::from_le_bytes([two[0], two[1]])));
    let name_and_content = head.get(ZIP_NAME..).unwrap_or_default();
    let name = name_and_content.get(..length).unwrap_or(name_and_content);
    let is_document = name == b"[Content_Types].xml"
        || [&b"_rels/"[..], b"docProps/", b"word/", b"xl/", b"ppt/", b"META-INF/"]
            .iter()
            .any(|folder| name.starts_with(folder));
    match name_and_content.strip_prefix(b"mimetype") {
        _ if is_document => None,
        Some(content) if content.starts_with(b"image/openraster") => {
            Some(Picture("OpenRaster document"))
        }
        Some(content) if content.starts_with(b"application/x-krita") => {
            Some(Picture("Krita document"))
        }
        Some(content) if content.starts_with(b"application/") => None,
        _ => Some(Other(ZIP)),
    }
}

/// Whether packets of a transport stream follow each other, with or without time stamps.
fn is_transport_stream(head: &[u8]) -> bool {
    let has_sync = |first: usize, distance: usize| {
        (0..4).all(|packet| head.get(first + packet * distance) == Some(&0x47))
    };
    has_sync(0, TRANSPORT_PACKET) || has_sync(4, TRANSPORT_PACKET + 4)
}

/// Whether the first element of an XML file is a drawing.
fn is_svg(head: &[u8]) -> bool {
    // In UTF-16, letters of a drawing's markup have a zero beside them.
    let unicode = matches!(head, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]);
    let narrowed: Vec<u8>;
    let mut rest = if unicode {
        narrowed = head[2..].iter().copied().filter(|byte| *byte != 0).collect();
        &narrowed[..]
    } else {
        head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head)
    };
    loop {
        rest = rest.trim_ascii_start();
        let behind = match rest {
            [b'<', b'?', ..] => behind(rest, b"?>"),
            [b'<', b'!', b'-', b'-', ..] => behind(rest, b"-->"),
            [b'<', b'!', declaration @ ..] => {
                let name = declaration.strip_prefix(b"DOCTYPE").map(<[u8]>::trim_ascii_start);
                if name.is_some_and(is_named_svg) {
                    return true;
                }
                behind_declaration(declaration)
            }
            [b'<', name @ ..] => return is_named_svg(name),
            _ => return false,
        };
        let Some(behind) = behind else { return false };
        rest = behind;
    }
}

fn behind<'h>(text: &'h [u8], end: &[u8]) -> Option<&'h [u8]> {
    memchr::memmem::find(text, end).map(|at| &text[at + end.len()..])
}

/// Returns what follows a document type, which may define entities within brackets.
fn behind_declaration(declaration: &[u8]) -> Option<&[u8]> {
    let end = declaration.iter().position(|byte| matches!(byte, b'>' | b'['))?;
    if declaration[end] == b'>' { declaration.get(end + 1..) } else { behind(declaration, b"]>") }
}

/// Whether a name is `svg`, whatever its prefix.
fn is_named_svg(name: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':');
    let end = name.iter().position(|byte| !is_part(byte)).unwrap_or(name.len());
    let name = &name[..end];
    name == b"svg" || name.ends_with(b":svg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_are_told_by_their_first_element() {
        for (head, expected) in [
            ("<svg xmlns='http://www.w3.org/2000/svg'>", true),
            ("\u{FEFF}<?xml version='1.0'?>\n<!-- a <b> comment -->\n<svg>", true),
            (
                "  <!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"x.dtd\" [\n<!ENTITY a \"b\">",
                true,
            ),
            ("<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]><s:svg xmlns:s='x'>", true),
            ("<html><body><svg></svg></body></html>", false),
            ("<!DOCTYPE html><html><svg>", false),
            ("<svgfont>", false),
            ("<?xml version='1.0'", false),
            ("a text on <svg>", false),
            ("", false),
        ] {
            assert_eq!(is_svg(head.as_bytes()), expected, "{head}");
        }
        let wide = |order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{FEFF}<svg>".encode_utf16().flat_map(order).collect()
        };
        assert!(is_svg(&wide(u16::to_le_bytes)) && is_svg(&wide(u16::to_be_bytes)));
    }
}

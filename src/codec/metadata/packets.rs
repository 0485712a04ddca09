//! Finds the pieces of metadata in a file. How files are built is known to the formats' readers.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::ZlibDecoder;

use super::text::{decode, decode_latin_1};
#[cfg(any(feature = "avif", feature = "heic"))]
use crate::codec::decoders::heif;
use crate::codec::decoders::raw;
use crate::codec::decoders::tiff::exif::{ExifFields, field};
use crate::codec::encode::riff::RiffContainer;
#[cfg(feature = "jxl")]
use crate::codec::formats::jxl;
use crate::codec::formats::{jpeg_markers, png};
use crate::codec::sniff::PictureFormat;

/// Longest piece that is read, in bytes. Longer ones hold thumbnails or histories of edits.
const MAX_PACKET_BYTES: usize = 1 << 20;
/// Most texts of a PNG, and the length of their keywords, in bytes.
const MAX_TEXTS: usize = 64;
const MAX_KEYWORD_BYTES: usize = 79;

/// What some programs put before EXIF, as in JPEG.
const EXIF_PREFIX: &[u8] = b"Exif\0\0";
const XMP_PREFIX: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const PHOTOSHOP_PREFIX: &[u8] = b"Photoshop 3.0\0";

/// Flags of the `VP8X` chunk: the file has XMP, and EXIF (RFC 9649, section 2.7).
const VP8X_XMP: u8 = 0x04;
const VP8X_EXIF: u8 = 0x08;

/// The pieces of metadata of a file, the first of each kind.
#[derive(Default)]
pub(super) struct Packets<'s> {
    /// EXIF, or a whole TIFF.
    pub(super) exif: Option<Cow<'s, [u8]>>,
    pub(super) xmp: Option<Cow<'s, [u8]>>,
    /// IPTC's records.
    pub(super) iptc: Option<Cow<'s, [u8]>>,
    /// Keywords and texts of a PNG.
    pub(super) texts: Vec<(String, String)>,
}

impl<'s> Packets<'s> {
    pub(super) fn find(source: &'s [u8], format: PictureFormat) -> Self {
        match format {
            PictureFormat::Jpeg => Self::of_jpeg(source),
            PictureFormat::Png => Self::of_png(source),
            PictureFormat::WebP => Self::of_webp(source),
            PictureFormat::Tiff => Self::of_tiff(source),
            PictureFormat::CameraRaw => Self::of_raw(source),
            PictureFormat::Gif => Self { xmp: xmp_of_gif(source), ..Self::default() },
            #[cfg(any(feature = "avif", feature = "heic"))]
            PictureFormat::Avif | PictureFormat::Heic => {
                Self::of_items(heif::metadata_items(source, MAX_PACKET_BYTES))
            }
            #[cfg(feature = "jxl")]
            PictureFormat::Jxl => Self::of_jxl(source),
            _ => Self::default(),
        }
    }

    fn of_jpeg(source: &'s [u8]) -> Self {
        let mut packets = Self::default();
        // A long record goes on in the next segments.
        let mut photoshop = Vec::new();
        for (marker, content) in jpeg_markers::application_segments(source) {
            if let Some(exif) = content.strip_prefix(EXIF_PREFIX).filter(|_| marker == 0xE1) {
                if !exif.is_empty() {
                    packets.exif.get_or_insert(exif.into());
                }
            } else if let Some(xmp) = content.strip_prefix(XMP_PREFIX).filter(|_| marker == 0xE1) {
                packets.xmp.get_or_insert(xmp.into());
            } else if let Some(part) = content.strip_prefix(PHOTOSHOP_PREFIX)
                && marker == 0xED
                && photoshop.len() + part.len() <= MAX_PACKET_BYTES
            {
                photoshop.extend_from_slice(part);
            }
        }
        packets.iptc = iptc_of_photoshop(&photoshop).map(|iptc| iptc.to_vec().into());
        packets
    }

    fn of_webp(source: &'s [u8]) -> Self {
        let Ok(container) = RiffContainer::parse(source) else { return Self::default() };
        let flags = container.chunk(b"VP8X").and_then(|chunk| chunk.first()).copied();
        let flagged = |flag: u8, name: &[u8; 4]| {
            let content = container.chunk(name).filter(|_| flags.unwrap_or(0) & flag != 0)?;
            is_short(content).then_some(content)
        };
        Self {
            exif: flagged(VP8X_EXIF, b"EXIF").map(|exif| without_prefix(exif).into()),
            xmp: flagged(VP8X_XMP, b"XMP ").map(Into::into),
            ..Self::default()
        }
    }

    fn of_tiff(source: &'s [u8]) -> Self {
        let Some(fields) = ExifFields::read(source) else { return Self::default() };
        let short = |field: u16| fields.bytes(field).filter(|content| is_short(content));
        let iptc = short(field::IPTC).or_else(|| iptc_of_photoshop(short(field::PHOTOSHOP)?));
        Self {
            exif: Some(source.into()),
            xmp: short(field::XMP).map(Into::into),
            iptc: iptc.map(Into::into),
            texts: Vec::new(),
        }
    }

    /// Takes what a raw file says itself or, where it does not, its preview.
    fn of_raw(source: &'s [u8]) -> Self {
        let own = Self::of_tiff(source);
        let preview = raw::preview(source).map(Self::of_jpeg).unwrap_or_default();
        let of_cr3 = || raw::exif_of_cr3(source).map(Into::into);
        Self {
            exif: own.exif.or_else(of_cr3).or(preview.exif),
            xmp: own.xmp.or(preview.xmp),
            iptc: own.iptc.or(preview.iptc),
            texts: Vec::new(),
        }
    }

    fn of_png(source: &'s [u8]) -> Self {
        let mut packets = Self::default();
        let short = |(_, content): &([u8; 4], &[u8])| is_short(content);
        for (kind, content) in png::intact_contents(source).filter(short) {
            if kind == *b"eXIf" {
                packets.exif.get_or_insert(without_prefix(content).into());
            } else if let Some((keyword, text)) = png_text(kind, content)
                && packets.texts.len() < MAX_TEXTS
            {
                packets.add_png_text(keyword, text);
            }
        }
        packets
    }

    /// Takes a text of a PNG. `ImageMagick` writes pieces of metadata as hexadecimal digits.
    fn add_png_text(&mut self, keyword: String, text: String) {
        match keyword.as_str() {
            "XML:com.adobe.xmp" => _ = self.xmp.get_or_insert(text.into_bytes().into()),
            "Raw profile type exif" | "Raw profile type APP1" => {
                let Some(raw) = raw_profile(&text) else { return };
                if let Some(xmp) = raw.strip_prefix(XMP_PREFIX) {
                    self.xmp.get_or_insert(xmp.to_vec().into());
                } else {
                    self.exif.get_or_insert(without_prefix(&raw).to_vec().into());
                }
            }
            "Raw profile type xmp" => {
                if let Some(raw) = raw_profile(&text) {
                    self.xmp.get_or_insert(raw.into());
                }
            }
            "Raw profile type iptc" | "Raw profile type 8bim" => {
                let raw = raw_profile(&text).unwrap_or_default();
                let iptc = iptc_of_photoshop(&raw).unwrap_or(&raw);
                self.iptc.get_or_insert(iptc.to_vec().into());
            }
            _ => self.texts.push((keyword, text)),
        }
    }

    /// Takes the items of a HEIC or AVIF file, or the boxes of a JPEG XL, of which EXIF begins with
    /// its offset in 32 bits (ISO/IEC 23008-12, A.2.1).
    #[cfg(any(feature = "avif", feature = "heic", feature = "jxl"))]
    fn of_items(items: Vec<([u8; 4], Cow<'s, [u8]>)>) -> Self {
        let mut packets = Self::default();
        for (kind, content) in items {
            match &kind {
                b"Exif" => {
                    let Some((offset, rest)) = content.split_first_chunk() else { continue };
                    let offset = usize::try_from(u32::from_be_bytes(*offset)).unwrap_or(usize::MAX);
                    let exif = rest.get(offset..).unwrap_or(rest);
                    packets.exif.get_or_insert(without_prefix(exif).to_vec().into());
                }
                b"xml " => _ = packets.xmp.get_or_insert(content),
                b"mime" if memchr::memmem::find(&content, b"http://ns.adobe.com/").is_some() => {
                    packets.xmp.get_or_insert(content);
                }
                _ => {}
            }
        }
        packets
    }

    #[cfg(feature = "jxl")]
    fn of_jxl(source: &'s [u8]) -> Self {
        let content = |(kind, content): (&'s [u8], &'s [u8])| -> Option<([u8; 4], Cow<'s, [u8]>)> {
            if kind != b"brob" {
                return Some((kind.try_into().ok()?, content.into()));
            }
            // A compressed box: its own kind stands before the content.
            let (kind, compressed) = content.split_first_chunk::<4>()?;
            let mut inflated = Vec::new();
            let limit = MAX_PACKET_BYTES as u64 + 1;
            let mut decompressor = brotli_decompressor::Decompressor::new(compressed, 4096);
            decompressor.by_ref().take(limit).read_to_end(&mut inflated).ok()?;
            Some((*kind, inflated.into()))
        };
        let is_metadata = |(kind, _): &(&[u8], &[u8])| matches!(*kind, b"Exif" | b"xml " | b"brob");
        let boxes = jxl::boxes(source).filter(is_metadata).take(MAX_TEXTS);
        Self::of_items(boxes.filter_map(content).filter(|(_, it)| is_short(it)).collect())
    }
}

fn is_short(content: &[u8]) -> bool {
    content.len() <= MAX_PACKET_BYTES
}

fn without_prefix(exif: &[u8]) -> &[u8] {
    exif.strip_prefix(EXIF_PREFIX).unwrap_or(exif)
}

/// Reads a text chunk of a PNG: its keyword and its text (PNG, third edition, 11.3.3).
fn png_text(kind: [u8; 4], content: &[u8]) -> Option<(String, String)> {
    let until_zero = |bytes: &'_ [u8]| bytes.iter().position(|byte| *byte == 0);
    let at = until_zero(content).filter(|length| (1..=MAX_KEYWORD_BYTES).contains(length))?;
    let (keyword, rest) = (&content[..at], &content[at + 1..]);
    let text = match &kind {
        b"tEXt" => decode_latin_1(rest),
        b"zTXt" => decode_latin_1(&inflate(rest.strip_prefix(&[0])?)?),
        b"iTXt" => {
            let (&[is_compressed, _], rest) = rest.split_first_chunk()?;
            // Its language and the keyword in that language stand before the text.
            let rest = &rest[until_zero(rest)? + 1..];
            let rest = &rest[until_zero(rest)? + 1..];
            if is_compressed == 0 { decode(rest) } else { decode(&inflate(rest)?) }
        }
        _ => return None,
    };
    Some((decode_latin_1(keyword), text))
}

/// Inflates up to [`MAX_PACKET_BYTES`]. Returns `None` for what is longer, or damaged.
fn inflate(compressed: &[u8]) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    let limit = MAX_PACKET_BYTES as u64 + 1;
    ZlibDecoder::new(compressed).take(limit).read_to_end(&mut inflated).ok()?;
    is_short(&inflated).then_some(inflated)
}

/// Reads `ImageMagick`'s form of a piece of metadata, unless nothing is in it.
fn raw_profile(text: &str) -> Option<Vec<u8>> {
    Some(png::raw_profile(text.as_bytes())).filter(|raw| !raw.is_empty())
}

/// Finds IPTC's records among Photoshop's resources.
///
/// Each is a mark, a number of 16 bits, a name, a length and its content; name and content are
/// filled up to an even length.
fn iptc_of_photoshop(mut rest: &[u8]) -> Option<&[u8]> {
    const IPTC: u16 = 0x0404;
    loop {
        let (number, behind) = rest.strip_prefix(b"8BIM")?.split_first_chunk()?;
        let name_bytes = (usize::from(*behind.first()?) + 1).next_multiple_of(2);
        let (length, behind) = behind.get(name_bytes..)?.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let content = behind.get(..length)?;
        if u16::from_be_bytes(*number) == IPTC {
            return Some(content);
        }
        rest = behind.get(length.next_multiple_of(2)..)?;
    }
}

/// Finds XMP in a GIF, which is an application extension without blocks: a trailer of bytes that
/// count down leads readers of blocks out of it (XMP specification, part 3, 1.1.2).
fn xmp_of_gif(source: &[u8]) -> Option<Cow<'_, [u8]>> {
    const START: &[u8] = b"\x21\xFF\x0BXMP DataXMP";
    const TRAILER: &[u8] = &[0x01, 0xFF, 0xFE, 0xFD, 0xFC];
    let start = memchr::memmem::find(source, START)? + START.len();
    let xmp = &source[start..];
    let xmp = &xmp[..memchr::memmem::find(xmp, TRAILER)?];
    is_short(xmp).then(|| xmp.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iptc_is_found_among_photoshops_resources() {
        let resource = |number: u16, name: &[u8], content: &[u8]| {
            let mut bytes = [b"8BIM".as_slice(), &number.to_be_bytes()].concat();
            bytes.push(u8::try_from(name.len()).unwrap());
            bytes.extend(name);
            bytes.extend(std::iter::repeat_n(0, (name.len() + 1) % 2));
            bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
            bytes.extend(content);
            bytes.extend(std::iter::repeat_n(0, content.len() % 2));
            bytes
        };
        let resources =
            [resource(0x03ED, b"", b"odd"), resource(0x0404, b"name", b"iptc")].concat();
        assert_eq!(iptc_of_photoshop(&resources), Some(b"iptc".as_slice()));
        for length in 0..resources.len() {
            assert_eq!(iptc_of_photoshop(&resources[..length]), None, "the first {length} bytes");
        }
    }
}

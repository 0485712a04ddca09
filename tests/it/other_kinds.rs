//! Tests what the report says of files that are no pictures for any build, and of camera raw
//! without a preview: what they are, and what to do.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Failures, Workspace};

const PNG_OR_JPEG: &str = "not supported by this build; export it as PNG or JPEG";
const UNPACK: &str = "unpack it and import the folder";
const UNPACK_ONE: &str = "unpack it and import what is in it";
const PAGES: &str = "export its pages as PNG or JPEG";

/// What a file holds, and words of its reason. It fails if they name a kind of picture.
const FILES: &[(&str, &[u8], [&str; 2])] = &[
    ("photoshop.psd", b"8BPS\0\x01\0\0\0\0\0\0\0\x03", ["Photoshop document", PNG_OR_JPEG]),
    ("large.psb", b"8BPS\0\x02\0\0\0\0\0\0\0\x03", ["Photoshop document", PNG_OR_JPEG]),
    ("picture.jp2", b"\0\0\0\x0CjP  \r\n\x87\n\0\0\0\x14ftypjp2 ", ["JPEG 2000", PNG_OR_JPEG]),
    ("stream.j2k", b"\xFF\x4F\xFF\x51\0\x2F\0\0", ["JPEG 2000", PNG_OR_JPEG]),
    ("picture.jxr", b"II\xBC\x01\x20\0\0\0", ["JPEG XR", PNG_OR_JPEG]),
    ("picture.exr", b"\x76\x2F\x31\x01\x02\0\0\0", ["OpenEXR", PNG_OR_JPEG]),
    ("picture.hdr", b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", ["Radiance HDR", PNG_OR_JPEG]),
    ("texture.dds", b"DDS \x7C\0\0\0\x07\x10", ["DDS", PNG_OR_JPEG]),
    ("picture.xcf", b"gimp xcf v011\0", ["GIMP document", PNG_OR_JPEG]),
    ("picture.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n", ["EPS", PNG_OR_JPEG]),
    ("windows.eps", b"\xC5\xD0\xD3\xC6\x1E\0\0\0", ["EPS", PNG_OR_JPEG]),
    ("plain.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", ["SVG", PNG_OR_JPEG]),
    (
        "long.svg",
        b"\xEF\xBB\xBF<?xml version='1.0' encoding='UTF-8'?>\n<!-- a comment -->\n\
          <!DOCTYPE svg [ <!ENTITY ns 'http://ns.adobe.com/'> ]>\n<svg/>",
        ["SVG", PNG_OR_JPEG],
    ),
    ("raw.cr3", b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", ["camera raw (CR3)", "export it as"]),
    ("raw.raf", b"FUJIFILMCCD-RAW 0201FF392201", ["camera raw (RAF)", "export it as"]),
    ("raw.rw2", b"IIU\0\x18\0\0\0\x88\xE7\x74\xD8", ["camera raw (RW2)", "export it as"]),
    ("raw.orf", b"IIRO\x08\0\0\0\0\0", ["camera raw (ORF)", "export it as"]),
    ("raw.x3f", b"FOVb\0\0\x02\0", ["camera raw (X3F)", "export it as"]),
    ("raw.mrw", b"\0MRM\0\0\0\0", ["camera raw (MRW)", "export it as"]),
    ("raw.crw", b"II\x1A\0\0\0HEAPCCDR", ["camera raw (CRW)", "export it as"]),
    ("film.mp4", b"\0\0\0\x18ftypisom\0\0\0\0mp41isom", ["a film (MP4)", ""]),
    ("film.mov", b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", ["a film (MOV)", ""]),
    ("old.mov", b"\0\0\x05\xC4moov\0\0\0\x6Cmvhd", ["a film (MOV)", ""]),
    ("film.mkv", b"\x1A\x45\xDF\xA3\x93\x42\x82\x88matroska", ["a film (MKV)", ""]),
    ("film.webm", b"\x1A\x45\xDF\xA3\x93\x42\x82\x84webm", ["a film (WebM)", ""]),
    ("film.avi", b"RIFF\0\0\0\0AVI LIST", ["a film (AVI)", ""]),
    ("film.mpg", b"\0\0\x01\xBA\x44\0\x04\0\x04\x01", ["a film (MPEG)", ""]),
    ("film.wmv", b"\x30\x26\xB2\x75\x8E\x66\xCF\x11\xA6\xD9", ["a film (WMV)", ""]),
    ("film.flv", b"FLV\x01\x05\0\0\0\x09", ["a film (FLV)", ""]),
    ("archive.zip", b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0a.jpg", ["a zip archive", UNPACK]),
    ("empty.zip", b"PK\x05\x06\0\0\0\0\0\0\0\0", ["a zip archive", UNPACK]),
    ("archive.7z", b"7z\xBC\xAF\x27\x1C\0\x04", ["a 7z archive", UNPACK]),
    ("archive.rar", b"Rar!\x1A\x07\x01\0", ["a rar archive", UNPACK]),
    ("drawing.svgz", b"\x1F\x8B\x08\0\0\0\0\0", ["a gzip archive", UNPACK_ONE]),
    ("archive.xz", b"\xFD7zXZ\0\0\x04", ["an xz archive", UNPACK_ONE]),
    ("archive.bz2", b"BZh91AY&SY", ["a bzip2 archive", UNPACK_ONE]),
    ("archive.zst", b"\x28\xB5\x2F\xFD\x04\0", ["a zstd archive", UNPACK_ONE]),
    ("document.pdf", b"%PDF-1.7\n", ["a PDF", PAGES]),
    ("document.ps", b"%!PS-Adobe-3.0\n", ["a PostScript document", PAGES]),
    ("document.djvu", b"AT&TFORM\0\0\x04\x25DJVU", ["a DjVu document", PAGES]),
    ("page.html", b"<!DOCTYPE html><html><svg></svg>", ["not a picture", ""]),
    ("feed.xml", b"<?xml version='1.0'?><rss></rss>", ["not a picture", ""]),
    ("notes.txt", b"moov and mdat are words, too", ["not a picture", ""]),
];

/// Files too long to be written here.
fn longer() -> Vec<(&'static str, Vec<u8>, [&'static str; 2])> {
    let mut tar = vec![b'a'; 257];
    tar.extend(b"ustar\x0000");
    let mut packets = vec![0; 188 * 4];
    packets.iter_mut().step_by(188).for_each(|sync| *sync = 0x47);
    let comment = format!("<?xml version='1.0'?><!--{}--><svg>", "licence ".repeat(300));
    let utf16 = "\u{FEFF}<svg>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        ("office.docx", zip_of("[Content_Types].xml"), ["not a picture", ""]),
        ("office.odt", zip_of("mimetypeapplication/vnd.oasis"), ["not a picture", ""]),
        ("painting.ora", zip_of("mimetypeimage/openraster"), ["OpenRaster document", PNG_OR_JPEG]),
        ("archive.tar", tar, ["a tar archive", UNPACK]),
        ("film.mts", packets, ["a film (MPEG)", ""]),
        ("comment.svg", comment.into_bytes(), ["SVG", PNG_OR_JPEG]),
        ("utf16.svg", utf16, ["SVG", PNG_OR_JPEG]),
        ("without-preview.dng", raw_with_preview(|_| ()), ["camera raw (DNG)", "export it as"]),
        ("without-jpeg.dng", raw_with_preview(lossy), ["camera raw (DNG)", "export it as"]),
        ("small-preview.nef", raw_with_preview(nikon), ["camera raw (NEF)", "full-size preview"]),
    ]
}

/// The start of a zip archive: the header of its first file, whose name has as many letters as
/// there are, or is `mimetype`.
fn zip_of(name: &str) -> Vec<u8> {
    let letters = if name.starts_with("mimetype") { 8 } else { name.len() };
    let length = u16::try_from(letters).unwrap().to_le_bytes();
    [b"PK\x03\x04", &[0; 22][..], &length, &[0; 2], name.as_bytes()].concat()
}

/// Returns a DNG of `tests/data/kinds` whose preview's frame header is made too small.
fn raw_with_preview(change: fn(&mut [u8])) -> Vec<u8> {
    let name = "tests/data/kinds/sources/raw-dng-turned.dng";
    let mut raw = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let frame = memchr::memmem::find(&raw, b"\xFF\xC0\0\x11\x08").unwrap();
    // Its height is 105, of 107 in the raw picture.
    assert_eq!(raw[frame + 5..frame + 7], [0, 105]);
    raw[frame + 6] = 96;
    change(&mut raw);
    raw
}

/// Makes the preview a JPEG of raw data, as in a DNG with loss, and as large as before.
fn lossy(raw: &mut [u8]) {
    let frame = memchr::memmem::find(raw, b"\xFF\xC0\0\x11\x08").unwrap();
    raw[frame + 6] = 105;
    let photometric = [6, 1, 3, 0, 1, 0, 0, 0, 6, 0];
    let at = memchr::memmem::find(raw, &photometric).unwrap();
    raw[at + 8..at + 10].copy_from_slice(&34_892_u16.to_le_bytes());
}

/// Makes a DNG a file of Nikon: another maker, and no version of DNG.
fn nikon(raw: &mut [u8]) {
    let maker = memchr::memmem::find(raw, b"Google").unwrap();
    raw[maker..maker + 6].copy_from_slice(b"NIKON ");
    let version = memchr::memmem::find(raw, &[0x12, 0xC6, 1, 0]).unwrap();
    raw[version] = 0x11;
}

#[test]
fn the_report_says_what_a_file_is_and_what_to_do() {
    let space = Workspace::file();
    let short = FILES.iter().map(|(name, bytes, words)| (*name, bytes.to_vec(), *words));
    let files: Vec<_> = short.chain(longer()).collect();
    for (name, bytes, _) in &files {
        fs::write(space.picture(name), bytes).unwrap();
    }
    let ended = space.run(["import", "--delete-originals", "--report", "r", "pictures"]).expect(1);
    ended.complains_of(&["camera raw (DNG) without a full-size preview"]);
    let report = fs::read_to_string(space.path("r")).unwrap();
    let lines: Vec<Value> =
        report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut failures = Failures::new();
    for (name, _, words) in &files {
        failures.check(name, || {
            let path = format!("pictures/{name}");
            let line = lines.iter().find(|line| line["path"] == *path).expect("a line");
            let is_picture = words[1] == PNG_OR_JPEG || words[0].starts_with("camera raw");
            assert_eq!(line["status"], if is_picture { "failed" } else { "not_image" }, "{line}");
            let reason = line["reason"].as_str().unwrap();
            assert!(reason.starts_with(words[0]) && reason.contains(words[1]), "{line}");
            assert!(space.picture(name).exists(), "it was deleted");
        });
    }
    assert!(space.ids().is_empty());
}

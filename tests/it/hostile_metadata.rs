//! Tests that what a file holds beside its pixels costs little memory and no time, and that the
//! picture is imported all the same.
//!
//! A PNG of 10 x 10 pixels with a profile that inflates to a gigabyte once took 236 MB beside the
//! budget.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::Value;

use crate::harness::{Failures, Workspace, wait_and_weigh};
use crate::pictures::{jpeg, photo, png_with_profile, webp, webp_with_profile};

const MB: u64 = 1_000_000;

/// How a hostile file was imported.
struct Outcome {
    code: Option<i32>,
    /// Its line of the report.
    report: Value,
    /// The most memory that the import took, in bytes.
    peak: u64,
    /// Whether the original was not deleted.
    is_kept: bool,
}

/// Imports one file, and nothing else, in a process of its own.
fn import(name: &str, file: &[u8]) -> Outcome {
    let space = Workspace::with_photos(0);
    fs::write(space.picture(name), file).unwrap();
    let mut command = space.command();
    command.args(["--quiet", "import", "--jobs", "1", "--memory", "100MB"]);
    command.args(["--report", "report", "--delete-originals", "pictures"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (code, peak) = wait_and_weigh(&mut command.spawn().unwrap());
    let is_kept = space.picture(name).exists();
    let report = fs::read_to_string(space.path("report")).unwrap();
    let report = report.lines().next().expect("the file is reported");
    Outcome { code, report: serde_json::from_str(report).unwrap(), peak, is_kept }
}

/// A file of some format with this profile.
type WithProfile = fn(&[u8]) -> Vec<u8>;

/// Formats that hold a profile as it is, or deflated.
const CARRIERS: &[(&str, WithProfile)] = &[
    ("png", |profile| {
        let pixels = photo(10, 10, 1).into_raw();
        png_with_profile((10, 10), png::ColorType::Rgb, &pixels, profile.to_vec())
    }),
    ("jpg", |profile| jpeg(&photo(10, 10, 2), Some(profile.to_vec()))),
    ("webp", |profile| webp_with_profile(&webp(&photo(10, 10, 3), 90.0), 10, 10, profile)),
    ("tiff", tiff),
    ("gif", |profile| gif(b"ICCRGBG1012", profile)),
];

/// A TIFF of 1 x 1 pixels with a profile.
fn tiff(profile: &[u8]) -> Vec<u8> {
    let length = u32::try_from(profile.len()).unwrap();
    let entries: [(u16, u16, u32, u32); 9] = [
        (256, 4, 1, 1),
        (257, 4, 1, 1),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (279, 4, 1, 1),
        (34_675, 7, length, 128),
    ];
    let mut file = b"II*\0\x0A\0\0\0\x80\0".to_vec();
    file.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
    for (tag, kind, count, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.resize(128, 0);
    file.extend(profile);
    file
}

/// A GIF of 1 x 1 pixels with an application extension.
fn gif(application: &[u8; 11], data: &[u8]) -> Vec<u8> {
    let mut file = b"GIF89a\x01\0\x01\0\x80\0\0\xFF\0\0\0\0\xFF\x21\xFF\x0B".to_vec();
    file.extend(application);
    for block in data.chunks(255) {
        file.push(u8::try_from(block.len()).unwrap());
        file.extend(block);
    }
    file.extend(b"\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;");
    file
}

/// A profile that is broken, and no more than its length.
fn long_profile(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7 % 251).to_le_bytes()[0]).collect()
}

/// An RGB profile with these tags, which may share bytes: name, offset and length.
fn profile_with_tags(tags: &[([u8; 4], u32, u32)], data: &[u8]) -> Vec<u8> {
    let mut profile = vec![0; 128];
    profile[8] = 2;
    profile[12..24].copy_from_slice(b"mntrRGB XYZ ");
    profile[36..40].copy_from_slice(b"acsp");
    profile.extend(u32::try_from(tags.len()).unwrap().to_be_bytes());
    let data_at = u32::try_from(profile.len() + 12 * tags.len()).unwrap();
    for (name, offset, length) in tags {
        profile.extend(name);
        profile.extend((data_at + offset).to_be_bytes());
        profile.extend(length.to_be_bytes());
    }
    profile.extend(data);
    let length = u32::try_from(profile.len()).unwrap();
    profile[..4].copy_from_slice(&length.to_be_bytes());
    profile
}

/// A copyright notice in thousands of languages that are all the same megabyte.
fn text_in_every_language() -> Vec<u8> {
    const RECORDS: u32 = 4_000;
    const TEXT_BYTES: u32 = 1_000_000;
    let text_at = 16 + 12 * RECORDS;
    let mut text = b"mluc\0\0\0\0".to_vec();
    text.extend([RECORDS, 12].map(u32::to_be_bytes).concat());
    for _ in 0..RECORDS {
        text.extend(b"enUS");
        text.extend([TEXT_BYTES, text_at].map(u32::to_be_bytes).concat());
    }
    text.resize((text_at + TEXT_BYTES) as usize, b'a');
    profile_with_tags(&[(*b"cprt", 0, u32::try_from(text.len()).unwrap())], &text)
}

/// Thousands of tables for colours that are all the same three megabytes.
fn table_again_and_again() -> Vec<u8> {
    const GRID: u8 = 100;
    let mut table = b"mft1\0\0\0\0\x03\x03".to_vec();
    table.extend([GRID, 0]);
    for row in 0..3 {
        (0..3).for_each(|column| table.extend(u32::to_be_bytes(u32::from(row == column) << 16)));
    }
    let tables = 2 * 3 * 256 + usize::from(GRID).pow(3) * 3;
    table.extend((0..tables).map(|at| at.to_le_bytes()[0]));
    let length = u32::try_from(table.len()).unwrap();
    let tags: Vec<_> = [*b"A2B0", *b"A2B1", *b"A2B2", *b"B2A0", *b"B2A1", *b"B2A2", *b"gamt"]
        .into_iter()
        .cycle()
        .take(40_000)
        .map(|name| (name, 0, length))
        .collect();
    profile_with_tags(&tags, &table)
}

#[test]
fn a_profile_above_4_mib_is_left_out_with_a_note() {
    let mut failures = Failures::new();
    for (format, with_profile) in CARRIERS {
        for (length, is_too_long) in [(4 << 20, false), ((4 << 20) + 1, true)] {
            failures.check(format!("{format} {length}"), || {
                let Outcome { code, report, is_kept, .. } =
                    import(&format!("a.{format}"), &with_profile(&long_profile(length)));
                assert_eq!((code, &report["status"]), (Some(0), &"imported".into()), "{report}");
                let notes = report["notes"].to_string();
                assert_eq!(notes.contains("longer than 4 MiB"), is_too_long, "{notes}");
                assert_eq!(notes.contains("can't be read"), !is_too_long, "{notes}");
                assert!(is_kept, "its colours may be lost");
            });
        }
    }
}

#[test]
fn metadata_takes_no_memory_that_the_budget_does_not_know() {
    let small = {
        let mut png = Vec::new();
        let picture = photo(10, 10, 4);
        picture.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
        png
    };
    let floor = import("a.png", &small).peak;
    let in_png = CARRIERS[0].1;
    let many_segments = |marker: u8, content: &[u8], count: usize| {
        let whole = jpeg(&photo(10, 10, 5), None);
        let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
        let segment = [&[0xFF, marker][..], &length, content].concat();
        [&whole[..2], &segment.repeat(count), &whole[2..]].concat()
    };
    let extended_xmp = [&b"http://ns.adobe.com/xmp/extension/\0"[..], &[b'A'; 41]].concat();
    // Files and the memory that they may take beside what a small picture takes, in bytes.
    let files: Vec<(&str, &str, Vec<u8>, u64)> = vec![
        ("inflated profile", "a.png", png_with_bomb(b"iCCP", b"x\0\0"), 20 * MB),
        ("inflated text", "a.png", png_with_bomb(b"zTXt", b"x\0\0"), 20 * MB),
        ("inflated international text", "a.png", png_with_bomb(b"iTXt", b"x\0\x01\0\0\0"), 20 * MB),
        ("long EXIF", "a.png", png_with_chunk(&small, b"eXIf", &vec![7; 20_000_000]), 60 * MB),
        ("text in every language", "a.png", in_png(&text_in_every_language()), 40 * MB),
        ("table again and again", "a.png", in_png(&table_again_and_again()), 40 * MB),
        ("chunks of nothing", "a.webp", webp_with_chunks(2_000_000), 60 * MB),
        ("XMP in blocks", "a.gif", gif(b"XMP DataXMP", &vec![b'x'; 10_000_000]), 80 * MB),
        (
            "profile in pieces",
            "a.jpg",
            many_segments(0xE2, b"ICC_PROFILE\0\x01\x01x", 500_000),
            90 * MB,
        ),
        ("XMP in pieces", "a.jpg", many_segments(0xE1, &extended_xmp, 150_000), 90 * MB),
        ("comments", "a.jpg", many_segments(0xFE, &[b'c'; 60_000], 300), 60 * MB),
    ];
    let mut failures = Failures::new();
    for (what, name, file, allowed) in files {
        failures.check(what, || {
            let Outcome { code, report, peak, .. } = import(name, &file);
            let grown = peak.saturating_sub(floor);
            println!("{what}: {} MB for a file of {} bytes", grown / MB, file.len());
            assert!(grown <= allowed, "{} MB", grown / MB);
            assert_eq!((code, &report["status"]), (Some(0), &"imported".into()), "{report}");
        });
    }
}

/// A PNG with a chunk whose end inflates to 256 MB.
fn png_with_bomb(kind: &[u8; 4], start: &[u8]) -> Vec<u8> {
    let mut content = ZlibEncoder::new(start.to_vec(), Compression::fast());
    let zeros = vec![0; 1 << 20];
    (0..256).for_each(|_| content.write_all(&zeros).unwrap());
    let mut png = Vec::new();
    let picture = photo(10, 10, 6);
    picture.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
    png_with_chunk(&png, kind, &content.finish().unwrap())
}

/// The PNG with a chunk behind its header.
fn png_with_chunk(png: &[u8], kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    const HEADER_END: usize = 8 + 25;
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(content);
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    let (start, end) = png.split_at(HEADER_END);
    [start, &length, kind, content, &crc.sum().to_be_bytes(), end].concat()
}

/// An animated WebP with so many empty chunks that nobody knows.
fn webp_with_chunks(count: usize) -> Vec<u8> {
    let whole = crate::pictures::animation(10, 10);
    let body = [&whole[8..], &b"junk\0\0\0\0".repeat(count)].concat();
    [b"RIFF", &u32::try_from(body.len()).unwrap().to_le_bytes()[..], &body].concat()
}

/// The HEIC of one coded picture, in units that hold nothing.
#[cfg(feature = "heic")]
fn heic_with_units(count: usize) -> Vec<u8> {
    let given = include_bytes!("../data/quadrants.heic");
    let properties = [b"hvcC", b"ispe"].map(|kind| {
        let at = given.windows(4).position(|bytes| bytes == kind).unwrap() - 4;
        let length = u32::from_be_bytes(given[at..at + 4].try_into().unwrap());
        given[at..at + length as usize].to_vec()
    });
    let boxed = |kind: &[u8; 4], content: &[u8]| {
        let length = u32::try_from(content.len() + 8).unwrap().to_be_bytes();
        [&length, &kind[..], content].concat()
    };
    // An access unit delimiter, behind its length of four bytes.
    let units = [0, 0, 0, 2, 70, 1].repeat(count);
    let description = boxed(b"infe", b"\x02\0\0\0\0\x01\0\0hvc1\0");
    let properties = [
        boxed(b"ipco", &properties.concat()),
        boxed(b"ipma", b"\0\0\0\0\0\0\0\x01\0\x01\x02\x81\x02"),
    ];
    let start = boxed(b"ftyp", b"heic\0\0\0\0mif1heic");
    let meta = |data_at: usize| {
        let [data_at, length] =
            [data_at, units.len()].map(|number| u32::try_from(number).unwrap().to_be_bytes());
        let location = [&b"\0\0\0\0\x44\0\0\x01\0\x01\0\0\0\x01"[..], &data_at, &length].concat();
        let content = [
            b"\0\0\0\0".to_vec(),
            boxed(b"pitm", b"\0\0\0\0\0\x01"),
            boxed(b"iinf", &[&b"\0\0\0\0\0\x01"[..], &description].concat()),
            boxed(b"iprp", &properties.concat()),
            boxed(b"iloc", &location),
        ];
        boxed(b"meta", &content.concat())
    };
    let data_at = start.len() + meta(0).len() + 8;
    [start, meta(data_at), boxed(b"mdat", &units)].concat()
}

#[test]
#[cfg(feature = "heic")]
fn a_heic_in_millions_of_pieces_is_refused_before_they_are_listed() {
    let [few, many] = [1_000, 3_000_000].map(|count| import("a.heic", &heic_with_units(count)));
    let reason = |outcome: &Outcome| outcome.report["reason"].to_string();
    assert!(reason(&few).contains("ends too early"), "{}", reason(&few));
    assert!(reason(&many).contains("too many pieces"), "{}", reason(&many));
    let grown = many.peak.saturating_sub(few.peak);
    assert!(grown <= 30 * MB, "{} MB for 18 MB", grown / MB);
}

/// The decoder of PAM once quoted 20 MB of a file in its error, and so in the report, and took four
/// times the length of its header.
#[test]
fn a_reason_quotes_little_of_the_file() {
    let import_pam = |length: usize| {
        let file = [
            b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 3\nMAXVAL 255\nTUPLTYPE ",
            &vec![b'x'; length][..],
            b"\nENDHDR\n............",
        ];
        let Outcome { code, report, peak, .. } = import("a.pam", &file.concat());
        assert_eq!(code, Some(1));
        (report["reason"].as_str().unwrap().to_owned(), peak)
    };
    let (reason, floor) = import_pam(60_000);
    assert!(reason.contains("PNM") && reason.len() < 1_100, "{} bytes", reason.len());
    let (reason, peak) = import_pam(40_000_000);
    assert!(reason.contains("its header is longer than 64 KiB"), "{reason}");
    let grown = peak.saturating_sub(floor);
    assert!(grown < 60 * MB, "{} MB for 40 MB", grown / MB);
}

#[test]
#[cfg(feature = "avif")]
fn millions_of_empty_tables_of_an_avif_are_not_listed() {
    let start = b"\0\0\0\x18ftypavif\0\0\0\0mif1avif";
    let tables = b"\0\0\0\x08iloc".repeat(2_000_000);
    let meta = u32::try_from(tables.len() + 12).unwrap().to_be_bytes();
    let file = [&start[..], &meta, b"meta\0\0\0\0", &tables].concat();
    let Outcome { code, report, peak, .. } = import("a.avif", &file);
    assert_eq!(code, Some(1));
    assert!(report["reason"].to_string().contains("more than any real picture"), "{report}");
    assert!(peak < 80 * MB, "{} MB", peak / MB);
}

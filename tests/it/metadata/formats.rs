//! How each format carries metadata, and what damage costs.
//!
//! The files in `tests/data/metadata` were written by exiftool 12.57.

use std::fs;
use std::path::Path;

use super::variants::{DATE, TITLES, expect_all, of_exif, of_iptc, wrong_rows};
use super::write::{
    Carried, Field, exif, international_text, iptc, jpeg_with, photoshop, png_with, tiff_with,
    webp_with, with_segments, xmp,
};
use crate::harness::Workspace;
use crate::pictures::{jpeg, photo};

use Field::{Bytes, Long, Short, Text};

#[test]
fn broken_metadata_costs_neither_the_picture_nor_the_rest() {
    expect_all(vec![
        (
            "two exif",
            Box::new(|seed| {
                let second = Some(exif(b"II", &[(0x9003, Text("2001:01:01 00:00:00"))]));
                let with_second = jpeg_with(seed, &Carried { exif: second, ..Carried::default() });
                let first = exif(b"II", &[DATE]);
                let length = (first.len() as u16 + 8).to_be_bytes();
                let first = [&[0xFF, 0xE1][..], &length, b"Exif\0\0", &first].concat();
                with_segments(&with_second, &first)
            }),
            "taken 2024-05-17T18:30:00",
        ),
        (
            "cut exif",
            Box::new(|seed| {
                let mut cut = exif(b"II", &[DATE, (0x013B, Text("Jane Doe"))]);
                cut.truncate(20);
                let xmp = Some(xmp("xmp:Rating='4'", ""));
                jpeg_with(seed, &Carried { exif: Some(cut), xmp, ..Carried::default() })
            }),
            "rating 4",
        ),
        // The field's content would lie behind the end.
        (
            "field outside",
            of_exif(&[DATE, (0x8769, Long(0xFFFF_FFF0)), (0x4746, Short(3))]),
            "rating 3",
        ),
        (
            "cut xmp",
            Box::new(|seed| {
                let mut xmp = xmp("xmp:Rating='4'", TITLES);
                xmp.truncate(xmp.find("x-default").unwrap());
                jpeg_with(seed, &Carried { xmp: Some(xmp), ..Carried::default() })
            }),
            "rating 4; title Ebbe",
        ),
        (
            "entities",
            Box::new(|seed| {
                let bomb = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]>";
                let xmp = xmp("", &TITLES.replace("Low tide", "Low &b; tide"));
                let xmp = Some(format!("{bomb}{xmp}"));
                jpeg_with(seed, &Carried { xmp, ..Carried::default() })
            }),
            "title Low tide",
        ),
        (
            "no xml",
            Box::new(|seed| {
                let xmp = Some("\u{1}<<<>>>&&&".into());
                jpeg_with(seed, &Carried { xmp, ..Carried::default() })
            }),
            "",
        ),
        (
            "deep",
            Box::new(|seed| {
                let xmp = Some(xmp("xmp:Rating='4'", &"<dc:title>".repeat(5_000)));
                jpeg_with(seed, &Carried { xmp, ..Carried::default() })
            }),
            "rating 4",
        ),
        ("cut iptc", of_iptc(&[(2, 5, b"Ebbe"), (2, 0xFF, b"\x1C\x02\x19\x7F")]), "title Ebbe"),
    ]);
}

#[test]
fn png_carries_metadata_in_four_ways() {
    let packet = || xmp("xmp:Rating='4'", TITLES);
    let raw_profile = |kind: &str, content: &[u8]| {
        let digits: String = content.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("\n{kind}\n    {}\n{digits}\n", content.len())
    };
    expect_all(vec![
        (
            "png exif",
            Box::new(|seed| png_with(seed, &[], &[(b"eXIf", &exif(b"MM", &[DATE]))])),
            "taken 2024-05-17T18:30:00",
        ),
        // Some programs put JPEG's prefix before it.
        (
            "png exif with prefix",
            Box::new(|seed| {
                let exif = [b"Exif\0\0".as_slice(), &exif(b"MM", &[DATE])].concat();
                png_with(seed, &[], &[(b"eXIf", &exif)])
            }),
            "taken 2024-05-17T18:30:00",
        ),
        (
            "png xmp",
            Box::new(move |seed| {
                let text = international_text("XML:com.adobe.xmp", &packet());
                png_with(seed, &[], &[(b"iTXt", &text)])
            }),
            "rating 4; title Low tide",
        ),
        (
            "png of imagemagick",
            Box::new(move |seed| {
                let exif = raw_profile("exif", &exif(b"II", &[DATE]));
                let iptc = raw_profile("iptc", &photoshop(&iptc(&[(2, 5, b"Ebbe")])));
                let texts: [(&str, &str); 2] =
                    [("Raw profile type exif", &exif), ("Raw profile type iptc", &iptc)];
                png_with(seed, &texts, &[])
            }),
            "taken 2024-05-17T18:30:00; title Ebbe",
        ),
    ]);
}

#[test]
fn webp_tiff_and_jpeg_carry_metadata_in_their_own_ways() {
    let packet = || xmp("xmp:Rating='4'", TITLES);
    expect_all(vec![
        (
            "webp",
            Box::new(move |seed| {
                let (exif, xmp) = (exif(b"II", &[DATE]), packet());
                webp_with(seed, 0x0C, &[(b"EXIF", &exif), (b"XMP ", xmp.as_bytes())])
            }),
            "taken 2024-05-17T18:30:00; rating 4; title Low tide",
        ),
        // The header says that there is none.
        (
            "webp without flags",
            Box::new(move |seed| {
                let (exif, xmp) = (exif(b"II", &[DATE]), packet());
                webp_with(seed, 0, &[(b"EXIF", &exif), (b"XMP ", xmp.as_bytes())])
            }),
            "",
        ),
        (
            "tiff",
            Box::new(move |seed| {
                let (xmp, iptc) = (packet(), iptc(&[(2, 25, b"sea")]));
                let fields = [DATE, (700, Bytes(xmp.as_bytes())), (0x83BB, Bytes(&iptc))];
                tiff_with(&photo(40, 30, seed), &fields)
            }),
            "taken 2024-05-17T18:30:00; rating 4; title Low tide; tags sea",
        ),
        (
            "jpeg with long xmp",
            Box::new(move |seed| {
                let xmp = Some(packet() + &" ".repeat(60_000));
                jpeg_with(seed, &Carried { xmp, ..Carried::default() })
            }),
            "rating 4; title Low tide",
        ),
    ]);
}

#[test]
fn what_exiftool_wrote_is_read_from_every_format() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/metadata");
    let written = "taken 2024-05-17T18:30:00+02:00; rating 4; title Low tide; by Jane Doe, Zoë; \
        copyright © 2024 Jane Doe; licence https://creativecommons.org/licenses/by/4.0/; \
        tags beach+sea+tide";
    let in_iptc = "taken 2024-05-17T18:30:00+02:00; title Low tide; by Jane Doe, Zoë; \
        copyright © 2024 Jane Doe; tags sea";
    // A GIF has no EXIF, where the date is.
    let in_gif = written.split_once("; ").unwrap().1;
    let optional = [
        ("avif", cfg!(feature = "avif")),
        ("heic", cfg!(feature = "heic")),
        ("jxl", cfg!(feature = "jxl")),
    ];
    let built = |name: &&str| {
        optional.iter().all(|(ending, is_built)| *is_built || !name.ends_with(ending))
    };
    let file = |name: &str| {
        let expected = match name {
            "by-exiftool.gif" => in_gif,
            _ if name.starts_with("iptc") => in_iptc,
            _ => written,
        };
        (name.to_owned(), fs::read(folder.join(name)).unwrap(), expected.to_owned())
    };
    let names = ["jpg", "png", "tiff", "webp", "gif", "heic", "avif", "jxl"]
        .map(|ending| format!("by-exiftool.{ending}"));
    let names = names.iter().map(String::as_str);
    let names = names.chain(["iptc-by-exiftool.jpg", "iptc-by-exiftool.tiff"]).filter(built);
    let mut wrong = wrong_rows(&names.map(file).collect::<Vec<_>>());
    // It has the pixels of another one.
    if cfg!(feature = "jxl") {
        wrong.extend(wrong_rows(&[file("brotli-by-exiftool.jxl")]));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn camera_raw_carries_metadata_beside_its_preview() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/metadata");
    let date = "taken 2024-05-17T18:30:00+02:00";
    let both = "taken 2024-05-17T18:30:00+02:00; rating 4";
    let mut wrong = Vec::new();
    // Their previews are alike. A CR3 has its XMP elsewhere, which is not read.
    for (ending, expected) in [("dng", both), ("nef", both), ("rw2", both), ("cr3", date)] {
        let name = format!("by-exiftool.{ending}");
        let file = fs::read(folder.join(&name)).unwrap();
        wrong.extend(wrong_rows(&[(name, file, expected.to_owned())]));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_picture_without_metadata_has_no_note() {
    let space = Workspace::file();
    fs::write(space.picture("a.jpg"), jpeg(&photo(40, 30, 1), None)).unwrap();
    space.run(["import", "--report", "report", "pictures"]).expect(0);
    let report = fs::read_to_string(space.path("report")).unwrap();
    assert!(report.contains("\"notes\":[]"), "{report}");
}

//! A table of what can stand in a file, and what is made of it.
//!
//! The files in `tests/data/metadata` were written by exiftool 12.57; the others are written here,
//! and exiftool reads the same from them, but where a comment says why not.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::write::{
    Carried, Field, bag, exif, international_text, iptc, jpeg_with, png_with, tiff_with, webp_with,
    with_segments, xmp,
};
use crate::harness::Workspace;
use crate::pictures::{jpeg, photo};

use Field::{Bytes, Long, Short, Text, Wide};

const ARTIST: u16 = 0x013B;
const RATING: u16 = 0x4746;
const RATING_PERCENT: u16 = 0x4749;
const COPYRIGHT: u16 = 0x8298;
const TAKEN: u16 = 0x9003;
const DIGITIZED: u16 = 0x9004;
const OFFSET: u16 = 0x9010;
const OFFSET_TAKEN: u16 = 0x9011;
const OFFSET_DIGITIZED: u16 = 0x9012;

/// The date of most rows.
const DATE: (u16, Field<'_>) = (TAKEN, Text("2024:05:17 18:30:00"));
const LICENCE: &str = "https://creativecommons.org/licenses/by/4.0/";

/// Makes a file of pixels that no other seed gives.
type Write = Box<dyn Fn(u32) -> Vec<u8>>;

fn of_exif(fields: &'static [(u16, Field<'static>)]) -> Write {
    Box::new(|seed| {
        let order = if seed % 2 == 0 { b"II" } else { b"MM" };
        let exif = Some(exif(order, fields));
        jpeg_with(seed, &Carried { exif, ..Carried::default() })
    })
}

fn of_xmp(attributes: &'static str, elements: impl Into<String>) -> Write {
    let xmp = xmp(attributes, &elements.into());
    Box::new(move |seed| jpeg_with(seed, &Carried { xmp: Some(xmp.clone()), ..Carried::default() }))
}

fn of_iptc(sets: &'static [(u8, u8, &'static [u8])]) -> Write {
    Box::new(|seed| jpeg_with(seed, &Carried { iptc: Some(iptc(sets)), ..Carried::default() }))
}

/// What is expected of a file: see [`describe`].
type Row = (&'static str, Write, &'static str);

/// Writes what is known of an image, without what it does not say.
fn describe(info: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let credit = &info["credit"];
    let mut parts = Vec::new();
    for (name, value) in [
        ("taken", &info["taken_at"]),
        ("rating", &info["rating"]),
        ("title", &info["title"]),
        ("by", &credit["creator"]),
        ("copyright", &credit["copyright"]),
        ("licence", &credit["licence"]),
    ] {
        if !value.is_null() {
            parts.push(format!("{name} {}", text(value)));
        }
    }
    let tags: Vec<String> = info["tags"].as_array().unwrap().iter().map(text).collect();
    if !tags.is_empty() {
        parts.push(format!("tags {}", tags.join("+")));
    }
    parts.join("; ")
}

/// Imports files, and returns what is wrong with what is known of them after.
fn wrong_rows(files: &[(String, Vec<u8>, String)]) -> Vec<String> {
    let space = Workspace::file();
    for (name, file, _) in files {
        fs::write(space.picture(name), file).unwrap();
    }
    space.run(["import", "--metadata-tags", "pictures"]).expect(0);
    let infos = space.list();
    let mut wrong = Vec::new();
    for (name, _, expected) in files {
        let info = infos.iter().find(|info| info["source"] == name.as_str());
        let found = info.map_or_else(|| "not imported".into(), describe);
        if found != *expected {
            wrong.push(format!("{name}:\n    is       {found}\n    and not  {expected}"));
        }
    }
    wrong
}

fn expect_all(rows: Vec<Row>) {
    let file = |(seed, (name, write, expected)): (u32, Row)| {
        (format!("{name}.bin"), write(seed), expected.to_owned())
    };
    let files: Vec<_> = (1..).zip(rows).map(file).collect();
    let wrong = wrong_rows(&files);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), files.len(), wrong.join("\n"));
}

#[test]
fn dates_are_those_of_the_camera() {
    expect_all(vec![
        ("no metadata", of_exif(&[]), ""),
        ("local time", of_exif(&[DATE]), "taken 2024-05-17T18:30:00"),
        (
            "offset",
            of_exif(&[DATE, (OFFSET_TAKEN, Text("+02:00"))]),
            "taken 2024-05-17T18:30:00+02:00",
        ),
        ("west", of_exif(&[DATE, (OFFSET, Text("-03:30"))]), "taken 2024-05-17T18:30:00-03:30"),
        ("utc", of_exif(&[DATE, (OFFSET_TAKEN, Text("Z"))]), "taken 2024-05-17T18:30:00Z"),
        (
            "blank offset",
            of_exif(&[DATE, (OFFSET_TAKEN, Text("   :  ")), (OFFSET, Text("+01:00"))]),
            "taken 2024-05-17T18:30:00+01:00",
        ),
        // Nowhere is local time so far ahead.
        (
            "absurd offset",
            of_exif(&[DATE, (OFFSET_TAKEN, Text("+99:00"))]),
            "taken 2024-05-17T18:30:00",
        ),
        ("subseconds", of_exif(&[DATE, (0x9291, Text("999"))]), "taken 2024-05-17T18:30:00"),
        // When the file was changed says nothing of the picture.
        ("changed", of_exif(&[(0x0132, Text("2024:05:17 18:30:00"))]), ""),
        (
            "digitized",
            of_exif(&[
                (DIGITIZED, Text("2024:05:17 18:30:00")),
                (OFFSET_DIGITIZED, Text("+02:00")),
                (TAKEN, Text("    :  :     :  :  ")),
            ]),
            "taken 2024-05-17T18:30:00+02:00",
        ),
        ("zeros", of_exif(&[(TAKEN, Text("0000:00:00 00:00:00"))]), ""),
        ("month 13", of_exif(&[(TAKEN, Text("2024:13:17 18:30:00"))]), ""),
        ("no leap year", of_exif(&[(TAKEN, Text("2023:02:29 18:30:00"))]), ""),
        (
            "leap second",
            of_exif(&[(TAKEN, Text("2016:12:31 23:59:60"))]),
            "taken 2016-12-31T23:59:59",
        ),
        ("before photography", of_exif(&[(TAKEN, Text("1601:01:01 00:00:00"))]), ""),
        ("1931", of_exif(&[(TAKEN, Text("1931:08:02 12:00:00"))]), "taken 1931-08-02T12:00:00"),
        // Cameras that write TIFF/EP.
        (
            "in the main directory",
            Box::new(|seed| tiff_with(&photo(40, 30, seed), &[DATE])),
            "taken 2024-05-17T18:30:00",
        ),
        (
            "xmp exif",
            of_xmp("exif:DateTimeOriginal='2024-05-17T18:30:00.25+02:00'", ""),
            "taken 2024-05-17T18:30:00+02:00",
        ),
        (
            "xmp photoshop",
            of_xmp("", "<photoshop:DateCreated>2024-05-17</photoshop:DateCreated>"),
            "taken 2024-05-17T00:00:00",
        ),
        ("xmp created", of_xmp("xmp:CreateDate='2024-05'", ""), "taken 2024-05-01T00:00:00"),
        ("xmp changed", of_xmp("xmp:ModifyDate='2024-05-17T18:30:00Z'", ""), ""),
        (
            "iptc",
            of_iptc(&[(2, 55, b"20240517"), (2, 60, b"183000+0200")]),
            "taken 2024-05-17T18:30:00+02:00",
        ),
        (
            "png text",
            Box::new(|seed| {
                png_with(seed, &[("Creation Time", "Fri, 17 May 2024 18:30:00 +0200")], &[])
            }),
            "taken 2024-05-17T18:30:00+02:00",
        ),
        // A scan is digitised long after the picture was taken.
        (
            "scan",
            Box::new(|seed| {
                let exif = Some(exif(b"II", &[(DIGITIZED, Text("2024:05:17 18:30:00"))]));
                let xmp = Some(xmp("photoshop:DateCreated='1931-08-02T12:00:00'", ""));
                jpeg_with(seed, &Carried { exif, xmp, ..Carried::default() })
            }),
            "taken 1931-08-02T12:00:00",
        ),
        // The same time, of which only one says where.
        (
            "offset elsewhere",
            Box::new(|seed| {
                let exif = Some(exif(b"MM", &[DATE]));
                let xmp = Some(xmp("photoshop:DateCreated='2024-05-17T18:30:00+02:00'", ""));
                jpeg_with(seed, &Carried { exif, xmp, ..Carried::default() })
            }),
            "taken 2024-05-17T18:30:00+02:00",
        ),
    ]);
}

#[test]
fn stars_are_a_number_from_0_to_5() {
    expect_all(vec![
        ("attribute", of_xmp("xmp:Rating='4'", ""), "rating 4"),
        ("element", of_xmp("", "<xmp:Rating> 5 </xmp:Rating>"), "rating 5"),
        ("none given", of_xmp("xmp:Rating='0'", ""), "rating 0"),
        ("fraction", of_xmp("xmp:Rating='3.5'", ""), "rating 3"),
        ("rejected", of_xmp("xmp:Rating='-1' MicrosoftPhoto:Rating='75'", ""), ""),
        ("too many", of_xmp("xmp:Rating='6'", ""), ""),
        ("no number", of_xmp("xmp:Rating='good'", ""), ""),
        ("percent", of_xmp("MicrosoftPhoto:Rating='75'", ""), "rating 4"),
        ("exif", of_exif(&[(RATING, Short(3))]), "rating 3"),
        ("exif percent", of_exif(&[(RATING_PERCENT, Short(99))]), "rating 5"),
        (
            "qualified",
            of_xmp(
                "",
                "<xmp:Rating rdf:parseType='Resource'><rdf:value>2</rdf:value>\
            </xmp:Rating>",
            ),
            "rating 2",
        ),
        (
            "with another prefix",
            Box::new(|seed| {
                let xmp =
                    xmp("xmp:Rating='4'", "").replace("xmp:", "xap:").replace(":xmp=", ":xap=");
                jpeg_with(seed, &Carried { xmp: Some(xmp), ..Carried::default() })
            }),
            "rating 4",
        ),
        (
            "utf-16",
            Box::new(|seed| {
                let xmp = xmp("xmp:Rating='4'", "").replace('\u{FEFF}', "");
                let utf_16: Vec<u8> = [0xFEFF]
                    .into_iter()
                    .chain(xmp.encode_utf16())
                    .flat_map(u16::to_be_bytes)
                    .collect();
                tiff_with(&photo(40, 30, seed), &[(700, Bytes(&utf_16))])
            }),
            "rating 4",
        ),
        // What a picture was made from has stars of its own.
        (
            "of an ingredient",
            of_xmp(
                "",
                "<xmpMM:Pantry><rdf:Bag><rdf:li><rdf:Description \
            xmp:Rating='5'/></rdf:li></rdf:Bag></xmpMM:Pantry>",
            ),
            "",
        ),
    ]);
}

const TITLES: &str = "<dc:title><rdf:Alt><rdf:li xml:lang='de-DE'>Ebbe</rdf:li>\
    <rdf:li xml:lang='x-default'>Low tide</rdf:li></rdf:Alt></dc:title>";
const CREDIT: &str = "<dc:creator><rdf:Seq><rdf:li>Jane Doe</rdf:li><rdf:li>Zo&#235;</rdf:li>\
    </rdf:Seq></dc:creator><dc:rights><rdf:Alt><rdf:li xml:lang='x-default'>&#169; Jane &amp; \
    Zo&#xEB;</rdf:li></rdf:Alt></dc:rights><cc:license \
    rdf:resource='https://creativecommons.org/licenses/by/4.0/'/>";

#[test]
fn titles_and_credits_come_from_people() {
    expect_all(vec![
        ("xmp title", of_xmp("", TITLES), "title Low tide"),
        ("iptc title", of_iptc(&[(2, 5, b"Ebbe")]), "title Ebbe"),
        ("latin-1", of_iptc(&[(2, 5, b"\xC9t\xE9")]), "title Été"),
        ("utf-8", of_iptc(&[(1, 90, b"\x1B%G"), (2, 5, "Été".as_bytes())]), "title Été"),
        ("windows title", of_exif(&[(0x9C9B, Wide("Été 夏"))]), "title Été 夏"),
        // Cameras write their names there.
        ("description", of_exif(&[(0x010E, Text("OLYMPUS DIGITAL CAMERA"))]), ""),
        (
            "png title",
            Box::new(|seed| png_with(seed, &[("Title", "Été"), ("Author", "Jane")], &[])),
            "title Été; by Jane",
        ),
        (
            "xmp before iptc",
            Box::new(|seed| {
                let (xmp, iptc) = (Some(xmp("", TITLES)), Some(iptc(&[(2, 5, b"other")])));
                jpeg_with(seed, &Carried { xmp, iptc, ..Carried::default() })
            }),
            "title Low tide",
        ),
        ("control characters", of_iptc(&[(2, 5, b"Low\x1b[2J\r\ntide\0")]), "title Low [2J tide"),
        ("two forms", of_iptc(&[(2, 5, "E\u{301}te\u{301}".as_bytes())]), "title Été"),
        (
            "credit",
            of_xmp("", CREDIT),
            "by Jane Doe, Zoë; copyright © Jane & Zoë; \
            licence https://creativecommons.org/licenses/by/4.0/",
        ),
        (
            "web statement",
            Box::new(|seed| {
                let xmp = Some(xmp(&format!("xmpRights:WebStatement='{LICENCE}'"), ""));
                jpeg_with(seed, &Carried { xmp, ..Carried::default() })
            }),
            "licence https://creativecommons.org/licenses/by/4.0/",
        ),
        ("no address", of_xmp("xmpRights:WebStatement='ask me'", ""), ""),
        (
            "artist",
            of_exif(&[(ARTIST, Text("Jane Doe")), (COPYRIGHT, Text("Jane\0Joe"))]),
            "by Jane Doe; copyright Jane",
        ),
        ("editor only", of_exif(&[(COPYRIGHT, Text(" \0Joe"))]), "copyright Joe"),
        ("blank artist", of_exif(&[(ARTIST, Text("     ")), (0x9C9D, Wide("Jane"))]), "by Jane"),
        (
            "iptc credit",
            of_iptc(&[(2, 80, b"Jane"), (2, 80, b"Joe"), (2, 116, b"(c) Jane")]),
            "by Jane, Joe; copyright (c) Jane",
        ),
    ]);
}

#[test]
fn keywords_and_albums_become_tags_but_no_persons_and_places() {
    expect_all(vec![
        (
            "subject",
            of_xmp("", bag("dc:subject", &["sea", " beach ", "+sand", "sea"])),
            "tags beach+sand+sea",
        ),
        ("iptc", of_iptc(&[(2, 25, b"sea"), (2, 25, b"\xC9t\xE9")]), "tags sea+Été"),
        ("windows", of_exif(&[(0x9C9E, Wide("sea;beach; sand"))]), "tags beach+sand+sea"),
        (
            "paths",
            of_xmp(
                "",
                [
                    bag("lr:hierarchicalSubject", &["Nature|Water|sea"]),
                    bag("digiKam:TagsList", &["Nature/Sand"]),
                ]
                .concat(),
            ),
            "tags Sand+sea",
        ),
        (
            "last keyword",
            of_xmp("", bag("MicrosoftPhoto:LastKeywordXMP", &["Nature/sea"])),
            "tags sea",
        ),
        (
            "album",
            of_xmp(
                "",
                "<mwg-coll:Collections><rdf:Bag><rdf:li \
            mwg-coll:CollectionName='Summer 2024' mwg-coll:CollectionURI='x'/></rdf:Bag>\
            </mwg-coll:Collections>",
            ),
            "tags Summer 2024",
        ),
        ("too long", of_xmp("", bag("dc:subject", &["sea", &"x".repeat(300), "-"])), "tags sea"),
        (
            "iptc place",
            of_iptc(&[(2, 25, b"Munich"), (2, 90, b"MUNICH"), (2, 25, b"sea")]),
            "tags sea",
        ),
        (
            "person",
            of_xmp(
                "",
                [bag("dc:subject", &["Kim", "sea"]), bag("Iptc4xmpExt:PersonInImage", &["Kim"])]
                    .concat(),
            ),
            "tags sea",
        ),
        (
            "face",
            of_xmp(
                "",
                [
                    bag("dc:subject", &["Kim", "sea"]),
                    "<mwg-rs:Regions \
            rdf:parseType='Resource'><mwg-rs:RegionList><rdf:Bag><rdf:li><rdf:Description \
            mwg-rs:Name='Kim' mwg-rs:Type='Face'/></rdf:li></rdf:Bag></mwg-rs:RegionList>\
            </mwg-rs:Regions>"
                        .to_owned(),
                ]
                .concat(),
            ),
            "tags sea",
        ),
        (
            "below people",
            of_xmp(
                "",
                [
                    bag("dc:subject", &["Kim", "Rome", "sea"]),
                    bag("digiKam:TagsList", &["People/Kim", "Places/Italy/Rome"]),
                ]
                .concat(),
            ),
            "tags sea",
        ),
    ]);
}

#[test]
fn broken_metadata_costs_neither_the_picture_nor_the_rest() {
    expect_all(vec![
        (
            "two exif",
            Box::new(|seed| {
                let second = Some(exif(b"II", &[(TAKEN, Text("2001:01:01 00:00:00"))]));
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
                let mut cut = exif(b"II", &[DATE, (ARTIST, Text("Jane Doe"))]);
                cut.truncate(20);
                let xmp = Some(xmp("xmp:Rating='4'", ""));
                jpeg_with(seed, &Carried { exif: Some(cut), xmp, ..Carried::default() })
            }),
            "rating 4",
        ),
        // The field's content would lie behind the end.
        (
            "field outside",
            of_exif(&[DATE, (0x8769, Long(0xFFFF_FFF0)), (RATING, Short(3))]),
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
fn every_format_carries_metadata_in_its_own_way() {
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
                let iptc = raw_profile("iptc", &super::write::photoshop(&iptc(&[(2, 5, b"Ebbe")])));
                let texts: [(&str, &str); 2] =
                    [("Raw profile type exif", &exif), ("Raw profile type iptc", &iptc)];
                png_with(seed, &texts, &[])
            }),
            "taken 2024-05-17T18:30:00; title Ebbe",
        ),
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
    let built = |name: &&str| match name.rsplit('.').next() {
        Some("avif") => cfg!(feature = "avif"),
        Some("heic") => cfg!(feature = "heic"),
        Some("jxl") => cfg!(feature = "jxl"),
        _ => true,
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
    wrong.extend(wrong_rows(
        &["brotli-by-exiftool.jxl"]
            .iter()
            .filter(|name| built(name))
            .map(|name| file(name))
            .collect::<Vec<_>>(),
    ));
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

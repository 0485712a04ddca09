//! Stars, titles, credits and keywords.

use super::variants::{TITLES, expect_all, of_exif, of_iptc, of_xmp};
use super::write::{Carried, Field, bag, iptc, jpeg_with, png_with, tiff_with, xmp};
use crate::pictures::photo;

use Field::{Bytes, Short, Text, Wide};

const ARTIST: u16 = 0x013B;
const RATING: u16 = 0x4746;
const RATING_PERCENT: u16 = 0x4749;
const COPYRIGHT: u16 = 0x8298;

const LICENCE: &str = "https://creativecommons.org/licenses/by/4.0/";
const CREDIT: &str = "<dc:creator><rdf:Seq><rdf:li>Jane Doe</rdf:li><rdf:li>Zo&#235;</rdf:li>\
    </rdf:Seq></dc:creator><dc:rights><rdf:Alt><rdf:li xml:lang='x-default'>&#169; Jane &amp; \
    Zo&#xEB;</rdf:li></rdf:Alt></dc:rights><cc:license \
    rdf:resource='https://creativecommons.org/licenses/by/4.0/'/>";

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

#[test]
fn titles_and_credits_come_from_people() {
    expect_all(vec![
        ("xmp title", of_xmp("", TITLES), "title Low tide"),
        ("iptc title", of_iptc(&[(2, 5, b"Ebbe")]), "title Ebbe"),
        ("latin-1", of_iptc(&[(2, 5, b"\xC9t\xE9")]), "title Été"),
        ("utf-8", of_iptc(&[(1, 90, b"\x1B%G"), (2, 5, b"\xC3\x89t\xC3\xA9")]), "title Été"),
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
        ("two forms", of_iptc(&[(2, 5, b"E\xCC\x81te\xCC\x81")]), "title Été"),
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
fn keywords_and_albums_become_tags() {
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
    ]);
}

#[test]
fn names_of_persons_and_places_are_no_tags() {
    expect_all(vec![
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

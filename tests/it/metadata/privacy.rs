//! Tests that places, serial numbers, faces, makers' notes and thumbnails never reach a gallery.

use std::fs;

use serde_json::Value;

use super::write::{
    Carried, Field, bag, exif, international_text, iptc, jpeg_with, png_with, tiff_with, webp_with,
    with_segments, xmp,
};
use crate::harness::Workspace;
use crate::pictures::photo;

use Field::{Bytes, Text};

/// What every text begins with that must not be stored.
const SECRET: &str = "SECRET";

/// Fields of EXIF that phones write, with what must not be stored in them.
const FIELDS: &[(u16, Field<'_>)] = &[
    (0x9003, Text("2024:05:17 18:30:00")),
    (0x9011, Text("+02:00")),
    (0x001B, Bytes(b"ASCII\0\0\0SECRET position method")),
    (0x001C, Bytes(b"ASCII\0\0\0SECRET area")),
    (0x001D, Text("SECRET date of position")),
    (0x0132, Text("SECRET time of change")),
    (0x013C, Text("SECRET computer")),
    (0x501B, Bytes(b"SECRET thumbnail")),
    (0x927C, Bytes(b"Apple iOS\0\0SECRET maker note")),
    (0x9286, Bytes(b"ASCII\0\0\0SECRET comment")),
    (0xA420, Text("SECRET id of the picture")),
    (0xA430, Text("SECRET owner")),
    (0xA431, Text("SECRET number of the body")),
    (0xA435, Text("SECRET number of the lens")),
];

fn secret_xmp() -> String {
    let attributes = "xmlns:aux='http://ns.adobe.com/exif/1.0/aux/' \
        xmlns:Iptc4xmpCore='http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/' xmp:Rating='4' \
        aux:SerialNumber='SECRET serial' exif:GPSLatitude='SECRET latitude' \
        photoshop:City='SECRET city' photoshop:State='SECRET state' \
        photoshop:Country='SECRET country' Iptc4xmpCore:Location='SECRET quarter' \
        xmpMM:DocumentID='SECRET document'";
    let face = "<mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:RegionList><rdf:Bag><rdf:li>\
        <rdf:Description mwg-rs:Name='SECRET face' mwg-rs:Type='Face'/></rdf:li></rdf:Bag>\
        </mwg-rs:RegionList></mwg-rs:Regions>";
    let place = "<Iptc4xmpExt:LocationShown><rdf:Bag><rdf:li rdf:parseType='Resource'>\
        <Iptc4xmpExt:Sublocation>SECRET street</Iptc4xmpExt:Sublocation></rdf:li></rdf:Bag>\
        </Iptc4xmpExt:LocationShown>";
    let thumbnail = "<xmp:Thumbnails><rdf:Alt><rdf:li rdf:parseType='Resource'>SECRET thumbnail\
        </rdf:li></rdf:Alt></xmp:Thumbnails>";
    let elements = [
        face.to_owned(),
        place.to_owned(),
        thumbnail.to_owned(),
        bag("Iptc4xmpExt:PersonInImage", &["SECRET person"]),
        // Some programs make keywords of all of it.
        bag(
            "dc:subject",
            &[
                "tide",
                "SECRET face",
                "secret person",
                "SECRET city",
                "SECRET state",
                "SECRET street",
                "SECRET quarter",
                "SECRET friend",
            ],
        ),
        bag("digiKam:TagsList", &["People/SECRET friend", "Places/SECRET land/SECRET town"]),
    ];
    xmp(attributes, &elements.concat())
}

const RECORDS: &[(u8, u8, &[u8])] = &[
    (2, 25, b"sand"),
    (2, 25, b"SECRET village"),
    (2, 26, b"SECRET code"),
    (2, 27, b"SECRET name of the place"),
    (2, 90, b"SECRET village"),
    (2, 92, b"SECRET corner"),
    (2, 95, b"SECRET county"),
    (2, 101, b"SECRET nation"),
    (2, 120, b"SECRET caption"),
];

/// Makes a picture as a phone would write it, in one of four formats.
fn phone_picture(number: u32) -> (String, Vec<u8>) {
    let (packet, records) = (secret_xmp(), iptc(RECORDS));
    let block = exif(if number % 8 < 4 { b"II" } else { b"MM" }, FIELDS);
    match number % 4 {
        0 => {
            let carried = Carried { exif: Some(block), xmp: Some(packet), iptc: Some(records) };
            let thumbnail = b"\xFF\xE0\0\x19JFXX\0\x10SECRET thumbnail\0";
            (format!("{number}.jpg"), with_segments(&jpeg_with(number, &carried), thumbnail))
        }
        1 => {
            let text = international_text("XML:com.adobe.xmp", &packet);
            let texts = [("Comment", "SECRET comment"), ("Location", "SECRET location")];
            let chunks: [(&[u8; 4], &[u8]); 2] = [(b"eXIf", &block), (b"iTXt", &text)];
            (format!("{number}.png"), png_with(number, &texts, &chunks))
        }
        2 => {
            let chunks: [(&[u8; 4], &[u8]); 3] =
                [(b"EXIF", &block), (b"XMP ", packet.as_bytes()), (b"note", b"SECRET chunk!")];
            (format!("{number}.webp"), webp_with(number, 0x0C, &chunks))
        }
        _ => {
            let more = [(700, Bytes(packet.as_bytes())), (0x83BB, Bytes(&records))];
            (format!("{number}.tiff"), tiff_with(&photo(40, 30, number), &[FIELDS, &more].concat()))
        }
    }
}

#[test]
fn no_byte_of_places_numbers_faces_and_thumbnails_is_stored() {
    let space = Workspace::file();
    for number in 0..50 {
        let (name, file) = phone_picture(number);
        let secrets = file.windows(SECRET.len()).filter(|window| *window == SECRET.as_bytes());
        assert!(secrets.count() > 10, "{name} has too few secrets");
        fs::write(space.picture(name), file).unwrap();
    }
    space.run(["import", "--metadata-tags", "--renditions", "16", "pictures"]).expect(0);
    let images = space.list();
    assert_eq!(images.len(), 50);
    let mut wrong = Vec::new();
    for info in &images {
        let is_read = info["taken_at"] == "2024-05-17T18:30:00+02:00" && info["rating"] == 4;
        let tags = info["tags"].as_array().unwrap();
        let expected: &[&str] = if tags.len() == 1 { &["tide"] } else { &["sand", "tide"] };
        if !is_read || tags.iter().map(Value::as_str).ne(expected.iter().copied().map(Some)) {
            wrong.push(info.to_string());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let gallery = fs::read(space.gallery_file()).unwrap().to_ascii_uppercase();
    let found = gallery.windows(SECRET.len() + 20).filter(|it| it.starts_with(SECRET.as_bytes()));
    let found: Vec<_> = found.map(String::from_utf8_lossy).collect();
    assert!(found.is_empty(), "{found:?}");
}

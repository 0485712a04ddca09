//! What a table of files looks like, and how it is checked.

use std::fs;

use serde_json::Value;

use super::write::{Carried, Field, exif, iptc, jpeg_with, xmp};
use crate::harness::Workspace;

/// The date of most rows.
pub const DATE: (u16, Field<'_>) = (0x9003, Field::Text("2024:05:17 18:30:00"));

/// The title of most rows, in XMP.
pub const TITLES: &str = "<dc:title><rdf:Alt><rdf:li xml:lang='de-DE'>Ebbe</rdf:li>\
    <rdf:li xml:lang='x-default'>Low tide</rdf:li></rdf:Alt></dc:title>";
/// Makes a file of pixels that no other seed gives.
pub type Write = Box<dyn Fn(u32) -> Vec<u8>>;

pub fn of_exif(fields: &'static [(u16, Field<'static>)]) -> Write {
    Box::new(|seed| {
        let order = if seed % 2 == 0 { b"II" } else { b"MM" };
        let exif = Some(exif(order, fields));
        jpeg_with(seed, &Carried { exif, ..Carried::default() })
    })
}

pub fn of_xmp(attributes: &'static str, elements: impl Into<String>) -> Write {
    let xmp = xmp(attributes, &elements.into());
    Box::new(move |seed| jpeg_with(seed, &Carried { xmp: Some(xmp.clone()), ..Carried::default() }))
}

pub fn of_iptc(sets: &'static [(u8, u8, &'static [u8])]) -> Write {
    Box::new(|seed| jpeg_with(seed, &Carried { iptc: Some(iptc(sets)), ..Carried::default() }))
}

/// What is expected of a file: see [`describe`].
pub type Row = (&'static str, Write, &'static str);

/// Writes what is known of an image, without what it does not say.
pub fn describe(info: &Value) -> String {
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
pub fn wrong_rows(files: &[(String, Vec<u8>, String)]) -> Vec<String> {
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

pub fn expect_all(rows: Vec<Row>) {
    let file = |(seed, (name, write, expected)): (u32, Row)| {
        (format!("{name}.bin"), write(seed), expected.to_owned())
    };
    let files: Vec<_> = (1..).zip(rows).map(file).collect();
    let wrong = wrong_rows(&files);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), files.len(), wrong.join("\n"));
}

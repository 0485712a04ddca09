//! Tests metadata that comes later, stays, is filtered by and is shown.

use std::fs;

use imagepool::image::PictureMetadata;
use imagepool::store::{Access, Addition, Locator, SourceKey, Store};
use serde_json::{Value, json};

use super::write::{Field, bag, exif, international_text, png_with, xmp};
use crate::harness::{Failures, Workspace, on_each_engine};

on_each_engine!(
    keywords_are_tags_of_their_file_and_only_if_asked_for,
    the_first_file_counts_and_others_fill_in
);

/// A PNG whose pixels are those of its number, with this XMP.
fn png(seed: u32, attributes: &str, elements: &str) -> Vec<u8> {
    let text = international_text("XML:com.adobe.xmp", &xmp(attributes, elements));
    png_with(seed, &[], &[(b"iTXt", &text)])
}

fn title(text: &str) -> String {
    format!("<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>{text}</rdf:li></rdf:Alt></dc:title>")
}

/// Imports `pictures` and returns the lines of the report.
fn import(space: &Workspace, arguments: &[&str]) -> Vec<Value> {
    let first = ["import", "--renditions", "none", "--report", "report"];
    space.run([&first, arguments, &["pictures"]].concat()).expect(0);
    let report = fs::read_to_string(space.path("report")).unwrap();
    report.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Copies the only image of a gallery into a new one, as a version that read no metadata left it.
fn forget_metadata(space: &Workspace) {
    let before = space.path("before.pool");
    fs::rename(space.gallery_file(), &before).unwrap();
    let from = Store::open(&Locator::File(before), Access::Read).unwrap();
    let to = Store::open(&Locator::File(space.gallery_file()), Access::Create).unwrap();
    from.each_image(|id, mut record| {
        assert!(record.metadata != PictureMetadata::default());
        record.metadata = PictureMetadata::default();
        let webp = from.blob(id, 0, <[u8]>::to_vec).unwrap().unwrap();
        let source = SourceKey::new(&record.source_hash, record.settings_hash);
        let addition = Addition {
            id,
            image: Some((Box::new(record), webp)),
            metadata: PictureMetadata::default(),
            hand_tags: Vec::new(),
            renditions: Vec::new(),
            source,
            origin: None,
            moved_from: Vec::new(),
            again: false,
        };
        to.add(&[addition]).unwrap();
    })
    .unwrap();
}

#[test]
fn a_second_import_fills_in_what_an_earlier_version_did_not_read() {
    let space = Workspace::file();
    let attributes = "xmp:Rating='4' exif:DateTimeOriginal='2024-05-17T18:30:00Z'";
    fs::write(space.picture("a.png"), png(1, attributes, &title("Low tide"))).unwrap();
    import(&space, &[]);
    let expected = space.list();
    forget_metadata(&space);
    assert_eq!(space.list()[0]["rating"], Value::Null);

    let report = import(&space, &[]);
    assert_eq!(report[0]["status"], "already_present", "{report:?}");
    assert_eq!(report[0]["notes"], json!(["metadata added"]));
    let fields = ["id", "taken_at", "rating", "title", "credit", "bytes"];
    for field in fields {
        assert_eq!(space.list()[0][field], expected[0][field], "{field}");
    }
    space.assert_verified();

    let version = || Store::open(&Locator::File(space.gallery_file()), Access::Read);
    let before = version().unwrap().version();
    let report = import(&space, &[]);
    assert_eq!(
        (&report[0]["status"], &report[0]["notes"]),
        (&json!("already_present"), &json!([]))
    );
    assert_eq!(version().unwrap().version(), before, "the third import changed something");
}

fn the_first_file_counts_and_others_fill_in(space: &Workspace) {
    fs::write(space.picture("a.png"), png(1, "", &title("First"))).unwrap();
    import(space, &[]);
    fs::write(space.picture("b.png"), png(1, "xmp:Rating='4'", &title("Second"))).unwrap();
    import(space, &[]);
    let images = space.list();
    assert_eq!(images.len(), 1);
    assert_eq!((&images[0]["title"], &images[0]["rating"]), (&json!("First"), &json!(4)));
}

fn keywords_are_tags_of_their_file_and_only_if_asked_for(space: &Workspace) {
    fs::write(space.picture("sea/a.png"), png(1, "", &bag("dc:subject", &["tide", "sand"])))
        .unwrap();
    let tags = || space.list()[0]["tags"].clone();
    import(space, &[]);
    assert_eq!(tags(), json!(["sea"]));
    let report = import(space, &["--metadata-tags"]);
    assert_eq!(report[0]["notes"], json!(["tags added"]));
    assert_eq!(tags(), json!(["sand", "sea", "tide"]));
    let id = space.ids().remove(0);
    space.run(["tag", &id, "-sand"]).expect(0);
    import(space, &["--metadata-tags"]);
    assert_eq!(tags(), json!(["sea", "tide"]), "a refused tag came back");
}

/// Filters, and the pictures that meet them.
const FILTERS: &[(&[&str], &[&str])] = &[
    (&["--taken-after", "2024"], &["2024", "2025"]),
    (&["--taken-before", "2024"], &["1999"]),
    (&["--taken-after", "2024-05-17", "--taken-before", "2024-05-18"], &["2024"]),
    (&["--taken-after", "2024-05-17T18:30"], &["2024", "2025"]),
    (&["--taken-after", "2024-05-17T18:30:01"], &["2025"]),
    // This picture says that it is two hours ahead of UTC.
    (&["--taken-after", "2024-05-17T16:30:00Z"], &["2024", "2025"]),
    (&["--taken-after", "2024-05-17T16:30:01Z"], &["2025"]),
    (&["--taken-before", "2024-05-17T18:30:00+02:00"], &["1999"]),
    (&["--taken-before", "9999"], &["1999", "2024", "2025"]),
    (&["--min-rating", "0"], &["1999", "2024"]),
    (&["--min-rating", "3"], &["2024"]),
    (&["--min-rating", "5"], &[]),
    (&["--min-rating", "1", "--tag", "2024"], &["2024"]),
    (&["--min-rating", "1", "--tag", "1999"], &[]),
];

#[test]
fn images_are_listed_and_removed_by_date_and_rating() {
    let space = Workspace::file();
    for (seed, name, attributes) in [
        (1, "1999/a.png", "exif:DateTimeOriginal='1999-12-31T23:59:59' xmp:Rating='0'"),
        (2, "2024/a.png", "exif:DateTimeOriginal='2024-05-17T18:30:00+02:00' xmp:Rating='4'"),
        (3, "2025/a.png", "exif:DateTimeOriginal='2025-01-01T00:00:00'"),
        (4, "none/a.png", ""),
    ] {
        fs::write(space.picture(name), png(seed, attributes, "")).unwrap();
    }
    import(&space, &[]);
    let mut failures = Failures::new();
    for (arguments, expected) in FILTERS {
        failures.check(format!("{arguments:?}"), || {
            let listed = space.run([&["list", "--json"], *arguments].concat()).expect(0).json();
            let folder = |info: &Value| info["tags"][0].as_str().unwrap().to_owned();
            let mut folders: Vec<_> = listed.as_array().unwrap().iter().map(folder).collect();
            folders.sort_unstable();
            assert_eq!(folders, *expected);
        });
    }
    drop(failures);
    space.run(["remove", "--taken-before", "2025"]).expect(0).complains_of(&["2 removed"]);
    assert_eq!(space.list().len(), 2);
}

#[test]
fn what_a_picture_says_is_shown_everywhere_and_goes_along() {
    let space = Workspace::file();
    let credit = "<dc:creator><rdf:Seq><rdf:li>A. Person</rdf:li></rdf:Seq></dc:creator>\
        <dc:rights>© A. Person</dc:rights>";
    let licence = "https://example.org/by/4.0/";
    let attributes = format!("xmp:Rating='4' xmpRights:WebStatement='{licence}'");
    let text = international_text(
        "XML:com.adobe.xmp",
        &xmp(&attributes, &[title("Low tide"), credit.into()].concat()),
    );
    let exif = exif(
        b"MM",
        &[(0x9003, Field::Text("2024:05:17 18:30:00")), (0x9011, Field::Text("-03:30"))],
    );
    let file = png_with(1, &[], &[(b"iTXt", &text), (b"eXIf", &exif)]);
    fs::write(space.picture("a.png"), file).unwrap();
    import(&space, &[]);
    let id = space.ids().remove(0);

    let shown = space.run(["show", &id]).expect(0).stdout;
    for line in [
        "taken  2024-05-17T18:30:00-03:30",
        "rating  4 of 5",
        "title  Low tide",
        "creator  A. Person",
        "copyright  © A. Person",
        "licence  https://example.org/by/4.0/",
    ] {
        assert!(shown.contains(line), "{line} is missing:\n{shown}");
    }

    let listed = space.list().remove(0);
    let said =
        |info: &Value| ["taken_at", "rating", "title", "credit"].map(|field| info[field].clone());
    let credit = json!({"creator": "A. Person", "copyright": "© A. Person", "licence": licence});
    let expected = [json!("2024-05-17T18:30:00-03:30"), json!(4), json!("Low tide"), credit];
    assert_eq!(said(&listed), expected);
    assert_eq!(said(&space.run(["show", "--json", &id]).expect(0).json()), expected);
    let (server, key) = space.serve_with_key();
    let info = server.get(&format!("/images/{id}/info?key={key}")).json();
    assert_eq!(said(&info), expected);
    drop(server);

    space.run(["copy", &space.locator(), "copied.pool"]).expect(0);
    space.run(["backup", "saved.pool"]).expect(0);
    for other in ["copied.pool", "saved.pool"] {
        let shown = space.run(["--gallery", other, "show", "--json", &id]).expect(0).json();
        assert_eq!(said(&shown), expected, "{other}");
    }

    // A damaged image is mended from its file, and what it says stays.
    let mut bytes = fs::read(space.gallery_file()).unwrap();
    let webp = space.stored(&id);
    let at = bytes.windows(webp.len()).position(|window| window == webp).unwrap();
    bytes[at + webp.len() / 2] ^= 1;
    fs::write(space.gallery_file(), bytes).unwrap();
    assert_eq!(import(&space, &[])[0]["status"], "mended");
    assert_eq!(said(&space.list()[0]), expected, "mended");
}

#[test]
fn a_server_that_imports_makes_tags_of_keywords_too() {
    let space = Workspace::file();
    fs::write(space.picture("a.png"), png(1, "xmp:Rating='3'", &bag("dc:subject", &["tide"])))
        .unwrap();
    let server = space.serve_with(&["--public", "--metadata-tags", "--import", "pictures"]);
    crate::harness::wait_for("the picture is tagged", || {
        let images = server.get("/images?tag=tide").json();
        images.as_array().is_some_and(|images| images.len() == 1 && images[0]["rating"] == 3)
    });
}

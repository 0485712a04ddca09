//! Tests what `import --report` says of each file of a folder.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::{Value, json};

use crate::harness::{Failures, Workspace, on_each_engine};
use crate::pictures::{jpeg, photo, save, webp};

on_each_engine!(every_file_ends_in_its_place, a_folder_without_failures_ends_with_zero);

const AVIF: &str = if cfg!(feature = "avif") {
    "corrupt or unsupported AVIF"
} else {
    "AVIF: not supported by this build"
};
const HEIC: &str = if cfg!(feature = "heic") {
    "corrupt or unsupported HEIC"
} else {
    "HEIC: not supported by this build"
};

/// Makes a folder with one file of everything. Returns what the report must say of each: its
/// status, and words of the reason.
fn fill(space: &Workspace) -> Vec<(PathBuf, &'static str, &'static str)> {
    let write = |name: &str, bytes: &[u8]| fs::write(space.picture(name), bytes).unwrap();
    let whole = jpeg(&photo(120, 80, 1), None);
    save(photo(50, 40, 2), &space.picture("UPPER.PNG"));
    write("really-a-jpeg.png", &jpeg(&photo(51, 40, 3), None));
    write("no-ending", &jpeg(&photo(52, 40, 4), None));
    write("-rf", &jpeg(&photo(53, 40, 5), None));
    write(".hidden.jpg", &jpeg(&photo(54, 40, 6), None));
    write("deep/down/here.jpg", &jpeg(&photo(55, 40, 7), None));
    write("empty.jpg", b"");
    write("an image of text.txt", b"This text is named after an image.");
    write("page.webp", b"<!doctype html><p>not a picture");
    write("cut.jpg", &whole[..whole.len() - 200]);
    let cut_webp = webp(&photo(90, 90, 8), 75.0);
    write("cut.webp", &cut_webp[..cut_webp.len() / 2]);
    write("noise.png", b"\x89PNG\r\n\x1A\nthis is no chunk of a picture");
    write("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    write("modern.avif", b"\0\0\0\x18ftypavif\0\0\0\0mif1avif");
    write("picture.jp2", b"\0\0\0\x0CjP  \r\n\x87\n\0\0\0\x14ftypjp2 ");
    write("film.mp4", b"\0\0\0\x18ftypisom\0\0\0\0mp41isom");
    write("archive.zip", b"PK\x03\x04rest of an archive");
    let odd = space.path("pictures").join(OsStr::from_bytes(b"odd-\xFF.jpg"));
    fs::write(&odd, jpeg(&photo(56, 40, 9), None)).unwrap();
    fs::write(space.path("secret.jpg"), jpeg(&photo(57, 40, 10), None)).unwrap();
    symlink("../secret.jpg", space.picture("link.jpg")).unwrap();
    symlink("nowhere", space.picture("dangling.jpg")).unwrap();
    symlink("..", space.picture("loop")).unwrap();
    mkfifoat(CWD, space.picture("pipe.jpg"), Mode::RWXU).unwrap();

    let mut expected: Vec<_> = EXPECTED
        .iter()
        .map(|(name, status, reason)| (Path::new("pictures").join(name), *status, *reason))
        .collect();
    expected.push((Path::new("pictures").join(odd.file_name().unwrap()), "imported", ""));
    expected
}

const EXPECTED: [(&str, &str, &str); 21] = [
    ("UPPER.PNG", "imported", ""),
    ("really-a-jpeg.png", "imported", ""),
    ("no-ending", "imported", ""),
    ("-rf", "imported", ""),
    (".hidden.jpg", "imported", ""),
    ("deep/down/here.jpg", "imported", ""),
    ("empty.jpg", "not_image", "empty"),
    ("an image of text.txt", "not_image", "not a picture"),
    ("page.webp", "not_image", "not a picture"),
    ("film.mp4", "not_image", "a film (MP4)"),
    ("archive.zip", "not_image", "a zip archive: unpack it"),
    ("link.jpg", "not_image", "symbolic link"),
    ("dangling.jpg", "not_image", "symbolic link"),
    ("loop", "not_image", "symbolic link"),
    ("pipe.jpg", "not_image", "not a regular file"),
    ("cut.jpg", "failed", "truncated JPEG"),
    ("cut.webp", "failed", "truncated WebP"),
    ("noise.png", "failed", "PNG"),
    ("phone.heic", "failed", HEIC),
    ("modern.avif", "failed", AVIF),
    ("picture.jp2", "failed", "JPEG 2000: not supported by this build"),
];

fn every_file_ends_in_its_place(space: &Workspace) {
    let expected = fill(space);
    let before = snapshot(&space.path("pictures"));
    let ended = space.run(["import", "--json", "--report", "report.jsonl", "pictures"]).expect(1);
    ended.complains_of(&["failed: pictures/cut.jpg: truncated JPEG"]);
    assert_eq!(snapshot(&space.path("pictures")), before, "the source folder was changed");

    let report = fs::read_to_string(space.path("report.jsonl")).unwrap();
    let lines: BTreeMap<String, Value> = report
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|line: Value| (line["path"].as_str().unwrap().to_owned(), line))
        .collect();
    let mut failures = Failures::new();
    for (path, status, reason) in &expected {
        failures.check(path.display(), || {
            let line = &lines[&path.display().to_string()];
            assert_eq!(line["status"], *status, "{line}");
            assert!(line["reason"].as_str().unwrap_or("").contains(reason), "{line}");
            assert_eq!(line["id"].is_string(), *status == "imported", "{line}");
        });
    }
    assert_eq!(lines.len(), expected.len());
    let ids = space.ids();
    let imported = lines.values().filter(|line| line["status"] == "imported");
    assert!(imported.clone().all(|line| ids.contains(&line["id"].as_str().unwrap().to_owned())));

    let summary = ended.json();
    let counts = json!([summary["imported"], summary["not_images"], summary["failed"]]);
    assert_eq!(counts, json!([7, 9, 6]));
    assert_eq!(imported.count(), 7);
    space.assert_verified();
}

/// A picture that can't be imported is a failure. A text in the folder is none.
fn a_folder_without_failures_ends_with_zero(space: &Workspace) {
    save(photo(50, 40, 2), &space.picture("a.png"));
    fs::write(space.picture("notes.txt"), "words").unwrap();
    let summary = space.run(["import", "--json", "pictures"]).expect(0).json();
    let mut fields: Vec<_> = summary.as_object().unwrap().keys().cloned().collect();
    fields.sort();
    let contract = "already_present bytes_in bytes_out duplicates excluded failed imported links \
                    mended not_images originals_deleted originals_kept removed removed_before \
                    replaced seconds";
    assert_eq!(fields.join(" "), contract);
}

#[test]
fn a_report_line_has_the_fields_of_the_contract() {
    let space = Workspace::file();
    save(photo(50, 40, 2), &space.picture("a.png"));
    space.run(["import", "--report", "report.jsonl", "pictures"]).expect(0);
    let line: Value =
        serde_json::from_str(&fs::read_to_string(space.path("report.jsonl")).unwrap()).unwrap();
    let image = &space.list()[0];
    let bytes_in = fs::metadata(space.picture("a.png")).unwrap().len();
    assert_eq!(
        line,
        json!({
            "path": "pictures/a.png", "status": "imported", "id": image["id"],
            "width": 50, "height": 40, "format": "PNG",
            "bytes_in": bytes_in, "bytes_out": image["bytes"], "reason": null, "notes": [],
        })
    );
}

#[test]
fn a_report_replaces_nothing_but_a_report() {
    let space = Workspace::file();
    save(photo(50, 40, 2), &space.picture("a.png"));
    space.import();
    let mut failures = Failures::new();
    for target in ["gallery.pool", "gallery.pool-lock", "pictures/a.png"] {
        failures.check(target, || {
            let before = fs::read(space.path(target)).unwrap();
            let refused = space.run(["import", "--report", target, "pictures"]).expect(2);
            refused.complains_of(&[target, "is no report"]);
            let is_same = fs::read(space.path(target)).unwrap() == before;
            assert!(target.ends_with("-lock") || is_same, "it was changed");
        });
    }
    for _ in 0..2 {
        space.run(["import", "--report", "report.jsonl", "pictures"]).expect(0);
        assert_eq!(fs::read_to_string(space.path("report.jsonl")).unwrap().lines().count(), 1);
    }
    space
        .run(["import", "--report", "/dev/full", "pictures"])
        .expect(1)
        .complains_of(&["/dev/full", "No space left"]);
}

#[test]
fn a_path_that_does_not_exist_is_a_failure() {
    let space = Workspace::file();
    space.run(["import", "nowhere"]).expect(1).complains_of(&["nowhere: no such file"]);
    space
        .run(["import", "--report", "no/folder/report.jsonl", "pictures"])
        .expect(1)
        .complains_of(&["report.jsonl"]);
}

/// Names, kinds and contents of everything below a folder.
fn snapshot(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found: Vec<_> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let kind = entry.file_type();
            let content = if kind.is_file() {
                blake3::hash(&fs::read(entry.path()).unwrap()).to_string()
            } else {
                String::new()
            };
            (entry.path().to_owned(), format!("{kind:?} {content}"))
        })
        .collect();
    found.sort();
    found
}

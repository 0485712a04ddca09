//! Tests what commands print, and which input they refuse.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::json;

use crate::harness::{Failures, Workspace, on_each_engine};
use crate::pictures::{photo, save};

on_each_engine!(images_are_listed_shown_exported_and_counted);

const ID: &str = "00000000000000000000000000000000";

/// Arguments that are wrong, and a word of the error.
const WRONG_USAGE: &[(&[&str], &str)] = &[
    (&[], "Usage"),
    (&["fly"], "fly"),
    (&["import"], "PATH"),
    (&["import", "--jobs", "0", "x"], "--jobs"),
    (&["import", "--quality", "best", "x"], "--quality"),
    (&["--gallery", "", "list"], "--gallery"),
    (&["--gallery", "redis://x", "list"], "redis"),
    (&["--gallery", "s3://bucket", "list"], "object stores"),
    (&["--gallery", "sled:", "list"], "sled:"),
    (&["--log-format", "xml", "list"], "xml"),
    (&["-v", "-q", "list"], "cannot be used with"),
    (&["import", "--prune", "--delete-originals", "x"], "cannot be used with"),
    (&["show", "abc"], "32 hexadecimal digits"),
    (&["remove"], "ID"),
    (&["list", "--orientation", "diagonal"], "landscape"),
    (&["list", "--min-width", "-1"], "-1"),
    (&["list", "--animated", "maybe"], "maybe"),
    (&["list", "--taken-after", "soon"], "2024-05-17"),
    (&["list", "--taken-before", "2023-02-29"], "--taken-before"),
    (&["list", "--min-rating", "6"], "--min-rating"),
    (&["serve", "--header-timeout", "soon"], "--header-timeout"),
    (&["serve", "--max-connections", "0"], "--max-connections"),
    (&["key", "rotate", "--grace", "never"], "--grace"),
    (&["key", "add", "--name", ""], "name"),
    (&["serve", "--listen", "127.0.0.1:99999"], "ADDR:PORT"),
    (&["health", "ftp://example.org"], "http://"),
    (&["completions", "elvish2"], "elvish2"),
    (&["man", "fly"], "fly"),
    (&["serve", "--listen", "nowhere"], "nowhere"),
    (&["tag", ID, "+"], "a tag"),
    (&["tag", "+x"], "at least one image"),
    (&["tag", ID], "at least one tag"),
    (&["tag", "abc", "+x"], "32 hexadecimal digits"),
    (&["copy", "a.pool"], "<TO>"),
    (&["copy", "redis://x", "a.pool"], "redis"),
    (&["restore"], "<BACKUP>"),
    (&["doctor", "sled:"], "sled:"),
    (&["export", "--all", ID, "dir"], "--all"),
    (&["export", "dir"], "--all"),
    (&["export", "abc", "dir"], "32 hexadecimal digits"),
];

#[test]
fn wrong_usage_ends_with_2_and_names_what_is_wrong() {
    let space = Workspace::file();
    let mut failures = Failures::new();
    for (arguments, word) in WRONG_USAGE {
        failures.check(arguments.join(" "), || {
            space.run(*arguments).expect(2).complains_of(&[word]);
        });
    }
}

/// A variable that says no does not exclude another flag, and asks for none.
#[test]
fn variables_that_say_no_are_as_if_not_given() {
    let space = Workspace::file();
    space.import();
    let nowhere = ["serve", "--listen", "192.0.2.1:5000"];
    let mut failures = Failures::new();
    for (variable, no, arguments, code) in [
        ("IMAGEPOOL_PRUNE", "0", &["import", "--delete-originals", "pictures"][..], 0),
        ("IMAGEPOOL_PRUNE", "1", &["import", "--delete-originals", "pictures"], 2),
        ("IMAGEPOOL_DELETE_ORIGINALS", "false", &["import", "--prune", "pictures"], 0),
        ("IMAGEPOOL_QUIET", "no", &["-v", "list"], 0),
        ("IMAGEPOOL_VERBOSE", "0", &["-q", "list"], 0),
        ("IMAGEPOOL_VERBOSE", "1", &["-q", "list"], 2),
        ("IMAGEPOOL_WATCH", "0", &nowhere, 1),
        ("IMAGEPOOL_WATCH", "1", &nowhere, 2),
    ] {
        failures.check(format!("{variable}={no} {arguments:?}"), || {
            let status = space.command().args(arguments).env(variable, no).status().unwrap();
            assert_eq!(status.code(), Some(code));
        });
    }
}

#[test]
fn what_can_not_be_done_ends_with_1_and_changes_nothing() {
    let space = Workspace::file();
    space.run(["import", "pictures"]).expect(0);
    let mut failures = Failures::new();
    for (arguments, word) in [
        (&["show", ID][..], ID),
        (&["export", ID, "dir"], ID),
        (&["tag", ID, "+x"], ID),
        (&["remove", ID], ID),
        (&["serve", "--listen", "192.0.2.1:5000"], "192.0.2.1:5000"),
    ] {
        failures.check(arguments.join(" "), || {
            let before = fs::read(space.gallery_file()).unwrap();
            space.run(arguments).expect(1).complains_of(&["error:", word]);
            let is_same = fs::read(space.gallery_file()).unwrap() == before;
            assert!(arguments[0] == "serve" || is_same, "it changed the gallery");
        });
    }
}

fn images_are_listed_shown_exported_and_counted(space: &Workspace) {
    save(photo(80, 60, 1), &space.picture("sea/wide.png"));
    save(photo(60, 80, 2), &space.picture("sea/high.jpg"));
    save(photo(70, 70, 3), &space.picture("square.gif"));
    space.import();
    let mut failures = Failures::new();
    for (filters, expected) in [
        (&[][..], "sea/high.jpg sea/wide.png square.gif"),
        (&["--tag", "sea"], "sea/high.jpg sea/wide.png"),
        (&["--tag=-sea"], "square.gif"),
        (&["--orientation", "portrait"], "sea/high.jpg"),
        (&["--min-width", "70", "--max-height", "69"], "sea/wide.png"),
        (&["--max-width", "60", "--min-height", "80"], "sea/high.jpg"),
        (&["--animated", "true"], ""),
    ] {
        failures.check(filters.join(" "), || {
            let listed = space.run([&["list", "--json"], filters].concat()).expect(0).json();
            let mut sources: Vec<_> = listed
                .as_array()
                .unwrap()
                .iter()
                .map(|image| image["source"].as_str().unwrap())
                .collect();
            sources.sort_unstable();
            assert_eq!(sources.join(" "), expected);
        });
    }
    let list = space.run(["list"]).expect(0).stdout;
    assert_eq!(list.lines().count(), 3);
    assert!(list.contains("80x60") && list.contains("sea/wide.png  [sea]"), "{list}");

    let image = space.list().into_iter().find(|image| image["source"] == "square.gif").unwrap();
    let id = image["id"].as_str().unwrap();
    assert_eq!(space.run(["show", "--json", id]).expect(0).json(), image);
    assert!(space.run(["show", id]).expect(0).stdout.contains("square.gif (GIF, "));
    assert_all_are_exported(space);

    let stats = space.run(["stats", "--json"]).expect(0).json();
    assert_eq!(
        (&stats["images"], &stats["landscape"], &stats["square"]),
        (&json!(3), &json!(1), &json!(1))
    );
    assert_eq!(stats["formats"], json!({ "GIF": 1, "JPEG": 1, "PNG": 1 }));
    assert_eq!(stats["tags"], json!({ "sea": 2 }));
    let bytes: u64 = space.list().iter().map(|image| image["bytes"].as_u64().unwrap()).sum();
    assert_eq!(stats["bytes"], bytes);
    assert!(space.run(["stats"]).expect(0).stdout.contains("1 landscape, 1 portrait, 1 square"));
}

/// Asserts that `export --all` writes one file for each image, with the bytes that its id names.
fn assert_all_are_exported(space: &Workspace) {
    space.run(["export", "--all", "everything"]).expect(0);
    let mut exported: Vec<_> = fs::read_dir(space.path("everything"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().replace(".webp", ""))
        .collect();
    let mut ids = space.ids();
    exported.sort();
    ids.sort();
    assert_eq!(exported, ids);
    for id in ids {
        let bytes = fs::read(space.path("everything").join(format!("{id}.webp"))).unwrap();
        assert_eq!(&blake3::hash(&bytes).to_hex()[..32], id);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let space = Workspace::file();
    for seed in 0..200 {
        save(photo(20, 20, seed), &space.picture(format!("{}{seed}.png", "long-name-".repeat(20))));
    }
    space.import();
    let mut list =
        space.command().arg("list").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::with_capacity(100, list.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ended = list.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!((ended.status.code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_name_can_not_drive_the_terminal() {
    let space = Workspace::file();
    save(photo(20, 20, 1), &space.picture("a\x1b[2Jb.png"));
    space.import();
    let listed = space.run(["list"]).expect(0).stdout;
    assert!(!listed.contains('\x1b') && listed.contains("a\u{FFFD}[2Jb.png"), "{listed:?}");
}

#[test]
fn completions_and_manual_pages_are_printed() {
    let space = Workspace::file();
    let mut failures = Failures::new();
    for (command, words) in [
        ("completions bash", "imagepool"),
        ("completions zsh", "imagepool"),
        ("completions fish", "imagepool"),
        ("man", ".TH imagepool 1"),
        ("man import", "IMAGEPOOL_QUALITY"),
    ] {
        failures.check(command, || {
            let printed = space.run(command.split(' ')).expect(0).stdout;
            assert!(printed.contains(words), "{printed}");
        });
    }
    assert!(space.run(["--version"]).expect(0).stdout.starts_with("imagepool 0."));
}

#[test]
fn flags_can_be_given_by_environment() {
    let space = Workspace::file();
    save(photo(50, 50, 1), &space.picture("a.png"));
    let mut import = space.command();
    import
        .args(["import", "pictures"])
        .env("IMAGEPOOL_TAG", "from-environment")
        .env("IMAGEPOOL_JSON", "1");
    let output = import.output().unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["imported"], 1);
    assert_eq!(space.list()[0]["tags"], json!(["from-environment"]));
}

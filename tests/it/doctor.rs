//! Tests that `doctor` says what a place is good for, and leaves it as it was.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::UNIX_EPOCH;

use serde_json::Value;

use crate::harness::{Failures, Finished, Resource, Workspace, limit, with_disk};

/// What a check says of the workspace's gallery, or of another one.
fn finding(ended: &Finished, check: &str) -> (String, String) {
    let findings = ended.json();
    let found = findings.as_array().unwrap().iter().find(|finding| finding["check"] == check);
    let found = found.unwrap_or_else(|| panic!("{check} is not in {findings}"));
    let text = |field: &Value| field.as_str().unwrap().to_owned();
    (text(&found["status"]), text(&found["message"]))
}

#[track_caller]
fn expect(ended: &Finished, check: &str, status: &str, words: &[&str]) {
    let (found, message) = finding(ended, check);
    assert_eq!(found, status, "{check}: {message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    assert_eq!(ended.code, Some(i32::from(ended.stdout.contains("\"problem\""))));
}

fn doctor(command: Command) -> Finished {
    let mut command = command;
    command.args(["doctor", "--json"]);
    Finished::of(command)
}

/// Names and contents of all files of a folder; a lock file has no content that matters.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .map(|path| {
            let name = path.display().to_string();
            let is_lock = name.ends_with("-lock");
            let content = if is_lock { Vec::new() } else { fs::read(&path).unwrap_or_default() };
            (name, content)
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_good_place_has_no_problem_and_stays_as_it_is() {
    let space = Workspace::with_photos(3);
    space.import();
    let key = space.rotate(&[]);
    let server = space.serve();
    let before = files(space.dir.path());
    let ended = doctor(space.command()).expect(0);
    for (check, words) in [
        ("gallery", "gallery.pool takes"),
        ("content", "3 images"),
        ("engine", "LMDB"),
        ("rights", "its owner's alone"),
        ("folder", "can be written"),
        ("free space", "are free"),
        ("locks", "work here"),
        ("lock file", "can be written"),
        ("in use", "one process has it open"),
    ] {
        expect(&ended, check, "ok", &[words]);
    }
    assert!(!ended.stdout.contains(&key[16..]));
    assert!(files(space.dir.path()) == before, "it left something behind");
    let plain = space.run(["doctor"]).expect(0);
    let line = plain.stdout.lines().find(|line| line.contains(" in use: "));
    assert_eq!(line, Some("ok       in use: one process has it open"));
    drop(server);
    expect(&doctor(space.command()), "in use", "ok", &["no process"]);
    // A place is looked at whatever --gallery says.
    let elsewhere = space.run(["doctor", "--json", "new.pool"]).expect(0);
    expect(&elsewhere, "gallery", "ok", &["no gallery at new.pool", "import DIR"]);
    assert!(!space.path("new.pool").exists() && !space.path("new.pool-lock").exists());
}

/// What is wrong with a place, the check that finds it, how grave it is, and words of it.
type Case = (&'static str, fn(&Workspace, &mut Command), &'static str, &'static str, &'static str);

const CASES: &[Case] = &[
    (
        "no folder",
        |_, command| {
            command.env("IMAGEPOOL_GALLERY", "no/folder/x.pool");
        },
        "gallery",
        "problem",
        "does not exist",
    ),
    (
        "words",
        |space, _| fs::write(space.gallery_file(), "These are only words, and more.").unwrap(),
        "content",
        "problem",
        "not an imagepool gallery",
    ),
    (
        "a cut gallery",
        |space, _| {
            let bytes = fs::read(space.gallery_file()).unwrap();
            fs::write(space.gallery_file(), &bytes[..bytes.len() / 4]).unwrap();
        },
        "content",
        "problem",
        "truncated",
    ),
    (
        "no lock file",
        |space, _| fs::remove_file(space.path("gallery.pool-lock")).unwrap(),
        "lock file",
        "ok",
        "no lock file yet",
    ),
    (
        "a folder in its place",
        |space, command| {
            fs::create_dir(space.path("folder")).unwrap();
            command.env("IMAGEPOOL_GALLERY", "folder");
        },
        "gallery",
        "problem",
        "is a folder",
    ),
    (
        "a link that leads nowhere",
        |space, command| {
            symlink("nowhere/x.pool", space.path("link.pool")).unwrap();
            command.env("IMAGEPOOL_GALLERY", "link.pool");
        },
        "gallery",
        "problem",
        "leads nowhere",
    ),
    (
        "a leftover",
        |space, _| {
            let leftover = space.path(".imagepool-0123456789abcdef.partial");
            fs::write(&leftover, "of a process that was killed").unwrap();
            File::open(leftover).unwrap().set_modified(UNIX_EPOCH).unwrap();
        },
        "leftovers",
        "warning",
        "left 1",
    ),
    (
        "a gallery for all",
        |space, _| {
            fs::set_permissions(space.gallery_file(), Permissions::from_mode(0o644)).unwrap();
        },
        "rights",
        "warning",
        "chmod 600",
    ),
    (
        "a folder for all",
        |space, _| fs::set_permissions(space.dir.path(), Permissions::from_mode(0o777)).unwrap(),
        "folder",
        "warning",
        "chmod o-w",
    ),
    (
        "short files",
        |_, command| limit(command, Resource::Fsize, 4096),
        "file length",
        "problem",
        "ulimit -f",
    ),
    (
        "little address space",
        |_, command| limit(command, Resource::As, 4 << 30),
        "address space",
        "problem",
        "ulimit -v",
    ),
    (
        "few open files",
        |_, command| limit(command, Resource::Nofile, 200),
        "open files",
        "warning",
        "ulimit -Hn",
    ),
];

#[test]
fn what_is_wrong_is_told() {
    let mut failures = Failures::new();
    for (name, spoil, check, status, words) in CASES {
        failures.check(name, || {
            let space = Workspace::with_photos(3);
            space.import();
            let mut command = space.command();
            spoil(&space, &mut command);
            let before = files(space.dir.path());
            expect(&doctor(command), check, status, &[words]);
            assert!(files(space.dir.path()) == before, "it left something behind");
        });
    }
}

#[test]
fn a_lock_file_that_was_deleted_under_a_server_is_a_problem() {
    let space = Workspace::with_photos(1);
    space.import();
    let _server = space.serve();
    fs::remove_file(space.path("gallery.pool-lock")).unwrap();
    let ended = doctor(space.command()).expect(1);
    expect(&ended, "lock file", "problem", &["was deleted", "restart"]);
    assert!(!space.path("gallery.pool-lock").exists(), "it made one");
}

#[test]
fn a_draft_stays_a_draft() {
    let space = Workspace::file();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/v0.pool");
    fs::copy(golden, space.gallery_file()).unwrap();
    fs::write(space.path("gallery.pool-lock"), "").unwrap();
    let before = fs::read(space.gallery_file()).unwrap();
    expect(&doctor(space.command()), "content", "warning", &["before format 1", "backup"]);
    assert!(fs::read(space.gallery_file()).unwrap() == before, "it was migrated");
}

#[test]
fn disks_are_told() {
    with_disk(16, |disk| {
        let gallery = disk.path("gallery.pool");
        let command = || {
            let mut command = disk.command(false);
            command.env("IMAGEPOOL_GALLERY", &gallery);
            command
        };
        let ended = doctor(command());
        expect(&ended, "file system", "warning", &["tmpfs", "switched off"]);
        expect(&ended, "free space", "problem", &["free some space"]);
        let space = Workspace::with_photos(1);
        space.import();
        fs::copy(space.gallery_file(), &gallery).unwrap();
        let mut as_nobody = disk.command(true);
        as_nobody.env("IMAGEPOOL_GALLERY", &gallery);
        let ended = doctor(as_nobody);
        expect(&ended, "rights", "problem", &["belongs to user 0", "can't be read"]);
        expect(&ended, "folder", "problem", &["can't be written"]);
        disk.make_read_only();
        expect(&doctor(command()), "folder", "warning", &["read-only", "served"]);
    });
}

#[cfg(feature = "sled")]
#[test]
fn sled_is_told_and_not_opened() {
    let space = Workspace::new(crate::harness::Engine::Sled);
    fs::create_dir(space.path("gallery.sled")).unwrap();
    fs::write(space.path("gallery.sled/words"), "words").unwrap();
    expect(&doctor(space.command()), "content", "problem", &["a folder of other things"]);
    fs::remove_dir_all(space.path("gallery.sled")).unwrap();
    space.import();
    let before = files(&space.path("gallery.sled"));
    let ended = doctor(space.command()).expect(0);
    expect(&ended, "in use", "ok", &["no process"]);
    expect(&ended, "engine", "warning", &["one process at a time", "imagepool copy"]);
    assert!(files(&space.path("gallery.sled")) == before, "it was opened");
    let _server = space.serve();
    expect(&doctor(space.command()), "in use", "warning", &["no other can open it"]);
}

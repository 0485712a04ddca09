//! Tests that one gallery has one lock, whatever its names, and that a server follows a gallery
//! that is moved, replaced, deleted or cut.
//!
//! LMDB finds its lock file by the data file's path. Two processes with two lock files for one data
//! file overwrote each other's commits: of 243 images that two imports had reported, 113 to 196
//! were left, and `verify` found no damage.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rand::RngExt as _;
use serde_json::Value;

use crate::harness::{
    Failures, Finished, Server, Signal, Workspace, env_or, seeded_rng, wait_for, wait_or_kill,
};
use crate::pictures::{photo, save};

/// What a command says that finds another process with another lock file.
const REFUSAL: &str = "another process has this data file open with another lock file";

/// Runs a command on the gallery at this path.
fn run_on(space: &Workspace, gallery: &Path, arguments: &[&str]) -> Finished {
    let mut command = space.command();
    command.args(arguments).env("IMAGEPOOL_GALLERY", gallery);
    Finished::of(command)
}

/// Changes the names of a gallery that is in use. Returns the name under which it is opened next.
type Disturbance = fn(&Workspace) -> PathBuf;

const DISTURBANCES: &[(&str, Disturbance)] = &[
    ("lock file deleted", |space| {
        fs::remove_file(space.path("gallery.pool-lock")).unwrap();
        space.gallery_file()
    }),
    ("lock file replaced", |space| {
        let lock = space.path("gallery.pool-lock");
        let bytes = fs::read(&lock).unwrap();
        fs::remove_file(&lock).unwrap();
        fs::write(&lock, bytes).unwrap();
        space.gallery_file()
    }),
    ("hard link", |space| {
        fs::hard_link(space.gallery_file(), space.path("second.pool")).unwrap();
        space.path("second.pool")
    }),
    ("renamed", |space| {
        fs::rename(space.gallery_file(), space.path("renamed.pool")).unwrap();
        space.path("renamed.pool")
    }),
    ("renamed with its lock file's copy", |space| {
        fs::copy(space.path("gallery.pool-lock"), space.path("renamed.pool-lock")).unwrap();
        fs::rename(space.gallery_file(), space.path("renamed.pool")).unwrap();
        space.path("renamed.pool")
    }),
];

#[test]
fn no_second_lock_file_is_used_while_the_first_is() {
    let mut failures = Failures::new();
    for (name, disturb) in DISTURBANCES {
        failures.check(name, || {
            let space = Workspace::with_photos(3);
            space.import();
            let mut server = space.serve();
            let gallery = disturb(&space);
            save(photo(90, 50, 9), &space.picture("late.png"));
            for command in [&["import", "pictures"][..], &["key", "rotate"], &["list"]] {
                run_on(&space, &gallery, command).expect(1).complains_of(&[REFUSAL, "-lock"]);
            }
            server.signal(Signal::TERM);
            assert_eq!(server.wait().0, Some(0));
            run_on(&space, &gallery, &["import", "pictures"]).expect(0);
            let listed = run_on(&space, &gallery, &["list", "--json"]).expect(0).json();
            assert_eq!(listed.as_array().unwrap().len(), 4);
            run_on(&space, &gallery, &["verify", "--deep"]).expect(0);
        });
    }
}

/// Times that each disturbance is tried beside two imports, unless `IMAGEPOOL_TEST_LOCK_ROUNDS`
/// sets another number.
const LOCK_ROUNDS: u32 = 1;
/// Pictures of each import.
const PICTURES: u32 = 12;

/// Of 243 images that two imports reported, 113 to 196 were left.
#[test]
fn nothing_that_two_imports_report_is_lost_whatever_the_names() {
    let rounds = env_or("IMAGEPOOL_TEST_LOCK_ROUNDS", LOCK_ROUNDS);
    let mut failures = Failures::new();
    let mut rng = seeded_rng();
    let undisturbed: (&str, Disturbance) = ("undisturbed", |space| space.gallery_file());
    for (name, disturb) in DISTURBANCES.iter().chain([&undisturbed]) {
        let mut reported = 0;
        for round in 0..rounds {
            let delay = Duration::from_millis(rng.random_range(20..300));
            failures.check(format!("{name}, round {round}"), || {
                reported += import_twice(*disturb, delay);
            });
        }
        println!("{name}: {rounds} rounds, {reported} images were reported and are there");
    }
}

/// Runs two imports, the second on the gallery after a disturbance, and returns how many images
/// they reported.
fn import_twice(disturb: Disturbance, delay: Duration) -> usize {
    let space = Workspace::with_photos(3);
    space.import();
    for seed in 0..PICTURES {
        save(photo(300, 200, 100 + seed), &space.picture(format!("one/{seed}.png")));
        save(photo(300, 200, 200 + seed), &space.picture(format!("two/{seed}.png")));
    }
    let start = |folder: &str, gallery: &Path| {
        let report = format!("{folder}.jsonl");
        let mut command = space.command();
        command.args(["import", "--quiet", "--jobs", "1", "--report", &report]);
        command.arg(format!("pictures/{folder}")).env("IMAGEPOOL_GALLERY", gallery);
        command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut one = start("one", &space.gallery_file());
    std::thread::sleep(delay);
    let gallery = disturb(&space);
    let mut two = start("two", &gallery);
    for import in [&mut one, &mut two] {
        assert!(matches!(wait_or_kill(import), Some(0 | 1)));
    }
    let listed = run_on(&space, &gallery, &["list", "--json"]).expect(0).json();
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|image| image["id"].clone()).collect();
    run_on(&space, &gallery, &["verify"]).expect(0);
    let mut reported = 0;
    for report in ["one.jsonl", "two.jsonl"] {
        for line in fs::read_to_string(space.path(report)).unwrap_or_default().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["status"] == "imported" {
                assert!(ids.contains(&line["id"]), "reported and lost: {line}");
                reported += 1;
            }
        }
    }
    reported
}

#[test]
fn a_symbolic_link_is_the_same_gallery() {
    let space = Workspace::with_photos(3);
    space.import();
    let server = space.serve();
    std::os::unix::fs::symlink(space.gallery_file(), space.path("link.pool")).unwrap();
    save(photo(90, 50, 9), &space.picture("late.png"));
    run_on(&space, &space.path("link.pool"), &["import", "pictures"]).expect(0);
    assert_eq!(space.ids().len(), 4);
    drop(server);
}

#[test]
fn a_server_takes_the_gallery_that_replaces_its_own() {
    let space = Workspace::with_photos(3);
    space.import();
    let key = space.rotate(&[]);
    let old = space.ids();
    space.run(["backup", "backup.pool"]).expect(0);
    save(photo(90, 50, 9), &space.picture("late.png"));
    let server = space.serve();
    space.import();
    wait_for("the late image is served", || shown(&server, &key) == 4);

    // With the lock file of the gallery before it, LMDB once took the backup for an empty one and
    // wiped its images and its key.
    fs::rename(space.path("backup.pool"), space.gallery_file()).unwrap();
    wait_for("the backup is served", || shown(&server, &key) == 3);
    wait_for("it is told", || server.log().contains("was replaced"));
    assert_eq!(space.ids(), old);
    space.import();
    wait_for("the late image is served again", || shown(&server, &key) == 4);
    let newer = space.rotate(&[]);
    assert_eq!(server.get(&format!("/random?key={key}")).status, 401, "the key was replaced");
    for id in space.ids() {
        assert_eq!(server.get(&format!("/images/{id}.webp?key={newer}")).status, 200);
    }
    space.assert_verified();
}

/// Number of images that a server lists.
fn shown(server: &Server, key: &str) -> usize {
    let images = server.get(&format!("/images?key={key}"));
    if images.status == 200 { images.json().as_array().unwrap().len() } else { 0 }
}

#[test]
fn a_gallery_moved_over_a_live_one_keeps_its_images_and_keys_without_a_server() {
    for round in 0..4 {
        let space = Workspace::with_photos(5);
        space.import();
        let key = space.rotate(&[]);
        space.run(["backup", "backup.pool"]).expect(0);
        for seed in 0..round {
            save(photo(90 + seed, 50, seed), &space.picture(format!("late-{seed}.png")));
            space.import();
        }
        fs::rename(space.path("backup.pool"), space.gallery_file()).unwrap();
        save(photo(200, 50, 77), &space.picture("last.png"));
        space.import();
        assert_eq!(space.ids().len(), 6 + round as usize);
        let server = space.serve();
        assert_eq!(shown(&server, &key), 6 + round as usize);
    }
}

/// A gallery of 40 images that is served, its key, and its copy in `backup.pool`.
fn served_with_a_backup() -> (Workspace, Server, String) {
    let space = Workspace::with_photos(40);
    space.import();
    let key = space.rotate(&[]);
    space.run(["backup", "backup.pool"]).expect(0);
    let server = space.serve();
    (space, server, key)
}

/// What was checked in one file was taken for checked in the one that took its place.
#[test]
fn nothing_unchecked_of_the_gallery_that_replaces_another_is_served() {
    let (space, server, key) = served_with_a_backup();
    let path = format!("/images/{}.webp?key={key}", space.ids()[0]);
    let right = server.get(&path);
    assert_eq!(right.status, 200);
    let mut backup = fs::read(space.path("backup.pool")).unwrap();
    let at = memchr::memmem::find(&backup, &right.body).unwrap();
    backup[at + right.body.len() / 2] ^= 1;
    fs::write(space.path("backup.pool"), backup).unwrap();
    fs::rename(space.path("backup.pool"), space.gallery_file()).unwrap();
    wait_for("the damaged image is refused", || {
        let response = server.get(&path);
        assert!(response.status != 200 || response.body == right.body, "wrong bytes were served");
        response.status == 500
    });
}

#[test]
fn a_server_says_when_its_gallery_is_gone() {
    let (space, mut server, key) = served_with_a_backup();
    let ready = || server.get("/readyz").status;
    assert_eq!(ready(), 200);

    fs::remove_file(space.gallery_file()).unwrap();
    wait_for("a gallery that is gone is noticed", || ready() == 503);
    wait_for("it is told", || server.log().contains("there is no gallery"));
    fs::copy(space.path("backup.pool"), space.gallery_file()).unwrap();
    wait_for("it is there again", || ready() == 200);
    assert_eq!(shown(&server, &key), 30, "a page of the list");

    server.signal(Signal::TERM);
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn a_server_says_once_when_its_lock_file_is_gone() {
    let (space, mut server, key) = served_with_a_backup();
    fs::remove_file(space.path("gallery.pool-lock")).unwrap();
    let told = || server.log().matches("lock file was deleted").count();
    wait_for("it is told", || told() == 1);
    for _ in 0..3 {
        // The refused command leaves a lock file of its own, which is not the server's.
        space.run(["list"]).expect(1).complains_of(&[REFUSAL]);
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(told(), 1, "{}", server.log());
    assert_eq!([server.get("/readyz").status, shown(&server, &key) as u16], [200, 30]);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().0, Some(0));
    assert_eq!(space.ids().len(), 40);
}

#[test]
fn a_server_says_when_its_gallery_is_cut_and_takes_the_backup() {
    let (space, mut server, key) = served_with_a_backup();
    let ready = || server.get("/readyz").status;
    let file = fs::File::options().write(true).open(space.gallery_file()).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    wait_for("a gallery that was cut is noticed", || ready() == 503);
    wait_for("it is told", || server.log().contains("truncated"));
    fs::rename(space.path("backup.pool"), space.gallery_file()).unwrap();
    wait_for("the backup is served", || ready() == 200);
    wait_for("with its images", || shown(&server, &key) == 30);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn a_gallery_is_private_and_whole_before_it_has_its_name() {
    let space = Workspace::with_photos(1);
    space.import();
    for name in ["gallery.pool", "gallery.pool-lock"] {
        let mode = fs::metadata(space.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let names: Vec<_> = fs::read_dir(space.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn a_server_takes_what_was_written_into_its_file() {
    let (space, mut server, key) = served_with_a_backup();
    save(photo(90, 50, 9), &space.picture("late.png"));
    space.run(["import", "pictures"]).expect(0);
    let id = space.list()[0]["id"].clone();
    let url = format!("/images/{}.webp?key={key}", id.as_str().unwrap());
    wait_for("the late image is served", || server.get(&url).status == 200);
    let backup = fs::read(space.path("backup.pool")).unwrap();
    fs::File::options()
        .write(true)
        .open(space.gallery_file())
        .unwrap()
        .write_all_at(&backup, 0)
        .unwrap();
    wait_for("the late image is gone", || server.get(&url).status == 404);
    // It is gone as soon as the bytes are there, and the server takes the rest at its next look.
    wait_for("a page of the list", || shown(&server, &key) == 30);
    wait_for("the server is ready", || server.get("/readyz").status == 200);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().0, Some(0));
}

/// `cat backup > gallery` once ended a running server by SIGBUS, without a word.
#[test]
fn a_process_whose_gallery_is_overwritten_says_so_and_ends() {
    let space = Workspace::with_photos(3);
    space.import();
    let mut server = space.serve();
    fs::File::options().write(true).open(space.gallery_file()).unwrap().set_len(0).unwrap();
    let (code, _) = server.wait();
    assert_eq!(code, Some(3), "{}", server.log());
    wait_for("it is told", || server.log().contains("cut or overwritten while it was open"));
}

/// What looks at faults let the first signal that was sent pass, as if its cause would come again.
#[test]
fn a_signal_that_is_sent_ends_a_process_at_once() {
    let mut failures = Failures::new();
    for signal in [Signal::BUS, Signal::SEGV, Signal::ABORT] {
        failures.check(format!("{signal:?}"), || {
            let space = Workspace::with_photos(1);
            space.import();
            let mut server = space.serve();
            server.signal(signal);
            let (code, _) = server.wait();
            assert_eq!(code, None, "{}", server.log());
            assert!(!server.log().contains("damaged"), "{}", server.log());
        });
    }
}

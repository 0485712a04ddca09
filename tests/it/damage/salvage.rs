//! What `salvage` brings of galleries whose damage is known.

use std::fs;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use memchr::memmem;
use serde_json::{Value, json};

use super::scene::Scene;
use crate::harness::{Failures, Workspace};

const OF_NEW: [&str; 2] = ["--gallery", "new.pool"];

fn run_on_new(space: &Workspace, arguments: &[&str]) -> Value {
    space.run([&OF_NEW[..], arguments].concat()).expect(0).json()
}

#[test]
fn a_sound_gallery_is_brought_whole() {
    let scene = Scene::new();
    let space = &scene.space;
    let salvaged = space.run(["salvage", "--json", "gallery.pool", "new.pool"]).expect(0).json();
    assert_eq!(salvaged["images"], scene.images.len());
    assert_eq!((&salvaged["missing"], &salvaged["problems"]), (&json!([]), &json!([])));
    for command in [&["list", "--json"][..], &["key", "list", "--json"]] {
        assert_eq!(run_on_new(space, command), space.run(command).expect(0).json());
    }
    // Source marks and marks of removal came along.
    let imported = run_on_new(space, &["import", "--json", "pictures"]);
    assert_eq!((&imported["imported"], &imported["failed"]), (&json!(0), &json!(0)));
    let server = space.serve();
    assert_eq!(server.get(&format!("/random?key={}", scene.key)).status, 200);
    let again = space.run(["salvage", "gallery.pool", "third.pool"]);
    again.expect(0);
}

#[test]
fn an_image_whose_record_is_lost_is_made_anew() {
    let scene = Scene::new();
    let space = &scene.space;
    let listed = space.list();
    let lost = &listed[7];
    let thumbhash = BASE64_STANDARD.decode(lost["thumbhash"].as_str().unwrap()).unwrap();
    let mut file = scene.file.clone();
    // LMDB leaves old copies of a record behind.
    for at in memmem::find_iter(&scene.file, &thumbhash).collect::<Vec<_>>() {
        file[at] ^= 1;
    }
    fs::write(space.gallery_file(), file).unwrap();
    let id = lost["id"].as_str().unwrap();
    let salvaged = space.run(["salvage", "gallery.pool", "new.pool"]).expect(1);
    salvaged.complains_of(&[id, "made anew", "1 thing is missing"]);
    let new = run_on_new(space, &["list", "--json"]);
    let new = new.as_array().unwrap();
    assert_eq!(new.len(), listed.len());
    let made = new.iter().find(|image| image["id"] == id).unwrap();
    for field in ["width", "height", "bytes", "frames", "alpha", "tags"] {
        assert_eq!(made[field], lost[field], "{field}");
    }
    let verified = space.run([&OF_NEW[..], &["verify", "--deep"]].concat()).expect(0);
    assert_eq!(verified.stdout, "");
}

/// One wrong bit in it once brought the image back, and no command had a word for it.
#[test]
fn a_mark_of_removal_that_is_damaged_is_told() {
    let space = Workspace::with_photos(3);
    space.import();
    let images = space.list();
    let picture = space.path("pictures").join(images[0]["source"].as_str().unwrap());
    space.run(["remove", images[0]["id"].as_str().unwrap()]).expect(0);
    let hash = blake3::hash(&fs::read(picture).unwrap());
    let mut file = fs::read(space.gallery_file()).unwrap();
    let places: Vec<_> = memmem::find_iter(&file, hash.as_bytes()).collect();
    assert!(!places.is_empty());
    for at in places {
        file[at + 31] ^= 1;
    }
    fs::write(space.gallery_file(), file).unwrap();
    space.run(["verify"]).expect(1);
    space.run(["backup", "copy.pool"]).expect(1);
    let salvaged = space.run(["salvage", "gallery.pool", "new.pool"]).expect(1);
    salvaged.complains_of(&["1 of the marks can't be read", "that were removed"]);
}

#[test]
fn a_draft_is_brought_as_format_1() {
    let space = Workspace::file();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/v0.pool");
    fs::copy(&golden, space.gallery_file()).unwrap();
    let before = fs::read(&golden).unwrap();
    space.run(["salvage", "gallery.pool", "new.pool"]).expect(0);
    assert_eq!(fs::read(space.gallery_file()).unwrap(), before, "salvage migrated what it reads");
    let of_new = run_on_new(&space, &["list", "--json"]);
    assert_eq!(of_new, space.run(["list", "--json"]).expect(0).json());
    let keys = run_on_new(&space, &["key", "list", "--json"]);
    assert_eq!(keys[0]["id"], "0123456789abcdef");
}

#[test]
fn salvage_writes_nothing_where_it_should_not() {
    let space = Workspace::with_photos(1);
    space.import();
    fs::write(space.path("taken"), "words").unwrap();
    fs::write(space.path("empty"), "").unwrap();
    let mut failures = Failures::new();
    for (from, to, code, words) in [
        ("gallery.pool", "taken", 1, "taken exists"),
        ("gallery.pool", "gallery.pool", 1, "gallery.pool exists"),
        ("gallery.pool", "no/folder/new", 1, "does not exist"),
        ("nowhere.pool", "new", 1, "nowhere.pool; `imagepool"),
        ("empty", "new", 1, "it is empty"),
        ("taken", "new", 1, "nothing of a gallery"),
        ("sled:dir", "new", 2, "salvage reads data files"),
    ] {
        failures.check(format!("{from} {to}"), || {
            space.run(["salvage", from, to]).expect(code).complains_of(&[words]);
            assert_eq!(fs::read(space.path("taken")).unwrap(), b"words");
            assert!(!space.path("new").exists());
        });
    }
    space.assert_verified();
}

//! Tests of what format 1 promises: tags that know where they come from, removals that last, images
//! that are replaced, and the way there from the draft.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::harness::{Failures, Workspace, on_each_engine, wait_for};
use crate::pictures::{photo, save};

on_each_engine!(
    a_moved_file_has_the_tags_of_its_new_folders,
    a_tag_of_a_folder_stays_off_once_a_hand_took_it_off,
    removals_are_chosen_by_filters_and_by_stdin,
    a_removed_image_comes_back_with_its_tags,
    a_removed_image_whose_picture_is_gone_is_told
);

/// The tags of the only image, or of the one with this source.
fn tags(space: &Workspace, name: &str) -> Value {
    let images = space.list();
    let found = images.iter().find(|image| image["source"].as_str().unwrap().ends_with(name));
    found.unwrap_or_else(|| panic!("{name} is not in {images:?}"))["tags"].clone()
}

fn make_in(space: &Workspace, folder: &str, name: &str, seed: u32) {
    fs::create_dir_all(space.picture(folder)).unwrap();
    save(photo(60, 40, seed), &space.picture(format!("{folder}/{name}")));
}

fn move_to(space: &Workspace, from: &str, to: &str) {
    fs::create_dir_all(space.picture(to).parent().unwrap()).unwrap();
    fs::rename(space.picture(from), space.picture(to)).unwrap();
}

fn a_moved_file_has_the_tags_of_its_new_folders(space: &Workspace) {
    make_in(space, "public", "a.png", 1);
    make_in(space, "public", "b.png", 2);
    space.run(["import", "--tag", "all", "pictures"]).expect(0);
    assert_eq!(tags(space, "a.png"), json!(["all", "public"]));

    move_to(space, "public/a.png", "private/deep/a.png");
    // A copy is no move: both folders count.
    fs::create_dir_all(space.picture("private")).unwrap();
    fs::copy(space.picture("public/b.png"), space.picture("private/b.png")).unwrap();
    space.import();
    assert_eq!(tags(space, "a.png"), json!(["all", "deep", "private"]));
    assert_eq!(tags(space, "b.png"), json!(["all", "private", "public"]));
    // An import of the folder alone does not know the names above it, and loses none of them.
    space.run(["import", "pictures/private/deep"]).expect(0);
    assert_eq!(tags(space, "a.png"), json!(["all", "deep", "private"]));

    // A file that moved and is imported under other settings at once.
    move_to(space, "private/deep/a.png", "sea/a.png");
    space.run(["import", "--quality", "30", "pictures"]).expect(0);
    assert_eq!(tags(space, "a.png"), json!(["all", "sea"]));
    // A copy that is deleted takes its folder's tag with it.
    fs::remove_file(space.picture("private/b.png")).unwrap();
    space.run(["import", "--quality", "30", "--prune", "pictures"]).expect(0);
    assert_eq!(tags(space, "b.png"), json!(["all", "public"]));
    // Where nobody can look, a file may still be.
    move_to(space, "sea/a.png", "elsewhere/a.png");
    space.run(["import", "--quality", "30", "pictures/elsewhere"]).expect(0);
    assert_eq!(tags(space, "a.png"), json!(["all", "sea"]));
    space.assert_verified();
}

fn a_tag_of_a_folder_stays_off_once_a_hand_took_it_off(space: &Workspace) {
    make_in(space, "sea", "a.png", 1);
    space.import();
    let id = space.ids().remove(0);
    space.run(["tag", &id, "-sea", "+mine"]).expect(0);
    space.import();
    assert_eq!(tags(space, "a.png"), json!(["mine"]));
    space.run(["import", "--quality", "20", "pictures"]).expect(0);
    assert_eq!(tags(space, "a.png"), json!(["mine"]));
    let id = space.ids().remove(0);
    space.run(["tag", &id, "+sea", "-mine"]).expect(0);
    space.import();
    assert_eq!(tags(space, "a.png"), json!(["sea"]));
}

fn removals_are_chosen_by_filters_and_by_stdin(space: &Workspace) {
    for (folder, seed) in [("sea", 1), ("sea", 2), ("hills", 3), ("hills", 4), ("town", 5)] {
        make_in(space, folder, &format!("{seed}.png"), seed);
    }
    space.import();
    for wrong in [&["remove"][..], &["remove", "--tag", "sea", "00"], &["remove", "xyz"]] {
        space.run(wrong).expect(2);
    }
    // A variable of the environment chooses nothing.
    let mut command = space.command();
    command.args(["remove"]).env("IMAGEPOOL_TAG", "sea");
    assert_eq!(command.output().unwrap().status.code(), Some(2));
    assert_eq!(space.ids().len(), 5);

    space.run(["remove", "--tag", "sea"]).expect(0).complains_of(&["2 removed"]);
    let listed = space.run(["list", "--tag", "hills"]).expect(0).stdout;
    assert_eq!(remove_all(space, &format!("{listed}\nno id\n")).0, Some(2));
    assert_eq!(space.ids().len(), 3, "nothing is removed after a bad line");
    assert_eq!(remove_all(space, &listed).0, Some(0));
    assert_eq!(space.ids().len(), 1);
    let (code, words) = remove_all(space, &listed);
    assert_eq!(code, Some(1));
    assert!(words.contains("0 removed"), "{words}");
    let again = space.import();
    assert_eq!((&again["imported"], &again["removed_before"]), (&json!(0), &json!(4)));
    space.assert_verified();
}

/// Runs `remove -` with these lines, and returns its exit code and its words.
fn remove_all(space: &Workspace, lines: &str) -> (Option<i32>, String) {
    let ids = space.path("ids.txt");
    fs::write(&ids, lines).unwrap();
    let mut command = space.command();
    let removed = command.args(["remove", "-"]).stdin(fs::File::open(ids).unwrap()).output();
    let removed = removed.unwrap();
    (removed.status.code(), String::from_utf8(removed.stderr).unwrap())
}

fn a_removed_image_comes_back_with_its_tags(space: &Workspace) {
    make_in(space, "sea", "a.png", 1);
    make_in(space, "sea", "b.png", 2);
    space.import();
    let images = space.list();
    let id = images.iter().find(|image| image["source"] == "sea/a.png").unwrap()["id"].clone();
    let id = id.as_str().unwrap();
    space.run(["restore-image", id]).expect(1).complains_of(&[id, "it is in the gallery"]);
    space.run(["tag", id, "+mine"]).expect(0);
    space.run(["remove", id]).expect(0);
    assert_eq!(space.import()["removed_before"], 1);
    space.run(["restore-image", id]).expect(0).complains_of(&[id, "is back"]);
    assert_eq!(tags(space, "a.png"), json!(["mine", "sea"]));
    assert_eq!(space.import()["removed_before"], 0);
    space.run(["restore-image", &"0".repeat(32)]).expect(1).complains_of(&["was removed"]);
    space.assert_verified();
}

fn a_removed_image_whose_picture_is_gone_is_told(space: &Workspace) {
    make_in(space, "sea", "a.png", 1);
    space.import();
    let id = space.ids().remove(0);
    space.run(["tag", &id, "+mine"]).expect(0);
    space.run(["remove", &id]).expect(0);
    move_to(space, "sea/a.png", "hills/a.png");
    space.run(["restore-image", &id]).expect(1).complains_of(&[&id, "sea/a.png", "--again"]);
    assert!(space.ids().is_empty());
    assert_eq!(space.import()["removed_before"], 1);
    space.run(["import", "--again", "pictures"]).expect(0);
    assert_eq!(tags(space, "a.png"), json!(["hills", "mine"]));
}

#[test]
fn a_watched_move_changes_the_tags() {
    let space = Workspace::file();
    make_in(&space, "public", "a.png", 1);
    make_in(&space, "public", "b.png", 2);
    let old = SystemTime::now() - Duration::from_secs(60);
    let file = fs::File::options().write(true).open(space.picture("public/a.png")).unwrap();
    file.set_modified(old).unwrap();
    space.import();
    let mut server = space.serve_with(&["--import", "pictures", "--watch"]);
    move_to(&space, "public/a.png", "private/a.png");
    wait_for("the tag follows", || tags(&space, "a.png") == json!(["private"]));

    // A copy counts as being written for a second, while its original is gone already.
    let id = space.list().iter().find(|image| image["source"] == "public/b.png").unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    space.run(["tag", &id, "+mine"]).expect(0);
    fs::copy(space.picture("public/b.png"), space.picture("private/b.png")).unwrap();
    fs::remove_file(space.picture("public/b.png")).unwrap();
    wait_for("the tag follows", || tags(&space, "b.png") == json!(["mine", "private"]));
    server.signal(crate::harness::Signal::TERM);
    assert_eq!(server.wait().0, Some(0));
}

/// A server, a restore and a server whose gallery was replaced migrated without a word.
#[test]
fn whatever_migrates_a_draft_says_so() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/v0.pool");
    let words = "made before format 1, and has that format now";
    let mut failures = Failures::new();
    for command in ["stats", "verify", "restore draft.pool"] {
        failures.check(command, || {
            let space = Workspace::file();
            let is_there = !command.starts_with("restore");
            let draft = if is_there { space.gallery_file() } else { space.path("draft.pool") };
            fs::copy(&golden, draft).unwrap();
            space.run(command.split(' ')).expect(0).complains_of(&["gallery.pool: ", words]);
            let again = space.run(["stats"]).expect(0);
            assert!(!again.stderr.contains(words), "{}", again.stderr);
        });
    }
    failures.check("serve", || {
        let space = Workspace::file();
        fs::copy(&golden, space.gallery_file()).unwrap();
        let server = space.serve();
        assert!(server.log().contains(words), "{}", server.log());
    });
    failures.check("serve, and a draft takes the gallery's place", || {
        let space = Workspace::with_photos(1);
        space.import();
        space.rotate(&[]);
        let server = space.serve();
        fs::copy(&golden, space.path("draft.pool")).unwrap();
        fs::rename(space.path("draft.pool"), space.gallery_file()).unwrap();
        wait_for("it is told", || server.log().contains(words));
    });
}

#[test]
fn a_migration_that_is_killed_leaves_a_draft_or_format_1() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/v0.pool");
    let space = Workspace::file();
    let mut killed_within = 0;
    for delay in 0..60 {
        fs::copy(&golden, space.gallery_file()).unwrap();
        let mut command = space.command();
        command.args(["stats"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_micros(250 * delay));
        if child.try_wait().unwrap().is_none() {
            killed_within += 1;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(space.list().len(), 3);
        space.assert_verified();
        let key = "0123456789abcdef".repeat(4);
        let server = space.serve();
        assert_eq!(server.get(&format!("/random?key={key}")).status, 200);
    }
    assert!(killed_within > 10, "only {killed_within} were killed while they ran");
}

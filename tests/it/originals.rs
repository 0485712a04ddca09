//! Tests the flags of `import` for source files that are gone, stored or alike.
//!
//! These are `--prune`, `--delete-originals` and `--skip-similar`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use image::DynamicImage;
use image::imageops::FilterType;
use rustix::fs::{CWD, Mode, RenameFlags, mkfifoat, renameat_with};
use serde_json::json;

use crate::harness::{Failures, TIMEOUT, Workspace, on_each_engine};
use crate::pictures::{jpeg, noise, photo, save};

on_each_engine!(
    prune_removes_what_is_gone_and_nothing_else,
    a_picture_that_is_still_somewhere_stays,
    originals_are_deleted_once_their_images_are_stored,
);

fn prune_removes_what_is_gone_and_nothing_else(space: &Workspace) {
    save(photo(50, 50, 1), &space.picture("gone.png"));
    save(photo(50, 50, 2), &space.picture("changed.png"));
    save(photo(50, 50, 3), &space.picture("stays.png"));
    fs::create_dir(space.path("elsewhere")).unwrap();
    save(photo(50, 50, 4), &space.path("elsewhere/other.png"));
    space.run(["import", "pictures", "elsewhere"]).expect(0);

    fs::remove_file(space.picture("gone.png")).unwrap();
    fs::remove_file(space.path("elsewhere/other.png")).unwrap();
    save(photo(50, 50, 5), &space.picture("changed.png"));
    // Without the flag every image stays.
    space.run(["import", "pictures"]).expect(0);
    assert_eq!(space.ids().len(), 5);
    let pruned = space.run(["import", "--prune", "--json", "--report", "r", "pictures"]).expect(0);
    assert_eq!(pruned.json()["removed"], 2, "{}", pruned.stdout);
    let report = fs::read_to_string(space.path("r")).unwrap();
    assert!(report.contains("\"status\":\"removed\"") && report.contains("gone.png"), "{report}");
    let mut left: Vec<_> = space.list().iter().map(|image| image["source"].clone()).collect();
    left.sort_by_key(ToString::to_string);
    assert_eq!(left, [json!("changed.png"), json!("other.png"), json!("stays.png")]);
    space.assert_verified();
}

fn a_picture_that_is_still_somewhere_stays(space: &Workspace) {
    save(photo(50, 50, 1), &space.picture("a/one.png"));
    fs::create_dir(space.picture("b")).unwrap();
    fs::copy(space.picture("a/one.png"), space.picture("b/two.png")).unwrap();
    space.import();
    // The picture is renamed, and its copy is gone.
    fs::rename(space.picture("a/one.png"), space.picture("a/renamed.png")).unwrap();
    fs::remove_file(space.picture("b/two.png")).unwrap();
    let pruned = space.run(["import", "--prune", "--json", "pictures"]).expect(0);
    assert_eq!((&pruned.json()["removed"], space.ids().len()), (&json!(0), 1));
    fs::remove_file(space.picture("a/renamed.png")).unwrap();
    save(photo(50, 50, 2), &space.picture("a/another.png"));
    let pruned = space.run(["import", "--prune", "--json", "pictures"]).expect(0);
    assert_eq!((&pruned.json()["removed"], space.ids().len()), (&json!(1), 1));
}

/// A disk that is not mounted looks like a folder without files.
#[test]
fn an_empty_folder_removes_nothing() {
    let space = Workspace::file();
    save(photo(50, 50, 1), &space.picture("a.png"));
    space.import();
    fs::remove_file(space.picture("a.png")).unwrap();
    let import = || space.run(["import", "--prune", "pictures"]).expect(1);
    import().complains_of(&["pictures", "is it mounted?"]);
    // Some put a file there to see that a disk is not mounted.
    fs::write(space.picture("NOT_MOUNTED"), "the disk is not mounted").unwrap();
    import().complains_of(&["pictures", "is it mounted?"]);
    fs::remove_dir_all(space.path("pictures")).unwrap();
    space.run(["import", "--prune", "pictures"]).expect(1).complains_of(&["pictures"]);
    assert_eq!(space.ids().len(), 1);
}

/// Its images went while it led nowhere for a moment.
#[test]
fn a_link_in_the_place_of_a_folder_keeps_its_images() {
    let space = Workspace::file();
    save(photo(50, 50, 1), &space.picture("a.jpg"));
    save(photo(50, 50, 2), &space.picture("sub/b.jpg"));
    space.import();
    fs::rename(space.picture("sub"), space.path("elsewhere")).unwrap();
    symlink(space.path("elsewhere"), space.picture("sub")).unwrap();
    assert_prunes(&space, 0);
    fs::rename(space.path("elsewhere"), space.path("unmounted")).unwrap();
    assert_prunes(&space, 0);
    fs::remove_file(space.picture("sub")).unwrap();
    assert_prunes(&space, 1);
}

#[test]
fn a_file_that_can_not_be_read_any_more_keeps_its_image() {
    let space = Workspace::file();
    save(photo(50, 50, 1), &space.picture("a.jpg"));
    save(photo(50, 50, 2), &space.picture("b.jpg"));
    space.import();
    let whole = fs::read(space.picture("a.jpg")).unwrap();
    fs::write(space.picture("a.jpg"), &whole[..whole.len() / 2]).unwrap();
    let pruned = space.run(["import", "--prune", "--json", "pictures"]).expect(1);
    assert_eq!((&pruned.json()["removed"], &pruned.json()["failed"]), (&json!(0), &json!(1)));
    // It may have been overwritten by mistake, and the image is all that is left of it.
    fs::write(space.picture("a.jpg"), "<html>").unwrap();
    assert_prunes(&space, 0);
    fs::remove_file(space.picture("a.jpg")).unwrap();
    symlink("nowhere", space.picture("a.jpg")).unwrap();
    assert_prunes(&space, 0);
    fs::remove_file(space.picture("a.jpg")).unwrap();
    mkfifoat(CWD, space.picture("a.jpg"), Mode::RUSR).unwrap();
    assert_prunes(&space, 0);
    fs::remove_file(space.picture("a.jpg")).unwrap();
    assert_prunes(&space, 1);
}

/// Asserts that an import with `--prune` removes so many images.
#[track_caller]
fn assert_prunes(space: &Workspace, images: u64) {
    let pruned = space.run(["import", "--prune", "--json", "pictures"]);
    assert_eq!(pruned.json()["removed"], images, "{}", pruned.stderr);
}

fn originals_are_deleted_once_their_images_are_stored(space: &Workspace) {
    save(photo(50, 50, 1), &space.picture("deep/a.png"));
    fs::copy(space.picture("deep/a.png"), space.picture("copy.png")).unwrap();
    fs::write(space.picture("notes.txt"), "an image of text").unwrap();
    fs::write(space.picture("broken.jpg"), &jpeg(&photo(50, 50, 2), None)[..300]).unwrap();
    save(photo(17_000, 20, 3), &space.picture("wide.png"));
    save(photo(50, 50, 4), &space.path("outside.png"));
    symlink(space.path("outside.png"), space.picture("link.png")).unwrap();
    let import = space.run(["import", "--delete-originals", "--report", "r", "pictures"]).expect(1);
    import.complains_of(&["broken.jpg"]);
    assert!(!space.picture("deep/a.png").exists() && !space.picture("copy.png").exists());
    let mut failures = Failures::new();
    for kept in ["notes.txt", "broken.jpg", "wide.png", "link.png"] {
        failures.check(kept, || assert!(space.picture(kept).exists(), "it was deleted"));
    }
    assert!(space.path("outside.png").exists());
    let report = fs::read_to_string(space.path("r")).unwrap();
    assert!(
        report.contains("original deleted")
            && report.contains("original kept: the image does not show all"),
        "{report}"
    );
    // Pruning does not remove the images of deleted originals.
    let pruned = space.run(["import", "--prune", "--json", "pictures"]).expect(1);
    assert_eq!((&pruned.json()["removed"], space.ids().len()), (&json!(0), 2), "{}", pruned.stdout);
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let space = Workspace::file();
    let refused = space.run(["import", "--prune", "--delete-originals", "pictures"]).expect(2);
    refused.complains_of(&["--delete-originals"]);
}

#[test]
fn look_alikes_are_reported_or_left_out() {
    let picture =
        DynamicImage::from(noise(24, 18, 5)).resize_exact(960, 720, FilterType::CatmullRom);
    let mut failures = Failures::new();
    for (flags, images) in [(&["import"] as &[&str], 3), (&["import", "--skip-similar"], 2)] {
        failures.check(flags.join(" "), || {
            let space = Workspace::file();
            save(picture.clone(), &space.picture("original.png"));
            save(picture.resize(240, 180, FilterType::Triangle), &space.picture("small.jpg"));
            save(photo(960, 720, 9), &space.picture("other.png"));
            let arguments = [flags, &["--report", "r", "--json", "pictures"]].concat();
            space.run(&arguments).expect(0);
            assert_eq!(space.ids().len(), images);
            let report = fs::read_to_string(space.path("r")).unwrap();
            let lines: Vec<_> = report.lines().filter(|line| line.contains("looks like")).collect();
            // Whichever was converted later is said to look like the other.
            assert!(lines.len() == 1 && !lines[0].contains("other.png"), "{report}");
            // The gallery remembers what was left out, and an import without the flag adds it.
            assert_eq!(space.run(&arguments).expect(0).json()["already_present"], 3);
            space.import();
            assert_eq!(space.ids().len(), 3);
        });
    }
}

#[test]
fn two_files_of_one_look_alike_are_both_left_out() {
    let space = Workspace::file();
    let picture =
        DynamicImage::from(noise(24, 18, 5)).resize_exact(960, 720, FilterType::CatmullRom);
    save(picture.clone(), &space.picture("original.png"));
    space.import();
    save(picture.resize(240, 180, FilterType::Triangle), &space.picture("small.jpg"));
    fs::copy(space.picture("small.jpg"), space.picture("again.jpg")).unwrap();
    let summary = space.run(["import", "--skip-similar", "--json", "pictures"]).expect(0).json();
    assert_eq!((&summary["duplicates"], &summary["failed"]), (&json!(2), &json!(0)), "{summary}");
    assert_eq!(space.ids().len(), 1);
}

/// Importers read and deleted pictures elsewhere when a folder was swapped for a link between the
/// walk and the opening, and waited for ever for a FIFO in a file's place.
#[test]
fn what_is_swapped_during_an_import_leads_nowhere() {
    const ROUNDS: u32 = 6;
    const FILES: u32 = 20;
    let space = Workspace::file();
    let (folder, link) = (space.path("pictures/folder"), space.path("link"));
    let (file, fifo) = (space.path("pictures/file.png"), space.path("fifo"));
    fs::create_dir(space.path("elsewhere")).unwrap();
    fs::create_dir(&folder).unwrap();
    symlink(space.path("elsewhere"), &link).unwrap();
    for number in 0..FILES {
        let secret = space.path(format!("elsewhere/secret{number}.png"));
        save(photo(40, 40, 1_000 + number), &secret);
    }
    let swap = |one: &Path, other: &Path| {
        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok()
    };
    for round in 0..ROUNDS {
        for number in 0..FILES {
            save(photo(40, 40, round * FILES + number), &folder.join(format!("{number}.png")));
        }
        for old in [&file, &fifo] {
            let _ = fs::remove_file(old);
        }
        save(photo(40, 40, 2_000 + round), &file);
        mkfifoat(CWD, &fifo, Mode::from_raw_mode(0o600)).unwrap();
        let mut import = space.command();
        import.args(["import", "--delete-originals", "pictures"]).stderr(Stdio::null());
        let mut import = import.spawn().unwrap();
        let mut swaps = 0;
        let deadline = Instant::now() + TIMEOUT;
        while import.try_wait().unwrap().is_none() {
            swaps += u32::from(swap(&folder, &link));
            // Once the file is deleted there is nothing to swap.
            swap(&file, &fifo);
            if Instant::now() > deadline {
                import.kill().unwrap();
                panic!("the import does not end; does it wait for the FIFO?");
            }
            thread::sleep(Duration::from_micros(300));
        }
        if swaps % 2 == 1 {
            assert!(swap(&folder, &link));
        }
    }
    let left = fs::read_dir(space.path("elsewhere")).unwrap().count();
    assert_eq!(left, FILES as usize, "what is elsewhere was deleted");
    let sources: Vec<_> = space.list().iter().map(|image| image["source"].to_string()).collect();
    assert!(sources.iter().all(|source| !source.contains("secret")), "{sources:?}");
    space.assert_verified();
}

/// Flips a bit in the middle of `bytes`, wherever the gallery's file has them.
fn damage(space: &Workspace, bytes: &[u8]) {
    let mut gallery = fs::read(space.gallery_file()).unwrap();
    let places: Vec<_> = memchr::memmem::find_iter(&gallery, bytes).collect();
    assert!(!places.is_empty(), "the bytes are not in the gallery");
    places.iter().for_each(|place| gallery[place + bytes.len() / 2] ^= 1);
    fs::write(space.gallery_file(), gallery).unwrap();
}

/// `--delete-originals` deleted pictures whose stored image was damaged, because it asked the
/// record alone, and a second import did not mend them.
#[test]
fn a_damaged_image_is_mended_before_its_original_is_deleted() {
    let mut failures = Failures::new();
    for (what, flags) in [
        ("its bytes", &["--delete-originals"] as &[&str]),
        ("its rendition", &["--delete-originals"]),
        ("its record", &["--delete-originals"]),
        ("its bytes, and the original stays", &[]),
    ] {
        failures.check(what, || {
            let space = Workspace::file();
            save(photo(300, 200, 1), &space.picture("one.png"));
            fs::copy(space.picture("one.png"), space.picture("copy.png")).unwrap();
            save(photo(300, 200, 2), &space.picture("other.png"));
            space.run(["import", "--renditions", "160", "pictures"]).expect(0);
            let image = space.list().into_iter().find(|image| image["source"] != "other.png");
            let image = image.unwrap();
            let (id, source) = (image["id"].as_str().unwrap(), image["source"].as_str().unwrap());
            let whole = space.stored(id);
            match what {
                "its record" => {
                    let length = (source.len() as u64).to_le_bytes();
                    damage(&space, &[b"PNG", &length as &[u8], source.as_bytes()].concat());
                }
                "its rendition" => {
                    let (server, key) = space.serve_with_key();
                    let key = ("Authorization", &*format!("Bearer {key}"));
                    let rendition = server.request("GET", &format!("/images/{id}?w=160"), &[key]);
                    assert_eq!(rendition.status, 200);
                    drop(server);
                    damage(&space, &rendition.body);
                }
                _ => damage(&space, &whole),
            }
            space.run(["verify"]).expect(1);
            let dry = space.run(["import", "--dry-run", "--json", "pictures"]).expect(0).json();
            assert_eq!(dry["mended"], 1, "{dry}");

            let arguments = [&["import", "--json", "--report", "r", "pictures"], flags].concat();
            let again = space.run(&arguments).expect(0);
            let summary = again.json();
            let report = fs::read_to_string(space.path("r")).unwrap();
            assert_eq!(
                [&summary["mended"], &summary["duplicates"], &summary["already_present"]],
                [&json!(1), &json!(1), &json!(1)],
                "{report}"
            );
            again.complains_of(&["mended: pictures/", "was damaged"]);
            space.assert_verified();
            assert_eq!(space.stored(id), whole);
            assert_eq!(space.picture("one.png").exists(), flags.is_empty(), "{report}");
            assert_eq!(space.list().len(), 2);
        });
    }
}

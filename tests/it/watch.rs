//! Tests that `serve --watch` makes the gallery follow its folder.

use std::fs;
use std::time::Duration;

use imagepool::store::{Access, Locator, Store};

use crate::harness::{Signal, Workspace, env_or, wait_for};
use crate::pictures::{jpeg, photo, save};

/// The sources of all images, sorted.
fn sources(space: &Workspace) -> Vec<String> {
    let mut sources: Vec<_> =
        space.list().iter().map(|image| image["source"].as_str().unwrap().to_owned()).collect();
    sources.sort();
    sources
}

#[track_caller]
fn wait_for_sources(space: &Workspace, expected: &[&str]) {
    wait_for(&format!("the gallery has {expected:?}"), || sources(space) == expected);
}

#[test]
fn files_that_come_change_and_go_are_followed() {
    let space = Workspace::file();
    save(photo(50, 50, 1), &space.picture("first.png"));
    let server = space.serve_with(&["--import", "pictures", "--watch"]);
    wait_for_sources(&space, &["first.png"]);

    save(photo(50, 50, 2), &space.picture("new/second.png"));
    wait_for_sources(&space, &["first.png", "new/second.png"]);

    let before = space.ids();
    save(photo(60, 60, 3), &space.picture("first.png"));
    wait_for("the changed file has another image", || {
        sources(&space) == ["first.png", "new/second.png"] && space.ids() != before
    });

    // A renamed picture stays the same image, which still names its first source.
    fs::rename(space.picture("new/second.png"), space.picture("third.png")).unwrap();
    fs::remove_file(space.picture("first.png")).unwrap();
    wait_for_sources(&space, &["new/second.png"]);
    assert!(!server.log().contains("ERROR"), "{}", server.log());
    drop(server);
    space.assert_verified();
}

#[test]
fn half_written_and_temporary_files_are_left_alone() {
    let space = Workspace::file();
    save(photo(50, 50, 1), &space.picture("a.png"));
    let server = space.serve_with(&["--import", "pictures", "--watch"]);
    wait_for_sources(&space, &["a.png"]);

    let whole = jpeg(&photo(300, 200, 2), None);
    for name in ["b.jpg.part", "b.jpg~", ".b.jpg.swp", ".goutputstream-X1"] {
        fs::write(space.picture(name), &whole).unwrap();
    }
    let slow = space.picture("slow.jpg");
    for part in 1..=4 {
        fs::write(&slow, &whole[..whole.len() * part / 5]).unwrap();
        std::thread::sleep(Duration::from_millis(400));
    }
    fs::write(&slow, &whole).unwrap();
    save(photo(50, 50, 3), &space.picture("c.png"));
    wait_for_sources(&space, &["a.png", "c.png", "slow.jpg"]);
    assert!(!server.log().contains("slow.jpg"), "a half was tried: {}", server.log());
    // A temporary file becomes a picture with its final name.
    fs::rename(space.picture("b.jpg.part"), space.picture("b.jpg")).unwrap();
    fs::write(space.picture("b.jpg"), jpeg(&photo(300, 200, 4), None)).unwrap();
    wait_for_sources(&space, &["a.png", "b.jpg", "c.png", "slow.jpg"]);
}

#[test]
fn a_burst_of_files_is_imported_whole() {
    let files = env_or("IMAGEPOOL_TEST_BURST", 200);
    let space = Workspace::file();
    let _server = space.serve_with(&["--import", "pictures", "--watch"]);
    for seed in 0..files {
        let name = format!("{}/{seed}.bmp", seed % 7);
        save(photo(16 + seed % 16, 16 + seed / 16 % 500, seed), &space.picture(name));
    }
    wait_for("all are there", || space.ids().len() == files as usize);
    fs::remove_dir_all(space.picture("3")).unwrap();
    let left = (0..files).filter(|seed| seed % 7 != 3).count();
    wait_for("those of one folder are gone", || space.ids().len() == left);
}

#[test]
fn a_folder_that_vanishes_takes_nothing_with_it() {
    let space = Workspace::file();
    save(photo(50, 50, 1), &space.picture("a.png"));
    let server = space.serve_with(&["--import", "pictures", "--watch"]);
    wait_for_sources(&space, &["a.png"]);
    fs::rename(space.path("pictures"), space.path("unmounted")).unwrap();
    wait_for("the server notices", || server.log().contains("pictures"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(sources(&space), ["a.png"]);
}

/// A server could not be ended by a signal while its import waited for another writer.
#[test]
fn a_server_ends_though_another_process_holds_up_its_import() {
    let space = Workspace::with_photos(1);
    space.import();
    let store = Store::open(&Locator::File(space.gallery_file()), Access::Write).unwrap();
    let flags = ["--import", "pictures", "--watch", "--shutdown-timeout", "1s"];
    let mut server = space.serve_with(&flags);
    let ended = store.while_in_place(|| {
        let rounds = || server.log().matches("importing files=").count();
        let before = rounds();
        save(photo(90, 60, 9), &space.picture("late.png"));
        wait_for("the import begins", || rounds() > before);
        server.signal(Signal::TERM);
        server.wait().0
    });
    assert_eq!(ended.unwrap(), Some(0));
    let log = server.log();
    assert!(log.contains("stopped before the import was through"), "{log}");
}

#[test]
fn watch_needs_something_to_watch() {
    let space = Workspace::file();
    space.run(["serve", "--watch"]).expect(2).complains_of(&["--import"]);
    assert!(!space.gallery_file().exists());
}

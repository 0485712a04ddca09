//! Tests that `compact` gives space back and costs nothing: no image, no key, no commit of an
//! import that runs beside it, and no answer of a server.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::harness::{Failures, Workspace, wait_for, with_disk};
use crate::pictures::{noise, save};

/// A gallery of images that take some space.
fn with_noise(space: &Workspace, count: u32) {
    for seed in 0..count {
        save(noise(200, 200, seed), &space.picture(format!("{seed}.png")));
    }
    assert_eq!(space.import()["failed"], 0);
}

/// The names in a workspace's folder.
fn names(space: &Workspace) -> Vec<String> {
    let entries = fs::read_dir(space.dir.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn space_comes_back_and_all_else_stays() {
    let space = Workspace::file();
    with_noise(&space, 10);
    let key = space.rotate(&[]);
    let server = space.serve();
    let ids = space.ids();
    space.run([&["remove"], &ids.iter().map(String::as_str).collect::<Vec<_>>()[3..]].concat());
    let (left, names_before) = (space.list(), names(&space));
    let length = || fs::metadata(space.gallery_file()).unwrap().len();
    let before = length();

    space.run(["compact"]).expect(0).complains_of(&["given back"]);
    assert!(length() < before / 2, "{before} bytes became {}", length());
    wait_for("the server follows", || server.log().contains("was replaced"));
    assert_eq!(space.list(), left);
    for id in &ids[..3] {
        assert_eq!(server.get(&format!("/images/{id}.webp?key={key}")).status, 200);
    }
    assert_eq!(server.get(&format!("/images/{}.webp?key={key}", ids[3])).status, 404);
    space.assert_verified();
    assert_eq!(fs::metadata(space.gallery_file()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(&space), names_before);

    let inode = || fs::metadata(space.gallery_file()).unwrap().ino();
    let compact = inode();
    space.run(["compact"]).expect(0).complains_of(&["nothing to give back"]);
    assert_eq!(inode(), compact, "it was written again");
    let again = space.run(["import", "--again", "--json", "pictures"]).expect(0).json();
    assert_eq!(again["imported"], 7, "removed images can come again");
    assert_eq!(server.get(&format!("/random?key={key}")).status, 200);
}

/// A process that waits for the lock of a gallery that is replaced must write to the new one.
#[test]
fn imports_keys_and_servers_go_on_beside_it() {
    let space = Workspace::file();
    with_noise(&space, 40);
    let (server, key) = space.serve_with_key();
    fs::create_dir(space.path("more")).unwrap();
    for seed in 100..140 {
        save(noise(300, 300, seed), &space.path(format!("more/{seed}.png")));
    }
    let arguments = ["import", "--quiet", "--jobs", "2", "--renditions", "none", "more"];
    let mut import = space.command();
    let mut import = import.args(arguments).stdin(Stdio::null()).spawn().unwrap();
    let is_done = AtomicBool::new(false);
    let mut rounds = 0;
    thread::scope(|scope| {
        let answers = scope.spawn(|| {
            let mut answers = 0;
            while !is_done.load(Ordering::Relaxed) {
                assert_eq!(server.get(&format!("/random?key={key}")).status, 200);
                answers += 1;
            }
            answers
        });
        while import.try_wait().unwrap().is_none() {
            // What is removed makes room to give back.
            space.run(["remove", &space.ids()[0]]).expect(0);
            space.run(["compact"]).expect(0).complains_of(&["given back"]);
            space.run(["key", "add", "--name", &format!("key {rounds}")]).expect(0);
            rounds += 1;
        }
        is_done.store(true, Ordering::Relaxed);
        assert!(answers.join().unwrap() > 0);
    });
    assert_eq!(import.wait().unwrap().code(), Some(0));
    assert!(rounds > 1, "it was tried {rounds} times beside the import");
    assert_eq!(space.ids().len(), 80 - rounds);
    let keys = space.run(["key", "list", "--json"]).expect(0).json();
    assert_eq!(keys.as_array().unwrap().len(), 1 + rounds);
    space.assert_verified();
    wait_for("the server shows the last state", || {
        let images = server.get(&format!("/images?limit=100&key={key}")).json();
        images.as_array().unwrap().len() == 80 - rounds
    });
}

/// A process that opens the gallery while it is replaced once made a lock file for a file that had
/// just lost its name, and removed the one that others used.
#[test]
fn commands_may_begin_at_any_moment() {
    let space = Workspace::file();
    with_noise(&space, 6);
    let id = &space.ids()[0];
    let server = space.serve();
    let rounds = 25;
    thread::scope(|scope| {
        for command in ["list", "key list", "stats", "tag ID +a -b", "tag ID +b -a"] {
            let command = command.replace("ID", id);
            let space = &space;
            scope.spawn(move || {
                for _ in 0..rounds {
                    space.run(command.split(' ')).expect(0);
                }
            });
        }
        for round in 0..rounds {
            // What changes leaves pages that can be given back.
            space.run(["key", "add", "--name", &format!("key {round}")]).expect(0);
            space.run(["compact"]).expect(0);
        }
    });
    space.run(["key", "list"]).expect(0);
    drop(server);
    space.assert_verified();
}

#[test]
fn a_link_stays_a_link_and_a_second_name_is_refused() {
    let space = Workspace::file();
    with_noise(&space, 3);
    let ids = space.ids();
    space.run(["remove", &ids[0]]).expect(0);
    fs::create_dir(space.path("disk")).unwrap();
    fs::rename(space.gallery_file(), space.path("disk/real.pool")).unwrap();
    symlink("disk/real.pool", space.gallery_file()).unwrap();
    fs::hard_link(space.path("disk/real.pool"), space.path("second.pool")).unwrap();
    let before = fs::read(space.gallery_file()).unwrap();
    space.run(["compact"]).expect(1).complains_of(&["real.pool", "several names", "remove"]);
    assert!(fs::read(space.gallery_file()).unwrap() == before, "it was changed");

    fs::remove_file(space.path("second.pool")).unwrap();
    space.run(["compact"]).expect(0);
    assert!(fs::symlink_metadata(space.gallery_file()).unwrap().is_symlink());
    assert!(fs::metadata(space.path("disk/real.pool")).unwrap().len() < before.len() as u64);
    assert_eq!(space.ids().len(), 2);
}

#[test]
fn a_damaged_gallery_is_left_as_it_is() {
    let space = Workspace::file();
    with_noise(&space, 4);
    let ids = space.ids();
    let stored = space.stored(&ids[1]);
    space.run(["remove", &ids[0]]).expect(0);
    let mut bytes = fs::read(space.gallery_file()).unwrap();
    let at = bytes.windows(64).position(|window| window == &stored[1000..1064]).unwrap();
    bytes[at] ^= 1;
    fs::write(space.gallery_file(), &bytes).unwrap();
    space.run(["compact"]).expect(1).complains_of(&[&ids[1], "imagepool verify", "as it was"]);
    assert!(fs::read(space.gallery_file()).unwrap() == bytes, "it was changed");
    assert!(names(&space).iter().all(|name| !name.starts_with('.')));
}

#[test]
fn a_full_disk_leaves_the_gallery_as_it_was() {
    with_disk(4, |disk| {
        let space = disk.elsewhere;
        with_noise(space, 12);
        let ids = space.ids();
        space.run(["remove", &ids[0]]).expect(0);
        let gallery = disk.path("gallery.pool");
        fs::copy(space.gallery_file(), &gallery).unwrap();
        let locator = gallery.to_str().unwrap();
        // A lock file can't be made on a full disk.
        space.run(["--gallery", locator, "list"]).expect(0);
        disk.fill();
        let before = fs::read(&gallery).unwrap();
        let mut failures = Failures::new();
        for (name, words) in [("full", "free some space"), ("with room", "given back")] {
            failures.check(name, || {
                let is_full = name == "full";
                if !is_full {
                    disk.resize(16);
                    disk.empty();
                }
                let ended = space.run(["--gallery", locator, "compact"]);
                ended.expect(i32::from(is_full)).complains_of(&[words]);
                assert_eq!(fs::read(&gallery).unwrap() == before, is_full);
                space.run(["--gallery", locator, "verify"]).expect(0);
                assert_eq!(fs::read_dir(disk.path("")).unwrap().count(), 2 + usize::from(is_full));
            });
        }
    });
}

#[cfg(feature = "sled")]
#[test]
fn sled_has_nothing_to_compact() {
    let space = Workspace::new(crate::harness::Engine::Sled);
    space.run(["compact"]).expect(1).complains_of(&["sled", "looks after its space itself"]);
}

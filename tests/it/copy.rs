//! Tests that `copy` brings all that belongs to an image into another gallery, once, and leaves
//! alone what is there.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::Duration;

use rand::RngExt as _;
use rustix::fs::{FlockOperation, fcntl_lock};
use serde_json::{Value, json};

use crate::harness::{Engine, Failures, Workspace, seeded_rng, wait_for, wait_or_kill};
use crate::pictures::{noise, photo, save};

/// Where a gallery is on an engine.
fn locator(engine: Engine, name: &str) -> String {
    match engine {
        Engine::File => format!("{name}.pool"),
        #[cfg(feature = "sled")]
        Engine::Sled => format!("sled:{name}.sled"),
    }
}

/// Removes what a copy has made.
fn remove(space: &Workspace, engine: Engine) {
    match engine {
        Engine::File => fs::remove_file(space.path("target.pool")).unwrap(),
        #[cfg(feature = "sled")]
        Engine::Sled => fs::remove_dir_all(space.path("target.sled")).unwrap(),
    }
}

/// The engines that are copied from and to.
const PAIRS: &[(Engine, Engine)] = &[
    (Engine::File, Engine::File),
    #[cfg(feature = "sled")]
    (Engine::File, Engine::Sled),
    #[cfg(feature = "sled")]
    (Engine::Sled, Engine::File),
];

/// Runs a command on a gallery that is not the workspace's.
fn json_of(space: &Workspace, gallery: &str, command: &str) -> Value {
    let arguments = ["--gallery", gallery].into_iter().chain(command.split(' '));
    space.run(arguments).expect(0).json()
}

/// All that can be seen of a gallery: images in the order of their arrival, and keys.
fn contents(space: &Workspace, gallery: &str) -> (Value, Value) {
    let verified = space.run(["--gallery", gallery, "verify", "--deep"]).expect(0);
    assert_eq!(verified.stdout, "");
    (json_of(space, gallery, "list --json"), json_of(space, gallery, "key list --json"))
}

/// A gallery with renditions, tags of every kind, a removed image, and keys.
fn filled(engine: Engine) -> Workspace {
    let space = Workspace::new(engine);
    save(photo(700, 500, 1), &space.picture("sea/wide.png"));
    for seed in 2..6 {
        save(photo(60 + seed, 50, seed), &space.picture(format!("sea/calm/{seed}.png")));
    }
    space.import();
    let ids = space.ids();
    space.run(["tag", &ids[0], "+by hand"]).expect(0);
    space.run(["tag", &ids[1], "-sea"]).expect(0);
    space.run(["remove", &ids[2]]).expect(0);
    space.rotate(&[]);
    space.run(["key", "add", "--name", "blog"]).expect(0);
    space
}

#[test]
fn a_copy_has_all_that_the_gallery_has() {
    let mut failures = Failures::new();
    for &(from, to) in PAIRS {
        failures.check(format!("{from:?} to {to:?}"), || {
            let space = filled(from);
            let (source, target) = (space.locator(), locator(to, "target"));
            let before = contents(&space, &source);
            let words = ["4 copied", "keys: 2 copied"];
            space.run(["copy", &source, &target]).expect(0).complains_of(&words);
            assert_eq!(contents(&space, &target), before);
            assert_eq!(contents(&space, &source), before, "the source was changed");
            for image in before.0.as_array().unwrap() {
                let show = format!("show --json {}", image["id"].as_str().unwrap());
                assert_eq!(json_of(&space, &target, &show), json_of(&space, &source, &show));
            }
            // The target knows the sources, and which of them was removed.
            let imported = json_of(&space, &target, "import --json pictures");
            assert_eq!(
                [&imported["already_present"], &imported["removed_before"]],
                [&json!(4), &json!(1)]
            );
            // A folder's tag that a hand took off stays off, and so a folder's tag is one.
            assert_eq!(contents(&space, &target), before);
            let again = space.run(["copy", &source, &target]).expect(0);
            again.complains_of(&["0 copied", "4 already present"]);
            assert!(!again.stderr.contains("keys"), "{}", again.stderr);
            assert_eq!(contents(&space, &target), before);
        });
    }
}

#[test]
fn the_target_keeps_what_it_has() {
    let mut failures = Failures::new();
    for &(from, to) in PAIRS {
        failures.check(format!("{from:?} to {to:?}"), || {
            let space = filled(from);
            let (source, target) = (space.locator(), locator(to, "target"));
            let list = json_of(&space, &source, "list --json");
            let ids: Vec<_> =
                list.as_array().unwrap().iter().map(|image| image["id"].clone()).collect();
            let run = |words: &[&str]| {
                space.run([&["--gallery", &target], words].concat()).expect(0);
            };
            // The target has an image of its own, a key, and the images: one of them with another
            // tag, and one removed.
            fs::create_dir(space.path("own")).unwrap();
            save(photo(99, 50, 77), &space.path("own/77.png"));
            run(&["import", "own"]);
            run(&["import", "pictures"]);
            run(&["key", "rotate"]);
            let [kept, removed] = [&ids[0], &ids[1]].map(|id| id.as_str().unwrap());
            run(&["tag", kept, "+target"]);
            run(&["remove", removed]);
            let before = contents(&space, &target);
            let copied = space.run(["copy", &source, &target]).expect(0);
            let words = ["0 copied", "3 already present, 1 removed before", "keeps its own"];
            copied.complains_of(&words);
            assert_eq!(contents(&space, &target), before, "the target was changed");
        });
    }
}

#[test]
fn new_images_come_after_those_of_the_target() {
    let space = filled(Engine::File);
    fs::create_dir(space.path("own")).unwrap();
    for seed in 0..3 {
        save(photo(99, 50, 70 + seed), &space.path(format!("own/{seed}.png")));
    }
    space.run(["--gallery", "target.pool", "import", "own"]).expect(0);
    space.run(["copy", "gallery.pool", "target.pool"]).expect(0).complains_of(&["4 copied"]);
    let (list, _) = contents(&space, "target.pool");
    assert_eq!(list.as_array().unwrap().len(), 7);
    // `verify` has compared the ordinals. The order of each gallery is kept.
    let order = |gallery: &str, of: &[String]| {
        let list = json_of(&space, gallery, "list --json");
        let ids = list.as_array().unwrap().iter().map(|image| image["id"].as_str().unwrap());
        ids.map(str::to_owned).filter(|id| of.contains(id)).collect::<Vec<_>>()
    };
    let of_source = space.ids();
    assert_eq!(order("target.pool", &of_source), of_source);
}

/// Numbers decide which image a seed shows, so a gallery that is copied to a new place keeps them.
#[test]
fn a_seed_shows_the_same_image_in_a_copy() {
    let space = filled(Engine::File);
    let first = space.ids().pop().unwrap();
    space.run(["remove", &first]).expect(0);
    let key = space.rotate(&[]);
    space.run(["copy", "gallery.pool", "target.pool"]).expect(0);
    let servers = [space.serve(), space.serve_with(&["--gallery", "target.pool"])];
    for seed in 0..20 {
        let [source, target] = [0, 1].map(|index: usize| {
            let shown = servers[index].get(&format!("/random?seed={seed}&key={key}"));
            shown.header("x-image-id").unwrap().to_owned()
        });
        assert_eq!(source, target, "seed {seed}");
    }
}

#[test]
fn a_copy_that_is_killed_goes_on() {
    let mut rng = seeded_rng();
    for &(from, to) in PAIRS {
        let space = Workspace::new(from);
        // They take several commits.
        for seed in 0..48 {
            save(noise(500, 500, seed), &space.picture(format!("{seed}.png")));
        }
        let import = "import --quiet --quality 100 --renditions none pictures";
        space.run(import.split(' ')).expect(0);
        space.rotate(&[]);
        let (source, target) = (space.locator(), locator(to, "target"));
        let mut hits = 0;
        // On a machine that is busy, or fast, many kills come too early or too late.
        for round in 0..60 {
            if round >= 4 && hits > 0 {
                break;
            }
            let mut copy = space.command();
            copy.args(["copy", &source, &target]).stdin(Stdio::null()).stderr(Stdio::null());
            let mut copy = copy.spawn().unwrap();
            std::thread::sleep(Duration::from_millis(rng.random_range(0..80)));
            copy.kill().unwrap();
            if copy.wait().unwrap().code().is_none() {
                hits += 1;
            } else {
                remove(&space, to);
            }
        }
        assert!(hits > 0, "no kill hit a running copy");
        space.run(["copy", &source, &target]).expect(0);
        assert_eq!(contents(&space, &target), contents(&space, &source));
    }
}

#[test]
fn what_is_damaged_is_named_and_left_out() {
    let space = filled(Engine::File);
    let list = space.list();
    let with_renditions =
        list.iter().position(|image| image["renditions"] != json!([])).unwrap_or_default();
    let wide = list[with_renditions]["id"].as_str().unwrap().to_owned();
    let small = list.iter().map(|image| image["id"].as_str().unwrap()).find(|id| *id != wide);
    let small = small.unwrap().to_owned();
    let (server, key) = space.serve_with_key();
    let rendition = server.get(&format!("/images/{wide}.webp?w=320&key={key}")).body;
    drop(server);
    let mut bytes = fs::read(space.gallery_file()).unwrap();
    for stored in [&space.stored(&small), &rendition] {
        let at = bytes.windows(stored.len()).position(|window| window == *stored).unwrap();
        bytes[at + stored.len() / 2] ^= 1;
    }
    fs::write(space.gallery_file(), bytes).unwrap();
    let copied = space.run(["copy", "gallery.pool", "target.pool"]).expect(1);
    copied.complains_of(&[&small, "left out", &wide, "rendition of width 320", "3 copied"]);
    let (list, _) = contents(&space, "target.pool");
    let copied: Vec<_> = list.as_array().unwrap().iter().map(|image| &image["id"]).collect();
    assert_eq!(copied.len(), 3);
    assert!(!copied.contains(&&json!(small)));
}

/// The second copy once found a target without keys, and brought back the one that had ended.
#[test]
fn a_key_that_ended_at_the_target_does_not_come_back() {
    for (from, to) in PAIRS {
        let space = filled(*from);
        let target = locator(*to, "target");
        let keys = || json_of(&space, &target, "key list --json");
        space.run(["copy", &space.locator(), &target]).expect(0);
        for key in keys().as_array().unwrap() {
            let id = key["id"].as_str().unwrap();
            space.run(["--gallery", &target, "key", "revoke", id]).expect(0);
        }
        space.run(["copy", &space.locator(), &target]).expect(0).complains_of(&["keeps its own"]);
        assert_eq!(keys(), json!([]));
    }
}

#[test]
fn one_gallery_is_not_copied_into_itself() {
    let space = filled(Engine::File);
    std::os::unix::fs::symlink("gallery.pool", space.path("alias.pool")).unwrap();
    fs::hard_link(space.gallery_file(), space.path("second.pool")).unwrap();
    let mut failures = Failures::new();
    let mut targets = vec!["gallery.pool", "./gallery.pool", "alias.pool", "second.pool"];
    targets.push("gallery.pool-lock");
    for target in targets {
        failures.check(target, || {
            space.run(["copy", "gallery.pool", target]).expect(2).complains_of(&["one gallery"]);
        });
    }
    #[cfg(feature = "sled")]
    {
        space.run(["copy", "gallery.pool", "sled:a"]).expect(0);
        for target in ["sled:a", "sled:./a", "a/inside.pool", "sled:a/inside"] {
            failures.check(target, || {
                space.run(["copy", "sled:a", target]).expect(2).complains_of(&["one gallery"]);
            });
        }
    }
    space
        .run(["copy", "none.pool", "new.pool"])
        .expect(1)
        .complains_of(&["there is no gallery", "none.pool"]);
    assert!(!space.path("new.pool").exists());
    assert_eq!(space.ids().len(), 4);
}

/// Only the map of the gallery that was opened last was watched, so a copy whose source was cut
/// said that its target might be damaged.
#[test]
fn a_source_that_is_cut_meanwhile_is_named_and_not_the_target() {
    let space = Workspace::with_photos(3);
    space.import();
    space.run(["backup", "source.pool"]).expect(0);
    let target = space.path("gallery.pool");
    // Whoever opens the target waits until nobody else is opening it.
    let gate = File::options().read(true).write(true).open(&target).unwrap();
    fcntl_lock(&gate, FlockOperation::LockExclusive).unwrap();
    let stderr = space.path("stderr");
    let mut command = space.command();
    command.args(["copy", "source.pool", "gallery.pool"]).stderr(File::create(&stderr).unwrap());
    let mut copying = command.spawn().unwrap();
    let open_files = format!("/proc/{}/fd", copying.id());
    wait_for("the target is being opened", || {
        let mut files = fs::read_dir(&open_files).unwrap().flatten();
        files.any(|file| fs::read_link(file.path()).is_ok_and(|path| path == target))
    });
    File::options().write(true).open(space.path("source.pool")).unwrap().set_len(0).unwrap();
    drop(gate);
    assert_eq!(wait_or_kill(&mut copying), Some(3));
    let said = fs::read_to_string(stderr).unwrap();
    assert!(said.contains("source.pool: the gallery is damaged, or its file was cut"), "{said}");
    assert!(!said.contains("gallery.pool"), "{said}");
    space.assert_verified();
}

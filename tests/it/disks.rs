//! Tests what commands say and keep on disks that are full, read-only or another user's.
//!
//! The old service lost pictures on a full disk and reported success. What was reported as imported
//! must be there afterwards, and every refusal must name the gallery and the reason. All of it
//! needs root, to mount disks and to be another user.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Disk, Failures, Finished, NOBODY, Signal, with_disk};
use crate::pictures::{noise, photo, save};

/// Number of pictures of noise.
const NOISE: usize = 40;

/// Number of those in the folder `noise/first`.
const FIRST: usize = 10;

#[test]
fn an_import_that_fills_the_disk_keeps_what_it_reported() {
    with_disk(3, |disk| {
        let gallery = Gallery::new(disk);
        let report = |name| path(&disk.elsewhere.path(name));
        let (first, second, third) = (report("report-1"), report("report-2"), report("report-3"));
        // A batch lands whole or not at all, so some come while there is room for all of them.
        let noise = gallery.import_noise_until_full(&first, &second);
        gallery.keeps_its_word(&first);
        assert_eq!(imported(&first).len(), FIRST);
        gallery.keeps_its_word(&second);
        let count = gallery.ids().len();
        assert!((FIRST..NOISE).contains(&count), "some are there, not all: {count}");
        gallery.refuses("disk is full", &["import", "--report", &third, &noise]);
        gallery.keeps_its_word(&second);
        gallery.keeps_its_word(&third);

        disk.fill();
        disk.empty();
        disk.resize(64);
        let last = report("report-4");
        gallery.works(&["import", "--report", &last, &noise]);
        gallery.keeps_its_word(&second);
        gallery.keeps_its_word(&last);
        assert_eq!(gallery.ids().len(), NOISE);
    });
}

#[test]
fn a_gallery_can_be_read_when_not_a_byte_is_left() {
    with_disk(3, |disk| {
        let gallery = Gallery::new(disk);
        let report = |name| path(&disk.elsewhere.path(name));
        gallery.import_noise_until_full(&report("report-1"), &report("report-2"));
        disk.fill();
        let mut failures = Failures::new();
        for command in ["list", "stats", "verify", "key list"] {
            failures.check(command, || gallery.works(&words(command)));
        }
        // The lock file holds no data; after a move or a restore it is made anew.
        for command in ["list", "stats", "verify"] {
            failures.check(format!("{command} without a lock file"), || {
                let _ = fs::remove_file(disk.path("gallery.pool-lock"));
                disk.fill();
                let ended = gallery.run(&[command]);
                if ended.code != Some(0) {
                    ended.expect(1).complains_of(&["disk is full", &gallery.locator]);
                }
            });
        }
        failures.check("import into a new gallery", || {
            let another = Gallery::at(disk, path(&disk.path("another.pool")));
            let picture = path(&disk.elsewhere.path("noise/first/0.ppm"));
            another.refuses("disk is full", &["import", &picture]);
        });
    });
}

#[test]
fn a_copy_onto_a_full_disk_fails_and_leaves_no_half_file() {
    with_disk(1, |disk| {
        disk.fill();
        let gallery = Gallery::at(disk, path(&disk.elsewhere.path("source.pool")));
        let photos = make_photos(&disk.elsewhere.path("photos"));
        let noise = make_noise(disk);
        gallery.works(&["import", &photos]);
        let fails = |name: &str, reasons: &[&str], arguments: &[&str]| {
            let target = path(&disk.path(name));
            let ended = gallery.run(&[arguments, &[&target]].concat()).expect(1);
            ended.complains_of(&[reasons, &[&target]].concat());
        };
        fails("backup.pool", &["disk is full"], &["backup"]);
        fails("export", &[], &["export", "--all"]);
        fails("report", &[], &["import", &noise, "--report"]);
        let is_half = |name: &str| {
            [".partial", ".scratch", "backup.pool"].iter().any(|part| name.contains(part))
        };
        let left = files(disk.path("")).into_iter().filter(|file| is_half(&path(file)));
        assert_eq!(left.collect::<Vec<_>>(), Vec::<PathBuf>::new(), "half files left behind");
        gallery.is_whole();
    });
}

/// The sled engine stops while 64 MB are free, and no byte more is filled here. sled 0.34.7 itself
/// hangs for ever on a full disk, and what it had flushed before can't be opened any more.
#[cfg(feature = "sled")]
#[test]
fn an_import_into_sled_stops_before_the_disk_is_full() {
    with_disk(69, |disk| {
        let gallery = Gallery::sled(disk);
        let report = path(&disk.elsewhere.path("report"));
        let noise = make_noise(disk);
        let import = ["import", "--jobs", "1", "--report", &report, &noise];
        gallery.refuses("disk is full", &import);
        let count = imported(&report).len();
        assert!((1..NOISE).contains(&count), "imported before that: {count}");
        gallery.keeps_its_word(&report);
        disk.resize(256);
        gallery.works(&["import", &noise]);
        gallery.keeps_its_word(&report);
        assert_eq!(gallery.ids().len(), NOISE);
    });
}

#[test]
fn a_gallery_on_a_read_only_disk_can_be_read_but_not_changed() {
    with_disk(16, |disk| {
        let frozen = Frozen::new(disk);
        let elsewhere = |name| path(&disk.elsewhere.path(name));
        let (photos, noise, copy) = (elsewhere("photos"), make_noise(disk), elsewhere("copy.pool"));
        let (id, key_id) = (frozen.id.as_str(), &frozen.key[..16]);
        let mut failures = Failures::new();
        for command in [
            "list",
            "verify",
            "stats",
            "key list",
            &format!("show {id}"),
            &format!("export --all {}", elsewhere("exported")),
            &format!("backup {copy}"),
            &format!("import --dry-run {photos}"),
        ] {
            failures.check(command, || frozen.gallery.works(&words(command)));
        }
        for command in [
            &format!("import {noise}"),
            "key rotate",
            "key add --name other",
            &format!("key revoke {key_id}"),
            &format!("remove {id}"),
            &format!("tag {id} +new"),
            &format!("serve --import {noise}"),
        ] {
            failures.check(command, || frozen.gallery.refuses("read-only", &words(command)));
        }
        failures.check("the gallery is unchanged", || frozen.assert_unchanged());
        failures.check("the backup verifies", || {
            Gallery::at(disk, copy.clone()).works(&["verify", "--deep"]);
        });
    });
}

#[test]
fn a_gallery_on_a_read_only_disk_can_be_served() {
    with_disk(16, |disk| {
        let frozen = Frozen::new(disk);
        let mut server = disk.elsewhere.serve_with(&["--gallery", &frozen.gallery.locator]);
        let key = &frozen.key;
        let another = key.replace(|c: char| c.is_ascii_digit(), "a");
        let mut failures = Failures::new();
        for (what, request, status) in [
            ("a random image", format!("/random-image/{key}"), 200),
            ("another key", format!("/random-image/{another}"), 401),
            ("update-images", format!("/update-images/{key}"), 200),
            ("healthz", "/healthz".to_owned(), 200),
        ] {
            failures.check(what, || assert_eq!(server.get(&request).status, status));
        }
        server.signal(Signal::TERM);
        assert_eq!(server.wait().0, Some(0), "serve stops on SIGTERM");
        frozen.assert_unchanged();
    });
}

#[test]
fn a_server_needs_a_gallery_with_a_key_on_a_read_only_disk() {
    with_disk(16, |disk| {
        let gallery = Gallery::new(disk);
        let photos = make_photos(&disk.elsewhere.path("photos"));
        gallery.works(&["import", &photos]);
        disk.make_read_only();
        let serve = ["serve", "--listen", "127.0.0.1:0"];
        gallery.refuses("read-only", &serve);
        gallery.refuses("key", &serve);
        let none = Gallery::at(disk, path(&disk.path("none.pool")));
        none.refuses("read-only", &serve);
        none.refuses("read-only", &["import", &photos]);
    });
}

/// On a read-only disk sled can only refuse, for it writes when it opens.
#[cfg(feature = "sled")]
#[test]
fn a_sled_gallery_on_a_read_only_disk_is_refused() {
    with_disk(256, |disk| {
        let gallery = Gallery::sled(disk);
        gallery.works(&["import", &make_photos(&disk.elsewhere.path("photos"))]);
        disk.make_read_only();
        let mut failures = Failures::new();
        for command in ["list", &format!("import {}", make_noise(disk)), "key rotate"] {
            failures.check(command, || gallery.refuses("read-only", &words(command)));
        }
        disk.resize(256);
        gallery.works(&["verify", "--deep"]);
    });
}

#[test]
fn a_gallery_of_another_user_is_refused() {
    with_disk(16, |disk| {
        let gallery = Gallery::new(disk);
        let photos = make_photos(&disk.elsewhere.path("photos"));
        gallery.works(&["import", &photos]);
        let mode = fs::metadata(&gallery.locator).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "the gallery's mode");
        let before = fs::read(&gallery.locator).unwrap();
        let gallery = gallery.used_by_nobody();
        let mut failures = Failures::new();
        let import = format!("import {}", make_noise(disk));
        for command in ["list", "stats", "verify", "serve", "key rotate", &import] {
            failures.check(command, || gallery.refuses("permission", &words(command)));
        }
        let new = [
            path(&disk.path("new.pool")),
            #[cfg(feature = "sled")]
            format!("sled:{}", path(&disk.path("new.sled"))),
        ];
        for locator in new {
            failures.check(format!("import into {locator}"), || {
                let new = Gallery::at(disk, locator).used_by_nobody();
                new.refuses("permission", &["import", &photos]);
            });
        }
        assert!(fs::read(&gallery.locator).unwrap() == before, "the gallery was changed");
    });
}

#[test]
fn a_picture_of_another_user_is_a_failure_until_it_is_readable() {
    with_disk(16, |disk| {
        let mine = disk.path("mine");
        fs::create_dir(&mine).unwrap();
        chown(&mine, Some(NOBODY), Some(NOBODY)).unwrap();
        let gallery = Gallery::at(disk, path(&mine.join("gallery.pool"))).used_by_nobody();
        let photos = make_photos(&disk.path("photos"));
        let picture = disk.path("photos/1.png");
        let import = || gallery.run(&["import", "--json", &photos]);
        fs::set_permissions(&picture, Permissions::from_mode(0o600)).unwrap();
        let ended = import().expect(1);
        ended.complains_of(&["Permission denied", &path(&picture)]);
        assert_eq!(ended.json()["failed"], 1);
        fs::set_permissions(&picture, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(import().expect(0).json()["imported"], 1);
    });
}

/// A gallery, and whether commands on it run as another user.
struct Gallery<'a> {
    disk: &'a Disk<'a>,
    locator: String,
    as_nobody: bool,
}

impl<'a> Gallery<'a> {
    fn at(disk: &'a Disk<'a>, locator: String) -> Self {
        Self { disk, locator, as_nobody: false }
    }

    fn new(disk: &'a Disk<'a>) -> Self {
        Self::at(disk, path(&disk.path("gallery.pool")))
    }

    #[cfg(feature = "sled")]
    fn sled(disk: &'a Disk<'a>) -> Self {
        Self::at(disk, format!("sled:{}", path(&disk.path("gallery.sled"))))
    }

    fn used_by_nobody(self) -> Self {
        Self { as_nobody: true, ..self }
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = self.disk.command(self.as_nobody);
        command.args(["--gallery", &self.locator]).args(arguments);
        Finished::of(command)
    }

    #[track_caller]
    fn works(&self, arguments: &[&str]) {
        self.run(arguments).expect(0);
    }

    /// Runs a command, which must fail and name the gallery and a reason.
    #[track_caller]
    fn refuses(&self, reason: &str, arguments: &[&str]) {
        let file = self.locator.trim_start_matches("sled:");
        self.run(arguments).expect(1).complains_of(&[reason, file]);
    }

    /// Imports a few pictures of noise, which fit, and then all, which do not. Returns their
    /// folder.
    #[track_caller]
    fn import_noise_until_full(&self, first_report: &str, second_report: &str) -> String {
        let noise = make_noise(self.disk);
        self.works(&["import", "--report", first_report, &format!("{noise}/first")]);
        self.refuses("disk is full", &["import", "--report", second_report, &noise]);
        noise
    }

    #[track_caller]
    fn ids(&self) -> BTreeSet<String> {
        let list = self.run(&["list", "--json"]).expect(0).json();
        list.as_array().unwrap().iter().map(id_of).collect()
    }

    #[track_caller]
    fn is_whole(&self) -> BTreeSet<String> {
        self.works(&["verify", "--deep"]);
        self.ids()
    }

    /// Asserts that the gallery is whole and has whatever the report calls imported.
    #[track_caller]
    fn keeps_its_word(&self, report: &str) {
        let missing = &imported(report) - &self.is_whole();
        assert!(missing.is_empty(), "reported as imported, but missing: {missing:?}");
    }
}

/// A gallery with a key, on a disk that was made read-only then.
struct Frozen<'a> {
    gallery: Gallery<'a>,
    key: String,
    /// Id of one of its images.
    id: String,
    before: Vec<u8>,
}

impl<'a> Frozen<'a> {
    #[track_caller]
    fn new(disk: &'a Disk<'a>) -> Self {
        let gallery = Gallery::new(disk);
        gallery.works(&["import", &make_photos(&disk.elsewhere.path("photos"))]);
        let key = gallery.run(&["key", "rotate"]).expect(0).stdout.trim().to_owned();
        let id = gallery.ids().pop_first().unwrap();
        let before = fs::read(&gallery.locator).unwrap();
        disk.make_read_only();
        Self { gallery, key, id, before }
    }

    #[track_caller]
    fn assert_unchanged(&self) {
        assert!(fs::read(&self.gallery.locator).unwrap() == self.before, "it was changed");
    }
}

/// Fills the folder `noise` with pictures that WebP can't make small: about 100 KB each.
fn make_noise(disk: &Disk<'_>) -> String {
    let folder = disk.elsewhere.path("noise");
    fs::create_dir_all(folder.join("first")).unwrap();
    for number in 0..NOISE {
        let parent = if number < FIRST { folder.join("first") } else { folder.clone() };
        save(noise(400, 400, number as u32), &parent.join(format!("{number}.ppm")));
    }
    path(&folder)
}

/// Makes a folder with a few small pictures.
fn make_photos(folder: &Path) -> String {
    fs::create_dir(folder).unwrap();
    for seed in 0..3 {
        save(photo(60 + seed, 50, seed), &folder.join(format!("{seed}.png")));
    }
    path(folder)
}

/// The ids that a report calls imported.
fn imported(report: &str) -> BTreeSet<String> {
    let lines = fs::read_to_string(report).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["status"] == "imported").map(|line| id_of(&line)).collect()
}

fn id_of(image: &Value) -> String {
    image["id"].as_str().unwrap().to_owned()
}

/// Everything below a folder.
fn files(folder: PathBuf) -> Vec<PathBuf> {
    walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap().into_path()).collect()
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn words(command: &str) -> Vec<&str> {
    command.split_whitespace().collect()
}

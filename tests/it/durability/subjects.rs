//! The commands that are tested, what each must leave behind, and the galleries they run on.
//!
//! A new command is a new row of [`SUBJECTS`].

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Engine, Finished, Workspace};
use crate::pictures::{noise, photo, save};

/// Pictures that are in the gallery before the command runs.
const OLD_PICTURES: u32 = 3;
/// Pictures that lie in the folder when the command runs.
const PICTURES: u32 = 6;
/// The report that an import writes; the file system of the tests keeps it in any case.
pub const REPORT: &str = "report.jsonl";

pub struct Subject {
    pub name: &'static str,
    /// The one engine that has the command, if only one has it.
    engine: Option<Engine>,
    /// Its arguments; `ID` stands for the image of picture 0, `GALLERY` for the gallery.
    arguments: &'static [&'static str],
    /// What the gallery is before.
    before: Before,
    /// Asserts what a success promises.
    promises: fn(&Scene, &Finished),
    /// Whether the command may refuse to run again, because it was done the first time.
    is_done: fn(&Scene) -> bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    NoGallery,
    Gallery,
    /// There is a backup of the gallery too.
    GalleryAndBackup,
    /// There is a backup of the gallery too, and in the gallery image 0 has another tag by now.
    GalleryAfterBackup,
    /// Picture 0 is gone, its image still there.
    GalleryWithoutPicture,
    /// Images were removed whose space nobody has taken.
    GalleryWithFreeSpace,
    /// A gallery from before format 1.
    Draft,
}

const IMPORT: &[&str] = &["import", "--quiet", "--jobs", "1", "--report", REPORT, "pictures"];

const SUBJECTS: &[Subject] = &[
    Subject {
        name: "import into a new gallery",
        engine: None,
        arguments: IMPORT,
        before: Before::NoGallery,
        promises: |scene, _| assert_eq!(scene.ids().len() as u32, PICTURES),
        is_done: |_| false,
    },
    Subject {
        name: "import",
        engine: None,
        arguments: IMPORT,
        before: Before::Gallery,
        promises: |scene, _| assert_eq!(scene.ids().len() as u32, PICTURES),
        is_done: |_| false,
    },
    Subject {
        name: "import --prune",
        engine: None,
        arguments: &["import", "--quiet", "--prune", "--report", REPORT, "pictures"],
        before: Before::GalleryWithoutPicture,
        promises: |scene, _| {
            assert_eq!(scene.ids().len() as u32, PICTURES - 1);
            assert!(!scene.ids().contains(&scene.victim));
        },
        is_done: |_| false,
    },
    Subject {
        name: "key rotate",
        engine: None,
        arguments: &["key", "rotate"],
        before: Before::Gallery,
        promises: |scene, ended| {
            assert_eq!(scene.key_ids(), [&ended.stdout[..16]]);
        },
        is_done: |_| false,
    },
    Subject {
        name: "remove",
        engine: None,
        arguments: &["remove", "ID"],
        before: Before::Gallery,
        promises: |scene, _| assert!(!scene.ids().contains(&scene.victim)),
        is_done: |scene| !scene.ids().contains(&scene.victim),
    },
    Subject {
        name: "tag",
        engine: None,
        arguments: &["tag", "ID", "+new", "-old"],
        before: Before::Gallery,
        promises: |scene, _| {
            let shown = scene.space.run(["show", &scene.victim, "--json"]).expect(0).json();
            assert_eq!(shown["tags"], serde_json::json!(["new"]));
        },
        is_done: |_| false,
    },
    Subject {
        name: "backup",
        engine: None,
        arguments: &["backup", "copy.pool"],
        before: Before::Gallery,
        promises: |scene, _| scene.assert_backup_whole(),
        is_done: |scene| scene.space.path("copy.pool").exists(),
    },
    Subject {
        name: "backup --force",
        engine: None,
        arguments: &["backup", "--force", "copy.pool"],
        before: Before::GalleryAndBackup,
        promises: |scene, _| scene.assert_backup_whole(),
        is_done: |_| false,
    },
    Subject {
        name: "restore --force",
        engine: Some(Engine::File),
        arguments: &["restore", "--force", "copy.pool"],
        before: Before::GalleryAfterBackup,
        promises: |scene, _| {
            let shown = scene.space.run(["show", &scene.victim, "--json"]).expect(0).json();
            assert_eq!(shown["tags"], serde_json::json!(["old"]));
            scene.assert_backup_whole();
        },
        is_done: |_| false,
    },
    Subject {
        name: "compact",
        engine: Some(Engine::File),
        arguments: &["compact"],
        before: Before::GalleryWithFreeSpace,
        promises: |scene, _| {
            scene.space.run(["compact"]).expect(0).complains_of(&["nothing to give back"]);
        },
        is_done: |_| false,
    },
    Subject {
        name: "copy",
        engine: None,
        arguments: &["copy", "GALLERY", "target.pool"],
        before: Before::Gallery,
        promises: |scene, _| {
            assert_eq!(scene.assert_whole("target.pool"), scene.old, "images in the copy");
            let keys = ["--gallery", "target.pool", "key", "list", "--json"];
            assert_eq!(scene.space.run(keys).expect(0).json().as_array().unwrap().len(), 1);
        },
        is_done: |_| false,
    },
    Subject {
        name: "migration",
        engine: Some(Engine::File),
        arguments: &["stats"],
        before: Before::Draft,
        promises: |scene, _| assert_eq!(scene.ids(), scene.old),
        is_done: |_| false,
    },
];

impl Subject {
    /// The subjects that an engine has.
    pub fn of(engine: Engine) -> impl Iterator<Item = &'static Self> {
        SUBJECTS.iter().filter(move |subject| subject.engine.is_none_or(|only| only == engine))
    }
}

/// A gallery on which a subject runs again and again, each time as it was at first.
pub struct Scene {
    pub space: Workspace,
    subject: &'static Subject,
    /// Ids of the images there were before.
    old: BTreeSet<String>,
    /// Id of the image of picture 0.
    victim: String,
    /// Ids of the keys there were before.
    old_keys: Vec<String>,
    /// Files and folders as they were before; a folder has no content.
    files: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl Scene {
    #[track_caller]
    pub fn new(engine: Engine, subject: &'static Subject) -> Self {
        let space = Workspace::new(engine);
        let mut scene = Self {
            space,
            subject,
            old: BTreeSet::new(),
            victim: String::new(),
            old_keys: Vec::new(),
            files: Vec::new(),
        };
        scene.add_pictures(0..OLD_PICTURES);
        if subject.before == Before::Draft {
            scene.take_draft();
        } else if subject.before != Before::NoGallery {
            scene.space.run(IMPORT).expect(0);
            let is_first = |line: &&Value| line["path"].as_str().unwrap().ends_with("/0.png");
            let report = scene.report();
            scene.victim = report.iter().find(is_first).unwrap()["id"].as_str().unwrap().to_owned();
            scene.space.run(["tag", &scene.victim, "+old"]).expect(0);
            scene.space.rotate(&[]);
            scene.old = scene.ids();
            scene.old_keys = scene.key_ids();
            fs::remove_file(scene.space.path(REPORT)).unwrap();
        }
        if matches!(subject.before, Before::GalleryAndBackup | Before::GalleryAfterBackup) {
            scene.space.run(["backup", "copy.pool"]).expect(0);
        }
        if subject.before == Before::GalleryAfterBackup {
            scene.space.run(["tag", &scene.victim, "+newer"]).expect(0);
        }
        if subject.before == Before::GalleryWithFreeSpace {
            scene.free_space();
        }
        if subject.before == Before::GalleryWithoutPicture {
            fs::remove_file(scene.space.picture("0.png")).unwrap();
        }
        scene.add_pictures(OLD_PICTURES..PICTURES);
        scene.files = scene.read_files();
        scene
    }

    /// Takes a golden gallery from before format 1, and looks what is in it.
    fn take_draft(&mut self) {
        let draft = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/v0.pool");
        fs::copy(&draft, self.space.gallery_file()).unwrap();
        self.old = self.ids();
        self.old_keys = self.key_ids();
        // That brought it to format 1.
        fs::copy(&draft, self.space.gallery_file()).unwrap();
        fs::remove_file(self.space.path("gallery.pool-lock")).unwrap();
    }

    /// Imports pictures and removes their images again.
    fn free_space(&self) {
        let folder = self.space.path("pictures/passing");
        fs::create_dir(&folder).unwrap();
        for seed in 0..4 {
            save(noise(100, 100, seed), &folder.join(format!("{seed}.png")));
        }
        self.space.run(["import", "--quiet", "pictures/passing"]).expect(0);
        fs::remove_dir_all(folder).unwrap();
        let passing: Vec<_> = self.ids().difference(&self.old).cloned().collect();
        self.space.run(["remove".to_owned()].into_iter().chain(passing)).expect(0);
    }

    fn add_pictures(&self, seeds: std::ops::Range<u32>) {
        for seed in seeds {
            save(photo(60 + seed, 50, seed), &self.space.picture(format!("{seed}.png")));
        }
    }

    pub fn root(&self) -> PathBuf {
        self.space.dir.path().canonicalize().unwrap()
    }

    /// Whether a path is one of the files that galleries and backups consist of.
    pub fn is_gallery(root: &Path, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(root) else { return false };
        !below.starts_with("pictures") && !below.starts_with(REPORT)
    }

    pub fn command(&self) -> Command {
        let mut command = self.space.command();
        command.args(self.arguments());
        command
    }

    fn arguments(&self) -> Vec<String> {
        let argument = |word: &&str| match *word {
            "ID" => self.victim.clone(),
            "GALLERY" => self.space.locator(),
            word => word.to_owned(),
        };
        self.subject.arguments.iter().map(argument).collect()
    }

    pub fn files(&self) -> &[(PathBuf, Option<Vec<u8>>)] {
        &self.files
    }

    pub fn reset(&self) {
        self.put(&self.files);
    }

    /// Replaces all files but the pictures by these.
    pub fn put(&self, files: &[(PathBuf, Option<Vec<u8>>)]) {
        for entry in fs::read_dir(self.root()).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("pictures") {
            } else if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
        for (path, content) in files {
            match content {
                None => fs::create_dir_all(path).unwrap(),
                Some(content) => fs::write(path, content).unwrap(),
            }
        }
    }

    fn read_files(&self) -> Vec<(PathBuf, Option<Vec<u8>>)> {
        let root = self.root();
        let entries = walkdir::WalkDir::new(&root).min_depth(1).sort_by_file_name();
        let paths = entries.into_iter().map(|entry| entry.unwrap().into_path());
        let ours = paths.filter(|path| Self::is_gallery(&root, path));
        ours.map(|path| {
            let content = path.is_file().then(|| fs::read(&path).unwrap());
            (path, content)
        })
        .collect()
    }

    /// Asserts that the gallery is whole and has what was there before and what was reported.
    ///
    /// Returns whether there is a gallery at all.
    #[track_caller]
    pub fn assert_nothing_lost(&self, reported: &BTreeSet<String>) -> bool {
        let verified = self.space.run(["verify"]);
        if verified.code != Some(0) && self.old.is_empty() && reported.is_empty() {
            return false;
        }
        assert_eq!(verified.expect(0).stdout, "", "verify");
        let mut expected: BTreeSet<String> = self.old.union(reported).cloned().collect();
        if matches!(self.subject.name, "remove" | "import --prune") {
            expected.remove(&self.victim);
        }
        let ids = self.ids();
        let missing: Vec<_> = expected.difference(&ids).collect();
        assert!(missing.is_empty(), "lost: {missing:?}");
        if !self.old_keys.is_empty() {
            let keys = self.key_ids();
            assert_eq!(keys.len(), 1, "keys");
            assert!(self.subject.name == "key rotate" || keys == self.old_keys, "keys changed");
        }
        let has_backup =
            matches!(self.subject.before, Before::GalleryAndBackup | Before::GalleryAfterBackup);
        if has_backup || self.space.path("copy.pool").exists() {
            self.assert_backup_whole();
        }
        if self.space.path("target.pool").exists() {
            self.assert_whole("target.pool");
        }
        true
    }

    /// Asserts what a command promised that ended with success.
    #[track_caller]
    pub fn assert_promise_kept(&self, ended: &Finished) {
        (self.subject.promises)(self, ended);
    }

    /// Runs the command again, which must do its work now.
    #[track_caller]
    pub fn assert_works_again(&self) {
        let was_done = (self.subject.is_done)(self);
        let again = self.space.run(self.arguments());
        if again.code == Some(0) || !was_done {
            self.assert_promise_kept(&again.expect(0));
        }
        assert_eq!(self.space.run(["verify"]).expect(0).stdout, "", "verify after the second run");
    }

    fn assert_backup_whole(&self) {
        assert_eq!(self.assert_whole("copy.pool"), self.old, "images in the backup");
    }

    /// Verifies another gallery, and returns the ids of its images.
    #[track_caller]
    fn assert_whole(&self, gallery: &str) -> BTreeSet<String> {
        let verified = self.space.run(["--gallery", gallery, "verify"]).expect(0);
        assert_eq!(verified.stdout, "", "verify of {gallery}");
        let listed = self.space.run(["--gallery", gallery, "list", "--json"]).expect(0).json();
        ids_of(listed.as_array().unwrap())
    }

    /// The ids that the report calls stored, in lines that are whole.
    pub fn reported(&self) -> BTreeSet<String> {
        ids_reported(&fs::read(self.space.path(REPORT)).unwrap_or_default())
    }

    fn report(&self) -> Vec<Value> {
        lines_of(&fs::read(self.space.path(REPORT)).unwrap())
    }

    fn ids(&self) -> BTreeSet<String> {
        ids_of(&self.space.list())
    }

    fn key_ids(&self) -> Vec<String> {
        let keys = self.space.run(["key", "list", "--json"]).expect(0).json();
        let id = |key: &Value| key["id"].as_str().unwrap().to_owned();
        keys.as_array().unwrap().iter().map(id).collect()
    }
}

/// The ids that a report calls stored, in lines that are whole.
pub fn ids_reported(report: &[u8]) -> BTreeSet<String> {
    let lines = lines_of(report);
    ids_of(lines.iter().filter(|line| {
        !matches!(line["status"].as_str(), Some("removed" | "removed_before"))
            && !line["id"].is_null()
    }))
}

fn lines_of(report: &[u8]) -> Vec<Value> {
    let whole = report.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    whole.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn ids_of<'a>(images: impl IntoIterator<Item = &'a Value>) -> BTreeSet<String> {
    images.into_iter().map(|image| image["id"].as_str().unwrap().to_owned()).collect()
}

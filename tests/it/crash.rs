//! Kills every command that writes in the middle, and checks what is left.
//!
//! What was acknowledged must be there, nothing may be half there, and the next run must work. On
//! the file engine two importers and a server work on the same gallery, and the importers are
//! killed too.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::Value;

use crate::harness::{
    Engine, Signal, Workspace, env_or, on_each_engine, seeded_rng, send_signal, wait_or_kill,
};
use crate::pictures::{noise, save};

on_each_engine!(a_command_that_is_killed_loses_nothing_that_was_acknowledged);

/// Commands that are killed, unless `IMAGEPOOL_TEST_KILLS` sets another number.
const KILLS: usize = 26;
/// Pictures that are new to each import.
const PICTURES: u32 = 8;
/// Latest time of a kill after an import's start, in milliseconds.
const IMPORT_MILLISECONDS: u64 = 400;
/// Latest time of a kill after the start of another command, in milliseconds.
const SHORT_MILLISECONDS: u64 = 25;
/// A run that hit fewer than one of so many running commands tested too little.
const LEAST_SHARE: usize = 3;

/// Each is killed in its turn; `ID` stands for an image, `REMOVED` for one that was removed, `NAME`
/// and `KEY` for a key's, `GALLERY` for the gallery.
const COMMANDS: [&str; 13] = [
    "import --quiet --jobs 1 --report report.jsonl pictures/new",
    "import --quiet --prune --report report.jsonl pictures",
    "key rotate",
    "key add --name NAME",
    "key revoke KEY",
    "import --quiet --jobs 1 --delete-originals --report report.jsonl pictures/inbox",
    "remove ID",
    "restore-image REMOVED",
    "tag ID +new",
    "backup --force copy.pool",
    "compact",
    "restore --force fresh.pool",
    "copy GALLERY target.pool",
];

/// A gallery that is worked on, and what was acknowledged of it.
struct Scene<'a> {
    space: &'a Workspace,
    rng: StdRng,
    /// Ids that must be there, each with its picture's path.
    acknowledged: BTreeMap<String, String>,
    pictures: u32,
    /// Id of an image that was removed, and the path of its picture.
    removed: Option<(String, String)>,
    /// Names of the pictures that may be deleted once they are stored.
    inbox: Vec<String>,
}

fn a_command_that_is_killed_loses_nothing_that_was_acknowledged(space: &Workspace) {
    let rng = seeded_rng();
    let mut scene = Scene {
        space,
        rng,
        acknowledged: BTreeMap::new(),
        pictures: 0,
        removed: None,
        inbox: Vec::new(),
    };
    scene.add_pictures("new");
    space.run(["import", "--quiet", "--report", "report.jsonl", "pictures"]).expect(0);
    scene.hear("report.jsonl");
    let kept = space.run(["key", "add", "--name", "kept"]).expect(0).stdout.trim().to_owned();
    space.run(["backup", "copy.pool"]).expect(0);
    let server = (space.engine() == Engine::File).then(|| space.serve());
    let kills = env_or("IMAGEPOOL_TEST_KILLS", KILLS);
    let mut hits = [0; COMMANDS.len()];
    for round in 0..kills {
        let index = round % COMMANDS.len();
        hits[index] += usize::from(scene.kill(COMMANDS[index]));
        scene.assert_nothing_lost(&kept);
        if let Some(server) = &server {
            assert_eq!(server.get(&format!("/random?key={kept}")).status, 200, "{COMMANDS:?}");
        }
    }
    println!("running commands hit by {kills} kills: {hits:?}");
    let hit: usize = hits.iter().sum();
    assert!(hit * LEAST_SHARE >= kills, "only {hit} of {kills} kills hit a running command");
    space.run(["import", "--quiet", "pictures"]).expect(0);
    scene.assert_nothing_lost(&kept);
}

impl Scene<'_> {
    /// Saves pictures that the gallery has not, in a folder below `pictures`.
    fn add_pictures(&mut self, folder: &str) {
        for _ in 0..PICTURES {
            let path = self.space.picture(format!("{folder}/{}.bmp", self.pictures));
            save(noise(250, 250, self.pictures), &path);
            if folder == "inbox" {
                self.inbox.push(format!("{}.bmp", self.pictures));
            }
            self.pictures += 1;
        }
    }

    /// Runs a command and kills it. Returns whether the kill ended it.
    fn kill(&mut self, command: &str) -> bool {
        self.replenish();
        let is_import = command.starts_with("import");
        if is_import {
            self.add_pictures(if command.contains("inbox") { "inbox" } else { "new" });
        }
        let is_alone = command.starts_with("restore --force");
        if is_alone {
            self.space.run(["backup", "--force", "fresh.pool"]).expect(0);
        }
        let mut arguments: Vec<String> = command.split(' ').map(Into::into).collect();
        for argument in arguments.iter_mut().filter(|argument| *argument == "GALLERY") {
            *argument = self.space.locator();
        }
        if command.contains("NAME") {
            *arguments.last_mut().unwrap() = format!("more-{}", self.rng.random::<u32>());
        }
        if command.contains("KEY") {
            let name = format!("short-{}", self.rng.random::<u32>());
            let added = self.space.run(["key", "add", "--name", &name]).expect(0);
            *arguments.last_mut().unwrap() = added.stdout[..16].to_owned();
        }
        if command.contains("REMOVED") {
            let (id, path) = self.remove_one();
            *arguments.last_mut().unwrap() = id.clone();
            self.removed = Some((id, path));
        }
        if command.contains("ID") || command.contains("prune") {
            let (id, path) = self.choose_one(command.contains("prune"));
            for argument in arguments.iter_mut().filter(|argument| *argument == "ID") {
                argument.clone_from(&id);
            }
            if !command.starts_with("tag") {
                self.acknowledged.remove(&id);
                self.inbox.retain(|name| !path.ends_with(&format!("/{name}")));
            }
            if command.contains("prune") {
                fs::remove_file(self.space.path(path)).unwrap();
            }
        }
        let latest = if is_import { IMPORT_MILLISECONDS } else { SHORT_MILLISECONDS };
        let delay = Duration::from_millis(self.rng.random_range(0..latest));
        let _ = fs::remove_file(self.space.path("report.jsonl"));
        // A restore takes back what others store meanwhile.
        let beside = if is_alone { Vec::new() } else { self.start_importers_beside() };
        let mut child = self.start(&arguments);
        std::thread::sleep(delay);
        let was_hit = kill_running(&mut child);
        std::thread::sleep(delay);
        for (mut importer, report) in beside {
            kill_running(&mut importer);
            self.hear(report);
        }
        if is_import {
            self.hear("report.jsonl");
        }
        if child.wait().unwrap().success() {
            self.assert_done(&arguments);
        }
        was_hit
    }

    /// Asserts that a command did its work that ended with success before it was killed.
    #[track_caller]
    fn assert_done(&mut self, arguments: &[String]) {
        let id = arguments.get(1).cloned().unwrap_or_default();
        match arguments[0].as_str() {
            "tag" => {
                let shown = self.space.run(["show", &id, "--json"]).expect(0).json();
                let tags = shown["tags"].as_array().unwrap();
                assert!(tags.iter().any(|tag| tag == "new"), "{shown}");
            }
            "remove" => drop(self.space.run(["show", &id]).expect(1)),
            "restore-image" => {
                self.space.run(["show", &id]).expect(0);
                self.acknowledged.extend(self.removed.take());
            }
            _ => {}
        }
    }

    /// Imports new pictures, undisturbed, if few images are left whose pictures are there.
    fn replenish(&mut self) {
        if self.candidates(true).len() < 2 {
            self.add_pictures("new");
            self.space.run(["import", "--quiet", "--report", "new.jsonl", "pictures"]).expect(0);
            self.hear("new.jsonl");
        }
    }

    /// The images that must be there, each with its picture's path; if asked, only those whose
    /// pictures were not deleted.
    fn candidates(&self, with_picture: bool) -> Vec<(&String, &String)> {
        let is_there = |path: &String| !with_picture || self.space.path(path).exists();
        self.acknowledged.iter().filter(|(_, path)| is_there(path)).collect()
    }

    fn choose_one(&mut self, with_picture: bool) -> (String, String) {
        let index = self.rng.random_range(0..self.candidates(with_picture).len());
        let (id, path) = self.candidates(with_picture)[index];
        (id.clone(), path.clone())
    }

    /// Removes an image, and returns its id and the path of its picture.
    fn remove_one(&mut self) -> (String, String) {
        let (id, path) = self.choose_one(true);
        self.acknowledged.remove(&id);
        self.space.run(["remove", &id]).expect(0);
        (id, path)
    }

    /// Starts two more importers with a report each, where the engine admits them.
    fn start_importers_beside(&mut self) -> Vec<(Child, &'static str)> {
        if self.space.engine() != Engine::File {
            return Vec::new();
        }
        let mut start = |folder: &str, report| {
            self.add_pictures(folder);
            let _ = fs::remove_file(self.space.path(report));
            let words = format!("import --quiet --jobs 1 --report {report} pictures/{folder}");
            let words: Vec<_> = words.split(' ').map(Into::into).collect();
            (self.start(&words), report)
        };
        vec![start("beside", "beside.jsonl"), start("besides", "besides.jsonl")]
    }

    fn start(&self, arguments: &[String]) -> Child {
        let mut command = self.space.command();
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// Remembers what a report acknowledges. Its last line may be cut.
    fn hear(&mut self, report: &str) {
        let report = fs::read_to_string(self.space.path(report)).unwrap_or_default();
        let whole_lines = report.rsplit_once('\n').map_or("", |(lines, _)| lines);
        for line in whole_lines.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let is_stored = !matches!(line["status"].as_str(), Some("removed" | "removed_before"));
            if let (Some(id), true) = (line["id"].as_str(), is_stored) {
                let path = line["path"].as_str().unwrap().to_owned();
                self.acknowledged.insert(id.to_owned(), path);
            }
        }
    }

    #[track_caller]
    fn assert_nothing_lost(&self, kept_key: &str) {
        self.space.assert_verified();
        let images = self.space.list();
        let ids: Vec<_> = images.iter().map(|image| image["id"].as_str().unwrap()).collect();
        for id in self.acknowledged.keys() {
            assert!(ids.contains(&id.as_str()), "{id} was acknowledged and is gone");
        }
        for name in &self.inbox {
            let is_stored = images.iter().any(|image| image["source"] == **name);
            let is_there = self.space.picture(format!("inbox/{name}")).exists();
            assert!(is_stored || is_there, "{name} was deleted and is not stored");
        }
        let keys = self.space.run(["key", "list", "--json"]).expect(0).json();
        let is_kept = |key: &Value| key["id"] == kept_key[..16];
        assert!(keys.as_array().unwrap().iter().any(is_kept), "the key is gone");
        for copy in ["copy.pool", "target.pool"] {
            if self.space.path(copy).exists() {
                let verified = self.space.run(["--gallery", copy, "verify"]).expect(0);
                assert_eq!(verified.stdout, "", "{copy}");
            }
        }
    }
}

/// Kills a process. Returns whether it was running until then, not ended by itself before.
fn kill_running(child: &mut Child) -> bool {
    let was_running = child.try_wait().unwrap().is_none();
    if was_running {
        send_signal(child, Signal::KILL);
    }
    wait_or_kill(child);
    was_running && child.wait().unwrap().signal() == Some(Signal::KILL.as_raw())
}

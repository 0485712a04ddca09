//! The commands on one mutilated copy, and what they must keep to.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use memchr::memmem;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::Value;

use super::scene::Scene;
use crate::harness::{Finished, TIMEOUT, Workspace};

/// Exit code of a command that a fault in the map ended, which it explains on stderr.
const MAP_FAULT: i32 = 3;
/// What a process says that ends by a signal for another reason, which may be damage.
const EXPLAINED: &str = "perhaps because the gallery is damaged";
/// Time that a server gets to be ready, which it may never be.
const READY: Duration = Duration::from_secs(1);
/// Number of images that a server is asked for.
const REQUESTS: usize = 12;

/// What was seen of a copy, or of all.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Commands that were run.
    commands: usize,
    /// Commands that ended by a fault in the map, and said so.
    map_faults: usize,
    /// Images that a server answered with, and whose bytes were compared.
    bodies: usize,
    /// Copies in which `verify` found nothing.
    sound: usize,
    /// Images whose bytes are whole, wherever in the file.
    pub whole: usize,
    /// Those of them that `salvage` brought.
    pub brought_whole: usize,
    /// Copies that have nothing of a gallery for `salvage`.
    hopeless: usize,
}

impl Outcome {
    pub fn add(&mut self, other: &Self) {
        self.commands += other.commands;
        self.map_faults += other.map_faults;
        self.bodies += other.bodies;
        self.sound += other.sound;
        self.whole += other.whole;
        self.brought_whole += other.brought_whole;
        self.hopeless += other.hopeless;
    }
}

pub struct Trial<'s> {
    scene: &'s Scene,
    space: Workspace,
    file: &'s [u8],
    outcome: Outcome,
}

impl<'s> Trial<'s> {
    pub fn new(scene: &'s Scene, file: &'s [u8]) -> Self {
        Self { scene, space: Workspace::file(), file, outcome: Outcome::default() }
    }

    pub fn run(mut self, rng: &mut StdRng) -> Outcome {
        self.reset();
        let is_sound = self.verify();
        self.read(is_sound);
        self.salvage();
        self.serve(rng);
        self.reset();
        self.back_up();
        self.reset();
        let pictures = self.scene.space.path("pictures");
        self.command(&["import", "--quiet", pictures.to_str().unwrap()], &[0, 1, MAP_FAULT]);
        self.outcome
    }

    fn reset(&self) {
        fs::write(self.space.gallery_file(), self.file).unwrap();
    }

    /// Runs a command to its end, which must be one of these.
    fn command(&mut self, arguments: &[&str], codes: &[i32]) -> Finished {
        let mut command = self.space.command();
        command.args(arguments);
        let finished = Finished::of(command);
        self.outcome.commands += 1;
        self.outcome.map_faults += usize::from(matches!(finished.code, None | Some(MAP_FAULT)));
        let is_expected = match finished.code {
            Some(code) => codes.contains(&code),
            None => codes.contains(&MAP_FAULT) && finished.stderr.contains(EXPLAINED),
        };
        assert!(is_expected, "{arguments:?}: {:?}: {}", finished.code, finished.stderr);
        assert!(!finished.stderr.contains("panicked"), "{arguments:?}: {}", finished.stderr);
        assert!(!finished.stderr.contains("there is no gallery"), "{}", finished.stderr);
        let says_nothing = finished.stderr.is_empty() && finished.stdout.is_empty();
        assert!(finished.code == Some(0) || !says_nothing, "{arguments:?} says nothing");
        finished
    }

    /// Returns whether `verify` finds nothing.
    fn verify(&mut self) -> bool {
        let verified = self.command(&["verify", "--json"], &[0, 1]);
        let is_sound = verified.code == Some(0);
        if !verified.stdout.is_empty() {
            let found = verified.json();
            assert_eq!(found["problems"].as_array().unwrap().is_empty(), is_sound);
            if is_sound {
                assert_eq!(found["unreadable"], 0);
            }
        }
        self.outcome.sound += usize::from(is_sound);
        is_sound
    }

    /// Reads by `list`, `stats` and `export`. What is not there must be told.
    fn read(&mut self, is_sound: bool) {
        let all: BTreeSet<String> = self.scene.images.keys().cloned().collect();
        let listed = self.command(&["list", "--json"], &[0, 1]);
        if listed.code == Some(0) {
            assert_eq!(ids_of(&listed.json()), all, "list");
        }
        let counted = self.command(&["stats", "--json"], &[0, 1]);
        if counted.code == Some(0) {
            assert_eq!(counted.json()["images"], all.len(), "stats");
        }
        let exported = self.command(&["export", "--all", "out"], &[0, 1]);
        let ids = Self::exported(&self.space.path("out"));
        if exported.code == Some(0) {
            assert_eq!(ids, all, "export");
        }
        let arguments = ["export"].into_iter().chain(all.iter().map(String::as_str));
        let arguments: Vec<&str> = arguments.chain(["chosen"]).collect();
        let chosen = self.command(&arguments, &[0, 1]);
        let ids_chosen = Self::exported(&self.space.path("chosen"));
        if chosen.code == Some(0) {
            assert_eq!(ids_chosen, all, "export of all by their ids");
        }
        let left_out: Vec<_> =
            ids.intersection(&all).filter(|id| !ids_chosen.contains(*id)).collect();
        assert!(left_out.is_empty(), "by their ids these are left out: {left_out:?}");
        let commands = [&listed, &counted, &exported, &chosen];
        let is_told = commands.iter().all(|command| command.code == Some(0));
        assert!(!is_sound || is_told, "verify finds nothing: {}", listed.stderr);
    }

    /// Checks the bytes of exported images, and returns their ids.
    fn exported(folder: &Path) -> BTreeSet<String> {
        let files = fs::read_dir(folder).into_iter().flatten();
        files
            .map(|entry| {
                let path = entry.unwrap().path();
                let id = path.file_stem().unwrap().to_string_lossy().into_owned();
                let webp = fs::read(&path).unwrap();
                assert_eq!(blake3::hash(&webp).to_hex()[..32], id, "wrong bytes were exported");
                id
            })
            .collect()
    }

    /// Makes a backup, which must have everything if it is one.
    fn back_up(&mut self) {
        let made = self.command(&["backup", "copy.pool"], &[0, 1, MAP_FAULT]);
        if made.code == Some(0) {
            self.command(&["--gallery", "copy.pool", "export", "--all", "copied"], &[0]);
            let copied = Self::exported(&self.space.path("copied"));
            assert!(self.scene.images.keys().all(|id| copied.contains(id)), "lost in silence");
        } else {
            assert!(!self.space.path("copy.pool").exists(), "a backup of damage was made");
        }
    }

    fn salvage(&mut self) {
        let salvaged = self.command(&["salvage", "gallery.pool", "new.pool", "--json"], &[0, 1]);
        let unchanged = fs::read(self.space.gallery_file()).unwrap() == self.file;
        assert!(unchanged, "salvage changed what it reads");
        let whole: BTreeSet<&String> = self
            .scene
            .images
            .iter()
            .filter(|(_, webp)| memmem::find(self.file, webp).is_some())
            .map(|(id, _)| id)
            .collect();
        self.outcome.whole += whole.len();
        if !self.space.path("new.pool").exists() {
            assert_eq!(salvaged.code, Some(1));
            self.outcome.hopeless += 1;
            return;
        }
        let of_new = ["--gallery", "new.pool"];
        let verified = self.command(&[&of_new[..], &["verify", "--deep"]].concat(), &[0, 1]);
        assert_eq!(verified.code, Some(0), "{}", verified.stdout);
        self.command(&[&of_new[..], &["export", "--all", "new"]].concat(), &[0]);
        let brought = Self::exported(&self.space.path("new"));
        let of_past = |id: &&String| !self.scene.images.contains_key(*id);
        let is_newest = !salvaged.stdout.contains("a newer one");
        let back: Vec<_> = brought.iter().filter(of_past).collect();
        assert!(!is_newest || back.is_empty(), "{back:?} came back: {}", salvaged.stdout);
        self.outcome.brought_whole += whole.iter().filter(|id| brought.contains(**id)).count();
        if salvaged.code == Some(0) {
            assert!(self.scene.images.keys().all(|id| brought.contains(id)), "lost in silence");
        }
        let keys = self.command(&[&of_new[..], &["key", "list", "--json"]].concat(), &[0]).json();
        for key in keys.as_array().unwrap() {
            let id = key["id"].as_str().unwrap();
            assert!(self.scene.keys.contains(id), "the key {id} came back");
        }
    }

    /// Asks a server for images. It may refuse to start or end by a fault in the map.
    fn serve(&mut self, rng: &mut StdRng) {
        let mut server = match self.space.try_server() {
            Ok(server) => server,
            Err((code, log)) => {
                self.outcome.map_faults += usize::from(code != Some(1));
                let is_explained = code.is_some() || log.contains(EXPLAINED);
                assert!(matches!(code, None | Some(1 | MAP_FAULT)), "serve: {code:?}: {log}");
                assert!(is_explained, "serve: {log}");
                return;
            }
        };
        let end = Instant::now() + READY;
        while Instant::now() < end && server.ended().is_none() && !is_ready(&server.address) {
            std::thread::sleep(READY / 100);
        }
        let ids: Vec<&String> = self.scene.images.keys().collect();
        let key = &self.scene.key;
        for number in 0..REQUESTS {
            let id = ids.choose(rng).unwrap();
            let path = match number % 3 {
                0 => format!("/random?key={key}"),
                _ => format!("/images/{id}?key={key}"),
            };
            let Some((id, body)) = get(&server.address, &path) else { continue };
            self.outcome.bodies += 1;
            assert_eq!(blake3::hash(&body).to_hex()[..32], id, "wrong bytes were served");
        }
        if let Some(code) = server.ended() {
            self.outcome.map_faults += 1;
            let log = server.log();
            let is_explained = code == Some(MAP_FAULT) || code.is_none() && log.contains(EXPLAINED);
            assert!(is_explained, "serve: {code:?}: {log}");
        }
    }
}

fn is_ready(address: &str) -> bool {
    let answer = ask(address, "/readyz").unwrap_or_default();
    answer.starts_with(b"HTTP/1.1 200")
}

fn ids_of(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|image| image["id"].as_str().unwrap().to_owned()).collect()
}

/// Asks for an image. Returns its id and its bytes, unless the answer is an error or is cut.
fn get(address: &str, path: &str) -> Option<(String, Vec<u8>)> {
    let mut answer = ask(address, path)?;
    let end = memmem::find(&answer, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let field = |name: &str| {
        let line = head.lines().find(|line| line.starts_with(name))?;
        Some(line[name.len()..].trim().to_owned())
    };
    let length: usize = field("content-length:")?.parse().ok()?;
    let body = answer.split_off(end);
    let is_whole = head.starts_with("http/1.1 200") && body.len() == length;
    field("x-image-id:").filter(|_| is_whole).map(|id| (id, body))
}

/// What a server answers before it closes the connection.
fn ask(address: &str, path: &str) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("{path} hangs"),
        read => read.ok().map(|_| answer),
    }
}

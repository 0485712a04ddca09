//! A gallery with a past, and what it must and must not hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::harness::Workspace;
use crate::pictures::{noise, photo, save};

/// Length of the pages of the gallery's file, in bytes.
pub const PAGE: usize = 4096;
/// Number of pictures.
const PICTURES: u32 = 60;

pub struct Scene {
    pub space: Workspace,
    /// The gallery's file.
    pub file: Vec<u8>,
    /// A backup of it.
    pub backup: Vec<u8>,
    /// The same file after each earlier commit.
    pub past: Vec<Vec<u8>>,
    /// Images by their ids.
    pub images: BTreeMap<String, Vec<u8>>,
    pub removed: BTreeSet<String>,
    /// Ids of keys that are valid.
    pub keys: BTreeSet<String>,
    pub key: String,
}

impl Scene {
    pub fn new() -> Self {
        let space = Workspace::file();
        for seed in 0..PICTURES {
            let size = 40 + seed * 3;
            // Some images fit in a leaf, others have pages of their own.
            let picture = if seed % 3 == 0 { noise(size, 40, seed) } else { photo(size, 30, seed) };
            let folder = if seed % 2 == 0 { "even" } else { "odd" };
            save(picture, &space.picture(format!("{folder}/{seed}.png")));
        }
        let mut scene = Self {
            space,
            file: Vec::new(),
            backup: Vec::new(),
            past: Vec::new(),
            images: BTreeMap::new(),
            removed: BTreeSet::new(),
            keys: BTreeSet::new(),
            key: String::new(),
        };
        scene.run(&["import", "--quiet", "pictures/even"]);
        scene.run(&["import", "--quiet", "--renditions", "32,64", "pictures/odd"]);
        let revoked = scene.run(&["key", "add", "--name", "revoked"]);
        scene.key = scene.run(&["key", "rotate"]);
        let ids = scene.space.ids();
        for index in [3, 20, 41] {
            scene.run(&["tag", &ids[index + 1], "+tagged"]);
            scene.run(&["remove", &ids[index]]);
            scene.removed.insert(ids[index].clone());
        }
        scene.run(&["key", "revoke", &revoked[..16]]);
        let other = scene.run(&["key", "add", "--name", "other"]);
        scene.keys.extend([scene.key[..16].to_owned(), other[..16].to_owned()]);
        scene.space.run(["export", "--all", "whole"]).expect(0);
        for id in scene.space.ids() {
            let webp = fs::read(scene.space.path("whole").join(format!("{id}.webp"))).unwrap();
            scene.images.insert(id, webp);
        }
        scene.space.assert_verified();
        scene.space.run(["backup", "backup.pool"]).expect(0);
        scene.backup = fs::read(scene.space.path("backup.pool")).unwrap();
        scene.past.pop();
        scene
    }

    /// Runs a command that changes the gallery, and keeps what the file was after it.
    fn run(&mut self, arguments: &[&str]) -> String {
        let finished = self.space.run(arguments).expect(0);
        self.file = fs::read(self.space.gallery_file()).unwrap();
        self.past.push(self.file.clone());
        finished.stdout.trim().to_owned()
    }
}

//! Tests that a backup is known to be whole before it takes another file's place, both when it is
//! made and when it is restored.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::harness::{Failures, Workspace, wait_for};
use crate::pictures::{photo, save};

/// A gallery of four images and a key, and `backup.pool` from when there were three and another
/// key.
struct Scene {
    space: Workspace,
    old_key: String,
    new_key: String,
    old: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let space = Workspace::with_photos(3);
        space.import();
        let old_key = space.rotate(&[]);
        let old = space.ids();
        space.run(["backup", "backup.pool"]).expect(0);
        save(photo(90, 50, 9), &space.picture("late.png"));
        space.import();
        let new_key = space.rotate(&[]);
        Self { space, old_key, new_key, old }
    }

    /// Writes a file with one byte of an image changed, and returns that image's id.
    fn damage(&self, source: &str, target: &str) -> String {
        let id = self.old[0].clone();
        let stored = self.space.stored(&id);
        let mut bytes = fs::read(self.space.path(source)).unwrap();
        let at = bytes.windows(stored.len()).position(|window| window == stored).unwrap();
        bytes[at + stored.len() / 2] ^= 1;
        fs::write(self.space.path(target), bytes).unwrap();
        id
    }

    fn assert_nothing_is_left_behind(&self) {
        for entry in fs::read_dir(self.space.dir.path()).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(!name.as_encoded_bytes().starts_with(b"."), "{}", name.display());
        }
    }
}

#[test]
fn a_backup_of_a_damaged_gallery_does_not_replace_the_one_before() {
    let scene = Scene::new();
    let id = scene.damage("gallery.pool", "gallery.pool");
    let space = &scene.space;
    let before = fs::read(space.path("backup.pool")).unwrap();
    for arguments in [&["backup", "--force", "backup.pool"][..], &["backup", "new.pool"]] {
        let words = [&id, "its bytes are not those that its id names", "imagepool verify"];
        space.run(arguments).expect(1).complains_of(&words);
    }
    assert!(fs::read(space.path("backup.pool")).unwrap() == before, "it was replaced");
    assert!(!space.path("new.pool").exists());
    scene.assert_nothing_is_left_behind();

    space.run(["backup", "--no-verify", "new.pool"]).expect(0);
    space.run(["--gallery", "new.pool", "verify"]).expect(1);
    scene.assert_nothing_is_left_behind();
}

#[test]
fn a_running_server_serves_the_backup_with_its_keys() {
    let scene = Scene::new();
    let Scene { space, old_key, new_key, .. } = &scene;
    let server = space.serve();
    let status = |key: &str| server.get(&format!("/random?key={key}")).status;
    assert_eq!([status(old_key), status(new_key)], [401, 200]);
    let backup = fs::read(space.path("backup.pool")).unwrap();

    space.run(["restore", "--force", "backup.pool"]).expect(0).complains_of(&["restored"]);
    assert_eq!(space.ids(), scene.old);
    wait_for("the server takes the backup", || status(old_key) == 200);
    assert_eq!(status(new_key), 401);
    wait_for("it is told", || server.log().contains("was replaced"));
    let shown = server.get(&format!("/images?key={old_key}")).json();
    assert_eq!(shown.as_array().unwrap().len(), 3);
    assert!(fs::read(space.path("backup.pool")).unwrap() == backup, "the backup was changed");
    assert!(!space.path("backup.pool-lock").exists(), "the backup was opened");
    assert_eq!(space.import()["imported"], 1, "the gallery can be written");
    scene.assert_nothing_is_left_behind();
    space.assert_verified();
}

#[test]
fn what_must_not_be_restored_changes_nothing() {
    let scene = Scene::new();
    let space = &scene.space;
    let backup = fs::read(space.path("backup.pool")).unwrap();
    let id = scene.damage("backup.pool", "damaged.pool");
    fs::write(space.path("cut.pool"), &backup[..backup.len() / 3]).unwrap();
    fs::write(space.path("words.pool"), "These are only words, and some more.").unwrap();
    symlink("gallery.pool", space.path("alias.pool")).unwrap();
    fs::hard_link(space.gallery_file(), space.path("second.pool")).unwrap();
    let before = fs::read(space.gallery_file()).unwrap();
    let mut failures = Failures::new();
    for (arguments, words) in [
        ("backup.pool", &["images: 4, keys: 1", "--force"][..]),
        ("--force damaged.pool", &["damaged.pool", &id, "nothing was restored"]),
        ("--force cut.pool", &["cut.pool", "truncated"]),
        ("--force words.pool", &["words.pool", "not an imagepool gallery"]),
        ("--force none.pool", &["none.pool", "no such file"]),
        ("--force pictures", &["pictures", "folder"]),
        ("--force gallery.pool", &["the gallery itself"]),
        ("--force alias.pool", &["the gallery itself"]),
        ("--force second.pool", &["the gallery itself"]),
        ("--force gallery.pool-lock", &["the gallery itself"]),
        ("--gallery no/folder/x.pool backup.pool", &["folder", "does not exist"]),
        ("--gallery pictures --force backup.pool", &["it is a folder"]),
        ("--gallery sled:x backup.pool", &["imagepool copy backup.pool sled:x"]),
    ] {
        failures.check(arguments, || {
            let arguments = ["restore"].into_iter().chain(arguments.split(' '));
            space.run(arguments).expect(1).complains_of(words);
            assert!(fs::read(space.gallery_file()).unwrap() == before, "it was changed");
            scene.assert_nothing_is_left_behind();
        });
    }
    assert_eq!(space.ids().len(), 4);
}

/// A gallery that is written while it is copied would be neither its old nor its new state.
#[test]
fn a_gallery_that_is_in_use_is_no_backup() {
    let scene = Scene::new();
    let space = &scene.space;
    let server = space.serve_with(&["--gallery", "backup.pool"]);
    let words = ["backup.pool", "has it open as a gallery", "imagepool --gallery"];
    space.run(["restore", "--force", "backup.pool"]).expect(1).complains_of(&words);
    drop(server);
    space.run(["restore", "--force", "backup.pool"]).expect(0);
    assert_eq!(space.ids(), scene.old);
}

#[test]
fn what_is_at_the_place_needs_force_unless_nothing_is_lost() {
    let scene = Scene::new();
    let whole = fs::read(scene.space.gallery_file()).unwrap();
    let mut failures = Failures::new();
    for (name, content) in [
        ("nothing", None),
        ("an empty file", Some(&b""[..])),
        ("words", Some(b"These are only words, and some more.")),
        ("a gallery that was cut", Some(&whole[..whole.len() / 3])),
        ("a gallery without its first page", Some(&[&[0; 4096], &whole[4096..]].concat())),
    ] {
        failures.check(name, || {
            let place = scene.space.path(format!("{name}.pool"));
            let place = place.to_str().unwrap();
            let restore = ["--gallery", place, "restore", "backup.pool"];
            if let Some(content) = content {
                fs::write(place, content).unwrap();
                scene.space.run(restore).expect(1).complains_of(&[place, "--force"]);
                assert_eq!(fs::read(place).unwrap(), content, "it was changed");
                scene.space.run([&restore[..], &["--force"]].concat()).expect(0);
            } else {
                scene.space.run(restore).expect(0);
                let mode = fs::metadata(place).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
            }
            let list = scene.space.run(["--gallery", place, "list", "--json"]).expect(0).json();
            assert_eq!(list.as_array().unwrap().len(), 3);
        });
    }
    failures.check("an empty gallery", || {
        fs::create_dir(scene.space.path("none")).unwrap();
        scene.space.run(["--gallery", "empty.pool", "import", "none"]).expect(0);
        scene.space.run(["--gallery", "empty.pool", "restore", "backup.pool"]).expect(0);
    });
}

/// The count of what would be lost once ended `restore` by SIGBUS, without a word, when the page
/// that names the trees was damaged.
#[test]
fn a_gallery_that_lmdb_goes_astray_in_is_named_and_needs_force() {
    let scene = Scene::new();
    let space = &scene.space;
    fs::create_dir(space.path("none")).unwrap();
    space.run(["--gallery", "small.pool", "import", "none"]).expect(0);
    space.run(["--gallery", "small.pool", "key", "add", "--name", "one"]).expect(0);
    let mut gallery = fs::read(space.path("small.pool")).unwrap();
    let number = |at: usize| u64::from_le_bytes(gallery[at..at + 8].try_into().unwrap());
    let [transactions, roots] = [16 + 128, 16 + 112].map(|at| [number(at), number(4096 + at)]);
    let root = roots[usize::from(transactions[0] < transactions[1])] as usize * 4096;
    assert!(root + 0xFFFE > gallery.len(), "its nodes do not lie behind the file's end");
    let lower = usize::from(u16::from_le_bytes([gallery[root + 12], gallery[root + 13]]));
    for at in (root + 16..root + lower).step_by(2) {
        gallery[at..at + 2].copy_from_slice(&[0xFE, 0xFF]);
    }
    fs::write(space.path("small.pool"), &gallery).unwrap();
    let words = ["small.pool", "the gallery is damaged", "`imagepool verify`"];
    let restore = ["--gallery", "small.pool", "restore", "backup.pool"];
    space.run(restore).expect(3).complains_of(&words);
    assert!(fs::read(space.path("small.pool")).unwrap() == gallery, "it was changed");
    space.run([&restore[..], &["--force"]].concat()).expect(0);
    let list = space.run(["--gallery", "small.pool", "list", "--json"]).expect(0).json();
    assert_eq!(list.as_array().unwrap().len(), 3);
}

/// Whoever could serve the gallery must be able to serve what was restored.
#[test]
fn rights_stay_as_they_were() {
    let scene = Scene::new();
    let gallery = scene.space.gallery_file();
    fs::set_permissions(&gallery, fs::Permissions::from_mode(0o640)).unwrap();
    scene.space.run(["restore", "--force", "backup.pool"]).expect(0);
    assert_eq!(fs::metadata(&gallery).unwrap().permissions().mode() & 0o777, 0o640);
}

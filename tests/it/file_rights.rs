//! Tests who may read what commands write, and that nobody can plant a file in their way.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::harness::{
    Failures, Signal, Workspace, on_each_engine, send_signal, take_rights, wait_for, wait_or_kill,
};
use crate::pictures::{photo, save};

on_each_engine!(a_gallery_and_its_copies_are_their_owners_alone, a_backup_leaves_nothing_beside_it);

/// The rights on a file or folder.
fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Runs a command that succeeds, with this mask of rights and into this file, if any.
#[track_caller]
fn run_with_umask(space: &Workspace, mask: u32, arguments: &[&str], stdout: Option<File>) {
    let mut command = space.command();
    command.arg("-q").args(arguments);
    if let Some(file) = stdout {
        command.stdout(file);
    }
    take_rights(&mut command, mask);
    let status = command.status().unwrap();
    assert!(status.success(), "{arguments:?}");
}

/// A new file that everybody may read, as a shell without a mask makes it.
fn open_to_all(path: &Path) -> File {
    let file = File::create(path).unwrap();
    file.set_permissions(Permissions::from_mode(0o666)).unwrap();
    file
}

/// A sled gallery and the file of `backup -` were readable for everybody, with the hashes of the
/// keys and the secrets that sign links.
fn a_gallery_and_its_copies_are_their_owners_alone(space: &Workspace) {
    save(photo(50, 50, 1), &space.picture("a.png"));
    run_with_umask(space, 0, &["import", "pictures"], None);
    let sled = space.path("gallery.sled");
    let check = || {
        let mut failures = Failures::new();
        let mut folders = vec![space.dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                let name = path.strip_prefix(space.dir.path()).unwrap();
                if !name.starts_with("gallery.sled") && !name.to_string_lossy().contains("pool") {
                    continue;
                }
                let is_folder = path.is_dir();
                failures.check(name.display(), || {
                    assert_eq!(mode(&path), if is_folder { 0o700 } else { 0o600 });
                });
                folders.extend(is_folder.then_some(path));
            }
        }
    };
    run_with_umask(space, 0, &["backup", "copy.pool"], None);
    let printed = open_to_all(&space.path("printed.pool"));
    run_with_umask(space, 0, &["backup", "-"], Some(printed));
    check();
    if sled.exists() {
        // An older imagepool made it like this.
        fs::set_permissions(&sled, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(sled.join("db"), Permissions::from_mode(0o644)).unwrap();
        space.run(["key", "rotate"]).expect(0);
        check();
    }
    // A file with something in it has the rights that somebody gave it.
    fs::write(space.path("log"), "before").unwrap();
    fs::set_permissions(space.path("log"), Permissions::from_mode(0o644)).unwrap();
    let log = File::options().append(true).open(space.path("log")).unwrap();
    run_with_umask(space, 0, &["backup", "-"], Some(log));
    assert_eq!(mode(space.path("log")), 0o644);
}

fn a_backup_leaves_nothing_beside_it(space: &Workspace) {
    save(photo(50, 50, 1), &space.picture("a.png"));
    space.import();
    fs::create_dir(space.path("copies")).unwrap();
    let leftover = space.path("copies/.imagepool-0123456789abcdef.partial");
    fs::write(&leftover, "of a process that was killed").unwrap();
    File::open(&leftover).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    space.run(["backup", "copies/copy.pool"]).expect(0);
    space.run(["backup", "copies/copy.pool"]).expect(1);
    space.run(["backup", "--force", "copies/copy.pool"]).expect(0);
    let left: Vec<_> = fs::read_dir(space.path("copies")).unwrap().map(Result::unwrap).collect();
    assert!(left.len() == 1 && left[0].file_name() == "copy.pool", "{left:?}");
}

/// Ctrl-C once left a file as long as the gallery for the next command to clean up.
#[test]
fn a_backup_that_is_interrupted_leaves_nothing() {
    let (space, _) = Workspace::with_large_image();
    let copies = space.path("copies");
    fs::create_dir(&copies).unwrap();
    let is_empty = || fs::read_dir(&copies).unwrap().next().is_none();
    for signal in [Signal::INT, Signal::TERM] {
        let was_hit = (0..10).any(|_| {
            let mut command = space.command();
            let mut child = command.args(["backup", "copies/copy.pool"]).spawn().unwrap();
            wait_for("something of the backup", || !is_empty());
            send_signal(&child, signal);
            let code = wait_or_kill(&mut child);
            let is_done = fs::remove_file(copies.join("copy.pool")).is_ok();
            assert!(is_empty(), "{signal:?}: {:?}", fs::read_dir(&copies).unwrap().next());
            !is_done && code == Some(130)
        });
        assert!(was_hit, "{signal:?} never came before the end");
    }
}

/// The temporary names of `export` could be foreseen and were opened through links, so whoever
/// could write to the folder had any file of the caller overwritten.
#[test]
fn a_planted_link_is_not_written_through() {
    let space = Workspace::file();
    save(photo(50, 50, 1), &space.picture("a.png"));
    space.import();
    let id = &space.ids()[0];
    fs::create_dir(space.path("out")).unwrap();
    for victim in ["first", "second"] {
        fs::write(space.path(victim), "precious").unwrap();
    }
    symlink("../first", space.path(format!("out/.{id}.webp.partial"))).unwrap();
    symlink("../second", space.path(format!("out/{id}.webp"))).unwrap();
    run_with_umask(&space, 0o027, &["export", id, "out"], None);
    for victim in ["first", "second"] {
        assert_eq!(fs::read_to_string(space.path(victim)).unwrap(), "precious");
    }
    let exported = space.path(format!("out/{id}.webp"));
    assert!(fs::symlink_metadata(&exported).unwrap().is_file());
    assert_eq!(mode(exported), 0o640, "what the umask leaves, as on any new file");
}

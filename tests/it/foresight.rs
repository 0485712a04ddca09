//! Tests that `import --dry-run` says what `--prune` and `--delete-originals` would do, that they
//! do just that, and that the dry run does nothing.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Failures, Workspace, on_each_engine};
use crate::pictures::{jpeg, photo, save};

on_each_engine!(
    what_is_foreseen_of_pruning_comes_to_pass,
    what_is_foreseen_of_deleting_comes_to_pass,
);

/// The summary without its time and the bytes that only a conversion knows, and the paths of which
/// the report says this.
fn told(space: &Workspace, flags: &[&str], says: &str) -> (Value, BTreeSet<String>) {
    let arguments = [&["import", "--json", "--report", "r"], flags, &["pictures"]].concat();
    let mut summary = space.run(&arguments).json();
    for unsure in ["seconds", "bytes_out"] {
        summary.as_object_mut().unwrap().remove(unsure);
    }
    let report = fs::read_to_string(space.path("r")).unwrap();
    let lines = report.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let about = lines.filter(|line| line.to_string().contains(says));
    (summary, about.map(|line| line["path"].as_str().unwrap().to_owned()).collect())
}

/// Names and bytes of all files in the workspace, but those of locks and the report.
fn everything(space: &Workspace) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = walkdir::WalkDir::new(space.dir.path()).sort_by_file_name().into_iter();
    let files = entries.map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let is_lasting = |path: &Path| {
        !path.ends_with("r")
            && !path.to_string_lossy().contains("-lock")
            && !path.to_string_lossy().contains("gallery.sled")
    };
    let paths = files.map(walkdir::DirEntry::into_path).filter(|path| is_lasting(path));
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Runs a dry run and the same without, and asserts that they say the same, and that the first
/// changes nothing.
#[track_caller]
fn assert_foreseen(
    space: &Workspace,
    flags: &[&str],
    says: [&str; 2],
) -> (Value, BTreeSet<String>) {
    let (before, images) = (everything(space), space.list());
    let foreseen = told(space, &[flags, &["--dry-run"]].concat(), says[0]);
    assert!(everything(space) == before, "the dry run changed a file");
    assert_eq!(space.list(), images);
    let happened = told(space, flags, says[1]);
    assert_eq!(foreseen, happened, "foreseen, and what happened");
    happened
}

fn what_is_foreseen_of_pruning_comes_to_pass(space: &Workspace) {
    let picture = |name: &str, seed| save(photo(40, 30, seed), &space.picture(name));
    for (seed, name) in
        (0..).zip(["stays", "gone", "changed", "moved", "twice", "kept", "out", "both", "torn"])
    {
        picture(&format!("{name}.jpg"), seed);
    }
    fs::copy(space.picture("twice.jpg"), space.picture("again.jpg")).unwrap();
    fs::copy(space.picture("kept.jpg"), space.picture("copy.jpg")).unwrap();
    fs::copy(space.picture("both.jpg"), space.picture("other.jpg")).unwrap();
    picture("sub/quality.jpg", 50);
    space.import();
    for name in ["gone", "twice", "again", "kept", "both"] {
        fs::remove_file(space.picture(format!("{name}.jpg"))).unwrap();
    }
    picture("changed.jpg", 60);
    fs::rename(space.picture("moved.jpg"), space.picture("sub/moved.jpg")).unwrap();
    fs::write(space.picture("torn.jpg"), "half").unwrap();
    let says = ["\"removed\"", "\"removed\""];
    let flags = ["--prune", "--exclude", "out.jpg,other.jpg"];
    let (summary, removed) = assert_foreseen(space, &flags, says);
    assert_eq!(summary["removed"], 5, "{removed:?}");
    let ended: BTreeSet<_> = removed.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    assert!(
        ended.is_superset(&BTreeSet::from(["gone.jpg", "changed.jpg", "out.jpg"])),
        "{ended:?}"
    );
    // Other settings replace images, and remove none.
    let (summary, _) = assert_foreseen(space, &["--prune", "--quality", "30"], says);
    assert_eq!(summary["removed"], 0);
    // A folder without a picture is left alone in either case.
    fs::remove_dir_all(space.path("pictures")).unwrap();
    fs::create_dir(space.path("pictures")).unwrap();
    for flags in [&["import", "--prune"] as &[&str], &["import", "--prune", "--dry-run"]] {
        let refused = space.run([flags, &["pictures"]].concat()).expect(1);
        refused.complains_of(&["is it mounted?"]);
    }
    space.assert_verified();
}

fn what_is_foreseen_of_deleting_comes_to_pass(space: &Workspace) {
    // Without a gallery a dry run makes none.
    save(photo(17_000, 20, 1), &space.picture("wide.png"));
    fs::copy(space.picture("wide.png"), space.picture("wide-copy.png")).unwrap();
    save(photo(40, 30, 2), &space.picture("deep/a.png"));
    fs::copy(space.picture("deep/a.png"), space.picture("copy.png")).unwrap();
    let torn = jpeg(&photo(50, 50, 3), None)[..300].to_vec();
    fs::write(space.picture("torn.jpg"), &torn).unwrap();
    fs::write(space.picture("torn-copy.jpg"), &torn).unwrap();
    fs::write(space.picture("notes.txt"), "a text").unwrap();
    save(photo(40, 30, 4), &space.picture("@eaDir/b.png"));
    save(photo(40, 30, 5), &space.path("outside.png"));
    symlink(space.path("outside.png"), space.picture("link.png")).unwrap();
    let dry = space.run(["import", "--dry-run", "--delete-originals", "pictures"]).expect(1);
    dry.complains_of(&["2 originals would be deleted", "2 originals would be kept"]);
    assert!(!space.path(space.locator().trim_start_matches("sled:")).exists());

    save(photo(40, 30, 6), &space.path("first.png"));
    space.run(["import", "first.png"]).expect(0);
    let says = ["original would be deleted", "original deleted"];
    let (summary, deleted) = assert_foreseen(space, &["--delete-originals"], says);
    assert_eq!(
        deleted,
        BTreeSet::from(["pictures/copy.png", "pictures/deep/a.png"].map(Into::into))
    );
    assert_eq!((&summary["originals_deleted"], &summary["originals_kept"]), (&2.into(), &2.into()));
    for kept in ["wide.png", "wide-copy.png", "torn.jpg", "@eaDir/b.png", "link.png", "notes.txt"] {
        assert!(space.picture(kept).exists(), "{kept} was deleted");
    }
    assert!(space.path("outside.png").exists());
}

/// The second import of a picture did not know that its image does not show all of it, and deleted
/// it; and so did the first import its copy.
#[test]
fn a_picture_that_is_not_shown_whole_is_kept_by_every_import() {
    let mut failures = Failures::new();
    for (what, first) in [
        ("imported before", &["import"] as &[&str]),
        ("imported before, without renditions", &["import", "--renditions", "none"]),
        ("imported and kept before", &["import", "--delete-originals"]),
    ] {
        failures.check(what, || {
            let space = Workspace::file();
            save(photo(17_000, 20, 1), &space.picture("wide.png"));
            fs::copy(space.picture("wide.png"), space.picture("copy.png")).unwrap();
            save(photo(90, 20, 1), &space.picture("whole.png"));
            space.run([first, &["pictures"]].concat()).expect(0);
            let says =
                ["original would be kept: the image does not", "original kept: the image does not"];
            let (_, kept) = assert_foreseen(&space, &["--delete-originals"], says);
            assert_eq!(kept.len(), 2);
            assert!(space.picture("wide.png").exists() && space.picture("copy.png").exists());
            assert!(!space.picture("whole.png").exists());
        });
    }
}

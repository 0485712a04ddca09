//! Tests that a process with small limits of the system says which of them to raise, and is never
//! ended by a signal.

use std::fs;

use crate::harness::{Failures, Finished, Resource, Workspace, limit};
use crate::pictures::{noise, save};

/// Runs the program with at most so much of a resource, in bytes.
fn limited(space: &Workspace, resource: Resource, most: u64, arguments: &[&str]) -> Finished {
    let mut command = space.command();
    command.args(arguments);
    limit(&mut command, resource, most);
    Finished::of(command)
}

/// A write beyond the limit of file sizes once ended an import by SIGXFSZ, without a word.
#[test]
fn a_file_size_limit_is_named_and_costs_nothing_that_was_stored() {
    let mut failures = Failures::new();
    for kibibytes in [4, 32, 100, 250, 450] {
        failures.check(format!("{kibibytes} KiB"), || {
            let space = Workspace::with_photos(3);
            space.import();
            let before = space.ids();
            for seed in 0..6 {
                save(noise(300, 300, seed), &space.picture(format!("noise-{seed}.png")));
            }
            let import = ["import", "--quality", "100", "pictures"];
            limited(&space, Resource::Fsize, kibibytes << 10, &import).expect(1).complains_of(&[
                "may not write so long a file",
                "ulimit -f",
                "gallery.pool",
            ]);
            assert!(before.iter().all(|id| space.ids().contains(id)));
            space.assert_verified();
            space.import();
            assert_eq!(space.ids().len(), 9);
        });
    }
}

/// `restore` and `export --all` were still ended by SIGXFSZ when an import no longer was, because
/// the signal was ignored only where LMDB opens a gallery.
#[test]
fn a_file_size_limit_is_named_by_commands_that_write_other_files() {
    let space = Workspace::with_photos(2);
    save(noise(300, 300, 1), &space.picture("noise.png"));
    space.run(["import", "--quality", "100", "pictures"]).expect(0);
    space.run(["backup", "backup.pool"]).expect(0);
    let ids = space.ids();
    let mut failures = Failures::new();
    for (arguments, named) in [
        (&["restore", "--force", "backup.pool"][..], "gallery.pool"),
        (&["backup", "copy.pool"], "copy.pool"),
        (&["export", "--all", "exported"], ".webp"),
        (&["export", &ids[0], &ids[1], &ids[2], "exported"], ".webp"),
    ] {
        failures.check(arguments.join(" "), || {
            let words = ["may not write so long a file", "ulimit -f", named];
            limited(&space, Resource::Fsize, 16 << 10, arguments).expect(1).complains_of(&words);
            assert_eq!(space.ids(), ids);
            space.assert_verified();
            for folder in [space.dir.path(), &space.path("exported")] {
                for entry in fs::read_dir(folder).into_iter().flatten() {
                    let name = entry.unwrap().file_name();
                    assert!(!name.as_encoded_bytes().starts_with(b"."), "{}", name.display());
                }
            }
        });
    }
}

#[test]
fn a_limit_of_address_space_is_named() {
    let space = Workspace::with_photos(1);
    space.import();
    limited(&space, Resource::As, 3_000_000_000, &["list"]).expect(1).complains_of(&[
        "too little address space",
        "ulimit -v",
        "gallery.pool",
    ]);
    assert_eq!(space.ids().len(), 1);
}

//! Tests that a process with small limits of the system says which of them to raise, and is never
//! ended by a signal.

use std::process::Command;

use crate::harness::{Failures, Finished, Workspace};
use crate::pictures::{noise, save};

/// Runs the program under `ulimit` with these arguments.
fn limited(space: &Workspace, limit: &str, arguments: &[&str]) -> Finished {
    let program = env!("CARGO_BIN_EXE_imagepool");
    let mut command = Command::new("sh");
    command.current_dir(space.dir.path()).env("IMAGEPOOL_GALLERY", space.locator());
    let script = format!("ulimit {limit} && exec \"$0\" \"$@\"");
    command.args(["-c", &script, program]).args(arguments);
    Finished::of(command)
}

/// A write beyond the limit of file sizes once ended an import by SIGXFSZ, without a word.
#[test]
fn a_file_size_limit_is_named_and_costs_nothing_that_was_stored() {
    let mut failures = Failures::new();
    for kibibytes in [8, 64, 200, 500, 900] {
        failures.check(format!("{kibibytes} KiB"), || {
            let space = Workspace::with_photos(3);
            space.import();
            let before = space.ids();
            for seed in 0..6 {
                save(noise(300, 300, seed), &space.picture(format!("noise-{seed}.png")));
            }
            // A shell counts in 512 or 1,024 bytes; both are far below what the pictures need.
            let limit = format!("-f {kibibytes}");
            limited(&space, &limit, &["import", "--quality", "100", "pictures"])
                .expect(1)
                .complains_of(&["may not write so long a file", "ulimit -f", "gallery.pool"]);
            assert!(before.iter().all(|id| space.ids().contains(id)));
            space.assert_verified();
            space.import();
            assert_eq!(space.ids().len(), 9);
        });
    }
}

#[test]
fn a_limit_of_address_space_is_named() {
    let space = Workspace::with_photos(1);
    space.import();
    limited(&space, "-v 3000000", &["list"]).expect(1).complains_of(&[
        "too little address space",
        "ulimit -v",
        "gallery.pool",
    ]);
    assert_eq!(space.ids().len(), 1);
}

//! Tests of what containers do to a gallery: they mount its file alone, and each counts its
//! processes from 1.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::process::geteuid;
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::harness::{Finished, Server, Signal, Workspace, skip, wait_for, with_disk};

/// `docker -v $PWD/gallery.pool:/data/g.pool` gave the data file a second lock file. Of 243 images
/// 123 were left, and a key that was rotated stayed good in the other container.
#[test]
fn a_data_file_that_is_mounted_alone_is_refused_while_it_is_used() {
    with_disk(64, |disk| {
        let space = disk.elsewhere;
        for seed in 0..3 {
            let picture = crate::pictures::photo(60, 40, seed);
            crate::pictures::save(picture, &space.picture(format!("{seed}.png")));
        }
        space.import();
        let mut server = space.serve();
        let alone = disk.path("g.pool");
        fs::write(&alone, "").unwrap();
        mount_bind(space.gallery_file(), &alone).unwrap();
        let run = |words: &[&str]| {
            let mut command = space.command();
            command.args(words).env("IMAGEPOOL_GALLERY", &alone);
            Finished::of(command)
        };
        let words = ["with another lock file", "containers must mount the gallery's folder"];
        for command in [&["import", "pictures"][..], &["key", "rotate"], &["list"]] {
            run(command).expect(1).complains_of(&words);
        }
        server.signal(Signal::TERM);
        assert_eq!(server.wait().0, Some(0));
        assert_eq!(run(&["list", "--json"]).expect(0).json().as_array().unwrap().len(), 3);
        unmount(&alone, UnmountFlags::empty()).unwrap();
    });
}

/// Starts a command as process 1 of a namespace of its own, as in a container. Returns `None` where
/// this process may not do that.
fn spawn_in_container(command: &mut Command) -> Option<Child> {
    let spawn = || {
        // The next child of this thread gets number 1.
        // SAFETY: it concerns the numbers of processes that are started later, and no memory.
        #[expect(unsafe_code, reason = "other flags of this call would be unsafe")]
        let unshared = unsafe { unshare_unsafe(UnshareFlags::NEWPID) };
        unshared.ok().map(|()| command.spawn().unwrap())
    };
    thread::scope(|scope| scope.spawn(spawn).join().unwrap())
}

#[test]
fn two_processes_of_the_same_number_are_told_the_cause_and_the_way_out() {
    let space = Workspace::with_photos(3);
    space.import();
    let run = |words: &[&str]| {
        let mut command = space.command();
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let ended = spawn_in_container(&mut command)?.wait_with_output().unwrap();
        Some((ended.status.code(), String::from_utf8(ended.stderr).unwrap()))
    };
    if !geteuid().is_root() || run(&["list"]).is_none() {
        return skip("this process may not number processes anew");
    }
    let mut command = space.command();
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    let server = Server::start_by(command, |command| spawn_in_container(command).unwrap());
    wait_for("the server is ready", || server.get("/readyz").status == 200);

    for command in [&["import", "pictures"][..], &["key", "rotate"], &["list"]] {
        let (code, words) = run(command).unwrap();
        assert_eq!(code, Some(1), "{words}");
        for word in ["process number 1", "docker exec", "--pid"] {
            assert!(words.contains(word), "{words}");
        }
    }
    assert_eq!(server.get("/readyz").status, 200);
    // Outside of the containers the numbers differ.
    space.assert_verified();
    drop(server);
    assert_eq!(run(&["import", "pictures"]).unwrap().0, Some(0));
}

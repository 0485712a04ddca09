//! Tests how a server starts and ends, and what it shows while its gallery changes.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Signal, Workspace, on_each_engine, wait_for};
use crate::pictures::{photo, save};

on_each_engine!(serve_imports_a_folder_while_it_serves_and_shows_its_first_key_once);

#[test]
fn an_empty_gallery_says_so_and_images_appear_within_a_second() {
    let space = Workspace::file();
    let mut server = space.serve();
    let key = space.rotate(&[]);
    let random = format!("/random-image/{key}");
    let empty = server.get(&random);
    assert_eq!((empty.status, empty.json()), (404, json!({ "error": "No images found" })));
    let update = server.get(&format!("/update-images/{key}"));
    assert_eq!((update.status, update.json()), (404, json!({ "error": "No images found" })));

    save(photo(50, 50, 1), &space.picture("a.png"));
    space.import();
    let committed = Instant::now();
    wait_for("the image is served", || server.get(&random).status == 200);
    assert!(committed.elapsed() < Duration::from_secs(1), "{:?}", committed.elapsed());

    // The old service answered half of all requests with 500 or 404 once all pictures had been
    // replaced.
    let old = space.ids();
    save(photo(70, 50, 2), &space.picture("b.png"));
    space.import();
    space.run(["remove", &old[0]]).expect(0);
    let update = server.get(&format!("/update-images/{key}"));
    assert_eq!((update.status, update.json()), (200, json!({ "message": "Images list updated" })));
    for _ in 0..20 {
        assert_eq!(server.get(&random).header("x-image-id"), Some(space.ids()[0].as_str()));
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait().0, Some(0));
}

fn serve_imports_a_folder_while_it_serves_and_shows_its_first_key_once(space: &Workspace) {
    save(photo(50, 50, 1), &space.picture("a.png"));
    let mut server = space.serve_with(&["--import", "pictures"]);
    wait_for("the import is through", || server.log().contains("1 imported"));
    server.signal(Signal::TERM);
    let (code, stdout) = server.wait();
    assert_eq!(code, Some(0));
    let url =
        stdout.split_whitespace().find(|word| word.contains("/random-image/")).expect("a URL");
    let key = url.rsplit_once('/').unwrap().1.to_owned();
    assert_eq!(key.len(), 64);

    let mut server = space.serve();
    assert_eq!(server.get(&format!("/random-image/{key}")).status, 200);
    server.signal(Signal::TERM);
    let (_, stdout) = server.wait();
    assert_eq!(stdout, "", "the key was shown again");
    assert!(!server.log().contains(&key[16..]));
}

/// POSIX locks on a file end when the process closes any descriptor of it. An import of the
/// gallery's own folder once opened and closed the lock file like any other, so that the next
/// process believed the gallery to be unused.
#[cfg(target_os = "linux")]
#[test]
fn an_import_of_the_gallerys_own_folder_keeps_its_locks() {
    use std::os::unix::fs::MetadataExt as _;

    let space = Workspace::with_photos(1);
    let server = space.serve_with(&["--import", "."]);
    wait_for("the import is through", || server.log().contains("1 imported"));
    let inode = std::fs::metadata(space.path("gallery.pool-lock")).unwrap().ino();
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let held = |line: &str| {
        line.contains(&format!(" {} ", server.pid())) && line.contains(&format!(":{inode} "))
    };
    assert!(locks.lines().any(held), "{locks}");
}

#[test]
fn sigterm_lets_an_answer_under_way_finish() {
    let (space, key) = Workspace::with_large_image();
    let mut server = space.serve();
    let stored = space.stored(&space.ids()[0]);
    let mut slow = server.being_answered(&key);
    server.signal(Signal::TERM);
    wait_for("the server refuses new connections", || TcpStream::connect(&server.address).is_err());
    let mut response = Vec::new();
    slow.read_to_end(&mut response).unwrap();
    assert!(response.ends_with(&stored), "the answer was cut");
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn an_answer_that_never_ends_is_cut_after_the_shutdown_timeout() {
    let (space, key) = Workspace::with_large_image();
    let mut server = space.serve_with(&["--shutdown-timeout", "300ms"]);
    let _stuck = server.being_answered(&key);
    server.signal(Signal::INT);
    assert_eq!(server.wait().0, Some(0));
    assert!(server.log().contains("shutdown-timeout"), "{}", server.log());
}

#[test]
fn a_second_signal_ends_it_now() {
    let (space, key) = Workspace::with_large_image();
    let mut server = space.serve_with(&["--shutdown-timeout", "1h"]);
    let _stuck = server.being_answered(&key);
    server.signal(Signal::TERM);
    wait_for("it has stopped accepting", || TcpStream::connect(&server.address).is_err());
    server.signal(Signal::TERM);
    assert_eq!(server.wait().0, Some(130));
}

#[test]
fn health_tells_a_server_that_answers_from_none() {
    let space = Workspace::with_photos(1);
    let (mut server, _) = space.serve_with_key();
    let url = format!("http://{}", server.address);
    space.run(["health", &url]).expect(0);
    space.run(["health", &format!("{url}/healthz")]).expect(0);
    space.run(["health", &format!("{url}/random")]).expect(1).complains_of(&["401"]);
    let listen = server.address.clone();
    let by_environment = space
        .command()
        .args(["--quiet", "health"])
        .env("IMAGEPOOL_LISTEN", &listen)
        .status()
        .unwrap();
    assert!(by_environment.success());
    server.signal(Signal::TERM);
    server.wait();
    space.run(["health", &url]).expect(1).complains_of(&[&listen, "imagepool serve"]);
}

#[test]
fn a_port_that_is_taken_is_told() {
    let space = Workspace::with_photos(1);
    let (server, _) = space.serve_with_key();
    let second = space.run(["serve", "--listen", &server.address]).expect(1);
    second.complains_of(&[&server.address, "in use"]);
}

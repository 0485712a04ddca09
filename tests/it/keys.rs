//! Tests how keys are made and ended, and that a running server obeys with its next request.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Workspace, on_each_engine, wait_for};
use crate::pictures::{photo, save};

on_each_engine!(keys_are_made_listed_and_ended, an_old_key_is_taken_over, only_hashes_are_stored);

fn with_an_image() -> Workspace {
    let space = Workspace::file();
    save(photo(50, 50, 1), &space.picture("a.png"));
    space
}

fn keys_are_made_listed_and_ended(space: &Workspace) {
    space.import();
    let default = space.rotate(&[]);
    let added = space
        .run(["key", "add", "--name", "blog", "--expires", "30d"])
        .expect(0)
        .stdout
        .trim()
        .to_owned();
    for key in [&default, &added] {
        assert!(key.len() == 64 && key.bytes().all(|digit| digit.is_ascii_hexdigit()), "{key}");
    }
    let list = space.run(["key", "list", "--json"]).expect(0).json();
    assert_eq!((&list[0]["name"], &list[0]["id"]), (&"blog".into(), &added[..16].into()));
    assert!(list[0]["expires"].is_string() && list[1]["expires"].is_null());
    assert!(space.run(["key", "list"]).expect(0).stdout.contains(&default[..16]));

    space
        .run(["key", "add", "--name", "blog"])
        .expect(1)
        .complains_of(&["blog", "already", "rotate"]);
    space.run(["key", "add", "--name", ""]).expect(2).complains_of(&["name"]);
    space.run(["key", "rotate", "--name", "nobody"]).expect(1).complains_of(&["nobody", "key add"]);
    space.run(["key", "revoke", "0123456789abcdef"]).expect(1).complains_of(&["0123456789abcdef"]);
    space.run(["key", "revoke", &added]).expect(2).complains_of(&["first 16"]);
    space.run(["key", "revoke", &added[..16]]).expect(0);
    assert_eq!(space.run(["key", "list", "--json"]).expect(0).json().as_array().unwrap().len(), 1);
}

fn an_old_key_is_taken_over(space: &Workspace) {
    let old = "8c1f".repeat(16);
    fs::write(space.path("api_key.txt"), format!("{old}\n")).unwrap();
    space.run(["key", "import", "api_key.txt"]).expect(0);
    space.run(["key", "import", "api_key.txt"]).expect(0).complains_of(&["known already"]);
    fs::write(space.path("other.txt"), "5".repeat(64)).unwrap();
    space.run(["key", "import", "other.txt"]).expect(1).complains_of(&["default", "already"]);
    fs::write(space.path("bad.txt"), "not a key").unwrap();
    space
        .run(["key", "import", "bad.txt"])
        .expect(1)
        .complains_of(&["bad.txt", "64 hexadecimal digits"]);
    space.run(["key", "import", "missing.txt"]).expect(1).complains_of(&["missing.txt"]);

    save(photo(50, 50, 1), &space.picture("a.png"));
    space.import();
    let server = space.serve();
    assert_eq!(server.get(&format!("/random-image/{old}")).status, 200);
}

fn only_hashes_are_stored(space: &Workspace) {
    space.import();
    let key = space.rotate(&[]);
    let bytes: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&key[2 * at..2 * at + 2], 16).unwrap()).collect();
    for entry in walkdir::WalkDir::new(space.dir.path())
        .into_iter()
        .map(Result::unwrap)
        .filter(|e| e.file_type().is_file())
    {
        let content = fs::read(entry.path()).unwrap();
        let holds = |secret: &[u8]| content.windows(secret.len()).any(|window| window == secret);
        assert!(
            !holds(&key.as_bytes()[16..]) && !holds(&bytes[8..]),
            "{} holds the secret",
            entry.path().display()
        );
    }
}

/// After a change of key and one `/update-key`, half of all requests to the old service failed
/// with either key.
#[test]
fn a_rotated_key_ends_with_the_next_request() {
    let space = with_an_image();
    let (server, first) = space.serve_with_key();
    let random = |key: &str| server.get(&format!("/random-image/{key}")).status;
    assert_eq!(random(&first), 200);
    let second = space.rotate(&[]);
    for _ in 0..20 {
        assert_eq!((random(&first), random(&second)), (401, 200));
    }
    assert_eq!(server.get(&format!("/update-key/{first}")).status, 401);
    let update = server.get(&format!("/update-key/{second}"));
    assert_eq!(
        (update.status, update.json()["message"].as_str()),
        (200, Some("API key updated successfully"))
    );
}

/// LMDB shows a commit's number some milliseconds before readers see the commit. A request in
/// between once read the old keys and filed them under the new number. Until the next commit the
/// old key stayed valid and the new one was refused.
#[test]
fn a_rotation_under_load_is_never_missed() {
    let space = with_an_image();
    let (server, mut key) = space.serve_with_key();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    server.get("/random?key=none");
                    // Only a key of the right form makes the server look at its keys.
                    server.get(&format!("/random?key={}", "a".repeat(64)));
                }
            });
        }
        let mut wrong = 0;
        for _ in 0..20 {
            let new = space.rotate(&[]);
            std::thread::sleep(Duration::from_millis(50));
            let statuses = [&key, &new].map(|key| server.get(&format!("/random?key={key}")).status);
            wrong += u32::from(statuses != [401, 200]);
            key = new;
        }
        done.store(true, Ordering::Relaxed);
        assert_eq!(wrong, 0, "of 20 rotations");
    });
}

#[test]
fn with_a_grace_both_keys_are_good_until_it_ends() {
    let space = with_an_image();
    let (server, first) = space.serve_with_key();
    let random = |key: &str| server.get(&format!("/random?key={key}")).status;
    let started = Instant::now();
    let second = space.rotate(&["--grace", "3s"]);
    assert_eq!((random(&first), random(&second)), (200, 200));
    wait_for("the grace is over", || random(&first) == 401);
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(random(&second), 200);
}

#[test]
fn an_added_key_works_until_it_expires_or_is_revoked() {
    let space = with_an_image();
    let (server, default) = space.serve_with_key();
    let random = |key: &str| server.get(&format!("/random?key={key}")).status;
    let brief = space
        .run(["key", "add", "--name", "brief", "--expires", "2s"])
        .expect(0)
        .stdout
        .trim()
        .to_owned();
    let other = space.run(["key", "add", "--name", "other"]).expect(0).stdout.trim().to_owned();
    assert_eq!([&default, &brief, &other].map(|key| random(key)), [200, 200, 200]);
    space.run(["key", "revoke", &other[..16]]).expect(0);
    assert_eq!(random(&other), 401);
    wait_for("the brief key ends", || random(&brief) == 401);
    assert_eq!(random(&default), 200);
}

/// Knowing an id must be enough neither to keep the server hashing nor to lock out a client whose
/// key was proven.
#[test]
fn wrong_secrets_are_throttled_and_a_proven_key_is_not() {
    let space = with_an_image();
    let (server, key) = space.serve_with_key();
    let wrong = format!("{}{}", &key[..16], "f".repeat(48));
    let unknown = "f".repeat(64);
    let ask = |key: &str| server.get(&format!("/random?key={key}"));
    for _ in 0..200 {
        assert_eq!(ask(&unknown).status, 401);
    }
    let throttled = (0..40)
        .map(|_| ask(&wrong))
        .find(|response| response.status == 429)
        .expect("it is throttled");
    assert_eq!(throttled.header("retry-after"), Some("1"));
    assert_eq!(throttled.json()["error"], "Too many requests");
    wait_for("the right key is let in", || ask(&key).status == 200);
    // From now on a comparison is enough to refuse a wrong secret.
    for _ in 0..40 {
        assert_eq!((ask(&wrong).status, ask(&key).status), (401, 200));
    }
}

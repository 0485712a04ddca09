//! Tests how galleries are opened, backed up and found damaged.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use crate::harness::{Failures, Workspace, on_each_engine, wait_for};
use crate::pictures::{noise, photo, save};

on_each_engine!(
    a_backup_is_a_gallery_of_its_own,
    a_missing_gallery_is_told_and_not_made,
    tags_and_removals_are_kept
);

fn fill(space: &Workspace, count: u32) {
    for seed in 0..count {
        save(photo(80, 60, seed), &space.picture(format!("{seed}.png")));
    }
    assert_eq!(space.import()["failed"], 0);
}

fn a_backup_is_a_gallery_of_its_own(space: &Workspace) {
    fill(space, 5);
    let key = space.rotate(&[]);
    let images = space.list();
    space.run(["backup", "copy.pool"]).expect(0);
    space.run(["backup", "copy.pool"]).expect(1).complains_of(&["copy.pool exists", "--force"]);
    space.run(["backup", "--force", "copy.pool"]).expect(0);
    space.run(["backup", "no/folder/copy.pool"]).expect(1).complains_of(&["no/folder/copy.pool"]);
    let piped = space.command().args(["backup", "-"]).output().unwrap();
    assert!(piped.status.success());
    fs::write(space.path("piped.pool"), piped.stdout).unwrap();

    let mut failures = Failures::new();
    for copy in ["copy.pool", "piped.pool"] {
        failures.check(copy, || {
            let listed = space.run(["--gallery", copy, "list", "--json"]).expect(0).json();
            assert_eq!(listed.as_array().unwrap(), &images);
            assert_eq!(space.run(["--gallery", copy, "verify", "--deep"]).expect(0).stdout, "");
            let keys = space.run(["--gallery", copy, "key", "list", "--json"]).expect(0).json();
            assert_eq!(keys[0]["id"], key[..16]);
        });
    }
    let leftovers: Vec<_> = fs::read_dir(space.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert_eq!(leftovers, [""; 0]);
}

/// `/dev/null` was once replaced by a backup.
#[test]
fn a_backup_replaces_backups_alone() {
    let space = Workspace::with_photos(8);
    space.import();
    let picture = space.path("pictures/0.png");
    symlink(&picture, space.path("link")).unwrap();
    let fifo = space.path("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let before = fs::read(&picture).unwrap();
    for (target, word) in [("link", "regular file"), ("fifo", "regular file")]
        .into_iter()
        .chain([("pictures", "regular file"), ("pictures/0.png", "no gallery")])
    {
        space.run(["backup", "--force", target]).expect(1).complains_of(&[target, word]);
    }
    assert_eq!(fs::read(&picture).unwrap(), before);
    assert!(!fs::symlink_metadata(fifo).unwrap().is_file());
    // What a full disk left of a backup is no reason to stop.
    fs::write(space.path("copy.pool"), "").unwrap();
    space.run(["backup", "--force", "copy.pool"]).expect(0);

    let mut command = space.command();
    command.args(["backup", "-"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1), "nobody has that backup");
}

/// A server whose gallery is replaced would go on with a file that has no name any more.
#[test]
fn nothing_is_written_over_the_gallery_itself() {
    let space = Workspace::file();
    fill(&space, 1);
    symlink("gallery.pool", space.path("alias")).unwrap();
    let mut failures = Failures::new();
    for target in ["gallery.pool", "./gallery.pool", "gallery.pool-lock", "alias"] {
        failures.check(target, || {
            let words = [target, "the gallery itself"];
            space.run(["backup", "--force", target]).expect(1).complains_of(&words);
            space.run(["serve", "--log-file", target]).expect(2).complains_of(&words);
        });
    }
    space.assert_verified();
}

#[test]
fn a_backup_during_an_import_is_consistent() {
    let space = Workspace::file();
    for seed in 0..30 {
        save(noise(400, 400, seed), &space.picture(format!("{seed}.bmp")));
    }
    fs::create_dir(space.path("none")).unwrap();
    space.run(["import", "none"]).expect(0);
    let (server, key) = space.serve_with_key();
    let mut import = space.command();
    import.args(["import", "--quiet", "pictures"]).stdin(Stdio::null());
    let mut import = import.spawn().unwrap();
    let mut counts = Vec::new();
    for round in 0.. {
        let copy = format!("copy-{round}.pool");
        space.run(["backup", &copy]).expect(0);
        let listed = space.run(["--gallery", &copy, "list", "--json"]).expect(0).json();
        counts.push(listed.as_array().unwrap().len());
        assert_eq!(space.run(["--gallery", &copy, "verify"]).expect(0).stdout, "");
        assert_eq!(space.run(["verify"]).expect(0).stdout, "", "while it is imported into");
        space.run(["list"]).expect(0);
        if import.try_wait().unwrap().is_some() {
            break;
        }
    }
    assert!(import.wait().unwrap().success());
    assert!(counts.is_sorted(), "{counts:?}");
    assert_eq!(space.ids().len(), 30);
    assert_eq!(server.get(&format!("/random?key={key}")).status, 200);
}

fn a_missing_gallery_is_told_and_not_made(space: &Workspace) {
    let mut failures = Failures::new();
    for command in ["list", "stats", "verify", "backup x", "key list", "key rotate"] {
        failures.check(command, || {
            let refused = space.run(command.split(' ')).expect(1);
            refused.complains_of(&["there is no gallery at", "import"]);
        });
    }
    assert_eq!(fs::read_dir(space.dir.path()).unwrap().count(), 1, "a command made a gallery");
}

fn tags_and_removals_are_kept(space: &Workspace) {
    fill(space, 3);
    let ids = space.ids();
    space.run(["tag", &ids[0], &ids[1], "+sea", "+calm"]).expect(0);
    space.run(["tag", &ids[1], "-sea", "-never there"]).expect(0);
    let tags = |id: &str| space.run(["show", id, "--json"]).expect(0).json()["tags"].clone();
    assert_eq!([tags(&ids[0]), tags(&ids[1])], [json!(["calm", "sea"]), json!(["calm"])]);
    let tagged = space.run(["list", "--json", "--tag", "calm", "--tag", "-sea"]).expect(0).json();
    assert_eq!((tagged.as_array().unwrap().len(), &tagged[0]["id"]), (1, &ids[1].clone().into()));

    let unknown = "0".repeat(32);
    space.run(["remove", &ids[0], &unknown]).expect(1).complains_of(&[&unknown, "1 removed"]);
    assert_eq!(space.ids().len(), 2);
    space.assert_verified();
    // What a person removed stays away until it is asked for, and then has its tags again.
    let again = space.import();
    assert_eq!((&again["imported"], &again["removed_before"]), (&json!(0), &json!(1)));
    space.run(["import", "--again", "pictures"]).expect(0);
    assert_eq!((space.ids().len(), tags(&ids[0])), (3, json!(["calm", "sea"])));
    space.assert_verified();
}

#[test]
fn what_is_no_gallery_is_told_and_left_alone() {
    let space = Workspace::file();
    fill(&space, 40);
    let whole = fs::read(space.gallery_file()).unwrap();
    fs::create_dir(space.path("folder")).unwrap();
    let words = b"These are only words, and more than a header of them.";
    let mut failures = Failures::new();
    for (name, content, error) in [
        ("empty", &b""[..], &["not an imagepool gallery"][..]),
        ("text", words, &["not an imagepool gallery"]),
        ("short", &whole[..15], &["not an imagepool gallery"]),
        ("zeros", &[0; 8192], &["not an imagepool gallery"]),
        ("cut", &whole[..whole.len() / 3], &["truncated", "backup"]),
        ("header-only", &whole[..8192], &["truncated"]),
        ("newer", &of_format_2(&whole), &["version 2"]),
    ] {
        fs::write(space.path(name), content).unwrap();
        let serve = "serve --listen 127.0.0.1:0";
        for command in ["list", "verify", "key rotate", serve, "import pictures"] {
            failures.check(format!("{command} with {name}"), || {
                let arguments = ["--gallery", name].into_iter().chain(command.split(' '));
                let mut refused = space.run(arguments).expect(1);
                // What is found to be damaged is a result.
                refused.stderr.push_str(&refused.stdout);
                refused.complains_of(&[&[name], error].concat());
                assert_eq!(fs::read(space.path(name)).unwrap(), content, "it was changed");
            });
        }
    }
    space.run(["--gallery", "folder", "list"]).expect(1).complains_of(&["folder", "sled:"]);
    let nowhere = space.run(["--gallery", "no/folder/x.pool", "import", "pictures"]).expect(1);
    nowhere.complains_of(&["does not exist"]);
    symlink("unmounted/x.pool", space.path("link.pool")).unwrap();
    for command in ["list", "import pictures", "verify"] {
        let arguments = ["--gallery", "link.pool"].into_iter().chain(command.split(' '));
        space.run(arguments).expect(1).complains_of(&["link.pool", "leads nowhere"]);
    }
}

/// LMDB writes over pages that its list of free pages names, whatever lies there. A server that
/// made the first key wrote without a look at the list.
#[test]
fn nothing_is_written_where_the_list_of_free_pages_is_damaged() {
    let space = Workspace::file();
    fill(&space, 10);
    let id = space.ids().swap_remove(0);
    for tag in ["+a", "+b", "+c"] {
        space.run(["tag", &id, tag]).expect(0);
    }
    let mut bytes = fs::read(space.gallery_file()).unwrap();
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    // Of the two meta pages, the one with the higher transaction counts.
    let meta = if number(144) > number(4096 + 144) { 0 } else { 4096 };
    let root = usize::try_from(number(meta + 80)).unwrap() * 4096;
    bytes[root + 16..root + 64].fill(0xFF);
    fs::write(space.gallery_file(), &bytes).unwrap();
    for command in ["key rotate", "serve --listen 127.0.0.1:0", "import pictures", "remove ID"] {
        let arguments = command.split(' ').map(|word| if word == "ID" { &id } else { word });
        space.run(arguments).expect(1).complains_of(&["gallery.pool", "free pages"]);
        assert!(fs::read(space.gallery_file()).unwrap() == bytes, "{command} changed it");
    }
}

/// The gallery with its format version changed from 1 to 2.
fn of_format_2(gallery: &[u8]) -> Vec<u8> {
    let mut newer = gallery.to_vec();
    let version_1 = b"format\x01\0\0\0";
    // LMDB leaves old copies of a page behind.
    while let Some(at) = newer.windows(version_1.len()).position(|window| window == version_1) {
        newer[at + 6] = 2;
    }
    newer
}

#[test]
fn damaged_bytes_are_found_and_never_served() {
    let space = Workspace::file();
    save(noise(300, 300, 1), &space.picture("a.png"));
    save(photo(300, 300, 1), &space.picture("b.png"));
    let (server, key) = space.serve_with_key();
    drop(server);
    let list = space.list();
    let damaged =
        list.iter().max_by_key(|image| image["bytes"].as_u64()).unwrap()["id"].as_str().unwrap();
    let stored = space.stored(damaged);
    let mut file = fs::read(space.gallery_file()).unwrap();
    let at = find(&file, &stored[..64]) + stored.len() / 2;
    file[at] ^= 1;
    fs::write(space.gallery_file(), file).unwrap();

    let verified = space.run(["verify"]).expect(1);
    assert_eq!(verified.stdout, format!("{damaged}: its bytes are not those that its id names\n"));
    let json = space.run(["verify", "--json"]).expect(1).json();
    assert_eq!(json["problems"][0]["subject"], damaged);

    let server = space.serve();
    for _ in 0..30 {
        let response = server.get(&format!("/random?key={key}"));
        assert_eq!(response.status, 200);
        assert_ne!(response.header("x-image-id"), Some(damaged));
    }
    let response = server.get(&format!("/images/{damaged}?key={key}"));
    assert_eq!(
        (response.status, response.json()["error"].as_str()),
        (500, Some("Internal server error"))
    );
    wait_for("the log names the image", || server.log().contains(&format!("id={damaged}")));
    assert_eq!(server.get("/healthz").status, 200, "the other image is whole");
    // What the log advises helps, and without a removal, whose mark would keep the picture out.
    assert!(server.log().contains("import its picture again, which mends it"), "{}", server.log());
    assert_eq!(space.import()["mended"], 1);
    let path = format!("/images/{damaged}?key={key}");
    wait_for("the mended image is served", || server.get(&path).status == 200);
}

/// A process that touches a page behind the end of a mapped file ends with SIGBUS.
#[test]
fn a_gallery_that_lost_its_last_pages_is_refused_or_reported_and_crashes_nobody() {
    let space = Workspace::file();
    for seed in 0..20 {
        save(noise(120, 120, seed), &space.picture(format!("{seed}.png")));
    }
    space.import();
    let whole = fs::read(space.gallery_file()).unwrap();
    let ids = space.ids();
    let mut failures = Failures::new();
    for lost in [1, 4096, 3 * 4096, 8 * 4096, 30 * 4096, whole.len() / 2, whole.len() - 9000] {
        failures.check(format!("without the last {lost} bytes"), || {
            fs::write(space.gallery_file(), &whole[..whole.len() - lost]).unwrap();
            let verified = space.run(["verify"]);
            let listed = space.run(["list", "--json"]);
            if verified.code == Some(0) {
                // Nothing in the lost pages was in use, so nothing may be missing.
                assert_eq!(listed.expect(0).json().as_array().unwrap().len(), ids.len());
                for id in &ids {
                    assert_eq!(blake3::hash(&space.stored(id)).to_hex()[..32], *id);
                }
                return;
            }
            let verified = verified.expect(1);
            assert!(verified.stdout.contains("file: truncated"), "{}", verified.stdout);
            verified.complains_of(&["can be had", "backup", "salvage"]);
            listed.expect(1).complains_of(&["truncated", "backup", "salvage"]);
        });
    }
    let half = &whole[..whole.len() / 2];
    fs::write(space.gallery_file(), half).unwrap();
    space.run(["verify"]).expect(1);
    let import = space.run(["import", "pictures"]).expect(1);
    import.complains_of(&["gallery.pool"]);
    assert_eq!(fs::read(space.gallery_file()).unwrap(), half, "import wrote into it");
}

/// LMDB trusts its pages, so that a walk over damaged ones might crash. `verify` reads them itself.
#[test]
fn verify_survives_pages_of_rubbish() {
    let space = Workspace::file();
    fill(&space, 40);
    let ids = space.ids();
    let whole = fs::read(space.gallery_file()).unwrap();
    let mut found = 0;
    let mut failures = Failures::new();
    for page in 2..whole.len() / 4096 {
        failures.check(format!("page {page}"), || {
            let mut file = whole.clone();
            file[page * 4096..page * 4096 + 64].fill(0xA5);
            fs::write(space.gallery_file(), &file).unwrap();
            let verified = space.run(["verify"]);
            // Pages that no tree uses any more may hold anything.
            if verified.code == Some(0) {
                let _ = fs::remove_dir_all(space.path("all"));
                space.run(["export", "--all", "all"]).expect(0);
                assert_eq!(fs::read_dir(space.path("all")).unwrap().count(), ids.len());
                return;
            }
            let verified = verified.expect(1);
            found += 1;
            assert!(verified.stdout.contains(&format!("page {page}")), "{}", verified.stdout);
            verified.complains_of(&["can be had", "can't"]);
        });
    }
    assert!(found * 4 > whole.len() / 4096, "only {found} pages were found to be damaged");
}

#[cfg(feature = "sled")]
#[test]
fn a_sled_gallery_admits_one_process_and_says_so() {
    let space = Workspace::new(crate::harness::Engine::Sled);
    fill(&space, 1);
    let _server = space.serve();
    let mut failures = Failures::new();
    for command in ["list", "key rotate", "import pictures"] {
        failures.check(command, || {
            let refused = space.run(command.split(' ')).expect(1);
            refused.complains_of(&["gallery.sled", "in use by another process", "file engine"]);
        });
    }
    fs::write(space.path("file"), "words").unwrap();
    for (locator, words) in
        [("sled:pictures", "a folder of other things"), ("sled:file", "a sled gallery is a folder")]
    {
        failures.check(locator, || {
            let refused = space.run(["--gallery", locator, "import", "pictures"]).expect(1);
            refused.complains_of(&[words]);
        });
    }
}

/// Nothing enforces the limit yet, so that such a key must open nothing.
#[test]
fn a_key_that_is_limited_to_tags_is_refused() {
    let space = Workspace::file();
    fill(&space, 1);
    let key = space.run(["key", "add", "--name", "one", "--only-tag", "sea"]).expect(0).stdout;
    let server = space.serve();
    assert_eq!(server.get(&format!("/random?key={}", key.trim())).status, 401);
    let rotated = space.rotate(&["--name", "one"]);
    assert_eq!(server.get(&format!("/random?key={rotated}")).status, 401);
    let sign = ["key", "sign", "--name", "one", "--expires", "1h", "/random"];
    space.run(sign).expect(1).complains_of(&["one", "limited to tags"]);
}

/// `migrations/` keeps a gallery of each format version, and every imagepool opens them all.
#[test]
fn galleries_of_every_format_version_open() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let galleries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "pool"))
        .collect();
    assert!(!galleries.is_empty());
    let mut failures = Failures::new();
    for golden in galleries {
        failures.check(golden.display(), || {
            let space = Workspace::file();
            fs::copy(&golden, space.gallery_file()).unwrap();
            space.assert_verified();
            let images = space.list();
            assert_eq!(images.len(), if golden.ends_with("v0.pool") { 3 } else { 4 });
            assert!(images.iter().any(|image| image["tags"] == json!(["abstract", "golden"])));
            let key = "0123456789abcdef".repeat(4);
            let server = space.serve();
            assert_eq!(server.get(&format!("/random-image/{key}")).status, 200);
            if golden.ends_with("v1.pool") {
                let kept = images.iter().find(|image| image["source"] == "hills/kept.png");
                assert_eq!(kept.unwrap()["tags"], json!(["golden"]), "a tag was refused");
                let keys = space.run(["key", "list", "--json"]).expect(0).json();
                assert_eq!(keys[1]["only_tags"], json!(["golden"]), "{keys}");
                let removed = "9543cda52eafedcaa9e0778772956331";
                let words = [removed, "/golden/pictures/sea/removed.png"];
                space.run(["restore-image", removed]).expect(1).complains_of(&words);
            }
        });
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).position(|window| window == needle).expect("the bytes are there")
}

/// A mistyped path once left an empty gallery behind, which was then served.
#[test]
fn a_command_that_can_do_nothing_makes_no_gallery() {
    let space = Workspace::file();
    save(photo(80, 60, 1), &space.picture("1.png"));
    fs::write(space.path("words"), "words").unwrap();
    let mut failures = Failures::new();
    for (command, code, words) in [
        ("import nowhere", 1, &["nowhere", "no gallery was made"][..]),
        ("import nowhere no/where", 1, &["nowhere: ", "no/where: "]),
        ("import --prune --json nowhere", 1, &["nowhere"]),
        ("import --delete-originals nowhere", 1, &["nowhere"]),
        ("import --dry-run nowhere", 1, &["nowhere"]),
        ("import --report no/report pictures", 1, &["no/report"]),
        ("import --report words pictures", 2, &["is no report"]),
        ("import --report gallery.pool pictures", 2, &["gallery will be", "--report"]),
        ("serve --listen 192.0.2.1:1", 1, &["192.0.2.1:1"]),
        ("serve --listen 127.0.0.1:0 --tls-cert words --tls-key words", 1, &["words"]),
        ("key import nowhere", 1, &["nowhere"]),
        ("key import words", 1, &["holds no key"]),
    ] {
        failures.check(command, || {
            let ended = space.run(command.split(' ')).expect(code);
            ended.complains_of(words);
            let names = fs::read_dir(space.dir.path()).unwrap();
            let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names.len(), 2, "{names:?}");
        });
    }
    // One path that can be read is enough.
    space.run(["import", "nowhere", "pictures"]).expect(1).complains_of(&["nowhere", "1 imported"]);
    assert_eq!(space.ids().len(), 1);
}

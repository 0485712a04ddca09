//! Galleries: opening, damage, backups, formats.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::harness::{Workspace, on_each_engine, wait_for};
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

    for copy in ["copy.pool", "piped.pool"] {
        let listed = space.run(["--gallery", copy, "list", "--json"]).expect(0).json();
        assert_eq!(listed.as_array().unwrap(), &images);
        assert_eq!(space.run(["--gallery", copy, "verify", "--deep"]).expect(0).stdout, "");
        let keys = space.run(["--gallery", copy, "key", "list", "--json"]).expect(0).json();
        assert_eq!(keys[0]["id"], key[..16]);
    }
    let leftovers: Vec<_> = fs::read_dir(space.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert_eq!(leftovers, [""; 0]);
}

/// A gallery replaced under a running server would leave that server with a file without a name.
#[test]
fn nothing_is_written_over_the_gallery_itself() {
    let space = Workspace::file();
    fill(&space, 1);
    std::os::unix::fs::symlink("gallery.pool", space.path("alias")).unwrap();
    for target in ["gallery.pool", "./gallery.pool", "gallery.pool-lock", "alias"] {
        space
            .run(["backup", "--force", target])
            .expect(1)
            .complains_of(&[target, "the gallery itself"]);
        space
            .run(["serve", "--log-file", target])
            .expect(2)
            .complains_of(&[target, "the gallery itself"]);
    }
    space.assert_verified();
}

#[test]
fn a_backup_during_an_import_is_consistent() {
    let space = Workspace::file();
    for seed in 0..30 {
        save(noise(400, 400, seed), &space.picture(format!("{seed}.bmp")));
    }
    let (server, key) = {
        fs::create_dir(space.path("none")).unwrap();
        space.run(["import", "none"]).expect(0);
        space.serve_with_key()
    };
    let mut import = space
        .command()
        .args(["import", "--quiet", "pictures"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut seen = Vec::new();
    for round in 0.. {
        let copy = format!("copy-{round}.pool");
        space.run(["backup", &copy]).expect(0);
        seen.push(
            space
                .run(["--gallery", &copy, "list", "--json"])
                .expect(0)
                .json()
                .as_array()
                .unwrap()
                .len(),
        );
        assert_eq!(space.run(["--gallery", &copy, "verify"]).expect(0).stdout, "");
        if import.try_wait().unwrap().is_some() {
            break;
        }
    }
    assert!(import.wait().unwrap().success());
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!(space.ids().len(), 30);
    assert_eq!(server.get(&format!("/random?key={key}")).status, 200);
}

fn a_missing_gallery_is_told_and_not_made(space: &Workspace) {
    for command in [
        &["list"][..],
        &["stats"],
        &["verify"],
        &["backup", "x"],
        &["key", "list"],
        &["key", "rotate"],
    ] {
        space.run(command).expect(1).complains_of(&["there is no gallery at", "import"]);
    }
    assert_eq!(fs::read_dir(space.dir.path()).unwrap().count(), 1, "a command made a gallery");
}

fn tags_and_removals_are_kept(space: &Workspace) {
    fill(space, 3);
    let ids = space.ids();
    space.run(["tag", &ids[0], &ids[1], "+sea", "+calm"]).expect(0);
    space.run(["tag", &ids[1], "-sea", "-never there"]).expect(0);
    let tags = |id: &str| space.run(["show", id, "--json"]).expect(0).json()["tags"].clone();
    assert_eq!(
        [tags(&ids[0]), tags(&ids[1])],
        [serde_json::json!(["calm", "sea"]), serde_json::json!(["calm"])]
    );
    let tagged = space.run(["list", "--json", "--tag", "calm", "--tag", "-sea"]).expect(0).json();
    assert_eq!((tagged.as_array().unwrap().len(), &tagged[0]["id"]), (1, &ids[1].clone().into()));

    let unknown = "0".repeat(32);
    space.run(["remove", &ids[0], &unknown]).expect(1).complains_of(&[&unknown, "1 removed"]);
    assert_eq!(space.ids().len(), 2);
    space.assert_verified();
    // Its source is not known any more, so it can be imported again.
    assert_eq!(space.import()["imported"], 1);
}

#[test]
fn what_is_no_gallery_is_told_and_left_alone() {
    let space = Workspace::file();
    fill(&space, 40);
    let whole = fs::read(space.gallery_file()).unwrap();
    let mut newer = whole.clone();
    // LMDB leaves old copies of a page behind.
    let written = b"format\x01\0\0\0";
    while let Some(format) = newer.windows(written.len()).position(|window| window == written) {
        newer[format + 6] = 2;
    }
    fs::create_dir(space.path("folder")).unwrap();
    for (name, content, words) in [
        ("empty", &b""[..], &["empty", "not an imagepool gallery"][..]),
        (
            "text",
            b"These are only words, and more than a header of them.",
            &["text", "not an imagepool gallery"],
        ),
        ("short", &whole[..15], &["short", "not an imagepool gallery"]),
        ("zeros", &[0; 8192], &["zeros", "not an imagepool gallery"]),
        ("cut", &whole[..whole.len() / 3], &["cut", "truncated", "backup"]),
        ("header-only", &whole[..8192], &["header-only", "truncated"]),
        ("newer", &newer, &["newer", "version 2"]),
    ] {
        fs::write(space.path(name), content).unwrap();
        for command in
            [&["list"][..], &["verify"], &["key", "rotate"], &["serve", "--listen", "127.0.0.1:0"]]
        {
            let ended = space.run([&["--gallery", name], command].concat()).expect(1);
            ended.complains_of(words);
            assert_eq!(fs::read(space.path(name)).unwrap(), content, "{command:?} changed {name}");
        }
    }
    space.run(["--gallery", "folder", "list"]).expect(1).complains_of(&["folder", "sled:"]);
    space
        .run(["--gallery", "no/folder/x.pool", "import", "pictures"])
        .expect(1)
        .complains_of(&["does not exist"]);
    for text in ["text", "zeros"] {
        let content = fs::read(space.path(text)).unwrap();
        space
            .run(["--gallery", text, "import", "pictures"])
            .expect(1)
            .complains_of(&["not an imagepool gallery"]);
        assert_eq!(fs::read(space.path(text)).unwrap(), content);
    }
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
        let answer = server.get(&format!("/random?key={key}"));
        assert_eq!(answer.status, 200);
        assert_ne!(answer.header("x-image-id"), Some(damaged));
    }
    let answer = server.get(&format!("/images/{damaged}?key={key}"));
    assert_eq!(
        (answer.status, answer.json()["error"].as_str()),
        (500, Some("Internal server error"))
    );
    wait_for("the log names the image", || server.log().contains(&format!("id={damaged}")));
    assert_eq!(server.get("/healthz").status, 200, "the other image is whole");
}

/// Touching a page behind the end of a map ends a process with SIGBUS.
#[test]
fn a_gallery_that_lost_its_last_pages_is_refused_or_reported_and_crashes_nobody() {
    let space = Workspace::file();
    for seed in 0..20 {
        save(noise(120, 120, seed), &space.picture(format!("{seed}.png")));
    }
    space.import();
    let whole = fs::read(space.gallery_file()).unwrap();
    let mut refused = 0;
    for lost in [1, 4096, 3 * 4096, 8 * 4096, 30 * 4096, whole.len() / 2] {
        fs::write(space.gallery_file(), &whole[..whole.len() - lost]).unwrap();
        let verified = space.run(["verify"]);
        assert!(!verified.stderr.contains("crashed"), "{}", verified.stderr);
        match (verified.code, space.run(["list"])) {
            // The last pages may hold nothing that is in use; then nothing may be missing.
            (Some(0), listed) => {
                listed.expect(0);
                for id in space.ids() {
                    assert_eq!(blake3::hash(&space.stored(&id)).to_hex()[..32], id);
                }
            }
            (_, listed) if listed.code == Some(0) => {}
            (_, listed) => {
                listed.complains_of(&["backup"]);
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
}

/// LMDB trusts its pages: a walk over damaged ones may crash. `verify` reports that too.
#[test]
fn verify_survives_pages_of_rubbish() {
    let space = Workspace::file();
    fill(&space, 40);
    let whole = fs::read(space.gallery_file()).unwrap();
    for page in 2..whole.len() / 4096 {
        let mut file = whole.clone();
        file[page * 4096..page * 4096 + 64].fill(0xA5);
        fs::write(space.gallery_file(), &file).unwrap();
        let ended = space.run(["verify"]);
        // Pages that no tree uses any more may hold anything.
        assert!(
            matches!(ended.code, Some(0 | 1)),
            "page {page}: {:?} {}",
            ended.code,
            ended.stderr
        );
        assert!(
            ended.code == Some(0) || !ended.stdout.is_empty() || ended.stderr.contains("error:"),
            "page {page}"
        );
    }
}

#[cfg(feature = "sled")]
#[test]
fn a_sled_gallery_admits_one_process_and_says_so() {
    let space = Workspace::new(crate::harness::Engine::Sled);
    fill(&space, 1);
    let _server = space.serve();
    for command in [&["list"][..], &["key", "rotate"], &["import", "pictures"]] {
        space.run(command).expect(1).complains_of(&[
            "gallery.sled",
            "in use by another process",
            "file engine",
        ]);
    }
    fs::write(space.path("file"), "words").unwrap();
    for (locator, words) in
        [("sled:pictures", "a folder of other things"), ("sled:file", "a sled gallery is a folder")]
    {
        space.run(["--gallery", locator, "import", "pictures"]).expect(1).complains_of(&[words]);
    }
}

/// `migrations/` keeps a gallery of each format version; every imagepool opens them all.
#[test]
fn galleries_of_every_format_version_open() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let galleries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "pool"))
        .collect();
    assert!(!galleries.is_empty());
    for golden in galleries {
        let space = Workspace::file();
        fs::copy(&golden, space.gallery_file()).unwrap();
        space.assert_verified();
        let images = space.list();
        assert_eq!(images.len(), 3, "{}", golden.display());
        assert!(
            images.iter().any(|image| image["tags"] == serde_json::json!(["abstract", "golden"]))
        );
        let key = "0123456789abcdef".repeat(4);
        let server = space.serve();
        assert_eq!(server.get(&format!("/random-image/{key}")).status, 200, "{}", golden.display());
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).position(|window| window == needle).expect("the bytes are there")
}

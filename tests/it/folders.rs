//! Tests what `import` leaves out of a folder, and what it says of what it left out.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Failures, Workspace, on_each_engine, wait_for};
use crate::pictures::{photo, save};

on_each_engine!(
    rubbish_is_left_out_unless_it_is_asked_for,
    a_new_pattern_takes_images_away_with_prune_alone,
);

/// Imports with a report. Returns the summary, and status and reason by path.
#[track_caller]
fn import(space: &Workspace, flags: &[&str]) -> (Value, BTreeMap<String, (String, String)>) {
    let arguments = [&["import", "--json", "--report", "r"], flags, &["pictures"]].concat();
    let summary = space.run(&arguments).json();
    let report = fs::read_to_string(space.path("r")).unwrap();
    let lines = report.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let words = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let found =
        lines.map(|line| (words(&line["path"]), (words(&line["status"]), words(&line["reason"]))));
    (summary, found.collect())
}

/// Paths of the images' sources below `pictures`, sorted.
fn sources(space: &Workspace) -> Vec<String> {
    let mut sources: Vec<_> =
        space.list().iter().map(|image| image["source"].as_str().unwrap().to_owned()).collect();
    sources.sort();
    sources
}

/// Saves a picture that no other call with another seed makes.
fn picture(space: &Workspace, name: &str, seed: u32) {
    save(photo(40, 30, seed), &space.picture(name));
}

fn rubbish_is_left_out_unless_it_is_asked_for(space: &Workspace) {
    let rubbish = [
        ("@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "@eaDir", "@eaDir"),
        ("sub/#recycle/b.jpg", "sub/#recycle", "#recycle"),
        (".Trash-1000/files/c.jpg", ".Trash-1000", ".Trash-*"),
        ("$Recycle.Bin/S-1-5/d.jpg", "$Recycle.Bin", "$RECYCLE.BIN"),
        ("DCIM/.thumbnails/e.jpg", "DCIM/.thumbnails", ".thumbnails"),
        (".stversions/f.jpg", ".stversions", ".stversions"),
        ("DCIM/.trashed-1700000000-g.jpg", "DCIM/.trashed-1700000000-g.jpg", ".trashed-*"),
        ("DCIM/.pending-1700000000-h.jpg", "DCIM/.pending-1700000000-h.jpg", ".pending-*"),
        ("private/deep/i.jpg", "private", ".nomedia"),
        ("notes/j.jpg", "notes/j.jpg", "*.jpg in pictures/notes/.ignore"),
        ("sub/._k.jpg", "sub/._k.jpg", "._*"),
    ];
    for (seed, (file, ..)) in (0..).zip(rubbish) {
        picture(space, file, seed);
    }
    fs::write(space.picture("private/.nomedia"), "").unwrap();
    fs::write(space.picture("notes/.ignore"), "# drafts\n*.jpg\n!kept.jpg\n").unwrap();
    let kept = [".hidden/m.jpg", "a.jpg", "notes/deep/kept.jpg", "recycle/n.jpg"];
    for (seed, name) in (100..).zip(kept) {
        picture(space, name, seed);
    }
    let (summary, report) = import(space, &[]);
    assert_eq!(sources(space), kept);
    assert_eq!(
        [&summary["imported"], &summary["excluded"], &summary["failed"]],
        [&json!(kept.len()), &json!(rubbish.len()), &json!(0)],
        "{report:?}"
    );
    let mut failures = Failures::new();
    for (file, left_out, pattern) in rubbish {
        failures.check(file, || {
            let (status, reason) = &report[&format!("pictures/{left_out}")];
            assert_eq!(status, "excluded");
            assert!(reason.contains(pattern), "{reason}");
            assert!(reason.contains("--no-default-excludes"), "{reason}");
        });
    }
    // Who names a folder means it.
    let given = space.run(["import", "--json", "pictures/@eaDir", "pictures/private"]).expect(0);
    assert_eq!(given.json()["imported"], 2, "{}", given.stdout);
    let (summary, _) = import(space, &["--no-default-excludes"]);
    assert_eq!(summary["excluded"], 0);
    assert_eq!(sources(space).len(), kept.len() + rubbish.len());
}

fn a_new_pattern_takes_images_away_with_prune_alone(space: &Workspace) {
    picture(space, "a.jpg", 1);
    picture(space, "raw/b.jpg", 2);
    picture(space, "raw/deep/c.jpg", 3);
    picture(space, "drafts/d.jpg", 4);
    picture(space, "both/e.jpg", 5);
    fs::copy(space.picture("both/e.jpg"), space.picture("raw/e.jpg")).unwrap();
    let _ = import(space, &[]);
    assert_eq!(space.ids().len(), 5);
    // Without the flag every image stays.
    let (summary, _) = import(space, &["--exclude", "raw"]);
    assert_eq!((&summary["excluded"], &summary["removed"]), (&json!(1), &json!(0)));
    assert_eq!(space.ids().len(), 5);
    let (summary, report) = import(space, &["--exclude", "raw", "--prune"]);
    assert_eq!(summary["removed"], 2, "{report:?}");
    let (status, reason) = &report["pictures/raw"];
    assert_eq!((status.as_str(), reason.as_str()), ("excluded", "left out by --exclude raw"));
    let left = sources(space);
    assert!(left.contains(&"a.jpg".into()) && left.len() == 3, "{left:?}");
    // The same holds for what a folder says of itself.
    fs::write(space.picture("drafts/.nomedia"), "").unwrap();
    assert_eq!(import(space, &["--prune"]).0["removed"], 1);
    space.assert_verified();
}

#[test]
fn patterns_are_given_by_flag_and_variable() {
    let space = Workspace::file();
    for (seed, name) in (0..).zip(["a.jpg", "b.gif", "c/d.gif", "c/e.png", "f/c/g.jpg", "h.PNG"]) {
        picture(&space, name, seed);
    }
    let mut failures = Failures::new();
    for (variable, flags, left) in [
        ("", &["--exclude", "*.gif"] as &[&str], &["a.jpg", "c/e.png", "f/c/g.jpg", "h.PNG"][..]),
        ("*.gif,*.{png,PNG}", &[], &["a.jpg", "f/c/g.jpg"]),
        ("*.gif", &["--exclude", "/c"], &["a.jpg", "b.gif", "f/c/g.jpg", "h.PNG"]),
        ("", &["--exclude", "c", "--exclude", "a.*,h.*"], &["b.gif"]),
    ] {
        failures.check(format!("{variable} {flags:?}"), || {
            let mut command = space.command();
            command.args(["import", "--dry-run", "--report", "r"]).args(flags).arg("pictures");
            if !variable.is_empty() {
                command.env("IMAGEPOOL_EXCLUDE", variable);
            }
            assert!(command.status().unwrap().success());
            let report = fs::read_to_string(space.path("r")).unwrap();
            let mut found: Vec<_> = report
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap())
                .filter(|line| line["status"] == "imported")
                .map(|line| line["path"].as_str().unwrap()["pictures/".len()..].to_owned())
                .collect();
            found.sort();
            assert_eq!(found, left);
        });
    }
    for bad in ["[", "*.{gif", "a,[z-a]"] {
        failures.check(bad, || {
            let refused = space.run(["import", "--exclude", bad, "pictures"]).expect(2);
            refused.complains_of(&[bad.trim_start_matches("a,"), "is no pattern"]);
            space.run(["serve", "--exclude", bad]).expect(2).complains_of(&["is no pattern"]);
        });
    }
    for nothing in ["", "..", "!", "a/../b", "/"] {
        failures.check(format!("{nothing:?}"), || {
            let refused = space.run(["import", "--exclude", nothing, "pictures"]).expect(2);
            refused.complains_of(&["no file is ever found by it"]);
        });
    }
    // A path on disk counts from the folder that is given.
    let given = space.path("pictures");
    let (given, below) = (given.to_str().unwrap(), space.picture("c"));
    let below = below.to_str().unwrap();
    let told = space.run(["import", "--dry-run", "--exclude", below, "pictures"]).expect(0);
    told.complains_of(&["4 would be imported", "1 left out;"]);
    for command in [
        &["import", "--exclude", given, given] as &[&str],
        &["import", "--exclude", below, "pictures", "pictures/f"],
        &["serve", "--exclude", given, "--import", given],
    ] {
        space.run(command).expect(2).complains_of(&["--exclude", "below the imported folder"]);
    }
    // A given file is left out by a pattern, too: shells write out `*`.
    space
        .run(["import", "--exclude", "*.gif", "pictures/b.gif"])
        .expect(0)
        .complains_of(&["skipped: pictures/b.gif: left out by --exclude *.gif"]);
}

/// Nobody knows what to leave out of a folder whose `.ignore` can't be read.
#[test]
fn a_folder_whose_rules_can_not_be_read_is_left_as_it_is() {
    let mut failures = Failures::new();
    for rules in ["a link", "no text", "no pattern", "too long", "too many patterns"] {
        failures.check(rules, || {
            let space = Workspace::file();
            picture(&space, "a.jpg", 1);
            picture(&space, "sub/b.jpg", 2);
            picture(&space, "sub/deep/c.jpg", 3);
            space.import();
            let file = space.picture("sub/.ignore");
            match rules {
                "a link" => symlink("../rules", &file).unwrap(),
                "no text" => fs::write(&file, b"*.jpg\n\xFF\n").unwrap(),
                "no pattern" => fs::write(&file, "*.jpg\n{a\n").unwrap(),
                "too long" => fs::write(&file, format!("#{}", " ".repeat(64 << 10))).unwrap(),
                _ => fs::write(&file, "*.jpg\n".repeat(1_001)).unwrap(),
            }
            fs::remove_file(space.picture("sub/b.jpg")).unwrap();
            picture(&space, "sub/new.jpg", 4);
            let (summary, report) = import(&space, &["--prune"]);
            assert_eq!(
                [&summary["failed"], &summary["removed"], &summary["imported"]],
                [&json!(1), &json!(0), &json!(0)]
            );
            let (status, reason) = &report["pictures/sub"];
            assert_eq!(status, "failed");
            assert!(reason.contains(".ignore can't be read"), "{reason}");
            let (summary, _) = import(&space, &["--delete-originals"]);
            assert_eq!(summary["originals_deleted"], 1);
            assert!(
                space.picture("sub/deep/c.jpg").exists() && space.picture("sub/new.jpg").exists()
            );
        });
    }
}

#[test]
fn a_watched_folder_leaves_out_the_same() {
    let space = Workspace::file();
    for (seed, name) in (0..).zip(["a.jpg", "raw/b.jpg", "@eaDir/c.jpg", "drafts/d.jpg"]) {
        picture(&space, name, seed);
    }
    let flags = ["--import", "pictures", "--watch", "--exclude", "raw"];
    let server = space.serve_with(&flags);
    wait_for("two are there", || sources(&space) == ["a.jpg", "drafts/d.jpg"]);
    fs::write(space.picture("drafts/.nomedia"), "").unwrap();
    wait_for("one has gone", || sources(&space) == ["a.jpg"]);
    picture(&space, "raw/e.jpg", 9);
    picture(&space, "f.jpg", 10);
    wait_for("another came", || sources(&space) == ["a.jpg", "f.jpg"]);
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn what_is_no_picture_is_told_on_the_terminal() {
    let space = Workspace::file();
    let make = |folder: &str| fs::create_dir_all(space.path(folder)).unwrap();
    make("empty/deep");
    make("texts/@eaDir");
    make("mixed");
    for number in 0..4 {
        fs::write(space.path(format!("texts/{number}.txt")), "a text").unwrap();
    }
    fs::write(space.path("texts/none.jpg"), "").unwrap();
    fs::write(space.path("mixed/a.txt"), "a text").unwrap();
    save(photo(40, 30, 1), &space.path("mixed/a.jpg"));
    symlink("a.jpg", space.path("mixed/link.jpg")).unwrap();
    fs::write(space.path("letter.txt"), "a text").unwrap();
    let mut failures = Failures::new();
    for (paths, code, words, not) in [
        (&["empty"] as &[&str], 0, &["no files below empty"] as &[&str], "no picture"),
        (&["picures"], 1, &["failed: picures: no such file or folder"], "No such"),
        (&["mixed", "picures"], 1, &["failed: picures: no such file or folder"], "no picture"),
        (&["letter.txt"], 0, &["skipped: letter.txt: not a picture"], "among"),
        (
            &["texts"],
            0,
            &[
                "there is no picture among what was found:",
                "4 x not a picture (texts/0.txt, texts/1.txt, texts/2.txt, ...)",
                "1 x an empty file (texts/none.jpg)",
                "1 x left out by default: @eaDir",
            ],
            "skipped",
        ),
        (&["mixed"], 0, &["1 symbolic link not followed", "1 not a picture,"], "among"),
    ] {
        failures.check(paths.join(" "), || {
            // The files may come in any order.
            let told = space.run([&["import", "--jobs", "1"], paths].concat()).expect(code);
            let sorted = told.stderr.replace("texts/3.txt", "texts/0.txt");
            assert!(!told.stderr.contains(not), "{}", told.stderr);
            for word in words {
                let word = word.split(" (texts").next().unwrap();
                assert!(sorted.contains(word), "{word:?} is not in {sorted:?}");
            }
            let quiet = space.run([&["--quiet", "import"], paths].concat()).expect(code);
            assert_eq!(quiet.stderr.is_empty(), code == 0, "{}", quiet.stderr);
        });
    }
}

/// A folder copied from a Mac gave the same tag twice, and neither was found by the other.
#[test]
fn tags_are_the_same_however_they_are_spelled() {
    let space = Workspace::file();
    let (composed, decomposed) = ("Caf\u{e9}", "Cafe\u{301}");
    picture(&space, &format!("{decomposed}/a.jpg"), 1);
    picture(&space, &format!("{composed}/b.jpg"), 2);
    space.run(["import", "--tag", decomposed, "pictures"]).expect(0);
    for image in space.list() {
        assert_eq!(image["tags"], json!([composed]));
        let kept = image["source"].as_str().unwrap();
        assert!(space.picture(kept).exists(), "{kept}: a file's name stays as it is");
    }
    let (server, key) = space.serve_with_key();
    let mut failures = Failures::new();
    for (spelling, escaped) in [(composed, "Caf%C3%A9"), (decomposed, "Cafe%CC%81")] {
        failures.check(spelling, || {
            assert_eq!(space.run(["list", "--tag", spelling]).expect(0).stdout.lines().count(), 2);
            let answer = server.get(&format!("/random?key={key}&tag={escaped}"));
            assert_eq!(answer.status, 200);
        });
    }
    let id = &space.ids()[0];
    space.run(["tag", id, &format!("-{decomposed}")]).expect(0);
    space.run(["tag", id, &format!("+{decomposed}x")]).expect(0);
    let tags = |image: &Value| image["tags"].clone();
    let image = space.list().into_iter().find(|image| image["id"] == **id).unwrap();
    assert_eq!(tags(&image), json!([format!("{composed}x")]));
}

#[test]
fn a_comma_of_any_script_separates_typed_tags() {
    let mut failures = Failures::new();
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/page.js")).unwrap();
    for comma in imagepool::image::COMMAS {
        failures.check(comma.escape_unicode(), || {
            let code = u32::from(comma);
            let spelled = match code {
                0x2C => "[,".into(),
                0x10000.. => format!("\\u{{{code:X}}}"),
                _ => format!("\\u{code:04X}"),
            };
            assert!(page.contains(&spelled), "the server's page does not know it");
        });
    }
    let space = Workspace::file();
    picture(&space, "one, two/a.jpg", 1);
    space.run(["import", "--tag", "海、山，空", "--tag", "بحر، سماء", "pictures"]).expect(0);
    let id = &space.ids()[0];
    space.run(["tag", id, "+sea,sky"]).expect(0);
    let mut expected = ["one, two", "sea", "sky", "بحر", "سماء", "山", "海", "空"];
    expected.sort_unstable();
    assert_eq!(space.list()[0]["tags"], json!(expected));
    let mut command = space.command();
    command.args(["import", "--no-dir-tags", "pictures"]).env("IMAGEPOOL_TAG", "x,y");
    assert!(command.status().unwrap().success());
    let tags = space.list()[0]["tags"].to_string();
    assert!(tags.contains("\"x\"") && tags.contains("\"y\""), "{tags}");
    assert!(tags.contains("one, two"), "a folder's name is one tag: {tags}");
}

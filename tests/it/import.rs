//! Tests which images `import` makes of pictures.
//!
//! `kinds` has the formats one by one, `report` what is reported, and `originals` the flags that
//! look at source files afterwards.

use std::fs;

use image::{DynamicImage, Rgb, RgbImage};
use serde_json::json;

use crate::harness::{Failures, Signal, Workspace, on_each_engine, send_signal, wait_for};
use crate::pictures::{
    animation, decode, exif, half_transparent, jpeg, noise, photo, save, webp, webp_with_exif,
    with_exif,
};

on_each_engine!(
    every_format_is_imported_and_decodes_at_its_size,
    importing_again_stores_nothing_and_decodes_nothing,
    copies_are_stored_once_with_the_tags_of_each,
    folders_and_flags_give_tags,
    another_quality_replaces_the_image,
    a_dry_run_changes_nothing,
    names_that_collide_are_both_stored,
);

fn every_format_is_imported_and_decodes_at_its_size(space: &Workspace) {
    let picture = DynamicImage::from(photo(60, 40, 1));
    save(photo(61, 41, 2), &space.picture("rgb.png"));
    save(half_transparent(62, 42), &space.picture("rgba.png"));
    save(
        picture.resize_exact(63, 43, image::imageops::FilterType::Triangle).into_luma8(),
        &space.picture("grey.png"),
    );
    save(
        picture.resize_exact(64, 44, image::imageops::FilterType::Triangle).into_rgb16(),
        &space.picture("deep.png"),
    );
    save(photo(65, 45, 3), &space.picture("photo.jpg"));
    save(photo(66, 46, 4), &space.picture("still.gif"));
    save(photo(67, 47, 5), &space.picture("bitmap.bmp"));
    save(photo(68, 48, 6), &space.picture("scan.tiff"));
    fs::write(space.picture("picture.webp"), webp(&photo(69, 49, 7), 80.0)).unwrap();

    let summary = space.import();
    assert_eq!(summary["imported"], 9, "{summary}");
    space.assert_verified();
    let mut found: Vec<_> = space
        .list()
        .iter()
        .map(|image| {
            let stored = decode(&space.stored(image["id"].as_str().unwrap()));
            assert_eq!(
                json!([stored.width(), stored.height()]),
                json!([image["width"], image["height"]])
            );
            (
                image["width"].as_u64().unwrap(),
                image["source"].as_str().unwrap().to_owned(),
                image["alpha"] == true,
            )
        })
        .collect();
    found.sort();
    let expected = [
        (61, "rgb.png", false),
        (62, "rgba.png", true),
        (63, "grey.png", false),
        (64, "deep.png", false),
        (65, "photo.jpg", false),
        (66, "still.gif", false),
        (67, "bitmap.bmp", false),
        (68, "scan.tiff", false),
        (69, "picture.webp", false),
    ];
    let expected: Vec<_> =
        expected.map(|(width, name, alpha)| (width, name.to_owned(), alpha)).into();
    assert_eq!(found, expected);
}

#[test]
fn pixels_survive_within_what_lossy_encoding_does() {
    let space = Workspace::file();
    let original = photo(200, 150, 1);
    save(original.clone(), &space.picture("a.png"));
    let deep = DynamicImage::from(photo(210, 150, 1)).into_rgb16();
    save(deep, &space.picture("deep.png"));
    space.import();
    let mut failures = Failures::new();
    for image in space.list() {
        failures.check(&image["source"], || {
            let stored = decode(&space.stored(image["id"].as_str().unwrap()));
            let original = photo(stored.width(), stored.height(), 1);
            let difference: u64 = original
                .pixels()
                .zip(stored.pixels())
                .flat_map(|(a, b)| [0, 1, 2].map(|channel| a[channel].abs_diff(b[channel])))
                .map(u64::from)
                .sum();
            let mean = difference / (u64::from(stored.width()) * u64::from(stored.height()) * 3);
            assert!(mean <= 3, "the mean difference is {mean} of 255");
        });
    }
}

fn importing_again_stores_nothing_and_decodes_nothing(space: &Workspace) {
    for seed in 0..5 {
        save(photo(50, 50, seed), &space.picture(format!("{seed}.png")));
    }
    assert_eq!(space.import()["imported"], 5);
    let before = space.list();
    let again = space.import();
    assert_eq!((&again["imported"], &again["already_present"]), (&json!(0), &json!(5)), "{again}");
    assert_eq!(space.list(), before);
}

fn copies_are_stored_once_with_the_tags_of_each(space: &Workspace) {
    save(photo(50, 50, 1), &space.picture("beach/a.png"));
    fs::copy(space.picture("beach/a.png"), space.picture("summer/b.png")).unwrap();
    let summary = space.import();
    assert_eq!((&summary["imported"], &summary["duplicates"]), (&json!(1), &json!(1)), "{summary}");
    let images = space.list();
    assert_eq!(images.len(), 1);
    assert_eq!(images[0]["tags"], json!(["beach", "summer"]));
    // Now the gallery knows both files.
    assert_eq!(space.import()["already_present"], 2);
}

fn folders_and_flags_give_tags(space: &Workspace) {
    save(photo(50, 50, 1), &space.picture("Trips/At Sea/a.png"));
    space.run(["import", "--no-dir-tags", "--tag", "blue", "pictures"]).expect(0);
    assert_eq!(space.list()[0]["tags"], json!(["blue"]));
    // A second import adds the tags that are new and takes none away.
    space.run(["import", "--tag", "calm", "pictures"]).expect(0);
    assert_eq!(space.list()[0]["tags"], json!(["At Sea", "Trips", "blue", "calm"]));
    space.run(["import", "--tag=-no", "pictures"]).expect(2).complains_of(&["a tag"]);
}

fn another_quality_replaces_the_image(space: &Workspace) {
    save(photo(90, 90, 1), &space.picture("a.png"));
    save(photo(90, 90, 2), &space.picture("b.png"));
    space.run(["import", "--quality", "20", "pictures"]).expect(0);
    let before = space.list();
    space.run(["tag", before[0]["id"].as_str().unwrap(), "+kept"]).expect(0);
    let again = space.run(["import", "--json", "--quality", "95", "pictures"]).expect(0).json();
    assert_eq!((&again["replaced"], &again["imported"]), (&json!(2), &json!(0)));
    let after = space.list();
    assert_eq!(after.len(), 2);
    for old in &before {
        let new = after.iter().find(|new| new["source"] == old["source"]).unwrap();
        assert_ne!(new["id"], old["id"]);
        assert!(new["bytes"].as_u64() > old["bytes"].as_u64(), "{new}");
        let tags = if old["id"] == before[0]["id"] { json!(["kept"]) } else { json!([]) };
        assert_eq!(new["tags"], tags);
        space.run(["show", old["id"].as_str().unwrap()]).expect(1);
    }
    space.assert_verified();
    space
        .run(["import", "--quality", "101", "pictures"])
        .expect(2)
        .complains_of(&["--quality", "101"]);
}

fn a_dry_run_changes_nothing(space: &Workspace) {
    save(photo(50, 50, 1), &space.picture("a.png"));
    fs::copy(space.picture("a.png"), space.picture("copy.png")).unwrap();
    let dry = space.run(["import", "--dry-run", "--json", "pictures"]).expect(0);
    assert_eq!((&dry.json()["imported"], &dry.json()["duplicates"]), (&json!(1), &json!(1)));
    assert_eq!(fs::read_dir(space.dir.path()).unwrap().count(), 1, "a dry run made a gallery");
    space.import();
    let dry =
        space.run(["import", "--dry-run", "--json", "--tag", "t", "pictures"]).expect(0).json();
    assert_eq!(dry["already_present"], 2);
    assert_eq!(space.list()[0]["tags"], json!([]));
}

/// The old service made `a.webp` of both and lost one.
fn names_that_collide_are_both_stored(space: &Workspace) {
    save(photo(50, 50, 1), &space.picture("a.png"));
    save(photo(50, 50, 2), &space.picture("a.jpg"));
    assert_eq!(space.import()["imported"], 2);
    assert_eq!(space.ids().len(), 2);
}

#[test]
fn a_webp_source_is_stored_byte_for_byte() {
    let space = Workspace::file();
    let still = webp(&photo(80, 60, 1), 60.0);
    let moving = animation(40, 30);
    fs::write(space.picture("still.webp"), &still).unwrap();
    // The old service encoded these anew because their ending is in capitals.
    fs::write(space.picture("moving.WEBP"), &moving).unwrap();
    space.import();
    let images = space.list();
    assert_eq!(images.len(), 2);
    let mut failures = Failures::new();
    for (source, original, frames) in [("still.webp", still, 1), ("moving.WEBP", moving, 3)] {
        failures.check(source, || {
            let image = images.iter().find(|image| image["source"] == source).unwrap();
            assert_eq!(space.stored(image["id"].as_str().unwrap()), original);
            assert_eq!(image["frames"], frames);
            assert_eq!(image["animated"], frames > 1);
        });
    }
}

#[test]
fn metadata_of_a_webp_source_is_left_out_and_its_picture_untouched() {
    let space = Workspace::file();
    let plain = webp(&photo(80, 60, 1), 60.0);
    let secret = [exif(1), b"GPS 48.1372 N".to_vec()].concat();
    fs::write(space.picture("a.webp"), webp_with_exif(&plain, 80, 60, &secret)).unwrap();
    space.import();
    let stored = space.stored(&space.ids()[0]);
    assert!(!stored.windows(3).any(|window| window == b"GPS"));
    assert!(
        stored.windows(plain.len() - 12).any(|window| window == &plain[12..]),
        "the picture was encoded anew"
    );
    space.assert_verified();
}

/// The old service showed such pictures sideways.
#[test]
fn exif_orientation_is_applied() {
    let space = Workspace::file();
    // White at the left and black at the right. Orientation 6 turns that clockwise, so that white
    // is on top.
    let picture =
        RgbImage::from_fn(64, 32, |x, _| if x < 32 { Rgb([255; 3]) } else { Rgb([0; 3]) });
    fs::write(space.picture("turned.jpg"), with_exif(&jpeg(&picture, None), 6)).unwrap();
    let picture =
        RgbImage::from_fn(64, 32, |x, _| if x < 32 { Rgb([250; 3]) } else { Rgb([5; 3]) });
    let turned = webp_with_exif(&webp(&picture, 90.0), 64, 32, &exif(6));
    fs::write(space.picture("turned.webp"), turned).unwrap();
    assert_eq!(space.import()["imported"], 2);
    let mut failures = Failures::new();
    for image in space.list() {
        failures.check(&image["source"], || {
            let stored = decode(&space.stored(image["id"].as_str().unwrap()));
            assert_eq!((stored.width(), stored.height()), (32, 64));
            assert!(stored.get_pixel(16, 8)[0] > 240 && stored.get_pixel(16, 56)[0] < 15);
        });
    }
}

/// The old service dropped the profile and kept the numbers, which mean other colours in sRGB.
#[test]
fn colours_of_another_profile_are_converted_to_srgb() {
    let space = Workspace::file();
    let picture = RgbImage::from_pixel(32, 32, Rgb([200, 100, 50]));
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    fs::write(space.picture("p3.jpg"), jpeg(&picture, Some(profile))).unwrap();
    space.import();
    let stored = decode(&space.stored(&space.ids()[0]));
    // Display P3 (200, 100, 50) is sRGB (215, 93, 31), by the matrices of CSS Color 4.
    let found = stored.get_pixel(16, 16).0;
    let is_right = [215_u8, 93, 31].iter().zip(found).all(|(a, b)| a.abs_diff(b) <= 4);
    assert!(is_right, "{found:?}");
}

/// The old service left a file of no bytes and deleted the original.
#[test]
fn a_picture_wider_than_webp_is_scaled_down() {
    let space = Workspace::file();
    save(photo(17_000, 20, 1), &space.picture("wide.png"));
    space.run(["import", "--report", "report.jsonl", "pictures"]).expect(0);
    assert_eq!(
        (&space.list()[0]["width"], &space.list()[0]["height"]),
        (&json!(16_383), &json!(19))
    );
    let report = fs::read_to_string(space.path("report.jsonl")).unwrap();
    assert!(report.contains("scaled down from 17000 x 20"), "{report}");
}

#[test]
fn ctrl_c_keeps_what_is_converted_and_the_next_run_goes_on() {
    let space = Workspace::file();
    for seed in 0..24 {
        save(noise(900, 900, seed), &space.picture(format!("{seed}.bmp")));
    }
    let import = space
        .command()
        .args(["import", "--jobs", "1", "--report", "report.jsonl", "pictures"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let reported =
        || fs::read_to_string(space.path("report.jsonl")).unwrap_or_default().lines().count();
    wait_for("something is imported", || reported() > 0);
    send_signal(&import, Signal::INT);
    let ended = import.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    let words = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(words.contains("interrupted") && words.contains("again"), "{words}");
    let kept = space.ids().len();
    assert!(kept >= reported() && kept < 24, "{kept} images");
    let summary = space.import();
    assert_eq!(
        summary["already_present"].as_u64().unwrap() + summary["imported"].as_u64().unwrap(),
        24
    );
    assert_eq!(space.ids().len(), 24);
}

#[test]
fn in_a_pipe_an_import_says_only_its_summary() {
    let space = Workspace::file();
    save(photo(50, 50, 1), &space.picture("a.png"));
    let ended = space.run(["import", "pictures"]).expect(0);
    assert_eq!(ended.stdout, "");
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.starts_with("1 imported ("), "{}", ended.stderr);
    assert_eq!(space.run(["--quiet", "import", "pictures"]).expect(0).stderr, "");
}

#[test]
fn two_imports_at_once_on_one_gallery_store_everything_once() {
    let space = Workspace::file();
    for seed in 0..12 {
        save(photo(300, 300, seed), &space.picture(format!("{seed}.png")));
    }
    let start = || space.command().args(["import", "--quiet", "pictures"]).spawn().unwrap();
    let (mut one, mut other) = (start(), start());
    assert!(one.wait().unwrap().success() && other.wait().unwrap().success());
    assert_eq!(space.ids().len(), 12);
    space.assert_verified();
}

/// The message blamed the picture, which fits once the flag is left out.
#[test]
fn a_flag_that_takes_too_much_memory_is_named() {
    let space = Workspace::file();
    let picture = photo(2400, 2000, 1);
    fs::write(space.picture("a.jpg"), jpeg(&picture, None)).unwrap();
    save(picture, &space.picture("b.png"));
    let mut failures = Failures::new();
    for (name, flags, words) in [
        ("a.jpg", &["--lossless", "always"] as &[&str], "leave out --lossless always, or raise"),
        ("b.png", &["--lossless", "always"], "with --lossless always,"),
        ("b.png", &["--lossless", "always"], "give --lossless never, or raise"),
        ("b.png", &[], "with --lossless auto,"),
        ("b.png", &[], "give --lossless never, or raise"),
        ("a.jpg", &["--memory", "19MB", "--renditions", "2300"], "with these --renditions,"),
        ("a.jpg", &["--sharp-yuv"], "leave out --sharp-yuv, or raise"),
        ("a.jpg", &["--memory", "9MB"], "of this kind"),
    ] {
        failures.check(format!("{name} {flags:?}: {words}"), || {
            let path = format!("pictures/{name}");
            let memory = ["import", "--memory", "120MB"];
            // The last `--memory` would count twice.
            let memory = if flags.contains(&"--memory") { &memory[..1] } else { &memory };
            let refused = space.run([memory, flags, &[&path]].concat()).expect(1);
            refused.complains_of(&[&path, "2400 x 2000 pixels", words, "--memory"]);
        });
    }
    // What the message advises helps.
    let refused = space.run(["import", "--memory", "120MB", "--lossless", "always", "pictures"]);
    let megabytes = refused.stderr.split("raise --memory to ").skip(1);
    let megabytes = megabytes.map(|words| words.split_once("MB").unwrap().0.parse::<u64>());
    let needed = format!("{}MB", megabytes.map(Result::unwrap).max().unwrap());
    let flags = ["import", "--memory", &needed, "--lossless", "always", "--renditions", "none"];
    space.run([&flags[..], &["--dry-run", "pictures"]].concat()).expect(0);
    space.run(["import", "--memory", "120MB", "--lossless", "never", "pictures"]).expect(0);
}

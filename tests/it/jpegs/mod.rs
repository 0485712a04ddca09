//! Tests JPEG of every kind against what it must show, which a formula says.
//!
//! `scene` has the formula, `writer` writes it as a JPEG, with the coefficients coded by `entropy`.
//! `kinds` lists all that is sound and `damage` all that is not.

mod damage;
mod entropy;
mod kinds;
mod scene;
mod writer;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;

use serde_json::Value;

use self::damage::Fate;
use self::scene::{HEIGHT, Model, WIDTH};
use crate::harness::{Failures, Workspace};
use crate::pictures::decode;

/// Largest mean difference from the formula, of 255.
const MEAN: f64 = 1.5;
/// Largest mean difference of any row of pixels.
const ROW_MEAN: f64 = 4.0;

/// Imports the JPEGs without loss, exports all images, and returns the line of the report on each.
/// Their originals are to be deleted.
fn import(space: &Workspace, jpegs: &[Vec<u8>], exit_code: i32) -> Vec<Value> {
    for (number, jpeg) in jpegs.iter().enumerate() {
        fs::write(space.picture(format!("{number:04}.jpg")), jpeg).unwrap();
    }
    let arguments = ["--lossless", "always", "--renditions", "none", "--report", "report.jsonl"];
    space
        .run([&["import", "--delete-originals"], &arguments[..], &["pictures"]].concat())
        .expect(exit_code);
    space.run(["export", "--all", "exported"]).expect(0);
    let report = fs::read_to_string(space.path("report.jsonl")).unwrap();
    let lines = report.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: BTreeMap<String, Value> =
        lines.map(|line| (line["path"].as_str().unwrap().to_owned(), line)).collect();
    assert_eq!(lines.len(), jpegs.len());
    lines.into_values().collect()
}

/// Asserts that an imported JPEG looks as the formula says, but for some rows.
#[track_caller]
fn assert_shows(space: &Workspace, line: &Value, model: Model, lost: &Range<usize>) {
    let status = line["status"].as_str().unwrap();
    assert!(["imported", "duplicate"].contains(&status), "{line}");
    let id = line["id"].as_str().unwrap();
    let picture = decode(&fs::read(space.path("exported").join(format!("{id}.webp"))).unwrap());
    assert_eq!(picture.dimensions(), (WIDTH as u32, HEIGHT as u32));
    let mut means = Vec::new();
    for y in (0..HEIGHT).filter(|y| !lost.contains(y)) {
        let mut apart = 0.0;
        for x in 0..WIDTH {
            let found = picture.get_pixel(x as u32, y as u32).0;
            let shown = scene::shown(model, x, y);
            let apart_by = |(found, shown): (&u8, f64)| (f64::from(*found) - shown).abs();
            apart += found.iter().zip(shown).map(apart_by).sum::<f64>();
        }
        let mean = apart / (WIDTH * 3) as f64;
        assert!(mean <= ROW_MEAN, "row {y} differs by {mean:.1}");
        means.push(mean);
    }
    let mean = means.iter().sum::<f64>() / means.len().max(1) as f64;
    assert!(mean <= MEAN, "it differs by {mean:.2}");
}

#[test]
fn every_sound_kind_of_jpeg_is_shown_without_a_note() {
    let (space, kinds) = (Workspace::file(), kinds::all());
    assert!(kinds.len() >= 300, "{} kinds", kinds.len());
    let jpegs: Vec<_> = kinds.iter().map(|(_, _, jpeg)| jpeg.clone()).collect();
    let mut failures = Failures::new();
    for ((name, model, _), line) in kinds.iter().zip(import(&space, &jpegs, 0)) {
        failures.check(name, || {
            assert_shows(&space, &line, *model, &(0..0));
            let notes = line["notes"].to_string();
            assert!(!notes.contains("its"), "{notes}");
        });
    }
}

#[test]
fn damaged_jpegs_are_shown_with_a_note_and_kept_and_cut_ones_are_refused() {
    let (space, kinds) = (Workspace::file(), damage::all());
    let jpegs: Vec<_> = kinds.iter().map(|(_, jpeg, _)| jpeg.clone()).collect();
    let mut failures = Failures::new();
    for ((name, _, fate), line) in kinds.iter().zip(import(&space, &jpegs, 1)) {
        failures.check(name, || {
            let is_kept = fs::exists(space.path(line["path"].as_str().unwrap())).unwrap();
            let notes = line["notes"].to_string();
            match fate {
                Fate::Shown => {
                    assert_shows(&space, &line, Model::YCbCr, &(0..0));
                    assert!(!is_kept && !notes.contains("its"), "{line}");
                }
                Fate::Noted(lost, words) => {
                    assert_shows(&space, &line, Model::YCbCr, lost);
                    assert!(is_kept && notes.contains(words), "{line}");
                }
                Fate::Refused(words) => {
                    assert_eq!(line["status"], "failed", "{line}");
                    let reason = line["reason"].as_str().unwrap();
                    assert!(is_kept && reason.contains(words), "{line}");
                }
            }
        });
    }
}

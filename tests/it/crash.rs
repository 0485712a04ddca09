//! Kills imports in the middle, and checks what is left.
//!
//! What was reported must be there, nothing may be half there, and the next run must complete it.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use rand::RngExt as _;
use serde_json::Value;

use crate::harness::{Signal, Workspace, env_or, on_each_engine, seeded_rng, send_signal};
use crate::pictures::{noise, save};

on_each_engine!(an_import_that_is_killed_loses_nothing_that_it_reported);

/// Number of imports of one gallery that are killed, unless `IMAGEPOOL_TEST_KILLS` sets another.
const KILLS: u32 = 6;
const PICTURES: u32 = 60;
/// Latest time of a kill after the import's start, in milliseconds.
const LATEST_KILL_MILLISECONDS: u64 = 1500;

fn an_import_that_is_killed_loses_nothing_that_it_reported(space: &Workspace) {
    for seed in 0..PICTURES {
        save(noise(250, 250, seed), &space.picture(format!("{seed}.bmp")));
    }
    let mut rng = seeded_rng();
    let mut reported = Vec::new();
    for _ in 0..env_or("IMAGEPOOL_TEST_KILLS", KILLS) {
        let delay = Duration::from_millis(rng.random_range(0..LATEST_KILL_MILLISECONDS));
        reported.extend(ids_reported_before_a_kill(space, delay));
        let was_killed_before_there_was_a_gallery = || space.run(["list"]).code == Some(1);
        if reported.is_empty() && was_killed_before_there_was_a_gallery() {
            continue;
        }
        space.assert_verified();
        let ids = space.ids();
        for id in &reported {
            assert!(ids.contains(id), "{id} was reported and is gone");
        }
    }
    space.run(["import", "--quiet", "pictures"]).expect(0);
    assert_eq!(space.ids().len() as u32, PICTURES);
    space.assert_verified();
}

/// Starts an import, kills it after this time, and returns the ids in its report.
fn ids_reported_before_a_kill(space: &Workspace, delay: Duration) -> Vec<String> {
    let arguments = ["import", "--quiet", "--jobs", "1", "--report", "report.jsonl", "pictures"];
    let mut import = space.command().args(arguments).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    if import.try_wait().unwrap().is_none() {
        send_signal(&import, Signal::KILL);
    }
    import.wait().unwrap();
    let report = fs::read_to_string(space.path("report.jsonl")).unwrap_or_default();
    // The last line may be cut, because the process was just writing it.
    let whole_lines = report.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let id =
        |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().map(Into::into);
    whole_lines.lines().map(|line| id(line).unwrap()).collect()
}

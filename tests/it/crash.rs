//! kill -9 in the middle of an import. What was reported is there, nothing is half there, and the next run completes.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use rand::RngExt as _;

use crate::harness::{Workspace, on_each_engine, signal};
use crate::pictures::{noise, save};

on_each_engine!(an_import_that_is_killed_loses_nothing_that_it_reported);

/// Kills a gallery's import this often; `IMAGEPOOL_TEST_KILLS` asks for more.
const KILLS: u32 = 6;
const PICTURES: u32 = 60;

fn an_import_that_is_killed_loses_nothing_that_it_reported(space: &Workspace) {
    for seed in 0..PICTURES {
        save(noise(250, 250, seed), &space.picture(format!("{seed}.bmp")));
    }
    let kills = std::env::var("IMAGEPOOL_TEST_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut reported = Vec::new();
    for _ in 0..kills {
        let arguments =
            ["import", "--quiet", "--jobs", "1", "--report", "report.jsonl", "pictures"];
        let mut import = space.command().args(arguments).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(rand::rng().random_range(0..1500)));
        if import.try_wait().unwrap().is_none() {
            signal(import.id(), "KILL");
        }
        import.wait().unwrap();
        let report = fs::read_to_string(space.path("report.jsonl")).unwrap_or_default();
        // The last line may be cut, like whatever the process was just writing.
        let whole = report.rsplit_once('\n').map_or("", |(whole, _)| whole);
        reported.extend(whole.lines().map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["id"]
                .as_str()
                .unwrap()
                .to_owned()
        }));
        if reported.is_empty() && space.run(["list"]).code == Some(1) {
            continue; // it was killed before there was a gallery
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

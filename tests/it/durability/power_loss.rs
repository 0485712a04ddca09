//! Rebuilds what a disk can hold after a power cut during a command, and opens it.
//!
//! A file's changes are durable once the file was synced after them; of the others any may be
//! missing, and one may be torn at a sector. Names are durable once their folder was synced, and
//! the others come and go in their order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::all_cases;
use super::recording::{Event, Recording};
use super::subjects::{Scene, Subject, ids_reported};
use crate::harness::{Engine, Failures, seeded_rng, skip};

/// Bytes that a disk writes whole.
const SECTOR: usize = 512;
/// States of one cut that are drawn at random.
const DRAWN: usize = 8;
/// The same in the long run.
const DRAWN_OF_ALL: usize = 40;
/// States of one command in the short run.
const SHORT_STATES: usize = 14;

/// Names of files, each with the number of its content.
type Names = BTreeMap<PathBuf, Option<usize>>;
/// Files and folders; a folder has no content.
type Files = Vec<(PathBuf, Option<Vec<u8>>)>;

/// What happens to the changes that no sync made durable.
enum Cut<'a> {
    AllWritten,
    NoneWritten,
    Drawn(&'a mut StdRng),
}

#[test]
fn a_power_cut_costs_nothing_that_was_reported() {
    let mut failures = Failures::new();
    let mut rng = seeded_rng();
    for subject in Subject::of(Engine::File) {
        let scene = Scene::new(Engine::File, subject);
        let Some(recording) = Recording::of(&scene) else {
            return skip("this process may not trace another");
        };
        let states = states(&scene, &recording.events, &mut rng);
        let mut empty = 0;
        for State { what, reported, is_over, files } in &states {
            failures.check(format!("{}, {what}", subject.name), || {
                if *is_over {
                    scene.put(files);
                    scene.assert_promise_kept(&recording.ended);
                }
                empty += usize::from(!check(&scene, reported, files));
            });
        }
        println!("{}: {} states, {empty} without a gallery", subject.name, states.len());
    }
}

/// A promise is worth nothing if no broken program could fail the replayer.
#[test]
fn a_program_that_does_not_sync_would_be_found_out() {
    let subject = subject("import");
    let scene = Scene::new(Engine::File, subject);
    let Some(mut recording) = Recording::of(&scene) else {
        return skip("this process may not trace another");
    };
    for event in &mut recording.events {
        match event {
            Event::Sync { before, .. } => *before = 0,
            Event::Write { is_synced, .. } => *is_synced = false,
            _ => {}
        }
    }
    let end = recording.events.len();
    let reported = reported(&recording.events);
    assert_eq!(reported.len(), 6, "the report was recorded");
    let files = rebuild(&scene, &recording.events, end, &mut Cut::NoneWritten);
    let lost = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        check(&scene, &reported, &files);
    }));
    assert!(lost.is_err(), "the replayer would accept anything");
}

fn subject(name: &str) -> &'static Subject {
    Subject::of(Engine::File).find(|subject| subject.name == name).unwrap()
}

/// What a cut can leave.
struct State {
    what: String,
    /// What was reported before the cut.
    reported: BTreeSet<String>,
    /// Whether the command had ended, so that all it promises must hold.
    is_over: bool,
    files: Files,
}

/// Different states that a cut can leave.
fn states(scene: &Scene, events: &[Event], rng: &mut StdRng) -> Vec<State> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for end in 0..=events.len() {
        let reported = reported(&events[..end]);
        let mut add = |kind: String, files: Files| {
            let is_over = end == events.len();
            if seen.insert((reported.len(), is_over, digest(&files))) {
                let what = format!("cut at {end}, {kind}");
                found.push(State { what, reported: reported.clone(), is_over, files });
            }
        };
        add("all written".into(), rebuild(scene, events, end, &mut Cut::AllWritten));
        add("none written".into(), rebuild(scene, events, end, &mut Cut::NoneWritten));
        for draw in 0..if all_cases() { DRAWN_OF_ALL } else { DRAWN } {
            let files = rebuild(scene, events, end, &mut Cut::Drawn(rng));
            add(format!("draw {draw}"), files);
        }
    }
    while !all_cases() && found.len() > SHORT_STATES {
        // The last cut is kept: it alone shows what a success is worth.
        found.swap_remove(rng.random_range(0..found.len() - 1));
    }
    found
}

/// Puts a state in place and checks it. Returns whether there was a gallery in it.
fn check(scene: &Scene, reported: &BTreeSet<String>, files: &Files) -> bool {
    scene.put(files);
    let is_gallery = scene.assert_nothing_lost(reported);
    scene.assert_works_again();
    is_gallery
}

fn reported(events: &[Event]) -> BTreeSet<String> {
    let reports = events.iter().filter_map(|event| match event {
        Event::Report(bytes) => Some(&bytes[..]),
        _ => None,
    });
    ids_reported(&reports.collect::<Vec<_>>().concat())
}

fn digest(files: &Files) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for (path, content) in files {
        hasher.update(path.as_os_str().as_encoded_bytes());
        let content = content.as_deref().unwrap_or(b"folder");
        hasher.update(blake3::hash(content).as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// The files that a cut before the event of this index leaves.
fn rebuild(scene: &Scene, events: &[Event], end: usize, cut: &mut Cut<'_>) -> Files {
    let events = &events[..end];
    let mut names = Names::new();
    let mut contents: Vec<Vec<u8>> = Vec::new();
    // The names as all processes saw them, beside those on the disk.
    for (path, content) in scene.files().iter().filter(|(path, _)| !is_lock(path)) {
        let number = content.as_ref().map(|content| {
            contents.push(content.clone());
            contents.len() - 1
        });
        names.insert(path.clone(), number);
    }
    let mut durable_names = names.clone();
    let mut keeps_all = true;
    for (index, event) in events.iter().enumerate() {
        let Some(folder) = named(event).map(|path| path.parent().unwrap()) else {
            if let Some((path, change)) = change(event) {
                let Some(Some(number)) = names.get(path).copied() else { continue };
                let survives = is_durable(events, index, path);
                apply(&mut contents[number], &change, survives, cut);
            }
            continue;
        };
        rename(&mut names, &mut contents, event);
        // Once a name is missing, all later ones that no sync covers are missing too.
        keeps_all &= match cut {
            Cut::AllWritten => true,
            Cut::NoneWritten => false,
            Cut::Drawn(rng) => rng.random_bool(0.7),
        };
        if keeps_all || is_durable(events, index, folder) {
            rename_like(&mut durable_names, &names, event);
        }
    }
    let file = |(path, number): (PathBuf, Option<usize>)| {
        (path, number.map(|number| contents[number].clone()))
    };
    durable_names.into_iter().map(file).collect()
}

fn is_lock(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"-lock")
}

/// Whether a later sync of this path covers the event of this index.
fn is_durable(events: &[Event], index: usize, path: &Path) -> bool {
    if matches!(&events[index], Event::Write { is_synced: true, .. }) {
        return true;
    }
    // A file that gets another name is synced under whichever it has then.
    let mut name = path;
    events[index + 1..].iter().any(|event| match event {
        Event::Rename(from, to) if from == name => {
            name = to;
            false
        }
        Event::Sync { path, before } => path == name && index < *before,
        _ => false,
    })
}

/// The path that a change of names is about.
fn named(event: &Event) -> Option<&Path> {
    match event {
        Event::Create(path) | Event::MakeFolder(path) | Event::Remove(path) => Some(path),
        Event::Rename(_, to) => Some(to),
        _ => None,
    }
}

fn rename(names: &mut Names, contents: &mut Vec<Vec<u8>>, event: &Event) {
    match event {
        Event::Create(path) => {
            contents.push(Vec::new());
            names.insert(path.clone(), Some(contents.len() - 1));
        }
        Event::MakeFolder(path) => drop(names.insert(path.clone(), None)),
        Event::Remove(path) => drop(names.remove(path)),
        Event::Rename(from, to) => {
            if let Some(number) = names.remove(from) {
                names.insert(to.clone(), number);
            }
        }
        _ => {}
    }
}

/// Makes the same change in the names on the disk, which lack some.
fn rename_like(durable: &mut Names, names: &Names, event: &Event) {
    match event {
        Event::Remove(path) => drop(durable.remove(path)),
        Event::Rename(from, _) => drop(durable.remove(from)),
        _ => {}
    }
    if let Some((path, number)) = named(event).and_then(|path| names.get_key_value(path)) {
        durable.insert(path.clone(), *number);
    }
}

enum Change<'a> {
    Write(usize, &'a [u8]),
    SetLength(usize),
    Allocate(usize),
}

fn change(event: &Event) -> Option<(&Path, Change<'_>)> {
    match event {
        Event::Write { path, offset, bytes, .. } => {
            Some((path, Change::Write(*offset as usize, bytes)))
        }
        Event::SetLength(path, length) => Some((path, Change::SetLength(*length as usize))),
        Event::Allocate(path, end) => Some((path, Change::Allocate(*end as usize))),
        _ => None,
    }
}

/// Applies a change to a file, or what a cut leaves of it.
fn apply(content: &mut Vec<u8>, change: &Change<'_>, is_durable: bool, cut: &mut Cut<'_>) {
    let survives = is_durable
        || match cut {
            Cut::AllWritten => true,
            Cut::NoneWritten => false,
            Cut::Drawn(rng) => rng.random_bool(0.5),
        };
    match *change {
        Change::SetLength(length) if survives => content.resize(length, 0),
        Change::Allocate(end) if survives && content.len() < end => content.resize(end, 0),
        Change::SetLength(_) | Change::Allocate(_) => {}
        Change::Write(offset, bytes) => {
            let mut sectors = |survives: &mut dyn FnMut() -> bool| {
                for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                    if survives() {
                        let start = offset + index * SECTOR;
                        let end = start + sector.len();
                        content.resize(content.len().max(end), 0);
                        content[start..end].copy_from_slice(sector);
                    }
                }
            };
            match cut {
                // Half of the writes that are missing are torn instead.
                Cut::Drawn(rng) if !survives => {
                    let kept = if rng.random_bool(0.5) { 0.5 } else { 0.0 };
                    sectors(&mut || rng.random_bool(kept));
                }
                _ => sectors(&mut || survives),
            }
        }
    }
}

//! Measures what looking after a large gallery costs: `verify`, `backup`, `remove` and `compact` of
//! a million images, beside a plain copy of the file.
//!
//! It makes a gallery in a temporary folder, runs the real program on it and exits with 1 when a
//! target is missed:
//!
//! - `verify` takes less than 25 s;
//! - `backup` and `compact` take less than 1.5 times as long as a copy of what they write that is
//!   synced to the disk, as theirs is;
//! - removing 100,000 images takes less than 15 s.
//!
//! A plain copy, which is not synced, is shown too. Copies and commands take turns, and medians
//! count. The images are noise of 2,600 bytes, so that each has a page of its own. The gallery was
//! just written, so most of it lies in the page cache; the folder needs four times its length.
//!
//! `TMPDIR=... cargo bench --bench upkeep -- 50000 215000` makes another number of images, of
//! another length in bytes, in another place. Without `--bench`, which only `cargo bench` passes,
//! or with `--test`, a trial with 1,000 images judges nothing.
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench ends by a panic, and prints what it measured"
)]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use imagepool::image::ImageId;
use imagepool::store::{Access, Addition, Locator, Store};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Number of images of a full run.
const FULL_IMAGES: u32 = 1_000_000;
/// Number of images of a trial run.
const TRIAL_IMAGES: u32 = 1_000;
/// Most images added in one commit: many, because each commit waits for the disk.
const BATCH_IMAGES: u32 = 50_000;
/// Most bytes added in one commit.
const BATCH_BYTES: usize = 200_000_000;
/// Length of an image, in bytes.
const IMAGE_BYTES: usize = 2_600;
/// One of so many images is removed.
const REMOVED_SHARE: usize = 10;
/// Number of times that copies and commands are measured.
const ROUNDS: usize = 3;

/// Limit for a verification of a full run's gallery.
const VERIFY: Duration = Duration::from_secs(25);
/// Limit for the removal of a tenth of a full run's images.
const REMOVE: Duration = Duration::from_secs(15);
/// Limit for a backup and a compaction, in times of a synced copy.
const COPY_RATIO: f64 = 1.5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let full = arguments.iter().any(|argument| argument == "--bench")
        && arguments.iter().all(|argument| argument != "--test");
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse::<u32>().ok());
    let images = numbers.next().unwrap_or(if full { FULL_IMAGES } else { TRIAL_IMAGES });
    let image_bytes = numbers.next().map_or(IMAGE_BYTES, |bytes| bytes as usize);

    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let gallery = folder.path().join("gallery.pool");
    let (ids, filling) = timed(|| fill(&gallery, images, image_bytes));
    let megabytes = length(&gallery) / 1_000_000;
    println!("{images} images, {megabytes} MB, filled in {filling:.1?}");

    let bench = Bench { gallery, folder: folder.path() };
    let verify = median(|| bench.run(&["verify", "--quiet"], None));
    println!("verify                {verify:>10.2?}");
    let backup = bench.backup();
    let (first, rest) = ids.split_at(ids.len() / REMOVED_SHARE);
    let remove = bench.remove(first);
    println!("remove {:<9}      {remove:>10.2?}", first.len());
    let compact = bench.compact(rest);

    let mut missed = Vec::new();
    if verify >= VERIFY {
        missed.push(format!("verify takes less than {VERIFY:?}"));
    }
    if remove >= REMOVE {
        missed.push(format!("removing a tenth takes less than {REMOVE:?}"));
    }
    for (name, ratio) in [("backup", backup), ("compact", compact)] {
        if ratio >= COPY_RATIO {
            missed.push(format!("{name} takes less than {COPY_RATIO} times as long as a copy"));
        }
    }
    for target in missed.iter().filter(|_| full) {
        println!("MISSED: {target}");
    }
    if full && !missed.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A gallery, and a folder beside it for copies.
struct Bench<'f> {
    gallery: PathBuf,
    folder: &'f Path,
}

impl Bench<'_> {
    /// Runs a command and returns how long it took.
    fn run(&self, words: &[&str], input: Option<&Path>) -> Duration {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imagepool"));
        // The environment could set any flag, so the command gets none.
        command.env_clear().arg("--gallery").arg(&self.gallery).args(words);
        command.stdin(input.map_or_else(Stdio::null, |list| {
            File::open(list).expect("the list can be opened").into()
        }));
        let (status, took) = timed(|| command.status().expect("the program can be started"));
        assert!(status.success(), "{words:?} ended with {status}");
        took
    }

    /// Measures backups beside copies of one, and returns the ratio to a synced one.
    fn backup(&self) -> f64 {
        let backup = self.folder.join("backup.pool");
        let name = backup.to_str().expect("a temporary folder has a plain name").to_owned();
        let [mut plain, mut synced, mut unverified, mut whole] = [(); 4].map(|()| Vec::new());
        for _ in 0..ROUNDS {
            unverified.push(self.run(&["backup", "--quiet", "--no-verify", &name], None));
            plain.push(self.copy(&backup, false));
            synced.push(self.copy(&backup, true));
            fs::remove_file(&backup).expect("the backup can be removed");
            whole.push(self.run(&["backup", "--quiet", &name], None));
            fs::remove_file(&backup).expect("the backup can be removed");
        }
        let synced = middle(synced);
        println!("copy of the backup    {:>10.2?}", middle(plain));
        println!("the same, synced      {synced:>10.2?}");
        let ratio = show("backup --no-verify", middle(unverified), synced);
        show("backup", middle(whole), synced).max(ratio)
    }

    /// Removes these images and returns how long it took.
    fn remove(&self, ids: &[ImageId]) -> Duration {
        let list = self.folder.join("ids");
        let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
        fs::write(&list, lines).expect("a list can be written");
        self.run(&["remove", "--quiet", "-"], Some(&list))
    }

    /// Measures compactions beside copies of what they leave, and returns the ratio to a synced
    /// one. Of `left` some are removed before each but the first.
    fn compact(&self, left: &[ImageId]) -> f64 {
        let [mut compact, mut plain, mut synced] = [(); 3].map(|()| Vec::new());
        let mut more = left.chunks(left.len() / REMOVED_SHARE);
        for round in 0..ROUNDS {
            if round > 0 {
                self.remove(more.next().expect("there are images left"));
            }
            compact.push(self.run(&["compact", "--quiet"], None));
            plain.push(self.copy(&self.gallery, false));
            synced.push(self.copy(&self.gallery, true));
        }
        let synced = middle(synced);
        println!("copy of what is left  {:>10.2?}", middle(plain));
        println!("the same, synced      {synced:>10.2?}");
        show("compact", middle(compact), synced)
    }

    /// Copies a file and returns how long it took.
    fn copy(&self, file: &Path, is_synced: bool) -> Duration {
        let target = self.folder.join("copy");
        let ((), took) = timed(|| {
            fs::copy(file, &target).expect("the file can be copied");
            if is_synced {
                let copy = File::open(&target).expect("the copy can be opened");
                copy.sync_all().expect("the copy can be synced");
            }
        });
        fs::remove_file(target).expect("the copy can be removed");
        took
    }
}

fn show(name: &str, took: Duration, copy: Duration) -> f64 {
    let ratio = took.as_secs_f64() / copy.as_secs_f64();
    println!("{name:<21} {took:>10.2?}, {ratio:.2} of a synced copy");
    ratio
}

fn median(mut measure: impl FnMut() -> Duration) -> Duration {
    middle((0..ROUNDS).map(|_| measure()).collect())
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn timed<R>(work: impl FnOnce() -> R) -> (R, Duration) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed())
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).expect("the file is there").len()
}

/// Makes a gallery of this many images, and returns their ids.
///
/// Images come in the random order of their ids, as in an import, so that the trees in the file are
/// as full, or empty, as those of real galleries.
fn fill(path: &Path, images: u32, image_bytes: usize) -> Vec<ImageId> {
    let locator = Locator::File(path.to_owned());
    let store = Store::open(&locator, Access::Create).expect("a gallery can be made");
    let mut random = StdRng::seed_from_u64(1);
    let mut ids = Vec::new();
    let batch_images = u32::try_from(BATCH_BYTES / image_bytes).map_or(1, |fit| fit.max(1));
    let batch_images = batch_images.min(BATCH_IMAGES);
    for first in (0..images).step_by(batch_images as usize) {
        let end = images.min(first + batch_images);
        let batch: Vec<Addition> =
            (first..end).map(|index| addition(index, image_bytes, &mut random)).collect();
        store.add(&batch).expect("images can be added");
        ids.extend(batch.iter().map(|addition| addition.id));
    }
    ids
}

/// Makes an image whose bytes are noise.
fn addition(index: u32, image_bytes: usize, random: &mut StdRng) -> Addition {
    let mut webp = vec![0; image_bytes];
    random.fill_bytes(&mut webp);
    webp[..4].copy_from_slice(b"RIFF");
    common::addition(index, webp)
}

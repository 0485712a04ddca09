//! Imports every kind of picture in `tests/data/kinds`, and compares each with what it must show.
//!
//! The folder's README says what is in it. `kinds.rs` tests what single kinds need beyond that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::harness::{Failures, Workspace};

/// Side of the blocks whose mean colours are compared, in pixels. Lossy coding changes single
/// pixels by much and the means of blocks by little; a wrong place or profile changes both.
const BLOCK_SIDE: usize = 16;
/// Pixels of the smallest block that is compared. In a sliver at the edge, noise does not average
/// out.
const SMALLEST_BLOCK: i64 = 128;
/// The greys that pictures are laid on, so that alpha counts and colours that nobody sees do not.
const GROUNDS: [i64; 2] = [0, 255];
/// What the sources' metadata holds, and no stored image may.
const SECRETS: [&[u8]; 5] = [b"SECRET", b"2001:02:03", b"xpacket", b"Exif\0\0", b"rdf:RDF"];
/// The formats that features add, and whether this build has them.
const OPTIONAL_FORMATS: [(&str, bool); 3] = [
    ("AVIF", cfg!(feature = "avif")),
    ("HEIC", cfg!(feature = "heic")),
    ("JPEG XL", cfg!(feature = "jxl")),
];
const METADATA_CHUNKS: [&[u8]; 3] = [b"EXIF", b"XMP ", b"ICCP"];

/// A row of `index.json`: a source, and what must become of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kind {
    group: String,
    name: String,
    /// What is odd about this kind, or why it must look so.
    #[serde(default)]
    says: String,
    /// The source's name in `sources`.
    file: String,
    /// The format that the report names.
    format: String,
    made_by: String,
    /// The name in `truths` of what it must look like: a PNG with one frame below the other.
    truth: String,
    truth_by: String,
    /// Width and height of the stored image, in pixels.
    size: (usize, usize),
    /// Milliseconds of each frame of an animation; empty for a still.
    #[serde(default)]
    durations: Vec<u32>,
    /// How often an animation plays; 0 is for ever.
    #[serde(default)]
    plays: u32,
    /// The largest mean difference, of 255.
    mean: f64,
    /// The largest difference of a block's mean colour, of 255.
    block: f64,
    /// How it is stored, where that is part of the kind: `lossless`.
    coding: Option<String>,
    /// Whether the source, a WebP, is stored byte for byte.
    #[serde(default)]
    untouched: bool,
    /// A word that the report's notes must have.
    note: Option<String>,
    /// Whether `--delete-originals` keeps the source, because the image does not show all of it.
    kept: Option<bool>,
}

impl Kind {
    fn is_built_in(&self) -> bool {
        let feature = OPTIONAL_FORMATS.iter().find(|(format, _)| self.format == *format);
        feature.is_none_or(|(_, is_built_in)| *is_built_in)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, name, file, made_by, truth, truth_by, .. } = self;
        write!(f, "{group}: {name} ({file} by {made_by}; {truth} by {truth_by})")?;
        if self.says.is_empty() { Ok(()) } else { write!(f, ": {}", self.says) }
    }
}

/// Frames of RGBA pixels, all of the same size, and the milliseconds of each.
struct Picture {
    size: (usize, usize),
    frames: Vec<Vec<u8>>,
    durations: Vec<u32>,
    plays: u32,
}

impl Picture {
    fn truth(kind: &Kind, path: &Path) -> Self {
        let strip = image::open(path).unwrap().into_rgba8();
        let (width, height) = kind.size;
        let count = kind.durations.len().max(1);
        let found = (strip.width() as usize, strip.height() as usize);
        assert_eq!(found, (width, height * count), "size of the truth");
        let frames = strip.chunks_exact(width * height * 4).map(<[u8]>::to_vec).collect();
        Self { size: kind.size, frames, durations: kind.durations.clone(), plays: kind.plays }
    }

    fn stored(webp: &[u8]) -> Self {
        if !chunks(webp).iter().any(|(name, _)| name == b"ANIM") {
            let (pixels, width, height) = webpx::decode_rgba(webp).unwrap();
            let size = (width as usize, height as usize);
            return Self { size, frames: vec![pixels], durations: Vec::new(), plays: 0 };
        }
        let (color_mode, limits) = (webpx::ColorMode::Rgba, webpx::Limits::none());
        let mut decoder =
            webpx::AnimationDecoder::with_options_limits(webp, color_mode, false, &limits).unwrap();
        let info = decoder.info();
        let (size, plays) = ((info.width as usize, info.height as usize), info.loop_count);
        let frames = decoder.decode_all().unwrap();
        let durations = frames.iter().map(|frame| frame.duration_ms).collect();
        let frames = frames.into_iter().map(|frame| frame.data).collect();
        Self { size, frames, durations, plays }
    }

    /// The frame that is shown at a moment, in milliseconds after the start.
    fn at(&self, moment: u32) -> &[u8] {
        let mut end = 0;
        let is_over = |duration: &&u32| {
            end += **duration;
            end <= moment
        };
        let passed = self.durations.iter().take_while(is_over).count();
        &self.frames[passed.min(self.frames.len() - 1)]
    }

    fn is_opaque(&self) -> bool {
        self.frames.iter().all(|frame| frame.iter().skip(3).step_by(4).all(|alpha| *alpha == 255))
    }
}

/// The name and payload of each outermost chunk of a WebP.
fn chunks(webp: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut found = Vec::new();
    let mut rest = &webp[12..];
    while let Some((head, after)) = rest.split_at_checked(8) {
        let length = u32::from_le_bytes(head[4..].try_into().unwrap()) as usize;
        found.push((&head[..4], &after[..length]));
        rest = after.get(length.next_multiple_of(2)..).unwrap_or_default();
    }
    found
}

/// A sample of an RGBA picture laid on a ground, times 255.
fn laid_on(ground: i64, pixel: &[u8], channel: usize) -> i64 {
    let alpha = i64::from(pixel[3]);
    i64::from(pixel[channel]) * alpha + ground * (255 - alpha)
}

/// The mean difference of two pictures on a ground, and the largest one of a block's mean colour.
fn difference(ground: i64, width: usize, truth: &[u8], stored: &[u8]) -> (f64, f64) {
    let columns = width.div_ceil(BLOCK_SIDE);
    let rows = (truth.len() / 4 / width).div_ceil(BLOCK_SIDE);
    let (mut total, mut blocks) = (0, vec![(0_i64, [0_i64; 3]); columns * rows]);
    for (at, (ours, theirs)) in truth.chunks_exact(4).zip(stored.chunks_exact(4)).enumerate() {
        let (x, y) = (at % width, at / width);
        let (pixels, sums) = &mut blocks[y / BLOCK_SIDE * columns + x / BLOCK_SIDE];
        *pixels += 1;
        for (channel, sum) in sums.iter_mut().enumerate() {
            let apart = laid_on(ground, ours, channel) - laid_on(ground, theirs, channel);
            total += apart.abs();
            *sum += apart;
        }
    }
    let mean_of = |sum: i64, count: i64| sum.abs() as f64 / (255 * count) as f64;
    let largest = blocks
        .iter()
        .filter(|(pixels, _)| *pixels >= SMALLEST_BLOCK)
        .flat_map(|(pixels, sums)| sums.map(|sum| mean_of(sum, *pixels)))
        .fold(0.0, f64::max);
    let pixels: i64 = blocks.iter().map(|(pixels, _)| pixels).sum();
    (mean_of(total, pixels * 3), largest)
}

/// Asserts what must hold of the stored file, whatever it shows.
fn assert_file(kind: &Kind, source: &[u8], stored: &[u8]) {
    let names: Vec<_> = chunks(stored).into_iter().map(|(name, _)| name).collect();
    for name in METADATA_CHUNKS {
        assert!(!names.contains(&name), "{} is left", name.escape_ascii());
    }
    for secret in SECRETS {
        let is_there = stored.windows(secret.len()).any(|window| window == secret);
        assert!(!is_there, "{:?} is left", secret.escape_ascii().to_string());
    }
    if let Some(coding) = &kind.coding {
        assert_eq!(coding, "lossless", "no other coding is known");
        assert!(names.contains(&b"VP8L".as_slice()), "not stored {coding}");
    }
    if kind.untouched {
        assert!(source == stored, "not stored byte for byte");
    }
}

/// Asserts that the report and the catalog say of the image what is true of it.
fn assert_told(kind: &Kind, line: &Value, image: &Value, truth: &Picture, stored: &[u8]) {
    let (width, height) = kind.size;
    assert_eq!(line["format"], kind.format.as_str());
    assert_eq!((&line["width"], &line["height"]), (&width.into(), &height.into()), "{line}");
    assert_eq!((&image["width"], &image["height"]), (&width.into(), &height.into()), "{image}");
    assert_eq!(line["bytes_out"], stored.len(), "{line}");
    assert_eq!(image["animated"], !kind.durations.is_empty(), "{image}");
    // An opaque animation may have frames that are laid over others by their alpha.
    if kind.durations.is_empty() || !truth.is_opaque() {
        assert_eq!(image["alpha"], !truth.is_opaque(), "{image}");
    }
    if let Some(note) = &kind.note {
        assert!(line["notes"].to_string().contains(note), "no note has {note:?}: {line}");
    }
}

/// Asserts that both play as often and as long. Frames that show the same may have been merged.
fn assert_times(truth: &Picture, stored: &Picture) {
    let counts = (truth.frames.len(), stored.frames.len());
    assert_eq!(counts.0 > 1, counts.1 > 1, "of {} frames, {} are left", counts.0, counts.1);
    assert_eq!(stored.plays, truth.plays, "how often it plays");
    if counts.0 == counts.1 {
        assert_eq!(stored.durations, truth.durations, "milliseconds of the frames");
    } else {
        let total = |picture: &Picture| picture.durations.iter().sum::<u32>();
        assert_eq!(total(stored), total(truth), "milliseconds of all frames");
    }
}

/// Asserts that each frame looks as it must.
fn assert_pixels(kind: &Kind, truth: &Picture, stored: &Picture) {
    let mut start = 0;
    for (number, frame) in truth.frames.iter().enumerate() {
        let duration = truth.durations.get(number).copied().unwrap_or_default();
        let shown = stored.at(start + duration / 2);
        start += duration;
        for ground in GROUNDS {
            let (mean, block) = difference(ground, truth.size.0, frame, shown);
            let is_near = mean <= kind.mean && block <= kind.block;
            assert!(
                is_near,
                "frame {number} on {ground} differs by {mean:.2} (at most {}), a block by \
                 {block:.2} (at most {})",
                kind.mean, kind.block
            );
        }
    }
}

fn kinds_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/kinds")
}

fn read_index() -> Vec<Kind> {
    serde_json::from_slice(&fs::read(kinds_path().join("index.json")).unwrap()).unwrap()
}

#[test]
fn every_kind_of_picture_looks_as_it_must() {
    let (space, kinds) = (Workspace::file(), read_index());
    let sources = kinds_path().join("sources");
    let arguments = ["import", "--renditions", "none", "--report", "report.jsonl"];
    let imported = space.run(arguments.iter().map(AsRef::as_ref).chain([sources.as_os_str()]));
    space.run(["export", "--all", "exported"]).expect(0);
    let by = |key: &'static str| move |row: Value| (row[key].as_str().unwrap().to_owned(), row);
    let images: BTreeMap<_, _> = space.list().into_iter().map(by("id")).collect();
    let report = fs::read_to_string(space.path("report.jsonl")).unwrap();
    let report = report.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: BTreeMap<_, _> = report.map(by("path")).collect();

    let mut failures = Failures::new();
    failures.check("the exit code of the import", || {
        imported.expect(if kinds.iter().all(Kind::is_built_in) { 0 } else { 1 });
    });
    for kind in kinds.iter().filter(|kind| kind.is_built_in()) {
        failures.check(kind, || {
            let source = sources.join(&kind.file);
            let line = lines.get(source.to_str().unwrap()).expect("a line in the report");
            // Two sources of the same pixels give one image.
            let status = line["status"].as_str().unwrap();
            assert!(["imported", "duplicate"].contains(&status), "{line}");
            let id = line["id"].as_str().unwrap();
            let webp = fs::read(space.path("exported").join(format!("{id}.webp"))).unwrap();
            let truth = Picture::truth(kind, &kinds_path().join("truths").join(&kind.truth));
            assert_file(kind, &fs::read(source).unwrap(), &webp);
            assert_told(kind, line, &images[id], &truth, &webp);
            let stored = Picture::stored(&webp);
            assert_eq!(stored.size, kind.size);
            assert_times(&truth, &stored);
            assert_pixels(kind, &truth, &stored);
        });
    }
}

#[test]
fn originals_that_are_not_shown_whole_are_kept() {
    let (space, kinds) = (Workspace::file(), read_index());
    let told: Vec<_> =
        kinds.iter().filter(|kind| kind.is_built_in() && kind.kept.is_some()).collect();
    for kind in &told {
        fs::copy(kinds_path().join("sources").join(&kind.file), space.picture(&kind.file)).unwrap();
    }
    space.run(["import", "--renditions", "none", "--delete-originals", "pictures"]).expect(0);
    let mut failures = Failures::new();
    for kind in told {
        failures.check(kind, || assert_eq!(Some(space.picture(&kind.file).exists()), kind.kept));
    }
}

#[test]
fn the_index_names_every_source_and_truth_and_no_two_sources_are_alike() {
    let kinds = read_index();
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(kinds_path().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let indexed: BTreeSet<_> = kinds.iter().map(|kind| kind.file.clone()).collect();
    assert_eq!(indexed.len(), kinds.len(), "a source has two rows");
    assert_eq!(indexed, names("sources"));
    let read = |kind: &Kind| fs::read(kinds_path().join("sources").join(&kind.file)).unwrap();
    let contents: BTreeSet<_> = kinds.iter().map(read).collect();
    assert_eq!(contents.len(), kinds.len(), "two sources have the same bytes");
    let truths: BTreeSet<_> = kinds.iter().map(|kind| kind.truth.clone()).collect();
    assert_eq!(truths, names("truths"));
}

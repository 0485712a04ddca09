//! Breaks each check of the page reader by a page made by hand, and all of them at random.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::page::{Content, KeyOrder, Kind, flags_of, read_page};
use super::*;
use crate::store::file::FileEngine;
use crate::store::file::layout::u16_at;
use crate::store::migrate::ADDED_KEY;
use crate::store::tree::{Access, Tree};

const PAGE: usize = 4096;

/// A file with a tree of two levels, and some values in pages of their own.
struct Sample {
    dir: tempfile::TempDir,
    bytes: Vec<u8>,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Numbers of the tree's branch and of its leaves, in the order of their keys.
    branch: usize,
    leaves: Vec<usize>,
}

/// What a look at a file finds.
#[derive(Default)]
struct Look {
    /// Keys of entries that nothing is said against, and of those that are doubtful.
    sound: Vec<Vec<u8>>,
    doubtful: Vec<Vec<u8>>,
    lost: Vec<Lost>,
    /// What is wrong with values' pages, the count of entries, and the file.
    other: Vec<String>,
    is_newest: bool,
}

impl Sample {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sample");
        let engine = FileEngine::open(&path, Access::Create).unwrap();
        let mut entries = BTreeMap::new();
        for round in 0..3_u8 {
            engine
                .write(|mut writer| {
                    for number in 0..100 {
                        let key = blake3::hash(&[number, round]).as_bytes()[..18].to_vec();
                        let length = if number % 25 == 0 { 9_000 } else { 150 };
                        let value = vec![number; length];
                        writer.put(Tree::Blobs, &key, &value)?;
                        entries.insert(key, value);
                    }
                    writer.put(
                        Tree::Meta,
                        ADDED_KEY,
                        &(u32::from(round) * 100 + 100).to_le_bytes(),
                    )?;
                    writer.commit()
                })
                .unwrap();
        }
        drop(engine);
        let bytes = std::fs::read(path).unwrap();
        let (mut branch, mut leaves) = (0, Vec::new());
        let mut snapshot = snapshot_of(&dir.path().join("again"), &bytes).unwrap();
        assert!(snapshot.walk(Tree::Blobs, &mut |_| {}).is_none());
        for number in 2..bytes.len() / PAGE {
            let page = &bytes[number * PAGE..(number + 1) * PAGE];
            let reading = read_page(page, number as u64, KeyOrder::Bytes);
            if flags_of(page) == 1 && reading.problem.is_none() && snapshot.uses(number as u64) {
                branch = number;
                leaves.extend(reading.nodes.iter().map(|node| match node.content {
                    Content::Child(child) => usize::try_from(child).unwrap(),
                    other => panic!("{other:?}"),
                }));
            }
        }
        assert!(leaves.len() > 5, "{leaves:?}");
        Self { dir, bytes, entries, branch, leaves }
    }

    /// Changes one page of a copy, and looks at the copy.
    fn with_page(&self, number: usize, change: impl FnOnce(&mut [u8])) -> Look {
        let mut bytes = self.bytes.clone();
        change(&mut bytes[number * PAGE..(number + 1) * PAGE]);
        self.look(&bytes)
    }

    fn look(&self, bytes: &[u8]) -> Look {
        let mut look = Look::default();
        let path: PathBuf = self.dir.path().join("copy");
        let mut snapshot = match snapshot_of(&path, bytes) {
            Ok(snapshot) => snapshot,
            Err(error) => return Look { other: vec![error.to_string()], ..look },
        };
        let file = snapshot.file();
        let miscounted = snapshot.walk(Tree::Blobs, &mut |found| match found {
            Found::Entry { key, value, place, doubtful } => {
                let read = match value {
                    Value::Inside(bytes) => Ok((bytes::Bytes::copy_from_slice(bytes), None)),
                    Value::Outside(run) => file.value_at(run),
                };
                if let Ok((bytes, _)) = &read {
                    assert_eq!(*bytes, file.bytes_at(place).unwrap());
                }
                match read {
                    Ok((bytes, None))
                        if self.entries.get(key).is_some_and(|known| *known == bytes) =>
                    {
                        let keys = if doubtful { &mut look.doubtful } else { &mut look.sound };
                        keys.push(key.to_vec());
                    }
                    Ok((_, problem)) => look.other.push(problem.unwrap_or("other bytes".into())),
                    Err(reason) => look.other.push(reason),
                }
            }
            Found::Lost(lost) => look.lost.push(lost),
        });
        look.other.extend(miscounted);
        for tree in Tree::ALL.into_iter().filter(|tree| *tree != Tree::Blobs) {
            let counted = snapshot.walk(tree, &mut |found| {
                if let Found::Lost(lost) = found {
                    look.other.push(lost.reason);
                }
            });
            look.other.extend(counted);
        }
        look.other.extend(snapshot.problems().iter().cloned());
        look.other.extend(snapshot.free_list_problems().iter().cloned());
        look.other.extend(snapshot.account());
        snapshot.each_orphan(&mut |_| {});
        look.is_newest = snapshot.is_newest();
        look
    }

    /// Asserts that a change of a page is noticed for this reason, that it costs at most one leaf's
    /// keys, and that it is told which.
    #[track_caller]
    fn expect(&self, look: &Look, reason: &str) {
        let told = look.lost.iter().map(|lost| &lost.reason).chain(&look.other);
        let reasons: Vec<_> = told.collect();
        assert!(reasons.iter().any(|told| told.contains(reason)), "{reason:?}: {reasons:?}");
        let found = |key: &&Vec<u8>| look.sound.contains(key) || look.doubtful.contains(key);
        let missing: Vec<_> = self.entries.keys().filter(|key| !found(key)).collect();
        assert!(missing.len() < self.entries.len() / 3, "{} are missing", missing.len());
        let is_told = |key: &&&Vec<u8>| look.lost.iter().any(|lost| lost.covers(key));
        let untold = missing.iter().filter(|key| !is_told(key)).count();
        assert!(untold == 0 || !look.other.is_empty(), "{untold} keys are lost in silence");
    }
}

fn snapshot_of(path: &std::path::Path, bytes: &[u8]) -> Result<Snapshot, crate::store::StoreError> {
    std::fs::write(path, bytes).unwrap();
    Snapshot::open(path, Purpose::Read, |_| true)
}

fn put(page: &mut [u8], at: usize, bytes: &[u8]) {
    page[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The offset of a page's node.
fn node(page: &[u8], index: usize) -> usize {
    usize::from(offset(page, index))
}

fn offset(page: &[u8], index: usize) -> u16 {
    u16_at(page, 16 + 2 * index)
}

#[test]
fn a_sound_file_has_no_problems_and_every_page_is_accounted_for() {
    let sample = Sample::new();
    let look = sample.look(&sample.bytes);
    assert_eq!(look.sound, sample.entries.keys().cloned().collect::<Vec<_>>());
    assert!(look.lost.is_empty() && look.doubtful.is_empty() && look.is_newest);
    assert_eq!(look.other, [""; 0]);
}

#[test]
fn each_check_of_a_page_finds_what_it_is_for() {
    let sample = Sample::new();
    let (leaf, branch) = (sample.leaves[2], sample.branch);
    type Change = fn(&mut [u8]);
    let leaf_changes: [(&str, Change); 8] = [
        ("it says that it is page", |page| page[0] ^= 0x40),
        ("no tree's", |page| page[10] = 0x08),
        ("the bounds of its free space", |page| put(page, 12, &5_000_u16.to_le_bytes())),
        ("the bounds of its free space", |page| put(page, 14, &4_098_u16.to_le_bytes())),
        ("does not lie within it", |page| put(page, 18, &4_094_u16.to_le_bytes())),
        ("does not lie within it", |page| {
            let at = node(page, 1);
            put(page, at, &60_000_u32.to_le_bytes());
        }),
        ("overlap or leave gaps", |page| {
            let (first, second) = (offset(page, 0), 18);
            put(page, second, &first.to_le_bytes());
        }),
        ("not in order", |page| {
            let (first, second) = (offset(page, 0), offset(page, 1));
            put(page, 16, &[second.to_le_bytes(), first.to_le_bytes()].concat());
        }),
    ];
    for (reason, change) in leaf_changes {
        sample.expect(&sample.with_page(leaf, change), reason);
    }
    let branch_page = sample.bytes[branch * PAGE..(branch + 1) * PAGE].to_vec();
    let as_leaf = sample.with_page(leaf, |page| page[8..].copy_from_slice(&branch_page[8..]));
    sample.expect(&as_leaf, "wrong level");
    let child = |page: &mut [u8], index: usize, number: usize| {
        let at = node(page, index);
        put(page, at, &u32::try_from(number).unwrap().to_le_bytes());
    };
    let cycle = sample.with_page(branch, |page| child(page, 3, branch));
    sample.expect(&cycle, "used twice");
    let elsewhere = sample.with_page(branch, |page| child(page, 3, 1 << 20));
    sample.expect(&elsewhere, "there is no page");
    let twice = sample.with_page(branch, |page| child(page, 3, sample.leaves[5]));
    sample.expect(&twice, "do not belong there");
}

#[test]
fn only_what_leads_to_a_key_is_read() {
    let sample = Sample::new();
    let mut bytes = sample.bytes.clone();
    bytes[sample.leaves[3] * PAGE..(sample.leaves[3] + 1) * PAGE].fill(0xA5);
    let path = sample.dir.path().join("copy");
    let (mut read, mut lost) = (0, 0);
    for key in sample.entries.keys() {
        let mut snapshot = snapshot_of(&path, &bytes).unwrap();
        let (mut found, mut is_lost) = (Vec::new(), false);
        snapshot.walk_to(Tree::Blobs, std::slice::from_ref(key), &mut |each| match each {
            Found::Entry { key, .. } => found.push(key.to_vec()),
            Found::Lost(range) => is_lost |= range.covers(key),
        });
        let leaves = sample.leaves.iter().filter(|leaf| snapshot.uses(**leaf as u64)).count();
        assert_eq!(leaves, 1, "{key:?}");
        assert_eq!(found.contains(key), !is_lost, "{key:?}");
        read += found.len();
        lost += usize::from(is_lost);
    }
    assert!(lost > 0 && read + lost == sample.entries.len(), "{read} read, {lost} lost");
    let mut snapshot = snapshot_of(&path, &bytes).unwrap();
    let none = [vec![0; 18], vec![0xFF; 18]];
    snapshot.walk_to(Tree::Blobs, &none, &mut |_| panic!("neither is there"));
}

#[test]
fn a_page_that_is_free_belongs_to_no_tree() {
    let sample = Sample::new();
    let mut snapshot = snapshot_of(&sample.dir.path().join("used"), &sample.bytes).unwrap();
    snapshot.walk(Tree::Blobs, &mut |_| {});
    let is_old_leaf = |number: &usize| {
        let page = &sample.bytes[number * PAGE..(number + 1) * PAGE];
        let reading = read_page(page, *number as u64, KeyOrder::Bytes);
        let is_sound = reading.kind == Some(Kind::Leaf) && reading.problem.is_none();
        is_sound && reading.nodes[0].key.len() == 18 && !snapshot.uses(*number as u64)
    };
    let old = (2..sample.bytes.len() / PAGE).find(is_old_leaf).unwrap();
    let look = sample.with_page(sample.branch, |page| {
        let at = node(page, 3);
        put(page, at, &u32::try_from(old).unwrap().to_le_bytes());
    });
    sample.expect(&look, "it is listed as free");
}

#[test]
fn leaves_that_take_each_others_place_are_found_by_their_keys() {
    let sample = Sample::new();
    let (one, other) = (sample.leaves[1], sample.leaves[4]);
    let mut bytes = sample.bytes.clone();
    for at in 0..PAGE {
        bytes.swap(one * PAGE + at, other * PAGE + at);
    }
    sample.expect(&sample.look(&bytes), "it says that it is page");
    // Even if their numbers are right.
    put(&mut bytes, one * PAGE, &(one as u64).to_le_bytes());
    put(&mut bytes, other * PAGE, &(other as u64).to_le_bytes());
    sample.expect(&sample.look(&bytes), "do not belong there");
}

#[test]
fn an_older_leaf_is_found_by_the_count_of_entries() {
    let sample = Sample::new();
    let look = sample.with_page(sample.leaves[2], |page| {
        // It is as if the entry whose node comes first in the page had not been added yet.
        let (lower, upper) = (u16_at(page, 12), u16_at(page, 14));
        let count = usize::from(lower - 16) / 2;
        let mut offsets: Vec<u16> = (0..count).map(|index| offset(page, index)).collect();
        let gone = offsets.iter().position(|at| *at == upper).unwrap();
        let next = offsets.iter().copied().filter(|at| *at > upper).min().unwrap();
        offsets.remove(gone);
        for (index, at) in offsets.into_iter().enumerate() {
            put(page, 16 + 2 * index, &at.to_le_bytes());
        }
        put(page, 12, &(lower - 2).to_le_bytes());
        put(page, 14, &next.to_le_bytes());
    });
    assert!(look.lost.is_empty(), "{:?}", look.lost);
    sample.expect(&look, "a page was replaced by another one");
}

#[test]
fn a_value_whose_pages_are_wrong_is_found() {
    let sample = Sample::new();
    let is_first = |number: &usize| flags_of(&sample.bytes[number * PAGE..]) == 4;
    let used = |number: &usize| {
        let mut snapshot = snapshot_of(&sample.dir.path().join("used"), &sample.bytes).unwrap();
        snapshot.walk(Tree::Blobs, &mut |_| {});
        snapshot.uses(*number as u64)
    };
    let pages = 2..sample.bytes.len() / PAGE;
    let first = pages.filter(is_first).find(used).unwrap();
    let look = sample.with_page(first, |page| put(page, 12, &77_u32.to_le_bytes()));
    sample.expect(&look, "says that its value has 77 pages");
    sample.expect(&sample.with_page(first, |page| page[10] = 2), "not the first of a value's");
    // Its length in the leaf leads beyond the file.
    let with_run = |number: &&usize| {
        let page = &sample.bytes[**number * PAGE..(**number + 1) * PAGE];
        let reading = read_page(page, **number as u64, KeyOrder::Bytes);
        reading.kind == Some(Kind::Leaf) && (0..4).any(|at| page[node(page, at) + 4] == 1)
    };
    let leaf = *sample.leaves.iter().find(with_run).unwrap();
    let look = sample.with_page(leaf, |page| {
        let at = (0..4).map(|index| node(page, index)).find(|at| page[at + 4] == 1).unwrap();
        put(page, at, &u32::MAX.to_le_bytes());
    });
    sample.expect(&look, "there is no page");
}

#[test]
fn a_state_is_found_without_its_meta_page() {
    let sample = Sample::new();
    for meta in 0..2 {
        let look = sample.with_page(meta, |page| page.fill(0));
        assert_eq!(look.sound.len(), sample.entries.len(), "{:?}", look.other);
        assert!(!look.other.is_empty() && !look.is_newest);
    }
    let both = [0, PAGE].iter().fold(sample.bytes.clone(), |mut bytes, at| {
        bytes[*at..at + PAGE].fill(0);
        bytes
    });
    assert_eq!(sample.look(&both).sound.len(), sample.entries.len());
    assert!(snapshot_of(&sample.dir.path().join("zeros"), &[0; 9 * PAGE]).is_err());
}

#[test]
fn no_bytes_make_the_reader_panic_loop_or_keep_silent() {
    let sample = Sample::new();
    let mut rng = StdRng::seed_from_u64(17);
    for round in 0..400 {
        let mut bytes = sample.bytes.clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len() - 8);
            match round % 4 {
                0 => bytes[at] ^= 1 << rng.random_range(0..8),
                1 => rng.fill(&mut bytes[at..at + 8]),
                2 => put(&mut bytes, at / 2 * 2, &rng.random_range(0..64_u16).to_le_bytes()),
                _ => bytes.truncate(at),
            }
            if bytes.len() < 16 {
                break;
            }
        }
        let look = sample.look(&bytes);
        let is_silent = look.lost.is_empty() && look.other.is_empty();
        assert!(!is_silent || look.sound.len() == sample.entries.len(), "round {round}");
    }
}

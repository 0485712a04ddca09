//! Verification of the file engine's galleries: every page, every blob against its id and its
//! record, and the trees against each other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::finding::{FILE, Inspect, LostRanges};
use super::hashing::on_threads;
use crate::image::{ImageId, Rendition};
use crate::store::check::{Damage, Verified};
use crate::store::error::hex;
use crate::store::file::pages::{Found, Snapshot};
use crate::store::gallery::lies_elsewhere;
use crate::store::record::{
    blob_key, decode_image, decode_key, decode_mark, decode_origin, image_source_key, origin_owner,
    split_blob_key,
};
use crate::store::tree::Tree;

/// What an image should be, by its record.
struct Expected {
    id: ImageId,
    size: (u32, u32),
    size_bytes: u64,
    renditions: Box<[Rendition]>,
    /// Bit 0: its bytes have a place. Bit n, up to [`LAST_BIT`]: the nth rendition has.
    seen: AtomicU32,
}

/// The last bit of a rendition. Further renditions are rare, and remembered elsewhere.
const LAST_BIT: usize = 30;

/// The bytes are those that the id names.
const WHOLE: u32 = 1 << 31;

/// Ids and widths of renditions.
type SeenBeyond = HashSet<(ImageId, u16)>;

/// A verification under way.
struct Survey<'i> {
    snapshot: Snapshot,
    images: Vec<Expected>,
    /// Renditions that have a place, of those that have no bit for that.
    seen_beyond: SeenBeyond,
    lost_images: LostRanges,
    lost_blobs: LostRanges,
    /// Images that have no record, and what names them.
    named: BTreeMap<ImageId, &'static str>,
    problems: Vec<Damage>,
    inspect: &'i Inspect<'i>,
}

/// Checks a whole gallery, of which `problems` are known.
pub(super) fn survey(snapshot: Snapshot, problems: Vec<Damage>, inspect: &Inspect<'_>) -> Verified {
    let mut survey = Survey {
        snapshot,
        images: Vec::new(),
        seen_beyond: HashSet::new(),
        lost_images: LostRanges::new(Tree::Images),
        lost_blobs: LostRanges::new(Tree::Blobs),
        named: BTreeMap::new(),
        problems,
        inspect,
    };
    survey.read_images();
    let bytes = survey.read_blobs();
    survey.read_references();
    survey.read_keys();
    survey.finish(bytes)
}

impl Survey<'_> {
    fn read_images(&mut self) {
        let mut ordinals = HashMap::new();
        let (images, problems) = (&mut self.images, &mut self.problems);
        let (lost, file) = (&mut self.lost_images, self.snapshot.file());
        let named = &mut self.named;
        let miscounted = self.snapshot.walk(Tree::Images, &mut |found| {
            let (key, value) = match found {
                Found::Entry { key, value, .. } => (key, value),
                Found::Lost(range) => return lost.push(range),
            };
            let Some(id) = ImageId::from_slice(key) else {
                return problems.push(Damage::new(hex(key), "the key is no image id"));
            };
            let record = match file.value(value) {
                Ok((bytes, problem)) => {
                    problems.extend(problem.map(|problem| Damage::new(hex(key), problem)));
                    decode_image(id, &bytes).map_err(|error| error.reason())
                }
                Err(reason) => Err(reason),
            };
            let record = match record {
                Ok(record) => record,
                Err(reason) => {
                    named.insert(id, "");
                    return problems.push(Damage::new(id.to_string(), reason));
                }
            };
            if let Some(other) = ordinals.insert(record.ordinal, id) {
                let problem = format!("its ordinal {} is also that of {other}", record.ordinal);
                problems.push(Damage::new(id.to_string(), problem));
            }
            images.push(Expected {
                id,
                size: (record.width, record.height),
                size_bytes: record.size_bytes,
                renditions: record.kept_renditions().cloned().collect(),
                seen: AtomicU32::new(0),
            });
        });
        // Entries of a damaged page may be out of order.
        images.sort_by_key(|image| image.id);
        images.dedup_by_key(|image| image.id);
        problems.extend(miscounted.map(|reason| Damage::new(Tree::Images.name(), reason)));
    }

    /// Hashes all bytes, and returns their number.
    fn read_blobs(&mut self) -> u64 {
        let found = Mutex::new(Vec::new());
        let bytes = AtomicU64::new(0);
        let (images, file) = (&self.images, self.snapshot.file());
        let (snapshot, lost) = (&mut self.snapshot, &mut self.lost_blobs);
        let (named, problems) = (&mut self.named, &mut self.problems);
        let seen_beyond = &mut self.seen_beyond;
        let inspect = self.inspect;
        let check = |(index, width): (usize, u16), read: Read| {
            let image: &Expected = &images[index];
            let problem = match read {
                Err(reason) => Some(reason),
                Ok((webp, problem)) => {
                    bytes.fetch_add(webp.len() as u64, Ordering::Relaxed);
                    image.check(width, &webp, inspect).or(problem)
                }
            };
            if let Some(problem) = problem {
                let about = if width == 0 {
                    problem
                } else {
                    format!("its rendition of width {width} {problem}")
                };
                let damage = Damage::new(image.id.to_string(), about);
                found.lock().unwrap_or_else(PoisonError::into_inner).push(damage);
            }
        };
        on_threads(&file, &check, |jobs| {
            let miscounted = snapshot.walk(Tree::Blobs, &mut |found| {
                let (key, value) = match found {
                    Found::Entry { key, value, .. } => (key, value),
                    Found::Lost(range) => return lost.push(range),
                };
                let Some((id, width)) = split_blob_key(key) else {
                    let problem = "the key of these bytes is malformed";
                    return problems.push(Damage::new(hex(key), problem));
                };
                let Ok(index) = images.binary_search_by_key(&id, |image| image.id) else {
                    named.entry(id).or_insert("there are bytes of it, but no record");
                    return;
                };
                if images[index].see(width, seen_beyond) {
                    jobs.push((index, width), value);
                }
            });
            problems.extend(miscounted.map(|reason| Damage::new(Tree::Blobs.name(), reason)));
        });
        problems.extend(found.into_inner().unwrap_or_else(PoisonError::into_inner));
        bytes.into_inner()
    }

    /// Looks for images that source marks and origins name, and compares the marks with their index
    /// by image.
    fn read_references(&mut self) {
        let mut marked = Vec::new();
        let has_all_marks = self.scan(Tree::Sources, |key, value| {
            let id = ImageId::from_slice(value).ok_or("the source mark names no image")?;
            marked.push(image_source_key(id, key));
            Ok(Some((id, "a source is marked as imported, but there is no such image")))
        });
        marked.sort_unstable();
        let mut marked = marked.into_iter().peekable();
        let (mut unmarked, mut missing) = (Vec::new(), Vec::new());
        let has_all_index = self.scan(Tree::ImageSources, |key, _| {
            missing.extend(std::iter::from_fn(|| marked.next_if(|mark| **mark < *key)));
            if marked.next_if(|mark| **mark == *key).is_none() {
                unmarked.push(key.to_vec());
            }
            let id = key.get(..ImageId::LEN).and_then(ImageId::from_slice);
            let id = id.ok_or("the key in the index by image names no image")?;
            Ok(Some((id, "a source is in the index by image, but there is no such image")))
        });
        missing.extend(marked);
        let differences = [
            (unmarked, "the index by image has a source that is not marked"),
            (missing, "a source mark is missing in the index by image"),
        ];
        // What is lost of either tree is told as a range.
        for (keys, problem) in differences.into_iter().filter(|_| has_all_marks && has_all_index) {
            let owners = keys.iter().map(|key| hex(&key[..ImageId::LEN.min(key.len())]));
            self.problems.extend(owners.map(|owner| Damage::new(owner, problem)));
        }
        self.scan(Tree::Removed, |key, value| {
            decode_mark(key, value).map(|_| None).map_err(|error| error.reason())
        });
        self.scan(Tree::Origins, |key, value| {
            let owner = origin_owner(key).and_then(|id| decode_origin(key, value).map(|_| id));
            owner
                .map(|id| Some((id, "a file is noted as its origin, but there is no such image")))
                .map_err(|error| error.reason())
        });
    }

    fn read_keys(&mut self) {
        let (problems, file) = (&mut self.problems, self.snapshot.file());
        let mut lost = LostRanges::new(Tree::Keys);
        let miscounted = self.snapshot.walk(Tree::Keys, &mut |found| match found {
            Found::Entry { key, value, .. } => {
                let decoded = file
                    .value(value)
                    .and_then(|(bytes, _)| decode_key(key, &bytes).map_err(|error| error.reason()));
                problems.extend(decoded.err().map(|reason| Damage::new(hex(key), reason)));
            }
            Found::Lost(range) => lost.push(range),
        });
        problems.extend(lost.findings());
        problems.extend(miscounted.map(|reason| Damage::new(Tree::Keys.name(), reason)));
    }

    /// Visits the entries of a tree that names images: `name` returns which, and what is to be said
    /// if there is none. Returns whether all of the tree could be read.
    fn scan(
        &mut self,
        tree: Tree,
        mut name: impl FnMut(&[u8], &[u8]) -> Result<Option<(ImageId, &'static str)>, String>,
    ) -> bool {
        let (problems, file) = (&mut self.problems, self.snapshot.file());
        let (images, named) = (&self.images, &mut self.named);
        let mut lost = LostRanges::new(tree);
        let miscounted = self.snapshot.walk(tree, &mut |found| match found {
            Found::Entry { key, value, .. } => {
                match file.value(value).and_then(|(bytes, _)| name(key, &bytes)) {
                    Ok(None) => {}
                    Ok(Some((id, words))) => {
                        if images.binary_search_by_key(&id, |image| image.id).is_err() {
                            named.entry(id).or_insert(words);
                        }
                    }
                    Err(reason) => problems.push(Damage::new(hex(key), reason)),
                }
            }
            Found::Lost(range) => lost.push(range),
        });
        problems.extend(lost.findings());
        let is_whole = lost.is_empty() && miscounted.is_none();
        problems.extend(miscounted.map(|reason| Damage::new(tree.name(), reason)));
        is_whole
    }

    fn finish(mut self, bytes: u64) -> Verified {
        let problems = &mut self.problems;
        problems.extend(self.lost_images.findings());
        problems.extend(self.lost_blobs.findings());
        let mut readable = 0;
        for image in &self.images {
            readable += u64::from(image.seen.load(Ordering::Relaxed) & WHOLE != 0);
            image.find_missing(&self.seen_beyond, &self.lost_blobs, problems);
        }
        for (id, words) in &self.named {
            let reason = self.lost_images.reason(id.as_bytes()).unwrap_or(words);
            if !reason.is_empty() {
                let problem = format!("its record can't be read: {reason}");
                let is_lost = !self.lost_images.is_empty();
                let words = if is_lost { problem } else { reason.to_owned() };
                problems.push(Damage::new(id.to_string(), words));
            }
        }
        let of_file = self.snapshot.free_list_problems().iter().cloned();
        let of_file: Vec<String> = of_file.chain(self.snapshot.account()).collect();
        problems.extend(of_file.into_iter().map(|problem| Damage::new(FILE, problem)));
        problems.sort_by(|a, b| a.subject.cmp(&b.subject));
        let known = (self.images.len() + self.named.len()) as u64;
        let entries = self.snapshot.entries(Tree::Images);
        Verified {
            images: self.images.len() as u64,
            bytes,
            readable,
            unreadable: entries.map(|entries| known.max(entries) - readable),
            problems: self.problems,
        }
    }
}

/// A value's bytes and what is wrong with their pages, or why they can't be had.
type Read = Result<(Bytes, Option<String>), String>;

impl Expected {
    /// Notes that bytes of this width have a place. Returns whether the record knows of them.
    fn see(&self, width: u16, seen_beyond: &mut SeenBeyond) -> bool {
        let mut widths = self.renditions.iter().map(|rendition| rendition.width);
        let place = match width {
            0 => Some(0),
            width => widths.position(|known| known == width).map(|index| index + 1),
        };
        let Some(place) = place else { return false };
        if place > LAST_BIT {
            seen_beyond.insert((self.id, width));
        } else {
            self.seen.fetch_or(1 << place, Ordering::Relaxed);
        }
        true
    }

    /// Says what is wrong with bytes of this width.
    fn check(&self, width: u16, webp: &[u8], inspect: &Inspect<'_>) -> Option<String> {
        if lies_elsewhere(webp) {
            let lie = "outside the gallery, which this imagepool knows nothing of";
            return Some(if width == 0 {
                format!("its bytes lie {lie}")
            } else {
                format!("lies {lie}")
            });
        }
        if width != 0 {
            let found = Rendition::of(width, webp);
            let is_right = self.renditions.contains(&found);
            return (!is_right).then(|| "is not what its record says".into());
        }
        if ImageId::of(webp) != self.id {
            return Some("its bytes are not those that its id names".into());
        }
        self.seen.fetch_or(WHOLE, Ordering::Relaxed);
        if webp.len() as u64 != self.size_bytes {
            let (found, said) = (webp.len(), self.size_bytes);
            return Some(format!("it has {found} bytes, its record says {said}"));
        }
        inspect(webp, self.size)
    }

    /// Tells of bytes that have no place.
    fn find_missing(
        &self,
        seen_beyond: &SeenBeyond,
        lost: &LostRanges,
        problems: &mut Vec<Damage>,
    ) {
        let seen = self.seen.load(Ordering::Relaxed);
        let widths = self.renditions.iter().map(|rendition| rendition.width);
        for (place, width) in std::iter::once(0).chain(widths).enumerate() {
            let is_there = if place > LAST_BIT {
                seen_beyond.contains(&(self.id, width))
            } else {
                seen & (1 << place) != 0
            };
            if is_there {
                continue;
            }
            let (what, verb) = match width {
                0 => ("its bytes".to_owned(), "are"),
                width => (format!("its rendition of width {width}"), "is"),
            };
            let problem = match lost.reason(&blob_key(self.id, width)) {
                Some(reason) => format!("{what} can't be found: {reason}"),
                None => format!("{what} {verb} missing"),
            };
            problems.push(Damage::new(self.id.to_string(), problem));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageRecord;
    use crate::store::{Access, Addition, Locator, Reader, SourceKey, Store};

    /// From the 31st on, a rendition that was missing passed for its neighbour.
    #[test]
    fn each_rendition_that_is_missing_is_told_however_many_there_are() {
        const WIDTHS: u16 = 40;
        let dir = tempfile::tempdir().unwrap();
        let locator = Locator::File(dir.path().join("g.pool"));
        let store = Store::open(&locator, Access::Create).unwrap();
        let webp = b"image".to_vec();
        let id = ImageId::of(&webp);
        let record = ImageRecord { size_bytes: webp.len() as u64, ..ImageRecord::default() };
        let addition = Addition {
            id,
            image: Some((Box::new(record), webp)),
            hand_tags: Vec::new(),
            renditions: (1..=WIDTHS).map(|width| (width, width.to_be_bytes().into())).collect(),
            source: SourceKey::new(&[7; 32], [7; 8]),
            origin: None,
            moved_from: Vec::new(),
            again: false,
        };
        store.add(&[addition]).unwrap();
        drop(store);
        assert_eq!(verify(&locator), Vec::<String>::new());
        let mut missing = Vec::new();
        for width in (1..=WIDTHS).rev().step_by(3) {
            let store = Store::open(&locator, Access::Write).unwrap();
            store.write(|writer| writer.delete(Tree::Blobs, &blob_key(id, width))).unwrap();
            drop(store);
            missing.insert(0, format!("its rendition of width {width} is missing"));
            assert_eq!(verify(&locator), missing);
        }
    }

    fn verify(locator: &Locator) -> Vec<String> {
        let verified = Reader::open(locator).unwrap().verify(&|_, _| None).unwrap();
        verified.problems.into_iter().map(|damage| damage.problem).collect()
    }
}

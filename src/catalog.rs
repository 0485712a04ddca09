//! The gallery's index in memory, and the pick. Pure: no I/O, no async; `http` loads and swaps it.
//!
//! Images stand in the order of their ordinals, that is of arrival; where one stands is its *position* in this catalog. A
//! filter becomes a [`Matches`], the set of positions that meet it, once; the few used last are kept, so that a pick under a
//! filter costs what a pick among all does. Orientation, animation and tags are compressed bitmaps (roaring); bounds are
//! looked up in columns.

mod builder;
mod filter;
mod seed;
mod selection;
mod shuffle;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rand::{Rng, RngExt as _};
use roaring::RoaringBitmap;

use crate::image::{ImageId, Orientation};
pub use builder::{CatalogBuilder, Entry, Stamp};
pub use filter::{Filter, TagTerm};
use seed::Ranking;
use selection::Selection;
use shuffle::Permutation;

/// Evaluated filters that are kept: each takes a bit an image.
const KEPT_FILTERS: usize = 64;
/// Renditions of an image whose check is remembered; further ones are checked each time.
const REMEMBERED_RENDITIONS: usize = 7;

/// All images at one version of the gallery: some 38 bytes an image, and what the tags take.
#[derive(Default)]
pub struct Catalog {
    version: u64,
    ids: Vec<ImageId>,
    /// Ascending.
    ordinals: Vec<u32>,
    /// Pixels; WebP has at most 16,383 a side.
    sizes: Vec<(u16, u16)>,
    /// Positions in the order of their ids.
    by_id: Vec<u32>,
    /// In the same order.
    stamps: Vec<Stamp>,
    /// How many ordinals are below 1, 2, 4, ... 2^32.
    octaves: Vec<usize>,
    portrait: RoaringBitmap,
    square: RoaringBitmap,
    animated: RoaringBitmap,
    tags: HashMap<Box<str>, RoaringBitmap>,
    /// By position: bit 0 for the image, the others for its renditions.
    checked: Vec<AtomicU8>,
    /// By position.
    read: Vec<AtomicU8>,
    evaluated: Mutex<Evaluated>,
}

/// Where an image stands in the catalog that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(usize);

/// A count of images as ordinals are kept.
fn index(count: usize) -> u32 {
    u32::try_from(count).expect("there are no more images than ordinals")
}

/// Who comes next: what a random request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw<'d> {
    /// Each match with the same probability.
    Random,
    /// Always the same for the same text, as long as it is there.
    Seed(&'d str),
    /// The match at this index, modulo their number, of the permutation that the text names.
    Shuffle(&'d str, u64),
}

impl Catalog {
    /// The gallery's version that this catalog shows.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// An image, each with the same probability; `None` when there is none.
    pub fn pick(&self, random: &mut impl Rng) -> Option<Position> {
        if self.ids.is_empty() {
            return None;
        }
        Some(Position(random.random_range(0..self.ids.len())))
    }

    /// The oldest images, by arrival: at most so many.
    pub fn oldest(&self, most: usize) -> impl Iterator<Item = Position> + use<> {
        (0..self.len().min(most)).map(Position)
    }

    /// Where an image stands; `None` when it is not in this catalog.
    #[must_use]
    pub fn position(&self, id: ImageId) -> Option<Position> {
        let at =
            self.by_id.binary_search_by_key(&id, |position| self.ids[*position as usize]).ok()?;
        Some(Position(self.by_id[at] as usize))
    }

    /// The image that stands there.
    #[must_use]
    pub fn id(&self, position: Position) -> ImageId {
        self.ids[position.0]
    }

    /// The images that meet a filter; `None` when it was not evaluated yet, or so long ago that it was forgotten.
    #[must_use]
    pub fn known_matches(self: &Arc<Self>, filter: &Filter) -> Option<Matches> {
        let selection =
            self.evaluated.lock().unwrap_or_else(PoisonError::into_inner).find(filter)?;
        Some(Matches { catalog: Arc::clone(self), selection })
    }

    /// The images that meet a filter. Where it is not known, this costs time in proportion to the catalog: about a
    /// millisecond for a million images.
    #[must_use]
    pub fn matches(self: &Arc<Self>, filter: &Filter) -> Matches {
        if let Some(known) = self.known_matches(filter) {
            return known;
        }
        let selection = Arc::new(self.evaluate(filter));
        self.evaluated.lock().unwrap_or_else(PoisonError::into_inner).keep(filter, &selection);
        Matches { catalog: Arc::clone(self), selection }
    }

    fn evaluate(&self, filter: &Filter) -> Selection {
        let mut set: Option<RoaringBitmap> = None;
        let mut restrict = |members: &RoaringBitmap| match &mut set {
            Some(set) => *set &= members,
            None => set = Some(members.clone()),
        };
        let nobody = RoaringBitmap::new();
        for term in filter.tags.iter().filter(|term| term.wanted) {
            restrict(self.tags.get(term.tag.as_str()).unwrap_or(&nobody));
        }
        match filter.orientation {
            Some(Orientation::Portrait) => restrict(&self.portrait),
            Some(Orientation::Square) => restrict(&self.square),
            Some(Orientation::Landscape) | None => {}
        }
        if filter.animated == Some(true) {
            restrict(&self.animated);
        }
        let mut left_out: Vec<&RoaringBitmap> = filter
            .tags
            .iter()
            .filter(|term| !term.wanted)
            .filter_map(|term| self.tags.get(term.tag.as_str()))
            .collect();
        if filter.orientation == Some(Orientation::Landscape) {
            left_out.extend([&self.portrait, &self.square]);
        }
        if filter.animated == Some(false) {
            left_out.push(&self.animated);
        }
        if !left_out.is_empty() {
            let set = set.get_or_insert_with(|| {
                let mut all = RoaringBitmap::new();
                all.insert_range(0..index(self.len()));
                all
            });
            left_out.into_iter().for_each(|members| *set -= members);
        }
        let fits = |position: usize| {
            let (width, height) = self.sizes[position];
            filter.fits(width.into(), height.into())
        };
        Selection::of(self.len(), set.as_ref(), filter.is_bounded().then_some(fits))
    }

    /// Whether [`Catalog::mark_checked`] was called for the image there (`None`), or for its rendition with this number.
    #[must_use]
    pub fn is_checked(&self, position: Position, rendition: Option<usize>) -> bool {
        check_bit(rendition)
            .is_some_and(|bit| self.checked[position.0].load(Ordering::Relaxed) & bit != 0)
    }

    /// Remembers that the image's bytes were found to be those that its id names, or its rendition's those of its record.
    pub fn mark_checked(&self, position: Position, rendition: Option<usize>) {
        if let Some(bit) = check_bit(rendition) {
            self.checked[position.0].fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// When the image was last read; what [`Catalog::mark_read`] was told.
    #[must_use]
    pub fn last_read(&self, position: Position) -> u8 {
        self.read[position.0].load(Ordering::Relaxed)
    }

    /// Remembers when the image was read; 0 for never.
    pub fn mark_read(&self, position: Position, when: u8) {
        self.read[position.0].store(when, Ordering::Relaxed);
    }

    /// No image was ever read.
    pub fn forget_reads(&self) {
        self.read.iter().for_each(|read| read.store(0, Ordering::Relaxed));
    }
}

fn check_bit(rendition: Option<usize>) -> Option<u8> {
    match rendition {
        None => Some(1),
        Some(number) if number < REMEMBERED_RENDITIONS => Some(2 << number),
        Some(_) => None,
    }
}

/// The images of a catalog that meet a filter, oldest first by arrival.
pub struct Matches {
    catalog: Arc<Catalog>,
    selection: Arc<Selection>,
}

impl Matches {
    #[must_use]
    pub fn len(&self) -> u32 {
        self.selection.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One match; `None` when there is none. Under a millionth of a second, but for seeds: see `seed.rs`.
    pub fn draw(&self, draw: Draw<'_>, random: &mut impl Rng) -> Option<ImageId> {
        if self.is_empty() {
            return None;
        }
        let position = match draw {
            Draw::Random => self.selection.select(random.random_range(0..self.len())),
            Draw::Seed(text) => self.ranking(text).next()?,
            Draw::Shuffle(text, index) => {
                self.selection.select(Permutation::new(text, self.len()).at(index))
            }
        };
        Some(self.catalog.ids[position])
    }

    /// Up to `count` distinct matches, all there are if they are fewer: at random; or those that a seed names first, in its
    /// order; or those from the index on in a permutation.
    pub fn draw_distinct(
        &self,
        draw: Draw<'_>,
        count: usize,
        random: &mut impl Rng,
    ) -> Vec<ImageId> {
        let total = self.len();
        let count = count.min(total as usize);
        if count == 0 {
            return Vec::new();
        }
        let select = |rank| self.catalog.ids[self.selection.select(rank)];
        match draw {
            Draw::Random => rand::seq::index::sample(random, total as usize, count)
                .into_iter()
                .map(|rank| select(index(rank)))
                .collect(),
            Draw::Seed(text) => {
                self.ranking(text).take(count).map(|position| self.catalog.ids[position]).collect()
            }
            Draw::Shuffle(text, first) => {
                let permutation = Permutation::new(text, total);
                // Modulo the number of matches first: the sum must not overflow.
                let first = first % u64::from(total);
                (first..).take(count).map(|index| select(permutation.at(index))).collect()
            }
        }
    }

    /// Up to `count` matches that arrived before the image with ordinal `before` (`None`: of all), newest first, with their
    /// ordinals.
    #[must_use]
    pub fn newest(&self, before: Option<u32>, count: usize) -> Vec<(u32, ImageId)> {
        let end = before.map_or(self.catalog.len(), |before| {
            self.catalog.ordinals.partition_point(|ordinal| *ordinal < before)
        });
        let ranks = 0..self.selection.rank(end);
        let positions = ranks.rev().take(count).map(|rank| self.selection.select(rank));
        positions
            .map(|position| (self.catalog.ordinals[position], self.catalog.ids[position]))
            .collect()
    }

    fn ranking(&self, seed: &str) -> Ranking<'_> {
        Ranking::new(&self.catalog.ordinals, &self.catalog.octaves, &self.selection, seed)
    }
}

/// The filters evaluated last.
#[derive(Default)]
struct Evaluated {
    /// Counts the uses.
    clock: u64,
    kept: HashMap<Filter, Kept>,
}

struct Kept {
    selection: Arc<Selection>,
    last_used: u64,
}

impl Evaluated {
    fn find(&mut self, filter: &Filter) -> Option<Arc<Selection>> {
        let kept = self.kept.get_mut(filter)?;
        self.clock += 1;
        kept.last_used = self.clock;
        Some(Arc::clone(&kept.selection))
    }

    /// Forgets the one that was not used for longest when there are too many.
    fn keep(&mut self, filter: &Filter, selection: &Arc<Selection>) {
        self.clock += 1;
        let kept = Kept { selection: Arc::clone(selection), last_used: self.clock };
        self.kept.insert(filter.clone(), kept);
        if self.kept.len() > KEPT_FILTERS {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.last_used);
            if let Some(oldest) = oldest.map(|(filter, _)| filter.clone()) {
                self.kept.remove(&oldest);
            }
        }
    }
}

/// Spreads every bit of a number over all of it: the finaliser of `MurmurHash3` with the constants of Stafford's "Mix13", as in
/// `SplitMix64` (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
fn mix(mut number: u64) -> u64 {
    number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests;

//! Picks under a filter: at random, by seed, by permutation, and the newest by arrival.

use std::sync::{Arc, PoisonError};

use rand::{Rng, RngExt as _};
use roaring::RoaringBitmap;

use super::filter::Filter;
use super::index::{Catalog, count_u32};
use super::seed::Ranking;
use super::selection::Selection;
use super::shuffle::Permutation;
use crate::image::{ImageId, Orientation};

/// How a random request chooses among the images that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw<'d> {
    /// Every match is equally likely.
    Random,
    /// The same text always gives the same match, as long as that image is there.
    Seed(&'d str),
    /// The match at this index, modulo their number, of the permutation that the text names.
    Shuffle(&'d str, u64),
}

/// The images of a catalog that meet a filter, in the order of their arrival.
pub struct Matches {
    catalog: Arc<Catalog>,
    selection: Arc<Selection>,
}

impl Catalog {
    /// Returns the images that meet a filter, or `None` if the filter is not in the cache.
    #[must_use]
    pub fn known_matches(self: &Arc<Self>, filter: &Filter) -> Option<Matches> {
        let selection =
            self.filter_cache.lock().unwrap_or_else(PoisonError::into_inner).find(filter)?;
        Some(Matches { catalog: Arc::clone(self), selection })
    }

    /// Returns the images that meet a filter.
    ///
    /// A filter that is not in the cache costs time in proportion to the catalog: about a
    /// millisecond for a million images.
    #[must_use]
    pub fn matches(self: &Arc<Self>, filter: &Filter) -> Matches {
        if let Some(known) = self.known_matches(filter) {
            return known;
        }
        let selection = Arc::new(self.evaluate(filter));
        self.filter_cache.lock().unwrap_or_else(PoisonError::into_inner).insert(filter, &selection);
        Matches { catalog: Arc::clone(self), selection }
    }

    fn evaluate(&self, filter: &Filter) -> Selection {
        let mut set: Option<RoaringBitmap> = None;
        let mut restrict = |members: &RoaringBitmap| match &mut set {
            Some(set) => *set &= members,
            None => set = Some(members.clone()),
        };
        let no_images = RoaringBitmap::new();
        for term in filter.tags.iter().filter(|term| term.wanted) {
            restrict(self.tags.get(term.tag.as_str()).unwrap_or(&no_images));
        }
        match filter.orientation {
            Some(Orientation::Portrait) => restrict(&self.portrait),
            Some(Orientation::Square) => restrict(&self.square),
            Some(Orientation::Landscape) | None => {}
        }
        if filter.animated == Some(true) {
            restrict(&self.animated);
        }
        let mut excluded: Vec<&RoaringBitmap> = filter
            .tags
            .iter()
            .filter(|term| !term.wanted)
            .filter_map(|term| self.tags.get(term.tag.as_str()))
            .collect();
        if filter.orientation == Some(Orientation::Landscape) {
            excluded.extend([&self.portrait, &self.square]);
        }
        if filter.animated == Some(false) {
            excluded.push(&self.animated);
        }
        if !excluded.is_empty() {
            let set = set.get_or_insert_with(|| {
                let mut all = RoaringBitmap::new();
                all.insert_range(0..count_u32(self.len()));
                all
            });
            excluded.into_iter().for_each(|members| *set -= members);
        }
        let fits = |position: usize| {
            let (width, height) = self.sizes[position];
            filter.fits(width.into(), height.into())
        };
        Selection::of(self.len(), set.as_ref(), filter.is_bounded().then_some(fits))
    }
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

    /// Picks one match, or `None` if there is none.
    ///
    /// A pick takes under a microsecond, except by seed: see `seed.rs`.
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

    /// Picks `count` distinct matches, or all of them if there are fewer.
    ///
    /// They are random, or the first ones that the seed ranks, in that order, or the ones from the
    /// given index of the permutation on.
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
                .map(|rank| select(count_u32(rank)))
                .collect(),
            Draw::Seed(text) => {
                self.ranking(text).take(count).map(|position| self.catalog.ids[position]).collect()
            }
            Draw::Shuffle(text, first) => {
                let permutation = Permutation::new(text, total);
                // The remainder is taken first, so that the sum below can't overflow.
                let first = first % u64::from(total);
                (first..).take(count).map(|index| select(permutation.at(index))).collect()
            }
        }
    }

    /// Returns up to `count` matches with their ordinals, the latest arrival first.
    ///
    /// With `before` set, only images with a lower ordinal are listed.
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

//! The images that match a filter, as one bit an image with counts beside the bits. The match with
//! a given rank is found, and the matches of a stretch are counted, without walking them.
//!
//! Counts stand at every 512 bits, as in the first level of Vigna, "Broadword Implementation of
//! Rank/Select Queries" (2008), so either question costs a look at one count's block, or a binary
//! search over the counts and one block.

use std::ops::Range;

use roaring::RoaringBitmap;

/// Number of bits in a word.
const WORD_BITS: usize = 64;
/// Number of words between two counts: a cache line.
const BLOCK_WORDS: usize = 8;
/// Number of bits between two counts.
const BLOCK_BITS: usize = BLOCK_WORDS * WORD_BITS;

/// A set of positions in a catalog.
pub(super) enum Selection {
    /// Every position below this number.
    All(u32),
    Some(Bits),
}

pub(super) struct Bits {
    /// The bits, padded to a whole number of blocks.
    words: Vec<u64>,
    /// Number of bits set before each block, and of all bits set at the end.
    before: Vec<u32>,
}

impl Selection {
    /// Selects the positions below `total` that are in `set` and for which `fits` holds. A missing
    /// condition is met by all.
    pub(super) fn of(
        total: usize,
        set: Option<&RoaringBitmap>,
        fits: Option<impl Fn(usize) -> bool>,
    ) -> Self {
        if set.is_none() && fits.is_none() {
            return Self::All(to_u32(total));
        }
        let mut words = vec![0_u64; total.div_ceil(BLOCK_BITS) * BLOCK_WORDS];
        match (set, &fits) {
            (None, None) => {}
            (Some(set), _) => {
                for position in set {
                    let position = position as usize;
                    words[position / WORD_BITS] |= 1 << (position % WORD_BITS);
                }
                if let Some(fits) = fits {
                    for (at, word) in words.iter_mut().enumerate().filter(|(_, word)| **word != 0) {
                        *word &= mask(at, total, &fits);
                    }
                }
            }
            (None, Some(fits)) => {
                for (at, word) in words.iter_mut().enumerate() {
                    *word = mask(at, total, fits);
                }
            }
        }
        let mut before = vec![0];
        let mut count = 0;
        for block in words.chunks_exact(BLOCK_WORDS) {
            count += ones(block);
            before.push(count);
        }
        Self::Some(Bits { words, before })
    }

    pub(super) fn len(&self) -> u32 {
        match self {
            Self::All(total) => *total,
            Self::Some(bits) => bits.before.last().copied().unwrap_or(0),
        }
    }

    /// Counts the matches before this position.
    pub(super) fn rank(&self, position: usize) -> u32 {
        match self {
            Self::All(_) => to_u32(position),
            Self::Some(bits) => bits.rank(position),
        }
    }

    /// Finds the match with this rank, which must be below [`Selection::len`].
    pub(super) fn select(&self, rank: u32) -> usize {
        match self {
            Self::All(_) => rank as usize,
            Self::Some(bits) => bits.select(rank),
        }
    }
}

/// Makes a word of the 64 positions from `64 * at` on, with the bits set that are below `total` and
/// fit.
fn mask(at: usize, total: usize, fits: &impl Fn(usize) -> bool) -> u64 {
    let Range { start, end } = at * WORD_BITS..total.min((at + 1) * WORD_BITS);
    (start..end).fold(0, |word, position| word | u64::from(fits(position)) << (position - start))
}

/// Narrows a position or a number of positions.
fn to_u32(position: usize) -> u32 {
    #[expect(clippy::expect_used, reason = "every image has an ordinal of its own, of 32 bits")]
    u32::try_from(position).expect("positions have 32 bits")
}

fn ones(words: &[u64]) -> u32 {
    words.iter().map(|word| word.count_ones()).sum()
}

impl Bits {
    fn rank(&self, position: usize) -> u32 {
        let block = position / BLOCK_BITS;
        let Some(words) = self.words.get(block * BLOCK_WORDS..position / WORD_BITS) else {
            return self.before.last().copied().unwrap_or(0);
        };
        let below = match self.words.get(position / WORD_BITS) {
            Some(word) => (word & ((1 << (position % WORD_BITS)) - 1)).count_ones(),
            None => 0,
        };
        self.before[block] + ones(words) + below
    }

    fn select(&self, rank: u32) -> usize {
        let block = self.before.partition_point(|before| *before <= rank) - 1;
        let mut left = rank - self.before[block];
        let mut at = block * BLOCK_WORDS;
        while self.words[at].count_ones() <= left {
            left -= self.words[at].count_ones();
            at += 1;
        }
        at * WORD_BITS + nth_one(self.words[at], left)
    }
}

/// Finds the set bit with this rank.
fn nth_one(mut word: u64, rank: u32) -> usize {
    for _ in 0..rank {
        word &= word - 1;
    }
    word.trailing_zeros() as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_and_none() {
        type Never = fn(usize) -> bool;
        let all = Selection::of(5, None, None::<Never>);
        assert_eq!((all.len(), all.rank(3), all.select(4)), (5, 3, 4));
        let none = Selection::of(5, Some(&RoaringBitmap::new()), None::<Never>);
        assert_eq!((none.len(), none.rank(5)), (0, 0));
        let empty = Selection::of(0, None, Some(|_| true));
        assert_eq!((empty.len(), empty.rank(0)), (0, 0));
    }

    proptest! {
        #[test]
        fn ranks_and_selects_are_those_of_a_list(
            total in 1_usize..3_000,
            divisor in 1_usize..700,
            members in proptest::collection::btree_set(0_u32..3_000, 0..400),
            by_members in any::<bool>(),
        ) {
            let is_below = |member: &&u32| (**member as usize) < total;
            let set: RoaringBitmap = members.iter().filter(is_below).collect();
            let fits = |position: usize| position % divisor < divisor.div_ceil(2);
            let selection = Selection::of(total, by_members.then_some(&set), Some(fits));
            let expected: Vec<usize> = (0..total)
                .filter(|position| fits(*position))
                .filter(|position| !by_members || set.contains(u32::try_from(*position).unwrap()))
                .collect();
            prop_assert_eq!(selection.len() as usize, expected.len());
            for (rank, position) in expected.iter().enumerate() {
                prop_assert_eq!(selection.select(u32::try_from(rank).unwrap()), *position);
            }
            for position in 0..=total {
                let below = expected.iter().filter(|member| **member < position).count();
                prop_assert_eq!(selection.rank(position) as usize, below);
            }
        }
    }
}

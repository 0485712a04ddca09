//! `seed=`: the same image for the same text, with as little change as possible when images come
//! and go.
//!
//! This is rendezvous hashing (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit
//! Rates", 1998). Under a seed each ordinal has a random time, exponentially distributed with mean
//! 1 and independent of all others, and of the images that match the one with the earliest time
//! wins. So every image wins equally many seeds. An image that comes takes only the seeds that it
//! wins (one in N), one that goes gives back only its own, and an image that wins among all wins
//! under each filter that it matches.
//!
//! The times of a million images need not be computed to find the earliest. The earliest of `2^k`
//! such times is exponentially distributed with mean `2^-k` and falls into either half with
//! probability 1/2. The earliest of the other half is later by an exponentially distributed time
//! with mean `2^-(k-1)`, because the exponential distribution is memoryless. So the times are
//! *defined* from the top: each stretch of ordinals from `2^k` to `2^(k+1)` has its earliest time
//! from a hash of seed and stretch, and halves inherit or add to it, down to the single ordinal.
//!
//! The search opens stretches in the order of their earliest times and passes those without a
//! match. It opens some forty stretches when most ordinals match, and at worst a multiple of the
//! square root of the ordinals ever given.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::mix::mix;
use super::selection::Selection;

/// Key of the hash, which separates this use of a text from any other.
const CONTEXT: &[u8; 32] = b"imagepool: rendezvous of a seed.";

/// A stretch of `2^bits` ordinals with at least one match.
struct Stretch {
    /// The earliest time of its ordinals, matching or not.
    time: f64,
    first: u32,
    bits: u32,
    /// Positions of its images in the catalog.
    positions: Range<usize>,
    /// Ranks of its matches in the selection.
    ranks: Range<u32>,
}

/// Orders earlier times as greater, so that a heap returns them first.
impl Ord for Stretch {
    fn cmp(&self, other: &Self) -> Ordering {
        other.time.total_cmp(&self.time).then(other.first.cmp(&self.first))
    }
}

impl PartialOrd for Stretch {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Stretch {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Stretch {}

/// Iterates over the positions of matches in the order of their times under a seed.
pub(super) struct Ranking<'c> {
    /// The ordinal of each position, ascending.
    ordinals: &'c [u32],
    selection: &'c Selection,
    seed: [u64; 2],
    /// Stretches that were found and not yet split.
    pending: BinaryHeap<Stretch>,
}

impl<'c> Ranking<'c> {
    /// Starts a ranking. `octaves[k]` is the number of ordinals below `2^k`, for k from 0 to 32.
    pub(super) fn new(
        ordinals: &'c [u32],
        octaves: &[usize],
        selection: &'c Selection,
        seed: &str,
    ) -> Self {
        let hash = *blake3::keyed_hash(CONTEXT, seed.as_bytes()).as_bytes();
        let mut seed = [0; 2];
        for (number, bytes) in seed.iter_mut().zip(hash.as_chunks().0) {
            *number = u64::from_le_bytes(*bytes);
        }
        let mut ranking = Self { ordinals, selection, seed, pending: BinaryHeap::new() };
        // The stretches are ordinal 0, then 1, then 2 to 3, 4 to 7 and so on.
        ranking.push_root(0, 0, 0..octaves[0]);
        for bits in 0..32 {
            ranking.push_root(1 << bits, bits, octaves[bits as usize]..octaves[bits as usize + 1]);
        }
        ranking
    }

    fn push_root(&mut self, first: u32, bits: u32, positions: Range<usize>) {
        let ranks = self.selection.rank(positions.start)..self.selection.rank(positions.end);
        if !ranks.is_empty() {
            // Roots have odd numbers and middles even ones, so none share a hash, see `split`.
            let random = self.random(u64::from(first) << 1 | 1);
            self.pending.push(Stretch {
                time: exponential(random, bits),
                first,
                bits,
                positions,
                ranks,
            });
        }
    }

    /// Computes 64 random bits from the seed and the number of a stretch or its middle.
    fn random(&self, node: u64) -> u64 {
        mix(mix(node ^ self.seed[0]) ^ self.seed[1])
    }

    /// Splits a stretch in halves, and returns the one with the earlier time or `None` if that one
    /// has no match. The other one is left for later.
    fn split(&mut self, stretch: Stretch) -> Option<Stretch> {
        let Stretch { time, first, bits, positions, ranks } = stretch;
        let bits = bits - 1;
        let middle = first + (1 << bits);
        // The middle is named by twice its ordinal. A stretch has exactly one, and no two share it.
        let random = self.random(u64::from(middle) << 1);
        let lower_is_earlier = random & 1 == 0;
        let later = time + exponential(random, bits);
        let times = if lower_is_earlier { [time, later] } else { [later, time] };

        let position = self.boundary(middle, 1 << bits, &positions);
        let rank = self.selection.rank(position);
        let lower = Stretch {
            time: times[0],
            first,
            bits,
            positions: positions.start..position,
            ranks: ranks.start..rank,
        };
        let upper = Stretch {
            time: times[1],
            first: middle,
            bits,
            positions: position..positions.end,
            ranks: rank..ranks.end,
        };
        let (earlier, later) = if lower_is_earlier { (lower, upper) } else { (upper, lower) };
        if !later.ranks.is_empty() {
            self.pending.push(later);
        }
        (!earlier.ranks.is_empty()).then_some(earlier)
    }

    /// Finds the first position whose ordinal is `middle` or higher, in a stretch with `half`
    /// ordinals on either side of it.
    fn boundary(&self, middle: u32, half: usize, positions: &Range<usize>) -> usize {
        // Neither half has more images than ordinals, which bounds the search. Without gaps both
        // bounds are the same.
        let least = positions.end.saturating_sub(half).max(positions.start);
        let most = (positions.start + half).min(positions.end);
        least + self.ordinals[least..most.max(least)].partition_point(|ordinal| *ordinal < middle)
    }
}

impl Iterator for Ranking<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let mut stretch = self.pending.pop()?;
        loop {
            if stretch.bits == 0 {
                return Some(self.selection.select(stretch.ranks.start));
            }
            stretch = match self.split(stretch) {
                Some(earlier) => earlier,
                None => self.pending.pop()?,
            };
        }
    }
}

/// Turns the upper 53 of 64 random bits into an exponentially distributed time with mean `2^-bits`,
/// by inverse transform sampling.
fn exponential(random: u64, bits: u32) -> f64 {
    let uniform = ((random >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -uniform.ln() / (1_u64 << bits) as f64
}

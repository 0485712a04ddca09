//! The gallery's index in memory, and the pick. Pure: no I/O, no async; `http` loads and swaps it.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::{Rng, RngExt as _};

use crate::image::ImageId;

/// The ids of all images at one version of the gallery, 16 bytes an image, and which of them were already checked
/// against their bytes, one bit an image.
pub struct Catalog {
    version: u64,
    /// Ascending, without repeats; a position in here is an image's ordinal.
    ids: Vec<ImageId>,
    checked: Vec<AtomicU64>,
}

impl Catalog {
    /// A catalog of these ids, in any order.
    #[must_use]
    pub fn new(version: u64, mut ids: Vec<ImageId>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        let checked = (0..ids.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { version, ids, checked }
    }

    /// Takes over which images `earlier` had checked: what an id names never changes while the server runs.
    #[must_use]
    pub fn carry_over(self, earlier: &Self) -> Self {
        let mut ordinal = 0;
        for (earlier_ordinal, id) in earlier.ids.iter().enumerate() {
            while ordinal < self.ids.len() && self.ids[ordinal] < *id {
                ordinal += 1;
            }
            if self.ids.get(ordinal) == Some(id) && earlier.bit(earlier_ordinal) {
                self.set_bit(ordinal);
            }
        }
        self
    }

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
    pub fn pick(&self, random: &mut impl Rng) -> Option<ImageId> {
        if self.ids.is_empty() {
            return None;
        }
        Some(self.ids[random.random_range(0..self.ids.len())])
    }

    /// Whether [`Catalog::mark_checked`] was called for the image.
    #[must_use]
    pub fn is_checked(&self, id: ImageId) -> bool {
        self.ids.binary_search(&id).is_ok_and(|ordinal| self.bit(ordinal))
    }

    /// Remembers that the image's bytes were found to be those that its id names.
    pub fn mark_checked(&self, id: ImageId) {
        if let Ok(ordinal) = self.ids.binary_search(&id) {
            self.set_bit(ordinal);
        }
    }

    fn bit(&self, ordinal: usize) -> bool {
        self.checked[ordinal / 64].load(Ordering::Relaxed) >> (ordinal % 64) & 1 == 1
    }

    fn set_bit(&self, ordinal: usize) {
        self.checked[ordinal / 64].fetch_or(1 << (ordinal % 64), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn ids(count: u32) -> Vec<ImageId> {
        (0..count).map(|index| ImageId::of(&index.to_le_bytes())).collect()
    }

    /// Chi-square statistic of `picks` over the images of a catalog of `images`, and the number of images seen.
    fn chi_square(images: u32, picks: u32, seed: u64) -> f64 {
        let catalog = Catalog::new(1, ids(images));
        let mut random = StdRng::seed_from_u64(seed);
        let mut counts = std::collections::HashMap::new();
        for _ in 0..picks {
            *counts.entry(catalog.pick(&mut random).unwrap()).or_insert(0_u32) += 1;
        }
        let expected = f64::from(picks) / f64::from(images);
        ids(images)
            .iter()
            .map(|id| (f64::from(counts.get(id).copied().unwrap_or(0)) - expected).powi(2) / expected)
            .sum()
    }

    #[test]
    fn picks_are_uniform() {
        // The 0.999 quantile of chi-square with 299 degrees of freedom is 380.3, the 0.001 quantile 229.1 (scipy.stats.chi2.ppf).
        for seed in [1, 2, 3] {
            let statistic = chi_square(300, 100_000, seed);
            assert!(statistic < 380.3, "chi-square {statistic} for seed {seed}: p below 0.001");
            // Too even a spread is not random either.
            assert!(statistic > 229.1, "chi-square {statistic} for seed {seed}: p above 0.999");
        }
    }

    #[test]
    fn an_empty_catalog_picks_nothing() {
        assert_eq!(Catalog::new(1, Vec::new()).pick(&mut rand::rng()), None);
    }

    #[test]
    fn what_was_checked_stays_so_as_images_come_and_go() {
        let all = ids(200);
        let before = Catalog::new(1, all[..150].to_vec());
        for id in &all[..100] {
            before.mark_checked(*id);
        }
        let after = Catalog::new(2, all[50..].to_vec()).carry_over(&before);
        for (index, id) in all.iter().enumerate() {
            assert_eq!(after.is_checked(*id), (50..100).contains(&index), "image {index}");
        }
    }
}

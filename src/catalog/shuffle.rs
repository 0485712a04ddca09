//! A keyed permutation of `0..n`, computed element by element: every number comes once, and nothing
//! is remembered.
//!
//! A balanced Feistel network (Luby and Rackoff, "How to Construct Pseudorandom Permutations from
//! Pseudorandom Functions", 1988) permutes the smallest power of four that holds `n`. A result
//! outside of `0..n` is put in again until it is inside (cycle walking: Black and Rogaway, "Ciphers
//! with Arbitrary Finite Domains", 2002), at most four times on average.

use super::mix::mix;

/// Number of rounds. Four make the network a strong pseudorandom permutation if the round function
/// is random; ours is merely well mixed.
const ROUNDS: usize = 8;

/// Least number of bits of each half. With two bits some orders of three numbers came more often
/// than others, however many rounds there were.
const MIN_HALF_BITS: u32 = 3;

/// Key of the hash, which separates this use of a text from any other.
const CONTEXT: &[u8; 32] = b"imagepool: the order of shuffles";

/// A permutation of `0..n`.
pub(super) struct Permutation {
    n: u64,
    half_bits: u32,
    round_keys: [u64; ROUNDS],
}

impl Permutation {
    /// Makes the permutation that `seed` names; `n` is at least 1.
    pub(super) fn new(seed: &str, n: u32) -> Self {
        let n = u64::from(n);
        let bits = u64::BITS - (n - 1).leading_zeros();
        let mut bytes = [0; 8 * ROUNDS];
        let mut hasher = blake3::Hasher::new_keyed(CONTEXT);
        hasher.update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
        let mut round_keys = [0; ROUNDS];
        for (round_key, bytes) in round_keys.iter_mut().zip(bytes.as_chunks().0) {
            *round_key = u64::from_le_bytes(*bytes);
        }
        Self { n, half_bits: bits.div_ceil(2).max(MIN_HALF_BITS), round_keys }
    }

    /// Returns the number at `index`, which is taken modulo `n`.
    pub(super) fn at(&self, index: u64) -> u32 {
        let mut number = index % self.n;
        loop {
            number = self.encrypt(number);
            if number < self.n {
                #[expect(
                    clippy::expect_used,
                    reason = "the number is below n, which has 32 bits"
                )]
                return u32::try_from(number).expect("n has 32 bits");
            }
        }
    }

    fn encrypt(&self, block: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (block >> self.half_bits, block & mask);
        for round_key in self.round_keys {
            (left, right) = (right, left ^ (mix(right ^ round_key) & mask));
        }
        left << self.half_bits | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once_in_each_round() {
        for n in [1, 2, 3, 4, 5, 16, 17, 1_000, 100_003] {
            for seed in ["", "a", "slideshow"] {
                let permutation = Permutation::new(seed, n);
                for start in [0, u64::from(n) * 7] {
                    let mut seen = vec![false; n as usize];
                    for index in start..start + u64::from(n) {
                        let number = permutation.at(index) as usize;
                        assert!(
                            !std::mem::replace(&mut seen[number], true),
                            "{number} twice in {n}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn seeds_give_all_orders_equally_often() {
        // The 0.999 quantiles of chi-square with 3! - 1 and 4! - 1 degrees of freedom.
        for (n, orders, most) in [(3, 6, 20.5), (4, 24, 49.7)] {
            let mut counts = std::collections::HashMap::new();
            let seeds = 24_000;
            for seed in 0..seeds {
                let permutation = Permutation::new(&seed.to_string(), n);
                let order: Vec<u32> =
                    (0..u64::from(n)).map(|index| permutation.at(index)).collect();
                *counts.entry(order).or_insert(0_u32) += 1;
            }
            assert_eq!(counts.len(), orders);
            let expected = f64::from(seeds) / orders as f64;
            let statistic: f64 = counts
                .values()
                .map(|count| (f64::from(*count) - expected).powi(2) / expected)
                .sum();
            assert!(statistic < most, "{statistic} for {n}");
        }
    }

    #[test]
    fn where_a_number_stands_says_nothing_of_the_next() {
        // Differences between neighbours, in 10 classes over 100,003 places: 0.999 quantile with 9
        // degrees of freedom.
        let n = 100_003;
        let permutation = Permutation::new("differences", n);
        let mut counts = [0_u32; 10];
        for index in 0..u64::from(n) {
            let difference = (permutation.at(index + 1) + n - permutation.at(index)) % n;
            counts[(difference * 10 / n) as usize] += 1;
        }
        let expected = f64::from(n) / 10.0;
        let statistic: f64 =
            counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        assert!(statistic < 27.88, "{statistic}");
    }
}

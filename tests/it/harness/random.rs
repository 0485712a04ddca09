//! Reads what the environment sets for tests, above all the seed of random ones.

use std::fmt::Display;
use std::str::FromStr;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// A variable's value, or the default when it is not set.
#[track_caller]
pub fn env_or<T: FromStr<Err: Display>>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")),
        Err(_) => default,
    }
}

/// Says why a test is not run here.
///
/// With `IMAGEPOOL_TEST_NO_SKIP` set, as in CI for root, that is a failure.
#[track_caller]
pub fn skip(reason: &str) {
    let is_allowed = std::env::var_os("IMAGEPOOL_TEST_NO_SKIP").is_none();
    assert!(is_allowed, "this test must not be skipped, but {reason}");
    eprintln!("skipped: {reason}");
}

/// A generator for a random test, seeded by `IMAGEPOOL_TEST_SEED` or afresh.
///
/// The seed is printed, and cargo shows what a test printed when it fails.
#[track_caller]
pub fn seeded_rng() -> StdRng {
    rng_of_seed(rand::rng().random())
}

/// The same, seeded by this number instead of afresh.
#[track_caller]
pub fn rng_of_seed(default: u64) -> StdRng {
    let seed: u64 = env_or("IMAGEPOOL_TEST_SEED", default);
    println!("to draw the same again: IMAGEPOOL_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

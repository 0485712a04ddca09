//! Mutilates copies of a gallery in every way that a disk or a person can, and runs commands on
//! them.
//!
//! Whatever was done to a gallery: no wrong byte is handed out, nothing hangs, nothing ends by a
//! signal, nothing is lost in silence, what was removed stays removed, and `salvage` brings what is
//! whole.
//!
//! In reading order:
//! - `scene`: a gallery with a past, and what it must and must not hold;
//! - `mutilation`: what is done to its file;
//! - `salvage`: what is brought of galleries whose damage is known;
//! - `trial`: the commands on one mutilated copy, and what they must keep to.
//!
//! A few copies are mutilated by default, `IMAGEPOOL_TEST_DAMAGE=1000` are in the long run.

mod mutilation;
mod salvage;
mod scene;
mod trial;

use crate::harness::{Failures, env_or, rng_of_seed};
use mutilation::Kind;
use scene::Scene;
use trial::{Outcome, Trial};

/// Number of copies, unless `IMAGEPOOL_TEST_DAMAGE` sets another.
const COPIES: usize = 44;
/// Seed of the short run.
const SEED: u64 = 17;
/// Least share of the images whose bytes are whole that `salvage` brings, in percent.
const LEAST_PERCENT: usize = 99;

#[test]
fn whatever_is_damaged_nothing_wrong_is_handed_out_and_nothing_is_lost_in_silence() {
    let copies = env_or("IMAGEPOOL_TEST_DAMAGE", COPIES);
    let mut rng = rng_of_seed(SEED);
    let scene = Scene::new();
    let mut failures = Failures::new();
    let mut total = Outcome::default();
    for number in 0..copies {
        let kind = Kind::ALL[number % Kind::ALL.len()];
        let (file, what) = kind.apply(&scene, &mut rng);
        failures.check(format!("copy {number}: {what}"), || {
            let outcome = Trial::new(&scene, &file).run(&mut rng);
            println!("copy {number}: {what}: {outcome:?}");
            total.add(&outcome);
        });
    }
    println!("{copies} copies: {total:#?}");
    let Outcome { whole, brought_whole, .. } = total;
    assert!(brought_whole * 100 >= whole * LEAST_PERCENT, "{brought_whole} of {whole} brought");
}

//! The hash of 64 bits that seeds and shuffles are made of. It hides nothing: no secret depends on
//! it.

/// Spreads every bit of a number over all of it.
///
/// This is the finaliser of `MurmurHash3` with the constants of Stafford's "Mix13", as in
/// `SplitMix64` (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
pub(super) fn mix(mut number: u64) -> u64 {
    number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

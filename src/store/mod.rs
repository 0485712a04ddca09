//! The gallery on disk: one concrete [`Store`] over a closed set of engines.
//!
//! A store promises three things. Commits are atomic and durable. Its version moves with every
//! commit and costs next to nothing to read. Reads are short and pin nothing. Pictures are bytes
//! here: decoding and encoding belong to `codec`.
//!
//! In reading order:
//!
//! - `locator`: where a gallery is.
//! - `error`: what can go wrong, in words for the person who has to mend it.
//! - `tree`: the trees of a gallery, and how they are visited.
//! - `blob`: a WebP held open.
//! - `file`, `sled`: the engines, which only keep trees of bytes.
//! - `engine`: whichever engine there is, and its write transactions.
//! - `addition`: what an import adds.
//! - `record`: records and keys as bytes.
//! - `migrate`: the format's version.
//! - `changes`: what adding, tagging and removing mean, once for all engines.
//! - `gallery`: the [`Store`] itself.
//! - `origins`: which files images came from.
//! - `check`: verification.
//! - `mend`: whether one image is whole, and storing it anew.

mod addition;
mod blob;
mod changes;
mod check;
mod engine;
mod error;
mod file;
mod gallery;
mod locator;
mod mend;
mod migrate;
mod origins;
mod record;
#[cfg(feature = "sled")]
mod sled;
mod tree;

pub use addition::{Added, Addition, Origin, SourceKey};
pub use blob::Blob;
pub use check::{Damage, Verified};
pub use error::StoreError;
pub use file::{Compacted, Place};
pub use gallery::Store;
pub use locator::{BadLocator, Locator};
pub use mend::Condition;
pub use migrate::FORMAT_VERSION;
#[cfg(fuzzing)]
pub use record::fuzz_records;
pub use record::{ImageSummary, StoredImage};
pub use tree::Access;

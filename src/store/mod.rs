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
//! - `tags`, `heritage`: lists of tags, and what an image takes over from others.
//! - `record`: records and keys as bytes.
//! - `draft`: records of the draft of format 1.
//! - `migrate`: the format's version, and the way there.
//! - `changes`: what adding and tagging mean, once for all engines.
//! - `sources`: which images sources became, and what replaces what.
//! - `gallery`: the [`Store`] itself.
//! - `origins`: which files images came from.
//! - `removal`: removing images, and the marks that removals leave.
//! - `check`: verification.
//! - `transfer`: copying what a gallery has into another.
//! - `damage/`: reading galleries that may be damaged, and salvage.
//! - `mend`: whether one image is whole, and storing it anew.

mod addition;
mod blob;
mod changes;
mod check;
mod damage;
mod draft;
mod engine;
mod error;
mod file;
mod gallery;
mod heritage;
mod locator;
mod mend;
mod migrate;
mod origins;
mod record;
mod removal;
#[cfg(feature = "sled")]
mod sled;
mod sources;
mod tags;
mod transfer;
mod tree;

pub use addition::{Added, Addition, Origin, RemovedMark, SourceKey};
pub use blob::Blob;
pub use check::{Damage, Verified};
pub use damage::{Inspect, Reader, Rebuild, Salvaged, salvage};
pub use error::StoreError;
pub use file::{Compacted, Inspection, Place, Reopened, begins_as_gallery, sync_while};
pub use gallery::{Look, Store};
pub use locator::{BadLocator, Locator};
pub use mend::Condition;
pub use migrate::FORMAT_VERSION;
#[cfg(fuzzing)]
pub use record::fuzz_records;
pub use record::{ImageSummary, StoredImage};
pub use transfer::{Transfer, TransferredKeys};
pub use tree::Access;

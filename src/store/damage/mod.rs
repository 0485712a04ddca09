//! Reads galleries that may be damaged, as far as they can be read.
//!
//! The file engine's are read page by page, past whatever is wrong (`file/pages`); sled's up to the
//! first error of the engine.
//!
//! In reading order:
//!
//! - `finding`: what is told of damage.
//! - `reader`: images, their bytes and keys, as far as they can be had.
//! - `hashing`: values read and hashed on several threads.
//! - `survey`: verification of the file engine's galleries.
//! - `claims`: which images the trees of a damaged gallery name.
//! - `rescue`: what a salvage has gathered, and storing it.
//! - `salvage`: a new gallery of all that can be read of a damaged one.

mod claims;
mod finding;
mod hashing;
mod reader;
mod rescue;
mod salvage;
mod survey;

pub use finding::Inspect;
pub use reader::Reader;
pub use rescue::{Rebuild, Salvaged};
pub use salvage::salvage;

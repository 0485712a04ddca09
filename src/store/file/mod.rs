//! The file engine: one LMDB data file through heed, and a lock file `-lock` beside it that holds
//! no data.
//!
//! Several processes may have the gallery open at once; LMDB's lock file orders them. Reads copy
//! nothing and take no lock: they see the last commit. There are only trees of bytes here; what a
//! change means is in `changes`.
//!
//! In reading order:
//!
//! - `lmdb_error`: what LMDB's errors mean.
//! - `open`: opening a file, after examining what LMDB would trust.
//! - `engine`: reading, writing and copying.

mod engine;
mod lmdb_error;
mod open;

pub(super) use engine::{FileEngine, FileWriter};

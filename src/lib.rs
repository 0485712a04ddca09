//! A folder of pictures, served at random, out of one data file.
//!
//! The crate in reading order, lowest first; a module uses only what stands above it:
//!
//! - [`allocator`]: freed memory goes back to the system.
//! - [`image`]: what an image is: its id, its record. Plain data.
//! - [`keys`]: API keys: made, hashed, verified, rotated.
//! - [`catalog`]: the index in memory, and the uniform pick.
//! - [`codec`]: untrusted pictures in, WebP out.
//! - [`store`]: the gallery on disk, on one of a closed set of engines.
//! - [`import`]: walk, convert on all cores, commit in batches.
//! - [`http`]: the server.
//! - [`cli`]: the commands; what `main` runs.
//!
//! The library exists for the program, its tests and its benches; its interface is not a promise.

#![cfg_attr(
    test,
    allow(clippy::duplicate_mod, reason = "a loom model reads its subject with other atomics")
)]

pub mod allocator;
pub mod catalog;
pub mod cli;
pub mod codec;
pub mod http;
pub mod image;
pub mod import;
pub mod keys;
pub mod store;

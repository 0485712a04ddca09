//! Holds the readers of picture formats that are our own, because no crate serves.
//!
//! In reading order: `tiff` reads TIFF, and the orientation in EXIF metadata. `raw` finds the
//! preview in camera raw. `heif` reads the container that HEIC and AVIF share, and leaves the coded
//! pictures in it to crates. Each says at its top why no crate is used instead, and what has to
//! happen for the reader to go.

pub(super) mod tiff;

pub(super) mod raw;

#[cfg(any(feature = "avif", feature = "heic"))]
pub(super) mod heif;

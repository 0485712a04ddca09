//! Tests what a gallery keeps of pictures' metadata, and what it never keeps.
//!
//! - `write`: writes metadata into pictures, as cameras and programs do.
//! - `variants`: what a table of files looks like, and how it is checked.
//! - `dates`, `words`, `formats`: tables of what can stand in a file, and what is made of it.
//! - `galleries`: metadata that comes later, stays, is filtered by and is shown.
//! - `privacy`: places, numbers, faces and thumbnails, of which no byte may be stored.

mod dates;
mod formats;
mod galleries;
mod privacy;
mod variants;
mod words;
mod write;

//! Turns pictures into WebP: untrusted bytes become pixels within limits, and pixels become WebP.
//!
//! Nothing here knows galleries or files: a picture comes as bytes and leaves as [`Converted`].
//!
//! # Rooms, in reading order
//! Entry points: `convert` takes one picture all the way and `estimate` says how much memory that
//! will need. Both go through `decode`, the one place that knows every format's decoder. `unshown`
//! finds what a file holds beside the picture that is shown.
//!
//! - `formats/` wraps the crates that decode pictures, one file a format.
//! - `metadata/` reads what a picture says of itself, from what `formats/` and `decoders/` find.
//! - `decoders/` holds the readers that are our own, for TIFF and for HEIC and AVIF.
//! - `encode/` writes WebP, still and animated.
//! - `pixels/` works on decoded pixels: colour, orientation, scaling, features.
//!
//! What all of them share lies beside this file: `sniff` (the formats and how they are recognised)
//! with `signatures` (how everything else is), `header` (what a decoder reads before any pixel),
//! `settings` and `limits` (what the caller asks for and allows), `timer` and `guard` (decoders
//! that run too long, or panic), `memory` (freed memory goes back to the system) and `error`.
//!
//! Imports go one way: `convert`, `estimate` → `unshown`, `decode` → `formats` and `decoders` →
//! `encode` → `pixels` → the shared files. `formats` and `decoders` stand on one floor and use each
//! other, without a circle between files: the strips of a TIFF may be JPEG or WebP, the preview of
//! camera raw is a JPEG, and EXIF, which JPEG, PNG and WebP carry, is a TIFF directory
//! (`decoders/tiff/exif.rs`).
//!
//! # Adding a picture format
//! 1. `sniff.rs`: a variant of [`PictureFormat`], its name, and the bytes that it starts with.
//! 2. `formats/NAME.rs`: `header` and `decode`, and a type with the trait `Frames` if the format
//!    has animations. `formats/webp.rs` is a short example with all three. If the image crate
//!    decodes the format, one arm in `open` of `formats/image_crate.rs` does it all.
//! 3. `decode.rs`: one arm in `read_header`, one in `decode`, and one in `open_frames` for
//!    animations. Formats without an arm go to `formats/image_crate.rs`.
//!
//! Then come the module in `formats/mod.rs`, the crate in `Cargo.toml`, a picture in `tests/it/`,
//! and a row in `docs/formats.md`.

mod convert;
mod estimate;

mod unshown;

mod decode;
mod formats;

mod decoders;

mod metadata;

mod encode;

mod pixels;

mod error;
mod guard;
mod header;
mod limits;
mod memory;
mod settings;
mod signatures;
mod sniff;
mod timer;

pub use convert::{Converted, convert, probe, probe_within, render};
pub use encode::webp::MAX_WEBP_SIDE;
pub use error::CodecError;
pub use estimate::{header_bytes, memory_bytes};
pub use guard::catches_panics;
pub use limits::DecodeLimits;
pub use memory::give_back_freed;
pub use metadata::{SourceMetadata, read_metadata};
pub use settings::{Lossless, Settings};
pub use sniff::{PictureFormat, SNIFF_BYTES, Sniffed, sniff};
pub use timer::Timer;

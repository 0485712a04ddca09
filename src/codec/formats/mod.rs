//! Reads picture formats with the crates that decode them, one file a format.
//!
//! Each file has `header`, which reads size and needs without decoding pixels, and `decode`, which
//! gives a raster; formats with animations have a type with the trait `Frames`. In reading order:
//! `image_crate` decodes BMP, PNM, QOI and TGA by the image crate, with `bmp` and `tga` preparing
//! what it does not take; `png` and `ico`, which may hold PNGs; `jpeg` with `jpeg_markers` and
//! `libjpeg`; `gif`, `webp` and `jxl`. TIFF, HEIC and AVIF have readers of our own, in `decoders/`.

pub(super) mod image_crate;

mod bmp;

mod tga;

pub(super) mod png;

pub(super) mod ico;

pub(super) mod jpeg;

mod jpeg_markers;

pub(super) mod libjpeg;

pub(super) mod gif;

pub(super) mod webp;

#[cfg(feature = "jxl")]
pub(super) mod jxl;

//! Reads picture formats with the crates that decode them, one file or folder a format.
//!
//! Each file has `header`, which reads size and needs without decoding pixels, and `decode`, which
//! gives a raster; formats with animations have a type with the trait `Frames`. In reading order:
//! `image_crate` decodes BMP, PNM, QOI and TGA by the image crate, with `bmp`, `tga` and `ends`
//! preparing what it does not take, and `pnm` finding what it must not be given; `png` and `ico`,
//! which may hold PNGs; `jpeg` with `jpeg_markers`, `libjpeg` (with `libjpeg_watch`,
//! `libjpeg_arithmetic` and `libjpeg_idct`) and `jpeg_extent`; `gif` with `gif_blocks`, which finds
//! the frames of damaged files; `webp`, and `jxl` with `jxl_boxes`. TIFF, HEIC and AVIF have
//! readers of our own, in `decoders/`.

pub(super) mod image_crate;

mod bmp;

mod tga;

mod ends;

mod pnm;

pub(super) mod png;

pub(super) mod ico;

pub(super) mod jpeg;

pub(super) mod jpeg_markers;

pub(super) mod libjpeg;

mod libjpeg_arithmetic;

mod libjpeg_idct;

mod libjpeg_watch;

pub(super) mod jpeg_extent;

pub(super) mod gif;

mod gif_blocks;

pub(super) mod webp;

#[cfg(feature = "jxl")]
pub(super) mod jxl;

#[cfg(feature = "jxl")]
pub(super) mod jxl_boxes;

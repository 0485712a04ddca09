//! One glue file a format, around the crate that decodes it.

mod bmp;
pub(super) mod gif;
pub(super) mod ico;
pub(super) mod image_crate;
pub(super) mod jpeg;
pub(super) mod jpeg_markers;
#[cfg(feature = "jxl")]
pub(super) mod jxl;
pub(super) mod png;
pub(super) mod webp;

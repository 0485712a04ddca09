//! The decoders that are our own.

#[cfg(any(feature = "avif", feature = "heic"))]
pub(super) mod heif;
pub(super) mod tiff;

//! Writes WebP.
//!
//! In reading order: `still` decides how a still picture and its renditions are encoded,
//! `animation` does so for animations; `rendition` decides which renditions are kept, `webp` calls
//! libwebp, and `riff` reads and cleans WebP's container.

pub(super) mod still;

pub(super) mod animation;

pub(super) mod rendition;

pub(super) mod webp;

pub(super) mod riff;

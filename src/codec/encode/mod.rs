//! Pixels to WebP.

pub(super) mod animation;
pub(super) mod riff;
pub(super) mod still;
pub(super) mod webp;

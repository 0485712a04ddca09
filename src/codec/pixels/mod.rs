//! Pixels.

pub(super) mod canvas;
pub(super) mod channels;
pub(super) mod colour;
pub(super) mod features;
pub(super) mod frames;
pub(super) mod orientation;
pub(super) mod raster;
pub(super) mod resize;
pub(super) mod rgb;
mod transpose;
pub(super) mod yuv;

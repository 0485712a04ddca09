//! Works on decoded pixels: from what a decoder gives to upright sRGB, and to smaller copies.
//!
//! In reading order: `raster` is a decoded picture in the `channels` of its file, `frames` a
//! decoded animation whose frames `canvas` composes. `colour` converts to sRGB, by a `profile` that
//! is bounded or by the code points of `cicp`, and `deep_colour` does so from 16 bits;
//! `orientation` (with `transpose`) turns upright, and `rgb` holds the result. Of that, `resize`
//! makes smaller copies, `features` computes placeholder, colour and hash, and `yuv` makes the
//! planes to be encoded.

pub(super) mod raster;

pub(super) mod channels;

pub(super) mod frames;

pub(super) mod canvas;

pub(super) mod colour;

pub(super) mod deep_colour;

pub(super) mod profile;

pub(super) mod cicp;

pub(super) mod orientation;

mod transpose;

pub(super) mod rgb;

pub(super) mod resize;

pub(super) mod features;

pub(super) mod yuv;

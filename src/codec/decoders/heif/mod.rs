//! AVIF and HEIC: pictures coded as frames of films, in a container that they share.
//!
//! `boxes` reads the container, `picture` makes sense of it, `mosaic` decodes by `avif` or `heic`, which wrap a decoder of one
//! coded picture each; `planes` and `cicp` make sRGB of what comes out.

#[cfg(feature = "avif")]
pub(in crate::codec) mod avif;
mod boxes;
mod cicp;
#[cfg(feature = "heic")]
pub(in crate::codec) mod heic;
mod mosaic;
mod picture;
mod planes;

//! Reads AVIF and HEIC: pictures coded as video frames, in the container they share.
//!
//! In reading order: `boxes` reads the container's boxes, `primary` finds which coded pictures make
//! up a picture, `overlay` which pictures make up what is shown, `tiles` decodes the coded ones one
//! by one and puts them together, `avif` and `heic` (with `heic_clock`) give it a decoder of one
//! coded picture each, and `planes` turns what comes out into sRGB. `beside` says what else is in
//! the file.
//!
//! The container reader is our own because no crate's memory and time are bounded by the file's
//! length. heifer-isobmff, at 0.3.22, takes quadratic time, and copies an item's location for each
//! entry with its number, so some kilobytes can ask for gigabytes. The reader goes when that crate,
//! or another, has such bounds. The decoders of AV1 and HEVC are crates.

#[cfg(feature = "avif")]
pub(in crate::codec) mod avif;
pub(in crate::codec) mod beside;
mod boxes;
#[cfg(feature = "heic")]
pub(in crate::codec) mod heic;
#[cfg(feature = "heic")]
mod heic_clock;
mod overlay;
mod planes;
mod primary;
mod tiles;

use std::borrow::Cow;

/// Returns the items that may hold metadata, with their kinds, of at most `max_bytes` each. XMP is
/// of the kind `mime`, as other texts may be.
pub(in crate::codec) fn metadata_items(
    source: &[u8],
    max_bytes: usize,
) -> Vec<([u8; 4], Cow<'_, [u8]>)> {
    /// Most items that are looked at.
    const MAX_METADATA_ITEMS: usize = 16;
    let Ok(container) = boxes::HeifContainer::parse(source) else { return Vec::new() };
    let items = container.items.iter().filter(|(id, item)| {
        matches!(&item.kind, b"Exif" | b"mime") && container.data_bytes(**id) <= max_bytes as u64
    });
    let items = items.take(MAX_METADATA_ITEMS);
    items.filter_map(|(id, item)| Some((item.kind, container.data(*id).ok()?))).collect()
}

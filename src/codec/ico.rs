//! ICO and CUR: the largest of their pictures, which is a PNG in newer files and a bitmap with a mask in older ones.
//!
//! Bitmaps are left to the image crate; its PNGs have to be RGBA, ours are any.

use super::limits::Timer;
use super::raster::Raster;
use super::{CodecError, Format, Header, plain, png};

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1A\n";

pub(super) fn header(source: &[u8], timer: &Timer) -> Result<Header, CodecError> {
    match largest(source) {
        Some(picture) if picture.starts_with(PNG_SIGNATURE) => png::header(picture, timer),
        _ => plain::header(source, Format::Ico, timer),
    }
}

pub(super) fn decode(source: &[u8], memory_bytes: u64, timer: &Timer) -> Result<Raster, CodecError> {
    match largest(source) {
        Some(picture) if picture.starts_with(PNG_SIGNATURE) => png::decode(picture, timer),
        _ => plain::decode(source, Format::Ico, memory_bytes, timer),
    }
}

/// The bytes of the picture with the most pixels, and of those with the most bits a pixel.
fn largest(source: &[u8]) -> Option<&[u8]> {
    let (directory, entries) = source.split_first_chunk::<6>()?;
    let count = usize::from(u16::from_le_bytes([directory[4], directory[5]]));
    let entries = entries.as_chunks::<16>().0.iter().take(count);
    // A side of 0 means 256.
    let side = |value: u8| if value == 0 { 256 } else { u32::from(value) };
    let largest = entries
        .max_by_key(|entry| (side(entry[0]) * side(entry[1]), u16::from_le_bytes([entry[6], entry[7]])))?;
    let [.., l0, l1, l2, l3, o0, o1, o2, o3] = *largest;
    let start = u32::from_le_bytes([o0, o1, o2, o3]) as usize;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    source.get(start..start.checked_add(length)?)
}

//! The orientation in EXIF metadata, which is a TIFF without a picture.
//!
//! It stands in a file of its own, below the decoder of pictures, because the decoders of other formats read EXIF too.

use image::metadata::Orientation;

use super::directory::{Directory, File, tag};

/// The orientation in EXIF metadata. Some programs write it as a number of another type than the standard's.
pub(in crate::codec) fn exif_orientation(exif: &[u8]) -> Orientation {
    let known = Orientation::from_exif_chunk(exif).or_else(|| lenient(exif));
    known.unwrap_or(Orientation::NoTransforms)
}

fn lenient(exif: &[u8]) -> Option<Orientation> {
    orientation(&File::open(exif).ok()?.first_page().ok()?)
}

/// The orientation that a directory says.
pub(super) fn orientation(directory: &Directory<'_>) -> Option<Orientation> {
    let number = directory.number(tag::ORIENTATION, 0)?;
    u8::try_from(number).ok().and_then(Orientation::from_exif)
}

//! Reads the orientation in EXIF metadata, which is a TIFF without a picture.
//!
//! It has a file of its own, below the TIFF decoder, because the decoders of other formats read
//! EXIF too.

use image::metadata::Orientation;

use super::directory::{Directory, TiffFile, tag};

/// Returns the orientation in EXIF metadata. Some programs write it as a number of another type
/// than the standard's, which is read as well.
pub(in crate::codec) fn exif_orientation(exif: &[u8]) -> Orientation {
    stated_orientation(exif).unwrap_or(Orientation::NoTransforms)
}

/// As [`exif_orientation`], or `None` if the metadata states none.
pub(in crate::codec) fn stated_orientation(exif: &[u8]) -> Option<Orientation> {
    Orientation::from_exif_chunk(exif).or_else(|| lenient(exif))
}

fn lenient(exif: &[u8]) -> Option<Orientation> {
    orientation(&TiffFile::open(exif).ok()?.read_first_page().ok()?)
}

/// Returns the orientation that a directory states.
pub(super) fn orientation(directory: &Directory<'_>) -> Option<Orientation> {
    let number = directory.number(tag::ORIENTATION, 0)?;
    u8::try_from(number).ok().and_then(Orientation::from_exif)
}

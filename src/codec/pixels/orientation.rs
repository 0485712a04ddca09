//! Turns a picture upright, by the orientation that EXIF metadata or a container gives.
//!
//! Reading the orientation is up to each format; EXIF is read in `decoders/tiff/exif.rs`.

use image::DynamicImage;
use image::metadata::Orientation;

use super::rgb::{from_pixels, pixels_of};
use super::transpose;

/// Turns a picture upright, within its own memory.
///
/// The largest pictures are those of telephones, and they often have a quarter turn.
pub(crate) fn apply_orientation(picture: DynamicImage, orientation: Orientation) -> DynamicImage {
    let (picture, rest) = match orientation {
        Orientation::Rotate90 => (transpose_picture(picture), Orientation::FlipHorizontal),
        Orientation::Rotate270 => (transpose_picture(picture), Orientation::FlipVertical),
        Orientation::Rotate90FlipH => (transpose_picture(picture), Orientation::NoTransforms),
        Orientation::Rotate270FlipH => (transpose_picture(picture), Orientation::Rotate180),
        other => (picture, other),
    };
    let mut picture = picture;
    picture.apply_orientation(rest);
    picture
}

/// Swaps rows and columns of a picture.
fn transpose_picture(picture: DynamicImage) -> DynamicImage {
    let (width, height) = (picture.width(), picture.height());
    let pixel_bytes = pixels_of(&picture).1;
    let pixels =
        transpose::in_place(picture.into_bytes(), width as usize, height as usize, pixel_bytes);
    from_pixels(height, width, pixels)
}

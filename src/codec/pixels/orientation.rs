//! Pictures turned upright.

use image::DynamicImage;
use image::metadata::Orientation;

use crate::codec::pixels::rgb::{from_pixels, pixels_of};
use crate::codec::pixels::transpose;

/// The picture, upright, in the memory that it has: the largest pictures of telephones have a quarter turn.
pub(crate) fn turned(picture: DynamicImage, orientation: Orientation) -> DynamicImage {
    let (picture, rest) = match orientation {
        Orientation::Rotate90 => (transposed(picture), Orientation::FlipHorizontal),
        Orientation::Rotate270 => (transposed(picture), Orientation::FlipVertical),
        Orientation::Rotate90FlipH => (transposed(picture), Orientation::NoTransforms),
        Orientation::Rotate270FlipH => (transposed(picture), Orientation::Rotate180),
        other => (picture, other),
    };
    let mut picture = picture;
    picture.apply_orientation(rest);
    picture
}

fn transposed(picture: DynamicImage) -> DynamicImage {
    let (width, height) = (picture.width(), picture.height());
    let pixel_bytes = pixels_of(&picture).1;
    let pixels =
        transpose::in_place(picture.into_bytes(), width as usize, height as usize, pixel_bytes);
    from_pixels(height, width, pixels)
}

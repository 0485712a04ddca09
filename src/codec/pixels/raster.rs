//! Pixels between a decoder and the encoder: as a file holds them ([`Raster`]), then upright in sRGB.

use image::DynamicImage;
use image::metadata::Orientation;

use super::channels::Channels;
use super::colour::Conversion;
use super::orientation::apply_orientation;
use super::rgb::from_pixels;

/// One picture as its file holds it: neither turned nor converted to sRGB. Alpha is not premultiplied.
pub(crate) struct Raster {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) channels: Channels,
    /// Rows from the top, `width * height * channels.count()` bytes.
    pub(crate) samples: Vec<u8>,
    /// ICC profile of the samples; without one they are sRGB.
    pub(crate) profile: Option<Vec<u8>>,
    /// What is to be done to show it upright.
    pub(crate) orientation: Orientation,
    /// The file holds more than this picture, such as further pages; a note says what.
    pub(crate) partial: bool,
    /// What the person should know.
    pub(crate) notes: Vec<String>,
}

/// What is said of pictures that are brighter than sRGB can be.
#[cfg(any(feature = "avif", feature = "heic", feature = "jxl"))]
pub(crate) const HDR_NOTE: &str = "HDR: brightness was reduced to what sRGB holds";

impl Raster {
    /// The picture upright in sRGB, 8-bit RGB or RGBA, and the notes on it.
    pub(crate) fn into_upright_srgb(self) -> (DynamicImage, Vec<String>) {
        let Self { width, height, channels, samples, profile, orientation, mut notes, partial: _ } =
            self;
        let (conversion, note) = Conversion::new(channels, profile.as_deref());
        notes.extend(note);
        let pixels = conversion.apply(samples, width as usize);
        (apply_orientation(from_pixels(width, height, pixels), orientation), notes)
    }
}

//! Holds a picture between decoder and encoder, and makes it upright and sRGB.

use image::DynamicImage;
use image::metadata::Orientation;

use super::channels::Channels;
use super::colour::Conversion;
use super::orientation::apply_orientation;
use super::profile::Profile;
use super::rgb::from_pixels;

/// A picture as its file holds it: neither turned nor converted to sRGB.
///
/// Alpha is not premultiplied.
pub(crate) struct Raster {
    /// Width in pixels.
    pub(crate) width: u32,
    /// Height in pixels.
    pub(crate) height: u32,
    /// What the samples of a pixel are.
    pub(crate) channels: Channels,
    /// Rows from the top, in `width * height * channels.count()` bytes.
    pub(crate) samples: Vec<u8>,
    /// What the colours of the samples are. Without a profile they are sRGB.
    pub(crate) profile: Option<Profile>,
    /// How to turn the picture upright.
    pub(crate) orientation: Orientation,
    /// Whether the file holds more than this picture, such as further pages. A note says what.
    pub(crate) partial: bool,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

impl Raster {
    /// Returns the picture upright in sRGB, as 8-bit RGB or RGBA.
    pub(crate) fn into_upright_srgb(self) -> Upright {
        let Self { width, height, channels, samples, profile, orientation, .. } = self;
        let (mut partial, mut notes) = (self.partial, self.notes);
        let (conversion, note) = Conversion::new(channels, profile.as_ref());
        notes.extend(note);
        partial |= conversion.lacks_profile();
        let pixels = conversion.apply(samples, width as usize);
        let picture = apply_orientation(from_pixels(width, height, pixels), orientation);
        Upright { picture, partial, notes }
    }
}

/// A picture upright in sRGB.
pub(crate) struct Upright {
    /// RGB or RGBA of 8 bits.
    pub(crate) picture: DynamicImage,
    /// Whether it lacks something of the source. A note says what.
    pub(crate) partial: bool,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

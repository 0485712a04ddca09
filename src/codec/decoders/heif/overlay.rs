//! Tells what the primary item is: one picture, or several laid over each other (`iovl`), and
//! composes the latter.
//!
//! Source: ISO/IEC 23008-12, 6.6.2.3.2. Overlays within overlays, which no file was seen with, are
//! left out.

use super::boxes::{BoxReader, HeifContainer, HeifError, Result};
use super::primary::{Coding, PrimaryPicture, Transform};
use super::tiles::TileError;
use crate::codec::error::BoxedError;
use crate::codec::header::Header;
use crate::codec::pixels::canvas::over;
use crate::codec::pixels::channels::Channels;
use crate::codec::pixels::raster::{Raster, Upright};

use HeifError::{Contradiction, NoSuchItem, TooMuch, Unsupported};

/// Most pictures that lie over each other.
const MAX_LAYERS: usize = 64;

/// What the primary item is.
pub(super) enum Primary<'s> {
    Picture(PrimaryPicture<'s>),
    Overlay(Overlay<'s>),
}

/// Pictures that are laid over each other on a canvas.
pub(super) struct Overlay<'s> {
    width: u32,
    height: u32,
    /// RGBA of the canvas, in sRGB.
    fill: [u8; 4],
    /// From the lowest to the highest.
    layers: Vec<Layer<'s>>,
    transform: Transform,
}

struct Layer<'s> {
    picture: PrimaryPicture<'s>,
    /// Where it begins on the canvas, which may be outside.
    left: i64,
    top: i64,
}

impl<'s> HeifContainer<'s> {
    /// Returns the primary item, if it consists of coded pictures of this kind.
    pub(super) fn primary(&self, coding: &Coding) -> Result<Primary<'s>> {
        let identities = self.identities(self.primary)?;
        let shown = *identities.last().ok_or(NoSuchItem)?;
        if &self.item(shown)?.kind == b"iovl" {
            return self.overlay(&identities, shown, coding).map(Primary::Overlay);
        }
        let picture = self.picture(&identities, coding)?;
        self.check_reuse(std::iter::once(&picture))?;
        Ok(Primary::Picture(picture))
    }

    fn overlay(&self, identities: &[u32], id: u32, coding: &Coding) -> Result<Overlay<'s>> {
        if identities.iter().any(|id| self.alpha_of(*id).is_some()) {
            return Err(Unsupported("an overlay with an alpha of its own"));
        }
        let data = self.data(id)?;
        let mut reader = BoxReader(&data);
        // The version is not looked at.
        reader.u8()?;
        let wide = reader.u8()? & 1 == 1;
        let mut fill = [0; 4];
        for channel in &mut fill {
            // Of 16 bits, those that count in 8.
            *channel = reader.u16()?.to_be_bytes()[0];
        }
        let (width, height) = (reader.id(wide)?, reader.id(wide)?);
        let parts = self.references_from(id, *b"dimg");
        if parts.len() > MAX_LAYERS {
            return Err(TooMuch("iovl"));
        }
        let mut layers = Vec::new();
        for part in parts {
            let (left, top) = (reader.offset(wide)?, reader.offset(wide)?);
            let picture = self.picture(&self.identities(*part)?, coding)?;
            layers.push(Layer { picture, left, top });
        }
        if layers.is_empty() {
            return Err(Contradiction("iovl"));
        }
        self.check_reuse(layers.iter().map(|layer| &layer.picture))?;
        let transform = self.transform(identities, width, height);
        Ok(Overlay { width, height, fill, layers, transform })
    }
}

impl Primary<'_> {
    /// Returns the header of the whole, from those of the pictures.
    pub(super) fn header(
        &self,
        header_of: impl Fn(&PrimaryPicture) -> std::result::Result<Header, BoxedError>,
    ) -> std::result::Result<Header, BoxedError> {
        match self {
            Self::Picture(picture) => header_of(picture),
            Self::Overlay(overlay) => overlay.header(header_of),
        }
    }

    /// Decodes the whole within `memory_limit` bytes.
    pub(super) fn decode(
        &self,
        memory_limit: u64,
        header_of: impl Fn(&PrimaryPicture) -> std::result::Result<Header, BoxedError>,
        decode: impl Fn(&PrimaryPicture) -> std::result::Result<Raster, BoxedError>,
    ) -> std::result::Result<Raster, BoxedError> {
        let header = self.header(header_of)?;
        if header.decode_bytes > memory_limit {
            let needed = header.decode_bytes;
            return Err(TileError::Memory { needed, limit: memory_limit }.into());
        }
        match self {
            Self::Picture(picture) => decode(picture),
            Self::Overlay(overlay) => overlay.compose(decode),
        }
    }
}

impl Overlay<'_> {
    fn header(
        &self,
        header_of: impl Fn(&PrimaryPicture) -> std::result::Result<Header, BoxedError>,
    ) -> std::result::Result<Header, BoxedError> {
        let rgba_bytes = |width, height| (u64::from(width) * u64::from(height)).saturating_mul(4);
        let mut layer_bytes = 0;
        for layer in &self.layers {
            let Header { width, height, decode_bytes, .. } = header_of(&layer.picture)?;
            // A layer is once more there as RGBA.
            layer_bytes = layer_bytes.max(decode_bytes.saturating_add(rgba_bytes(width, height)));
        }
        let canvas = rgba_bytes(self.width, self.height);
        let (width, height) = self.transform.size((self.width, self.height));
        Ok(Header {
            width,
            height,
            frames: 1,
            decode_bytes: canvas.saturating_add(layer_bytes),
            alpha: true,
            lossless: false,
        })
    }

    /// Lays the pictures on the canvas, each upright and in sRGB.
    fn compose(
        &self,
        decode: impl Fn(&PrimaryPicture) -> std::result::Result<Raster, BoxedError>,
    ) -> std::result::Result<Raster, BoxedError> {
        let mut canvas = self.fill.repeat(self.width as usize * self.height as usize);
        let (mut notes, mut partial) = (Vec::new(), false);
        for layer in &self.layers {
            if !layer.meets(self.width, self.height) {
                continue;
            }
            let raster = decode(&layer.picture)?;
            let Upright { picture, partial: is_partial, notes: layer_notes } =
                raster.into_upright_srgb();
            partial |= is_partial;
            let is_new = |note: &String| !notes.contains(note);
            let new_notes: Vec<_> = layer_notes.into_iter().filter(is_new).collect();
            notes.extend(new_notes);
            layer.lay(&picture.into_rgba8(), &mut canvas, self.width);
        }
        if let Some(crop) = self.transform.crop {
            crop.cut(&mut canvas, self.width as usize, 4);
        }
        let (width, height) = self.transform.size((self.width, self.height));
        Ok(Raster {
            width,
            height,
            channels: Channels::Rgba,
            samples: canvas,
            profile: None,
            orientation: self.transform.orientation,
            partial,
            notes,
        })
    }
}

impl Layer<'_> {
    /// Whether any of it lies on a canvas of this size.
    fn meets(&self, width: u32, height: u32) -> bool {
        let (own_width, own_height) = self.picture.size();
        // Turned upright, width and height may change places.
        let side = i64::from(own_width.max(own_height));
        self.left < i64::from(width)
            && self.top < i64::from(height)
            && self.left + side > 0
            && self.top + side > 0
    }

    /// Lays the picture over what is on the canvas, as far as it lies there.
    fn lay(&self, picture: &image::RgbaImage, canvas: &mut [u8], canvas_width: u32) {
        let row_bytes = |width: u32| (width as usize * 4).max(1);
        // How much lies before the picture on the canvas, or before the canvas in the picture.
        let skipped = |offset: i64| usize::try_from(offset).unwrap_or(0);
        let above = picture.as_raw().chunks_exact(row_bytes(picture.width()));
        let below = canvas.chunks_exact_mut(row_bytes(canvas_width));
        for (above, below) in above.skip(skipped(-self.top)).zip(below.skip(skipped(self.top))) {
            let above = above.as_chunks().0.iter().skip(skipped(-self.left));
            let below = below.as_chunks_mut().0.iter_mut().skip(skipped(self.left));
            for (above, below) in above.zip(below) {
                *below = over(*above, *below);
            }
        }
    }
}

#[cfg(test)]
#[cfg(feature = "heic")]
mod tests {
    use crate::codec::decoders::heif::heic;

    /// An overlay of two pictures, whose canvas has its size in 16 bits.
    const SOURCE: &[u8] = include_bytes!("../../../../tests/data/kinds/sources/heic-overlay.heic");

    /// Returns the overlay with other bytes in the place of `from`, which it has once.
    fn with(from: &[u8], to: &[u8]) -> Vec<u8> {
        let mut at = (0..SOURCE.len()).filter(|at| SOURCE[*at..].starts_with(from));
        let start = at.next().unwrap();
        assert_eq!(at.next(), None);
        [&SOURCE[..start], to, &SOURCE[start + from.len()..]].concat()
    }

    #[test]
    fn memory_is_counted_for_the_canvas_and_the_largest_layer() {
        let header = heic::header(SOURCE).unwrap();
        assert_eq!((header.width, header.height), (160, 110));
        let large = heic::header(&with(&[0, 160, 0, 110], &[0xFF; 4])).unwrap();
        assert_eq!((large.width, large.height), (65_535, 65_535));
        let more = (65_535 * 65_535 - 160 * 110) * 4;
        assert_eq!(large.decode_bytes, header.decode_bytes + more);
        let timer = crate::codec::timer::Timer::new(std::time::Duration::from_secs(60));
        assert!(heic::decode(SOURCE, header.decode_bytes - 1, &timer).is_err());
        assert!(heic::decode(SOURCE, header.decode_bytes, &timer).is_ok());
    }

    #[test]
    fn an_overlay_is_not_made_of_overlays() {
        // The first of its parts becomes the overlay itself.
        let circle = with(b"dimg\0\x09\0\x02\0\x01", b"dimg\0\x09\0\x02\0\x09");
        let error = heic::header(&circle).unwrap_err();
        assert!(error.to_string().contains("`iovl`"), "{error}");
    }
}

//! Decodes the coded pictures of a primary picture one by one and paints them into a raster.
//!
//! The caller passes a function that decodes one tile. `primary` knows what the container says, and
//! `planes` how samples become bytes.

use super::planes::{PixelBuffer, Planes, is_supported, paint};
use super::primary::{PrimaryPicture, TileGrid};
use crate::codec::error::BoxedError;
use crate::codec::header::Header;
use crate::codec::pixels::channels::Channels;
use crate::codec::pixels::cicp::{Cicp, HDR_NOTE, SrgbConverter};
use crate::codec::pixels::profile::{self, Profile};
use crate::codec::pixels::raster::Raster;
use crate::codec::pixels::rgb::divide_by_alpha;
use crate::codec::timer::Timer;

/// A decoded picture that owns its planes.
pub(super) trait DecodedTile {
    fn planes(&self) -> Planes<'_>;
    /// Returns the code points of the coded picture. Those in the container take precedence.
    fn cicp(&self) -> Cicp;
}

/// A coded picture that is to be decoded.
pub(super) struct CodedTile {
    pub(super) item_id: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// The memory that decoding a picture takes.
pub(super) struct DecodeCost {
    /// Bytes that a decoder takes at its peak for each pixel of a coded picture.
    pub(super) bytes_per_pixel: u64,
    /// Bytes that a decoder takes whatever the size.
    pub(super) fixed_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum TileError {
    #[error("a coded picture is smaller than the container says")]
    TooSmall,
    #[error("its colour matrix is not supported")]
    Matrix,
    #[error("it needs {needed} bytes of memory, of {limit}")]
    Memory { needed: u64, limit: u64 },
}

/// Largest padding of a coded picture a side, in pixels: codecs round up to their largest block.
const MAX_PADDING: u64 = 64;

/// Returns the most pixels that a tile may have as coded.
pub(super) fn max_coded_pixels(tile: &CodedTile) -> u64 {
    (u64::from(tile.width) + MAX_PADDING).saturating_mul(u64::from(tile.height) + MAX_PADDING)
}

/// Returns the size of a picture and the memory that decoding it takes.
pub(super) fn estimate_header(
    picture: &PrimaryPicture,
    source_bytes: usize,
    cost: &DecodeCost,
) -> Header {
    let pixels = |grid: &TileGrid| u64::from(grid.width) * u64::from(grid.height);
    let decoding_bytes_of = |grid: &TileGrid| {
        let tile = CodedTile { item_id: 0, width: grid.tile_width, height: grid.tile_height };
        max_coded_pixels(&tile)
            .saturating_mul(cost.bytes_per_pixel)
            .saturating_add(cost.fixed_bytes)
    };
    let buffer_bytes =
        pixels(&picture.colour).saturating_mul(if picture.alpha.is_some() { 4 } else { 3 });
    let alpha = picture.alpha.as_ref();
    let decoding_bytes = decoding_bytes_of(&picture.colour)
        .max(alpha.map_or(0, |alpha| decoding_bytes_of(alpha).saturating_add(pixels(alpha))));
    let (width, height) = picture.size();
    let profile_bytes = profile::memory_bytes(picture.profile.unwrap_or_default().len());
    // The bytes of a coded picture are put together, and then unescaped or copied by the decoder.
    let decode_bytes = buffer_bytes
        .saturating_add(decoding_bytes.max(profile_bytes))
        .saturating_add(2 * source_bytes as u64);
    Header {
        width,
        height,
        frames: 1,
        decode_bytes,
        alpha: picture.alpha.is_some(),
        lossless: false,
    }
}

/// Decodes a picture. `decode_tile` is called with one coded picture at a time.
pub(super) fn decode<D: DecodedTile>(
    picture: &PrimaryPicture,
    timer: &Timer,
    decode_tile: impl Fn(&CodedTile) -> Result<D, BoxedError>,
) -> Result<Raster, BoxedError> {
    let decode_tile = |tile: &CodedTile| {
        timer.check()?;
        decode_tile(tile)
    };
    let mut notes = Vec::new();
    let mut profile = picture.profile;
    let alpha = picture.alpha.is_some();
    let mut buffer = PixelBuffer { width: 0, height: 0, channels: 0, bytes: Vec::new() };
    let mut convert = None;
    for (position, item) in picture.colour.tiles.iter().enumerate() {
        let decoded = decode_tile(&coded_tile(&picture.colour, *item))?;
        let planes = planes_of(&decoded, &picture.colour)?;
        let cicp = picture.cicp.unwrap_or_else(|| decoded.cicp());
        if planes.chroma.is_some() && !is_supported(cicp) {
            return Err(TileError::Matrix.into());
        }
        if position == 0 {
            let grey_profile = profile.map(|profile| profile.get(16..20) == Some(b"GRAY"));
            if planes.chroma.is_some() && grey_profile == Some(true) {
                profile = None;
                notes.push("its colour profile is one of greys: colours are taken as sRGB".into());
            }
            let grey = planes.chroma.is_none() && grey_profile != Some(false);
            let channels = if grey { 1 } else { 3 } + usize::from(alpha);
            buffer = PixelBuffer::new(picture.colour.width, picture.colour.height, channels);
            if profile.is_none() {
                convert = SrgbConverter::new(cicp, None);
                notes.extend(cicp.is_hdr().then(|| HDR_NOTE.to_owned()));
            }
        }
        let (left, top) = tile_position(&picture.colour, position);
        paint(&planes, cicp, convert.as_ref(), &mut buffer, left, top);
    }
    if let Some(alpha) = &picture.alpha {
        let alpha = decode_alpha(alpha, picture.alpha_cicp, decode_tile)?;
        insert_alpha(&mut buffer, &alpha, picture.premultiplied);
    }
    Ok(crop_into_raster(picture, buffer, profile, notes))
}

fn crop_into_raster(
    picture: &PrimaryPicture,
    mut buffer: PixelBuffer,
    profile: Option<&[u8]>,
    notes: Vec<String>,
) -> Raster {
    if let Some(crop) = picture.transform.crop {
        crop.cut(&mut buffer.bytes, buffer.width, buffer.channels);
    }
    let (width, height) = picture.size();
    let channels = match buffer.channels {
        1 => Channels::Grey,
        2 => Channels::GreyAlpha,
        3 => Channels::Rgb,
        _ => Channels::Rgba,
    };
    let profile = profile.and_then(Profile::new);
    Raster {
        width,
        height,
        channels,
        samples: buffer.bytes,
        profile,
        orientation: picture.transform.orientation,
        partial: false,
        notes,
    }
}

fn coded_tile(grid: &TileGrid, item: u32) -> CodedTile {
    CodedTile { item_id: item, width: grid.tile_width, height: grid.tile_height }
}

/// Returns the column and row of a tile's first pixel.
fn tile_position(grid: &TileGrid, position: usize) -> (usize, usize) {
    let columns = grid.columns as usize;
    (
        (position % columns) * grid.tile_width as usize,
        (position / columns) * grid.tile_height as usize,
    )
}

/// Returns the planes of a tile, cut to the size that the container says. The rest is padding.
fn planes_of<'d>(decoded: &'d impl DecodedTile, grid: &TileGrid) -> Result<Planes<'d>, TileError> {
    let mut planes = decoded.planes();
    let (width, height) = (grid.tile_width as usize, grid.tile_height as usize);
    if planes.width < width || planes.height < height {
        return Err(TileError::TooSmall);
    }
    (planes.width, planes.height) = (width, height);
    Ok(planes)
}

fn decode_alpha<D: DecodedTile>(
    alpha: &TileGrid,
    cicp: Option<Cicp>,
    decode: impl Fn(&CodedTile) -> Result<D, BoxedError>,
) -> Result<PixelBuffer, BoxedError> {
    let mut buffer = PixelBuffer::new(alpha.width, alpha.height, 1);
    for (position, item) in alpha.tiles.iter().enumerate() {
        let decoded = decode(&coded_tile(alpha, *item))?;
        let planes = planes_of(&decoded, alpha)?;
        let (left, top) = tile_position(alpha, position);
        paint(&planes, cicp.unwrap_or_else(|| decoded.cicp()), None, &mut buffer, left, top);
    }
    Ok(buffer)
}

/// Puts alpha into the last channel. Alpha of another size is stretched: each pixel takes the
/// nearest value.
fn insert_alpha(buffer: &mut PixelBuffer, alpha: &PixelBuffer, premultiplied: bool) {
    let (width, height, channels) = (buffer.width, buffer.height, buffer.channels);
    for (y, row) in buffer.bytes.chunks_exact_mut(width * channels).enumerate() {
        let from = &alpha.bytes[y * alpha.height / height * alpha.width..][..alpha.width];
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            let value = if alpha.width == width { from[x] } else { from[x * alpha.width / width] };
            pixel[channels - 1] = value;
            if premultiplied {
                divide_by_alpha(pixel);
            }
        }
    }
}

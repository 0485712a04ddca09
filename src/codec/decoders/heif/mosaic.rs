//! From the primary picture of a HEIF container to a raster: decodes its coded pictures one after the other, by a
//! decoder it is given, and paints each into its place.
//!
//! What the container says is in [`super::picture`], how samples become bytes in [`super::planes`].

use super::cicp::{Cicp, ToSrgb};
use super::picture::{Mosaic, Picture};
use super::planes::{Canvas, Planes, is_supported, paint};
use crate::codec::error::BoxedError;
use crate::codec::header::Header;
use crate::codec::pixels::channels::Channels;
use crate::codec::pixels::raster::{HDR_NOTE, Raster};
use crate::codec::pixels::rgb::divide_by_alpha;

/// A decoded picture that owns its planes.
pub(super) trait Decoded {
    fn planes(&self) -> Planes<'_>;
    /// What the coded picture says of its colours; the container may know better.
    fn cicp(&self) -> Cicp;
}

/// A coded picture to be decoded.
pub(super) struct Tile {
    pub(super) item: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// What decoding a picture costs.
pub(super) struct Cost {
    /// Bytes that a decoder takes for each pixel of a coded picture at its peak.
    pub(super) bytes_per_pixel: u64,
    /// Bytes that it takes whatever the size.
    pub(super) bytes: u64,
}

#[derive(Debug, thiserror::Error)]
enum MosaicError {
    #[error("a coded picture is smaller than the container says")]
    Small,
    #[error("its colour matrix is not supported")]
    Matrix,
    #[error("it needs {needed} bytes of memory, of {limit}")]
    Memory { needed: u64, limit: u64 },
}

/// Pixels of a coded picture may be this many more a side than are shown: the largest block of the codecs.
const MAX_PADDING: u64 = 64;

/// Most pixels that a tile may have when coded.
pub(super) fn max_coded_pixels(tile: &Tile) -> u64 {
    (u64::from(tile.width) + MAX_PADDING).saturating_mul(u64::from(tile.height) + MAX_PADDING)
}

/// Size and needs of a picture.
pub(super) fn header(picture: &Picture, source_bytes: usize, cost: &Cost) -> Header {
    let pixels = |mosaic: &Mosaic| u64::from(mosaic.width) * u64::from(mosaic.height);
    let decoding = |mosaic: &Mosaic| {
        let tile = Tile { item: 0, width: mosaic.tile_width, height: mosaic.tile_height };
        max_coded_pixels(&tile).saturating_mul(cost.bytes_per_pixel).saturating_add(cost.bytes)
    };
    let canvas =
        pixels(&picture.colour).saturating_mul(if picture.alpha.is_some() { 4 } else { 3 });
    let alpha = picture.alpha.as_ref();
    let decoding = decoding(&picture.colour)
        .max(alpha.map_or(0, |alpha| decoding(alpha).saturating_add(pixels(alpha))));
    let (width, height) = picture.size();
    let decode_bytes = canvas.saturating_add(decoding).saturating_add(source_bytes as u64);
    Header {
        width,
        height,
        frames: 1,
        decode_bytes,
        alpha: picture.alpha.is_some(),
        lossless: false,
    }
}

/// Decodes a picture; `decode` is called for one coded picture at a time.
pub(super) fn decode<D: Decoded>(
    picture: &Picture,
    needs: &Header,
    memory_limit: u64,
    decode: impl Fn(&Tile) -> Result<D, BoxedError>,
) -> Result<Raster, BoxedError> {
    if needs.decode_bytes > memory_limit {
        return Err(MosaicError::Memory { needed: needs.decode_bytes, limit: memory_limit }.into());
    }
    let mut notes = picture.notes.clone();
    let mut profile = picture.profile;
    let alpha = picture.alpha.is_some();
    let mut canvas = Canvas { width: 0, height: 0, channels: 0, bytes: Vec::new() };
    let mut convert = None;
    for (position, item) in picture.colour.tiles.iter().enumerate() {
        let decoded = decode(&tile(&picture.colour, *item))?;
        let planes = checked(&decoded, &picture.colour)?;
        let cicp = picture.cicp.unwrap_or_else(|| decoded.cicp());
        if planes.chroma.is_some() && !is_supported(cicp) {
            return Err(MosaicError::Matrix.into());
        }
        if position == 0 {
            let grey_profile = profile.map(|profile| profile.get(16..20) == Some(b"GRAY"));
            if planes.chroma.is_some() && grey_profile == Some(true) {
                profile = None;
                notes.push("its colour profile is one of greys: colours are taken as sRGB".into());
            }
            let grey = planes.chroma.is_none() && grey_profile != Some(false);
            let channels = if grey { 1 } else { 3 } + usize::from(alpha);
            canvas = Canvas::new(picture.colour.width, picture.colour.height, channels);
            if profile.is_none() {
                convert = ToSrgb::new(cicp);
                notes.extend(cicp.is_hdr().then(|| HDR_NOTE.to_owned()));
            }
        }
        let (left, top) = place(&picture.colour, position);
        paint(&planes, cicp, convert.as_ref(), &mut canvas, left, top);
    }
    if let Some(alpha) = &picture.alpha {
        let alpha = alpha_plane(alpha, picture.alpha_cicp, decode)?;
        insert_alpha(&mut canvas, &alpha, picture.premultiplied);
    }
    Ok(raster(picture, canvas, profile, notes))
}

fn raster(
    picture: &Picture,
    mut canvas: Canvas,
    profile: Option<&[u8]>,
    notes: Vec<String>,
) -> Raster {
    if let Some(crop) = picture.crop {
        let (left, top) = (crop.left as usize, crop.top as usize);
        let row_bytes = crop.width as usize * canvas.channels;
        for y in 0..crop.height as usize {
            let start = ((top + y) * canvas.width + left) * canvas.channels;
            canvas.bytes.copy_within(start..start + row_bytes, y * row_bytes);
        }
        canvas.bytes.truncate(row_bytes * crop.height as usize);
    }
    let (width, height) = picture.size();
    let channels = match canvas.channels {
        1 => Channels::Grey,
        2 => Channels::GreyAlpha,
        3 => Channels::Rgb,
        _ => Channels::Rgba,
    };
    let profile = profile.map(<[u8]>::to_vec);
    Raster {
        width,
        height,
        channels,
        samples: canvas.bytes,
        profile,
        orientation: picture.orientation,
        partial: !picture.notes.is_empty(),
        notes,
    }
}

fn tile(mosaic: &Mosaic, item: u32) -> Tile {
    Tile { item, width: mosaic.tile_width, height: mosaic.tile_height }
}

/// Column and row of the first pixel of a tile.
fn place(mosaic: &Mosaic, position: usize) -> (usize, usize) {
    let columns = mosaic.columns as usize;
    (
        (position % columns) * mosaic.tile_width as usize,
        (position / columns) * mosaic.tile_height as usize,
    )
}

/// The planes of a tile, cut to what the container says of its size: what is coded beyond is padding.
fn checked<'d>(decoded: &'d impl Decoded, mosaic: &Mosaic) -> Result<Planes<'d>, MosaicError> {
    let mut planes = decoded.planes();
    let (width, height) = (mosaic.tile_width as usize, mosaic.tile_height as usize);
    if planes.width < width || planes.height < height {
        return Err(MosaicError::Small);
    }
    (planes.width, planes.height) = (width, height);
    Ok(planes)
}

fn alpha_plane<D: Decoded>(
    alpha: &Mosaic,
    cicp: Option<Cicp>,
    decode: impl Fn(&Tile) -> Result<D, BoxedError>,
) -> Result<Canvas, BoxedError> {
    let mut canvas = Canvas::new(alpha.width, alpha.height, 1);
    for (position, item) in alpha.tiles.iter().enumerate() {
        let decoded = decode(&tile(alpha, *item))?;
        let planes = checked(&decoded, alpha)?;
        let (left, top) = place(alpha, position);
        paint(&planes, cicp.unwrap_or_else(|| decoded.cicp()), None, &mut canvas, left, top);
    }
    Ok(canvas)
}

/// Puts alpha into the last channel. One of another size is stretched, each pixel taking the nearest value.
fn insert_alpha(canvas: &mut Canvas, alpha: &Canvas, premultiplied: bool) {
    let (width, height, channels) = (canvas.width, canvas.height, canvas.channels);
    for (y, row) in canvas.bytes.chunks_exact_mut(width * channels).enumerate() {
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

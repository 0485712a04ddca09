//! Finds which coded pictures make up the primary picture of a HEIC or AVIF file.
//!
//! It also says what is to be done to them (ISO/IEC 23008-12, and 23000-22 for what real files keep
//! to). Boxes are read by `boxes`, `tiles` decodes, and pictures laid over each other are in
//! `overlay`. Image sequences, layers, thumbnails, gain maps and Exif, whose orientation does not
//! count in these formats, are left out on purpose.

use image::metadata::Orientation;

use super::boxes::{BoxReader, HeifContainer, HeifError, ItemProperty, Result};
use crate::codec::pixels::cicp::Cicp;

use HeifError::{Contradiction, NoSuchItem, TooMuch, UnsupportedKind};

/// Most tiles of a grid. Its box can say 256 rows of 256 columns.
const MAX_TILES: usize = 4_096;
/// Most bytes of all tiles together, in lengths of the file. Equal tiles may share their bytes, but
/// a large one in the place of thousands would only cost time.
const MAX_REUSE: u64 = 4;
/// Most steps (`iden`) from the primary picture to the coded one.
const MAX_IDENTITIES: usize = 4;

/// A rectangle of pixels within a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CropWindow {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl CropWindow {
    /// Cuts the window out of a picture of this width.
    pub(super) fn cut(self, pixels: &mut Vec<u8>, width: usize, pixel_bytes: usize) {
        let (left, top) = (self.left as usize, self.top as usize);
        let row_bytes = self.width as usize * pixel_bytes;
        for y in 0..self.height as usize {
            let start = ((top + y) * width + left) * pixel_bytes;
            pixels.copy_within(start..start + row_bytes, y * row_bytes);
        }
        pixels.truncate(row_bytes * self.height as usize);
    }
}

/// What is done to a picture once it is decoded.
#[derive(Clone, Copy)]
pub(super) struct Transform {
    /// The window to cut out first.
    pub(super) crop: Option<CropWindow>,
    /// The orientation to apply to what was cut out.
    pub(super) orientation: Orientation,
}

impl Transform {
    /// Returns the width and height of what is shown of a picture, before the orientation.
    pub(super) fn size(&self, whole: (u32, u32)) -> (u32, u32) {
        self.crop.map_or(whole, |crop| (crop.width, crop.height))
    }
}

/// A picture made of equal coded pictures, row by row; often of only one.
pub(super) struct TileGrid {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) tile_width: u32,
    pub(super) tile_height: u32,
    pub(super) columns: u32,
    /// Items of the coded pictures.
    pub(super) tiles: Vec<u32>,
}

/// How the coded pictures of a format are told and read.
pub(super) struct Coding {
    /// Type of their items: `hvc1` or `av01`.
    pub(super) item_type: [u8; 4],
    /// Reads the size of a coded picture that the container does not tell, as old files leave it
    /// out.
    pub(super) size_of: fn(&HeifContainer<'_>, u32) -> Option<(u32, u32)>,
}

/// A picture as its items describe it: what to decode, and what to do with it afterwards. It is the
/// primary one, or a part of it that lies over others.
pub(super) struct PrimaryPicture<'s> {
    pub(super) colour: TileGrid,
    pub(super) alpha: Option<TileGrid>,
    /// Whether colours were multiplied by alpha.
    pub(super) premultiplied: bool,
    pub(super) transform: Transform,
    pub(super) profile: Option<&'s [u8]>,
    /// Code points by the container, which outrank those in the coded picture.
    pub(super) cicp: Option<Cicp>,
    /// Code points of alpha, of which only the range matters.
    pub(super) alpha_cicp: Option<Cicp>,
}

impl PrimaryPicture<'_> {
    /// Returns the width and height of what is shown, before the orientation is applied.
    pub(super) fn size(&self) -> (u32, u32) {
        self.transform.size((self.colour.width, self.colour.height))
    }
}

impl<'s> HeifContainer<'s> {
    fn cicp_of(&self, grid: &TileGrid, id: u32) -> Option<Cicp> {
        let of = |id: u32| {
            self.properties_of(id).find_map(|property| match property {
                ItemProperty::Cicp(cicp) => Some(*cicp),
                _ => None,
            })
        };
        of(id).or_else(|| of(*grid.tiles.first()?))
    }

    fn profile_of(&self, grid: &TileGrid, id: u32) -> Option<&'s [u8]> {
        let of = |id: u32| {
            self.properties_of(id).find_map(|property| match property {
                ItemProperty::Profile(profile) if !profile.is_empty() => Some(*profile),
                _ => None,
            })
        };
        of(id).or_else(|| of(*grid.tiles.first()?))
    }

    /// Returns an item, and those that it stands for (`iden`): the last has the pixels.
    pub(super) fn identities(&self, id: u32) -> Result<Vec<u32>> {
        let mut identities = vec![id];
        while let Some(id) = identities
            .last()
            .copied()
            .filter(|id| matches!(self.items.get(id), Some(item) if &item.kind == b"iden"))
        {
            let [next] = self.references_from(id, *b"dimg") else {
                return Err(Contradiction("iden"));
            };
            if identities.len() > MAX_IDENTITIES {
                return Err(TooMuch("iden"));
            }
            identities.push(*next);
        }
        Ok(identities)
    }

    /// Returns what is done to a picture of this size. The innermost item's transformations come
    /// first.
    pub(super) fn transform(&self, identities: &[u32], width: u32, height: u32) -> Transform {
        let mut turn = Turn::default();
        let mut aperture = None;
        for property in identities.iter().rev().flat_map(|id| self.properties_of(*id)) {
            match property {
                ItemProperty::Aperture(fields) => aperture = Some(*fields),
                ItemProperty::Rotation(quarters) => turn.rotate_left(*quarters),
                ItemProperty::Mirror(top_and_bottom) => turn.mirror(*top_and_bottom),
                _ => {}
            }
        }
        let crop = aperture.and_then(|fields| clean_aperture(fields, width, height));
        Transform { crop, orientation: turn.into() }
    }

    /// Returns a picture, if it consists of coded pictures of this kind.
    pub(super) fn picture(
        &self,
        identities: &[u32],
        coding: &Coding,
    ) -> Result<PrimaryPicture<'s>> {
        let item_type = coding.item_type;
        let shown = identities.last().copied().ok_or(NoSuchItem)?;
        let colour = self.tile_grid(shown, coding)?;
        let alpha_item = identities.iter().find_map(|id| self.alpha_of(*id));
        let alpha = match alpha_item {
            Some(id) => Some(self.tile_grid(id, coding)?),
            None => self.alpha_of_tiles(&colour, item_type)?,
        };
        let alpha_cicp =
            alpha.as_ref().and_then(|grid| self.cicp_of(grid, alpha_item.unwrap_or_default()));
        let premultiplied = alpha_item.is_some_and(|alpha| {
            identities.iter().any(|id| self.references_from(*id, *b"prem").contains(&alpha))
        });
        Ok(PrimaryPicture {
            premultiplied,
            transform: self.transform(identities, colour.width, colour.height),
            profile: self.profile_of(&colour, shown),
            cicp: self.cicp_of(&colour, shown),
            alpha_cicp,
            colour,
            alpha,
        })
    }

    /// Checks that equal coded pictures do not make much work of few bytes.
    pub(super) fn check_reuse<'p>(
        &self,
        pictures: impl Iterator<Item = &'p PrimaryPicture<'s>>,
    ) -> Result<()>
    where
        's: 'p,
    {
        let grids = pictures.flat_map(|picture| picture.alpha.iter().chain([&picture.colour]));
        let tiles = grids.flat_map(|grid| &grid.tiles);
        let bytes = tiles.map(|tile| self.data_bytes(*tile)).fold(0, u64::saturating_add);
        if bytes > MAX_REUSE.saturating_mul(self.source_bytes()) {
            return Err(TooMuch("iloc"));
        }
        Ok(())
    }

    fn tile_grid(&self, id: u32, coding: &Coding) -> Result<TileGrid> {
        let kind = self.item(id)?.kind;
        let item_type = coding.item_type;
        if kind == item_type {
            let (width, height) = match self.size_of(id) {
                Err(missing @ HeifError::Missing(_)) => {
                    (coding.size_of)(self, id).ok_or(missing)?
                }
                told => told?,
            };
            let (tile_width, tile_height) = (width, height);
            return Ok(TileGrid {
                width,
                height,
                tile_width,
                tile_height,
                columns: 1,
                tiles: vec![id],
            });
        }
        if &kind != b"grid" {
            return Err(UnsupportedKind(kind.escape_ascii().to_string()));
        }
        let data = self.data(id)?;
        let mut reader = BoxReader(&data);
        // The version is not looked at.
        reader.u8()?;
        let wide = reader.u8()? & 1 == 1;
        let (rows, columns) = (u32::from(reader.u8()?) + 1, u32::from(reader.u8()?) + 1);
        let (width, height) = (reader.id(wide)?, reader.id(wide)?);
        let tiles = self.references_from(id, *b"dimg").to_vec();
        let first = *tiles.first().ok_or(Contradiction("grid"))?;
        let (tile_width, tile_height) = self.size_of(first)?;
        if tiles.len() > MAX_TILES {
            return Err(TooMuch("grid"));
        }
        // Tiles that lie wholly outside would only cost time.
        let covers = |tile: u32, count: u32, whole: u32| {
            let (tile, count, whole) = (u64::from(tile), u64::from(count), u64::from(whole));
            (count - 1) * tile < whole && whole <= count * tile
        };
        let fits = u32::try_from(tiles.len()) == Ok(rows * columns)
            && covers(tile_width, columns, width)
            && covers(tile_height, rows, height);
        for tile in &tiles {
            let kind = self.item(*tile)?.kind;
            if kind != item_type {
                return Err(UnsupportedKind(kind.escape_ascii().to_string()));
            }
            if self.size_of(*tile)? != (tile_width, tile_height) {
                return Err(Contradiction("grid"));
            }
        }
        if !fits {
            return Err(Contradiction("grid"));
        }
        Ok(TileGrid { width, height, tile_width, tile_height, columns, tiles })
    }

    /// Returns the alpha of a grid whose tiles each have their own.
    fn alpha_of_tiles(&self, colour: &TileGrid, item_type: [u8; 4]) -> Result<Option<TileGrid>> {
        let Some(tiles) =
            colour.tiles.iter().map(|id| self.alpha_of(*id)).collect::<Option<Vec<_>>>()
        else {
            return Ok(None);
        };
        for tile in &tiles {
            if self.item(*tile)?.kind != item_type
                || self.size_of(*tile)? != (colour.tile_width, colour.tile_height)
            {
                return Err(Contradiction("auxl"));
            }
        }
        Ok(Some(TileGrid { tiles, ..*colour }))
    }
}

/// Returns the window of a `clap` box (14496-12, 12.1.4): width, height and the offsets of its
/// centre from the picture's, each as a fraction. A box that makes no sense or changes nothing
/// gives `None`, and the whole picture is shown.
fn clean_aperture(fields: [u32; 8], width: u32, height: u32) -> Option<CropWindow> {
    let [width_n, width_d, height_n, height_d, x_n, x_d, y_n, y_d] = fields.map(i64::from);
    let signed = |field: i64| if field > i64::from(i32::MAX) { field - (1 << 32) } else { field };
    if [width_d, height_d, x_d, y_d].contains(&0) {
        return None;
    }
    let side = |numerator: i64, denominator: i64| u32::try_from(numerator / denominator).ok();
    let (cut_width, cut_height) = (side(width_n, width_d)?, side(height_n, height_d)?);
    // First pixel = offset + (whole - cut) / 2, in exact halves of the denominator, rounded down.
    let first = |whole: u32, cut: u32, numerator: i64, denominator: i64| {
        let doubled =
            2 * signed(numerator) + (i64::from(whole) - i64::from(cut)) * signed(denominator).abs();
        u32::try_from(doubled.div_euclid(2 * signed(denominator).abs())).ok()
    };
    let window = CropWindow {
        left: first(width, cut_width, x_n, x_d)?,
        top: first(height, cut_height, y_n, y_d)?,
        width: cut_width,
        height: cut_height,
    };
    let inside = cut_width > 0
        && cut_height > 0
        && window.left.checked_add(cut_width)? <= width
        && window.top.checked_add(cut_height)? <= height;
    (inside && (cut_width, cut_height) != (width, height)).then_some(window)
}

/// A turn of a picture: maybe a mirror, left to right, then quarter turns clockwise.
#[derive(Clone, Copy, Default)]
struct Turn {
    mirrored: bool,
    quarters: u8,
}

impl Turn {
    fn rotate_left(&mut self, quarters: u8) {
        self.quarters = (self.quarters + 4 - quarters % 4) % 4;
    }

    /// Adds a mirror. One behind a turn equals one before the opposite turn, and one across the
    /// other axis adds half a turn.
    fn mirror(&mut self, top_and_bottom: bool) {
        self.mirrored = !self.mirrored;
        self.quarters = (4 - self.quarters + if top_and_bottom { 2 } else { 0 }) % 4;
    }
}

impl From<Turn> for Orientation {
    fn from(turn: Turn) -> Self {
        match (turn.mirrored, turn.quarters) {
            (false, 1) => Self::Rotate90,
            (false, 2) => Self::Rotate180,
            (false, 3) => Self::Rotate270,
            (false, _) => Self::NoTransforms,
            (true, 1) => Self::Rotate270FlipH,
            (true, 2) => Self::FlipVertical,
            (true, 3) => Self::Rotate90FlipH,
            (true, _) => Self::FlipHorizontal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_add_up_to_what_was_done_one_by_one() {
        // Every turn of two columns and two rows looks different.
        let picture = [[1, 2], [3, 4]];
        let left = |p: [[u8; 2]; 2]| [[p[0][1], p[1][1]], [p[0][0], p[1][0]]];
        let flip_h = |p: [[u8; 2]; 2]| p.map(|row| [row[1], row[0]]);
        let flip_v = |p: [[u8; 2]; 2]| [p[1], p[0]];
        let right = |p| left(left(left(p)));
        for quarters in 0..4 {
            for mirrors in [&[][..], &[true], &[false], &[true, false], &[false, false, true]] {
                let (mut turn, mut expected) = (Turn::default(), picture);
                turn.rotate_left(quarters);
                (0..quarters).for_each(|_| expected = left(expected));
                for top_and_bottom in mirrors {
                    turn.mirror(*top_and_bottom);
                    expected = if *top_and_bottom { flip_v(expected) } else { flip_h(expected) };
                }
                let turned = match Orientation::from(turn) {
                    Orientation::NoTransforms => picture,
                    Orientation::Rotate90 => right(picture),
                    Orientation::Rotate180 => left(left(picture)),
                    Orientation::Rotate270 => left(picture),
                    Orientation::FlipHorizontal => flip_h(picture),
                    Orientation::FlipVertical => flip_v(picture),
                    Orientation::Rotate90FlipH => flip_h(right(picture)),
                    Orientation::Rotate270FlipH => flip_h(left(picture)),
                };
                assert_eq!(turned, expected, "{quarters} quarters, then {mirrors:?}");
            }
        }
    }

    #[test]
    fn apertures_are_centred_and_kept_within_the_picture() {
        let window = |left, top, width, height| Some(CropWindow { left, top, width, height });
        assert_eq!(clean_aperture([100, 1, 50, 1, 0, 1, 0, 1], 200, 100), window(50, 25, 100, 50));
        let minus_ten = 10_u32.wrapping_neg();
        assert_eq!(
            clean_aperture([100, 1, 50, 1, 10, 1, minus_ten, 1], 200, 100),
            window(60, 15, 100, 50)
        );
        // The centre is off by half a pixel, because the rest is odd.
        assert_eq!(clean_aperture([201, 1, 50, 1, 1, 2, 0, 1], 300, 50), window(50, 0, 201, 50));
        assert_eq!(
            clean_aperture([300, 1, 50, 1, 0, 1, 0, 1], 200, 100),
            None,
            "larger than the picture"
        );
        assert_eq!(clean_aperture([100, 1, 50, 1, 90, 1, 0, 1], 200, 100), None, "beyond its edge");
        assert_eq!(
            clean_aperture([100, 0, 50, 1, 0, 1, 0, 1], 200, 100),
            None,
            "divided by nothing"
        );
        assert_eq!(clean_aperture([200, 1, 100, 1, 0, 1, 0, 1], 200, 100), None, "all of it");
    }
}

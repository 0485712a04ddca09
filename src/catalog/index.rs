//! The catalog: what the server holds in memory of every image, in columns, and the unfiltered
//! pick.
//!
//! Picks under a filter are in `matches`; making a catalog is in `builder`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use rand::{Rng, RngExt as _};
use roaring::RoaringBitmap;

use super::filter_cache::FilterCache;
use crate::image::ImageId;

/// Number of renditions of an image whose check is remembered. Further ones are checked every time.
const REMEMBERED_RENDITIONS: usize = 7;

/// Identifies one state of an image's record among all that the image ever had.
pub type RecordStamp = [u8; 8];

/// All images at one version of the gallery, in some 38 bytes an image and what the tags take.
#[derive(Default)]
pub struct Catalog {
    pub(super) version: u64,
    pub(super) ids: Vec<ImageId>,
    /// Ordinals, ascending.
    pub(super) ordinals: Vec<u32>,
    /// Widths and heights in pixels. WebP has at most 16,383 a side.
    pub(super) sizes: Vec<(u16, u16)>,
    /// Positions in the order of their ids.
    pub(super) by_id: Vec<u32>,
    /// Stamps in the order of `by_id`.
    pub(super) stamps: Vec<RecordStamp>,
    /// Number of ordinals below 1, 2, 4, ... 2^32.
    pub(super) octaves: Vec<usize>,
    pub(super) portrait: RoaringBitmap,
    pub(super) square: RoaringBitmap,
    pub(super) animated: RoaringBitmap,
    pub(super) tags: HashMap<Box<str>, RoaringBitmap>,
    /// Which bytes were checked, by position: bit 0 is the image, the others are its renditions.
    pub(super) checked: Vec<AtomicU8>,
    /// When each image was last read, by position.
    pub(super) last_reads: Vec<AtomicU8>,
    pub(super) filter_cache: Mutex<FilterCache>,
}

/// An image's place in the catalog that returned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(pub(super) usize);

/// Narrows a number of images to 32 bits, as ordinals have.
pub(super) fn count_u32(count: usize) -> u32 {
    #[expect(clippy::expect_used, reason = "every image has an ordinal of its own, of 32 bits")]
    u32::try_from(count).expect("there are no more images than ordinals")
}

impl Catalog {
    /// The gallery's version that this catalog shows.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Picks an image, all with the same probability, or `None` if there is none.
    pub fn pick(&self, random: &mut impl Rng) -> Option<Position> {
        if self.ids.is_empty() {
            return None;
        }
        Some(Position(random.random_range(0..self.ids.len())))
    }

    /// Returns the images that arrived first, at most `count`.
    pub fn oldest(&self, count: usize) -> impl Iterator<Item = Position> + use<> {
        (0..self.len().min(count)).map(Position)
    }

    /// Finds an image, or `None` if it is not in this catalog.
    #[must_use]
    pub fn position(&self, id: ImageId) -> Option<Position> {
        let at =
            self.by_id.binary_search_by_key(&id, |position| self.ids[*position as usize]).ok()?;
        Some(Position(self.by_id[at] as usize))
    }

    /// The id of the image at `position`.
    #[must_use]
    pub fn id(&self, position: Position) -> ImageId {
        self.ids[position.0]
    }

    /// Whether the bytes of the image at `position` were checked: its own (`None`) or those of the
    /// rendition with this number.
    #[must_use]
    pub fn is_checked(&self, position: Position, rendition: Option<usize>) -> bool {
        check_bit(rendition)
            .is_some_and(|bit| self.checked[position.0].load(Ordering::Relaxed) & bit != 0)
    }

    /// Remembers that bytes were found to be sound: the image's are those that its id names, a
    /// rendition's those that its record names.
    pub fn mark_checked(&self, position: Position, rendition: Option<usize>) {
        if let Some(bit) = check_bit(rendition) {
            self.checked[position.0].fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// The time that [`Catalog::mark_read`] was last given for this image; 0 for never.
    #[must_use]
    pub fn last_read(&self, position: Position) -> u8 {
        self.last_reads[position.0].load(Ordering::Relaxed)
    }

    /// Remembers when the image was read, in a unit of the caller's choice; 0 means never.
    pub fn mark_read(&self, position: Position, when: u8) {
        self.last_reads[position.0].store(when, Ordering::Relaxed);
    }

    /// Marks every image as never read.
    pub fn forget_reads(&self) {
        self.last_reads.iter().for_each(|last_read| last_read.store(0, Ordering::Relaxed));
    }
}

fn check_bit(rendition: Option<usize>) -> Option<u8> {
    match rendition {
        None => Some(1),
        Some(number) if number < REMEMBERED_RENDITIONS => Some(2 << number),
        Some(_) => None,
    }
}

//! Makes a [`Catalog`], either from scratch or from an earlier one and what changed since.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};

use roaring::RoaringBitmap;

use super::index::{Catalog, Position, RecordStamp, count_u32};
use crate::image::{ImageId, Orientation, nfc};

/// What a catalog is told of an image.
#[derive(Clone, Copy, Debug)]
pub struct CatalogEntry<'e> {
    pub id: ImageId,
    pub stamp: RecordStamp,
    /// See [`crate::image::ImageRecord::ordinal`].
    pub ordinal: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    pub animated: bool,
    pub tags: &'e [&'e str],
}

/// Collects the images of a catalog, which must come ascending by id.
#[derive(Default)]
pub struct CatalogBuilder<'c> {
    earlier: Option<&'c Catalog>,
    /// Index in `earlier.by_id` from which the next image is looked for.
    reached: usize,
    /// The images so far, by id: the position of each in `earlier`, or its index in `pushed` if its
    /// rank is there. It becomes the catalog's `by_id`, because a copy would need more memory.
    places: Vec<u32>,
    /// The stamp of each of `images`.
    stamps: Vec<RecordStamp>,
    pushed: Vec<PushedImage>,
    /// Indices in `pushed` of the animated images.
    animated: Vec<u32>,
    /// Indices in `pushed` of the images whose own bytes were checked.
    checked: Vec<u32>,
    /// Indices in `pushed` of the images with each tag.
    tags: HashMap<Box<str>, Vec<u32>>,
}

/// An image that is new, or whose record changed.
struct PushedImage {
    /// Number of images with lower ids.
    rank: u32,
    columns: Columns,
}

/// An image's own columns; its tags are sets beside it.
struct Columns {
    id: ImageId,
    ordinal: u32,
    /// Width and height in pixels.
    size: (u16, u16),
}

impl<'c> CatalogBuilder<'c> {
    /// Makes a builder that need not be told of images that are in `earlier` and did not change.
    ///
    /// It has room for `expected` images, because a vector that grows holds its content twice.
    #[must_use]
    pub fn over(earlier: Option<&'c Catalog>, expected: usize) -> Self {
        let known = earlier.map_or(0, Catalog::len);
        Self {
            earlier,
            places: Vec::with_capacity(expected),
            stamps: Vec::with_capacity(expected),
            pushed: Vec::with_capacity(expected.saturating_sub(known)),
            ..Self::default()
        }
    }

    /// Takes an image over from the earlier catalog. Returns `false` when the image is not there
    /// under this stamp, and must be pushed.
    ///
    /// The stamp alone identifies the image: a record holds its ordinal, so no other has the same.
    pub fn keep(&mut self, id: ImageId, stamp: RecordStamp) -> bool {
        let Some(earlier) = self.earlier else { return false };
        if earlier.stamps.get(self.reached) != Some(&stamp) {
            self.skip_to(earlier, id);
            if earlier.stamps.get(self.reached) != Some(&stamp) {
                return false;
            }
        }
        self.places.push(earlier.by_id[self.reached]);
        self.stamps.push(stamp);
        self.reached += 1;
        true
    }

    /// Adds an image that is new, or whose record changed.
    pub fn push(&mut self, entry: CatalogEntry<'_>) {
        let index = count_u32(self.pushed.len());
        for tag in entry.tags {
            let tag = nfc(tag);
            match self.tags.get_mut(&*tag) {
                // Two spellings of one tag are one.
                Some(indices) if indices.last() == Some(&index) => {}
                Some(indices) => indices.push(index),
                None => drop(self.tags.insert(tag.into(), vec![index])),
            }
        }
        if entry.animated {
            self.animated.push(index);
        }
        let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
        // What an id names never changes while the server runs, so the image's own check stays
        // valid. The renditions' checks do not: with a new record they may have other numbers.
        if let Some(earlier) = self.earlier {
            self.skip_to(earlier, entry.id);
            let position =
                earlier.by_id.get(self.reached).map(|position| Position(*position as usize));
            if position.is_some_and(|at| earlier.id(at) == entry.id && earlier.is_checked(at, None))
            {
                self.checked.push(index);
            }
        }
        let columns = Columns {
            id: entry.id,
            ordinal: entry.ordinal,
            size: (side(entry.width), side(entry.height)),
        };
        self.pushed.push(PushedImage { rank: count_u32(self.places.len()), columns });
        self.places.push(index);
        self.stamps.push(entry.stamp);
    }

    /// Skips the earlier catalog's images with lower ids, because they are gone.
    fn skip_to(&mut self, earlier: &Catalog, id: ImageId) {
        let rest = &earlier.by_id[self.reached..];
        self.reached +=
            rest.iter().take_while(|position| earlier.ids[**position as usize] < id).count();
    }

    /// Makes the catalog of what was kept and pushed. Positions follow the order of ordinals.
    #[must_use]
    pub fn build(self, version: u64) -> Catalog {
        let Self { earlier, mut places, stamps, pushed, animated, checked, tags, .. } = self;
        let nothing = Catalog::default();
        let earlier = earlier.unwrap_or(&nothing);

        let mut catalog = Catalog { version, stamps, ..Catalog::default() };
        let positions = catalog.append_all(&places, earlier, &pushed);
        for index in checked {
            catalog.mark_checked(Position(positions.pushed[index as usize] as usize), None);
        }
        catalog.portrait = catalog.of_orientation(Orientation::Portrait);
        catalog.square = catalog.of_orientation(Orientation::Square);
        catalog.animated = positions.kept(&earlier.animated) | positions.pushed(&animated);
        catalog.tags = earlier
            .tags
            .iter()
            .map(|(tag, members)| (tag.clone(), positions.kept(members)))
            .collect();
        for (tag, indices) in tags {
            *catalog.tags.entry(tag).or_default() |= positions.pushed(&indices);
        }
        catalog.tags.retain(|_, members| !members.is_empty());
        for (place, is_pushed) in places.iter_mut().zip(are_pushed(&pushed)) {
            let positions = if is_pushed { &positions.pushed } else { &positions.kept };
            *place = positions[*place as usize];
        }
        catalog.by_id = places;
        debug_assert!(
            catalog.by_id.is_sorted_by_key(|position| catalog.ids[*position as usize]),
            "ids came in order"
        );
        catalog.octaves = (0..33)
            .map(|bits| catalog.ordinals.partition_point(|ordinal| u64::from(*ordinal) < 1 << bits))
            .collect();
        catalog
    }
}

impl Catalog {
    /// Appends all images in the order of their ordinals, and returns where they went.
    fn append_all(
        &mut self,
        places: &[u32],
        earlier: &Self,
        pushed: &[PushedImage],
    ) -> NewPositions {
        let mut arrivals: Vec<u32> = (0..count_u32(pushed.len())).collect();
        arrivals.sort_unstable_by_key(|index| pushed[*index as usize].columns.ordinal);
        let mut arrivals = arrivals.into_iter().peekable();

        self.reserve(places.len());
        let mut positions =
            NewPositions { kept: vec![GONE; earlier.len()], pushed: vec![GONE; pushed.len()] };
        for (place, is_pushed) in places.iter().zip(are_pushed(pushed)) {
            if !is_pushed {
                positions.kept[*place as usize] = STAYS;
            }
        }
        for before in 0..earlier.len() {
            if positions.kept[before] != STAYS {
                continue;
            }
            let image = Columns {
                id: earlier.ids[before],
                ordinal: earlier.ordinals[before],
                size: earlier.sizes[before],
            };
            let is_older = |index: &u32| pushed[*index as usize].columns.ordinal < image.ordinal;
            while let Some(index) = arrivals.next_if(is_older) {
                positions.pushed[index as usize] = self.append(&pushed[index as usize].columns);
            }
            let position = self.append(&image);
            positions.kept[before] = position;
            self.checked[position as usize] =
                AtomicU8::new(earlier.checked[before].load(Ordering::Relaxed));
        }
        for index in arrivals {
            positions.pushed[index as usize] = self.append(&pushed[index as usize].columns);
        }
        positions
    }

    fn reserve(&mut self, images: usize) {
        self.ids.reserve_exact(images);
        self.ordinals.reserve_exact(images);
        self.sizes.reserve_exact(images);
        self.checked.reserve_exact(images);
        self.last_reads.reserve_exact(images);
    }

    /// Puts an image at the next position, and returns that position.
    fn append(&mut self, image: &Columns) -> u32 {
        self.ids.push(image.id);
        self.ordinals.push(image.ordinal);
        self.sizes.push(image.size);
        self.checked.push(AtomicU8::new(0));
        self.last_reads.push(AtomicU8::new(0));
        count_u32(self.ids.len() - 1)
    }

    fn of_orientation(&self, wanted: Orientation) -> RoaringBitmap {
        let orientations = self
            .sizes
            .iter()
            .map(|(width, height)| Orientation::of((*width).into(), (*height).into()));
        (0..)
            .zip(orientations)
            .filter(|(_, orientation)| *orientation == wanted)
            .map(|(position, _)| position)
            .collect()
    }
}

/// Stands for the position of an image that is gone.
const GONE: u32 = u32::MAX;
/// Stands for the position, which is not known yet, of an image that stays.
const STAYS: u32 = u32::MAX - 1;

/// Where images stand in the new catalog.
struct NewPositions {
    /// New positions, by position in the earlier catalog.
    kept: Vec<u32>,
    /// New positions, by index in the builder's `pushed`.
    pushed: Vec<u32>,
}

/// Whether each image, by id, is one of those pushed.
fn are_pushed(pushed: &[PushedImage]) -> impl Iterator<Item = bool> {
    let mut ranks = pushed.iter().map(|image| image.rank).peekable();
    (0..).map(move |rank| ranks.next_if_eq(&rank).is_some())
}

impl NewPositions {
    /// Translates a set of positions in the earlier catalog, without those that are gone. The order
    /// stays the same, because ordinals do.
    fn kept(&self, members: &RoaringBitmap) -> RoaringBitmap {
        members
            .iter()
            .map(|before| self.kept[before as usize])
            .filter(|position| *position != GONE)
            .collect()
    }

    /// Translates indices in the builder's `pushed`.
    fn pushed(&self, indices: &[u32]) -> RoaringBitmap {
        let mut positions: Vec<u32> =
            indices.iter().map(|index| self.pushed[*index as usize]).collect();
        positions.sort_unstable();
        positions.into_iter().collect()
    }
}

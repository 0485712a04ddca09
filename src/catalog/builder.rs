//! Makes a [`Catalog`]: of nothing but what is told, or of an earlier one and what changed since.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};

use roaring::RoaringBitmap;

use super::index::{Catalog, RecordStamp, count_u32};
use crate::image::{ImageId, Orientation};

/// What a catalog holds of an image.
#[derive(Clone, Copy, Debug)]
pub struct CatalogEntry<'e> {
    pub id: ImageId,
    pub stamp: RecordStamp,
    /// See [`crate::image::ImageRecord::ordinal`].
    pub ordinal: u32,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    pub animated: bool,
    pub tags: &'e [&'e str],
}

/// Collects the images of a catalog, which must come ascending by id.
#[derive(Default)]
pub struct CatalogBuilder<'c> {
    earlier: Option<&'c Catalog>,
    /// The place in `earlier.by_id` where the next image is looked for.
    reached: usize,
    images: Vec<EntrySource>,
    /// Of each of `images`.
    stamps: Vec<RecordStamp>,
    rows: Vec<NewEntry>,
    /// Numbers of `rows`.
    animated: Vec<u32>,
    /// Numbers of `rows`, by tag.
    tags: HashMap<Box<str>, Vec<u32>>,
}

/// Where an image is to be had from.
#[derive(Clone, Copy)]
enum EntrySource {
    /// From this position of the earlier catalog.
    Kept(u32),
    /// From the row with this number.
    Pushed(u32),
}

struct NewEntry {
    id: ImageId,
    ordinal: u32,
    size: (u16, u16),
    /// As in [`Catalog`].
    checked: u8,
}

impl<'c> CatalogBuilder<'c> {
    /// A builder that need not be told of images that are in `earlier` and did not change.
    #[must_use]
    pub fn over(earlier: Option<&'c Catalog>) -> Self {
        Self { earlier, ..Self::default() }
    }

    /// Takes an image over from the earlier catalog; `false` when it is not there under this stamp,
    /// and must be pushed. The image is known by its stamp alone: a record holds its ordinal, so no
    /// other has the same.
    pub fn keep(&mut self, id: ImageId, stamp: RecordStamp) -> bool {
        let Some(earlier) = self.earlier else { return false };
        if earlier.stamps.get(self.reached) != Some(&stamp) {
            self.skip_to(earlier, id);
            if earlier.stamps.get(self.reached) != Some(&stamp) {
                return false;
            }
        }
        self.images.push(EntrySource::Kept(earlier.by_id[self.reached]));
        self.stamps.push(stamp);
        self.reached += 1;
        true
    }

    pub fn push(&mut self, entry: CatalogEntry<'_>) {
        let number = count_u32(self.rows.len());
        for tag in entry.tags {
            match self.tags.get_mut(*tag) {
                Some(numbers) => numbers.push(number),
                None => drop(self.tags.insert((*tag).into(), vec![number])),
            }
        }
        if entry.animated {
            self.animated.push(number);
        }
        let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
        // What was checked of an image stays checked, as what an id names never changes while the
        // server runs; but with its record its renditions may have got other numbers.
        let known = self.earlier.and_then(|earlier| {
            self.skip_to(earlier, entry.id);
            let position = *earlier.by_id.get(self.reached)? as usize;
            (earlier.ids[position] == entry.id)
                .then(|| earlier.checked[position].load(Ordering::Relaxed))
        });
        self.images.push(EntrySource::Pushed(number));
        self.stamps.push(entry.stamp);
        self.rows.push(NewEntry {
            id: entry.id,
            ordinal: entry.ordinal,
            size: (side(entry.width), side(entry.height)),
            checked: known.unwrap_or(0) & 1,
        });
    }

    /// Passes the earlier catalog's images with lower ids: they are gone.
    fn skip_to(&mut self, earlier: &Catalog, id: ImageId) {
        let rest = &earlier.by_id[self.reached..];
        self.reached +=
            rest.iter().take_while(|position| earlier.ids[**position as usize] < id).count();
    }

    /// The catalog of what was kept and pushed. Positions are given out in the order of ordinals.
    #[must_use]
    pub fn build(self, version: u64) -> Catalog {
        let Self { earlier, images, stamps, rows, animated, tags, .. } = self;
        let nothing = Catalog::default();
        let earlier = earlier.unwrap_or(&nothing);

        let mut stays = vec![false; earlier.len()];
        for image in &images {
            if let EntrySource::Kept(before) = image {
                stays[*before as usize] = true;
            }
        }
        let mut pushed: Vec<u32> = (0..count_u32(rows.len())).collect();
        pushed.sort_unstable_by_key(|number| rows[*number as usize].ordinal);
        let mut pushed = pushed.into_iter().peekable();

        let mut catalog = Catalog { version, stamps, ..Catalog::default() };
        catalog.reserve(images.len());
        let mut moved = Moved { kept: vec![GONE; earlier.len()], pushed: vec![GONE; rows.len()] };
        for before in (0..earlier.len()).filter(|before| stays[*before]) {
            let row = NewEntry {
                id: earlier.ids[before],
                ordinal: earlier.ordinals[before],
                size: earlier.sizes[before],
                checked: earlier.checked[before].load(Ordering::Relaxed),
            };
            while let Some(number) =
                pushed.next_if(|number| rows[*number as usize].ordinal < row.ordinal)
            {
                moved.pushed[number as usize] = catalog.append(&rows[number as usize]);
            }
            moved.kept[before] = catalog.append(&row);
        }
        for number in pushed {
            moved.pushed[number as usize] = catalog.append(&rows[number as usize]);
        }

        let of_size = |orientation| -> RoaringBitmap {
            let orientations = catalog
                .sizes
                .iter()
                .map(|(width, height)| Orientation::of((*width).into(), (*height).into()));
            (0..)
                .zip(orientations)
                .filter(|(_, other)| *other == orientation)
                .map(|(position, _)| position)
                .collect()
        };
        catalog.portrait = of_size(Orientation::Portrait);
        catalog.square = of_size(Orientation::Square);
        catalog.animated = moved.kept(&earlier.animated) | moved.pushed(&animated);
        catalog.tags =
            earlier.tags.iter().map(|(tag, members)| (tag.clone(), moved.kept(members))).collect();
        for (tag, numbers) in tags {
            *catalog.tags.entry(tag).or_default() |= moved.pushed(&numbers);
        }
        catalog.tags.retain(|_, members| !members.is_empty());
        catalog.by_id = images.iter().map(|image| moved.image(*image)).collect();
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
    fn reserve(&mut self, images: usize) {
        self.ids.reserve_exact(images);
        self.ordinals.reserve_exact(images);
        self.sizes.reserve_exact(images);
        self.checked.reserve_exact(images);
        self.last_reads.reserve_exact(images);
    }

    /// Gives the next position to an image, and says which that is.
    fn append(&mut self, row: &NewEntry) -> u32 {
        self.ids.push(row.id);
        self.ordinals.push(row.ordinal);
        self.sizes.push(row.size);
        self.checked.push(AtomicU8::new(row.checked));
        self.last_reads.push(AtomicU8::new(0));
        count_u32(self.ids.len() - 1)
    }
}

/// The position of an image that did not stay.
const GONE: u32 = u32::MAX;

/// Where images stand now.
struct Moved {
    /// By position in the earlier catalog.
    kept: Vec<u32>,
    /// By number of the row.
    pushed: Vec<u32>,
}

impl Moved {
    fn image(&self, image: EntrySource) -> u32 {
        match image {
            EntrySource::Kept(before) => self.kept[before as usize],
            EntrySource::Pushed(number) => self.pushed[number as usize],
        }
    }

    /// Those that stayed of a set in the earlier catalog: in the same order, as their ordinals are.
    fn kept(&self, members: &RoaringBitmap) -> RoaringBitmap {
        members
            .iter()
            .map(|before| self.kept[before as usize])
            .filter(|position| *position != GONE)
            .collect()
    }

    fn pushed(&self, numbers: &[u32]) -> RoaringBitmap {
        let mut positions: Vec<u32> =
            numbers.iter().map(|number| self.pushed[*number as usize]).collect();
        positions.sort_unstable();
        positions.into_iter().collect()
    }
}

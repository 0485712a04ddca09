//! Makes a [`Catalog`]: of nothing but what is told, or of an earlier one and what changed since.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use roaring::RoaringBitmap;

use super::{Catalog, index};
use crate::image::{ImageId, Orientation};

/// Tells an image's record from every other that the image ever had.
pub type Stamp = [u8; 8];

/// What a catalog holds of an image.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'e> {
    pub id: ImageId,
    pub stamp: Stamp,
    /// See [`crate::image::ImageRecord::ordinal`].
    pub ordinal: u32,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    pub animated: bool,
    pub tags: &'e [&'e str],
}

/// Collects the entries of a catalog: ascending by id where an earlier catalog is to be made use of, else in any order.
#[derive(Default)]
pub struct CatalogBuilder<'c> {
    earlier: Option<&'c Catalog>,
    /// The place in `earlier.by_id` of the first id that is not below the one looked for last.
    reached: usize,
    rows: Vec<Row>,
    /// The entries' numbers in `rows`, by tag, less those of the rows that were kept.
    tags: HashMap<Box<str>, Vec<u32>>,
}

struct Row {
    id: ImageId,
    stamp: Stamp,
    ordinal: u32,
    size: (u16, u16),
    animated: bool,
    known: Known,
}

/// What the earlier catalog has of an image.
#[derive(Clone, Copy)]
enum Known {
    Nothing,
    /// At this position, under another stamp.
    Changed(u32),
    /// At this position.
    Same(u32),
}

impl<'c> CatalogBuilder<'c> {
    /// A builder that need not be told of images that are in `earlier` and did not change.
    #[must_use]
    pub fn over(earlier: Option<&'c Catalog>) -> Self {
        Self { earlier, ..Self::default() }
    }

    /// Takes an image over from the earlier catalog; `false` when it is not there under this stamp, and must be pushed.
    pub fn keep(&mut self, id: ImageId, stamp: Stamp) -> bool {
        let Some((earlier, position)) = self.find(id) else { return false };
        let at = position as usize;
        if earlier.stamps[at] != stamp {
            return false;
        }
        self.rows.push(Row {
            id,
            stamp,
            ordinal: earlier.ordinals[at],
            size: earlier.sizes[at],
            animated: earlier.animated.contains(position),
            known: Known::Same(position),
        });
        true
    }

    pub fn push(&mut self, entry: Entry<'_>) {
        let number = index(self.rows.len());
        for tag in entry.tags {
            match self.tags.get_mut(*tag) {
                Some(numbers) => numbers.push(number),
                None => drop(self.tags.insert((*tag).into(), vec![number])),
            }
        }
        let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
        let known = self.find(entry.id).map_or(Known::Nothing, |(_, position)| Known::Changed(position));
        self.rows.push(Row {
            id: entry.id,
            stamp: entry.stamp,
            ordinal: entry.ordinal,
            size: (side(entry.width), side(entry.height)),
            animated: entry.animated,
            known,
        });
    }

    /// Where an image stands in the earlier catalog.
    fn find(&mut self, id: ImageId) -> Option<(&'c Catalog, u32)> {
        let earlier = self.earlier?;
        let id_at = |position: &u32| earlier.ids[*position as usize];
        let rest = &earlier.by_id[self.reached..];
        self.reached += rest.iter().take_while(|position| id_at(position) < id).count();
        let position = earlier.by_id.get(self.reached).filter(|position| id_at(position) == id)?;
        Some((earlier, *position))
    }

    /// The catalog of what was kept and pushed.
    #[must_use]
    pub fn build(self, version: u64) -> Catalog {
        let Self { earlier, rows, tags, .. } = self;
        let mut order: Vec<(u32, u32)> =
            (0..).zip(&rows).map(|(number, row)| (row.ordinal, number)).collect();
        order.sort_unstable();
        let mut position_of = vec![0_u32; rows.len()];
        for (position, (_, number)) in order.iter().enumerate() {
            position_of[*number as usize] = index(position);
        }
        let in_order = || order.iter().map(|(_, number)| &rows[*number as usize]);
        let ordinals: Vec<u32> = in_order().map(|row| row.ordinal).collect();
        let ids: Vec<ImageId> = in_order().map(|row| row.id).collect();
        let members = |member: &dyn Fn(&Row) -> bool| -> RoaringBitmap {
            let positions = in_order().enumerate().filter(|(_, row)| member(row));
            positions.map(|(position, _)| index(position)).collect()
        };
        let oriented =
            |row: &Row, orientation| Orientation::of(row.size.0.into(), row.size.1.into()) == orientation;
        let mut tags: HashMap<_, _> =
            tags.into_iter().map(|(tag, numbers)| (tag, positions(&numbers, &position_of))).collect();
        if let Some(earlier) = earlier {
            add_kept(&mut tags, earlier, &rows, &position_of);
        }
        // A store visits its images by id, and then the sort is done.
        let mut by_id = position_of;
        by_id.sort_by_key(|position| ids[*position as usize]);
        Catalog {
            version,
            octaves: std::array::from_fn(|bits| {
                ordinals.partition_point(|ordinal| u64::from(*ordinal) < 1 << bits)
            }),
            stamps: in_order().map(|row| row.stamp).collect(),
            sizes: in_order().map(|row| row.size).collect(),
            portrait: members(&|row| oriented(row, Orientation::Portrait)),
            square: members(&|row| oriented(row, Orientation::Square)),
            animated: members(&|row| row.animated),
            tags,
            checked: in_order().map(|row| AtomicU8::new(row.known.checked(earlier))).collect(),
            evaluated: Mutex::default(),
            ids,
            ordinals,
            by_id,
        }
    }
}

impl Known {
    /// What was checked of an image stays checked: what an id names never changes while the server runs. With its
    /// record its renditions may have got other numbers.
    fn checked(self, earlier: Option<&Catalog>) -> u8 {
        let checked = |position| {
            earlier.map_or(0, |earlier| earlier.checked[position as usize].load(Ordering::Relaxed))
        };
        match self {
            Self::Nothing => 0,
            Self::Changed(position) => checked(position) & 1,
            Self::Same(position) => checked(position),
        }
    }
}

/// The positions of rows with these numbers.
fn positions(numbers: &[u32], position_of: &[u32]) -> RoaringBitmap {
    let mut positions: Vec<u32> = numbers.iter().map(|number| position_of[*number as usize]).collect();
    positions.sort_unstable();
    positions.into_iter().collect()
}

/// Adds the rows that were kept to their tags.
fn add_kept(
    tags: &mut HashMap<Box<str>, RoaringBitmap>,
    earlier: &Catalog,
    rows: &[Row],
    position_of: &[u32],
) {
    let mut moved_to: Vec<Option<u32>> = vec![None; earlier.len()];
    for (row, position) in rows.iter().zip(position_of) {
        if let Known::Same(before) = row.known {
            moved_to[before as usize] = Some(*position);
        }
    }
    for (tag, members) in &earlier.tags {
        let kept: RoaringBitmap = members.iter().filter_map(|position| moved_to[position as usize]).collect();
        if !kept.is_empty() {
            *tags.entry(tag.clone()).or_default() |= kept;
        }
    }
}

//! Finds images that look alike: the same picture at another size, another quality, in another format.

use crate::image::{ImageId, ImageRecord};
use crate::store::{Store, StoreError};

/// Bits of the perceptual hash that may differ. Few: a picture that is left out for one that only looks alike is a loss, one that
/// is kept beside its copy is not.
const MAX_DISTANCE: u32 = 6;

/// What the dominant colours may differ by, summed over the channels: copies of some 300 pictures at half the size, or 160 pixels
/// wide, differed by at most 4 in 19 of 20; the same wallpaper in other colours by 27 to 39.
const MAX_COLOUR_DISTANCE: u32 = 20;

/// What the ratio of the sides may differ by, of 1,000: small copies are rounded to whole pixels.
const MAX_SHAPE_DIFFERENCE: u64 = 30;

/// What is compared of an image.
struct Look {
    id: ImageId,
    hash: u64,
    color: [u8; 3],
    /// Width by height, times 1,000.
    shape: u64,
    animated: bool,
}

impl Look {
    fn of(id: ImageId, record: &ImageRecord) -> Self {
        Self {
            id,
            hash: record.perceptual_hash,
            color: record.color,
            shape: u64::from(record.width) * 1000 / u64::from(record.height.max(1)),
            animated: record.animated(),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.hash ^ other.hash).count_ones() <= MAX_DISTANCE
            && self.animated == other.animated
            && self.shape.abs_diff(other.shape) * 1000
                <= self.shape.max(other.shape) * MAX_SHAPE_DIFFERENCE
            && self
                .color
                .iter()
                .zip(other.color)
                .map(|(a, b)| u32::from(a.abs_diff(b)))
                .sum::<u32>()
                <= MAX_COLOUR_DISTANCE
    }
}

/// All images of a gallery, read when the first is asked for: an import that converts nothing reads none. A search looks at
/// each, about a nanosecond an image.
#[derive(Default)]
pub(super) struct Looks(Option<Vec<Look>>);

impl Looks {
    /// An image of the gallery, or one that was added since, that looks like this one and is not the same.
    pub(super) fn find(
        &mut self,
        store: &Store,
        id: ImageId,
        record: &ImageRecord,
    ) -> Result<Option<ImageId>, StoreError> {
        let looks = match &mut self.0 {
            Some(looks) => looks,
            none => {
                let mut looks = Vec::new();
                store.each_image(|id, record| looks.push(Look::of(id, &record)))?;
                none.insert(looks)
            }
        };
        let look = Look::of(id, record);
        Ok(looks.iter().find(|other| other.id != id && other.is_like(&look)).map(|other| other.id))
    }

    pub(super) fn add(&mut self, id: ImageId, record: &ImageRecord) {
        if let Some(looks) = &mut self.0 {
            looks.push(Look::of(id, record));
        }
    }
}

//! Which images are in memory, as far as can be told without asking the kernel, which costs a tenth of sending one.
//!
//! Time runs in *ages*. An image that was found in memory in this age or the one before is taken to be there still; of others
//! the kernel is asked. An age ends after some seconds, or sooner when much was read from the disk, for that pushes other pages
//! out. Who is wrong waits for the disk on a thread that has others to serve: rare, and not worse than asking nobody.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::catalog::{Catalog, Position};

/// An age lasts as long as this, or until so many bytes were read from the disk.
const AGE: Duration = Duration::from_secs(10);
const AGE_BYTES: usize = 64 << 20;
/// In a catalog, an image that was not read.
const NEVER: u8 = 0;

pub(super) struct Residency {
    /// Of [`NEVER`] + 1 and more.
    age: AtomicU8,
    loaded_bytes: AtomicUsize,
    began: Mutex<Instant>,
}

impl Residency {
    pub(super) fn new() -> Self {
        Self { age: (NEVER + 1).into(), loaded_bytes: 0.into(), began: Mutex::new(Instant::now()) }
    }

    /// Whether the image was in memory a moment ago.
    pub(super) fn is_likely(&self, catalog: &Catalog, image: Position) -> bool {
        let (read, age) = (catalog.last_read(image), self.age.load(Ordering::Relaxed));
        read != NEVER && (read == age || read + 1 == age)
    }

    /// The image is in memory now.
    pub(super) fn found(&self, catalog: &Catalog, image: Position) {
        catalog.mark_read(image, self.age.load(Ordering::Relaxed));
    }

    /// Bytes were read from the disk.
    pub(super) fn loaded(&self, bytes: usize) {
        self.loaded_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Ends the age if it is time to. To be called some times a second.
    pub(super) fn tick(&self, catalog: &Catalog) {
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        if began.elapsed() < AGE && self.loaded_bytes.load(Ordering::Relaxed) < AGE_BYTES {
            return;
        }
        *began = Instant::now();
        self.loaded_bytes.store(0, Ordering::Relaxed);
        match self.age.load(Ordering::Relaxed).checked_add(1) {
            Some(age) => self.age.store(age, Ordering::Relaxed),
            None => {
                // An age of the same number comes again; what was read in it is forgotten.
                self.age.store(NEVER + 1, Ordering::Relaxed);
                catalog.forget_reads();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{CatalogBuilder, CatalogEntry, RecordStamp};
    use crate::image::ImageId;

    #[test]
    fn an_image_is_taken_to_be_in_memory_for_an_age_and_the_next() {
        let mut builder = CatalogBuilder::over(None);
        let (id, stamp) = (ImageId::of(b"webp"), RecordStamp::default());
        builder.push(CatalogEntry {
            id,
            stamp,
            ordinal: 0,
            width: 1,
            height: 1,
            animated: false,
            tags: &[],
        });
        let (catalog, residency) = (builder.build(1), Residency::new());
        let image = catalog.position(id).unwrap();
        let next_age = || {
            residency.loaded(AGE_BYTES);
            residency.tick(&catalog);
        };
        for _ in 0..600 {
            assert!(!residency.is_likely(&catalog, image));
            residency.found(&catalog, image);
            residency.tick(&catalog);
            assert!(residency.is_likely(&catalog, image));
            let before = residency.age.load(Ordering::Relaxed);
            next_age();
            // Where the numbers begin anew, all is forgotten one age early.
            assert!(residency.is_likely(&catalog, image) || before == u8::MAX);
            next_age();
            assert!(!residency.is_likely(&catalog, image));
        }
    }
}

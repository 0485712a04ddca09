//! Remembers which images were in the system's page cache a moment ago.
//!
//! Asking the kernel costs a tenth of sending an image. Time runs in *ages*: an image that was
//! cached in this age or the one before is taken to be cached still, and of others the kernel is
//! asked. An age ends after some seconds, or sooner when much was read from the disk, for that
//! pushes other pages out. A wrong guess blocks a worker on one disk read. That is rare, and no
//! worse than never asking.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::catalog::{Catalog, Position};

/// Longest duration of an age.
const AGE: Duration = Duration::from_secs(10);
/// Bytes read from the disk that end an age.
const AGE_BYTES: usize = 64 << 20;
/// Age of an image that was never read, in the catalog.
const NEVER: u8 = 0;

/// The present age, and how much was read from the disk in it.
pub(super) struct PageCacheHints {
    /// Number of the age, from [`NEVER`] + 1 on.
    age: AtomicU8,
    disk_bytes: AtomicUsize,
    began: Mutex<Instant>,
}

impl PageCacheHints {
    pub(super) fn new(now: Instant) -> Self {
        Self { age: (NEVER + 1).into(), disk_bytes: 0.into(), began: Mutex::new(now) }
    }

    /// Whether the image was in the page cache a moment ago.
    pub(super) fn is_likely_cached(&self, catalog: &Catalog, image: Position) -> bool {
        let (read, age) = (catalog.last_read(image), self.age.load(Ordering::Relaxed));
        read != NEVER && (read == age || read + 1 == age)
    }

    /// Notes that the whole image is in the page cache now.
    pub(super) fn mark_cached(&self, catalog: &Catalog, image: Position) {
        catalog.mark_read(image, self.age.load(Ordering::Relaxed));
    }

    /// Notes that bytes were read from the disk.
    pub(super) fn count_disk_read(&self, bytes: usize) {
        self.disk_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Ends the age if it has lasted long enough. The caller does this some times a second.
    pub(super) fn advance(&self, catalog: &Catalog, now: Instant) {
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = now.saturating_duration_since(*began) >= AGE
            || self.disk_bytes.load(Ordering::Relaxed) >= AGE_BYTES;
        if !is_over {
            return;
        }
        *began = now;
        self.disk_bytes.store(0, Ordering::Relaxed);
        match self.age.load(Ordering::Relaxed).checked_add(1) {
            Some(age) => self.age.store(age, Ordering::Relaxed),
            None => {
                // The numbers begin again, so what was read under them before is forgotten.
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
        let start = Instant::now();
        let mut builder = CatalogBuilder::over(None, 0);
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
        let (catalog, hints) = (builder.build(1), PageCacheHints::new(start));
        let image = catalog.position(id).unwrap();
        let next_age = || {
            hints.count_disk_read(AGE_BYTES);
            hints.advance(&catalog, start);
        };
        for _ in 0..600 {
            assert!(!hints.is_likely_cached(&catalog, image));
            hints.mark_cached(&catalog, image);
            hints.advance(&catalog, start);
            assert!(hints.is_likely_cached(&catalog, image));
            let before = hints.age.load(Ordering::Relaxed);
            next_age();
            // Where the numbers begin anew, all is forgotten one age early.
            assert!(hints.is_likely_cached(&catalog, image) || before == u8::MAX);
            next_age();
            assert!(!hints.is_likely_cached(&catalog, image));
        }
    }

    #[test]
    fn an_age_ends_with_time_too() {
        let start = Instant::now();
        let (catalog, hints) = (CatalogBuilder::over(None, 0).build(1), PageCacheHints::new(start));
        let age = |after: Duration| {
            hints.advance(&catalog, start + after);
            hints.age.load(Ordering::Relaxed)
        };
        let first = age(Duration::ZERO);
        assert_eq!(age(AGE - Duration::from_millis(1)), first);
        assert_eq!(age(AGE), first + 1);
        assert_eq!(age(2 * AGE - Duration::from_millis(1)), first + 1);
        assert_eq!(age(2 * AGE), first + 2);
    }
}

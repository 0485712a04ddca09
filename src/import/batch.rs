//! Which outcomes are committed together: a commit waits for the disk, so it takes many images.

use std::time::{Duration, Instant};

use super::budget::MemoryPermit;
use super::outcome::FileOutcome;
use crate::store::Addition;

/// Size at which a batch is committed, in bytes of WebP.
const BATCH_BYTES: usize = 16 << 20;
/// Number of images at which a batch is committed.
const BATCH_IMAGES: usize = 256;
/// Longest time that an image waits for its commit, so that a server shows it within a second.
const BATCH_AGE: Duration = Duration::from_millis(500);

/// What is committed next.
#[derive(Default)]
pub(super) struct Batch {
    /// One outcome for each addition.
    outcomes: Vec<FileOutcome>,
    pub(super) additions: Vec<Addition>,
    /// Permits for the memory that the additions take.
    permits: Vec<MemoryPermit>,
    size_bytes: usize,
    /// When the first addition has waited for [`BATCH_AGE`]; `None` for an empty batch.
    due: Option<Instant>,
}

impl Batch {
    /// When the batch must be committed; `None` for an empty one.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Adds a file. Its outcome becomes true with the commit.
    pub(super) fn push(
        &mut self,
        outcome: FileOutcome,
        addition: Addition,
        permit: Option<MemoryPermit>,
        now: Instant,
    ) {
        self.due.get_or_insert(now + BATCH_AGE);
        self.size_bytes += addition.size_bytes();
        self.outcomes.push(outcome);
        self.additions.push(addition);
        self.permits.extend(permit);
    }

    /// Whether the batch is large enough, or old enough, to be committed.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.size_bytes >= BATCH_BYTES
            || self.additions.len() >= BATCH_IMAGES
            || self.due.is_some_and(|due| now >= due)
    }

    /// Frees the additions, and returns the outcomes.
    pub(super) fn into_outcomes(self) -> impl Iterator<Item = FileOutcome> {
        self.outcomes.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::SourceMetadata;
    use crate::image::{ImageId, PictureMetadata};
    use crate::import::exclude::ExcludeRules;
    use crate::import::outcome::ReadSource;
    use crate::import::report::FileReport;
    use crate::import::walk::{FoundEntry, walk};
    use crate::store::SourceKey;

    fn push(batch: &mut Batch, webp_bytes: usize, now: Instant) {
        let this_file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let rules = ExcludeRules::new([], true);
        let Some(FoundEntry::Source(file)) = walk(&this_file, &rules).next() else {
            panic!("not found")
        };
        let source = ReadSource {
            file,
            hash: [0; 32],
            keep_reason: None,
            metadata: SourceMetadata::default(),
        };
        let outcome = FileOutcome { report: FileReport::new(this_file), source };
        let addition = Addition {
            id: ImageId::of(b""),
            image: None,
            metadata: PictureMetadata::default(),
            hand_tags: Vec::new(),
            renditions: vec![(16, vec![0; webp_bytes])],
            source: SourceKey::new(&[0; 32], [0; 8]),
            origin: None,
            moved_from: Vec::new(),
            again: false,
        };
        batch.push(outcome, addition, None, now);
    }

    #[test]
    fn a_batch_is_ready_when_it_is_old_or_long_or_large() {
        let start = Instant::now();
        let later = start + Duration::from_millis(100);

        let mut old = Batch::default();
        assert!(old.due().is_none() && !old.is_ready(start + Duration::from_secs(60)));
        push(&mut old, 1, start);
        push(&mut old, 1, later);
        assert_eq!(old.due(), Some(start + BATCH_AGE), "the first image counts");
        assert!(!old.is_ready(later) && old.is_ready(start + BATCH_AGE));

        let mut long = Batch::default();
        (1..BATCH_IMAGES).for_each(|_| push(&mut long, 1, start));
        assert!(!long.is_ready(start));
        push(&mut long, 1, start);
        assert!(long.is_ready(start));

        let mut large = Batch::default();
        push(&mut large, BATCH_BYTES - 1, start);
        assert!(!large.is_ready(start));
        push(&mut large, 1, start);
        assert!(large.is_ready(start));
        assert_eq!(large.into_outcomes().count(), 2);
    }
}

//! Removing images, and the marks that keep removed sources from coming back.

use std::collections::BTreeMap;

use super::addition::{Origin, RemovedMark};
use super::engine::Writer;
use super::error::StoreError;
use super::gallery::Store;
use super::record::{decode_mark, decode_origin, encode_mark};
use super::tree::Tree;
use crate::image::{ImageId, now};

/// Largest number of images removed in one commit, so that a writer holds the lock only briefly.
pub(super) const REMOVALS_PER_COMMIT: usize = 1_000;

/// Most bytes of origins in a mark, less than a record may have. A source that lies in thousands of
/// places is found again in the first of them.
const MAX_MARK_BYTES: usize = 512 << 10;
/// Most bytes that an origin takes in a mark beside its path and its tags.
const BYTES_BESIDE_PATH: usize = 64;

impl Store {
    /// Removes images as a person's wish: their sources are marked, and later imports leave them
    /// out. Returns the ids of the images that were there.
    ///
    /// # Errors
    /// As [`Store::add`]; earlier batches of 1,000 stay removed.
    pub fn remove(&self, ids: &[ImageId]) -> Result<Vec<ImageId>, StoreError> {
        let mut removed = Vec::new();
        for batch in ids.chunks(REMOVALS_PER_COMMIT) {
            removed.extend(self.write(|writer| {
                batch.iter().try_for_each(|id| writer.mark_removed(*id))?;
                writer.remove(batch)
            })?);
        }
        Ok(removed)
    }

    /// Returns the mark of a source whose image a person removed.
    ///
    /// # Errors
    /// When the gallery is damaged or can't be read.
    pub fn removed_before(&self, hash: &[u8; 32]) -> Result<Option<RemovedMark>, StoreError> {
        self.get(Tree::Removed, hash, |bytes| decode_mark(hash, bytes))?.transpose()
    }

    /// Returns the marks of all sources that had become an image, with the sources' hashes.
    ///
    /// # Errors
    /// When the gallery is damaged or can't be read.
    pub fn marks_of(&self, id: ImageId) -> Result<Vec<([u8; 32], RemovedMark)>, StoreError> {
        let mut marks = Vec::new();
        self.scan(Tree::Removed, &mut |key, value| {
            let mark = decode_mark(key, value)?;
            if mark.image == id
                && let Ok(hash) = key.try_into()
            {
                marks.push((hash, mark));
            }
            Ok(())
        })?;
        Ok(marks)
    }
}

impl Writer<'_> {
    /// Removes images with all that belongs to them, and returns the ids of those that were there.
    pub(super) fn remove(&mut self, ids: &[ImageId]) -> Result<Vec<ImageId>, StoreError> {
        let mut removed = Vec::new();
        for id in ids {
            if self.get(Tree::Images, id.as_bytes())?.is_some() {
                self.erase(*id)?;
                removed.push(*id);
            }
        }
        Ok(removed)
    }

    /// Deletes all that belongs to an image, and reads nothing but its own entries.
    pub(super) fn erase(&mut self, id: ImageId) -> Result<(), StoreError> {
        self.delete(Tree::Images, id.as_bytes())?;
        for source in self.sources_of(id)? {
            self.delete_source(&source, id)?;
        }
        for tree in [Tree::Blobs, Tree::Origins] {
            for key in self.keys_of(tree, id)? {
                self.delete(tree, &key)?;
            }
        }
        Ok(())
    }

    /// Marks the sources of an image as removed. What is damaged can be removed too: its sources
    /// are known from the index.
    fn mark_removed(&mut self, id: ImageId) -> Result<(), StoreError> {
        let record = match self.image(id) {
            Ok(Some(record)) => Some(record),
            Ok(None) => return Ok(()),
            Err(StoreError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        let mut origins: BTreeMap<[u8; 32], Vec<Origin>> = BTreeMap::new();
        for source in self.sources_of(id)? {
            let Some(hash) = source.first_chunk::<32>() else { continue };
            // Other sources were only skipped for this image, unless there is an origin of them.
            if record.as_ref().is_none_or(|record| record.source_hash == *hash) {
                origins.entry(*hash).or_default();
            }
        }
        for key in self.keys_of(Tree::Origins, id)? {
            let bytes = self.get(Tree::Origins, &key)?.unwrap_or_default();
            if let Ok(origin) = decode_origin(&key, &bytes) {
                origins.entry(origin.source_hash).or_default().push(origin);
            }
        }
        let (hand_tags, refused_tags) =
            record.map(|record| (record.hand_tags, record.refused_tags)).unwrap_or_default();
        for (hash, mut origins) in origins {
            let mut mark_bytes = 0;
            origins.retain(|origin| {
                mark_bytes += origin.path.as_os_str().len() + BYTES_BESIDE_PATH;
                mark_bytes += origin.folder_tags.iter().map(|tag| tag.len() + 8).sum::<usize>();
                mark_bytes <= MAX_MARK_BYTES
            });
            let mark = RemovedMark {
                image: id,
                removed_at: now(),
                origins,
                hand_tags: hand_tags.clone(),
                refused_tags: refused_tags.clone(),
            };
            self.put(Tree::Removed, &hash, &encode_mark(&hash, &mark)?)?;
        }
        Ok(())
    }
}

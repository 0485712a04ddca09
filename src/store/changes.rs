//! What a change to a gallery means, within one transaction and once for all engines.

use super::addition::{Added, Addition};
use super::engine::Writer;
use super::error::StoreError;
use super::migrate::ADDED_KEY;
use super::record::{blob_key, decode_image, encode_image, encode_origin, origin_key};
use super::tree::Tree;
use crate::image::{ImageId, ImageRecord, Rendition};

impl Writer<'_> {
    pub(super) fn image(&self, id: ImageId) -> Result<Option<ImageRecord>, StoreError> {
        self.get(Tree::Images, id.as_bytes())?.map(|bytes| decode_image(id, &bytes)).transpose()
    }

    pub(super) fn put_image(
        &mut self,
        id: ImageId,
        record: &ImageRecord,
    ) -> Result<(), StoreError> {
        let bytes = encode_image(id, record)?;
        self.put(Tree::Images, id.as_bytes(), &bytes)
    }

    /// Adds an image, or what an addition has that the image of this id lacks.
    pub(super) fn add(&mut self, addition: &Addition) -> Result<Added, StoreError> {
        let id = addition.id;
        let (mut record, added) = match (self.image(id)?, &addition.image) {
            (Some(existing), _) => (existing, Added::Existing),
            (None, Some((record, webp))) => {
                self.put(Tree::Blobs, &blob_key(id, 0), webp)?;
                (
                    ImageRecord { ordinal: self.next_ordinal()?, ..ImageRecord::clone(record) },
                    Added::New,
                )
            }
            (None, None) => return Ok(Added::Gone),
        };
        let mut changed = merge_tags(&mut record.tags, &addition.tags, &[]) || added == Added::New;
        for (width, webp) in &addition.renditions {
            if record.renditions.iter().any(|rendition| rendition.width == *width) {
                continue;
            }
            self.put(Tree::Blobs, &blob_key(id, *width), webp)?;
            record.renditions.push(Rendition::of(*width, webp));
            record.renditions.sort_by_key(|rendition| rendition.width);
            changed = true;
        }
        if changed {
            self.put_image(id, &record)?;
        }
        self.put_if_changed(Tree::Sources, &addition.source.0, id.as_bytes())?;
        if let Some(origin) = &addition.origin {
            self.put_if_changed(
                Tree::Origins,
                &origin_key(id, origin),
                &encode_origin(id, origin)?,
            )?;
        }
        Ok(added)
    }

    /// Counts one more image, and returns its ordinal.
    fn next_ordinal(&mut self) -> Result<u32, StoreError> {
        let damaged = |reason: &str| StoreError::damaged("meta", ADDED_KEY, reason);
        let ordinal = match self.get(Tree::Meta, ADDED_KEY)? {
            None => 0,
            Some(bytes) => u32::from_le_bytes(
                bytes.try_into().map_err(|_| damaged("the count has not 4 bytes"))?,
            ),
        };
        let next = ordinal
            .checked_add(1)
            .ok_or_else(|| damaged("2^32 images were added, which is the most"))?;
        self.put(Tree::Meta, ADDED_KEY, &next.to_le_bytes())?;
        Ok(ordinal)
    }

    /// Puts a value unless it is there already: a transaction that changes nothing leaves the
    /// version as it is, and with it the servers' catalogs.
    fn put_if_changed(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if self.get(tree, key)?.as_deref() == Some(value) {
            Ok(())
        } else {
            self.put(tree, key, value)
        }
    }

    /// Removes images with all that belongs to them, and returns the ids of those that were there.
    pub(super) fn remove(&mut self, ids: &[ImageId]) -> Result<Vec<ImageId>, StoreError> {
        let mut removed = Vec::new();
        for id in ids {
            if self.get(Tree::Images, id.as_bytes())?.is_none() {
                continue;
            }
            self.delete(Tree::Images, id.as_bytes())?;
            for tree in [Tree::Blobs, Tree::Origins] {
                for key in self.keys_of(tree, *id)? {
                    self.delete(tree, &key)?;
                }
            }
            removed.push(*id);
        }
        let mut gone = removed.clone();
        gone.sort_unstable();
        let mut marks = Vec::new();
        self.scan(Tree::Sources, &[], &mut |key, value| {
            if ImageId::from_slice(value).is_some_and(|id| gone.binary_search(&id).is_ok()) {
                marks.push(key.to_vec());
            }
            Ok(())
        })?;
        for key in marks {
            self.delete(Tree::Sources, &key)?;
        }
        Ok(removed)
    }

    /// Returns the keys of a tree that begin with an image's id.
    pub(super) fn keys_of(&self, tree: Tree, id: ImageId) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut keys = Vec::new();
        self.scan(tree, id.as_bytes(), &mut |key, _| {
            keys.push(key.to_vec());
            Ok(())
        })?;
        Ok(keys)
    }
}

/// Adds and drops tags, and keeps them sorted and without repeats. Returns whether anything
/// changed.
pub(super) fn merge_tags(tags: &mut Vec<String>, add: &[String], drop: &[String]) -> bool {
    let before = tags.clone();
    tags.extend(add.iter().cloned());
    tags.retain(|tag| !drop.contains(tag));
    tags.sort_unstable();
    tags.dedup();
    *tags != before
}

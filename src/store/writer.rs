//! What a change to a gallery means, once for all engines, within one transaction.

use super::record::{blob_key, decode_image, encode_image, encode_origin, origin_key};
#[cfg(feature = "sled")]
use super::sled;
use super::{Added, Addition, EntryVisitor, StoreError, Tree, file, migrate};
use crate::image::{ImageId, ImageRecord, Rendition};

/// One write transaction; it is committed whole when the closure that was given it returns `Ok`.
pub(super) enum Writer<'w> {
    File(file::FileWriter<'w>),
    #[cfg(feature = "sled")]
    Sled(sled::SledWriter<'w>),
}

macro_rules! on_writer {
    ($writer:expr, $name:ident => $call:expr) => {
        match $writer {
            Writer::File($name) => $call,
            #[cfg(feature = "sled")]
            Writer::Sled($name) => $call,
        }
    };
}

impl Writer<'_> {
    pub(super) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        on_writer!(self, writer => writer.get(tree, key))
    }

    pub(super) fn put(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        on_writer!(self, writer => writer.put(tree, key, value))
    }

    pub(super) fn delete(&mut self, tree: Tree, key: &[u8]) -> Result<(), StoreError> {
        on_writer!(self, writer => writer.delete(tree, key))
    }

    /// Visits the entries of a tree that begin with `prefix` as they were when the transaction began, or as it has
    /// left them: a caller must not rely on either.
    pub(super) fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<(), StoreError> {
        on_writer!(self, writer => writer.scan(tree, prefix, visit))
    }

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
        self.put_if_other(Tree::Sources, &addition.source.0, id.as_bytes())?;
        if let Some(origin) = &addition.origin {
            self.put_if_other(Tree::Origins, &origin_key(id, origin), &encode_origin(id, origin)?)?;
        }
        Ok(added)
    }

    /// Counts one more image.
    fn next_ordinal(&mut self) -> Result<u32, StoreError> {
        let damaged = |reason: &str| StoreError::damaged("meta", migrate::ADDED_KEY, reason);
        let ordinal = match self.get(Tree::Meta, migrate::ADDED_KEY)? {
            None => 0,
            Some(bytes) => u32::from_le_bytes(
                bytes.try_into().map_err(|_| damaged("the count has not 4 bytes"))?,
            ),
        };
        let next = ordinal
            .checked_add(1)
            .ok_or_else(|| damaged("2^32 images were added, which is the most"))?;
        self.put(Tree::Meta, migrate::ADDED_KEY, &next.to_le_bytes())?;
        Ok(ordinal)
    }

    /// A transaction that changes nothing leaves the version as it is, and so the servers' catalogs.
    fn put_if_other(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if self.get(tree, key)?.as_deref() == Some(value) {
            Ok(())
        } else {
            self.put(tree, key, value)
        }
    }

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

    /// The keys that begin with an image's id.
    pub(super) fn keys_of(&self, tree: Tree, id: ImageId) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut keys = Vec::new();
        self.scan(tree, id.as_bytes(), &mut |key, _| {
            keys.push(key.to_vec());
            Ok(())
        })?;
        Ok(keys)
    }
}

/// Adds and drops tags, keeping them sorted and without repeats; whether anything changed.
pub(super) fn merge_tags(tags: &mut Vec<String>, add: &[String], drop: &[String]) -> bool {
    let before = tags.clone();
    tags.extend(add.iter().cloned());
    tags.retain(|tag| !drop.contains(tag));
    tags.sort_unstable();
    tags.dedup();
    *tags != before
}

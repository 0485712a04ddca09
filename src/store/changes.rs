//! What a change to a gallery means, within one transaction and once for all engines.

use super::addition::{Added, Addition};
use super::engine::Writer;
use super::error::StoreError;
use super::heritage::Heritage;
use super::migrate::ADDED_KEY;
use super::record::{blob_key, decode_image, decode_mark, encode_image};
use super::tags::{has_tag, merge_tags};
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
    ///
    /// An image that the same source had become under other settings is replaced.
    pub(super) fn add(&mut self, addition: &Addition) -> Result<Added, StoreError> {
        let id = addition.id;
        if self.refuses(addition)? {
            return Ok(Added::RemovedBefore);
        }
        let hash = addition.source.source_hash();
        let mark = self.get(Tree::Removed, &hash)?.filter(|_| addition.origin.is_some());
        let is_marked = mark.is_some();
        // A damaged mark holds nothing to bring back.
        let mark = mark.and_then(|bytes| decode_mark(&hash, &bytes).ok());
        let before = self.image(id)?;
        if before.is_none() && addition.image.is_none() {
            return Ok(Added::Gone);
        }
        let heritage = match &addition.origin {
            Some(_) => self.inherit(id, &addition.source)?,
            None => Heritage::default(),
        };
        let Some(mut record) = self.begin_record(addition, before.as_ref(), &heritage)? else {
            return Ok(Added::Gone);
        };
        record.metadata.fill_from(&addition.metadata);
        self.add_renditions(id, &mut record, &addition.renditions)?;
        self.put_source(&addition.source.0, id)?;
        for source in &heritage.skipped {
            self.put_source(source, id)?;
        }
        for origin in heritage.origins.iter().chain(&addition.origin) {
            self.put_origin(id, origin)?;
        }
        // The mark knows the tags of folders above the path that is imported now.
        for origin in mark.iter().flat_map(|mark| &mark.origins) {
            if addition.origin.as_ref().is_some_and(|new| new.path == origin.path) {
                self.put_origin(id, origin)?;
            }
        }
        for path in &addition.moved_from {
            self.drop_origin(id, path, &hash)?;
        }
        merge_tags(&mut record.refused_tags, &heritage.refused_tags, &[]);
        merge_tags(&mut record.hand_tags, &heritage.hand_tags, &[]);
        if let Some(mark) = mark {
            merge_tags(&mut record.refused_tags, &mark.refused_tags, &[]);
            merge_tags(&mut record.hand_tags, &mark.hand_tags, &[]);
        }
        if is_marked {
            self.delete(Tree::Removed, &hash)?;
        }
        merge_tags(&mut record.refused_tags, &[], &addition.hand_tags);
        merge_tags(&mut record.hand_tags, &addition.hand_tags, &[]);
        self.refresh_tags(id, &mut record)?;
        if before.as_ref() != Some(&record) {
            self.put_image(id, &record)?;
        }
        Ok(match (before, heritage) {
            (_, Heritage { replaces: true, .. }) => Added::Replaced,
            (Some(_), Heritage { was_known: true, .. }) => Added::Known,
            (Some(_), _) => Added::Existing,
            (None, _) => Added::New,
        })
    }

    /// Returns the record that an addition starts from: that of the image that is there, or of a
    /// new one, whose bytes are stored. `None` if there is neither.
    fn begin_record(
        &mut self,
        addition: &Addition,
        before: Option<&ImageRecord>,
        heritage: &Heritage,
    ) -> Result<Option<ImageRecord>, StoreError> {
        let key = blob_key(addition.id, 0);
        match (before, &addition.image) {
            (Some(existing), image) => {
                // A whole image may go for this one, so this one must be whole.
                if let Some((_, webp)) = image.as_ref().filter(|_| heritage.replaces) {
                    self.put_if_changed(Tree::Blobs, &key, webp)?;
                }
                Ok(Some(existing.clone()))
            }
            (None, Some((record, webp))) => {
                self.put(Tree::Blobs, &key, webp)?;
                let ordinal = match heritage.ordinal {
                    Some(ordinal) => ordinal,
                    None => self.next_ordinal(0)?,
                };
                Ok(Some(ImageRecord { ordinal, ..ImageRecord::clone(record) }))
            }
            (None, None) => Ok(None),
        }
    }

    /// Whether a person removed the image of this file, and the addition is not to bring it back.
    pub(super) fn refuses(&self, addition: &Addition) -> Result<bool, StoreError> {
        if addition.again || addition.origin.is_none() {
            return Ok(false);
        }
        Ok(self.get(Tree::Removed, &addition.source.source_hash())?.is_some())
    }

    fn add_renditions(
        &mut self,
        id: ImageId,
        record: &mut ImageRecord,
        renditions: &[(u16, Vec<u8>)],
    ) -> Result<(), StoreError> {
        for (width, webp) in renditions {
            if record.renditions.iter().any(|rendition| rendition.width == *width) {
                continue;
            }
            if !webp.is_empty() {
                self.put(Tree::Blobs, &blob_key(id, *width), webp)?;
            }
            record.renditions.push(Rendition::of(*width, webp));
            record.renditions.sort_by_key(|rendition| rendition.width);
        }
        Ok(())
    }

    /// Puts tags on an image by hand and takes others off, and returns its new record.
    pub(super) fn retag(
        &mut self,
        id: ImageId,
        add: &[String],
        drop: &[String],
    ) -> Result<Option<ImageRecord>, StoreError> {
        let Some(before) = self.image(id)? else { return Ok(None) };
        let (origins, some_damaged) = self.origins_of(id)?;
        let of_folder = |tag: &&String| {
            some_damaged || origins.iter().any(|origin| has_tag(&origin.folder_tags, tag))
        };
        let refused: Vec<_> = drop.iter().filter(of_folder).cloned().collect();
        let mut record = before.clone();
        merge_tags(&mut record.hand_tags, add, drop);
        merge_tags(&mut record.refused_tags, &[], add);
        merge_tags(&mut record.refused_tags, &refused, &[]);
        self.refresh_tags(id, &mut record)?;
        if record != before {
            self.put_image(id, &record)?;
        }
        Ok(Some(record))
    }

    /// Counts one more image, and returns its ordinal, which is at least `least`.
    pub(super) fn next_ordinal(&mut self, least: u32) -> Result<u32, StoreError> {
        let damaged = |reason: &str| StoreError::damaged("meta", ADDED_KEY, reason);
        let ordinal = match self.get(Tree::Meta, ADDED_KEY)? {
            None => 0,
            Some(bytes) => u32::from_le_bytes(
                bytes.try_into().map_err(|_| damaged("the count has not 4 bytes"))?,
            ),
        };
        let ordinal = ordinal.max(least);
        let next = ordinal
            .checked_add(1)
            .ok_or_else(|| damaged("2^32 images were added, which is the most"))?;
        self.put(Tree::Meta, ADDED_KEY, &next.to_le_bytes())?;
        Ok(ordinal)
    }

    /// Puts a value unless it is there already: a transaction that changes nothing leaves the
    /// version as it is, and with it the servers' catalogs.
    pub(super) fn put_if_changed(
        &mut self,
        tree: Tree,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StoreError> {
        if self.get(tree, key)?.as_deref() == Some(value) {
            Ok(())
        } else {
            self.put(tree, key, value)
        }
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

//! Which images sources became, and what happens when a source becomes another image.
//!
//! Every change of the tree `sources` goes through here, with its entry in `image_sources`, the
//! index by image.

use std::path::Path;

use super::addition::{Origin, SourceKey};
use super::engine::Writer;
use super::error::StoreError;
use super::heritage::Heritage;
use super::record::{decode_origin, encode_origin, image_source_key, origin_key};
use super::tags::merge_tags;
use super::tree::Tree;
use crate::image::{ImageId, ImageRecord};

impl Writer<'_> {
    /// Notes that a source became an image.
    pub(super) fn put_source(&mut self, source: &[u8], id: ImageId) -> Result<(), StoreError> {
        if let Some(before) = self.get(Tree::Sources, source)? {
            if before == id.as_bytes() {
                return self.put_if_changed(Tree::ImageSources, &image_source_key(id, source), &[]);
            }
            if let Some(before) = ImageId::from_slice(&before) {
                self.delete(Tree::ImageSources, &image_source_key(before, source))?;
            }
        }
        self.put(Tree::Sources, source, id.as_bytes())?;
        self.put(Tree::ImageSources, &image_source_key(id, source), &[])
    }

    /// Forgets that a source became an image.
    pub(super) fn delete_source(&mut self, source: &[u8], id: ImageId) -> Result<(), StoreError> {
        if self.get(Tree::Sources, source)?.as_deref() == Some(id.as_bytes()) {
            self.delete(Tree::Sources, source)?;
        }
        self.delete(Tree::ImageSources, &image_source_key(id, source))
    }

    /// Returns the keys of an image's sources, and of those that were skipped for it.
    pub(super) fn sources_of(&self, id: ImageId) -> Result<Vec<Vec<u8>>, StoreError> {
        let keys = self.keys_of(Tree::ImageSources, id)?;
        Ok(keys.into_iter().map(|key| key[ImageId::LEN..].to_vec()).collect())
    }

    /// Returns the origins of an image, and whether there are damaged ones beside them.
    pub(super) fn origins_of(&self, id: ImageId) -> Result<(Vec<Origin>, bool), StoreError> {
        let (mut origins, mut some_damaged) = (Vec::new(), false);
        self.scan(Tree::Origins, id.as_bytes(), &mut |key, value| {
            match decode_origin(key, value) {
                Ok(origin) => origins.push(origin),
                Err(_) => some_damaged = true,
            }
            Ok(())
        })?;
        Ok((origins, some_damaged))
    }

    /// Adds an origin. One of the same path keeps the folder tags that it has: importing a
    /// sub-folder must not lose its parent's name.
    pub(super) fn put_origin(&mut self, id: ImageId, origin: &Origin) -> Result<(), StoreError> {
        let key = origin_key(id, &origin.path);
        let mut origin = origin.clone();
        let before = self.get(Tree::Origins, &key)?.unwrap_or_default();
        // A damaged one is written anew.
        let mut before =
            decode_origin(&key, &before).map(|origin| origin.folder_tags).unwrap_or_default();
        merge_tags(&mut before, &origin.folder_tags, &[]);
        origin.folder_tags = before;
        self.put_if_changed(Tree::Origins, &key, &encode_origin(id, &origin)?)
    }

    /// Drops the origin at a path, if it is of the source with this hash.
    pub(super) fn drop_origin(
        &mut self,
        id: ImageId,
        path: &Path,
        source_hash: &[u8; 32],
    ) -> Result<(), StoreError> {
        let key = origin_key(id, path);
        let bytes = self.get(Tree::Origins, &key)?.unwrap_or_default();
        match decode_origin(&key, &bytes) {
            Ok(origin) if origin.source_hash == *source_hash => self.delete(Tree::Origins, &key),
            _ => Ok(()),
        }
    }

    /// Computes the tags that count of those by hand and those of the origins' folders. Beside a
    /// damaged origin, which may have given any of them, all that were there stay.
    pub(super) fn refresh_tags(
        &self,
        id: ImageId,
        record: &mut ImageRecord,
    ) -> Result<(), StoreError> {
        let mut tags = record.hand_tags.clone();
        let (origins, some_damaged) = self.origins_of(id)?;
        tags.extend(origins.into_iter().flat_map(|origin| origin.folder_tags));
        if some_damaged {
            tags.append(&mut record.tags);
        }
        merge_tags(&mut tags, &[], &record.refused_tags);
        record.tags = tags;
        Ok(())
    }

    /// Takes from other images what belongs to a source that now becomes image `new`. An image that
    /// no other source keeps goes.
    pub(super) fn inherit(
        &mut self,
        new: ImageId,
        source: &SourceKey,
    ) -> Result<Heritage, StoreError> {
        let hash = source.source_hash();
        let mut earlier = Vec::new();
        self.scan(Tree::Sources, &hash, &mut |key, value| {
            if key != source.0 {
                earlier.extend(ImageId::from_slice(value).map(|id| (key.to_vec(), id)));
            }
            Ok(())
        })?;
        let mut heritage = Heritage::default();
        for (key, old) in earlier {
            if old == new {
                heritage.was_known = true;
                self.delete_source(&key, old)?;
                continue;
            }
            let Some(record) = self.image(old)? else { continue };
            let (origins, _) = self.origins_of(old)?;
            let owns = |origin: &Origin| origin.source_hash == hash;
            if record.source_hash != hash && !origins.iter().any(owns) {
                // The source was only skipped for this image.
                continue;
            }
            self.delete_source(&key, old)?;
            self.take_over(old, record, origins, &hash, &mut heritage)?;
        }
        Ok(heritage)
    }

    /// Moves what belongs to a source from an image to `heritage`.
    fn take_over(
        &mut self,
        old: ImageId,
        mut record: ImageRecord,
        origins: Vec<Origin>,
        hash: &[u8; 32],
        heritage: &mut Heritage,
    ) -> Result<(), StoreError> {
        heritage.replaces = true;
        heritage.hand_tags.extend(record.hand_tags.iter().cloned());
        heritage.refused_tags.extend(record.refused_tags.iter().cloned());
        let (moved, kept): (Vec<_>, Vec<_>) =
            origins.into_iter().partition(|origin| origin.source_hash == *hash);
        for origin in &moved {
            self.delete(Tree::Origins, &origin_key(old, &origin.path))?;
        }
        heritage.origins.extend(moved);
        let sources = self.sources_of(old)?;
        let of_record = record.source_hash != *hash && has_source(&sources, &record.source_hash);
        if let Some(origin) = kept.first() {
            if !of_record {
                record.source_hash = origin.source_hash;
            }
        } else if !of_record {
            heritage.ordinal =
                Some(heritage.ordinal.map_or(record.ordinal, |first| first.min(record.ordinal)));
            let is_other = |key: &Vec<u8>| !key.starts_with(hash);
            heritage.skipped.extend(sources.into_iter().filter(is_other));
            return self.erase(old);
        }
        self.refresh_tags(old, &mut record)?;
        self.put_image(old, &record)
    }
}

/// Whether one of these source keys is of the file with this hash.
fn has_source(sources: &[Vec<u8>], hash: &[u8; 32]) -> bool {
    sources.iter().any(|key| key.starts_with(hash))
}

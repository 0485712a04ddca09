//! Which files images came from, so that images can go when their files have gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::addition::Origin;
use super::engine::Writer;
use super::error::StoreError;
use super::gallery::Store;
use super::record::{decode_origin, origin_key, origin_owner};
use super::removal::REMOVALS_PER_COMMIT;
use super::tree::Tree;
use crate::image::ImageId;

impl Store {
    /// Returns the origins at `folder` or below it, with the images that came from there.
    ///
    /// # Errors
    /// When the gallery is damaged or can't be read.
    pub fn origins_below(&self, folder: &Path) -> Result<Vec<(ImageId, Origin)>, StoreError> {
        let mut origins = Vec::new();
        self.scan(Tree::Origins, &mut |key, value| {
            let (id, origin) = (origin_owner(key)?, decode_origin(key, value)?);
            if origin.path.starts_with(folder) {
                origins.push((id, origin));
            }
            Ok(())
        })?;
        Ok(origins)
    }

    /// Returns where a source was imported from, under whatever settings.
    ///
    /// # Errors
    /// When the gallery is damaged or can't be read.
    pub fn origins_of_source(&self, hash: &[u8; 32]) -> Result<Vec<Origin>, StoreError> {
        let images: BTreeSet<_> = self.images_of_source(hash)?.into_iter().collect();
        let mut origins = Vec::new();
        for id in images {
            self.scan_prefix(Tree::Origins, id.as_bytes(), &mut |key, value| {
                origins.extend(decode_origin(key, value));
                Ok(())
            })?;
        }
        origins.retain(|origin| origin.source_hash == *hash);
        Ok(origins)
    }

    /// Returns the images that [`Store::forget_origins`] would remove if all of these were lost.
    ///
    /// # Errors
    /// When the gallery is damaged or can't be read.
    pub fn orphans_without(&self, gone: &[(ImageId, Origin)]) -> Result<Vec<ImageId>, StoreError> {
        let mut owners: BTreeMap<ImageId, BTreeSet<_>> = BTreeMap::new();
        for (id, origin) in gone {
            owners.entry(*id).or_default().insert(origin_key(*id, &origin.path));
        }
        let mut orphans = Vec::new();
        for (id, gone) in owners {
            let mut has_other = false;
            self.scan_prefix(Tree::Origins, id.as_bytes(), &mut |key, _| {
                has_other |= !gone.iter().any(|gone| gone == key);
                Ok(())
            })?;
            if !has_other && self.get(Tree::Images, id.as_bytes(), |_| ())?.is_some() {
                orphans.push(id);
            }
        }
        Ok(orphans)
    }

    /// Forgets origins of which `is_lost` holds, with the tags of their folders, and removes the
    /// images that have none left, whose ids it returns. `is_lost` is asked while nobody else can
    /// change the gallery.
    ///
    /// Each batch of 1,000 is one durable commit.
    ///
    /// # Errors
    /// As [`Store::add`]; earlier batches stay done.
    pub fn forget_origins(
        &self,
        gone: &[(ImageId, Origin)],
        is_lost: impl Fn(&Origin) -> bool,
    ) -> Result<Vec<ImageId>, StoreError> {
        let mut removed = Vec::new();
        for batch in gone.chunks(REMOVALS_PER_COMMIT) {
            removed.extend(self.write(|writer| {
                let mut owners = BTreeSet::new();
                for (id, origin) in batch.iter().filter(|(_, origin)| is_lost(origin)) {
                    writer.delete(Tree::Origins, &origin_key(*id, &origin.path))?;
                    owners.insert(*id);
                }
                let mut orphans = Vec::new();
                for id in owners {
                    if writer.keys_of(Tree::Origins, id)?.is_empty() {
                        orphans.push(id);
                    } else {
                        writer.lose_folder_tags(id)?;
                    }
                }
                writer.remove(&orphans)
            })?);
        }
        Ok(removed)
    }
}

impl Writer<'_> {
    /// Computes an image's tags anew, after an origin has gone. A damaged image is left as it is.
    fn lose_folder_tags(&mut self, id: ImageId) -> Result<(), StoreError> {
        let before = match self.image(id) {
            Ok(Some(record)) => record,
            Ok(None) | Err(StoreError::Damaged { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut record = before.clone();
        self.refresh_tags(id, &mut record)?;
        if record == before { Ok(()) } else { self.put_image(id, &record) }
    }
}

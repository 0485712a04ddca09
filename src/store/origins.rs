//! Which files images came from, so that images can go when their files have gone.

use std::collections::HashSet;
use std::path::Path;

use super::addition::Origin;
use super::error::StoreError;
use super::gallery::{REMOVALS_PER_COMMIT, Store};
use super::record::{decode_origin, origin_key, origin_owner};
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

    /// Forgets origins and removes the images that have none left, whose ids it returns.
    ///
    /// Each batch of 1,000 is one durable commit.
    ///
    /// # Errors
    /// As [`Store::add`]; earlier batches stay done.
    pub fn forget_origins(&self, gone: &[(ImageId, Origin)]) -> Result<Vec<ImageId>, StoreError> {
        let mut removed = Vec::new();
        for batch in gone.chunks(REMOVALS_PER_COMMIT) {
            removed.extend(self.write(|writer| {
                // A scan may still show what was deleted in the same transaction.
                let keys: HashSet<_> =
                    batch.iter().map(|(id, origin)| origin_key(*id, origin)).collect();
                let mut orphans = Vec::new();
                for (id, origin) in batch {
                    writer.delete(Tree::Origins, &origin_key(*id, origin))?;
                    let mut left = writer.keys_of(Tree::Origins, *id)?.into_iter();
                    if left.all(|key| {
                        key.as_slice().try_into().is_ok_and(|key: &[u8; 32]| keys.contains(key))
                    }) {
                        orphans.push(*id);
                    }
                }
                writer.remove(&orphans)
            })?);
        }
        Ok(removed)
    }
}

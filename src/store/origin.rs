//! Where images came from: which files they are the pictures of, so that they can go when those have gone.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::record::{decode_origin, origin_key, origin_owner};
use super::{Store, StoreError, Tree};
use crate::image::ImageId;

/// A file that an image is the picture of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Absolute, without links. Empty for a file that was deleted on purpose: the image then stays whatever happens to
    /// the others.
    pub path: PathBuf,
    /// BLAKE3 of the file.
    pub source_hash: [u8; 32],
}

impl Store {
    /// The origins at `folder` or below it, and the images that came from there.
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

    /// Forgets origins, and removes the images that have none left; the ids of those. Each batch of 1,000 is one durable
    /// commit.
    ///
    /// # Errors
    /// As [`Store::add`]; earlier batches stay done.
    pub fn forget_origins(&self, gone: &[(ImageId, Origin)]) -> Result<Vec<ImageId>, StoreError> {
        let mut removed = Vec::new();
        for batch in gone.chunks(super::REMOVALS_PER_COMMIT) {
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

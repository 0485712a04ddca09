//! The format version of a gallery: written once, checked at every opening. The pages in
//! `migrations/` describe each version.

use rand::TryRng as _;

use super::engine::Writer;
use super::error::StoreError;
use super::locator::Locator;
use super::tree::Tree;
use crate::image;
use crate::keys::KeyError;

/// The format version that this imagepool writes.
pub const FORMAT_VERSION: u32 = 1;

/// Key of the format version.
pub(super) const FORMAT_KEY: &[u8] = b"format";
/// Key of the number of images ever added, which is the ordinal of the next one.
pub(super) const ADDED_KEY: &[u8] = b"added";
/// Key of the 16 random bytes that name the gallery.
const GALLERY_ID_KEY: &[u8] = b"gallery";
/// Key of the time at which the gallery was made, in seconds since 1970.
const CREATED_KEY: &[u8] = b"created";

/// Makes a gallery of empty trees, unless another process just did.
pub(super) fn initialise(writer: &mut Writer<'_>) -> Result<(), StoreError> {
    if writer.get(Tree::Meta, FORMAT_KEY)?.is_some() {
        return Ok(());
    }
    let mut gallery_id = [0_u8; 16];
    rand::rngs::SysRng.try_fill_bytes(&mut gallery_id).map_err(|_| KeyError::NoRandomness)?;
    writer.put(Tree::Meta, FORMAT_KEY, &FORMAT_VERSION.to_le_bytes())?;
    writer.put(Tree::Meta, GALLERY_ID_KEY, &gallery_id)?;
    writer.put(Tree::Meta, CREATED_KEY, &image::now().to_le_bytes())
}

/// Accepts a gallery of this format version, and refuses others. Version 1 is the first, so there
/// is nothing to migrate yet.
pub(super) fn check(locator: &Locator, stored: Option<&[u8]>) -> Result<(), StoreError> {
    let Some(stored) = stored else {
        return Err(match locator {
            Locator::File(path) => StoreError::NotAGallery {
                path: path.clone(),
                reason: "it says of no format; `imagepool verify` looks at it closely".into(),
            },
            Locator::Sled(_) => StoreError::Missing { locator: locator.clone() },
        });
    };
    let found = stored.try_into().map(u32::from_le_bytes).map_err(|_| {
        StoreError::damaged("meta", FORMAT_KEY, "the format version has not 4 bytes")
    })?;
    match found {
        FORMAT_VERSION => Ok(()),
        0 => Err(StoreError::damaged("meta", FORMAT_KEY, "the format version is 0")),
        _ => Err(StoreError::Newer { locator: locator.clone(), found, known: FORMAT_VERSION }),
    }
}

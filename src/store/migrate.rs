//! The format version of a gallery: written once, checked at every opening. The pages in
//! `migrations/` describe each version.

use rand::TryRng as _;

use super::draft;
use super::engine::Writer;
use super::error::StoreError;
use super::locator::Locator;
use super::record::RECORD_VERSION;
use super::tree::Tree;
use crate::image;
use crate::keys::KeyError;

/// The format version that this imagepool writes.
pub const FORMAT_VERSION: u32 = 1;

/// Key of the format version.
pub(super) const FORMAT_KEY: &[u8] = b"format";
/// Key of the version of the records, which a draft lacks.
pub(super) const RECORDS_KEY: &[u8] = b"records";
/// Key that is there once there was an API key, so that none that ended is taken over from another
/// gallery.
pub(super) const KEYED_KEY: &[u8] = b"keyed";
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
    writer.put(Tree::Meta, RECORDS_KEY, &[RECORD_VERSION])?;
    writer.put(Tree::Meta, GALLERY_ID_KEY, &gallery_id)?;
    writer.put(Tree::Meta, CREATED_KEY, &image::now().to_le_bytes())
}

/// Accepts a gallery of this format version, and refuses others. A draft of format 1 has the same
/// number; what sets it apart is that it lacks [`RECORDS_KEY`].
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

/// Brings a draft to format 1, unless another process just did. Returns whether it was a draft.
///
/// All of it is one transaction: a killed migration leaves the draft as it was.
pub(super) fn migrate_draft(writer: &mut Writer<'_>) -> Result<bool, StoreError> {
    if writer.get(Tree::Meta, RECORDS_KEY)?.is_some() {
        return Ok(false);
    }
    // The keys of these trees begin with a hash, so that the first byte parts them evenly.
    for first in 0..=u8::MAX {
        for (source, id) in entries(writer, Tree::Sources, &[first])? {
            let index = [id, source].concat();
            writer.put(Tree::ImageSources, &index, &[])?;
        }
    }
    for first in 0..=u8::MAX {
        for (key, value) in entries(writer, Tree::Origins, &[first])? {
            writer.put(Tree::Origins, &key, &draft::convert_origin(&key, &value)?)?;
        }
        for (key, value) in entries(writer, Tree::Images, &[first])? {
            let sources = entries(writer, Tree::ImageSources, &key)?;
            let sources = sources.iter().filter_map(|(index, _)| index.get(key.len()..));
            writer.put(Tree::Images, &key, &draft::convert_image(&key, &value, sources)?)?;
        }
    }
    for (key, value) in entries(writer, Tree::Keys, &[])? {
        writer.put(Tree::Keys, &key, &draft::convert_key(&key, &value)?)?;
        writer.put(Tree::Meta, KEYED_KEY, &[1])?;
    }
    writer.put(Tree::Meta, RECORDS_KEY, &[RECORD_VERSION])?;
    Ok(true)
}

/// A key and its value.
type Entry = (Vec<u8>, Vec<u8>);

/// Returns the entries of a tree whose keys begin with `prefix`.
fn entries(writer: &Writer<'_>, tree: Tree, prefix: &[u8]) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    writer.scan(tree, prefix, &mut |key, value| {
        entries.push((key.to_vec(), value.to_vec()));
        Ok(())
    })?;
    Ok(entries)
}

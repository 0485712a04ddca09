//! The gallery on disk: one concrete [`Store`] over a closed set of engines.
//!
//! What a store promises: commits are atomic and durable; its version moves with every commit and costs next to
//! nothing to read; reads are short and pin nothing. Here stands what a change *means* ([`Store::add`],
//! [`Store::remove`], ...), once for all engines; the engines (`file`, `sled`) only keep trees of bytes. Pictures
//! are bytes here: decoding and encoding belong to `codec`.

mod addition;
mod blob;
mod check;
mod error;
mod file;
mod locator;
mod migrate;
mod origin;
mod record;
#[cfg(feature = "sled")]
mod sled;
mod writer;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

pub use addition::{Added, Addition, ImageSummary, SourceKey};
pub use blob::Blob;
pub use check::{Damage, Verified};
pub use error::StoreError;
pub use locator::{BadLocator, Locator};
pub use migrate::FORMAT_VERSION;

use crate::image::{ImageId, ImageRecord};
use crate::keys::{KeyError, KeyRecord};
use file::FileEngine;
pub use origin::Origin;
pub use record::StoredImage;
#[cfg(fuzzing)]
pub use record::fuzz_records;
use record::{blob_key, decode_image, decode_key, encode_key};
#[cfg(feature = "sled")]
use sled::SledEngine;
use writer::{Writer, merge_tags};

/// Largest number of image removals in one commit, so that a writer holds the lock for a short time only.
const REMOVALS_PER_COMMIT: usize = 1_000;

/// What the caller is going to do with the gallery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It must exist; it is opened for writing where that is possible, see [`Store::writable`].
    Read,
    /// It must exist and be writable.
    Write,
    /// It is made when it is missing.
    Create,
}

/// Looks at one key and its value; an error ends the scan.
type EntryVisitor<'v> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 'v;

/// The trees of a gallery; see `migrations/` for their keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tree {
    Meta,
    Images,
    Blobs,
    Sources,
    Origins,
    Keys,
}

impl Tree {
    const ALL: [Self; 6] =
        [Self::Meta, Self::Images, Self::Blobs, Self::Sources, Self::Origins, Self::Keys];

    const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Images => "images",
            Self::Blobs => "blobs",
            Self::Sources => "sources",
            Self::Origins => "origins",
            Self::Keys => "keys",
        }
    }
}

/// A gallery. Cheap to clone; clones share one engine.
#[derive(Clone)]
pub struct Store {
    engine: Arc<Engine>,
    locator: Locator,
}

enum Engine {
    File(FileEngine),
    #[cfg(feature = "sled")]
    Sled(SledEngine),
}

/// Calls the same method of whichever engine there is.
macro_rules! on_engine {
    ($engine:expr, $name:ident => $call:expr) => {
        match $engine {
            Engine::File($name) => $call,
            #[cfg(feature = "sled")]
            Engine::Sled($name) => $call,
        }
    };
}

impl Store {
    /// Opens a gallery, or makes it with [`Access::Create`].
    ///
    /// # Errors
    /// One [`StoreError`] each for a gallery that is missing, is none, is of a newer format, is not permitted, is in
    /// use, or lies on a read-only file system.
    pub fn open(locator: &Locator, access: Access) -> Result<Self, StoreError> {
        let engine = match locator {
            Locator::File(path) => Engine::File(FileEngine::open(path, access)?),
            #[cfg(feature = "sled")]
            Locator::Sled(dir) => Engine::Sled(SledEngine::open(dir, access)?),
            #[cfg(not(feature = "sled"))]
            Locator::Sled(_) => return Err(StoreError::EngineNotBuiltIn { feature: "sled" }),
        };
        let store = Self { engine: Arc::new(engine), locator: locator.clone() };
        if access == Access::Create && store.get(Tree::Meta, migrate::FORMAT_KEY, |_| ())?.is_none()
        {
            store.write(migrate::initialise)?;
        }
        let format = store.get(Tree::Meta, migrate::FORMAT_KEY, <[u8]>::to_vec)?;
        migrate::check(locator, format.as_deref())?;
        Ok(store)
    }

    #[must_use]
    pub fn locator(&self) -> &Locator {
        &self.locator
    }

    /// Whether changes can be made; `false` on a read-only file system or without permission.
    #[must_use]
    pub fn writable(&self) -> bool {
        on_engine!(&*self.engine, engine => engine.writable())
    }

    /// Moves with every commit of any process; some nanoseconds. It may be ahead, for moments, of the version that a
    /// read sees: what was read is as old as the version that came with it.
    #[must_use]
    pub fn version(&self) -> u64 {
        on_engine!(&*self.engine, engine => engine.version())
    }

    /// Bytes that the gallery takes on disk.
    ///
    /// # Errors
    /// When the file system does not answer.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        on_engine!(&*self.engine, engine => engine.size_on_disk())
    }

    /// The ids of all images, ascending, and the version that they are of.
    ///
    /// # Errors
    /// When the gallery is damaged or can't be read.
    pub fn ids(&self) -> Result<(u64, Vec<ImageId>), StoreError> {
        let mut ids = Vec::new();
        let version = self.scan(Tree::Images, &mut |key, _| {
            ids.push(
                ImageId::from_slice(key)
                    .ok_or_else(|| StoreError::damaged("images", key, "its key is no image id"))?,
            );
            Ok(())
        })?;
        Ok((version, ids))
    }

    /// What is known of an image; `None` when it is not in the gallery.
    ///
    /// # Errors
    /// When the gallery is damaged or can't be read.
    pub fn image(&self, id: ImageId) -> Result<Option<ImageRecord>, StoreError> {
        self.get(Tree::Images, id.as_bytes(), |bytes| decode_image(id, bytes))?.transpose()
    }

    /// Visits every image, ascending by id, as of one moment.
    ///
    /// # Errors
    /// When the gallery is damaged or can't be read.
    pub fn each_image(
        &self,
        mut visit: impl FnMut(ImageId, ImageRecord),
    ) -> Result<(), StoreError> {
        self.scan(Tree::Images, &mut |key, value| {
            let id = ImageId::from_slice(key)
                .ok_or_else(|| StoreError::damaged("images", key, "its key is no image id"))?;
            visit(id, decode_image(id, value)?);
            Ok(())
        })
        .map(|_| ())
    }

    /// Visits every image, ascending by id, as of the version that it returns, and decodes none: a damaged record need
    /// not keep the others from being served, nor one that is known cost anything.
    ///
    /// # Errors
    /// When the gallery can't be read on at all.
    pub fn each_stored(&self, mut visit: impl FnMut(StoredImage<'_>)) -> Result<u64, StoreError> {
        self.scan(Tree::Images, &mut |key, value| {
            let id = ImageId::from_slice(key)
                .ok_or_else(|| StoreError::damaged("images", key, "its key is no image id"))?;
            visit(StoredImage::new(id, value));
            Ok(())
        })
    }

    /// Calls `read` with the WebP of an image (`width` 0) or of one of its renditions; `None` when there is none.
    /// The bytes are valid for that call only, under a read transaction: `read` must not block.
    ///
    /// # Errors
    /// When the gallery can't be read.
    pub fn blob<R>(
        &self,
        id: ImageId,
        width: u16,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, StoreError> {
        self.get(Tree::Blobs, &blob_key(id, width), read)
    }

    /// The WebP of an image (`width` 0) or of one of its renditions, held open; `None` when there is none.
    ///
    /// # Errors
    /// When the gallery can't be read.
    pub fn hold_blob(&self, id: ImageId, width: u16) -> Result<Option<Blob>, StoreError> {
        on_engine!(&*self.engine, engine => engine.hold(Tree::Blobs, &blob_key(id, width)))
    }

    /// The image that a source became under some settings, if it was imported and not removed since.
    ///
    /// # Errors
    /// When the gallery is damaged or can't be read.
    pub fn source(&self, source: &SourceKey) -> Result<Option<(ImageId, ImageRecord)>, StoreError> {
        let Some(id) = self.get(Tree::Sources, &source.0, ImageId::from_slice)?.flatten() else {
            return Ok(None);
        };
        Ok(self.image(id)?.map(|record| (id, record)))
    }

    /// Adds all or nothing, in one durable commit: each image's bytes, record and source mark together.
    ///
    /// # Errors
    /// When the disk is full, the gallery is read-only or can't be written; nothing was added then.
    pub fn add(&self, additions: &[Addition]) -> Result<Vec<Added>, StoreError> {
        self.write(|writer| additions.iter().map(|addition| writer.add(addition)).collect())
    }

    /// Removes images with their renditions and source marks; the ids that were there.
    ///
    /// # Errors
    /// As [`Store::add`]; earlier batches of 1,000 stay removed.
    pub fn remove(&self, ids: &[ImageId]) -> Result<Vec<ImageId>, StoreError> {
        let mut removed = Vec::new();
        for batch in ids.chunks(REMOVALS_PER_COMMIT) {
            removed.extend(self.write(|writer| writer.remove(batch))?);
        }
        Ok(removed)
    }

    /// Puts tags on an image and takes others off; its record after that, `None` when it is not in the gallery.
    ///
    /// # Errors
    /// As [`Store::add`].
    pub fn retag(
        &self,
        id: ImageId,
        add: &[String],
        drop: &[String],
    ) -> Result<Option<ImageRecord>, StoreError> {
        self.write(|writer| {
            let Some(mut record) = writer.image(id)? else { return Ok(None) };
            if merge_tags(&mut record.tags, add, drop) {
                writer.put_image(id, &record)?;
            }
            Ok(Some(record))
        })
    }

    /// The records of all keys, expired ones too, and the version that they are of.
    ///
    /// # Errors
    /// When the gallery is damaged or can't be read.
    pub fn keys(&self) -> Result<(u64, Vec<KeyRecord>), StoreError> {
        let mut keys = Vec::new();
        let version = self.scan(Tree::Keys, &mut |key, value| {
            keys.push(decode_key(key, value)?);
            Ok(())
        })?;
        Ok((version, keys))
    }

    /// Changes the keys in one durable commit, against any other process doing so at the same time.
    ///
    /// # Errors
    /// The closure's own, wrapped: nothing was changed then. Otherwise as [`Store::add`].
    pub fn change_keys<R>(
        &self,
        change: impl FnOnce(&mut Vec<KeyRecord>) -> Result<R, KeyError>,
    ) -> Result<R, StoreError> {
        self.write(|writer| {
            let mut before = Vec::new();
            writer.scan(Tree::Keys, &[], &mut |key, value| {
                before.push(decode_key(key, value)?);
                Ok(())
            })?;
            let mut after = before.clone();
            let result = change(&mut after)?;
            for gone in before.iter().filter(|old| after.iter().all(|new| new.id != old.id)) {
                writer.delete(Tree::Keys, &gone.id.0)?;
            }
            for new in after.iter().filter(|new| !before.contains(new)) {
                writer.put(Tree::Keys, &new.id.0, &encode_key(new)?)?;
            }
            Ok(result)
        })
    }

    /// Writes a consistent, compact copy, in the file engine's format, of the gallery as it is now. `scratch` names a
    /// file that may be made and is removed again.
    ///
    /// # Errors
    /// When the gallery can't be read or `target` can't be written.
    #[cfg_attr(
        not(feature = "sled"),
        expect(unused_variables, reason = "the file engine needs no scratch file")
    )]
    pub fn backup(&self, target: &mut File, scratch: &Path) -> Result<(), StoreError> {
        match &*self.engine {
            Engine::File(engine) => engine.copy_to(target),
            #[cfg(feature = "sled")]
            Engine::Sled(engine) => {
                FileEngine::copy_of(scratch, target, |tree, visit| engine.scan(tree, &[], visit))
            }
        }
    }

    fn get<R>(
        &self,
        tree: Tree,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, StoreError> {
        on_engine!(&*self.engine, engine => engine.get(tree, key, read))
    }

    fn scan(&self, tree: Tree, visit: &mut EntryVisitor<'_>) -> Result<u64, StoreError> {
        on_engine!(&*self.engine, engine => engine.scan(tree, &[], visit))
    }

    fn write<R>(
        &self,
        change: impl FnOnce(&mut Writer<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        if !self.writable() {
            return Err(StoreError::ReadOnly { locator: self.locator.clone() });
        }
        on_engine!(&*self.engine, engine => engine.write(change))
    }
}

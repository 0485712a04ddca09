//! The [`Store`]: opening a gallery, reading it, and changing it in durable commits.
//!
//! Origins are in `origins`, removing is in `removal`, verification is in `check`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::addition::{Added, Addition, SourceKey};
use super::blob::Blob;
use super::engine::{Engine, Writer};
use super::error::StoreError;
use super::file::{self, Compacted, Reopened};
use super::locator::Locator;
use super::migrate;
use super::record::{StoredImage, blob_key, decode_image, decode_key, encode_key};
use super::tree::{Access, EntryVisitor, Tree};
use crate::image::{ImageId, ImageRecord};
use crate::keys::{KeyError, KeyRecord};

/// Number of times that a change begins, because the gallery is replaced again and again.
const FOLLOWING_TRIES: u32 = 100;

/// What a look at the gallery led to.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Why it was opened anew, if it was. Its version has moved then.
    pub reopened: Option<Reopened>,
    /// Whether the new file was a draft of format 1 until now.
    pub was_migrated: bool,
}

/// A gallery. It is cheap to clone; clones share one engine.
#[derive(Clone)]
pub struct Store {
    engine: Arc<Engine>,
    locator: Locator,
    was_migrated: bool,
}

impl Store {
    /// Opens a gallery, or makes it with [`Access::Create`].
    ///
    /// # Errors
    /// A [`StoreError`] of its own each for a gallery that is missing, is none, is of a newer
    /// format, is not permitted, is in use, or lies on a read-only file system.
    pub fn open(locator: &Locator, access: Access) -> Result<Self, StoreError> {
        let (Locator::File(path), Access::Create) = (locator, access) else {
            return Self::open_or_initialise(locator, access);
        };
        if !path.exists() {
            Self::publish(path, |_| Ok(()))?;
        }
        // Nothing is made in a file that is there: what is no gallery now may have been one.
        Self::open_or_initialise(locator, Access::Write)
    }

    /// Makes a gallery, has `fill` fill it, and gives it its name when it is whole and durable,
    /// unless another process was faster. Returns whether it did.
    pub(super) fn publish(
        path: &Path,
        fill: impl FnOnce(&Self) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        file::publish_new(path, |path| {
            let locator = Locator::File(path.to_owned());
            fill(&Self::open_or_initialise(&locator, Access::Create)?)
        })
    }

    fn open_or_initialise(locator: &Locator, access: Access) -> Result<Self, StoreError> {
        let engine = Engine::open(locator, access)?;
        let mut store =
            Self { engine: Arc::new(engine), locator: locator.clone(), was_migrated: false };
        if access == Access::Create && store.get(Tree::Meta, migrate::FORMAT_KEY, |_| ())?.is_none()
        {
            store.write_unchecked(migrate::initialise)?;
        }
        store.was_migrated = store.settle_format()?;
        Ok(store)
    }

    /// Refuses a gallery of another format, and brings a draft to this one. Returns whether it was
    /// a draft.
    fn settle_format(&self) -> Result<bool, StoreError> {
        let format = self.get(Tree::Meta, migrate::FORMAT_KEY, <[u8]>::to_vec)?;
        migrate::check(&self.locator, format.as_deref())?;
        if self.get(Tree::Meta, migrate::RECORDS_KEY, |_| ())?.is_some() {
            return Ok(false);
        }
        if !self.writable() {
            return Err(StoreError::Draft { locator: self.locator.clone() });
        }
        self.write_unchecked(migrate::migrate_draft)
    }

    /// Whether the gallery was a draft of the format until this store was opened.
    #[must_use]
    pub fn was_migrated(&self) -> bool {
        self.was_migrated
    }

    #[must_use]
    pub fn locator(&self) -> &Locator {
        &self.locator
    }

    /// Whether changes can be made. They can't on a read-only file system or without permission.
    #[must_use]
    pub fn writable(&self) -> bool {
        self.engine.writable()
    }

    /// The gallery's version, which moves with every commit of any process. The look costs some
    /// nanoseconds.
    ///
    /// For moments it may be ahead of the version that a read sees: what was read is as old as the
    /// version that came with it.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.engine.version()
    }

    /// Whether two versions are of the same file: what was read at one of them holds for the other
    /// where ids and stamps agree.
    #[must_use]
    pub const fn is_same_file(one: u64, other: u64) -> bool {
        file::FileEngine::is_same_file(one, other)
    }

    /// Looks whether the gallery is still there and whole, and opens the one that took its place.
    /// It may wait for the disk.
    ///
    /// # Errors
    /// When the gallery is gone, was cut, or can't be opened.
    pub fn look_after(&self) -> Result<Look, StoreError> {
        let reopened = self.engine.look_after()?;
        // What took the place of the gallery may be of another format, and stay so for a while.
        let was_migrated = self.settle_format()?;
        Ok(Look { reopened, was_migrated })
    }

    /// Returns the lock file's path, if the lock file that this process uses is no longer there:
    /// every other process is refused then, until this one has closed the gallery.
    #[must_use]
    pub fn lost_lock_file(&self) -> Option<PathBuf> {
        self.engine.lost_lock_file()
    }

    /// Smallest offset of the lock that each process has on the data file while it has it open.
    pub const FIRST_MARK: i64 = file::FIRST_MARK;

    /// Whether the locks that galleries need work where a file lies, of which `one` and `other` are
    /// two descriptions that nobody else has.
    ///
    /// # Errors
    /// When there are no such locks.
    pub fn locks_work(one: &File, other: &File) -> io::Result<bool> {
        file::locks_work(one, other)
    }

    /// Size of the gallery on disk, in bytes.
    ///
    /// # Errors
    /// When the file system does not answer.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.engine.size_on_disk()
    }

    /// Returns the record of an image, or `None` when the image is not in the gallery.
    ///
    /// # Errors
    /// When the gallery is damaged or can't be read.
    pub fn image(&self, id: ImageId) -> Result<Option<ImageRecord>, StoreError> {
        self.get(Tree::Images, id.as_bytes(), |bytes| decode_image(id, bytes))?.transpose()
    }

    /// Visits every image, ascending by id, all of one version.
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

    /// Some number of images to reserve memory for: how many there are, if that is known without
    /// reading them all, and never more than fit on the disk's part that the gallery takes.
    ///
    /// # Errors
    /// When the gallery can't be read.
    pub fn images_to_expect(&self) -> Result<usize, StoreError> {
        /// Shortest record of an image with its key, in bytes, or less.
        const LEAST_BYTES: u64 = 64;
        let entries = self.engine.entries(Tree::Images)?.unwrap_or(0);
        // A damaged root can say anything.
        Ok(usize::try_from(entries.min(self.size_on_disk()? / LEAST_BYTES)).unwrap_or(0))
    }

    /// Visits every image, ascending by id, without decoding its record, and returns the version
    /// that they are of.
    ///
    /// So a damaged record need not keep the others from being served, and a record that the caller
    /// knows costs nothing.
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

    /// Calls `read` with the WebP of an image (`width` 0) or of one of its renditions. Returns
    /// `None` when there is none.
    ///
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
        let found = self.get(Tree::Blobs, &blob_key(id, width), |bytes| {
            if lies_elsewhere(bytes) { None } else { Some(read(bytes)) }
        })?;
        found.map(|read| read.ok_or(StoreError::Elsewhere { id })).transpose()
    }

    /// Holds open the WebP of an image (`width` 0) or of one of its renditions. Returns `None` when
    /// there is none.
    ///
    /// No byte of it is looked at, which might wait for the disk: [`Store::blob`] must have found
    /// it right before.
    ///
    /// # Errors
    /// When the gallery can't be read.
    pub fn hold_blob(&self, id: ImageId, width: u16) -> Result<Option<Blob>, StoreError> {
        let held = self.engine.hold(Tree::Blobs, &blob_key(id, width))?;
        match held {
            Some(blob) if lies_elsewhere(blob.as_ref()) => Err(StoreError::Elsewhere { id }),
            held => Ok(held),
        }
    }

    /// Returns the image that a source became under some settings, if it was imported and not
    /// removed since.
    ///
    /// # Errors
    /// When the gallery is damaged or can't be read.
    pub fn source(&self, source: &SourceKey) -> Result<Option<(ImageId, ImageRecord)>, StoreError> {
        let Some(id) = self.get(Tree::Sources, &source.0, ImageId::from_slice)?.flatten() else {
            return Ok(None);
        };
        Ok(self.image(id)?.map(|record| (id, record)))
    }

    /// Returns the images that a source was imported as or skipped for, under whatever settings.
    ///
    /// # Errors
    /// When the gallery is damaged or can't be read.
    pub fn images_of_source(&self, hash: &[u8; 32]) -> Result<Vec<ImageId>, StoreError> {
        let mut ids = Vec::new();
        self.scan_prefix(Tree::Sources, hash, &mut |_, value| {
            ids.extend(ImageId::from_slice(value));
            Ok(())
        })?;
        Ok(ids)
    }

    /// Adds all or nothing, in one durable commit: each image's bytes, record and source mark
    /// together.
    ///
    /// # Errors
    /// When the disk is full, or the gallery is read-only or can't be written. Nothing was added
    /// then.
    pub fn add(&self, additions: &[Addition]) -> Result<Vec<Added>, StoreError> {
        self.write(|writer| additions.iter().map(|addition| writer.add(addition)).collect())
    }

    /// Puts tags on an image by hand and takes others off. A folder's tag that was taken off stays
    /// off. Returns its new record, or `None` when the image is not in the gallery.
    ///
    /// # Errors
    /// As [`Store::add`].
    pub fn retag(
        &self,
        id: ImageId,
        add: &[String],
        drop: &[String],
    ) -> Result<Option<ImageRecord>, StoreError> {
        self.write(|writer| writer.retag(id, add, drop))
    }

    /// Returns the records of all keys, expired ones too, with the version that they are of.
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

    /// Changes the keys in one durable commit. Another process that changes them too waits for it.
    ///
    /// # Errors
    /// The closure's own error, wrapped; otherwise as [`Store::add`]. Nothing was changed then.
    pub fn change_keys<R>(
        &self,
        change: impl FnOnce(&mut Vec<KeyRecord>) -> Result<R, KeyError>,
    ) -> Result<R, StoreError> {
        self.change_keys_knowing(|keys, _| change(keys))
    }

    /// As [`Store::change_keys`]; the closure is told too whether there ever was a key.
    pub(super) fn change_keys_knowing<R>(
        &self,
        change: impl FnOnce(&mut Vec<KeyRecord>, bool) -> Result<R, KeyError>,
    ) -> Result<R, StoreError> {
        self.write(|writer| {
            let had_keys = writer.get(Tree::Meta, migrate::KEYED_KEY)?.is_some();
            let mut before = Vec::new();
            writer.scan(Tree::Keys, &[], &mut |key, value| {
                before.push(decode_key(key, value)?);
                Ok(())
            })?;
            let mut after = before.clone();
            let result = change(&mut after, had_keys)?;
            for gone in before.iter().filter(|old| after.iter().all(|new| new.id != old.id)) {
                writer.delete(Tree::Keys, &gone.id.0)?;
            }
            if !after.is_empty() {
                writer.put_if_changed(Tree::Meta, migrate::KEYED_KEY, &[1])?;
            }
            for new in after.iter().filter(|new| !before.contains(new)) {
                writer.put(Tree::Keys, &new.id.0, &encode_key(new)?)?;
            }
            Ok(result)
        })
    }

    /// Writes a consistent, compact copy of the gallery as it is now, in the file engine's format.
    ///
    /// `scratch` names a file that may be made and is removed again.
    ///
    /// # Errors
    /// When the gallery can't be read or `target` can't be written.
    pub fn backup(&self, target: &mut File, scratch: &Path) -> Result<(), StoreError> {
        self.engine.copy_to(target, scratch)
    }

    /// Gives back the space of what was removed: a compact copy, written to `copy` beside the
    /// gallery, takes its place if `check` has no objection. Nobody can commit meanwhile; servers
    /// and other writers go on with the new file.
    ///
    /// # Errors
    /// Those of `check`; otherwise when the disk is full, when the gallery can't be written, and
    /// when its engine looks after its space itself. The gallery has lost nothing then: it is as it
    /// was, or compact already when only the sync of its folder failed.
    pub fn compact<E: From<StoreError>>(
        &self,
        copy: &Path,
        check: impl Fn() -> Result<(), E>,
    ) -> Result<Compacted, E> {
        self.follow(|| self.engine.compact(copy, &check))?
    }

    pub(super) fn get<R>(
        &self,
        tree: Tree,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, StoreError> {
        self.engine.get(tree, key, read)
    }

    pub(super) fn scan_prefix(
        &self,
        tree: Tree,
        prefix: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<u64, StoreError> {
        self.engine.scan(tree, prefix, visit)
    }

    pub(super) fn scan(&self, tree: Tree, visit: &mut EntryVisitor<'_>) -> Result<u64, StoreError> {
        self.engine.scan(tree, &[], visit)
    }

    /// Runs `change` in one transaction on the gallery that is at the place then: another program
    /// may have put one of another format there.
    pub(super) fn write<R>(
        &self,
        change: impl FnOnce(&mut Writer<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.write_unchecked(|writer| {
            let format = writer.get(Tree::Meta, migrate::FORMAT_KEY)?;
            migrate::check(&self.locator, format.as_deref())?;
            migrate::migrate_draft(writer)?;
            change(writer)
        })
    }

    fn write_unchecked<R>(
        &self,
        change: impl FnOnce(&mut Writer<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        if !self.writable() {
            return Err(StoreError::ReadOnly { locator: self.locator.clone() });
        }
        let mut change = Some(change);
        self.follow(|| {
            self.engine.write(|writer| match change.take() {
                Some(change) => change(writer),
                None => Err(StoreError::Moved { path: self.locator.to_string().into() }),
            })
        })
    }

    /// Runs `work` while nobody else changes the gallery or lets another file take its place. The
    /// work sees the gallery that is at the place then.
    ///
    /// # Errors
    /// As [`Store::add`]; the work was not begun then.
    pub fn while_in_place<R>(&self, work: impl FnOnce() -> R) -> Result<R, StoreError> {
        match &*self.engine {
            // A transaction that changes nothing leaves the version as it is.
            Engine::File(_) => self.write(|_| Ok(work())),
            // Nobody else can open its folder, but it can be moved or deleted.
            #[cfg(feature = "sled")]
            Engine::Sled(engine) if !engine.is_in_place() => {
                Err(StoreError::Missing { locator: self.locator.clone() })
            }
            #[cfg(feature = "sled")]
            Engine::Sled(_) => Ok(work()),
        }
    }

    /// Runs `attempt`, and again on the file that took the gallery's place while it waited for the
    /// lock of the one before.
    fn follow<R>(
        &self,
        mut attempt: impl FnMut() -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        for _ in 1..FOLLOWING_TRIES {
            let ended = attempt();
            let was_too_late =
                matches!(ended, Err(StoreError::Moved { .. } | StoreError::NotOpen { .. }));
            // Why a new file can't be opened says less than that the old one was moved.
            if !was_too_late || self.look_after().is_err() {
                return ended;
            }
        }
        attempt()
    }
}

/// Whether a value of the tree `blobs` is one that format 1 reserves for bytes outside the gallery.
pub(super) fn lies_elsewhere(value: &[u8]) -> bool {
    value.first() == Some(&1)
}

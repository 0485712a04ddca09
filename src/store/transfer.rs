//! Copies what one gallery has into another, on whatever engines the two are. The other one keeps
//! all that it has.
//!
//! An image goes in one commit with all that belongs to it. So a copy that was cut short goes on
//! where it was, and nothing comes twice.

use super::addition::Origin;
use super::check::Damage;
use super::engine::Writer;
use super::error::StoreError;
use super::gallery::Store;
use super::record::{blob_key, decode_key, decode_mark, decode_origin};
use super::tree::Tree;
use crate::image::{ImageId, ImageRecord, Rendition};
use crate::keys::KeyRecord;

/// Length of images that are committed together, in bytes; and their number.
const COMMIT_BYTES: usize = 4 << 20;
const COMMIT_IMAGES: usize = 1_000;

/// What a transfer did.
#[derive(Debug, Default)]
pub struct Transfer {
    pub copied: u64,
    /// Length of the images and renditions that were copied, in bytes.
    pub bytes: u64,
    /// Images that the target had, which stay as they are there.
    pub already_present: u64,
    /// Images that a person has removed from the target.
    pub removed_before: u64,
    /// What was left out because it is damaged.
    pub damaged: Vec<Damage>,
    pub keys: TransferredKeys,
    /// Whether it was stopped before all was done.
    pub interrupted: bool,
}

/// What became of the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransferredKeys {
    /// There were none, or the target has the same.
    #[default]
    Same,
    Copied(usize),
    /// The target has others, which stay.
    TargetKeepsItsOwn,
}

/// An image with all that belongs to it.
struct Parcel {
    id: ImageId,
    record: ImageRecord,
    /// Widths and WebP of the image, whose width is 0, and of its renditions.
    blobs: Vec<(u16, Vec<u8>)>,
    /// Keys of the sources that became it, or were skipped for it.
    sources: Vec<Vec<u8>>,
    origins: Vec<Origin>,
    /// Whether there are damaged origins beside these.
    lacks_origins: bool,
}

impl Parcel {
    fn size_bytes(&self) -> usize {
        self.blobs.iter().map(|(_, webp)| webp.len()).sum()
    }
}

/// What became of a parcel.
enum Arrival {
    New,
    Present,
    RemovedBefore,
}

impl Store {
    /// Copies images, marks of removals and keys into `target`, in the order in which the images
    /// came. `watch` is told how many images are done, of how many; it returns `false` to stop.
    ///
    /// Every image is compared with its id before it is stored. One that is damaged is left out.
    ///
    /// # Errors
    /// When one of the two can't be read or written on. What was copied until then stays.
    pub fn copy_into(
        &self,
        target: &Self,
        mut watch: impl FnMut(u64, u64) -> bool,
    ) -> Result<Transfer, StoreError> {
        let mut transfer = Transfer::default();
        let ids = self.ids_by_ordinal(&mut transfer.damaged)?;
        let mut batch = Vec::new();
        let mut batch_bytes = 0;
        for (done, id) in ids.iter().enumerate() {
            if !watch(done as u64, ids.len() as u64) {
                transfer.interrupted = true;
                break;
            }
            if target.get(Tree::Images, id.as_bytes(), |_| ())?.is_some() {
                transfer.already_present += 1;
                continue;
            }
            let Some(parcel) = self.pack(*id, &mut transfer.damaged)? else { continue };
            batch_bytes += parcel.size_bytes();
            batch.push(parcel);
            if batch_bytes >= COMMIT_BYTES || batch.len() >= COMMIT_IMAGES {
                target.accept(&batch, &mut transfer)?;
                batch.clear();
                batch_bytes = 0;
            }
        }
        target.accept(&batch, &mut transfer)?;
        if !transfer.interrupted {
            self.copy_marks(target, &mut transfer.damaged)?;
            transfer.keys = self.copy_keys(target, &mut transfer.damaged)?;
        }
        Ok(transfer)
    }

    fn ids_by_ordinal(&self, damaged: &mut Vec<Damage>) -> Result<Vec<ImageId>, StoreError> {
        let mut images = Vec::new();
        self.each_stored(|image| match image.summary() {
            Ok(summary) => images.push((summary.ordinal, image.id())),
            Err(error) => damaged.push(Damage::new(image.id().to_string(), error.to_string())),
        })?;
        images.sort_unstable();
        Ok(images.into_iter().map(|(_, id)| id).collect())
    }

    /// Reads all that belongs to an image. Returns `None` if it is damaged, or gone by now.
    fn pack(&self, id: ImageId, damaged: &mut Vec<Damage>) -> Result<Option<Parcel>, StoreError> {
        let mut problem = |words: String| damaged.push(Damage::new(id.to_string(), words));
        let mut record = match self.image(id) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(None),
            Err(error @ StoreError::Damaged { .. }) => {
                problem(error.to_string());
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let read = |width| match self.blob(id, width, <[u8]>::to_vec) {
            Ok(Some(webp)) => Ok(Ok(webp)),
            Ok(None) => Ok(Err("missing".to_owned())),
            Err(error @ StoreError::Elsewhere { .. }) => Ok(Err(error.to_string())),
            Err(error) => Err(error),
        };
        let mut blobs = match read(0)? {
            Ok(webp) if ImageId::of(&webp) == id => vec![(0, webp)],
            // It was removed since.
            _ if self.image(id)?.is_none() => return Ok(None),
            Ok(_) => {
                problem("its bytes are not those that its id names".into());
                return Ok(None);
            }
            Err(reason) => {
                problem(format!("its bytes: {reason}"));
                return Ok(None);
            }
        };
        let mut whole = Vec::new();
        for rendition in std::mem::take(&mut record.renditions) {
            if !rendition.is_kept() {
                whole.push(rendition);
                continue;
            }
            let width = rendition.width;
            match read(width)? {
                Ok(webp) if Rendition::of(width, &webp) == rendition => {
                    blobs.push((width, webp));
                    whole.push(rendition);
                }
                Ok(_) => problem(format!("its rendition of width {width} is not what was stored")),
                Err(reason) => problem(format!("its rendition of width {width}: {reason}")),
            }
        }
        record.renditions = whole;
        let mut sources = Vec::new();
        self.scan_prefix(Tree::ImageSources, id.as_bytes(), &mut |key, _| {
            sources.push(key[ImageId::LEN..].to_vec());
            Ok(())
        })?;
        let mut origins = Vec::new();
        let mut lacks_origins = false;
        self.scan_prefix(Tree::Origins, id.as_bytes(), &mut |key, value| {
            match decode_origin(key, value) {
                Ok(origin) => origins.push(origin),
                Err(error) => {
                    lacks_origins = true;
                    problem(error.to_string());
                }
            }
            Ok(())
        })?;
        Ok(Some(Parcel { id, record, blobs, sources, origins, lacks_origins }))
    }

    /// Stores parcels in one commit, and counts what became of them.
    fn accept(&self, batch: &[Parcel], transfer: &mut Transfer) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let arrivals: Vec<Arrival> =
            self.write(|writer| batch.iter().map(|parcel| writer.accept(parcel)).collect())?;
        for (parcel, arrival) in batch.iter().zip(arrivals) {
            match arrival {
                Arrival::New => {
                    transfer.copied += 1;
                    transfer.bytes += parcel.size_bytes() as u64;
                }
                Arrival::Present => transfer.already_present += 1,
                Arrival::RemovedBefore => transfer.removed_before += 1,
            }
        }
        Ok(())
    }

    /// Copies the marks of sources that a person removed, unless the target has their images.
    fn copy_marks(&self, target: &Self, damaged: &mut Vec<Damage>) -> Result<(), StoreError> {
        let mut marks = Vec::new();
        self.scan(Tree::Removed, &mut |key, value| {
            match decode_mark(key, value) {
                Ok(_) => marks.push((key.to_vec(), value.to_vec())),
                Err(error) => damaged.push(Damage::of_key(key, error.to_string())),
            }
            Ok(())
        })?;
        for batch in marks.chunks(COMMIT_IMAGES) {
            target.write(|writer| {
                for (hash, mark) in batch {
                    let mut is_there = writer.get(Tree::Removed, hash)?.is_some();
                    writer.scan(Tree::Sources, hash, &mut |_, _| {
                        is_there = true;
                        Ok(())
                    })?;
                    if !is_there {
                        writer.put(Tree::Removed, hash, mark)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Copies the keys into a target that has none.
    fn copy_keys(
        &self,
        target: &Self,
        damaged: &mut Vec<Damage>,
    ) -> Result<TransferredKeys, StoreError> {
        let mut keys: Vec<KeyRecord> = Vec::new();
        self.scan(Tree::Keys, &mut |key, value| {
            match decode_key(key, value) {
                Ok(record) => keys.push(record),
                Err(error) => damaged.push(Damage::of_key(key, error.to_string())),
            }
            Ok(())
        })?;
        // One that ended there must not come back.
        target.change_keys_knowing(|there, had_keys| {
            if keys.iter().all(|key| there.contains(key)) {
                return Ok(TransferredKeys::Same);
            }
            if had_keys || !there.is_empty() {
                return Ok(TransferredKeys::TargetKeepsItsOwn);
            }
            there.clone_from(&keys);
            Ok(TransferredKeys::Copied(keys.len()))
        })
    }
}

impl Writer<'_> {
    /// Stores a parcel, unless the gallery has its image or a person has removed it.
    fn accept(&mut self, parcel: &Parcel) -> Result<Arrival, StoreError> {
        let Parcel { id, record, blobs, sources, origins, lacks_origins } = parcel;
        if self.get(Tree::Images, id.as_bytes())?.is_some() {
            return Ok(Arrival::Present);
        }
        let of_origins = origins.iter().map(|origin| &origin.source_hash);
        for hash in of_origins.chain([&record.source_hash]) {
            if self.get(Tree::Removed, hash)?.is_some() {
                return Ok(Arrival::RemovedBefore);
            }
        }
        for (width, webp) in blobs {
            self.put(Tree::Blobs, &blob_key(*id, *width), webp)?;
        }
        for source in sources {
            // A source that became another image here keeps that.
            if self.get(Tree::Sources, source)?.is_none() {
                self.put_source(source, *id)?;
            }
        }
        for origin in origins {
            self.put_origin(*id, origin)?;
        }
        // The order stays, and so do the numbers where they are free.
        let ordinal = self.next_ordinal(record.ordinal)?;
        let mut record = ImageRecord { ordinal, ..record.clone() };
        if !lacks_origins {
            self.refresh_tags(*id, &mut record)?;
        }
        self.put_image(*id, &record)?;
        Ok(Arrival::New)
    }
}

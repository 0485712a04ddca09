//! What a salvage has gathered, and storing it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::claims::{Belonging, BlobClaim, Claims};
use crate::image::{ImageId, ImageRecord, Rendition};
use crate::store::check::Damage;
use crate::store::error::StoreError;
use crate::store::file::pages::{DataFile, Place, Snapshot, webp_at};
use crate::store::gallery::Store;
use crate::store::migrate::{ADDED_KEY, KEYED_KEY};
use crate::store::record::{blob_key, decode_origin, encode_image, image_source_key};
use crate::store::tags::merge_tags;
use crate::store::tree::Tree;

/// Makes the record of an image from its WebP alone. Returns `None` if that is none.
pub type Rebuild<'r> = dyn Fn(&[u8]) -> Option<ImageRecord> + 'r;

/// What a salvage brought, and what it could not.
#[derive(Debug, Default, serde::Serialize)]
pub struct Salvaged {
    /// Number of images that were brought.
    pub images: u64,
    /// Length of all WebP that were brought, in bytes.
    pub bytes: u64,
    /// Number of keys that were brought.
    pub keys: u64,
    /// Number of marks of removed images that were brought.
    pub marks: u64,
    /// What is missing in the new gallery, and what of it was made anew.
    pub missing: Vec<Damage>,
    /// What is wrong with the damaged gallery.
    pub problems: Vec<Damage>,
}

/// Size of a commit, in bytes. LMDB keeps in memory what is not committed.
const COMMIT_BYTES: usize = 32 << 20;

/// What is said of an image whose record is lost.
const REBUILT: &str = "its record was lost and is made anew: tags by hand, the source's name, \
                       renditions and the date are lost";

/// A salvage under way.
pub(super) struct Rescue<'r> {
    snapshot: &'r Snapshot,
    file: Arc<DataFile>,
    store: &'r Store,
    rebuild: &'r Rebuild<'r>,
    claims: &'r mut Claims,
    batch: Vec<(Tree, Vec<u8>, Vec<u8>)>,
    batch_bytes: usize,
    /// Images whose bytes are stored.
    brought: HashSet<ImageId>,
    /// Renditions that are stored.
    renditions: HashSet<(ImageId, u16)>,
    /// Images whose record was made anew.
    rebuilt: BTreeMap<ImageId, ImageRecord>,
    salvaged: Salvaged,
}

impl<'r> Rescue<'r> {
    pub(super) fn new(
        snapshot: &'r Snapshot,
        store: &'r Store,
        rebuild: &'r Rebuild<'r>,
        claims: &'r mut Claims,
    ) -> Self {
        Self {
            snapshot,
            file: snapshot.file(),
            store,
            rebuild,
            claims,
            batch: Vec::new(),
            batch_bytes: 0,
            brought: HashSet::new(),
            renditions: HashSet::new(),
            rebuilt: BTreeMap::new(),
            salvaged: Salvaged::default(),
        }
    }

    /// Stores everything that can be had, and returns what was.
    pub(super) fn run(mut self, brings_keys: bool) -> Result<Salvaged, StoreError> {
        self.bring_bytes()?;
        self.bring_records()?;
        self.bring_belongings()?;
        if brings_keys {
            for (key, value) in std::mem::take(&mut self.claims.keys) {
                self.salvaged.keys += 1;
                self.put(Tree::Keys, key, value)?;
            }
        }
        self.flush()?;
        Ok(self.salvaged)
    }

    /// Brings images and then renditions: where the tree says that they are, then wherever else.
    fn bring_bytes(&mut self) -> Result<(), StoreError> {
        let mut elsewhere = std::mem::take(&mut self.claims.webps);
        let blobs = std::mem::take(&mut self.claims.blobs);
        for blob in blobs.iter().filter(|blob| blob.width == 0) {
            match self.file.bytes_at(blob.place) {
                Ok(bytes) if ImageId::of(&bytes) == blob.id => self.bring_image(blob.id, bytes)?,
                // Its length or its key may be what is wrong.
                _ => elsewhere.extend(self.places_of(blob)),
            }
        }
        let is_lost = |id: &ImageId| !self.brought.contains(id);
        if self.claims.wanted().iter().any(is_lost) {
            // Whatever has the right hash is right, even in a page that is free.
            self.snapshot.each_webp(&mut |place| elsewhere.push(place));
        }
        for place in &elsewhere {
            if let Ok(bytes) = self.file.bytes_at(*place) {
                self.bring_image(ImageId::of(&bytes), bytes)?;
            }
        }
        for blob in blobs.iter().filter(|blob| blob.width != 0) {
            let is_right = match self.file.bytes_at(blob.place) {
                Ok(bytes) => self.bring_rendition(blob.id, blob.width, bytes)?,
                Err(_) => false,
            };
            if !is_right {
                elsewhere.extend(self.places_of(blob));
            }
        }
        let checksums = self.rendition_checksums();
        for place in elsewhere {
            let Ok(bytes) = self.file.bytes_at(place) else { continue };
            if let Some((id, width)) = checksums.get(&Rendition::of(0, &bytes).checksum) {
                self.bring_rendition(*id, *width, bytes)?;
            }
        }
        Ok(())
    }

    /// The places where a blob may be whose key or length may be wrong.
    fn places_of(&self, blob: &BlobClaim) -> impl Iterator<Item = Place> {
        std::iter::once(blob.place).chain(webp_at(&self.file, blob.place.offset))
    }

    /// Which rendition has which checksum.
    fn rendition_checksums(&self) -> HashMap<[u8; 8], (ImageId, u16)> {
        let of_image = |(id, record): (&ImageId, &ImageRecord)| {
            let id = *id;
            let of_rendition =
                move |rendition: Rendition| (rendition.checksum, (id, rendition.width));
            record.renditions.clone().into_iter().map(of_rendition)
        };
        self.claims.records.iter().flat_map(of_image).collect()
    }

    /// Stores an image's bytes, which are those that its id names, if the gallery has the image.
    fn bring_image(&mut self, id: ImageId, webp: Vec<u8>) -> Result<(), StoreError> {
        if !self.claims.is_wanted(id) || self.brought.contains(&id) {
            return Ok(());
        }
        if !self.claims.records.contains_key(&id) {
            let Some(record) = (self.rebuild)(&webp) else { return Ok(()) };
            self.rebuilt.insert(id, record);
        }
        self.brought.insert(id);
        self.salvaged.images += 1;
        self.salvaged.bytes += webp.len() as u64;
        self.put(Tree::Blobs, blob_key(id, 0).to_vec(), webp)
    }

    /// Stores a rendition of an image that was brought, if it is what the image's record says.
    /// Returns whether it is, or is not needed.
    fn bring_rendition(
        &mut self,
        id: ImageId,
        width: u16,
        webp: Vec<u8>,
    ) -> Result<bool, StoreError> {
        let record = self.claims.records.get(&id).filter(|_| self.brought.contains(&id));
        let Some(record) = record else { return Ok(true) };
        if !record.renditions.contains(&Rendition::of(width, &webp)) {
            return Ok(false);
        }
        if self.renditions.insert((id, width)) {
            self.salvaged.bytes += webp.len() as u64;
            self.put(Tree::Blobs, blob_key(id, width).to_vec(), webp)?;
        }
        Ok(true)
    }

    /// Stores the records of the images that were brought, each with an ordinal of its own.
    fn bring_records(&mut self) -> Result<(), StoreError> {
        let wanted = self.claims.wanted();
        let mut records = Vec::new();
        for id in wanted {
            if !self.brought.contains(&id) {
                self.miss(id, "its bytes can't be found, or are not those that its id names");
            } else if let Some(mut record) = self.claims.records.get(&id).cloned() {
                let stored = &self.renditions;
                let is_stored = |rendition: &Rendition| {
                    !rendition.is_kept() || stored.contains(&(id, rendition.width))
                };
                let (whole, lost) = record.renditions.into_iter().partition(is_stored);
                record.renditions = whole;
                for Rendition { width, .. } in lost {
                    self.miss(id, format!("its rendition of width {width} is lost"));
                }
                records.push((id, record));
            }
        }
        // Who came first keeps an ordinal that two have.
        records.sort_by_key(|(id, record)| (record.ordinal, *id));
        let mut next = self.count_added(&records);
        let mut last = None;
        for (_, record) in &mut records {
            if last == Some(record.ordinal) {
                record.ordinal = next;
                next += 1;
            } else {
                last = Some(record.ordinal);
            }
        }
        for (id, mut record) in std::mem::take(&mut self.rebuilt) {
            record.ordinal = next;
            next += 1;
            self.complete(id, &mut record);
            self.miss(id, REBUILT);
            records.push((id, record));
        }
        for (id, record) in records {
            let bytes = encode_image(id, &record)?;
            self.put(Tree::Images, id.as_bytes().to_vec(), bytes)?;
            self.claims.records.insert(id, record);
        }
        for (key, value) in std::mem::take(&mut self.claims.meta) {
            self.put(Tree::Meta, key, value)?;
        }
        // Whether there was a key may not be known, and one that ended must not come back.
        self.put(Tree::Meta, KEYED_KEY.to_vec(), vec![1])?;
        self.put(Tree::Meta, ADDED_KEY.to_vec(), next.to_le_bytes().to_vec())
    }

    /// The first ordinal that no image has or had.
    fn count_added(&self, records: &[(ImageId, ImageRecord)]) -> u32 {
        let highest = records.iter().map(|(_, record)| record.ordinal.saturating_add(1)).max();
        let added =
            self.claims.meta.get(ADDED_KEY).and_then(|bytes| bytes.as_slice().try_into().ok());
        highest.unwrap_or(0).max(added.map_or(0, u32::from_le_bytes))
    }

    /// Puts into a record that was made anew what source marks and origins know of the image.
    fn complete(&self, id: ImageId, record: &mut ImageRecord) {
        if let Some(mark) = of_image(&self.claims.sources, id).first() {
            record.source_hash = mark.source_hash;
            record.settings_hash = mark.key[32..].try_into().unwrap_or_default();
        }
        for origin in of_image(&self.claims.origins, id) {
            if origin.is_trusted
                && let Ok(origin) = decode_origin(&origin.key, &origin.value)
            {
                merge_tags(&mut record.tags, &origin.folder_tags, &[]);
            }
        }
    }

    /// Stores the origins and source marks of the images that were brought, and the marks of what
    /// was removed.
    fn bring_belongings(&mut self) -> Result<(), StoreError> {
        let origins = std::mem::take(&mut self.claims.origins);
        let sources = std::mem::take(&mut self.claims.sources);
        let marks = std::mem::take(&mut self.claims.marks);
        let mut known: HashSet<(ImageId, [u8; 32])> =
            self.claims.records.iter().map(|(id, record)| (*id, record.source_hash)).collect();
        let of_origins = origins.iter().filter(|origin| origin.is_trusted);
        known.extend(of_origins.map(|origin| (origin.id, origin.source_hash)));
        let is_confirmed = |belonging: &Belonging| {
            belonging.is_trusted || known.contains(&(belonging.id, belonging.source_hash))
        };
        for origin in origins {
            if self.brought.contains(&origin.id) && is_confirmed(&origin) {
                self.put(Tree::Origins, origin.key, origin.value)?;
            }
        }
        // A source is one image's; what is trusted goes before what is not.
        let mut of_sources: BTreeMap<Vec<u8>, Belonging> = BTreeMap::new();
        for source in sources {
            if self.brought.contains(&source.id) && is_confirmed(&source) {
                let known = of_sources.entry(source.key.clone());
                let known = known.or_insert_with(|| source.clone());
                if source.is_trusted && !known.is_trusted {
                    *known = source;
                }
            }
        }
        for (key, source) in of_sources {
            self.put(Tree::ImageSources, image_source_key(source.id, &key), Vec::new())?;
            self.put(Tree::Sources, key, source.value)?;
        }
        for mark in marks {
            if mark.is_trusted || !self.brought.contains(&mark.id) {
                self.salvaged.marks += 1;
                self.put(Tree::Removed, mark.key, mark.value)?;
            }
        }
        Ok(())
    }

    fn miss(&mut self, id: ImageId, problem: impl Into<String>) {
        self.salvaged.missing.push(Damage::new(id.to_string(), problem));
    }

    fn put(&mut self, tree: Tree, key: Vec<u8>, value: Vec<u8>) -> Result<(), StoreError> {
        self.batch_bytes += key.len() + value.len();
        self.batch.push((tree, key, value));
        if self.batch_bytes < COMMIT_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.store.write(|writer| {
            batch.iter().try_for_each(|(tree, key, value)| writer.put(*tree, key, value))
        })
    }
}

/// Those of an image, out of a list in the order of images.
fn of_image(belongings: &[Belonging], id: ImageId) -> &[Belonging] {
    let start = belongings.partition_point(|belonging| belonging.id < id);
    let end = belongings.partition_point(|belonging| belonging.id <= id);
    &belongings[start..end]
}

//! Verification: every blob against its id and its record, every record and source mark against the
//! rest.
//!
//! Only bytes are looked at here. Decoding them (`verify --deep`) is up to the caller, who is
//! handed each image.

use std::collections::{BTreeSet, HashMap};

use super::error::{StoreError, hex};
use super::gallery::Store;
use super::record::{
    decode_image, decode_key, decode_mark, decode_origin, origin_owner, split_blob_key,
};
use super::tree::Tree;
use crate::image::{ImageId, ImageRecord, Rendition};

/// One thing that is wrong with a gallery.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// What is affected: an image's id, or the key of another entry in hexadecimal digits.
    pub subject: String,
    pub problem: String,
}

impl Damage {
    pub(super) fn new(subject: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { subject: subject.into(), problem: problem.into() }
    }

    /// Damage of the entry with this key.
    pub(super) fn of_key(key: &[u8], problem: impl Into<String>) -> Self {
        Self::new(hex(key), problem)
    }
}

/// What a verification looked at and found.
#[derive(Debug, Default, serde::Serialize)]
pub struct Verified {
    /// Number of images whose record can be read.
    pub images: u64,
    pub bytes: u64,
    /// Number of images that can be had: their record and their bytes.
    pub readable: u64,
    /// Number of images that can't, or `None` if nothing tells how many there were.
    pub unreadable: Option<u64>,
    pub problems: Vec<Damage>,
}

impl Store {
    /// Checks the whole gallery.
    ///
    /// `inspect` is called with each image whose bytes are those that its id names, and may return
    /// one more problem. Every image is read under a transaction of its own, so a long verification
    /// pins no pages, and images that are removed meanwhile are not reported as missing.
    ///
    /// # Errors
    /// When the gallery can't be read on at all. Damage that can be stepped over is in
    /// [`Verified::problems`].
    pub fn verify(
        &self,
        mut inspect: impl FnMut(ImageId, &ImageRecord, &[u8]) -> Option<String>,
    ) -> Result<Verified, StoreError> {
        let mut verified = Verified::default();
        let mut records = HashMap::new();
        self.scan(Tree::Images, &mut |key, value| {
            let decoded = ImageId::from_slice(key).map(|id| (id, decode_image(id, value)));
            match decoded {
                Some((id, Ok(record))) => drop(records.insert(id, record)),
                Some((_, Err(error))) => {
                    verified.problems.push(Damage::new(hex(key), error.to_string()));
                }
                None => verified.problems.push(Damage::new(hex(key), "the key is no image id")),
            }
            Ok(())
        })?;
        let mut ordinals = HashMap::new();
        for (id, record) in &records {
            verified.images += 1;
            if let Some(other) = ordinals.insert(record.ordinal, *id) {
                let problem = format!("its ordinal {} is also that of {other}", record.ordinal);
                verified.problems.push(Damage::new(id.to_string(), problem));
            }
            self.verify_image(*id, record, &mut verified, &mut inspect)?;
        }
        self.verify_references(&records, &mut verified)?;
        verified.problems.sort_by(|a, b| a.subject.cmp(&b.subject));
        let subjects = verified.problems.iter().filter_map(|damage| damage.subject.parse().ok());
        let damaged: BTreeSet<ImageId> = subjects.collect();
        let is_whole = |id: &&ImageId| !damaged.contains(*id);
        verified.readable = records.keys().filter(is_whole).count() as u64;
        verified.unreadable = Some(damaged.len() as u64);
        Ok(verified)
    }

    pub(super) fn verify_image(
        &self,
        id: ImageId,
        record: &ImageRecord,
        verified: &mut Verified,
        inspect: &mut impl FnMut(ImageId, &ImageRecord, &[u8]) -> Option<String>,
    ) -> Result<(), StoreError> {
        let found = self.blob(id, 0, |webp| {
            verified.bytes += webp.len() as u64;
            if ImageId::of(webp) != id {
                return Some("its bytes are not those that its id names".to_owned());
            }
            if webp.len() as u64 != record.size_bytes {
                return Some(format!(
                    "it has {} bytes, its record says {}",
                    webp.len(),
                    record.size_bytes
                ));
            }
            inspect(id, record, webp)
        });
        let found = match found {
            Err(error @ StoreError::Elsewhere { .. }) => Some(Some(error.to_string())),
            found => found?,
        };
        match found {
            Some(None) => {}
            Some(Some(problem)) => verified.problems.push(Damage::new(id.to_string(), problem)),
            None if self.image(id)?.is_none() => {} // removed meanwhile
            None => verified.problems.push(Damage::new(id.to_string(), "its bytes are missing")),
        }
        for rendition in record.kept_renditions() {
            let is_right = self.blob(id, rendition.width, |webp| {
                verified.bytes += webp.len() as u64;
                *rendition == Rendition::of(rendition.width, webp)
            });
            let problem = match is_right {
                Err(StoreError::Elsewhere { .. }) => "lies outside the gallery",
                Err(error) => return Err(error),
                Ok(Some(true)) => continue,
                Ok(Some(false)) => "is not what its record says",
                Ok(None) if self.image(id)?.is_none() => continue, // removed meanwhile
                Ok(None) => "is missing",
            };
            let problem = format!("its rendition of width {} {problem}", rendition.width);
            verified.problems.push(Damage::new(id.to_string(), problem));
        }
        Ok(())
    }

    /// Finds blobs without a record, source marks of no image, and keys that do not decode.
    ///
    /// Images that came after `records` was read are looked up before they count as a problem.
    fn verify_references(
        &self,
        records: &HashMap<ImageId, ImageRecord>,
        verified: &mut Verified,
    ) -> Result<(), StoreError> {
        let mut suspects = Vec::new();
        self.scan(Tree::Blobs, &mut |key, _| {
            match split_blob_key(key) {
                Some((id, _)) if records.contains_key(&id) => {}
                Some((id, _)) => suspects.push((id, "there are bytes of it, but no record")),
                None => verified
                    .problems
                    .push(Damage::new(hex(key), "the key of these bytes is malformed")),
            }
            Ok(())
        })?;
        self.scan(Tree::Sources, &mut |key, value| {
            match ImageId::from_slice(value) {
                Some(id) if records.contains_key(&id) => {}
                Some(id) => suspects
                    .push((id, "a source is marked as imported, but there is no such image")),
                None => {
                    verified.problems.push(Damage::new(hex(key), "the source mark names no image"));
                }
            }
            Ok(())
        })?;
        self.scan(Tree::Origins, &mut |key, value| {
            match origin_owner(key).and_then(|id| decode_origin(key, value).map(|_| id)) {
                Ok(id) if records.contains_key(&id) => {}
                Ok(id) => {
                    suspects
                        .push((id, "a file is noted as its origin, but there is no such image"));
                }
                Err(error) => verified.problems.push(Damage::new(hex(key), error.to_string())),
            }
            Ok(())
        })?;
        for (id, problem) in suspects {
            let known = matches!(self.image(id), Ok(Some(_)) | Err(StoreError::Damaged { .. }));
            if !known {
                verified.problems.push(Damage::new(id.to_string(), problem));
            }
        }
        self.verify_index(verified)?;
        self.scan(Tree::Removed, &mut |key, value| {
            if let Err(error) = decode_mark(key, value) {
                verified.problems.push(Damage::new(hex(key), error.to_string()));
            }
            Ok(())
        })?;
        self.scan(Tree::Keys, &mut |key, value| {
            if let Err(error) = decode_key(key, value) {
                verified.problems.push(Damage::new(hex(key), error.to_string()));
            }
            Ok(())
        })
        .map(|_| ())
    }
}

impl Store {
    /// Compares source marks with their index by image, both ways.
    ///
    /// What differs is looked up again, because a commit may have come in between.
    fn verify_index(&self, verified: &mut Verified) -> Result<(), StoreError> {
        let mut expected = BTreeSet::new();
        self.scan(Tree::Sources, &mut |key, value| {
            if value.len() == ImageId::LEN {
                expected.insert([value, key].concat());
            }
            Ok(())
        })?;
        let mut suspects = Vec::new();
        self.scan(Tree::ImageSources, &mut |key, _| {
            if !expected.remove(key) {
                suspects.push(key.to_vec());
            }
            Ok(())
        })?;
        for key in suspects.into_iter().chain(expected) {
            let (id, source) = key.split_at(ImageId::LEN.min(key.len()));
            let marked = self.get(Tree::Sources, source, |value| value == id)? == Some(true);
            let indexed = self.get(Tree::ImageSources, &key, |_| ())?.is_some();
            let problem = match (marked, indexed) {
                (true, false) => "a source mark is missing in the index by image",
                (false, true) => "the index by image has a source that is not marked",
                _ => continue,
            };
            verified.problems.push(Damage::new(hex(id), problem));
        }
        Ok(())
    }
}

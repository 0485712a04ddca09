//! Which images the trees of a damaged gallery name, and what they say of them.
//!
//! What a tree reaches in a page that nothing is wrong with is *trusted*. So is what lies in a page
//! that no tree reaches, if it is known which pages are free. Everything else may be old, and is
//! taken only where something trusted names the image, so that what was removed does not come back.

use std::collections::{BTreeMap, HashSet};

use super::finding::{FILE, LostRanges};
use crate::image::{ImageId, ImageRecord};
use crate::store::addition::SourceKey;
use crate::store::check::Damage;
use crate::store::draft;
use crate::store::file::pages::{DataFile, Found, Orphan, Place, Snapshot, Value};
use crate::store::record::{
    decode_image, decode_key, decode_mark, decode_origin, origin_key, origin_owner, split_blob_key,
};
use crate::store::tree::Tree;

/// An entry that is copied as it is, with the image that it belongs to.
#[derive(Clone)]
pub(super) struct Belonging {
    pub(super) id: ImageId,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// BLAKE3 of the source that it is about.
    pub(super) source_hash: [u8; 32],
    pub(super) is_trusted: bool,
}

/// The place of an image's bytes, or of a rendition's.
pub(super) struct BlobClaim {
    pub(super) id: ImageId,
    pub(super) width: u16,
    pub(super) place: Place,
    is_trusted: bool,
}

/// What the trees of a gallery say.
#[derive(Default)]
pub(super) struct Claims {
    /// Entries of the tree `meta`.
    pub(super) meta: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) records: BTreeMap<ImageId, ImageRecord>,
    /// Records in places that are not trusted.
    doubtful_records: BTreeMap<ImageId, ImageRecord>,
    /// Images that something trusted names.
    named: HashSet<ImageId>,
    pub(super) blobs: Vec<BlobClaim>,
    /// Places where a WebP begins that no tree leads to.
    pub(super) webps: Vec<Place>,
    pub(super) sources: Vec<Belonging>,
    pub(super) origins: Vec<Belonging>,
    /// Marks of sources whose image was removed; each belongs to that image.
    pub(super) marks: Vec<Belonging>,
    /// Keys' entries.
    pub(super) keys: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) problems: Vec<Damage>,
    /// Whether every image's record was read, so that there are no others.
    pub(super) has_all_records: bool,
    /// Whether every source mark was read.
    has_all_sources: bool,
}

impl Claims {
    /// Reads all of a snapshot, and what no tree reaches.
    pub(super) fn read(snapshot: &mut Snapshot) -> Self {
        let mut claims = Self { has_all_records: true, ..Self::default() };
        let file = snapshot.file();
        for tree in Tree::ALL {
            let mut lost = LostRanges::new(tree);
            let miscounted = snapshot.walk(tree, &mut |found| match found {
                Found::Entry { key, value, place, doubtful } => {
                    claims.take(&file, tree, key, value, place, !doubtful);
                }
                Found::Lost(range) => lost.push(range),
            });
            if tree == Tree::Images {
                claims.has_all_records &= lost.is_empty() && miscounted.is_none();
            }
            if tree == Tree::Sources {
                claims.has_all_sources = lost.is_empty() && miscounted.is_none();
            }
            if tree == Tree::Keys && miscounted.is_some() {
                // An older page may have keys that were revoked since.
                claims.keys.clear();
            }
            claims.problems.extend(lost.findings());
            claims.problems.extend(miscounted.map(|reason| Damage::new(tree.name(), reason)));
        }
        let is_exact = snapshot.has_exact_accounts();
        snapshot.each_orphan(&mut |orphan| match orphan {
            Orphan::Entry { key, value, place, is_sound } => {
                if let Some(tree) = tree_of(key) {
                    claims.take(&file, tree, key, value, place, is_exact && is_sound);
                }
            }
            Orphan::Webp(place) => claims.webps.push(place),
        });
        let of_file = snapshot.free_list_problems().iter();
        claims.problems.extend(of_file.map(|problem| Damage::new(FILE, problem)));
        claims.confirm(snapshot);
        claims.sources.sort_by_key(|source| source.id);
        claims.origins.sort_by_key(|origin| origin.id);
        claims
    }

    /// Takes an entry, if it has the form of its tree's.
    fn take(
        &mut self,
        file: &DataFile,
        tree: Tree,
        key: &[u8],
        value: Value<'_>,
        place: Place,
        is_trusted: bool,
    ) {
        if tree == Tree::Blobs {
            if let Some((id, width)) = split_blob_key(key) {
                self.blobs.push(BlobClaim { id, width, place, is_trusted });
            }
            return;
        }
        let Ok((bytes, _)) = file.value(value) else { return };
        let bytes = bytes.to_vec();
        match tree {
            Tree::Images => self.take_record(key, &bytes, is_trusted),
            Tree::Sources => self.take_source(key, &bytes, is_trusted),
            // The index says nothing that the marks do not, if there are all of them.
            Tree::ImageSources => {
                if !self.has_all_sources
                    && let Some((id, source)) = key.split_at_checked(ImageId::LEN)
                {
                    self.take_source(source, id, is_trusted);
                }
            }
            Tree::Origins | Tree::Removed => self.take_origin_or_mark(key, bytes, is_trusted),
            Tree::Keys if is_trusted => {
                let bytes = draft::convert_key(key, &bytes).unwrap_or(bytes);
                if decode_key(key, &bytes).is_ok() {
                    self.keys.push((key.to_vec(), bytes));
                }
            }
            Tree::Meta if is_trusted => drop(self.meta.insert(key.to_vec(), bytes)),
            Tree::Keys | Tree::Meta | Tree::Blobs => {}
        }
    }

    fn take_record(&mut self, key: &[u8], bytes: &[u8], is_trusted: bool) {
        let Some(id) = ImageId::from_slice(key) else { return };
        if is_trusted {
            self.named.insert(id);
        }
        let record = draft::convert_image(key, bytes, std::iter::empty())
            .and_then(|bytes| decode_image(id, &bytes));
        match record {
            Ok(record) if is_trusted => drop(self.records.insert(id, record)),
            Ok(record) => drop(self.doubtful_records.insert(id, record)),
            // A page that something is wrong with is told as a whole.
            Err(_) if !is_trusted => {}
            Err(error) => {
                self.has_all_records = false;
                self.problems.push(Damage::new(id.to_string(), error.reason()));
            }
        }
    }

    fn take_source(&mut self, source: &[u8], value: &[u8], is_trusted: bool) {
        let hash = source.first_chunk::<32>().copied();
        let known = ImageId::from_slice(value).zip(hash);
        let Some((id, source_hash)) = known.filter(|_| source.len() == SourceKey::LEN) else {
            return;
        };
        if is_trusted {
            self.named.insert(id);
        }
        let (key, value) = (source.to_vec(), value.to_vec());
        self.sources.push(Belonging { id, key, value, source_hash, is_trusted });
    }

    /// Takes an entry of `origins` or of `removed`, whose keys have the same length.
    fn take_origin_or_mark(&mut self, key: &[u8], value: Vec<u8>, is_trusted: bool) {
        let value = draft::convert_origin(key, &value).unwrap_or(value);
        if let (Ok(id), Ok(origin)) = (origin_owner(key), decode_origin(key, &value)) {
            // Otherwise it is another image's.
            if origin_key(id, &origin.path) == *key {
                if is_trusted {
                    self.named.insert(id);
                }
                let (key, source_hash) = (key.to_vec(), origin.source_hash);
                self.origins.push(Belonging { id, key, value, source_hash, is_trusted });
            }
        } else if let (Ok(source_hash), Ok(mark)) = (key.try_into(), decode_mark(key, &value)) {
            let (id, key) = (mark.image, key.to_vec());
            self.marks.push(Belonging { id, key, value, source_hash, is_trusted });
        }
    }

    /// Takes the records that are not trusted of images that something trusted names.
    fn confirm(&mut self, snapshot: &Snapshot) {
        for blob in &self.blobs {
            // A blob whose pages are free again is a removed image's.
            if blob.is_trusted && blob.width == 0 && !snapshot.is_free(blob.place) {
                self.named.insert(blob.id);
            }
        }
        for mark in &self.marks {
            // A record that is trusted is needed against a mark of removal.
            self.named.remove(&mark.id);
        }
        for (id, record) in std::mem::take(&mut self.doubtful_records) {
            if self.named.contains(&id) && !self.has_all_records {
                self.records.entry(id).or_insert(record);
            }
        }
    }

    /// Whether the gallery has this image, as far as can be known.
    pub(super) fn is_wanted(&self, id: ImageId) -> bool {
        self.records.contains_key(&id) || !self.has_all_records && self.named.contains(&id)
    }

    /// All images that the gallery has, as far as can be known, in the order of their ids.
    pub(super) fn wanted(&self) -> Vec<ImageId> {
        let named =
            self.named.iter().filter(|id| !self.has_all_records && !self.records.contains_key(id));
        let mut wanted: Vec<ImageId> = self.records.keys().chain(named).copied().collect();
        wanted.sort_unstable();
        wanted
    }
}

/// The tree whose keys have this length. Keys that admit readers are not looked for, and neither is
/// what the gallery says of itself.
fn tree_of(key: &[u8]) -> Option<Tree> {
    match key.len() {
        ImageId::LEN => Some(Tree::Images),
        18 => Some(Tree::Blobs),
        32 => Some(Tree::Origins),
        SourceKey::LEN => Some(Tree::Sources),
        56 => Some(Tree::ImageSources),
        _ => None,
    }
}

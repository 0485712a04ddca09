//! Records and keys as bytes. This is the one place that knows bincode.
//!
//! A record is its own version byte, then bincode 1's format ("legacy" configuration: little
//! endian, fixed-width integers, lengths as u64), then the first 8 bytes of the BLAKE3 of all that.
//! Lengths inside are bounded by [`MAX_RECORD_BYTES`] before anything is allocated, and every byte
//! must be consumed, so that hostile or damaged bytes give an error and nothing worse.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::addition::{Origin, RemovedMark};
use super::error::StoreError;
use crate::image::{ImageId, ImageRecord};
use crate::keys::KeyRecord;

/// Largest record, in bytes. A record with a thousand long tags has a tenth of that.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// Version of the records that this file writes.
pub(super) const RECORD_VERSION: u8 = 2;

/// Length of the checksum at a record's end, in bytes.
const CHECKSUM_BYTES: usize = 8;

fn configuration() -> impl bincode::config::Config {
    bincode::config::legacy().with_limit::<MAX_RECORD_BYTES>()
}

/// Makes the key of a blob: the image's id, then the width, big endian, so that an image's blobs
/// lie side by side.
pub(super) fn blob_key(id: ImageId, width: u16) -> [u8; ImageId::LEN + 2] {
    let mut key = [0; ImageId::LEN + 2];
    key[..ImageId::LEN].copy_from_slice(id.as_bytes());
    key[ImageId::LEN..].copy_from_slice(&width.to_be_bytes());
    key
}

/// Inverts [`blob_key`]. Returns `None` for a key of another length.
pub(super) fn split_blob_key(key: &[u8]) -> Option<(ImageId, u16)> {
    let (id, width) = key.split_at_checked(ImageId::LEN)?;
    Some((ImageId::from_slice(id)?, u16::from_be_bytes(width.try_into().ok()?)))
}

/// Makes the key of an origin: the image's id, then a hash of the path, so that an image's origins
/// lie side by side.
pub(super) fn origin_key(id: ImageId, path: &Path) -> [u8; 2 * ImageId::LEN] {
    let mut key = [0; 2 * ImageId::LEN];
    key[..ImageId::LEN].copy_from_slice(id.as_bytes());
    let path = blake3::hash(path.as_os_str().as_bytes());
    key[ImageId::LEN..].copy_from_slice(&path.as_bytes()[..ImageId::LEN]);
    key
}

/// Returns the image that the origin with this key belongs to.
pub(super) fn origin_owner(key: &[u8]) -> Result<ImageId, StoreError> {
    let id = (key.len() == 2 * ImageId::LEN)
        .then(|| ImageId::from_slice(&key[..ImageId::LEN]))
        .flatten();
    id.ok_or_else(|| StoreError::damaged("origins", key, "its key is malformed"))
}

pub(super) fn encode_origin(id: ImageId, origin: &Origin) -> Result<Vec<u8>, StoreError> {
    let stored = StoredOrigin {
        path: origin.path.as_os_str().as_bytes().to_vec(),
        source_hash: origin.source_hash,
        folder_tags: origin.folder_tags.clone(),
    };
    encode("origins", &origin_key(id, &origin.path), &stored)
}

pub(super) fn decode_origin(key: &[u8], bytes: &[u8]) -> Result<Origin, StoreError> {
    let StoredOrigin { path, source_hash, folder_tags } = decode("origins", key, bytes)?;
    Ok(Origin { path: path_of(path), source_hash, folder_tags })
}

/// An [`Origin`] as it is stored. Paths need not be UTF-8.
#[derive(Serialize, Deserialize)]
struct StoredOrigin {
    path: Vec<u8>,
    source_hash: [u8; 32],
    folder_tags: Vec<String>,
}

pub(super) fn path_of(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

/// An [`Origin`] as it is stored in a mark, whose key has the hash of the source.
#[derive(Serialize, Deserialize)]
struct StoredMarkOrigin {
    path: Vec<u8>,
    folder_tags: Vec<String>,
}

/// A [`RemovedMark`] as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredMark {
    image: [u8; ImageId::LEN],
    removed_at: u64,
    origins: Vec<StoredMarkOrigin>,
    hand_tags: Vec<String>,
    refused_tags: Vec<String>,
}

pub(super) fn encode_mark(hash: &[u8; 32], mark: &RemovedMark) -> Result<Vec<u8>, StoreError> {
    let stored = StoredMark {
        image: *mark.image.as_bytes(),
        removed_at: mark.removed_at,
        origins: mark
            .origins
            .iter()
            .map(|origin| StoredMarkOrigin {
                path: origin.path.as_os_str().as_bytes().to_vec(),
                folder_tags: origin.folder_tags.clone(),
            })
            .collect(),
        hand_tags: mark.hand_tags.clone(),
        refused_tags: mark.refused_tags.clone(),
    };
    encode("removed", hash, &stored)
}

pub(super) fn decode_mark(key: &[u8], bytes: &[u8]) -> Result<RemovedMark, StoreError> {
    let stored: StoredMark = decode("removed", key, bytes)?;
    let source_hash = key
        .try_into()
        .map_err(|_| StoreError::damaged("removed", key, "its key is no hash of a source"))?;
    let image = ImageId::from_slice(&stored.image)
        .ok_or_else(|| StoreError::damaged("removed", key, "it names no image"))?;
    Ok(RemovedMark {
        image,
        removed_at: stored.removed_at,
        origins: stored
            .origins
            .into_iter()
            .map(|StoredMarkOrigin { path, folder_tags }| Origin {
                path: path_of(path),
                source_hash,
                folder_tags,
            })
            .collect(),
        hand_tags: stored.hand_tags,
        refused_tags: stored.refused_tags,
    })
}

/// Makes the key of a source in the index by image.
pub(super) fn image_source_key(id: ImageId, source: &[u8]) -> Vec<u8> {
    [id.as_bytes().as_slice(), source].concat()
}

pub(super) fn encode_image(id: ImageId, record: &ImageRecord) -> Result<Vec<u8>, StoreError> {
    encode("images", id.as_bytes(), record)
}

pub(super) fn decode_image(id: ImageId, bytes: &[u8]) -> Result<ImageRecord, StoreError> {
    decode("images", id.as_bytes(), bytes)
}

/// The beginning of a stored [`ImageRecord`], in its order, with borrowed text, because a server
/// reads it of every image.
#[derive(Deserialize)]
struct StoredSummary<'b> {
    ordinal: u32,
    width: u32,
    height: u32,
    _size_bytes: u64,
    frames: u32,
    _alpha: bool,
    _imported_at: u64,
    /// The hash's 32 bytes, which are skipped faster as four numbers.
    _source_hash: [u64; 4],
    _source_bytes: u64,
    _source_format: &'b str,
    _source: &'b str,
    #[serde(borrow)]
    tags: Vec<&'b str>,
}

/// What a catalog needs of an image.
pub struct ImageSummary<'b> {
    /// See [`ImageRecord::ordinal`].
    pub ordinal: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    pub frames: u32,
    pub tags: Vec<&'b str>,
}

/// An image's record as the gallery stores it, not decoded.
pub struct StoredImage<'b> {
    id: ImageId,
    bytes: &'b [u8],
}

impl<'b> StoredImage<'b> {
    pub(super) fn new(id: ImageId, bytes: &'b [u8]) -> Self {
        Self { id, bytes }
    }

    #[must_use]
    pub fn id(&self) -> ImageId {
        self.id
    }

    /// The checksum that the record carries, unverified. Another record has another one.
    #[must_use]
    pub fn stamp(&self) -> [u8; CHECKSUM_BYTES] {
        self.bytes.last_chunk().copied().unwrap_or_default()
    }

    /// Decodes what a catalog needs of the image.
    ///
    /// # Errors
    /// When the record is damaged.
    pub fn summary(&self) -> Result<ImageSummary<'b>, StoreError> {
        decode_summary(self.id, self.bytes)
    }
}

fn decode_summary(id: ImageId, bytes: &[u8]) -> Result<ImageSummary<'_>, StoreError> {
    let tree = "images";
    let body = open_record(tree, id.as_bytes(), bytes, RECORD_VERSION)?;
    let (stored, _) =
        bincode::serde::borrow_decode_from_slice::<StoredSummary<'_>, _>(body, configuration())
            .map_err(|error| undecodable(tree, id.as_bytes(), &error))?;
    let StoredSummary { ordinal, width, height, frames, tags, .. } = stored;
    Ok(ImageSummary { ordinal, width, height, frames, tags })
}

pub(super) fn encode_key(record: &KeyRecord) -> Result<Vec<u8>, StoreError> {
    encode("keys", &record.id.0, record)
}

pub(super) fn decode_key(key: &[u8], bytes: &[u8]) -> Result<KeyRecord, StoreError> {
    decode("keys", key, bytes)
}

fn encode(tree: &'static str, key: &[u8], record: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![RECORD_VERSION];
    bincode::serde::encode_into_std_write(record, &mut bytes, configuration())
        .map_err(|error| StoreError::damaged(tree, key, format!("can't be written: {error}")))?;
    bytes.extend_from_slice(&checksum(key, &bytes));
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(StoreError::damaged(tree, key, "the record is too long"));
    }
    Ok(bytes)
}

fn decode<T: DeserializeOwned>(
    tree: &'static str,
    key: &[u8],
    bytes: &[u8],
) -> Result<T, StoreError> {
    decode_version(tree, key, bytes, RECORD_VERSION)
}

/// Decodes a record of any version.
pub(super) fn decode_version<T: DeserializeOwned>(
    tree: &'static str,
    key: &[u8],
    bytes: &[u8],
    version: u8,
) -> Result<T, StoreError> {
    let body = open_record(tree, key, bytes, version)?;
    let (record, consumed) = bincode::serde::decode_from_slice(body, configuration())
        .map_err(|error| undecodable(tree, key, &error))?;
    if consumed != body.len() {
        let reason = format!("{} bytes follow the record", body.len() - consumed);
        return Err(StoreError::damaged(tree, key, reason));
    }
    Ok(record)
}

/// Verifies a record's checksum and version, and returns what is between them.
fn open_record<'b>(
    tree: &'static str,
    key: &[u8],
    bytes: &'b [u8],
    known: u8,
) -> Result<&'b [u8], StoreError> {
    let damaged = |reason: String| StoreError::damaged(tree, key, reason);
    let (bytes, stored) = bytes
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or_else(|| damaged("the record is cut".into()))?;
    // Those of drafts say nothing of the key.
    let sealed_key = if known == RECORD_VERSION { key } else { &[] };
    if *stored != checksum(sealed_key, bytes) {
        return Err(damaged("the record is not what was written".into()));
    }
    let (&version, body) =
        bytes.split_first().ok_or_else(|| damaged("the record is cut".into()))?;
    if version != known {
        return Err(damaged(format!("the record has the unknown version {version}")));
    }
    Ok(body)
}

fn undecodable(tree: &'static str, key: &[u8], error: &bincode::error::DecodeError) -> StoreError {
    StoreError::damaged(tree, key, format!("the record does not decode: {error}"))
}

fn checksum(key: &[u8], bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key).update(bytes);
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM_BYTES]);
    checksum
}

/// Decodes any bytes as each kind of record, with the right checksum. A record must be written as
/// it was read.
#[cfg(fuzzing)]
#[expect(clippy::expect_used, reason = "a fuzz target fails by panicking")]
pub fn fuzz_records(body: &[u8]) {
    let sealed = |key: &[u8]| [body, &checksum(key, body)].concat();
    // The checksum is that of the key under which a record is stored.
    let is_body =
        |bytes: Vec<u8>| bytes.split_last_chunk::<CHECKSUM_BYTES>().map(|it| it.0) == Some(body);
    let id = ImageId::of(b"");
    let image = sealed(id.as_bytes());
    if let Ok(record) = decode_image(id, &image) {
        assert!(is_body(encode_image(id, &record).expect("it was a record")));
        assert_eq!(decode_summary(id, &image).expect("it was a record").tags, record.tags);
    }
    if let Ok(record) = decode_key(&[0; 8], &sealed(&[0; 8])) {
        assert!(is_body(encode_key(&record).expect("it was a record")));
    }
    if let Ok(origin) = decode_origin(&[0; 32], &sealed(&[0; 32])) {
        assert!(is_body(encode_origin(id, &origin).expect("it was a record")));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::image::{PictureMetadata, Rendition, TakenAt};

    fn sample() -> ImageRecord {
        ImageRecord {
            ordinal: 3,
            width: 4000,
            height: 3000,
            size_bytes: 215_000,
            frames: 1,
            alpha: false,
            imported_at: 1_700_000_000,
            source_hash: [7; 32],
            source_bytes: 1_000_000,
            source_format: "JPEG".into(),
            source: "beach/a.jpg".into(),
            tags: vec!["beach".into(), "summer".into()],
            thumbhash: vec![1, 2, 3],
            color: [10, 20, 30],
            perceptual_hash: 0x0123_4567_89ab_cdef,
            renditions: vec![Rendition { width: 640, size_bytes: 9, checksum: [8; 8] }],
            hand_tags: vec!["summer".into()],
            refused_tags: vec!["old".into()],
            metadata: PictureMetadata {
                taken_at: Some(TakenAt { local_seconds: 1_600_000_000, offset_minutes: Some(-90) }),
                rating: Some(4),
                title: Some("A beach".into()),
                creator: Some("A. Person".into()),
                licence: None,
            },
            settings_hash: [9; 8],
        }
    }

    /// Corrects the checksum, so that what stands before it is looked at.
    fn seal(key: &[u8], bytes: &mut Vec<u8>) {
        let content = bytes.len() - CHECKSUM_BYTES;
        let checksum = checksum(key, &bytes[..content]);
        bytes.truncate(content);
        bytes.extend(checksum);
    }

    #[test]
    fn the_bytes_of_a_record_are_those_of_format_1() {
        // Galleries hold these bytes: a change here needs a new record version and a migration.
        let id = ImageId::of(b"");
        let bytes = encode_image(id, &sample()).unwrap();
        assert_eq!(blake3::hash(&bytes).to_hex().as_str()[..16], *"61319d0254d11576");
        assert_eq!(bytes.len(), 294);
        assert_eq!(decode_image(id, &bytes).unwrap(), sample());

        let ImageSummary { ordinal, width, height, frames, tags } =
            decode_summary(id, &bytes).unwrap();
        let record = sample();
        assert_eq!(
            (ordinal, width, height, frames),
            (3, record.width, record.height, record.frames)
        );
        assert_eq!(tags, record.tags);
    }

    #[test]
    fn a_hostile_length_is_an_error_and_not_an_allocation() {
        let id = ImageId::of(b"");
        let mut bytes = encode_image(id, &sample()).unwrap();
        let format_length = 1 + 4 + 4 + 4 + 8 + 4 + 1 + 8 + 32 + 8;
        assert_eq!(bytes[format_length], 4, "the length of `JPEG`");
        bytes[format_length..format_length + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        seal(id.as_bytes(), &mut bytes);
        assert!(matches!(decode_image(id, &bytes), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn a_record_belongs_to_its_key() {
        let bytes = encode_image(ImageId::of(b""), &sample()).unwrap();
        assert!(decode_image(ImageId::of(b"other"), &bytes).is_err());
    }

    #[test]
    fn a_record_must_end_where_its_bytes_end() {
        let id = ImageId::of(b"");
        let mut bytes = encode_image(id, &sample()).unwrap();
        bytes.push(0);
        assert!(decode_image(id, &bytes).unwrap_err().to_string().contains("not what was written"));
        seal(id.as_bytes(), &mut bytes);
        assert!(decode_image(id, &bytes).unwrap_err().to_string().contains("1 bytes follow"));
        assert!(decode_image(id, &[]).is_err());
        let mut newer = vec![3; 9];
        seal(id.as_bytes(), &mut newer);
        assert!(decode_image(id, &newer).unwrap_err().to_string().contains("unknown version 3"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 8..300),
        ) {
            let id = ImageId::of(b"");
            seal(id.as_bytes(), &mut bytes);
            let _ = decode_image(id, &bytes);
            let _ = decode_summary(id, &bytes);
            seal(&[0; 8], &mut bytes);
            let _ = decode_key(&[0; 8], &bytes);
            seal(&[0; 32], &mut bytes);
            let _ = decode_origin(&[0; 32], &bytes);
            let _ = decode_mark(&[0; 32], &bytes);
        }

        #[test]
        fn a_changed_byte_is_noticed_and_never_makes_the_decoder_panic(
            at in 0_usize..200,
            change in 1..=u8::MAX,
        ) {
            let mut bytes = encode_image(ImageId::of(b""), &sample()).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= change;
            prop_assert!(decode_image(ImageId::of(b""), &bytes).is_err());
            seal(ImageId::of(b"").as_bytes(), &mut bytes);
            let _ = decode_image(ImageId::of(b""), &bytes);
        }
    }

    #[test]
    fn blob_keys_sort_by_image_then_width() {
        let id = ImageId::of(b"");
        assert_eq!(split_blob_key(&blob_key(id, 640)), Some((id, 640)));
        assert!(blob_key(id, 320) < blob_key(id, 640));
        assert_eq!(split_blob_key(b"short"), None);
    }
}

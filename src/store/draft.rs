//! The records of a draft of format 1, as `migrations/v0.md` describes them, and how they become
//! records of format 1.
//!
//! A damaged record stays as it is: it is found as damaged later, and keeps nobody from the rest.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::addition::Origin;
use super::error::StoreError;
use super::record::{
    decode_version, encode_image, encode_key, encode_origin, origin_owner, path_of,
};
use crate::image::{ImageId, ImageRecord, Rendition};
use crate::keys::{KeyId, KeyRecord, SigningSecret};

/// Version of a draft's records.
const DRAFT_VERSION: u8 = 1;

#[derive(Deserialize)]
struct DraftImage {
    ordinal: u32,
    width: u32,
    height: u32,
    size_bytes: u64,
    frames: u32,
    alpha: bool,
    imported_at: u64,
    source_hash: [u8; 32],
    source_bytes: u64,
    source_format: String,
    source: String,
    tags: Vec<String>,
    thumbhash: Vec<u8>,
    color: [u8; 3],
    perceptual_hash: u64,
    renditions: Vec<Rendition>,
}

#[derive(Deserialize)]
struct DraftOrigin {
    path: Vec<u8>,
    source_hash: [u8; 32],
}

#[derive(Deserialize)]
struct DraftKey {
    id: KeyId,
    phc: String,
    name: String,
    created: u64,
    expires: Option<u64>,
    signing_secret: SigningSecret,
}

/// Converts an image's record. All its tags count as put by hand, because a draft does not know
/// where they came from.
///
/// `sources` are the keys of its sources. If a single one is of the file that the record names, its
/// settings are those of the image.
pub(super) fn convert_image<'s>(
    key: &[u8],
    bytes: &[u8],
    sources: impl Iterator<Item = &'s [u8]>,
) -> Result<Vec<u8>, StoreError> {
    let Some(id) = ImageId::from_slice(key) else { return Ok(bytes.to_vec()) };
    let Some(draft) = decode::<DraftImage>("images", key, bytes)? else {
        return Ok(bytes.to_vec());
    };
    let mut own = sources.filter_map(|source| source.strip_prefix(&draft.source_hash));
    let settings_hash = match (own.next(), own.next()) {
        (Some(settings), None) => settings.try_into().unwrap_or_default(),
        _ => [0; 8],
    };
    let record = ImageRecord {
        ordinal: draft.ordinal,
        width: draft.width,
        height: draft.height,
        size_bytes: draft.size_bytes,
        frames: draft.frames,
        alpha: draft.alpha,
        imported_at: draft.imported_at,
        source_hash: draft.source_hash,
        source_bytes: draft.source_bytes,
        source_format: draft.source_format,
        source: draft.source,
        hand_tags: draft.tags.clone(),
        tags: draft.tags,
        thumbhash: draft.thumbhash,
        color: draft.color,
        perceptual_hash: draft.perceptual_hash,
        renditions: draft.renditions,
        settings_hash,
        ..ImageRecord::default()
    };
    encode_image(id, &record)
}

pub(super) fn convert_origin(key: &[u8], bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    let Ok(id) = origin_owner(key) else { return Ok(bytes.to_vec()) };
    let Some(draft) = decode::<DraftOrigin>("origins", key, bytes)? else {
        return Ok(bytes.to_vec());
    };
    let DraftOrigin { path, source_hash } = draft;
    encode_origin(id, &Origin { path: path_of(path), source_hash, folder_tags: Vec::new() })
}

pub(super) fn convert_key(key: &[u8], bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    let Some(draft) = decode::<DraftKey>("keys", key, bytes)? else { return Ok(bytes.to_vec()) };
    let DraftKey { id, phc, name, created, expires, signing_secret } = draft;
    let only_tags = Vec::new();
    encode_key(&KeyRecord { id, phc, name, created, expires, signing_secret, only_tags })
}

/// Decodes a draft's record, or returns `None` if it is damaged.
fn decode<T: DeserializeOwned>(
    tree: &'static str,
    key: &[u8],
    bytes: &[u8],
) -> Result<Option<T>, StoreError> {
    match decode_version(tree, key, bytes, DRAFT_VERSION) {
        Ok(record) => Ok(Some(record)),
        Err(StoreError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

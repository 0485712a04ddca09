//! Images for galleries that are measured.

use imagepool::image::{ImageId, ImageRecord, PictureMetadata};
use imagepool::store::{Addition, Origin, SourceKey};

/// Makes an image of these bytes, which need be no picture: its record is as long as a typical one.
pub(crate) fn addition(index: u32, webp: Vec<u8>) -> Addition {
    let source_hash = *blake3::hash(&index.to_le_bytes()).as_bytes();
    let record = ImageRecord {
        width: 1_920,
        height: 1_080,
        size_bytes: webp.len() as u64,
        frames: 1,
        imported_at: 1_700_000_000 + u64::from(index),
        source_hash,
        source_bytes: 1_000_000,
        source_format: "JPEG".into(),
        source: format!("summer/beach/{index:07}.jpg"),
        thumbhash: vec![0; 25],
        color: [127; 3],
        ..ImageRecord::default()
    };
    Addition {
        id: ImageId::of(&webp),
        image: Some((Box::new(record), webp)),
        metadata: PictureMetadata::default(),
        hand_tags: Vec::new(),
        renditions: Vec::new(),
        source: SourceKey::new(&source_hash, [0; 8]),
        origin: Some(Origin {
            path: format!("/pictures/summer/beach/{index:07}.jpg").into(),
            source_hash,
            folder_tags: vec!["beach".into(), "summer".into()],
        }),
        moved_from: Vec::new(),
        again: false,
    }
}

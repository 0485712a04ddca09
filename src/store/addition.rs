//! What an import adds to a gallery, and what a catalog reads of it.

use super::Origin;
use crate::image::{ImageId, ImageRecord};

/// Names a source file under the settings that shape its result: BLAKE3 of the file, then a hash of the settings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SourceKey(pub(super) [u8; 40]);

impl SourceKey {
    #[must_use]
    pub fn new(source_hash: &[u8; 32], settings_hash: [u8; 8]) -> Self {
        let mut key = [0; 40];
        key[..32].copy_from_slice(source_hash);
        key[32..].copy_from_slice(&settings_hash);
        Self(key)
    }
}

/// One thing that an import found.
pub struct Addition {
    pub id: ImageId,
    /// The image, unless the gallery had it when it was looked for; then only what follows is added to it.
    pub image: Option<(Box<ImageRecord>, Vec<u8>)>,
    pub tags: Vec<String>,
    /// Widths and WebP of renditions.
    pub renditions: Vec<(u16, Vec<u8>)>,
    pub source: SourceKey,
    /// The file that the image is the picture of, unless the source was left out for another image.
    pub origin: Option<Origin>,
}

impl Addition {
    /// Bytes of WebP in it.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let image = self.image.as_ref().map_or(0, |(_, webp)| webp.len());
        image + self.renditions.iter().map(|(_, webp)| webp.len()).sum::<usize>()
    }
}

/// What a catalog needs of an image.
pub struct ImageSummary<'b> {
    /// See [`ImageRecord::ordinal`].
    pub ordinal: u32,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    pub frames: u32,
    pub tags: Vec<&'b str>,
}

/// What became of an [`Addition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    New,
    /// The image was there; the addition's tags are on it now.
    Existing,
    /// The known image was removed meanwhile.
    Gone,
}

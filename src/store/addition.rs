//! What an import adds to a gallery.

use std::path::PathBuf;

use crate::image::{ImageId, ImageRecord};

/// Names a source file under the settings that shape its image: the BLAKE3 of the file, then a hash
/// of the settings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SourceKey(pub(super) [u8; SourceKey::LEN]);

impl SourceKey {
    /// Length in bytes.
    pub(super) const LEN: usize = 40;

    #[must_use]
    pub fn new(source_hash: &[u8; 32], settings_hash: [u8; 8]) -> Self {
        let mut key = [0; Self::LEN];
        key[..32].copy_from_slice(source_hash);
        key[32..].copy_from_slice(&settings_hash);
        Self(key)
    }

    /// The BLAKE3 of the source file.
    #[must_use]
    pub fn source_hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(&self.0[..32]);
        hash
    }
}

/// A file that an image was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The absolute path, without links. It is empty for a file that was deleted on purpose: the
    /// image then stays whatever happens to its other origins.
    pub path: PathBuf,
    /// BLAKE3 of the file.
    pub source_hash: [u8; 32],
    /// Tags of the folders that the file lies in, sorted and without repeats.
    pub folder_tags: Vec<String>,
}

/// What `Store::remove` leaves of a source, so that no later import brings it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedMark {
    /// The image that the source had become.
    pub image: ImageId,
    /// Time of the removal, in seconds since 1970, UTC.
    pub removed_at: u64,
    /// Where the source was imported from.
    pub origins: Vec<Origin>,
    pub hand_tags: Vec<String>,
    pub refused_tags: Vec<String>,
}

/// What an import adds for one file.
pub struct Addition {
    pub id: ImageId,
    /// The record and the WebP of a new image. `None` if the gallery had the image when it was
    /// looked up; then only what follows is added to it.
    pub image: Option<(Box<ImageRecord>, Vec<u8>)>,
    /// Tags that a person gives. Those of folders are in the origin.
    pub hand_tags: Vec<String>,
    /// Widths and WebP of renditions; no bytes for one that is not kept.
    pub renditions: Vec<(u16, Vec<u8>)>,
    pub source: SourceKey,
    /// The file that the image was made from; `None` if the source was skipped for another image.
    pub origin: Option<Origin>,
    /// Paths from which the same file has gone: its origins there are dropped.
    pub moved_from: Vec<PathBuf>,
    /// Whether the source is taken even if a person removed its image before.
    pub again: bool,
}

impl Addition {
    /// Length of all WebP in it, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let image = self.image.as_ref().map_or(0, |(_, webp)| webp.len());
        image + self.renditions.iter().map(|(_, webp)| webp.len()).sum::<usize>()
    }
}

/// What became of an [`Addition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    New,
    /// The image was there; it has the addition's tags now.
    Existing,
    /// The image was there, from the same source under other settings.
    Known,
    /// The image took the place of the one that its source had become under other settings.
    Replaced,
    /// A person removed the source's image, so nothing was added.
    RemovedBefore,
    /// The image that the gallery had was removed meanwhile.
    Gone,
}

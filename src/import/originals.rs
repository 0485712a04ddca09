//! What happens to files once their images are safe (`--delete-originals`), and to images once their files are gone
//! (`--prune`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::walk::FileStamp;
use super::worker::ReadSource;
use crate::image::ImageId;
use crate::store::{Origin, Store, StoreError};

/// The files that an import met, by their absolute path, for the next import of the same folders and for `--prune`.
#[derive(Debug, Default)]
pub struct ScanState(HashMap<PathBuf, Sighting>);

#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) stamp: Option<FileStamp>,
    pub(super) content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A picture with this hash, whose image is in the gallery.
    Picture([u8; 32]),
    NotAPicture,
    /// It could not be read or converted: it may be what it was before.
    Unknown,
}

impl ScanState {
    pub(super) fn of(&self, path: &Path, stamp: FileStamp) -> Option<Sighting> {
        self.0.get(path).filter(|sighting| sighting.stamp == Some(stamp)).copied()
    }

    pub(super) fn add(&mut self, path: PathBuf, stamp: Option<FileStamp>, content: Content) {
        self.0.insert(path, Sighting { stamp, content });
    }

    /// Whether a file still holds the picture that `origin` is about, as far as anyone can know.
    fn may_hold(&self, origin: &Origin) -> bool {
        if let Some(sighting) = self.0.get(&origin.path) {
            return match sighting.content {
                Content::Picture(hash) => hash == origin.source_hash,
                Content::NotAPicture => false,
                Content::Unknown => true,
            };
        }
        // Below a folder that could not be read.
        let unknown =
            |folder: &Path| self.0.get(folder).is_some_and(|seen| seen.content == Content::Unknown);
        origin.path.ancestors().any(unknown)
    }
}

/// A file that is gone, and the image that went with it.
type Removed = (PathBuf, ImageId);

/// Removes the images whose files below `roots` are gone, unless another file that is there has the same picture; their
/// paths and ids, and the roots that were left alone because they have not a single file: more often than not that is a disk
/// which is not mounted.
pub(super) fn prune(
    store: &Store,
    roots: &[PathBuf],
    met: &ScanState,
) -> Result<(Vec<Removed>, Vec<PathBuf>), StoreError> {
    let (mut removed, mut left_alone) = (Vec::new(), Vec::new());
    for root in roots {
        let canonical = root.canonicalize().unwrap_or_else(|_| root.clone());
        let stale: Vec<_> = store
            .origins_below(&canonical)?
            .into_iter()
            .filter(|(_, origin)| !met.may_hold(origin))
            .collect();
        if stale.is_empty() {
            continue;
        }
        if !met.0.keys().any(|path| path.starts_with(&canonical)) {
            left_alone.push(root.clone());
            continue;
        }
        for id in store.forget_origins(&stale)? {
            let path =
                stale.iter().find(|(owner, _)| *owner == id).map(|(_, origin)| origin.path.clone());
            removed.push((path.unwrap_or_default(), id));
        }
    }
    Ok((removed, left_alone))
}

/// Deletes a file whose image is durable; why not, if it must stay.
pub(super) fn delete(file: &ReadSource) -> Result<(), String> {
    if let Some(reason) = file.keep {
        return Err(reason.into());
    }
    if file.source.linked {
        return Err("it is not below the given path, a link to it is".into());
    }
    // Not through a link, and not what came in its place since.
    let metadata =
        std::fs::symlink_metadata(&file.source.path).map_err(|error| error.to_string())?;
    if !metadata.is_file() || FileStamp::of(&metadata) != file.source.stamp {
        return Err("it changed since it was read".into());
    }
    std::fs::remove_file(&file.source.path).map_err(|error| error.to_string())
}

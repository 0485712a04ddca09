//! What happens to files once their images are safe (`--delete-originals`), and to images once
//! their files are gone (`--prune`).

use std::path::PathBuf;

use super::outcome::ReadSource;
use super::scan_state::ScanState;
use super::walk::FileStamp;
use crate::image::ImageId;
use crate::store::{Store, StoreError};

/// What [`prune`] did.
#[derive(Default)]
pub(super) struct Pruned {
    /// Files that are gone, and the images that were removed with them.
    pub(super) removed: Vec<(PathBuf, ImageId)>,
    /// Roots without a single file, for which nothing was removed.
    pub(super) left_alone: Vec<PathBuf>,
}

/// Removes images whose files below `roots` are gone, unless another file there has the same
/// picture.
///
/// A root without a single file is left alone: more often than not it is a disk that is not
/// mounted.
pub(super) fn prune(
    store: &Store,
    roots: &[PathBuf],
    state: &ScanState,
) -> Result<Pruned, StoreError> {
    let mut pruned = Pruned::default();
    for root in roots {
        let canonical = root.canonicalize().unwrap_or_else(|_| root.clone());
        let stale: Vec<_> = store
            .origins_below(&canonical)?
            .into_iter()
            .filter(|(_, origin)| !state.may_hold(origin))
            .collect();
        if stale.is_empty() {
            continue;
        }
        if !state.has_files_below(&canonical) {
            pruned.left_alone.push(root.clone());
            continue;
        }
        for id in store.forget_origins(&stale)? {
            let path =
                stale.iter().find(|(owner, _)| *owner == id).map(|(_, origin)| origin.path.clone());
            pruned.removed.push((path.unwrap_or_default(), id));
        }
    }
    Ok(pruned)
}

/// Deletes a file whose image is durable, or returns why it must stay.
pub(super) fn delete(source: &ReadSource) -> Result<(), String> {
    let file = &source.file;
    if let Some(reason) = source.keep_reason {
        return Err(reason.into());
    }
    if file.is_link {
        return Err("it is not below the given path, a link to it is".into());
    }
    // Neither a link nor a file that took the place of this one since is deleted.
    let metadata = std::fs::symlink_metadata(&file.path).map_err(|error| error.to_string())?;
    if !metadata.is_file() || FileStamp::of(&metadata) != file.stamp {
        return Err("it changed since it was read".into());
    }
    std::fs::remove_file(&file.path).map_err(|error| error.to_string())
}

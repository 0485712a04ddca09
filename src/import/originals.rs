//! What happens to files once their images are safe (`--delete-originals`), and to images once
//! their files are gone (`--prune`).
//!
//! A dry run decides by the same code, and changes nothing.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, Mode, OFlags, accessat, openat, unlinkat};

use super::outcome::ReadSource;
use super::scan_state::{ScanState, is_gone};
use crate::image::ImageId;
use crate::store::{Store, StoreError};

/// What [`prune`] did.
#[derive(Default)]
pub(super) struct Pruned {
    /// Files that are gone, and the images that were removed with them.
    pub(super) removed: Vec<(PathBuf, ImageId)>,
    /// Roots without a single picture, for which nothing was removed.
    pub(super) left_alone: Vec<PathBuf>,
}

/// Removes images whose files below `roots` are gone, unless another file there has the same
/// picture.
///
/// A root without a single picture is left alone: more often than not it is a disk that is not
/// mounted. `foreseen` is set in a dry run, which removes nothing: the images that this import
/// would have given an origin.
pub(super) fn prune(
    store: &Store,
    roots: &[PathBuf],
    state: &ScanState,
    foreseen: Option<&HashSet<ImageId>>,
) -> Result<Pruned, StoreError> {
    let mut pruned = Pruned::default();
    let mut gone = Vec::new();
    for root in roots {
        let canonical = root.canonicalize().unwrap_or_else(|_| root.clone());
        let stale: Vec<_> = store
            .origins_below(&canonical)?
            .into_iter()
            .filter(|(_, origin)| state.has_lost(origin))
            .collect();
        if stale.is_empty() {
            continue;
        }
        if !state.has_pictures_below(&canonical) {
            pruned.left_alone.push(root.clone());
            continue;
        }
        gone.extend(stale);
    }
    let removed = match foreseen {
        None => store.forget_origins(&gone, |origin| state.has_lost(origin))?,
        Some(foreseen) => {
            let mut removed = store.orphans_without(&gone)?;
            removed.retain(|id| !foreseen.contains(id));
            removed
        }
    };
    let mut paths: HashMap<_, _> =
        gone.into_iter().rev().map(|(id, origin)| (id, origin.path)).collect();
    pruned.removed =
        removed.into_iter().map(|id| (paths.remove(&id).unwrap_or_default(), id)).collect();
    Ok(pruned)
}

/// Finds the paths below `roots` from which a file has gone that now lies at `path`.
pub(super) fn moved_from(
    store: &Store,
    roots: &[PathBuf],
    hash: &[u8; 32],
    path: &Path,
) -> Result<Vec<PathBuf>, StoreError> {
    let mut paths: Vec<_> =
        store.origins_of_source(hash)?.into_iter().map(|origin| origin.path).collect();
    // The path is empty for a file that was deleted on purpose, and then below no root.
    paths.retain(|old| {
        old != path && roots.iter().any(|root| old.starts_with(root)) && is_gone(old)
    });
    Ok(paths)
}

/// Deletes a file whose image is durable, or returns why it must stay. A dry run only looks whether
/// it could.
pub(super) fn delete(source: &ReadSource, dry_run: bool) -> Result<(), String> {
    let file = &source.file;
    if let Some(reason) = source.keep_reason {
        return Err(reason.into());
    }
    if file.is_link {
        return Err("it is not below the given path, a link to it is".into());
    }
    let deleted = file.open_folder().and_then(|folder| {
        let Some(folder) = folder else { return Ok(false) };
        let name = file.absolute.file_name().unwrap_or_default();
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = File::from(openat(&folder, name, flags, Mode::empty())?);
        // Neither a link is deleted nor a file that took the place of this one since. But a
        // file is deleted by its name: what takes that between this look and the deletion goes.
        if !file.is_as_found(&found.metadata()?) {
            return Ok(false);
        }
        if dry_run {
            accessat(&folder, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?;
        } else {
            unlinkat(&folder, name, AtFlags::empty())?;
        }
        Ok(true)
    });
    match deleted {
        Ok(true) => Ok(()),
        Ok(false) => Err("it changed since it was read".into()),
        Err(error) => Err(error.to_string()),
    }
}

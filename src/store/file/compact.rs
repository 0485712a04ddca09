//! Gives back the space of what was removed: a compact copy takes the gallery's place.

use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::files::MODE;
use super::open_file::FileWriter;
use super::replace::{check_space, give_rights, sync_while, take_place};
use crate::store::error::StoreError;

/// Number of pages of a file beside those of its trees: LMDB's two meta pages.
const META_PAGES: u64 = 2;

/// Lengths of a gallery's file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    pub before: u64,
    pub after: u64,
}

impl FileWriter<'_> {
    /// Writes a compact copy to `copy`, which is beside the gallery, and lets it take the gallery's
    /// place if `check` has no objection. Nobody can commit meanwhile.
    ///
    /// A gallery without free space stays as it is.
    pub(super) fn compact<E: From<StoreError>>(
        self,
        copy: &Path,
        check: impl FnOnce() -> Result<(), E>,
    ) -> Result<Compacted, E> {
        let file = self.file;
        let wrap = |source| StoreError::io(&file.path, source);
        // Through a link, the file that it leads to is replaced, not the link.
        let path = file.path.canonicalize().map_err(wrap)?;
        let old = file.files.metadata().map_err(wrap)?;
        if old.nlink() > 1 {
            return Err(StoreError::OtherNames { path }.into());
        }
        let needed = self.compact_bytes()?;
        if old.len() <= needed {
            return Ok(Compacted { before: old.len(), after: old.len() });
        }
        check_space(&path, needed)?;
        let mut target = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(copy)
            .map_err(StoreError::copy)?;
        file.copy_to(&mut target)?;
        give_rights(&target, &path, &old)?;
        let after = target.metadata().map_err(wrap)?.len();
        sync_while(&target, check).map_err(StoreError::copy)??;
        drop(target);
        take_place(copy, &path, &file.files)?;
        Ok(Compacted { before: old.len(), after })
    }

    /// Length of a compact copy, in bytes.
    fn compact_bytes(&self) -> Result<u64, StoreError> {
        let file = self.file;
        let root = file.env.stat();
        let mut pages =
            META_PAGES + (root.branch_pages + root.leaf_pages + root.overflow_pages) as u64;
        for tree in &file.trees {
            let found = tree.stat(&self.txn).map_err(|source| file.wrap(source))?;
            pages += (found.branch_pages + found.leaf_pages + found.overflow_pages) as u64;
        }
        Ok(pages * u64::from(root.page_size))
    }
}

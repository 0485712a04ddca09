//! Opens a gallery's file, after examining what LMDB would trust.
#![allow(unsafe_code)] // Opening a memory map is unsafe: see `open_environment`.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, WithoutTls};

use super::files::{FilePair, MAX_READERS};
use super::lmdb_error::lmdb_error;
use super::meta_pages::{MetaPages, Verdict};
use super::pages::{Space, read_space};
use crate::store::error::StoreError;
use crate::store::locator::Locator;
use crate::store::tree::{Access, Tree};

/// Address space reserved for the map, in bytes. It is far above any gallery and takes no memory;
/// where the system gives less, it is halved.
const MAP_BYTES: usize = 1 << 40;
/// Smallest map that is tried, in bytes.
const MIN_MAP_BYTES: usize = 1 << 32;
/// Number of trees in a file.
#[expect(clippy::cast_possible_truncation, reason = "there are eight")]
const MAX_TREES: u32 = Tree::ALL.len() as u32;
/// Number of pages that may be missing at the end of a sound file; one that lacks more, or more
/// than an eighth of its pages, was cut.
///
/// LMDB hands out page numbers and leaves unwritten what it freed in the same transaction, so the
/// missing pages are free ones.
const MAX_MISSING_PAGES: u64 = 256;
/// Number of pages that may be missing even from the smallest file.
const MIN_MISSING_PAGES: u64 = 8;
/// Number of times that a gallery is opened which is replaced each time meanwhile.
const OPENING_TRIES: u32 = 8;
/// Number of times that a state is looked for which writers do not replace meanwhile.
pub(super) const STATE_TRIES: usize = 100;

/// LMDB's handle of one of our trees.
pub(super) type TreeHandle = Database<Bytes, Bytes>;

/// Examines the file before LMDB does, because LMDB's errors say little.
pub(super) fn examine(path: &Path, access: Access) -> Result<(), StoreError> {
    let not_a_gallery =
        |reason: &str| StoreError::NotAGallery { path: path.to_owned(), reason: reason.into() };
    let found = examine_kind(path, access)?;
    if found == 0 {
        return Ok(());
    }
    let pages = File::open(path).and_then(|file| MetaPages::read(&file));
    match pages.map_err(|source| StoreError::io(path, source))?.verdict() {
        Verdict::Sound => Ok(()),
        Verdict::Cut { needed } => {
            Err(StoreError::Truncated { path: path.to_owned(), found, needed })
        }
        Verdict::Foreign => Err(not_a_gallery("its first bytes are not a gallery's")),
        Verdict::Damaged(reason) => Err(StoreError::BadMetaPages { path: path.to_owned(), reason }),
    }
}

/// Examines what is at a path, but nothing that is in it. Returns its length, which is 0 only if
/// a gallery may be made there.
pub(in crate::store) fn examine_kind(path: &Path, access: Access) -> Result<u64, StoreError> {
    let not_a_gallery =
        |reason: &str| StoreError::NotAGallery { path: path.to_owned(), reason: reason.into() };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(_) if path.is_symlink() => {
            return Err(not_a_gallery("it is a link that leads nowhere; is a disk not mounted?"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().unwrap_or(Path::new("/"));
            return match access {
                Access::Create if parent.is_dir() => Ok(0),
                Access::Create => Err(StoreError::NoParent { path: path.to_owned() }),
                Access::Read | Access::Write => {
                    Err(StoreError::Missing { locator: Locator::File(path.to_owned()) })
                }
            };
        }
        Err(error) => return Err(StoreError::io(path, error)),
    };
    if metadata.is_dir() {
        return Err(not_a_gallery(
            "it is a folder; a gallery is one file (for a sled gallery write sled:DIR)",
        ));
    }
    if !metadata.is_file() {
        return Err(not_a_gallery("it is no regular file"));
    }
    if metadata.len() == 0 {
        return Err(not_a_gallery("it is empty; restore it from a backup"));
    }
    Ok(metadata.len())
}

/// An LMDB file that is open, and what keeps it the only one of its kind.
///
/// `env` must be dropped first: closing the lock file would end the locks that LMDB holds on it.
/// Fields are dropped in their order, but variables in the reverse one, so a pattern that takes
/// this apart names `files` first.
pub(super) struct Environment {
    pub(super) env: Env<WithoutTls>,
    pub(super) files: FilePair,
    pub(super) writable: bool,
}

impl Environment {
    pub(super) fn open(path: &Path, access: Access) -> Result<Self, StoreError> {
        for _ in 1..OPENING_TRIES {
            match Self::try_open(path, access) {
                Err(StoreError::Moved { .. }) => {}
                opened => return opened,
            }
        }
        Self::try_open(path, access)
    }

    fn try_open(path: &Path, access: Access) -> Result<Self, StoreError> {
        let files = FilePair::open(path, access)?;
        let writable = files.is_writable();
        let env = open_lmdb(path, writable)?;
        if !files.are_still_at(path) {
            return Err(StoreError::Moved { path: path.to_owned() });
        }
        files.open_gate().map_err(|source| StoreError::io(path, source))?;
        Ok(Self { env, files, writable })
    }
}

fn open_lmdb(path: &Path, writable: bool) -> Result<Env<WithoutTls>, StoreError> {
    let access = if writable { EnvFlags::empty() } else { EnvFlags::READ_ONLY };
    let mut map_bytes = MAP_BYTES;
    loop {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(map_bytes).max_readers(MAX_READERS).max_dbs(MAX_TREES);
        // SAFETY: NO_SUB_DIR and READ_ONLY change neither locking nor durability. The map's bytes
        // are changed by LMDB alone, under its lock file; whoever writes to a gallery by other
        // means breaks it, as with any database.
        let opened = unsafe { options.flags(EnvFlags::NO_SUB_DIR | access).open(path) };
        match opened {
            Err(heed::Error::Io(error))
                if error.kind() == io::ErrorKind::OutOfMemory && map_bytes > MIN_MAP_BYTES =>
            {
                map_bytes /= 2;
            }
            opened => return opened.map_err(|source| lmdb_error(path, source)),
        }
    }
}

/// Refuses a file that was cut, and fills up one that lacks a little.
///
/// Touching a page behind a file's end would end the process with SIGBUS, while a page of zeros is
/// damage that can be reported.
pub(super) fn check_length(
    env: &Env<WithoutTls>,
    path: &Path,
    writable: bool,
) -> Result<(), StoreError> {
    let (found, needed) = find_cut(env, path)?;
    if found < needed && space_of(env, path)?.is_cut {
        return Err(StoreError::Truncated { path: path.to_owned(), found, needed });
    }
    if found < needed && writable {
        // Under the write lock nobody else makes the file longer, so this can't make it shorter.
        let _lock = env.write_txn().map_err(|source| lmdb_error(path, source))?;
        let (found, needed) = find_cut(env, path)?;
        if found < needed {
            let file = env.try_clone_inner_file().map_err(|source| lmdb_error(path, source))?;
            file.set_len(needed).map_err(|source| StoreError::io(path, source))?;
        }
    }
    Ok(())
}

/// Refuses a file whose list of free pages is damaged, because LMDB writes over those pages.
pub(super) fn check_free_list(env: &Env<WithoutTls>, path: &Path) -> Result<(), StoreError> {
    match space_of(env, path)?.problem {
        Some(reason) => Err(StoreError::BadFreeList { path: path.to_owned(), reason }),
        None => Ok(()),
    }
}

fn space_of(env: &Env<WithoutTls>, path: &Path) -> Result<Space, StoreError> {
    let wrap = |source| lmdb_error(path, source);
    for _ in 0..STATE_TRIES {
        let file = env.try_clone_inner_file().map_err(wrap)?;
        // It keeps the pages of its state from being written again.
        let transaction = env.read_txn().map_err(wrap)?;
        if let Some(space) = read_space(file, path, transaction.id() as u64)? {
            return Ok(space);
        }
    }
    let reason = "its meta page is not there".into();
    Err(StoreError::BadMetaPages { path: path.to_owned(), reason })
}

/// Returns the file's length and the length up to its last page number, in bytes, or an error for a
/// file that lacks more than a sound one may.
pub(super) fn find_cut(env: &Env<WithoutTls>, path: &Path) -> Result<(u64, u64), StoreError> {
    let (found, needed, page_bytes) = lengths(env, path)?;
    let pages = needed / page_bytes;
    let allowed_bytes = MAX_MISSING_PAGES.min(pages / 8).max(MIN_MISSING_PAGES) * page_bytes;
    if found + allowed_bytes < needed {
        return Err(StoreError::Truncated { path: path.to_owned(), found, needed });
    }
    Ok((found, needed))
}

/// Returns the file's length, the length up to its last page number, and the length of a page, all
/// in bytes.
fn lengths(env: &Env<WithoutTls>, path: &Path) -> Result<(u64, u64, u64), StoreError> {
    // Pages are counted first: a commit in between makes the file longer, never shorter.
    let pages = (env.info().last_page_number as u64).saturating_add(1);
    let page_bytes = u64::from(env.stat().page_size);
    let found = env.real_disk_size().map_err(|source| lmdb_error(path, source))?;
    Ok((found, pages.saturating_mul(page_bytes), page_bytes))
}

/// The trees that were found in a file.
pub(super) enum FoundTrees {
    All([TreeHandle; Tree::ALL.len()]),
    /// Those of a draft of format 1, which has fewer.
    Draft,
    /// Others, or none.
    Foreign,
}

/// Opens the trees.
pub(super) fn open_trees(env: &Env<WithoutTls>) -> heed::Result<FoundTrees> {
    let txn = env.read_txn()?;
    let mut trees = Vec::with_capacity(Tree::ALL.len());
    for tree in Tree::ALL {
        match env.open_database(&txn, Some(tree.name()))? {
            Some(handle) => trees.push(handle),
            None if trees.len() == Tree::IN_DRAFT => {
                txn.commit()?;
                return Ok(FoundTrees::Draft);
            }
            None => return Ok(FoundTrees::Foreign),
        }
    }
    // The handles outlive the transaction only if it is committed.
    txn.commit()?;
    Ok(trees.try_into().map_or(FoundTrees::Foreign, FoundTrees::All))
}

/// Makes the trees in a file that has none at all or those of a draft. Returns
/// [`FoundTrees::Foreign`] for a file with other trees.
pub(super) fn create_trees(env: &Env<WithoutTls>) -> heed::Result<FoundTrees> {
    let mut txn = env.write_txn()?;
    // Counted under the write lock, because another process may have made them just now.
    let entries =
        env.open_database::<Bytes, Bytes>(&txn, None)?.map_or(Ok(0), |root| root.len(&txn))?;
    if ![0, Tree::IN_DRAFT as u64, Tree::ALL.len() as u64].contains(&entries) {
        return Ok(FoundTrees::Foreign);
    }
    let mut trees = Vec::with_capacity(Tree::ALL.len());
    for tree in Tree::ALL {
        trees.push(env.create_database(&mut txn, Some(tree.name()))?);
    }
    txn.commit()?;
    Ok(trees.try_into().map_or(FoundTrees::Foreign, FoundTrees::All))
}

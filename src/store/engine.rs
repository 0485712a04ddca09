//! Whichever engine keeps the gallery, and its write transactions: trees of bytes, nothing more.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::blob::Blob;
use super::error::StoreError;
#[cfg(feature = "sled")]
use super::file;
use super::file::{Compacted, FileEngine, FileWriter, Reopened};
use super::locator::Locator;
#[cfg(feature = "sled")]
use super::sled::{SledEngine, SledWriter};
use super::tree::{Access, EntryVisitor, Tree};

pub(super) enum Engine {
    File(FileEngine),
    #[cfg(feature = "sled")]
    Sled(SledEngine),
}

/// Calls the same method of whichever engine there is.
macro_rules! on_engine {
    ($engine:expr, $name:ident => $call:expr) => {
        match $engine {
            Engine::File($name) => $call,
            #[cfg(feature = "sled")]
            Engine::Sled($name) => $call,
        }
    };
}

/// Calls the same method of whichever engine's transaction there is.
macro_rules! on_writer {
    ($writer:expr, $name:ident => $call:expr) => {
        match $writer {
            Writer::File($name) => $call,
            #[cfg(feature = "sled")]
            Writer::Sled($name) => $call,
        }
    };
}

impl Engine {
    pub(super) fn open(locator: &Locator, access: Access) -> Result<Self, StoreError> {
        match locator {
            Locator::File(path) => Ok(Self::File(FileEngine::open(path, access)?)),
            #[cfg(feature = "sled")]
            Locator::Sled(dir) => Ok(Self::Sled(SledEngine::open(dir, access)?)),
            #[cfg(not(feature = "sled"))]
            Locator::Sled(_) => Err(StoreError::EngineNotBuiltIn { feature: "sled" }),
        }
    }

    pub(super) fn writable(&self) -> bool {
        on_engine!(self, engine => engine.writable())
    }

    pub(super) fn version(&self) -> u64 {
        on_engine!(self, engine => engine.version())
    }

    pub(super) fn size_on_disk(&self) -> Result<u64, StoreError> {
        on_engine!(self, engine => engine.size_on_disk())
    }

    pub(super) fn get<R>(
        &self,
        tree: Tree,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, StoreError> {
        on_engine!(self, engine => engine.get(tree, key, read))
    }

    pub(super) fn hold(&self, tree: Tree, key: &[u8]) -> Result<Option<Blob>, StoreError> {
        on_engine!(self, engine => engine.hold(tree, key))
    }

    /// Number of entries in a tree, if the engine knows it without a scan.
    pub(super) fn entries(&self, tree: Tree) -> Result<Option<u64>, StoreError> {
        match self {
            Self::File(engine) => engine.entries(tree).map(Some),
            #[cfg(feature = "sled")]
            Self::Sled(_) => Ok(None),
        }
    }

    /// Visits the entries whose keys begin with `prefix` in the order of their keys, and returns
    /// the version they are of.
    pub(super) fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<u64, StoreError> {
        on_engine!(self, engine => engine.scan(tree, prefix, visit))
    }

    /// Runs `change` in one transaction, which is committed whole when it returns `Ok`, and not at
    /// all otherwise.
    pub(super) fn write<R>(
        &self,
        change: impl FnOnce(&mut Writer<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        match self {
            Self::File(engine) => engine.write(|writer| run(Writer::File(writer), change)),
            #[cfg(feature = "sled")]
            Self::Sled(engine) => run(Writer::Sled(engine.begin()), change),
        }
    }

    /// Looks whether the gallery is still there, and opens the one that took its place. Returns
    /// why it did.
    pub(super) fn look_after(&self) -> Result<Option<Reopened>, StoreError> {
        match self {
            Self::File(engine) => engine.look_after(),
            // A sled directory is locked against others, and stays open as it is.
            #[cfg(feature = "sled")]
            Self::Sled(_) => Ok(None),
        }
    }

    /// See `Store::lost_lock_file`.
    pub(super) fn lost_lock_file(&self) -> Option<PathBuf> {
        match self {
            Self::File(engine) => engine.lost_lock_file(),
            // Its lock is on a file that sled itself needs.
            #[cfg(feature = "sled")]
            Self::Sled(_) => None,
        }
    }

    /// Gives free space back; see `Store::compact`.
    pub(super) fn compact<E: From<StoreError>>(
        &self,
        copy: &Path,
        check: impl FnOnce() -> Result<(), E>,
    ) -> Result<Result<Compacted, E>, StoreError> {
        match self {
            Self::File(engine) => engine.compact(copy, check),
            #[cfg(feature = "sled")]
            Self::Sled(_) => Err(StoreError::NothingToCompact),
        }
    }

    /// Writes a compact copy in the file engine's format; see `Store::backup`.
    #[cfg_attr(
        not(feature = "sled"),
        expect(unused_variables, reason = "the file engine needs no scratch file")
    )]
    pub(super) fn copy_to(&self, target: &mut File, scratch: &Path) -> Result<(), StoreError> {
        match self {
            Self::File(engine) => engine.copy_to(target),
            #[cfg(feature = "sled")]
            Self::Sled(engine) => {
                file::copy_of(scratch, target, |tree, visit| engine.scan(tree, &[], visit))
            }
        }
    }
}

fn run<R>(
    mut writer: Writer<'_>,
    change: impl FnOnce(&mut Writer<'_>) -> Result<R, StoreError>,
) -> Result<R, StoreError> {
    let result = change(&mut writer)?;
    on_writer!(writer, writer => writer.commit())?;
    Ok(result)
}

/// A write transaction. What a change means is in `changes`.
pub(super) enum Writer<'w> {
    File(FileWriter<'w>),
    #[cfg(feature = "sled")]
    Sled(SledWriter<'w>),
}

impl Writer<'_> {
    pub(super) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        on_writer!(self, writer => writer.get(tree, key))
    }

    pub(super) fn put(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        on_writer!(self, writer => writer.put(tree, key, value))
    }

    pub(super) fn delete(&mut self, tree: Tree, key: &[u8]) -> Result<(), StoreError> {
        on_writer!(self, writer => writer.delete(tree, key))
    }

    /// Visits the entries whose keys begin with `prefix`, as this transaction has left them.
    pub(super) fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<(), StoreError> {
        on_writer!(self, writer => writer.scan(tree, prefix, visit))
    }
}

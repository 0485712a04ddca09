//! What can go wrong with a gallery, in words for the person who has to mend it.

use std::io;
use std::path::{Path, PathBuf};

use super::locator::{Locator, lock_path};
use crate::image::ImageId;
use crate::keys::KeyError;

/// Why a gallery could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is no gallery at {0}; `imagepool --gallery {0} import DIR` makes one", locator)]
    Missing { locator: Locator },
    #[error("{}: the folder that the gallery should lie in does not exist", path.display())]
    NoParent { path: PathBuf },
    #[error("{} exists; give another name", path.display())]
    Exists { path: PathBuf },
    #[error("{}: not an imagepool gallery: {reason}", path.display())]
    NotAGallery { path: PathBuf, reason: String },
    #[error(
        "{locator}: its format is version {found}, this imagepool knows up to {known}; \
         use the imagepool that wrote it, or a newer one"
    )]
    Newer { locator: Locator, found: u32, known: u32 },
    #[error(
        "{locator}: the gallery was made before format 1 and can't be written, so it can't be \
         brought to that format; open it once where it can be written, with `imagepool stats`"
    )]
    Draft { locator: Locator },
    #[error("{}: no permission: {source}; {advice}", path.display())]
    Denied { path: PathBuf, advice: &'static str, source: io::Error },
    #[error(
        "{locator}: the gallery can be read but not changed: its file or file system is read-only"
    )]
    ReadOnly { locator: Locator },
    #[error(
        "{}: in use by another process; a sled gallery admits one process at a time: \
         stop that one first, or use the default file engine, which admits several", path.display()
    )]
    InUse { path: PathBuf },
    #[error(
        "{}: another process has this data file open with another lock file, so the two would \
         overwrite each other's images; stop that process first. The lock file {} must not be \
         deleted meanwhile, the gallery neither renamed nor opened by a second name (a hard link), \
         and containers must mount the gallery's folder, not its file alone",
        path.display(),
        lock_path(path).display()
    )]
    OtherLock { path: PathBuf },
    #[error(
        "{}: the gallery was moved, replaced or deleted while this was running; \
         nothing of this change was stored; run it again on the gallery that is there now",
        path.display()
    )]
    Moved { path: PathBuf },
    #[error(
        "{}: other bytes were written into the gallery's file while a process had it open; nothing \
         of this change was stored; stop all processes that use it, then run `imagepool verify`, \
         and restore it with `imagepool restore BACKUP` rather than by writing into the file",
        path.display()
    )]
    Overwritten { path: PathBuf },
    #[error(
        "{}: the gallery's first two pages are damaged ({reason}), so its newest state can't be \
         told; nothing was changed. `imagepool restore BACKUP` puts a backup in its place, \
         `imagepool salvage` copies what can still be read, `imagepool verify` says what that is",
        path.display()
    )]
    BadMetaPages { path: PathBuf, reason: String },
    #[error(
        "{}: the list of the gallery's free pages is damaged ({reason}), so writing might \
         overwrite images; nothing was changed. `imagepool verify` says what is damaged, \
         `imagepool restore BACKUP` puts a backup in its place, `imagepool salvage` copies what \
         can be read",
        path.display()
    )]
    BadFreeList { path: PathBuf, reason: String },
    #[error(
        "{}: the gallery can't be opened at the moment; the server's log says why",
        path.display()
    )]
    NotOpen { path: PathBuf },
    #[error(
        "{}: another process that has the gallery open has the process number {number} too, as \
         the first processes of two containers do, and LMDB tells processes apart by numbers; \
         run the command inside the other container (`docker exec`), or give the two one set of \
         numbers (`--pid container:NAME` or `--pid host`)",
        path.display()
    )]
    SameProcessNumber { path: PathBuf, number: u32 },
    #[error(
        "{}: the disk is full; nothing of this change was stored, what was stored before is safe; \
         free some space and run it again", path.display()
    )]
    DiskFull { path: PathBuf },
    #[error(
        "{}: the new file takes {needed} bytes, and its disk has {free} free; \
         the gallery is as it was; free some space and run it again",
        path.display()
    )]
    NoRoom { path: PathBuf, needed: u64, free: u64 },
    #[error(
        "{}: the new file can't be given the owner and the rights of the old one: {source}; \
         the gallery is as it was; run it as the gallery's owner, or as root",
        path.display()
    )]
    NotOwner { path: PathBuf, source: io::Error },
    #[error(
        "{}: the file has several names (hard links), and the others would keep the old one; \
         the gallery is as it was; remove the other names first",
        path.display()
    )]
    OtherNames { path: PathBuf },
    #[error("a sled gallery looks after its space itself, so there is nothing to compact")]
    NothingToCompact,
    #[error(
        "{}: there is a gallery already (images: {images}, keys: {keys}), which would be lost; \
         --force replaces it",
        path.display()
    )]
    WouldBeLost { path: PathBuf, images: u64, keys: u64 },
    #[error("{source}; --force replaces it, whatever is in it")]
    Unopenable { source: Box<Self> },
    #[error(
        "{}: another process has it open as a gallery and may change it; stop that process, or \
         copy it while that runs (`imagepool --gallery {} backup FILE`) and use the copy",
        path.display(),
        path.display()
    )]
    BeingUsed { path: PathBuf },
    #[error(
        "{}: an earlier write to the gallery failed, and LMDB does nothing more until the file is \
         opened anew, as a server does at once; what was stored before is safe; run this again",
        path.display()
    )]
    Stuck { path: PathBuf },
    #[error(
        "{}: this process may not write so long a file; nothing of this change was stored, what \
         was stored before is safe; raise the limit of file sizes (`ulimit -f`, LimitFSIZE=) and \
         run it again",
        path.display()
    )]
    FileLimit { path: PathBuf },
    #[error(
        "{}: this process gets too little address space to map the gallery; raise the limit of \
         virtual memory (`ulimit -v`, LimitAS=): 4 GiB are needed at least, and more than the \
         gallery's length",
        path.display()
    )]
    AddressSpace { path: PathBuf },
    #[error(
        "{}: truncated: it has {found} bytes and needs {needed}; `imagepool restore BACKUP` puts a \
         backup in its place, `imagepool salvage` copies what can still be read",
        path.display()
    )]
    Truncated { path: PathBuf, found: u64, needed: u64 },
    #[error(
        "the gallery is damaged at {tree}/{key}: {reason}; `imagepool verify` lists all damage, \
         `imagepool salvage` copies what can be read, `imagepool restore` brings a backup back"
    )]
    Damaged { tree: &'static str, key: String, reason: String },
    #[error(
        "image {id}: its bytes lie outside the gallery, which this imagepool knows nothing of; use \
         the imagepool that stored them, or a newer one"
    )]
    Elsewhere { id: ImageId },
    #[error(
        "{}: the gallery is damaged: {source}; `imagepool verify` lists all damage, `imagepool \
         restore BACKUP` puts a backup in its place, `imagepool salvage` copies what can be read",
        path.display()
    )]
    BadPages { path: PathBuf, source: heed::Error },
    #[error(
        "this imagepool was built without the {feature} engine; \
         build it with `--features {feature}`"
    )]
    EngineNotBuiltIn { feature: &'static str },
    #[error("the copy can't be written: {source}")]
    Copy { source: io::Error },
    #[error("the copy can't be written: the disk is full; the gallery itself is as it was")]
    CopyDiskFull,
    #[error(
        "the copy can't be written: this process may not write so long a file; raise the limit of \
         file sizes (`ulimit -f`, LimitFSIZE=)"
    )]
    CopyFileLimit,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Lmdb { path: PathBuf, source: heed::Error },
    #[cfg(feature = "sled")]
    #[error("{}: {source}", path.display())]
    Sled { path: PathBuf, source: sled::Error },
}

impl StoreError {
    /// The same error, about another path.
    #[must_use]
    pub fn at(mut self, path: &Path) -> Self {
        self.set_path(path);
        self
    }

    fn set_path(&mut self, new: &Path) {
        // Every variant is named, so that a new one is not forgotten.
        match self {
            Self::NoParent { path }
            | Self::Exists { path }
            | Self::NotAGallery { path, .. }
            | Self::Denied { path, .. }
            | Self::InUse { path }
            | Self::OtherLock { path }
            | Self::Moved { path }
            | Self::Overwritten { path }
            | Self::BadMetaPages { path, .. }
            | Self::BadFreeList { path, .. }
            | Self::NotOpen { path }
            | Self::SameProcessNumber { path, .. }
            | Self::DiskFull { path }
            | Self::NoRoom { path, .. }
            | Self::NotOwner { path, .. }
            | Self::OtherNames { path }
            | Self::WouldBeLost { path, .. }
            | Self::BeingUsed { path }
            | Self::Stuck { path }
            | Self::FileLimit { path }
            | Self::AddressSpace { path }
            | Self::Truncated { path, .. }
            | Self::BadPages { path, .. }
            | Self::Io { path, .. }
            | Self::Lmdb { path, .. } => new.clone_into(path),
            #[cfg(feature = "sled")]
            Self::Sled { path, .. } => new.clone_into(path),
            Self::Missing { locator }
            | Self::Newer { locator, .. }
            | Self::Draft { locator }
            | Self::ReadOnly { locator } => *locator = Locator::File(new.to_owned()),
            Self::Unopenable { source } => source.set_path(new),
            Self::NothingToCompact
            | Self::Damaged { .. }
            | Self::Elsewhere { .. }
            | Self::EngineNotBuiltIn { .. }
            | Self::Copy { .. }
            | Self::CopyDiskFull
            | Self::CopyFileLimit
            | Self::Key(_) => {}
        }
    }

    /// Whether the file that is there is no whole gallery.
    pub(super) fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::NotAGallery { .. }
                | Self::BadMetaPages { .. }
                | Self::BadFreeList { .. }
                | Self::Truncated { .. }
                | Self::Damaged { .. }
                | Self::BadPages { .. }
                | Self::Lmdb { .. }
        )
    }

    /// Whether LMDB refuses all transactions after this error, until the file is opened anew.
    pub(super) fn stops_lmdb(&self) -> bool {
        matches!(self, Self::Stuck { .. })
    }

    /// What is wrong, without where and what to do.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Damaged { reason, .. } => reason.clone(),
            other => other.to_string(),
        }
    }

    pub(super) fn damaged(tree: &'static str, key: &[u8], reason: impl Into<String>) -> Self {
        Self::Damaged { tree, key: hex(key), reason: reason.into() }
    }

    /// A file that LMDB can open, without the trees of a gallery.
    pub(super) fn foreign(path: &Path) -> Self {
        let reason = "it is an LMDB file of some other program, or an import never finished; \
                      `imagepool import DIR` on a new path makes a gallery";
        Self::NotAGallery { path: path.to_owned(), reason: reason.into() }
    }

    /// A copy of the gallery could not be written.
    pub(super) fn copy(source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::CopyDiskFull,
            io::ErrorKind::FileTooLarge => Self::CopyFileLimit,
            _ => Self::Copy { source },
        }
    }

    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path: path.to_owned() }
            }
            io::ErrorKind::FileTooLarge => Self::FileLimit { path: path.to_owned() },
            io::ErrorKind::PermissionDenied => Self::Denied {
                path: path.to_owned(),
                advice: "the gallery, its lock file and their folder must be accessible \
                         to this user",
                source,
            },
            io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { locator: Locator::File(path.to_owned()) }
            }
            _ => Self::Io { path: path.to_owned(), source },
        }
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_copy_names_the_file_that_a_person_knows() {
        let copy = || PathBuf::from("/pool/.imagepool-x.partial/copy.pool");
        let locator = || Locator::File(copy());
        let source = || io::Error::from_raw_os_error(5);
        let heed = || heed::Error::Io(source());
        let reason = String::new;
        let mut wrong = Vec::new();
        for error in [
            StoreError::Missing { locator: locator() },
            StoreError::NoParent { path: copy() },
            StoreError::Exists { path: copy() },
            StoreError::NotAGallery { path: copy(), reason: reason() },
            StoreError::Newer { locator: locator(), found: 2, known: 1 },
            StoreError::Draft { locator: locator() },
            StoreError::Denied { path: copy(), advice: "", source: source() },
            StoreError::ReadOnly { locator: locator() },
            StoreError::InUse { path: copy() },
            StoreError::OtherLock { path: copy() },
            StoreError::Moved { path: copy() },
            StoreError::Overwritten { path: copy() },
            StoreError::BadMetaPages { path: copy(), reason: reason() },
            StoreError::BadFreeList { path: copy(), reason: reason() },
            StoreError::NotOpen { path: copy() },
            StoreError::SameProcessNumber { path: copy(), number: 1 },
            StoreError::DiskFull { path: copy() },
            StoreError::NoRoom { path: copy(), needed: 2, free: 1 },
            StoreError::NotOwner { path: copy(), source: source() },
            StoreError::OtherNames { path: copy() },
            StoreError::WouldBeLost { path: copy(), images: 1, keys: 1 },
            StoreError::Unopenable { source: Box::new(StoreError::Stuck { path: copy() }) },
            StoreError::BeingUsed { path: copy() },
            StoreError::FileLimit { path: copy() },
            StoreError::AddressSpace { path: copy() },
            StoreError::Truncated { path: copy(), found: 1, needed: 2 },
            StoreError::BadPages { path: copy(), source: heed() },
            StoreError::Io { path: copy(), source: source() },
            StoreError::Lmdb { path: copy(), source: heed() },
        ] {
            let words = error.at(Path::new("/backups/of-monday.pool")).to_string();
            if words.contains("partial") || !words.contains("of-monday") {
                wrong.push(words);
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

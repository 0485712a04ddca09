//! The trees of a gallery, and how callers open and visit them.

use super::error::StoreError;

/// What the caller is going to do with the gallery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The gallery must exist. It is opened for writing where that is possible, see
    /// `Store::writable`.
    Read,
    /// The gallery must exist and be writable.
    Write,
    /// The gallery is made when it is missing.
    Create,
}

/// Looks at one key and its value. An error ends the scan.
pub(super) type EntryVisitor<'v> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 'v;

/// A tree of a gallery; `migrations/` describes its keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    Meta,
    Images,
    Blobs,
    Sources,
    Origins,
    Keys,
}

impl Tree {
    pub(super) const ALL: [Self; 6] =
        [Self::Meta, Self::Images, Self::Blobs, Self::Sources, Self::Origins, Self::Keys];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Images => "images",
            Self::Blobs => "blobs",
            Self::Sources => "sources",
            Self::Origins => "origins",
            Self::Keys => "keys",
        }
    }
}

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
    ImageSources,
    Removed,
}

impl Tree {
    /// All trees, in the order of their numbers.
    pub(super) const ALL: [Self; 8] = [
        Self::Meta,
        Self::Images,
        Self::Blobs,
        Self::Sources,
        Self::Origins,
        Self::Keys,
        Self::ImageSources,
        Self::Removed,
    ];
    /// Number of trees that a draft of format 1 has, the first ones.
    pub(super) const IN_DRAFT: usize = 6;

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Images => "images",
            Self::Blobs => "blobs",
            Self::Sources => "sources",
            Self::Origins => "origins",
            Self::Keys => "keys",
            Self::ImageSources => "image_sources",
            Self::Removed => "removed",
        }
    }
}

//! Where a gallery is: `PATH` or `sled:DIR`. Nothing is opened here.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Names a gallery and the engine that keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locator {
    /// One LMDB data file.
    File(PathBuf),
    /// A sled directory.
    Sled(PathBuf),
}

/// Why a text names no gallery that this build could open.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLocator {
    #[error("it is empty; give a file, such as gallery.pool")]
    Empty,
    #[error("sled: needs a directory, such as sled:gallery.sled")]
    NoDirectory,
    #[error("object stores are not supported by this build; give a file, such as gallery.pool")]
    ObjectStore,
    #[error(
        "there is no engine {0:?}; \
         give PATH or sled:DIR (a file with a colon in its name: ./{0}:...)"
    )]
    UnknownEngine(String),
}

impl FromStr for Locator {
    type Err = BadLocator;

    fn from_str(text: &str) -> Result<Self, BadLocator> {
        match text.split_once(':') {
            _ if text.is_empty() => Err(BadLocator::Empty),
            Some(("sled", "")) => Err(BadLocator::NoDirectory),
            Some(("sled", dir)) => Ok(Self::Sled(dir.into())),
            Some(("s3", _)) => Err(BadLocator::ObjectStore),
            // This is `scheme:rest`, while `./a:b`, `/a:b` and `C:\b` are files.
            Some((scheme, _))
                if scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                Err(BadLocator::UnknownEngine(scheme.to_owned()))
            }
            _ => Ok(Self::File(text.into())),
        }
    }
}

impl Locator {
    /// Whether `path` is, under whatever name, one of the gallery's own files. To write there would
    /// destroy it.
    #[must_use]
    pub fn holds(&self, path: &Path) -> bool {
        match self {
            Self::File(gallery) => same_file(gallery, path) || same_file(&lock_path(gallery), path),
            Self::Sled(dir) => match (resolve(dir), resolve(path)) {
                (Some(dir), Some(path)) => path.starts_with(dir),
                _ => false,
            },
        }
    }
}

impl Locator {
    /// Whether two locators name one gallery, or one lies in the other's folder.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.holds(other.path()) || other.holds(self.path())
    }

    /// Whether there is anything at the gallery's place.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// The lock file beside the gallery, on an engine that has one.
    #[must_use]
    pub fn lock_file(&self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(lock_path(path)),
            Self::Sled(_) => None,
        }
    }

    /// The file or directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Sled(path) => path,
        }
    }
}

/// Resolves a path, whose last part need not exist.
fn resolve(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().or_else(|| {
        let path = std::path::absolute(path).ok()?;
        Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
    })
}

/// Where LMDB keeps the lock file of a gallery: beside the data file itself, whatever links lead
/// there.
pub(super) fn lock_path(gallery: &Path) -> PathBuf {
    let file = gallery.canonicalize().unwrap_or_else(|_| gallery.to_owned());
    let mut name = file.into_os_string();
    name.push("-lock");
    name.into()
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Sled(dir) => write!(f, "sled:{}", dir.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locator_says_which_engine_keeps_the_gallery() {
        for (text, expected) in [
            ("gallery.pool", Ok(Locator::File("gallery.pool".into()))),
            ("/data/gallery.pool", Ok(Locator::File("/data/gallery.pool".into()))),
            ("./odd:name", Ok(Locator::File("./odd:name".into()))),
            ("sled:dir", Ok(Locator::Sled("dir".into()))),
            ("sled:", Err(BadLocator::NoDirectory)),
            ("s3://bucket/prefix", Err(BadLocator::ObjectStore)),
            ("redis://host", Err(BadLocator::UnknownEngine("redis".into()))),
            ("", Err(BadLocator::Empty)),
        ] {
            assert_eq!(text.parse::<Locator>(), expected, "{text:?}");
        }
    }
}

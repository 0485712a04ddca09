//! What an import found in each file, for the next import of the same folders and for `--prune`.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use super::walk::FileStamp;
use crate::store::Origin;

/// Number of rounds in a row that may put off pruning.
const MAX_ROUNDS_PUT_OFF: u32 = 30;

/// The files that an import saw.
#[derive(Debug, Default)]
pub struct ScanState {
    /// By their absolute path.
    files: HashMap<PathBuf, ScannedFile>,
    /// Absolute paths of files and folders that are left out.
    excluded: HashSet<PathBuf>,
    /// Number of rounds in a row that put off pruning.
    rounds_put_off: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ScannedFile {
    /// The file's state when it was read; `None` if the next import must look at it again.
    pub(super) stamp: Option<FileStamp>,
    /// Hash of the picture that it holds, whose image is in the gallery; `None` if it was not read
    /// or not converted, or is no picture.
    pub(super) picture: Option<[u8; 32]>,
}

impl ScanState {
    /// Returns what is known of a file, if it is still as `stamp` says.
    pub(super) fn unchanged(&self, path: &Path, stamp: FileStamp) -> Option<ScannedFile> {
        self.files.get(path).filter(|scanned| scanned.stamp == Some(stamp)).copied()
    }

    pub(super) fn insert(
        &mut self,
        path: PathBuf,
        stamp: Option<FileStamp>,
        picture: Option<[u8; 32]>,
    ) {
        self.files.insert(path, ScannedFile { stamp, picture });
    }

    /// Notes that a file, or a folder with all that is in it, is left out.
    pub(super) fn exclude(&mut self, path: PathBuf) {
        self.excluded.insert(path);
    }

    /// Whether the path itself, or a folder above it, was left out.
    pub(super) fn is_excluded(&self, path: &Path) -> bool {
        path.ancestors().any(|path| self.excluded.contains(path))
    }

    /// Whether images of files that are gone are to be removed after this round, which follows
    /// `previous` and left `unsettled` files for the next.
    ///
    /// One of those may be such a file, copied to another place: its image would be removed with
    /// its tags, and made anew a second later.
    pub(super) fn may_prune(&mut self, previous: &Self, unsettled: u64) -> bool {
        self.rounds_put_off = if unsettled > 0 { previous.rounds_put_off + 1 } else { 0 };
        if self.rounds_put_off > MAX_ROUNDS_PUT_OFF {
            self.rounds_put_off = 0;
        }
        self.rounds_put_off == 0
    }

    /// Whether there is a single picture at `folder` or below it.
    pub(super) fn has_pictures_below(&self, folder: &Path) -> bool {
        let is_picture = |(path, scanned): (&PathBuf, &ScannedFile)| {
            scanned.picture.is_some() && path.starts_with(folder)
        };
        self.files.iter().any(is_picture)
    }

    /// Whether the picture of `origin` is gone from its path: another picture or nothing is there,
    /// or what is there is left out.
    ///
    /// What is no picture, or was not read, may be one that was damaged, or is being copied.
    pub(super) fn has_lost(&self, origin: &Origin) -> bool {
        if let Some(scanned) = self.files.get(&origin.path) {
            return scanned.picture.is_some_and(|hash| hash != origin.source_hash);
        }
        // The file may be below a folder that could not be read.
        let is_unknown =
            |folder: &Path| self.files.get(folder).is_some_and(|found| found.picture.is_none());
        !origin.path.ancestors().any(is_unknown)
            && (self.is_excluded(&origin.path) || is_gone(&origin.path))
    }
}

/// Whether nothing lies at a path. A folder that can't be looked into may hold it still, and so may
/// one that a link leads to where nothing is at present.
pub(super) fn is_gone(path: &Path) -> bool {
    let is_missing = |error: io::Error| {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    };
    let leads_nowhere = |folder: &Path| folder.is_symlink() && folder.metadata().is_err();
    path.symlink_metadata().is_err_and(is_missing) && !path.ancestors().any(leads_nowhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_never_settles_is_pruned_all_the_same() {
        let mut previous = ScanState::default();
        let pruned: Vec<bool> = (0..70)
            .map(|round| {
                let mut state = ScanState::default();
                let may_prune = state.may_prune(&previous, u64::from(round != 3));
                previous = state;
                may_prune
            })
            .collect();
        let rounds: Vec<_> = (0..70).filter(|round| pruned[*round]).collect();
        assert_eq!(rounds, [3, 34, 65]);
    }
}

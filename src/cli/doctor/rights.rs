//! Who may read and write the gallery and its folder.

use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{Access as Right, access};
use rustix::io::Errno;

use super::finding::Finding;
use super::subject::Subject;
use crate::store::Locator;

/// Rights of all but the owner.
const OF_OTHERS: u32 = 0o077;
/// The right of everybody to write.
const WRITE_BY_ALL: u32 = 0o002;
/// The bit of a folder in which everybody may remove only what is his own.
const STICKY: u32 = 0o1000;

pub(super) fn gallery(subject: &Subject) -> Option<Finding> {
    let is_sled = matches!(subject.locator, Locator::Sled(_));
    // A folder in the place of a file may be anybody's.
    let metadata = subject.metadata.as_ref().filter(|found| is_sled || found.is_file())?;
    let (path, mode) = (subject.path.display(), metadata.mode() & 0o777);
    let me = rustix::process::geteuid().as_raw();
    Some(if access(&subject.path, Right::READ_OK).is_err() {
        Finding::problem(format!(
            "{path} belongs to user {} and can't be read by this one ({me}); run it as that user",
            metadata.uid()
        ))
    } else if mode & OF_OTHERS != 0 {
        let right = if metadata.is_dir() { "700" } else { "600" };
        Finding::warning(format!(
            "others may read {path} ({mode:03o}), with the hashes of keys and the secrets that \
             sign links; `chmod {right}` it"
        ))
    } else if metadata.uid() != me {
        Finding::warning(format!(
            "{path} belongs to user {}, this is user {me}: files that this one makes can't be \
             used by that one; run commands as the user who serves",
            metadata.uid()
        ))
    } else {
        Finding::ok(format!("{path} is its owner's alone"))
    })
}

pub(super) fn folder(subject: &Subject) -> Option<Finding> {
    let metadata = std::fs::metadata(&subject.folder).ok()?;
    let path = subject.folder.display();
    Some(match access(&subject.folder, Right::WRITE_OK | Right::EXEC_OK) {
        Err(Errno::ROFS) => Finding::warning(format!(
            "{path} is read-only: a gallery can be served from there, but not changed"
        )),
        Err(error) => Finding::problem(format!(
            "{path} can't be written ({error}), so no gallery or lock file can be made there"
        )),
        Ok(()) if metadata.mode() & WRITE_BY_ALL != 0 && metadata.mode() & STICKY == 0 => {
            Finding::warning(format!(
                "everybody may write to {path}, and so replace the gallery; `chmod o-w` it"
            ))
        }
        Ok(()) => Finding::ok(format!("{path} can be written")),
    })
}

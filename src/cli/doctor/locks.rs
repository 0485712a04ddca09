//! The locks that keep processes from overwriting each other's images, and who holds them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{Access as Right, FlockOperation, access, flock};

use super::finding::Finding;
use super::subject::Subject;
use crate::cli::temporary;
use crate::store::{Locator, Store};

pub(super) fn work(subject: &Subject) -> Option<Finding> {
    let Locator::File(_) = subject.locator else { return None };
    let file = temporary::file_in(&subject.folder, 0o600).ok()?;
    let tried = File::options()
        .read(true)
        .write(true)
        .open(file.path())
        .and_then(|other| Store::locks_work(file.as_file(), &other));
    Some(match tried {
        Ok(true) => Finding::ok("locks of open files work here"),
        Ok(false) => Finding::problem(
            "locks have no effect here, so two processes would overwrite each other's images; put \
             the gallery on a local disk",
        ),
        Err(error) => Finding::problem(format!(
            "there are no locks of open files here ({error}), without which no gallery is opened; \
             put it on a local disk"
        )),
    })
}

pub(super) fn lock_file(subject: &Subject) -> Option<Finding> {
    subject.metadata.as_ref()?;
    let path = subject.locator.lock_file()?;
    let name = path.display();
    Some(match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match holders(subject) {
            Some(0) | None => Finding::ok("there is no lock file yet; the next command makes it"),
            Some(_) => Finding::problem(format!(
                "{name} was deleted while a process has the gallery open, so every other process \
                 is refused; restart that process"
            )),
        },
        Err(error) => Finding::problem(format!("{name}: {error}")),
        Ok(_) => match access(&path, Right::WRITE_OK) {
            Ok(()) => Finding::ok(format!("{name} can be written")),
            Err(error) => Finding::problem(format!(
                "{name} can't be written ({error}), so the gallery can't be changed; give it to \
                 the user who runs this"
            )),
        },
    })
}

pub(super) fn users(subject: &Subject) -> Option<Finding> {
    let processes = match &subject.locator {
        Locator::File(_) => holders(subject)?,
        Locator::Sled(dir) => {
            let file = File::open(dir.join("db")).ok()?;
            // sled holds this lock, and it ends here with the file.
            let is_free = flock(&file, FlockOperation::NonBlockingLockShared).is_ok();
            usize::from(!is_free)
        }
    };
    Some(match (processes, &subject.locator) {
        (0, _) => Finding::ok("no process has it open"),
        (1, Locator::Sled(_)) => {
            Finding::warning("a process has it open, and until that ends no other can open it")
        }
        (1, _) => Finding::ok("one process has it open"),
        (count, _) => Finding::ok(format!("{count} processes have it open")),
    })
}

/// Number of processes that have the data file open, from the system's list of locks (proc(5)).
/// `None` where there is no such list.
fn holders(subject: &Subject) -> Option<usize> {
    let inode = subject.metadata.as_ref()?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let is_ours = |line: &&str| {
        let words: Vec<_> = line.split_whitespace().collect();
        // The file is told by device and inode, and some file systems have two numbers of device.
        // No other program marks files at such an offset.
        let [_, "OFDLCK", _, _, _, file, start, ..] = words[..] else { return false };
        file.rsplit(':').next() == Some(&inode)
            && start.parse().is_ok_and(|start: i64| start >= Store::FIRST_MARK)
    };
    Some(locks.lines().filter(is_ours).count())
}

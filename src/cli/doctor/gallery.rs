//! Whether there is a gallery, and whether it can be opened.

use std::fs;

use indicatif::{DecimalBytes, HumanCount};

use super::finding::Finding;
use super::subject::Subject;
use crate::store::{Inspection, Locator};

/// Share of a gallery's space that is worth giving back: one in so many bytes.
const WORTH_COMPACTING: u64 = 4;

pub(super) fn is_there(subject: &Subject) -> Finding {
    let bytes = DecimalBytes(subject.bytes);
    match (&subject.metadata, subject.folder.is_dir()) {
        (Some(found), _) if found.is_dir() && matches!(subject.locator, Locator::File(_)) => {
            let path = subject.path.display();
            Finding::problem(format!(
                "{path} is a folder; give the path of a data file, or sled:{path}"
            ))
        }
        (Some(_), _) => Finding::ok(format!("{} takes {bytes}", subject.locator)),
        (None, _) if subject.locator.path().is_symlink() => Finding::problem(format!(
            "{} is a link that leads nowhere; is a disk not mounted? Otherwise delete it",
            subject.locator
        )),
        (None, true) => Finding::ok(format!(
            "there is no gallery at {} yet; `imagepool --gallery {} import DIR` makes one",
            subject.locator, subject.locator
        )),
        (None, false) => Finding::problem(format!(
            "the folder {} does not exist; make it first",
            subject.folder.display()
        )),
    }
}

pub(super) fn opens(subject: &Subject) -> Option<Finding> {
    subject.metadata.as_ref()?;
    Some(match &subject.locator {
        Locator::File(_) => match Inspection::of(&subject.path) {
            Err(error) => Finding::problem(error.to_string()),
            Ok(None) => Finding::ok(
                "its first pages are sound; it has no lock file yet, so it was not opened",
            ),
            Ok(Some(found)) => describe(subject, &found),
        },
        // sled writes when it opens a gallery, so it is not opened here.
        Locator::Sled(dir) => {
            let has_files = dir.join("db").is_file() && dir.join("conf").is_file();
            let is_empty = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
            match (has_files, is_empty) {
                (true, _) => Finding::ok("sled's files are there; `imagepool verify` reads them"),
                (false, true) => {
                    Finding::ok("the folder is empty; an import makes a gallery in it")
                }
                (false, false) => Finding::problem(format!(
                    "{} is a folder of other things; give a folder of its own",
                    dir.display()
                )),
            }
        }
    })
}

fn describe(subject: &Subject, found: &Inspection) -> Finding {
    let images = HumanCount(found.images);
    let unused = subject.bytes.saturating_sub(found.used_bytes);
    if found.is_draft {
        return Finding::warning(format!(
            "{images} images; it was made before format 1, and the next command that can write \
             brings it to that format; make a backup first (`imagepool backup FILE` of the \
             program that made it)"
        ));
    }
    if !found.writable {
        return Finding::warning(format!(
            "{images} images; it can be read but not changed: its file or file system is read-only"
        ));
    }
    if found.stale_readers > 0 {
        return Finding::warning(format!(
            "{images} images; {} readers had been killed and kept space from being used again; \
             they are gone now",
            found.stale_readers
        ));
    }
    if found.readers >= found.max_readers {
        return Finding::problem(format!(
            "{images} images; all {} places for readers are taken; end some of the processes that \
             have it open",
            found.max_readers
        ));
    }
    if unused > subject.bytes / WORTH_COMPACTING {
        return Finding::ok(format!(
            "{images} images; {} of it are free, which `imagepool compact` gives back",
            DecimalBytes(unused)
        ));
    }
    Finding::ok(format!("it opens, and has {images} images"))
}

/// What the engine can't do.
pub(super) fn engine(subject: &Subject) -> Finding {
    match &subject.locator {
        Locator::File(_) => Finding::ok(
            "one LMDB file: several processes at once, all on this machine; another machine must \
             not open it",
        ),
        #[cfg(feature = "sled")]
        Locator::Sled(_) => Finding::warning(
            "sled: one process at a time, so no command works while a server runs, a backup \
             neither; it keeps in memory what it has read, so the gallery must fit there; \
             `imagepool copy` brings it into a file",
        ),
        #[cfg(not(feature = "sled"))]
        Locator::Sled(_) => Finding::problem(
            "this imagepool was built without sled; build it with `--features sled`",
        ),
    }
}

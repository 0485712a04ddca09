//! `imagepool compact`: gives the space of removed images back to the disk.

use anyhow::Context as _;
use indicatif::DecimalBytes;

use super::check;
use super::global::{ExitReason, GlobalOptions};
use super::temporary::{self, Workshop};
use crate::store::{Access, Locator, StoreError};

/// Give the space of removed images back to the disk
///
/// Servers and imports go on meanwhile; what they write waits until it is done. The disk needs room
/// for the gallery a second time, and has the old one's space back once no process reads it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

impl Args {
    #[expect(clippy::unused_self, reason = "every command has the same method")]
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let Locator::File(path) = &globals.gallery else {
            anyhow::bail!(StoreError::NothingToCompact);
        };
        let store = globals.open_checked(&globals.gallery, Access::Write)?;
        let path = path.canonicalize().with_context(|| path.display().to_string())?;
        let folder = temporary::folder_of(&path);
        temporary::remove_leftovers(folder);
        let workshop = Workshop::new(folder)
            .with_context(|| format!("{}: can't be written", folder.display()))?;
        let copy = workshop.path().join("gallery.pool");
        let compacted = store.compact(&copy, || match check::find_damage(&copy, &path)? {
            None => Ok(()),
            Some(damage) => anyhow::bail!(
                "{}: the gallery is damaged: {damage}; `imagepool verify` lists all damage. \
                 It is as it was",
                globals.gallery
            ),
        })?;
        let now = DecimalBytes(compacted.after);
        if compacted.before == compacted.after {
            globals.say(format_args!("nothing to give back; the gallery takes {now}"));
        } else {
            let back = DecimalBytes(compacted.before - compacted.after);
            globals.say(format_args!("{back} given back; the gallery takes {now}"));
        }
        Ok(ExitReason::Done)
    }
}

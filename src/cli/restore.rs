//! `imagepool restore`: puts a backup in the gallery's place, once it is known to be whole.

use std::path::PathBuf;

use anyhow::Context as _;
use indicatif::DecimalBytes;

use super::check;
use super::global::{ExitReason, GlobalOptions, migration};
use super::temporary::{self, Workshop};
use crate::store::{Locator, Place};

/// Put a copy of a backup in the gallery's place; servers follow within a second
///
/// The copy is checked, as by `verify`, before it takes the place in one step. The backup is only
/// read.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file that `backup` wrote
    backup: PathBuf,

    /// Replace what is there, even a gallery that has images or keys, or a file that is none
    // A variable that is set for backups must not decide this.
    #[arg(long)]
    force: bool,
}

impl Args {
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let backup = self.backup.display();
        let Locator::File(path) = &globals.gallery else {
            anyhow::bail!(
                "{}: a backup is no sled gallery; \
                 `imagepool copy {backup} {}` copies what is in it",
                globals.gallery,
                globals.gallery
            );
        };
        anyhow::ensure!(
            !globals.gallery.holds(&self.backup),
            "{backup} is the gallery itself; give a backup of it"
        );
        anyhow::ensure!(self.backup.exists(), "{backup}: there is no such file");
        let place = Place::look_at(path, self.force)?;
        temporary::remove_leftovers(place.folder());
        let workshop = Workshop::new(place.folder())
            .with_context(|| format!("{}: can't be written", place.folder().display()))?;
        let copy = workshop.path().join("gallery.pool");
        let bytes = place.copy_here(&self.backup, &copy)?;
        let checked = check::check(&copy, &self.backup).context("nothing was restored")?;
        if let Some(damage) = checked.damage {
            anyhow::bail!(
                "{backup}: the backup is damaged, and nothing was restored: {damage}; \
                 `imagepool --gallery {backup} verify` lists all damage"
            );
        }
        place.fill(&copy)?;
        if checked.was_migrated {
            globals.say(migration(&globals.gallery));
        }
        globals.say(format_args!(
            "{} restored from {backup}; servers show it within a second",
            DecimalBytes(bytes)
        ));
        Ok(ExitReason::Done)
    }
}

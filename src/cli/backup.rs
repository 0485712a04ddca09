//! `imagepool backup`: copies the gallery, consistently, into one file while the server runs and
//! imports.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use indicatif::DecimalBytes;

use super::global::{ExitReason, GlobalOptions};
use super::temporary::{self, Workshop};
use super::{check, output};
use crate::store::{Access, Locator, Store, begins_as_gallery, sync_while};

/// Rights on a copy, which holds the hashes of the keys: only its owner may read it.
const COPY_MODE: u32 = 0o600;

/// Write a consistent copy of the gallery to one file, which `serve` opens as it is
///
/// The copy is checked, as by `verify`, before it gets its name. A damaged one is thrown away, and
/// the file that was there before stays. What goes to stdout can't be checked.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file, or - for stdout
    file: PathBuf,

    /// Replace the file if it exists
    #[arg(long, env = "IMAGEPOOL_FORCE", value_parser = FalseyValueParser::new())]
    force: bool,

    /// Don't check the copy
    #[arg(long, env = "IMAGEPOOL_NO_VERIFY", value_parser = FalseyValueParser::new())]
    no_verify: bool,
}

impl Args {
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let store = if self.no_verify {
            globals.open(Access::Read)?
        } else {
            globals.open_checked(&globals.gallery, Access::Read)?
        };
        if self.file.as_os_str() == "-" {
            return print(&store);
        }
        anyhow::ensure!(
            !globals.gallery.holds(&self.file),
            "{} is the gallery itself; give another file",
            self.file.display()
        );
        anyhow::ensure!(
            self.force || fs::symlink_metadata(&self.file).is_err(),
            "{} exists; --force replaces it",
            self.file.display()
        );
        self.expect_backup()?;
        let bytes = self
            .write(&store)
            .with_context(|| format!("{}: can't be written", self.file.display()))?;
        globals.say(format_args!("{} written to {}", DecimalBytes(bytes), self.file.display()));
        Ok(ExitReason::Done)
    }

    /// Refuses to replace what is no backup: a device would become a file, a link a file in the
    /// wrong place, and a mistyped name would cost a picture.
    fn expect_backup(&self) -> anyhow::Result<()> {
        let path = self.file.display();
        let Ok(found) = fs::symlink_metadata(&self.file) else { return Ok(()) };
        anyhow::ensure!(
            found.is_file(),
            "{path} is no regular file and is not replaced; give the path of a file"
        );
        let is_backup = found.len() == 0
            || begins_as_gallery(&self.file).with_context(|| format!("{path}: can't be read"))?;
        anyhow::ensure!(is_backup, "{path} is no gallery and is not replaced; give another file");
        Ok(())
    }

    /// Writes the copy beside its place, makes it durable and then gives it its name. Returns its
    /// length in bytes.
    fn write(&self, store: &Store) -> anyhow::Result<u64> {
        let folder = temporary::folder_of(&self.file);
        temporary::remove_leftovers(folder);
        let workshop = Workshop::new(folder)?;
        let copy = workshop.path().join("copy.pool");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(COPY_MODE).open(&copy)?;
        store.backup(&mut file, &workshop.path().join("scratch"))?;
        let bytes = file.metadata()?.len();
        let is_checked = !self.no_verify;
        let damage = sync_while(&file, || {
            if is_checked { check::find_damage(&copy, &self.file) } else { Ok(None) }
        })??;
        drop(file);
        if let Some(damage) = damage {
            anyhow::bail!(
                "the gallery is damaged: {damage}; `imagepool verify` lists all damage. \
                 No backup was made of it, and one that was there stays; --no-verify makes one"
            );
        }
        temporary::give_name(&copy, &self.file, self.force)?;
        Ok(bytes)
    }
}

/// Writes the copy to stdout.
fn print(store: &Store) -> anyhow::Result<ExitReason> {
    anyhow::ensure!(
        !io::stdout().is_terminal(),
        "stdout is a terminal; redirect it to a file or a pipe"
    );
    let mut stdout = output::stdout()?;
    anyhow::ensure!(
        !output::was_closed(&stdout)?,
        "stdout can't be written: it is closed; redirect it to a file or a pipe"
    );
    let metadata = stdout.metadata()?;
    // A shell makes the file of a `>` with the rights that it gives to any file.
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if metadata.is_file() && metadata.len() == 0 && is_ours {
        stdout.set_permissions(Permissions::from_mode(COPY_MODE))?;
    }
    // A reader that went away has no backup, so that is an error here.
    copy_to_stdout(store, &mut stdout)?;
    Ok(ExitReason::Done)
}

/// Copies the gallery to stdout. A copy out of sled goes by way of a folder for temporary files.
fn copy_to_stdout(store: &Store, stdout: &mut File) -> anyhow::Result<()> {
    let parent = std::env::temp_dir();
    let scratch = match store.locator() {
        Locator::File(_) => None,
        Locator::Sled(_) => {
            temporary::remove_leftovers(&parent);
            Some(Workshop::new(&parent)?)
        }
    };
    let folder = scratch.as_ref().map_or(Path::new(""), Workshop::path);
    Ok(store.backup(stdout, &folder.join("scratch"))?)
}

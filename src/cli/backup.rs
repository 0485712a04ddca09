//! `imagepool backup`: copies the gallery, consistently, into one file while the server runs and
//! imports.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use indicatif::DecimalBytes;

use super::global::{ExitReason, GlobalOptions};
use super::output;
use crate::store::{Access, Store, StoreError};

/// Write a consistent copy of the gallery to one file, which `serve` opens as it is
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file, or - for stdout
    file: PathBuf,

    /// Replace the file if it exists
    #[arg(long, env = "IMAGEPOOL_FORCE", value_parser = FalseyValueParser::new())]
    force: bool,
}

impl Args {
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let store = globals.open(Access::Read)?;
        if self.file.as_os_str() == "-" {
            anyhow::ensure!(
                !io::stdout().is_terminal(),
                "stdout is a terminal; redirect it to a file or a pipe"
            );
            let scratch =
                std::env::temp_dir().join(format!("imagepool-backup-{}", std::process::id()));
            return match store.backup(&mut output::stdout()?, &scratch) {
                // The reader went away, and its own exit code says why.
                Err(StoreError::Copy { source }) if source.kind() == io::ErrorKind::BrokenPipe => {
                    Ok(ExitReason::Done)
                }
                copied => Ok(copied.map(|()| ExitReason::Done)?),
            };
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
        let partial = beside(&self.file, "partial");
        let bytes = write(&store, &partial, &self.file).inspect_err(|_| {
            // The partial file may not even exist. The first error is the one to report.
            let _ = fs::remove_file(&partial);
        })?;
        globals.say(format_args!("{} written to {}", DecimalBytes(bytes), self.file.display()));
        Ok(ExitReason::Done)
    }
}

/// Writes the copy beside its place, makes it durable and then gives it its name. Returns its
/// length in bytes.
fn write(store: &Store, partial: &Path, target: &Path) -> anyhow::Result<u64> {
    let failed = || format!("{}: can't be written", target.display());
    // Only its owner may read it, because it holds the hashes of the keys.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(partial)
        .with_context(failed)?;
    store.backup(&mut file, &beside(target, "scratch")).with_context(failed)?;
    file.sync_all().with_context(failed)?;
    let bytes = file.metadata().with_context(failed)?.len();
    fs::rename(partial, target).with_context(failed)?;
    let folder =
        target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(failed)?;
    Ok(bytes)
}

/// Returns the path of a hidden file beside `target` that only this process uses.
fn beside(target: &Path, what: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{what}-{}", std::process::id()))
}

//! `imagepool export`: writes images back to files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::FalseyValueParser;

use super::global::{ExitReason, GlobalOptions, UsageError};
use super::show::no_such_image;
use super::{output, temporary};
use crate::image::ImageId;
use crate::store::Reader;

/// Rights on an exported image, of which the umask takes its part, as on any new file.
const IMAGE_MODE: u32 = 0o666;

/// What is said of an image that can't be exported.
const DAMAGED: &str = "not exported: its bytes are missing or damaged";

/// Write images to a folder, as ID.webp
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The images' ids, then the folder, which is made when it is missing
    #[arg(required = true, value_name = "ID... DIR")]
    targets: Vec<PathBuf>,

    /// Every image: give only the folder
    #[arg(long, env = "IMAGEPOOL_ALL", value_parser = FalseyValueParser::new())]
    all: bool,
}

impl Args {
    pub(super) fn run(mut self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let dir = self.targets.pop().context("give a folder")?;
        let parse = |id: &PathBuf| {
            let id = id.to_string_lossy();
            id.parse().map_err(|error| UsageError(format!("{id:?}: {error}")))
        };
        let ids: Vec<ImageId> = self.targets.iter().map(parse).collect::<Result<_, _>>()?;
        if ids.is_empty() != self.all {
            let advice = "give the ids of images and then a folder, or --all and a folder; \
                          `imagepool list` shows the ids";
            anyhow::bail!(UsageError(advice.into()));
        }
        let make_dir = || -> anyhow::Result<()> {
            fs::create_dir_all(&dir)
                .with_context(|| format!("{}: can't be made", dir.display()))?;
            temporary::remove_leftovers(&dir);
            Ok(())
        };
        let mut reader = globals.open_reader()?;
        make_dir()?;
        let ids = (!self.all).then(|| ids.into_iter().collect());
        let (exported, reason) = export(&mut reader, ids.as_ref(), &dir, globals)?;
        let failed = || format!("{}: can't be written", dir.display());
        // One call for all files: a sync of each would take longer than to write them.
        File::open(&dir).and_then(|dir| Ok(rustix::fs::syncfs(dir)?)).with_context(failed)?;
        globals.say(format_args!("{exported} exported to {}", dir.display()));
        Ok(reason)
    }
}

/// Writes the images of these ids, or every image, as far as they can be read. Returns how many
/// there were, and how the command ends.
fn export(
    reader: &mut Reader,
    ids: Option<&BTreeSet<ImageId>>,
    dir: &Path,
    globals: &GlobalOptions,
) -> anyhow::Result<(u64, ExitReason)> {
    let mut missing = ids.cloned().unwrap_or_default();
    if ids.is_none() {
        reader.images(|id, _| {
            missing.insert(id);
        });
    }
    let mut exported = 0;
    reader.bytes(ids, |id, webp| {
        // Bytes without a record are no image's; `imagepool salvage` makes a record.
        if missing.remove(&id) {
            exported += 1;
            write_image(dir, id, webp)
        } else {
            Ok(())
        }
    })?;
    let mut reason = globals.tell_damage(reader);
    for id in missing {
        if ids.is_some() && reader.problems().is_empty() {
            output::complain(no_such_image(id));
        } else {
            output::complain(format_args!("{id}: {DAMAGED}"));
        }
        reason = ExitReason::Failed;
    }
    Ok((exported, reason))
}

/// Writes one image. The file is renamed into place, so that no half file ever bears its name.
fn write_image(dir: &Path, id: ImageId, webp: &[u8]) -> anyhow::Result<()> {
    let target = dir.join(format!("{id}.webp"));
    let write = || -> io::Result<()> {
        let mut partial = temporary::file_in(dir, IMAGE_MODE)?;
        partial.write_all(webp)?;
        partial.persist(&target).map_err(|failed| failed.error)?;
        Ok(())
    };
    write().map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => anyhow::anyhow!(
            "{}: this process may not write so long a file; raise the limit of file sizes \
             (`ulimit -f`, LimitFSIZE=) and run it again",
            target.display()
        ),
        _ => anyhow::Error::new(error).context(format!("{}: can't be written", target.display())),
    })
}

//! `imagepool export`: writes images back to files.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::FalseyValueParser;

use super::global::{ExitReason, GlobalOptions, UsageError};
use super::show::no_such_image;
use super::{output, temporary};
use crate::image::ImageId;
use crate::store::{Access, Store};

/// Rights on an exported image, of which the umask takes its part, as on any new file.
const IMAGE_MODE: u32 = 0o666;

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
        let store = globals.open(Access::Read)?;
        fs::create_dir_all(&dir).with_context(|| format!("{}: can't be made", dir.display()))?;
        let ids = if self.all { store.ids()?.1 } else { ids };
        temporary::remove_leftovers(&dir);
        let mut reason = ExitReason::Done;
        let mut exported = 0_u64;
        for id in ids {
            if export(&store, id, &dir)? {
                exported += 1;
            } else {
                output::complain(no_such_image(id));
                reason = ExitReason::Failed;
            }
        }
        let failed = || format!("{}: can't be written", dir.display());
        // One call for all files: a sync of each would take longer than to write them.
        File::open(&dir).and_then(|dir| Ok(rustix::fs::syncfs(dir)?)).with_context(failed)?;
        globals.say(format_args!("{exported} exported to {}", dir.display()));
        Ok(reason)
    }
}

/// Writes one image and returns whether it exists. The file is renamed into place, so that no half
/// file ever bears its name.
fn export(store: &Store, id: ImageId, dir: &Path) -> anyhow::Result<bool> {
    let Some(webp) = store.blob(id, 0, <[u8]>::to_vec)? else { return Ok(false) };
    let target = dir.join(format!("{id}.webp"));
    let write = || -> io::Result<()> {
        let mut partial = temporary::file_in(dir, IMAGE_MODE)?;
        partial.write_all(&webp)?;
        partial.persist(&target).map_err(|failed| failed.error)?;
        Ok(())
    };
    write().with_context(|| format!("{}: can't be written", target.display()))?;
    Ok(true)
}

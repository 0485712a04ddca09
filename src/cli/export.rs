//! `imagepool export`: images back to files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::FalseyValueParser;

use super::show::no_such_image;
use super::{Context, End};
use crate::image::ImageId;
use crate::store::{Access, Store};

/// Write images to a folder, as ID.webp
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The images' ids
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Vec<ImageId>,

    /// The folder; it is made when it is missing
    #[arg(required = true)]
    dir: PathBuf,

    /// Every image
    #[arg(long, env = "IMAGEPOOL_ALL", value_parser = FalseyValueParser::new())]
    all: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<End> {
        let store = context.open(Access::Read)?;
        fs::create_dir_all(&self.dir).with_context(|| format!("{}: can't be made", self.dir.display()))?;
        let ids = if self.all { store.ids()? } else { self.id };
        let mut end = End::Done;
        let mut exported = 0_u64;
        for id in ids {
            if export(&store, id, &self.dir)? {
                exported += 1;
            } else {
                eprintln!("error: {}", no_such_image(id));
                end = End::SomeFailed;
            }
        }
        context.say(format_args!("{exported} exported to {}", self.dir.display()));
        Ok(end)
    }
}

/// Writes one image, beside its place and then renamed, so that no half file bears its name; whether it exists.
fn export(store: &Store, id: ImageId, dir: &Path) -> anyhow::Result<bool> {
    let Some(webp) = store.blob(id, 0, <[u8]>::to_vec)? else { return Ok(false) };
    let target = dir.join(format!("{id}.webp"));
    let partial = dir.join(format!(".{id}.webp.partial"));
    let written = fs::write(&partial, webp).and_then(|()| fs::rename(&partial, &target));
    written.or_else(|error: io::Error| {
        // The partial file may not even exist; the first error is the one to tell.
        let _ = fs::remove_file(&partial);
        Err(error).with_context(|| format!("{}: can't be written", target.display()))
    })?;
    Ok(true)
}

//! `imagepool remove`: take images out of the gallery.

use super::show::no_such_image;
use super::{Context, End};
use crate::image::ImageId;
use crate::store::Access;

/// Remove images; importing their sources again brings them back
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The images' ids
    #[arg(required = true)]
    id: Vec<ImageId>,
}

impl Args {
    pub(super) fn run(mut self, context: &Context) -> anyhow::Result<End> {
        self.id.sort_unstable();
        self.id.dedup();
        let removed = context.open(Access::Write)?.remove(&self.id)?;
        let missing: Vec<_> = self.id.iter().filter(|id| !removed.contains(id)).collect();
        for id in &missing {
            eprintln!("error: {}", no_such_image(**id));
        }
        context.say(format_args!("{} removed", removed.len()));
        Ok(if missing.is_empty() { End::Done } else { End::SomeFailed })
    }
}

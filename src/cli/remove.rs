//! `imagepool remove`: takes images out of the gallery.

use super::global::{ExitReason, GlobalOptions};
use super::output;
use super::show::no_such_image;
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
    pub(super) fn run(mut self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        self.id.sort_unstable();
        self.id.dedup();
        let removed = globals.open(Access::Write)?.remove(&self.id)?;
        let missing: Vec<_> = self.id.iter().filter(|id| !removed.contains(id)).collect();
        for id in &missing {
            output::complain(no_such_image(**id));
        }
        globals.say(format_args!("{} removed", removed.len()));
        Ok(if missing.is_empty() { ExitReason::Done } else { ExitReason::Failed })
    }
}

//! `imagepool man`: manual pages in roff.

use clap::Command;
use clap_mangen::Man;

use super::global::{ExitReason, UsageError};
use super::output;

/// Print a manual page, as in `imagepool man | man -l -`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The command to describe, such as `import` [default: the whole program]
    command: Option<String>,
}

impl Args {
    pub(super) fn run(self, mut program: Command) -> anyhow::Result<ExitReason> {
        program.build();
        let page = match &self.command {
            None => &program,
            Some(name) => program
                .find_subcommand(name)
                .ok_or_else(|| UsageError(format!("there is no command {name:?}")))?,
        };
        let title = page.get_bin_name().unwrap_or("imagepool").replace(' ', "-");
        output::print(|mut stdout| Man::new(page.clone()).title(title).render(&mut stdout))?;
        Ok(ExitReason::Done)
    }
}

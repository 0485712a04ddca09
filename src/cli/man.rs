//! `imagepool man`: manual pages in roff.

use std::io;

use clap::CommandFactory as _;
use clap_mangen::Man;

use super::{Cli, End, Usage};

/// Print a manual page, as in `imagepool man | man -l -`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The command to describe, such as `import` [default: the whole program]
    command: Option<String>,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<End> {
        let mut program = Cli::command();
        program.build();
        let page = match &self.command {
            None => &program,
            Some(name) => program
                .find_subcommand(name)
                .ok_or_else(|| Usage(format!("there is no command {name:?}")))?,
        };
        let title = page.get_bin_name().unwrap_or("imagepool").replace(' ', "-");
        Man::new(page.clone()).title(title).render(&mut io::stdout())?;
        Ok(End::Done)
    }
}

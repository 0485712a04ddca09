//! `imagepool completions`: for shells.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, End};

/// Print completions for a shell
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    shell: Shell,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<End> {
        // `generate` panics on a closed pipe, so it writes to memory.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "imagepool", &mut script);
        io::stdout().write_all(&script)?;
        Ok(End::Done)
    }
}

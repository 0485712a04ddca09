//! `imagepool completions`: completions for shells.

use clap::Command;
use clap_complete::Shell;

use super::global::ExitReason;
use super::output;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    shell: Shell,
}

impl Args {
    pub(super) fn run(self, mut program: Command) -> anyhow::Result<ExitReason> {
        // `generate` panics when it can't write, so it writes to memory.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "imagepool", &mut script);
        output::print(|stdout| stdout.write_all(&script))?;
        Ok(ExitReason::Done)
    }
}

//! The program: parses, runs one command, and maps how it ended to an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use imagepool::cli::{Cli, hide_caught_panics, print_clap_message, report_error};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hide_caught_panics();
    let ended = match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(message) => print_clap_message(&message),
    };
    ended.unwrap_or_else(|error| report_error(&error)).into()
}

//! The program: parse, set up logging, run one command, map its end to an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use imagepool::cli::{Cli, exit_code, explain, is_broken_pipe, print_no_caught_panics};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    print_no_caught_panics();
    match cli.run() {
        Ok(end) => end.into(),
        // Whoever read our output has seen enough, as in `imagepool list | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", explain(&error));
            exit_code(&error)
        }
    }
}

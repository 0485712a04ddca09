//! The command line: global flags, then one file a command with its arguments and its `run`.
//!
//! This is the only place that reads flags and environment, and the only one that prints. What the
//! commands do is in the modules below: `import`, `http`, `store`.
//!
//! In reading order:
//! - for all commands: `global` (the flags, how a command ends), `output` (printing), `temporary`
//!   (files that get their name when they are whole), `check` (whether such a file is whole),
//!   `threads`, `panics`;
//! - the log: `logging`, `log_format`, `log_writer`;
//! - filling the gallery: `import`, `import_flags`, `left_out`;
//! - the server: `serve` with `limit_flags`, `policy_flags` and `background_import`, `signals`,
//!   `health`;
//! - keys: `key`, `new_key`;
//! - looking after images: `list`, `filter`, `show`, `export`, `remove`, `restore_image`,
//!   `tag`;
//! - looking after the gallery: `backup`, `restore`, `compact`, `copy`, `verify`, `salvage`,
//!   `stats`, `doctor` (a folder of checks);
//! - about the program: `completions`, `man`.

mod background_import;
mod backup;
mod check;
mod compact;
mod completions;
mod copy;
mod doctor;
mod export;
mod filter;
mod global;
mod health;
mod import;
mod import_flags;
mod key;
mod left_out;
mod limit_flags;
mod list;
mod log_format;
mod log_writer;
mod logging;
mod man;
mod new_key;
mod output;
mod panics;
mod policy_flags;
mod remove;
mod restore;
mod restore_image;
mod salvage;
mod serve;
mod show;
mod signals;
mod stats;
mod tag;
mod temporary;
mod threads;
mod verify;

use std::borrow::Cow;

use clap::builder::FalseyValueParser;
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::keys;
use crate::store::Locator;
use global::{GlobalOptions, UsageError};
use logging::LogFormat;

pub use global::{ExitReason, report_error};
pub use panics::hide_caught_panics;

/// A folder of pictures, served at random: one binary, one data file.
#[derive(Debug, Parser)]
#[command(name = "imagepool", version, max_term_width = 110)]
pub struct Cli {
    /// The gallery: PATH of a data file, or sled:DIR
    #[arg(
        long,
        global = true,
        env = "IMAGEPOOL_GALLERY",
        value_name = "LOCATOR",
        default_value = "gallery.pool"
    )]
    gallery: Locator,

    /// How log lines look
    #[arg(
        long,
        global = true,
        env = "IMAGEPOOL_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "pretty"
    )]
    log_format: LogFormat,

    /// Say more
    #[arg(
        short,
        long,
        global = true,
        env = "IMAGEPOOL_VERBOSE",
        value_parser = FalseyValueParser::new()
    )]
    verbose: bool,

    /// Say nothing but errors
    #[arg(
        short,
        long,
        global = true,
        env = "IMAGEPOOL_QUIET",
        value_parser = FalseyValueParser::new()
    )]
    quiet: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Import(import::Args),
    Serve(Box<serve::Args>),
    Key(key::Args),
    List(list::Args),
    Show(show::Args),
    Export(export::Args),
    Remove(remove::Args),
    RestoreImage(Box<restore_image::Args>),
    Tag(tag::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Compact(compact::Args),
    Copy(copy::Args),
    Verify(verify::Args),
    Salvage(salvage::Args),
    Stats(stats::Args),
    Doctor(doctor::Args),
    Health(health::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// What stopped the command; [`report_error`] puts it into words.
    pub fn run(self) -> anyhow::Result<ExitReason> {
        signals::ignore_file_limit();
        // clap would take a variable that says no for the flag.
        if self.quiet && self.verbose {
            let advice = "the argument '--quiet' cannot be used with '--verbose'";
            anyhow::bail!(UsageError(advice.into()));
        }
        let level = match (self.quiet, self.verbose) {
            (true, _) => tracing::Level::ERROR,
            (false, true) => tracing::Level::DEBUG,
            (false, false) => tracing::Level::INFO,
        };
        let log_file = match &self.command {
            Command::Serve(args) => args.log_file.as_deref(),
            _ => None,
        };
        if let Some(file) = log_file.filter(|file| self.gallery.holds(file)) {
            anyhow::bail!(UsageError(format!(
                "{} is the gallery itself; give another --log-file",
                file.display()
            )));
        }
        let _log = logging::start(self.log_format, level, log_file)?;
        let Self { gallery, quiet, verbose, .. } = self;
        let globals = GlobalOptions { gallery, quiet, verbose };
        match self.command {
            Command::Import(args) => args.run(&globals),
            Command::Serve(args) => args.run(&globals),
            Command::Key(args) => args.run(&globals),
            Command::List(args) => args.run(&globals),
            Command::Show(args) => args.run(&globals),
            Command::Export(args) => args.run(&globals),
            Command::Remove(args) => args.run(&globals),
            Command::RestoreImage(args) => args.run(&globals),
            Command::Tag(args) => args.run(&globals),
            Command::Backup(args) => args.run(&globals),
            Command::Restore(args) => args.run(&globals),
            Command::Compact(args) => args.run(&globals),
            Command::Copy(args) => args.run(&globals),
            Command::Verify(args) => args.run(&globals),
            Command::Salvage(args) => args.run(&globals),
            Command::Stats(args) => args.run(&globals),
            Command::Doctor(args) => args.run(&globals),
            Command::Health(args) => args.run(&globals),
            Command::Completions(args) => args.run(Self::command()),
            Command::Man(args) => args.run(Self::command()),
        }
    }
}

/// Prints what clap has to say when it finds no command to run: help, the version, or wrong usage,
/// which may quote a key.
///
/// # Errors
/// When help was asked for and stdout can't be written.
pub fn print_clap_message(message: &clap::Error) -> anyhow::Result<ExitReason> {
    if message.use_stderr() {
        match keys::redact(message.to_string().trim_end()) {
            Cow::Borrowed(_) => drop(message.print()),
            Cow::Owned(redacted) => redacted.lines().for_each(output::say),
        }
        return Ok(ExitReason::WrongUsage);
    }
    output::print_help(message)?;
    Ok(ExitReason::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_variable_of_its_name() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments().filter(|argument| argument.get_long().is_some())
            {
                let flag = argument.get_long().unwrap_or_default();
                if matches!(flag, "help" | "version") || argument.is_hide_set() {
                    continue;
                }
                // What is destroyed is said on the command line alone.
                let destroys = matches!(command.get_name(), "remove" | "restore");
                if destroys && !argument.is_global_set() {
                    assert_eq!(argument.get_env(), None, "{} --{flag}", command.get_name());
                    continue;
                }
                let expected = format!("IMAGEPOOL_{}", flag.to_uppercase().replace('-', "_"));
                let found = argument.get_env().map(|name| name.to_string_lossy().into_owned());
                assert_eq!(
                    found.as_deref(),
                    Some(expected.as_str()),
                    "{} --{flag}",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(check);
        }
        let mut command = Cli::command();
        command.build();
        check(&command);
    }
}

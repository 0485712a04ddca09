//! The command line: global flags here, then one file a command, each with its arguments and its `run`.
//!
//! This is the only place that reads flags and environment. Output for machines goes to stdout, words to stderr.

mod backup;
mod completions;
mod export;
mod filter;
mod health;
mod import;
mod import_flags;
mod key;
mod limit_flags;
mod list;
mod log_format;
mod log_writer;
mod logging;
mod man;
mod policy_flags;
mod remove;
mod serve;
mod show;
mod signals;
mod stats;
mod tag;
mod verify;

use std::io;
use std::process::ExitCode;

use clap::builder::FalseyValueParser;
use clap::{Parser, Subcommand, ValueEnum};

use crate::codec;
use crate::store::{Access, Locator, Store};

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
    #[arg(short, long, global = true, env = "IMAGEPOOL_VERBOSE", value_parser = FalseyValueParser::new())]
    verbose: bool,

    /// Say nothing but errors
    #[arg(
        short,
        long,
        global = true,
        env = "IMAGEPOOL_QUIET",
        value_parser = FalseyValueParser::new(),
        conflicts_with = "verbose"
    )]
    quiet: bool,

    #[command(subcommand)]
    command: Command,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Pretty,
    /// One JSON object a line
    Json,
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
    Tag(tag::Args),
    Backup(backup::Args),
    Verify(verify::Args),
    Stats(stats::Args),
    Health(health::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// The command was given something that it can't take; what clap finds by itself never comes this far.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// The exit code for an error: 2 for wrong usage, 1 for anything else.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// How a command ended, if not by an error that stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Done,
    /// Everything that could be done was; stderr says what could not.
    SomeFailed,
    /// By Ctrl-C.
    Interrupted,
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        match end {
            End::Done => Self::SUCCESS,
            End::SomeFailed => Self::FAILURE,
            End::Interrupted => Self::from(130),
        }
    }
}

/// What the global flags say to every command.
struct Context {
    gallery: Locator,
    quiet: bool,
    verbose: bool,
}

impl Context {
    fn open(&self, access: Access) -> anyhow::Result<Store> {
        Ok(Store::open(&self.gallery, access)?)
    }

    /// Words for people, on stderr.
    fn say(&self, words: impl std::fmt::Display) {
        if !self.quiet {
            eprintln!("{words}");
        }
    }
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// What stopped it; [`explain`] puts it into words.
    pub fn run(self) -> anyhow::Result<End> {
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
            anyhow::bail!(Usage(format!(
                "{} is the gallery itself; give another --log-file",
                file.display()
            )));
        }
        let _log = logging::start(self.log_format, level, log_file)?;
        let context = Context { gallery: self.gallery, quiet: self.quiet, verbose: self.verbose };
        match self.command {
            Command::Import(args) => args.run(&context),
            Command::Serve(args) => args.run(&context),
            Command::Key(args) => args.run(&context),
            Command::List(args) => args.run(&context),
            Command::Show(args) => args.run(&context),
            Command::Export(args) => args.run(&context),
            Command::Remove(args) => args.run(&context),
            Command::Tag(args) => args.run(&context),
            Command::Backup(args) => args.run(&context),
            Command::Verify(args) => args.run(&context),
            Command::Stats(args) => args.run(&context),
            Command::Health(args) => args.run(&context),
            Command::Completions(args) => args.run(),
            Command::Man(args) => args.run(),
        }
    }
}

/// An error and its causes in one line; a cause whose words are in it already is left out.
#[must_use]
pub fn explain(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !words.contains(&cause) {
            if !words.is_empty() {
                words.push_str(": ");
            }
            words.push_str(&cause);
        }
    }
    words
}

/// A decoder's panic is said in the report of its file, and there only.
pub fn print_no_caught_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !codec::catches_panics() {
            print(panic);
        }
    }));
}

/// Whether the reader of our stdout went away.
#[must_use]
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

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

    #[test]
    fn a_cause_is_told_once() {
        let error =
            anyhow::anyhow!("disk gone").context("gallery.pool: disk gone").context("can't serve");
        assert_eq!(explain(&error), "can't serve: gallery.pool: disk gone");
    }
}

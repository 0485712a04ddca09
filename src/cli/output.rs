//! The only place that prints: words for people on stderr, results on stdout.
//!
//! Words never decide what a command does, so a stderr that can't be written is left alone. A
//! result is what the command was run for, so a stdout that can't be written is an error, unless
//! its reader has seen enough, as in `imagepool list | head`. The log is written by `log_writer`.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{OFlags, fcntl_getfl};

/// Stdout could not be written.
#[derive(Debug, thiserror::Error)]
#[error("stdout can't be written: {0}")]
pub(super) struct StdoutError(#[from] io::Error);

/// Prints a line on stderr, in one piece, if that can be done. It may name a file.
pub(super) fn say(words: impl Display) {
    let line = printable(&words.to_string()) + "\n";
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Returns a file name, or words with one, without the control characters that could forge a line
/// or drive a terminal.
pub(super) fn printable(name: &str) -> String {
    name.replace(char::is_control, "\u{FFFD}")
}

/// Prints a line on stderr that says what failed.
pub(super) fn complain(words: impl Display) {
    say(format_args!("error: {words}"));
}

/// Prints on stdout what `write` writes. A reader that went away is no error.
pub(super) fn print(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), StdoutError> {
    let mut stdout = BufWriter::new(stdout()?);
    forgive_absence(write(&mut stdout).and_then(|()| stdout.flush()))
}

/// Prints on stdout the help that clap was asked for, as [`print()`] does. clap knows the colours.
pub(super) fn print_help(help: &clap::Error) -> Result<(), StdoutError> {
    forgive_absence(help.print().and_then(|()| io::stdout().flush()))
}

fn forgive_absence(written: io::Result<()>) -> Result<(), StdoutError> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Prints a line on stdout, as [`print()`] does.
pub(super) fn print_line(line: impl Display) -> Result<(), StdoutError> {
    print(|stdout| writeln!(stdout, "{line}"))
}

/// Prints on stdout what can't be printed again. It is an error if nobody can read it, and on a
/// disk it is durable when this returns.
pub(super) fn print_secret(text: &str) -> Result<(), StdoutError> {
    let mut stdout = stdout()?;
    if was_closed(&stdout)? {
        return Err(io::Error::other("it is closed").into());
    }
    stdout.write_all(text.as_bytes())?;
    if stdout.metadata()?.is_file() {
        stdout.sync_all()?;
    }
    Ok(())
}

/// Returns stdout without the buffer of [`io::stdout`], which takes a descriptor that is not open
/// for writing for one that takes everything.
pub(super) fn stdout() -> io::Result<File> {
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

/// Whether the program was started with stdout closed, as by `>&-`. Rust's runtime then opens the
/// null device in its place, for reading and writing, so that no other file gets its number. A
/// shell opens the file of a `>/dev/null` for writing only.
pub(super) fn was_closed(stdout: &File) -> io::Result<bool> {
    let is_for_both = fcntl_getfl(stdout)? & OFlags::RWMODE == OFlags::RDWR;
    Ok(is_for_both && stdout.metadata()?.rdev() == fs::metadata("/dev/null")?.rdev())
}

//! What every command gets and gives: the global flags, and how it ended.

use std::fmt::Display;
use std::process::ExitCode;

use super::output;
use crate::keys;
use crate::store::{Access, Damage, Locator, Reader, Store};

/// The global flags, as every command gets them.
pub(super) struct GlobalOptions {
    pub(super) gallery: Locator,
    pub(super) quiet: bool,
    pub(super) verbose: bool,
}

impl GlobalOptions {
    pub(super) fn open(&self, access: Access) -> anyhow::Result<Store> {
        self.open_at(&self.gallery, access)
    }

    /// Opens a gallery that is not the one of `--gallery`.
    pub(super) fn open_at(&self, locator: &Locator, access: Access) -> anyhow::Result<Store> {
        let store = Store::open(locator, access)?;
        if store.was_migrated() {
            self.say(migration(locator));
        }
        Ok(store)
    }

    /// Opens the gallery for reading what can be read of it.
    pub(super) fn open_reader(&self) -> anyhow::Result<Reader> {
        self.open_reader_at(&self.gallery)
    }

    fn open_reader_at(&self, locator: &Locator) -> anyhow::Result<Reader> {
        let reader = Reader::open(locator)?;
        if reader.was_migrated() {
            self.say(migration(locator));
        }
        Ok(reader)
    }

    /// Opens the gallery, after a look at all its pages but not at its images. LMDB trusts them
    /// when it copies, and would crash or copy the damage.
    pub(super) fn open_checked(&self, locator: &Locator, access: Access) -> anyhow::Result<Store> {
        let reader = self.open_reader_at(locator)?;
        if let Some(Damage { subject, problem }) = reader.check_pages().first() {
            anyhow::bail!(
                "{locator}: the gallery is damaged, so it is not copied ({subject}: {problem}); \
                 `imagepool verify` says more, `imagepool salvage` copies what can be read"
            );
        }
        self.open_at(locator, access)
    }

    /// Says on stderr what is wrong with a gallery, as far as it was read, and returns how a
    /// command ends that gave what could be read.
    pub(super) fn tell_damage(&self, reader: &Reader) -> ExitReason {
        reader.notes().iter().for_each(|note| self.say(note));
        let problems = reader.problems();
        if problems.is_empty() {
            return ExitReason::Done;
        }
        for Damage { subject, problem } in problems {
            output::complain(format_args!("{subject}: {problem}"));
        }
        output::complain(format_args!(
            "{}: the gallery is damaged, and this is what could be read; `imagepool verify` says \
             more, a backup or `imagepool salvage` mends it",
            self.gallery
        ));
        ExitReason::Failed
    }

    /// Prints a line on stderr that `--quiet` leaves out.
    pub(super) fn say(&self, words: impl Display) {
        if !self.quiet {
            output::say(words);
        }
    }
}

/// Says that a gallery was brought to format 1.
pub(super) fn migration(locator: &Locator) -> String {
    format!(
        "{locator}: the gallery was made before format 1, and has that format now; \
         an imagepool from before can't read it any more"
    )
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// Everything was done.
    Done,
    /// Everything that could be done was; stderr says what could not.
    Failed,
    /// The command was called in a wrong way; stderr says how.
    WrongUsage,
    /// Ctrl-C ended the command.
    Interrupted,
}

impl ExitReason {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::WrongUsage => 2,
            // What shells give for a program that SIGINT ended.
            Self::Interrupted => 130,
        }
    }
}

impl From<ExitReason> for ExitCode {
    fn from(reason: ExitReason) -> Self {
        reason.code().into()
    }
}

/// The command was given something that it can't take. clap finds most such mistakes before.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) String);

/// Says on stderr why a command stopped.
#[must_use]
pub fn report_error(error: &anyhow::Error) -> ExitReason {
    // It may quote an argument, and that a key.
    output::complain(keys::redact(&explain(error)));
    if error.is::<UsageError>() { ExitReason::WrongUsage } else { ExitReason::Failed }
}

/// Returns an error and its causes in one line, without the causes whose words are in it already.
fn explain(error: &anyhow::Error) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let error =
            anyhow::anyhow!("disk gone").context("gallery.pool: disk gone").context("can't serve");
        assert_eq!(explain(&error), "can't serve: gallery.pool: disk gone");
    }
}

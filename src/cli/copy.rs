//! `imagepool copy`: copies what one gallery has into another, whatever engines they are on.

use std::io::{self, IsTerminal as _};
use std::sync::atomic::Ordering;

use indicatif::{DecimalBytes, HumanCount, ProgressBar, ProgressStyle};

use super::global::{ExitReason, GlobalOptions, UsageError};
use super::{output, signals};
use crate::store::{Access, Locator, Transfer, TransferredKeys};

/// Copy what one gallery has into another: images with all that belongs to them, and keys
///
/// What the target has stays as it is there, and what was removed from it does not come back. Keys
/// come along only into a target that has none. Run again, it goes on where it was.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The gallery to read: PATH of a data file, or sled:DIR
    from: Locator,

    /// The gallery to copy into, which is made when it is missing
    to: Locator,
}

impl Args {
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let Self { from, to } = self;
        if from.overlaps(&to) {
            anyhow::bail!(UsageError(format!("{from} and {to} are one gallery; give two")));
        }
        let source = globals.open_checked(&from, Access::Read)?;
        let stop = signals::stop_flag()?;
        let target = globals.open_at(&to, Access::Create)?;
        let bar = progress_bar(globals);
        let transfer = source.copy_into(&target, |done, count| {
            bar.set_length(count);
            bar.set_position(done);
            !stop.load(Ordering::Relaxed)
        });
        bar.finish_and_clear();
        Ok(tell(globals, &transfer?))
    }
}

/// Says how it went.
fn tell(globals: &GlobalOptions, transfer: &Transfer) -> ExitReason {
    for damage in &transfer.damaged {
        output::complain(format_args!("{}: {}; left out", damage.subject, damage.problem));
    }
    let bytes = DecimalBytes(transfer.bytes);
    let mut parts = vec![format!("{} copied ({bytes})", HumanCount(transfer.copied))];
    for (count, what) in [
        (transfer.already_present, "already present"),
        (transfer.removed_before, "removed before"),
        (transfer.damaged.len() as u64, "damaged"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", HumanCount(count)));
        }
    }
    match transfer.keys {
        TransferredKeys::Same => {}
        TransferredKeys::Copied(count) => parts.push(format!("keys: {count} copied")),
        TransferredKeys::TargetKeepsItsOwn => parts.push("keys: the target keeps its own".into()),
    }
    globals.say(parts.join(", "));
    if transfer.interrupted {
        globals.say("interrupted: run the same command again to go on from there");
        return ExitReason::Interrupted;
    }
    if transfer.damaged.is_empty() { ExitReason::Done } else { ExitReason::Failed }
}

fn progress_bar(globals: &GlobalOptions) -> ProgressBar {
    if globals.quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} images  {eta} left");
    let bar = ProgressBar::no_length();
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

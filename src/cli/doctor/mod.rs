//! `imagepool doctor`: says whether a place can hold a gallery, and how well.
//!
//! Each check is one function, which looks at one thing and says what to do about it. None makes
//! anything that stays.
//!
//! In reading order:
//! - `finding`: what a check found;
//! - `subject`: the place that is looked at;
//! - `gallery`, `rights`, `disk`, `locks`, `limits`: the checks.

mod disk;
mod finding;
mod gallery;
mod limits;
mod locks;
mod rights;
mod subject;

use clap::builder::FalseyValueParser;
use serde::Serialize;

use super::global::{ExitReason, GlobalOptions};
use super::output;
use crate::store::Locator;
use finding::{Finding, Status};
use subject::Subject;

/// Say whether a place can hold a gallery, and how well
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The place: PATH of a data file, or sled:DIR [default: that of --gallery]
    locator: Option<Locator>,

    /// Print the findings as JSON on stdout
    #[arg(long, env = "IMAGEPOOL_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

/// Looks at one thing; `None` if there is nothing to look at.
type Check = fn(&Subject) -> Option<Finding>;

const CHECKS: &[(&str, Check)] = &[
    ("gallery", |subject| Some(gallery::is_there(subject))),
    ("content", gallery::opens),
    ("engine", |subject| Some(gallery::engine(subject))),
    ("rights", rights::gallery),
    ("folder", rights::folder),
    ("file system", disk::file_system),
    ("free space", disk::space),
    ("leftovers", disk::leftovers),
    ("sync", disk::sync),
    ("locks", locks::work),
    ("lock file", locks::lock_file),
    ("in use", locks::users),
    ("file length", |subject| Some(limits::file_length(subject))),
    ("address space", |subject| Some(limits::address_space(subject))),
    ("open files", |_| Some(limits::open_files())),
];

/// A finding with the name of its check.
#[derive(Serialize)]
struct Line {
    check: &'static str,
    #[serde(flatten)]
    finding: Finding,
}

impl Args {
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let subject = Subject::new(self.locator.unwrap_or_else(|| globals.gallery.clone()));
        let lines: Vec<Line> = CHECKS
            .iter()
            .filter_map(|(check, look)| Some(Line { check, finding: look(&subject)? }))
            .collect();
        if self.json {
            output::print_line(serde_json::to_string(&lines)?)?;
        } else {
            output::print(|stdout| {
                lines.iter().try_for_each(|Line { check, finding }| {
                    let status = finding.status.name();
                    writeln!(stdout, "{status:7}  {check}: {}", finding.message)
                })
            })?;
        }
        let has_problem = lines.iter().any(|line| line.finding.status == Status::Problem);
        Ok(if has_problem { ExitReason::Failed } else { ExitReason::Done })
    }
}

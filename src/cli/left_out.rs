//! Says on the terminal what an import left out, where a person should know without a report.

use std::collections::HashMap;
use std::path::PathBuf;

use super::global::GlobalOptions;
use crate::import::{FileReport, FileStatus, ImportSummary};

/// Number of reasons that are told.
const MAX_REASONS: usize = 5;
/// Number of files that are named for each reason.
const MAX_NAMES: usize = 3;

/// The files that were left out, by the reason.
pub(super) struct LeftOut {
    /// The given paths, of which each is told of by itself.
    roots: Vec<PathBuf>,
    reasons: HashMap<String, Files>,
}

#[derive(Default)]
struct Files {
    count: u64,
    first: Vec<PathBuf>,
}

impl LeftOut {
    pub(super) fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots, reasons: HashMap::new() }
    }

    /// Takes note of a file. Returns what is to be said of it at once.
    pub(super) fn note(&mut self, report: &FileReport, verbose: bool) -> Option<String> {
        let is_left_out = matches!(report.status, FileStatus::NotImage | FileStatus::Excluded);
        let reason = report.reason.as_ref().filter(|_| is_left_out)?;
        if verbose || self.roots.contains(&report.path) {
            return Some(format!("skipped: {}: {reason}", report.path.display()));
        }
        let files = self.reasons.entry(reason.clone()).or_default();
        files.count += 1;
        if files.first.len() < MAX_NAMES {
            files.first.push(report.path.clone());
        }
        None
    }

    /// Says which given paths are empty, and if there was no picture at all, what there was.
    pub(super) fn tell(self, globals: &GlobalOptions, summary: &ImportSummary) {
        for root in &summary.empty {
            globals.say(format_args!("no files below {}", root.display()));
        }
        if summary.pictures() > 0 || summary.interrupted || self.reasons.is_empty() {
            return;
        }
        let mut reasons: Vec<_> = self.reasons.into_iter().collect();
        reasons.sort_by(|(one, some), (other, others)| {
            others.count.cmp(&some.count).then_with(|| one.cmp(other))
        });
        globals.say("there is no picture among what was found:");
        for (reason, Files { count, first }) in reasons.iter().take(MAX_REASONS) {
            let names: Vec<_> = first.iter().map(|path| path.display().to_string()).collect();
            let more = if *count > names.len() as u64 { ", ..." } else { "" };
            globals.say(format_args!("  {count} x {reason} ({}{more})", names.join(", ")));
        }
        if reasons.len() > MAX_REASONS {
            let files: u64 = reasons[MAX_REASONS..].iter().map(|(_, files)| files.count).sum();
            globals.say(format_args!("  {files} for other reasons; see --report"));
        }
    }
}

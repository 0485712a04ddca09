//! `imagepool import`: convert and store pictures.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use indicatif::{DecimalBytes, HumanCount, ProgressBar, ProgressStyle};

use super::import_flags::ImportFlags;
use super::{Context, End, Usage, signals};
use crate::import::{
    FileReport, FileStatus, ImportOptions, ImportSummary, Observer, ScanState, import,
};
use crate::store::{Access, StoreError};

/// How every report begins.
const REPORT_START: &[u8] = b"{\"path\":";

/// Convert and store every picture below the paths
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folders and files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    flags: ImportFlags,

    /// Remove images whose files are gone from PATH
    #[arg(long, env = "IMAGEPOOL_PRUNE", value_parser = FalseyValueParser::new(), conflicts_with_all = ["dry_run", "delete_originals"])]
    prune: bool,

    /// Delete each picture below PATH once its image is safely stored
    #[arg(long, env = "IMAGEPOOL_DELETE_ORIGINALS", value_parser = FalseyValueParser::new(), conflicts_with = "dry_run")]
    delete_originals: bool,

    /// Only say what would be done
    #[arg(long, env = "IMAGEPOOL_DRY_RUN", value_parser = FalseyValueParser::new())]
    dry_run: bool,

    /// Write one JSON object a line for each file, once what it says is stored
    #[arg(long, env = "IMAGEPOOL_REPORT", value_name = "FILE")]
    report: Option<PathBuf>,

    /// Print the summary as JSON on stdout
    #[arg(long, env = "IMAGEPOOL_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<End> {
        let store = if self.dry_run {
            match context.open(Access::Read) {
                Ok(store) => Some(store),
                Err(error) if matches!(error.downcast_ref(), Some(StoreError::Missing { .. })) => {
                    None
                }
                Err(error) => return Err(error),
            }
        } else {
            Some(context.open(Access::Create)?)
        };
        let options = ImportOptions {
            prune: self.prune,
            delete_originals: self.delete_originals,
            dry_run: self.dry_run,
            ..self.flags.into_options()
        };
        let report = self.report.map(|path| ReportFile::create(path, context)).transpose()?;
        let stop = signals::stop_flag()?;
        let mut console =
            Console { context, bar: progress_bar(context), files: 0, files_done: 0, report };
        let summary = import(
            store.as_ref(),
            &self.paths,
            &options,
            &stop,
            &mut console,
            &mut ScanState::default(),
        )?;
        console.bar.finish_and_clear();

        context.say(describe(&summary, self.dry_run));
        if self.json {
            writeln!(io::stdout(), "{}", serde_json::to_string(&summary)?)?;
        }
        if summary.interrupted {
            context.say(
                "interrupted: what was converted is stored; run the same command again to go on from there",
            );
            return Ok(End::Interrupted);
        }
        for folder in &summary.not_pruned {
            context.say(format_args!(
                "{}: nothing was removed for it, because there is not a single file in it; is it mounted? \
                 `imagepool remove` takes images away",
                folder.display()
            ));
        }
        Ok(if summary.failed > 0 || !summary.not_pruned.is_empty() {
            End::SomeFailed
        } else {
            End::Done
        })
    }
}

/// The sums in words, for example `312 imported (311.7 MB became 66.9 MB), 2 not pictures; 41.2 s`.
pub(super) fn describe(summary: &ImportSummary, dry_run: bool) -> String {
    let mut parts = vec![if dry_run {
        format!("dry run: {} would be imported", HumanCount(summary.imported))
    } else {
        let (bytes_in, bytes_out) =
            (DecimalBytes(summary.bytes_in), DecimalBytes(summary.bytes_out));
        format!("{} imported ({bytes_in} became {bytes_out})", HumanCount(summary.imported))
    }];
    for (count, what) in [
        (summary.already_present, "already present"),
        (summary.duplicates, "duplicates"),
        (summary.not_images, "not pictures"),
        (summary.failed, "failed"),
        (summary.removed, "removed"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", HumanCount(count)));
        }
    }
    format!("{}; {:.1} s", parts.join(", "), summary.seconds)
}

fn progress_bar(context: &Context) -> ProgressBar {
    if context.quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{wide_bar} {msg} pictures  {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left",
    );
    let bar = ProgressBar::no_length();
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Shows progress on a terminal, failures as they come, and keeps the report.
struct Console<'c> {
    context: &'c Context,
    bar: ProgressBar,
    files: u64,
    files_done: u64,
    report: Option<ReportFile>,
}

impl Observer for Console<'_> {
    fn planned(&mut self, files: u64, bytes: u64) {
        self.bar.set_length(bytes);
        self.files = files;
        self.bar.set_message(format!("0/{}", HumanCount(files)));
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    fn file_done(&mut self, report: &FileReport) -> io::Result<()> {
        self.bar.inc(report.bytes_in);
        self.files_done += 1;
        self.bar.set_message(format!("{}/{}", HumanCount(self.files_done), HumanCount(self.files)));
        let line = match (report.status, &report.reason) {
            (FileStatus::Failed, Some(reason)) => {
                Some(format!("failed: {}: {reason}", report.path.display()))
            }
            (FileStatus::NotImage, Some(reason)) if self.context.verbose => {
                Some(format!("skipped: {}: {reason}", report.path.display()))
            }
            _ => None,
        };
        if let Some(line) = line {
            self.bar.suspend(|| eprintln!("{line}"));
        }
        self.report.as_mut().map_or(Ok(()), |file| file.write(report))
    }
}

/// Where `--report` goes.
struct ReportFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl ReportFile {
    /// Makes the file, or replaces an older report. Any other file that has something in it is left alone: a
    /// mistyped name must not cost a picture, let alone the gallery.
    fn create(path: PathBuf, context: &Context) -> anyhow::Result<Self> {
        let failed = || format!("the report {} can't be written", path.display());
        let refused =
            || Usage(format!("{} exists and is no report; give another --report", path.display()));
        // Not even opened: closing it would drop the gallery's locks.
        if context.gallery.holds(&path) {
            anyhow::bail!(refused());
        }
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(failed)?;
        if file.metadata().with_context(failed)?.is_file() {
            let mut head = Vec::new();
            (&file).take(REPORT_START.len() as u64).read_to_end(&mut head).with_context(failed)?;
            if !(head.is_empty() || head == REPORT_START) {
                anyhow::bail!(refused());
            }
            file.set_len(0).and_then(|()| file.rewind()).with_context(failed)?;
        }
        Ok(Self { path, file: BufWriter::new(file) })
    }

    fn write(&mut self, report: &FileReport) -> io::Result<()> {
        let line = serde_json::to_string(report)?;
        let written = writeln!(self.file, "{line}").and_then(|()| self.file.flush());
        written.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        })
    }
}

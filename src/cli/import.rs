//! `imagepool import`: converts and stores pictures, and says what became of each file.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use indicatif::{DecimalBytes, HumanCount, ProgressBar, ProgressStyle};

use super::global::{ExitReason, GlobalOptions, UsageError};
use super::import_flags::ImportFlags;
use super::left_out::LeftOut;
use super::{output, signals};
use crate::import::{
    FileReport, FileStatus, ImportOptions, ImportSummary, NO_SUCH_PATH, Observer, ScanState, import,
};
use crate::store::{Access, Store, StoreError};

/// The first bytes of every report.
const REPORT_START: &[u8] = b"{\"path\":";
/// Pause between two drawings of the progress bar while no file is finished.
const TICK: Duration = Duration::from_millis(200);

/// Convert and store every picture below the paths
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folders and files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    flags: ImportFlags,

    /// Remove images whose files are gone from PATH, or left out now; not with --delete-originals
    #[arg(
        long,
        env = "IMAGEPOOL_PRUNE",
        value_parser = FalseyValueParser::new()
    )]
    prune: bool,

    /// Delete each picture below PATH once its image is safely stored; not with --prune
    #[arg(long, env = "IMAGEPOOL_DELETE_ORIGINALS", value_parser = FalseyValueParser::new())]
    delete_originals: bool,

    /// Import pictures whose images were removed before, too
    #[arg(long, env = "IMAGEPOOL_AGAIN", value_parser = FalseyValueParser::new())]
    again: bool,

    /// Only say what would be done, also by --prune and --delete-originals
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
    pub(super) fn run(mut self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        // clap would take a variable that says no for the flag.
        if self.prune && self.delete_originals {
            let advice = "the argument '--prune' cannot be used with '--delete-originals'";
            anyhow::bail!(UsageError(advice.into()));
        }
        self.flags.exclude_below(&self.paths)?;
        // What can go wrong without the gallery goes wrong first, so that no new one is left.
        let report = self.report.as_ref().map(|path| ReportFile::create(path, globals));
        let report = report.transpose()?;
        let store = self.open(globals)?;
        let options = ImportOptions {
            prune: self.prune,
            delete_originals: self.delete_originals,
            dry_run: self.dry_run,
            again: self.again,
            ..self.flags.into_options()
        };
        let stop = signals::stop_flag()?;
        let bar = progress_bar(globals);
        let left_out = LeftOut::new(self.paths.clone());
        let mut console = ImportConsole { globals, bar, files: 0, files_done: 0, report, left_out };
        let summary = import(
            store.as_ref(),
            &self.paths,
            &options,
            &stop,
            &mut console,
            &mut ScanState::default(),
        );
        console.bar.finish_and_clear();
        let summary = summary?;
        console.left_out.tell(globals, &summary);
        let reason = tell(globals, &summary, self.dry_run);
        if self.json {
            output::print_line(serde_json::to_string(&summary)?)?;
        }
        Ok(reason)
    }

    /// Opens the gallery. A new one is made only if there may be something to put into it. A dry
    /// run needs none.
    fn open(&self, globals: &GlobalOptions) -> anyhow::Result<Option<Store>> {
        if self.dry_run {
            return match globals.open(Access::Read) {
                Err(error) if matches!(error.downcast_ref(), Some(StoreError::Missing { .. })) => {
                    Ok(None)
                }
                opened => opened.map(Some),
            };
        }
        let failure = |path: &PathBuf| {
            let reason = match look_into(path).err()? {
                error if error.kind() == io::ErrorKind::NotFound => NO_SUCH_PATH.to_owned(),
                error => error.to_string(),
            };
            Some(format!("{}: {reason}", path.display()))
        };
        let failures: Vec<_> = self.paths.iter().filter_map(failure).collect();
        anyhow::ensure!(
            globals.gallery.exists() || failures.len() < self.paths.len(),
            "{}; nothing was imported, and no gallery was made",
            failures.join("; ")
        );
        globals.open(Access::Create).map(Some)
    }
}

/// Opens a folder or file that is to be imported. Nothing waits for a FIFO or device.
fn look_into(path: &Path) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        fs::read_dir(path).map(drop)
    } else if metadata.is_file() {
        File::open(path).map(drop)
    } else {
        Ok(())
    }
}

/// Says on stderr how the import went.
fn tell(globals: &GlobalOptions, summary: &ImportSummary, dry_run: bool) -> ExitReason {
    globals.say(describe(summary, dry_run));
    if summary.interrupted {
        globals.say(
            "interrupted: what was converted is stored; \
             run the same command again to go on from there",
        );
        return ExitReason::Interrupted;
    }
    for folder in &summary.not_pruned {
        let what = if summary.excluded > 0 { "picture that is not left out" } else { "picture" };
        globals.say(format_args!(
            "{}: nothing was removed for it, because there is not a single {what} in it; \
             is it mounted? `imagepool remove` takes images away",
            folder.display()
        ));
    }
    let has_failed = summary.failed > 0 || !summary.not_pruned.is_empty();
    if has_failed { ExitReason::Failed } else { ExitReason::Done }
}

/// Returns the sums in words, for example `312 imported (311.7 MB became 66.9 MB), 2 not pictures;
/// 41.2 s`.
pub(super) fn describe(summary: &ImportSummary, dry_run: bool) -> String {
    let mut parts = vec![if dry_run {
        format!("dry run: {} would be imported", HumanCount(summary.imported))
    } else {
        let (bytes_in, bytes_out) =
            (DecimalBytes(summary.bytes_in), DecimalBytes(summary.bytes_out));
        format!("{} imported ({bytes_in} became {bytes_out})", HumanCount(summary.imported))
    }];
    let done = |what: &'static str, foreseen: &'static str| if dry_run { foreseen } else { what };
    // Where one is told of in other words than several, its words come first.
    for (count, what) in [
        (summary.already_present, "already present"),
        (summary.duplicates, "duplicate|duplicates"),
        (summary.replaced, done("replaced", "would be replaced")),
        (summary.removed_before, "removed before"),
        (summary.mended, done("mended", "would be mended")),
        (summary.not_images.saturating_sub(summary.links), "not a picture|not pictures"),
        (summary.links, "symbolic link not followed|symbolic links not followed"),
        (summary.excluded, "left out"),
        (summary.failed, "failed"),
        (summary.removed, done("removed", "image would be removed|images would be removed")),
        (
            summary.originals_deleted,
            done(
                "original deleted|originals deleted",
                "original would be deleted|originals would be deleted",
            ),
        ),
        (
            summary.originals_kept,
            done(
                "original kept (the report says why)|originals kept (the report says why)",
                "original would be kept|originals would be kept",
            ),
        ),
    ] {
        if count > 0 {
            let (one, more) = what.split_once('|').unwrap_or((what, what));
            let what = if count == 1 { one } else { more };
            parts.push(format!("{} {what}", HumanCount(count)));
        }
    }
    format!("{}; {:.1} s", parts.join(", "), summary.seconds)
}

fn progress_bar(globals: &GlobalOptions) -> ProgressBar {
    if globals.quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{wide_bar} {msg} pictures  {decimal_bytes}/{decimal_total_bytes}  \
         {decimal_bytes_per_sec}  {eta} left",
    );
    let bar = ProgressBar::no_length();
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Draws a bar again and again, so that its clock goes on while a large picture is converted.
/// indicatif's own ticker panics when it can't have a thread; without one a bar moves with each
/// file.
fn keep_drawing(bar: &ProgressBar) {
    if bar.is_hidden() {
        return;
    }
    let bar = bar.clone();
    let _ = thread::Builder::new().name("progress".into()).spawn(move || {
        loop {
            thread::sleep(TICK);
            if bar.is_finished() {
                return;
            }
            bar.tick();
        }
    });
}

/// Shows progress on a terminal and failures as they come, and writes the report.
struct ImportConsole<'g> {
    globals: &'g GlobalOptions,
    bar: ProgressBar,
    files: u64,
    files_done: u64,
    report: Option<ReportFile>,
    left_out: LeftOut,
}

impl Observer for ImportConsole<'_> {
    fn planned(&mut self, files: u64, bytes: u64) {
        self.bar.set_length(bytes);
        self.files = files;
        self.bar.set_message(format!("0/{}", HumanCount(files)));
        keep_drawing(&self.bar);
    }

    fn file_done(&mut self, report: &FileReport) -> io::Result<()> {
        self.bar.inc(report.bytes_in);
        self.files_done += 1;
        self.bar.set_message(format!("{}/{}", HumanCount(self.files_done), HumanCount(self.files)));
        let line = match (report.status, &report.reason) {
            (FileStatus::Failed, Some(reason)) => {
                Some(format!("failed: {}: {reason}", report.path.display()))
            }
            (FileStatus::Mended, _) => {
                Some(format!("mended: {}: {}", report.path.display(), report.notes.join("; ")))
            }
            _ => {
                let line = self.left_out.note(report, self.globals.verbose);
                line.filter(|_| !self.globals.quiet)
            }
        };
        if let Some(line) = line {
            self.bar.suspend(|| output::say(line));
        }
        self.report.as_mut().map_or(Ok(()), |file| file.write(report))
    }
}

/// The file of `--report`.
struct ReportFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl ReportFile {
    /// Makes the file, or replaces an older report. Any other file with something in it is left
    /// alone, because a mistyped name must not cost a picture, let alone the gallery.
    fn create(path: &Path, globals: &GlobalOptions) -> anyhow::Result<Self> {
        let failed = || format!("the report {} can't be written", path.display());
        let refused = || {
            let path = path.display();
            UsageError(format!("{path} exists and is no report; give another --report"))
        };
        // The gallery is not even opened, because closing it would drop its locks.
        if globals.gallery.holds(path) {
            anyhow::bail!(refused());
        }
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(failed)?;
        if globals.gallery.holds(path) {
            // The file is new, and a gallery is to be made in its place.
            fs::remove_file(path).with_context(failed)?;
            anyhow::bail!(UsageError(format!(
                "{} is where the gallery will be; give another --report",
                path.display()
            )));
        }
        if file.metadata().with_context(failed)?.is_file() {
            let mut head = Vec::new();
            (&file).take(REPORT_START.len() as u64).read_to_end(&mut head).with_context(failed)?;
            if !(head.is_empty() || head == REPORT_START) {
                anyhow::bail!(refused());
            }
            file.set_len(0).and_then(|()| file.rewind()).with_context(failed)?;
        }
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    fn write(&mut self, report: &FileReport) -> io::Result<()> {
        let line = serde_json::to_string(report)?;
        let written = writeln!(self.file, "{line}").and_then(|()| self.file.flush());
        written.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        })
    }
}

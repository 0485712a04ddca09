//! Sets up the log: to stderr, and with `serve --log-file` also to a file that is rotated by size.
//!
//! Threads of their own write the lines, so that a slow terminal, pipe or disk never holds up a
//! request.

use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::Context as _;
use clap::ValueEnum;
use logroller::{LogRollerBuilder, Rotation, RotationSize};
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt};

use super::log_format::LineFormat;
use super::log_writer::{self, LogWriter, WriterThread};

/// Size at which the log file is rotated, in bytes, as in the Flask service.
const ROTATE_AT_BYTES: u64 = 10 << 20;
/// How the targets of decoders that log begin. Their lines do not say which file they are about,
/// and what matters of them is in the file's reason or notes.
const DECODERS: &str = "jxl_";
/// Number of rotated files that are kept, as in the Flask service.
const FILES_KEPT: u64 = 10;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people
    Pretty,
    /// One JSON object a line
    Json,
}

/// The running log, which writes what is still buffered when it is dropped.
pub(super) struct Log {
    _writers: Vec<WriterThread>,
}

/// Starts the log, to stderr and to `file`.
pub(super) fn start(format: LogFormat, level: Level, file: Option<&Path>) -> anyhow::Result<Log> {
    let (stderr, guard) = log_writer::start(std::io::stderr())?;
    let mut writers = vec![guard];
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let to_stderr = layer(format, stderr, colours);
    let to_file = match file {
        None => None,
        Some(path) => {
            let (writer, guard) = log_writer::start(open_log_file(path)?)?;
            writers.push(guard);
            Some(layer(format, writer, false))
        }
    };
    let filter = Targets::new()
        .with_target("imagepool", level)
        .with_target(DECODERS, LevelFilter::OFF)
        .with_default(Level::WARN);
    tracing_subscriber::registry().with(to_stderr).with(to_file).with(filter).init();
    Ok(Log { _writers: writers })
}

fn layer<S>(format: LogFormat, writer: LogWriter, colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(colours);
    match format {
        LogFormat::Pretty => layer.event_format(LineFormat).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
    }
}

fn open_log_file(path: &Path) -> anyhow::Result<logroller::LogRoller> {
    let path = std::path::absolute(path)?;
    let failed = || format!("the log file {} can't be opened", path.display());
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        anyhow::bail!("the log file {} has no name", path.display());
    };
    // logroller makes missing folders, which would hide a mistyped path.
    anyhow::ensure!(folder.is_dir(), "{}: the folder does not exist", failed());
    LogRollerBuilder::new(folder, Path::new(name))
        .rotation(Rotation::SizeBased(RotationSize::Bytes(ROTATE_AT_BYTES)))
        .max_keep_files(FILES_KEPT)
        // Without it a rotation under way at the end leaves a file under a temporary name.
        .graceful_shutdown(true)
        .build()
        .with_context(failed)
}

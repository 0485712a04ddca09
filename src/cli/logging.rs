//! Logging: to stderr, and with `serve --log-file` also to a file that is rotated by size.
//!
//! Lines are written by a thread of their own, so that a slow terminal, pipe or disk never holds up a request.

use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::Context as _;
use logroller::{LogRollerBuilder, Rotation, RotationSize};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt};

use super::LogFormat;
use super::log_format::PlainFormat;
use super::log_writer::{self, LogWriter, WriterThread};

/// The file is rotated at this size, as the old service did,
const FILE_BYTES: u64 = 10 << 20;
/// and as many old ones are kept.
const FILES_KEPT: u64 = 10;

/// Writes what is still buffered when it is dropped.
pub(super) struct Log {
    _writers: Vec<WriterThread>,
}

pub(super) fn start(format: LogFormat, level: Level, file: Option<&Path>) -> anyhow::Result<Log> {
    let (stderr, guard) = log_writer::start(std::io::stderr())?;
    let mut writers = vec![guard];
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let to_stderr = layer(format, stderr, colours);
    let to_file = match file {
        None => None,
        Some(path) => {
            let (writer, guard) = log_writer::start(open(path)?)?;
            writers.push(guard);
            Some(layer(format, writer, false))
        }
    };
    let filter = Targets::new().with_target("imagepool", level).with_default(Level::WARN);
    tracing_subscriber::registry().with(to_stderr).with(to_file).with(filter).init();
    Ok(Log { _writers: writers })
}

fn layer<S>(format: LogFormat, writer: LogWriter, colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(colours);
    match format {
        LogFormat::Pretty if colours => layer.with_target(false).boxed(),
        LogFormat::Pretty => layer.event_format(PlainFormat).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
    }
}

fn open(path: &Path) -> anyhow::Result<logroller::LogRoller> {
    let path = std::path::absolute(path)?;
    let failed = || format!("the log file {} can't be opened", path.display());
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        anyhow::bail!("the log file {} has no name", path.display());
    };
    // logroller makes missing folders; a mistyped path had better be told.
    anyhow::ensure!(folder.is_dir(), "{}: the folder does not exist", failed());
    LogRollerBuilder::new(folder, Path::new(name))
        .rotation(Rotation::SizeBased(RotationSize::Bytes(FILE_BYTES)))
        .max_keep_files(FILES_KEPT)
        .build()
        .with_context(failed)
}

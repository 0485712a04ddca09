//! The import that runs beside the server, on a thread of its own, and what it writes to the log.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use super::import::describe;
use super::threads;
use crate::http::Metrics;
use crate::import::{
    FileReport, FileStatus, ImportError, ImportOptions, ImportSummary, Observer, ScanState, import,
    watch,
};
use crate::store::Store;

/// What is imported beside the server, and where.
pub(super) struct BackgroundImport {
    pub(super) store: Store,
    pub(super) folders: Vec<PathBuf>,
    pub(super) options: ImportOptions,
    pub(super) metrics: Arc<Metrics>,
}

impl BackgroundImport {
    /// Starts the import, which with `watching` begins again whenever a folder changes. It ends
    /// when it is done or `stop` becomes true. Without folders there is nothing to start.
    pub(super) fn start(
        self,
        watching: bool,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Option<JoinHandle<()>>> {
        let Self { store, folders, options, metrics } = self;
        if folders.is_empty() {
            return Ok(None);
        }
        let stop = Arc::clone(stop);
        let mut log = ImportLogger { metrics };
        let thread = threads::start("import", move || {
            if watching {
                watch(&store, &folders, options, &stop, &mut log, log_round);
            } else {
                let state = &mut ScanState::default();
                let round = import(Some(&store), &folders, &options, &stop, &mut log, state);
                for folder in round.iter().flat_map(|summary| &summary.empty) {
                    tracing::warn!(folder = %folder.display(), "no files below it");
                }
                log_round(round);
            }
        })?;
        Ok(Some(thread))
    }
}

fn log_round(round: Result<ImportSummary, ImportError>) {
    match round {
        Ok(summary) => {
            for folder in &summary.not_pruned {
                tracing::warn!(
                    folder = %folder.display(),
                    "there is not a single picture; its images stay until there is"
                );
            }
            // Most rounds of a watched folder find nothing new.
            if summary.pictures() + summary.removed > 0 {
                tracing::info!("import: {}", describe(&summary, false));
            }
        }
        Err(error) => {
            tracing::error!(%error, "the import ended early; images imported before are served");
        }
    }
}

/// Logs the files that failed or were mended, and counts all files.
struct ImportLogger {
    metrics: Arc<Metrics>,
}

impl Observer for ImportLogger {
    fn planned(&mut self, files: u64, bytes: u64) {
        if files > 0 {
            tracing::info!(files, bytes, "importing");
        }
    }

    fn file_done(&mut self, report: &FileReport) -> io::Result<()> {
        let (read, stored) = match report.status {
            FileStatus::Imported | FileStatus::Replaced => {
                (report.bytes_in, report.bytes_out.unwrap_or(0))
            }
            _ => (0, 0),
        };
        self.metrics.count_import(report.status.name(), read, stored);
        let path = report.path.display();
        match (report.status, &report.reason) {
            (FileStatus::Failed, Some(reason)) => {
                tracing::warn!(%path, %reason, "not imported");
            }
            (FileStatus::Mended, _) => {
                tracing::warn!(%path, notes = report.notes.join("; "), "mended");
            }
            _ => {}
        }
        Ok(())
    }
}

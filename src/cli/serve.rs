//! `imagepool serve`: the server, and what is composed with it: the first key, and an import while it runs.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use clap::builder::FalseyValueParser;

use super::import::describe;
use super::import_flags::ImportFlags;
use super::limit_flags::LimitFlags;
use super::policy_flags::PolicyFlags;
use super::signals::{Hangups, StopSignals};
use super::{Context, End};
use crate::http::{self, Endpoint, Listener, Metrics, ServedGallery, Tls};
use crate::image;
use crate::import::{
    FileReport, FileStatus, ImportError, ImportOptions, ImportSummary, Observer, ScanState, import,
    watch,
};
use crate::keys::{self, ApiKey, DEFAULT_KEY_NAME, KeyRecord};
use crate::store::{Access, Store, StoreError};

/// Serve random images to clients that show the key
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to listen
    #[arg(
        long,
        env = "IMAGEPOOL_LISTEN",
        value_name = "ADDR:PORT|unix:PATH",
        default_value = "127.0.0.1:5000"
    )]
    listen: Endpoint,

    /// Import this folder first; serving starts at once (repeatable)
    #[arg(long, env = "IMAGEPOOL_IMPORT", value_name = "DIR", value_delimiter = None)]
    import: Vec<PathBuf>,

    /// Keep the imported folders imported, as their files come, change and go
    #[arg(long, env = "IMAGEPOOL_WATCH", value_parser = FalseyValueParser::new(), requires = "import")]
    watch: bool,

    #[command(flatten)]
    flags: ImportFlags,

    #[command(flatten)]
    policy: PolicyFlags,

    #[command(flatten)]
    limits: LimitFlags,

    /// Speak TLS, HTTP/2 too, with the certificates in this PEM file; read again on SIGHUP
    #[arg(long, env = "IMAGEPOOL_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key, a PEM file
    #[arg(long, env = "IMAGEPOOL_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Log to this file too; it is rotated at 10 MB, and 10 old ones are kept
    #[arg(long, env = "IMAGEPOOL_LOG_FILE", value_name = "PATH")]
    pub(super) log_file: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<End> {
        let store = open(context, !self.import.is_empty())?;
        // Clients are served on threads of their own; this one accepts them, and looks after the catalog.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.serve(store))?;
        Ok(End::Done)
    }

    async fn serve(self, store: Store) -> anyhow::Result<()> {
        let mut signals = StopSignals::listen()?;
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(certificate), Some(key)) => Some(Arc::new(Tls::load(certificate, key)?)),
            _ => None,
        };
        let listener =
            Listener::bind(&self.listen).await.with_context(|| cannot_listen(&self.listen))?;
        let origin = origin(&self.listen, &listener, tls.is_some())?;
        if let Some(tls) = &tls {
            tokio::spawn(reload_on_hangup(Arc::clone(tls), Hangups::listen()?));
        }
        let new_key = tokio::task::spawn_blocking({
            let store = store.clone();
            move || ensure_key(&store)
        });
        let new_key = new_key.await??;
        let gallery = Arc::new(ServedGallery::new(store.clone(), self.policy.into_policy())?);
        tokio::spawn(Arc::clone(&gallery).keep_current());

        let stop_import = Arc::new(AtomicBool::new(false));
        let importing = Import {
            store: store.clone(),
            folders: self.import,
            options: self.flags.into_options(),
        };
        let importing =
            importing.start(self.watch, &stop_import, ToLog { metrics: gallery.metrics() });
        match new_key {
            Some(key) => announce(&key, &origin)?,
            None => tracing::info!(
                "random images at {origin}/random-image/KEY; a lost key is replaced by `imagepool key rotate`"
            ),
        }
        tracing::info!(gallery = %store.locator(), writable = store.writable(), "listening on {origin}");
        let stopped = async {
            signals.next().await;
            stop_import.store(true, Ordering::Relaxed);
            // Who asks a second time does not want to wait.
            tokio::spawn(signals.exit_at_next());
        };
        let cut = http::serve(listener, tls, gallery, self.limits.into_limits(), stopped).await?;
        if cut > 0 {
            tracing::warn!(
                connections = cut,
                "stopped before these were through; see --shutdown-timeout"
            );
        }
        if let Some(importing) = importing {
            tokio::task::spawn_blocking(|| importing.join())
                .await?
                .map_err(|_| anyhow::anyhow!("the import panicked"))?;
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// The gallery; it is made when it is missing. Without an import a read-only one will do.
fn open(context: &Context, must_write: bool) -> anyhow::Result<Store> {
    if must_write {
        return context.open(Access::Create);
    }
    match Store::open(&context.gallery, Access::Read) {
        Err(StoreError::Missing { .. }) => {
            let store = context.open(Access::Create)?;
            tracing::info!(gallery = %store.locator(), "made a new gallery; `imagepool import DIR` fills it while this runs");
            Ok(store)
        }
        opened => Ok(opened?),
    }
}

/// Makes a key for a gallery that has none.
fn ensure_key(store: &Store) -> anyhow::Result<Option<ApiKey>> {
    let now = image::now();
    let has_key = |keys: &[KeyRecord]| keys.iter().any(|key| key.live(now));
    if has_key(&store.keys()?.1) {
        return Ok(None);
    }
    anyhow::ensure!(
        store.writable(),
        "{}: the gallery has no valid key and is read-only, so nobody could read it; \
         run `imagepool key rotate` where it is writable",
        store.locator()
    );
    let key = ApiKey::generate()?;
    let record = KeyRecord::new(&key, DEFAULT_KEY_NAME, now, None)?;
    // Another process may have made one since.
    let made = store.change_keys(|stored| {
        if has_key(stored) {
            return Ok(false);
        }
        keys::rotate(stored, record, None).map(|()| true)
    })?;
    Ok(made.then_some(key))
}

/// Shows a new key, once.
fn announce(key: &ApiKey, origin: &str) -> io::Result<()> {
    let secret = key.reveal();
    let mut stdout = io::stdout().lock();
    writeln!(
        stdout,
        "This gallery had no API key, so one was made. It is shown now and never again:\n\n    {secret}\n\n\
         A random image, for any browser:\n\n    {origin}/random-image/{secret}\n"
    )?;
    stdout.flush()
}

fn cannot_listen(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp(address) => {
            format!("can't listen on {address}; is the port free, and the address this machine's?")
        }
        Endpoint::Unix(path) => format!(
            "can't listen on unix:{}; is its folder there and writable, and no other server or file in its place?",
            path.display()
        ),
    }
}

/// What stands before a path in an address that a browser on this machine can open; a Unix socket as curl would name it.
fn origin(endpoint: &Endpoint, listener: &Listener, encrypted: bool) -> io::Result<String> {
    let scheme = if encrypted { "https" } else { "http" };
    Ok(match (listener.address()?, endpoint) {
        (Some(mut address), _) => {
            if address.ip().is_unspecified() {
                address.set_ip(match address {
                    SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                    SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
                });
            }
            format!("{scheme}://{address}")
        }
        (None, Endpoint::Unix(path)) => {
            format!("--unix-socket {} {scheme}://localhost", path.display())
        }
        (None, Endpoint::Tcp(name)) => format!("{scheme}://{name}"),
    })
}

async fn reload_on_hangup(tls: Arc<Tls>, mut hangups: Hangups) {
    loop {
        hangups.next().await;
        match tls.reload() {
            Ok(()) => tracing::info!("the certificate was read anew"),
            Err(error) => tracing::error!(%error, "the certificate stays as it was"),
        }
    }
}

/// What is imported beside the server.
struct Import {
    store: Store,
    folders: Vec<PathBuf>,
    options: ImportOptions,
}

impl Import {
    /// Imports on a thread of its own while the server runs, again and again with `watching`; how it went is logged.
    fn start(
        self,
        watching: bool,
        stop: &Arc<AtomicBool>,
        mut log: ToLog,
    ) -> Option<JoinHandle<()>> {
        let Self { store, folders, options } = self;
        if folders.is_empty() {
            return None;
        }
        let stop = Arc::clone(stop);
        Some(thread::spawn(move || {
            if watching {
                watch(&store, &folders, options, &stop, &mut log, log_round);
            } else {
                let seen = &mut ScanState::default();
                log_round(import(Some(&store), &folders, &options, &stop, &mut log, seen));
            }
        }))
    }
}

fn log_round(round: Result<ImportSummary, ImportError>) {
    match round {
        Ok(summary) => {
            for folder in &summary.not_pruned {
                tracing::warn!(folder = %folder.display(), "there is not a single file; its images stay until there is");
            }
            // Most rounds of a watched folder find nothing new.
            if summary.imported
                + summary.already_present
                + summary.duplicates
                + summary.failed
                + summary.removed
                > 0
            {
                tracing::info!("import: {}", describe(&summary, false));
            }
        }
        Err(error) => {
            tracing::error!(%error, "the import ended early; images imported before are served");
        }
    }
}

/// Logs the files that failed, and counts all.
struct ToLog {
    metrics: Arc<Metrics>,
}

impl Observer for ToLog {
    fn planned(&mut self, files: u64, bytes: u64) {
        if files > 0 {
            tracing::info!(files, bytes, "importing");
        }
    }

    fn file_done(&mut self, report: &FileReport) -> io::Result<()> {
        let (read, stored) = match report.status {
            FileStatus::Imported => (report.bytes_in, report.bytes_out.unwrap_or(0)),
            _ => (0, 0),
        };
        self.metrics.count_import(report.status.name(), read, stored);
        if let (FileStatus::Failed, Some(reason)) = (report.status, &report.reason) {
            tracing::warn!(path = %report.path.display(), %reason, "not imported");
        }
        Ok(())
    }
}

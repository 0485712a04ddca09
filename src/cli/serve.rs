//! `imagepool serve`: the server, composed with the gallery's first key and an import while it
//! runs.
//!
//! What the server does with a connection is in `http`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::builder::FalseyValueParser;

use super::background_import::BackgroundImport;
use super::global::{ExitReason, GlobalOptions, UsageError};
use super::import_flags::ImportFlags;
use super::limit_flags::LimitFlags;
use super::new_key::{Announcement, show_then_store};
use super::policy_flags::PolicyFlags;
use super::signals::{HangupSignal, StopSignals};
use super::threads;
use crate::http::{self, Endpoint, Listener, ServedGallery, Tls};
use crate::image;
use crate::keys::{self, ApiKey, DEFAULT_KEY_NAME, KeyRecord};
use crate::store::{Access, Store, StoreError};

/// Pause between two looks at whether an import that was told to stop has stopped.
const IMPORT_POLL: Duration = Duration::from_millis(20);

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
    #[arg(
        long,
        env = "IMAGEPOOL_WATCH",
        value_parser = FalseyValueParser::new()
    )]
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
    pub(super) fn run(mut self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        // clap would take a variable that says no for the flag.
        if self.watch && self.import.is_empty() {
            anyhow::bail!(UsageError("--watch needs a folder; give --import <DIR>".into()));
        }
        self.flags.exclude_below(&self.import)?;
        // The server's own threads serve clients. This one accepts them, and looks after the
        // catalog.
        threads::event_loop()?.block_on(self.serve(globals))?;
        Ok(ExitReason::Done)
    }

    async fn serve(self, globals: &GlobalOptions) -> anyhow::Result<()> {
        let mut signals = StopSignals::listen()?;
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(certificate), Some(key)) => Some(Arc::new(Tls::load(certificate, key)?)),
            _ => None,
        };
        let listener =
            Listener::bind(&self.listen).await.with_context(|| cannot_listen(&self.listen))?;
        let origin = origin(&self.listen, &listener, tls.is_some())?;
        // A server that could not start leaves no new gallery behind.
        let store = open(globals, !self.import.is_empty())?;
        tokio::spawn(reload_on_hangup(tls.clone(), HangupSignal::listen()?));
        let has_new_key = threads::run_on_own_thread("first-key", {
            let (store, origin) = (store.clone(), origin.clone());
            move || ensure_key(&store, &origin)
        })??;
        let gallery = Arc::new(ServedGallery::new(store.clone(), self.policy.into_policy())?);
        tokio::spawn(Arc::clone(&gallery).keep_current());
        tokio::spawn(Arc::clone(&gallery).look_after_file());

        let stop_import = Arc::new(AtomicBool::new(false));
        let import = BackgroundImport {
            store: store.clone(),
            folders: self.import,
            options: self.flags.into_options(),
            metrics: gallery.metrics(),
        };
        let import = import.start(self.watch, &stop_import)?;
        if !has_new_key {
            tracing::info!(
                "random images at {origin}/random-image/KEY; \
                 a lost key is replaced by `imagepool key rotate`"
            );
        }
        tracing::info!(
            gallery = %store.locator(),
            writable = store.writable(),
            "listening on {origin}"
        );
        let stopped = async {
            signals.next().await;
            stop_import.store(true, Ordering::Relaxed);
            // Whoever asks a second time does not want to wait.
            tokio::spawn(signals.exit_at_next());
        };
        let limits = self.limits.into_limits();
        let patience = limits.shutdown_timeout;
        let cut = http::serve(listener, tls, gallery, limits, stopped)
            .await
            .context("the server's threads can't be started")?;
        if cut > 0 {
            tracing::warn!(
                connections = cut,
                "stopped before these were through; see --shutdown-timeout"
            );
        }
        if let Some(import) = import {
            wait_for_import(import, patience).await?;
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// Waits for an import that was told to stop. Nothing that it reported is lost with it.
async fn wait_for_import(import: JoinHandle<()>, patience: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    while !import.is_finished() {
        if began.elapsed() > patience {
            tracing::warn!(
                "stopped before the import was through; perhaps it waited for another process \
                 that changes the gallery; see --shutdown-timeout"
            );
            return Ok(());
        }
        tokio::time::sleep(IMPORT_POLL).await;
    }
    import.join().map_err(|_| anyhow::anyhow!("the import panicked"))
}

/// Opens the gallery, or makes it when it is missing. Without an import a read-only one will do.
fn open(globals: &GlobalOptions, must_write: bool) -> anyhow::Result<Store> {
    if must_write {
        return globals.open(Access::Create);
    }
    match globals.open(Access::Read) {
        Err(error) if matches!(error.downcast_ref(), Some(StoreError::Missing { .. })) => {
            let store = globals.open(Access::Create)?;
            tracing::info!(
                gallery = %store.locator(),
                "made a new gallery; `imagepool import DIR` fills it while this runs"
            );
            Ok(store)
        }
        opened => opened,
    }
}

/// Makes and shows a key for a gallery that has none, and returns whether it did.
fn ensure_key(store: &Store, origin: &str) -> anyhow::Result<bool> {
    let now = image::now();
    let has_key = |keys: &[KeyRecord]| keys.iter().any(|key| key.live(now));
    if has_key(&store.keys()?.1) {
        return Ok(false);
    }
    anyhow::ensure!(
        store.writable(),
        "{}: the gallery has no valid key and is read-only, so nobody could read it; \
         run `imagepool key rotate` where it is writable",
        store.locator()
    );
    let key = ApiKey::generate()?;
    let record = KeyRecord::new(&key, DEFAULT_KEY_NAME, now, None)?;
    let made = show_then_store(store, |stored| {
        // Another process may have made one since.
        if has_key(stored) {
            return Ok(None);
        }
        keys::rotate(stored, record, None)?;
        Ok(Some(Announcement { text: first_key_text(&key, origin), about: () }))
    })?;
    Ok(made.is_some())
}

fn first_key_text(key: &ApiKey, origin: &str) -> String {
    let secret = key.reveal();
    format!(
        "This gallery had no API key, so one was made. It is shown now and never again:\n\n    \
         {secret}\n\nA random image, for any browser:\n\n    {origin}/random-image/{secret}\n\n"
    )
}

fn cannot_listen(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp(address) => {
            format!("can't listen on {address}; is the port free, and the address this machine's?")
        }
        Endpoint::Unix(path) => format!(
            "can't listen on unix:{}; is its folder there and writable, \
             and no other server or file in its place?",
            path.display()
        ),
    }
}

/// Returns what stands before a path in an address that a browser on this machine can open. For a
/// Unix socket it is what curl needs.
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

/// Reads the certificate anew at each SIGHUP. A server without one goes on too.
async fn reload_on_hangup(tls: Option<Arc<Tls>>, mut hangups: HangupSignal) {
    loop {
        hangups.next().await;
        let Some(tls) = &tls else {
            tracing::info!("SIGHUP changes nothing: this server has no certificate to read anew");
            continue;
        };
        match tls.reload() {
            Ok(()) => tracing::info!("the certificate was read anew"),
            Err(error) => tracing::error!(%error, "the certificate stays as it was"),
        }
    }
}

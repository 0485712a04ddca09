//! `imagepool health`: asks a server whether it is well.

use std::path::PathBuf;

use super::global::{ExitReason, GlobalOptions, UsageError};
use super::threads;
use crate::http::{self, ProbeError};

/// Exit 0 when a server answers /healthz; for a container's health check
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server, http://, https:// or unix:PATH [default: the one on this machine where --listen
    /// says]
    #[arg(env = "IMAGEPOOL_URL")]
    url: Option<String>,

    /// Where `serve` was told to listen
    #[arg(long, hide = true, env = "IMAGEPOOL_LISTEN", default_value = "127.0.0.1:5000")]
    listen: String,

    /// What `serve` was given for TLS
    #[arg(long, hide = true, env = "IMAGEPOOL_TLS_CERT")]
    tls_cert: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self, globals: &GlobalOptions) -> anyhow::Result<ExitReason> {
        let url = self.url.unwrap_or_else(|| local_url(self.listen, self.tls_cert.is_some()));
        threads::event_loop()?.block_on(http::probe(&url)).map_err(|error| match error {
            ProbeError::BadUrl(_) => anyhow::Error::new(UsageError(error.to_string())),
            error => error.into(),
        })?;
        globals.say("healthy");
        Ok(ExitReason::Done)
    }
}

/// Returns the address at which this machine reaches a server that listens at `listen`.
fn local_url(listen: String, encrypted: bool) -> String {
    let address = if listen.starts_with("unix:") { None } else { listen.rsplit_once(':') };
    let Some((host, port)) = address else { return listen };
    let scheme = if encrypted { "https" } else { "http" };
    let host = if matches!(host, "0.0.0.0" | "[::]") { "127.0.0.1" } else { host };
    format!("{scheme}://{host}:{port}")
}

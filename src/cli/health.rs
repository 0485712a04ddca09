//! `imagepool health`: does a server answer?

use super::{Context, End, Usage};
use crate::http::{self, ProbeError};

/// Exit 0 when a server answers /healthz; for a container's health check
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server [default: the one on this machine at --listen's port]
    #[arg(env = "IMAGEPOOL_URL")]
    url: Option<String>,

    /// Where `serve` was told to listen
    #[arg(long, hide = true, env = "IMAGEPOOL_LISTEN", default_value = "127.0.0.1:5000")]
    listen: String,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<End> {
        let url = self.url.unwrap_or_else(|| {
            let port = self.listen.rsplit_once(':').map_or("5000", |(_, port)| port);
            // A server that listens on every address is asked on this machine's own.
            let host = match self.listen.rsplit_once(':') {
                Some((host, _)) if !matches!(host, "0.0.0.0" | "[::]") => host,
                _ => "127.0.0.1",
            };
            format!("http://{host}:{port}")
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(http::probe(&url)).map_err(|error| match error {
            ProbeError::BadUrl(_) => anyhow::Error::new(Usage(error.to_string())),
            error => error.into(),
        })?;
        context.say("healthy");
        Ok(End::Done)
    }
}

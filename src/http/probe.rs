//! The client side of a health check, for containers without curl.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a server is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("{0:?} is no http:// address")]
    BadUrl(String),
    #[error("no server at {address}: {source}; is `imagepool serve` running, and with this --listen?")]
    Connect { address: String, source: io::Error },
    #[error("no answer from {url} within {} seconds", TIMEOUT.as_secs())]
    TimedOut { url: Uri },
    #[error("{url} did not answer in HTTP: {source}")]
    Http { url: Uri, source: hyper::Error },
    #[error("{url} answered {status}")]
    Unhealthy { url: Uri, status: hyper::StatusCode },
}

/// Succeeds when `GET url` is answered with 200; an address without a path is asked for `/healthz`.
///
/// # Errors
/// Why it was not.
pub async fn probe(url: &str) -> Result<(), ProbeError> {
    let bad = || ProbeError::BadUrl(url.to_owned());
    let mut parts = url.parse::<Uri>().map_err(|_| bad())?.into_parts();
    if parts.path_and_query.as_ref().is_none_or(|path| path == "/") {
        parts.path_and_query = Some(PathAndQuery::from_static("/healthz"));
    }
    let url = &Uri::from_parts(parts).map_err(|_| bad())?;
    match tokio::time::timeout(TIMEOUT, ask(url)).await {
        Ok(answered) => answered,
        Err(_) => Err(ProbeError::TimedOut { url: url.clone() }),
    }
}

async fn ask(url: &Uri) -> Result<(), ProbeError> {
    let (Some("http"), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(ProbeError::BadUrl(url.to_string()));
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|source| ProbeError::Connect { address: authority.to_string(), source })?;
    let wrap = |source| ProbeError::Http { url: url.clone(), source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(wrap)?;
    tokio::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = url.path_and_query().map_or("/", |path| path.as_str()).parse().unwrap_or_default();
    if let Ok(host) = authority.as_str().parse() {
        request.headers_mut().insert(HOST, host);
    }
    let response = sender.send_request(request).await.map_err(wrap)?;
    if response.status() == hyper::StatusCode::OK {
        return Ok(());
    }
    Err(ProbeError::Unhealthy { url: url.clone(), status: response.status() })
}

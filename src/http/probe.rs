//! Asks a server for its health, for containers without curl.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::http::uri::PathAndQuery;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::connection::client_for_any_server;

/// Time that a server has to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Path that is asked for if the address has none.
const HEALTH: &str = "/healthz";

/// Why a server does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("{0:?} is no http:// or https:// address, and no unix:PATH")]
    BadUrl(String),
    #[error("no server at {url}: {source}; is `imagepool serve` running, and with this --listen?")]
    Connect { url: String, source: io::Error },
    #[error("no answer from {url} within {} seconds", TIMEOUT.as_secs())]
    TimedOut { url: String },
    #[error("{url} does not speak TLS: {source}; was it given --tls-cert?")]
    Tls { url: String, source: io::Error },
    #[error("{url} did not answer in HTTP: {source}")]
    Http { url: String, source: hyper::Error },
    #[error("{url} answered {status}")]
    Unhealthy { url: String, status: StatusCode },
}

/// Succeeds if `GET url` is answered with 200.
///
/// An address without a path, and a Unix socket `unix:PATH`, are asked for `/healthz`. Nothing
/// secret is sent, so any certificate is accepted.
///
/// # Errors
/// When the server can't be reached, or answers anything else.
pub async fn probe(url: &str) -> Result<(), ProbeError> {
    match tokio::time::timeout(TIMEOUT, ask(url)).await {
        Ok(answered) => answered,
        Err(_) => Err(ProbeError::TimedOut { url: url.to_owned() }),
    }
}

async fn ask(url: &str) -> Result<(), ProbeError> {
    let unreachable = |source| ProbeError::Connect { url: url.to_owned(), source };
    if let Some(path) = url.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        let stream = UnixStream::connect(path).await.map_err(unreachable)?;
        return get(stream, url, "localhost", HEALTH).await;
    }
    let bad = || ProbeError::BadUrl(url.to_owned());
    let uri = url.parse::<Uri>().map_err(|_| bad())?;
    let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority())
    else {
        return Err(bad());
    };
    let path = uri
        .path_and_query()
        .map(PathAndQuery::as_str)
        .filter(|path| *path != "/")
        .unwrap_or(HEALTH);
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(unreachable)?;
    if scheme == "http" {
        return get(stream, url, authority.as_str(), path).await;
    }
    let name = ServerName::try_from(host).map_err(|_| bad())?;
    let connector = TlsConnector::from(Arc::new(client_for_any_server()));
    let stream = connector.connect(name, stream).await;
    let stream = stream.map_err(|source| ProbeError::Tls { url: url.to_owned(), source })?;
    get(stream, url, authority.as_str(), path).await
}

async fn get<S>(stream: S, url: &str, host: &str, path: &str) -> Result<(), ProbeError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let failed = |source| ProbeError::Http { url: url.to_owned(), source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    tokio::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = path.parse().unwrap_or_default();
    if let Ok(host) = host.parse() {
        request.headers_mut().insert(HOST, host);
    }
    let status = sender.send_request(request).await.map_err(failed)?.status();
    if status == StatusCode::OK {
        Ok(())
    } else {
        Err(ProbeError::Unhealthy { url: url.to_owned(), status })
    }
}

//! Connections: the accept loop, its limits, and the drain at the end.
//!
//! warp's own server has no timeouts, so its filters run here as a service on hyper. The caller gives the listener
//! and says when to stop.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warp::http::{Method, Request};
use warp::reply::Response;

use super::access::AccessLine;
use super::cors;
use super::error::ApiError;
use super::gallery::Gallery;
use super::policy::Client;
use super::routes::routes;

/// Longest path and query, in bytes; longer ones get 414.
const MAX_URI_BYTES: usize = 8 << 10;
/// A request's head must fit in here, or it gets 431.
const READ_BUFFER_BYTES: usize = 16 << 10;
/// Routes that no rate limits.
const UNLIMITED: [&str; 2] = ["/healthz", "/readyz"];
/// Pause after the system refused a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a server grants its clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; further ones wait in the system's backlog.
    pub max_connections: usize,
    /// From a connection's start, or the end of its last answer, to the end of a request's head.
    pub header_timeout: Duration,
    /// From the order to stop until answers under way are cut.
    pub shutdown_timeout: Duration,
}

/// Serves until `shutdown` is ready, then lets answers under way finish. Returns how many connections were cut.
///
/// # Errors
/// None so far; failing accepts are logged and tried again.
pub async fn serve(
    listener: TcpListener,
    gallery: Arc<Gallery>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> io::Result<usize> {
    let service = TowerToHyperService::new(warp::service(routes(Arc::clone(&gallery))));
    let connections = Arc::new(Semaphore::new(limits.max_connections));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout).max_buf_size(READ_BUFFER_BYTES);

    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (stream, peer, permit) = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            () = &mut shutdown => break,
        };
        let (routes, shared) = (service.clone(), Arc::clone(&gallery));
        let service = service_fn(move |request: Request<Incoming>| {
            respond(routes.clone(), Arc::clone(&shared), peer, request)
        });
        let counted = gallery.metrics().connected();
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A client that goes away or talks no HTTP is its own affair.
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "connection ended");
            }
            drop((counted, permit));
        });
    }
    drop(listener);
    let under_way = graceful.count();
    tracing::info!(connections = under_way, "stopping: answers under way may finish");
    tokio::select! {
        () = graceful.shutdown() => Ok(0),
        () = tokio::time::sleep(limits.shutdown_timeout) => {
            Ok(limits.max_connections - connections.available_permits())
        }
    }
}

/// The next connection, once there is room for one.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let permit = Arc::clone(connections).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "TCP_NODELAY can't be set");
                }
                return (stream, peer, permit);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn respond<F>(
    routes: TowerToHyperService<F>,
    gallery: Arc<Gallery>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response, Infallible>
where
    TowerToHyperService<F>:
        hyper::service::Service<Request<Incoming>, Response = Response, Error = Infallible>,
{
    let policy = &gallery.policy;
    let client = policy.client(peer, request.headers());
    let line = AccessLine::new(client, request.method(), request.uri());
    let allowed_origin = cors::allowed_origin(policy, request.headers());
    let length = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let mut response = if length > MAX_URI_BYTES {
        ApiError::UriTooLong.into()
    } else if request.method() == Method::OPTIONS {
        cors::preflight()
    } else if let Err(error) = limit(&gallery, client, request.uri().path()) {
        error.into()
    } else {
        routes.call(request).await?
    };
    cors::mark(policy, allowed_origin, response.headers_mut());
    let (elapsed, bytes) = line.write(&response);
    gallery.metrics.answered(&response, bytes, elapsed);
    Ok(response)
}

/// Counts the request of a client; monitors may ask as often as they like.
fn limit(gallery: &Gallery, client: Client, path: &str) -> Result<(), ApiError> {
    if UNLIMITED.contains(&path) { Ok(()) } else { gallery.limiter.check_address(client.address) }
}

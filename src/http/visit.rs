//! One connection from its first byte to its last: TLS where it is wanted, HTTP/1 or HTTP/2, and an answer to each request.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;
use warp::http::request::Parts;
use warp::http::{Method, Request};
use warp::reply::Response;

use super::access;
use super::body::Content;
use super::cors;
use super::error::ApiError;
use super::gallery::Gallery;
use super::listener::Stream;
use super::policy::Client;
use super::pulse::{Order, Pulse};
use super::routes::{self, Connection};
use super::tls::{HTTP_2, Tls};
use super::wire::Wire;
use super::worker::Guest;

/// Longest path and query, in bytes; longer ones get 414.
const MAX_URI_BYTES: usize = 8 << 10;
/// A request's head must fit in here, or it gets 431.
const HEAD_BYTES: u16 = 16 << 10;
/// Requests at once on a connection of HTTP/2, and what is held of the answer to each, in bytes.
const STREAMS: u32 = 64;
const STREAM_BYTES: usize = 64 << 10;
/// Routes that no rate limits.
const UNLIMITED: [&str; 2] = ["/healthz", "/readyz"];
/// Longest time between two looks at whether a connection is overdue.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

type Cause = Box<dyn Error + Send + Sync>;

/// A connection, and the filters that answer its requests.
struct Visit<R> {
    connection: Arc<Connection>,
    /// HTTP/2 may call them for several requests, one after the other.
    routes: Mutex<R>,
}

/// The routes as a service.
pub(super) trait Routes:
    Service<Request<Empty<Bytes>>, Response = Response, Error = Infallible, Future: Send>
    + Send
    + 'static
{
}

impl<R> Routes for R where
    R: Service<Request<Empty<Bytes>>, Response = Response, Error = Infallible, Future: Send>
        + Send
        + 'static
{
}

/// Serves a connection to its end.
pub(super) async fn host(guest: Guest, gallery: Arc<Gallery>, routes: impl Routes) {
    let peer = guest.peer;
    let _counted = gallery.metrics().connected();
    // A client that goes away or talks no HTTP is its own affair.
    if let Err(error) = receive(guest, gallery, routes).await {
        tracing::debug!(?peer, %error, "connection ended");
    }
}

async fn receive(guest: Guest, gallery: Arc<Gallery>, routes: impl Routes) -> Result<(), Cause> {
    let Guest { socket, peer, pulse, tls, admission: _admission } = guest;
    let connection = Arc::new(Connection { client: peer.into(), gallery, pulse });
    let visit = Visit { connection, routes: Mutex::new(routes) };
    match (socket.into_stream()?, tls) {
        (Stream::Tcp(stream), None) => http_1(stream, visit).await,
        (Stream::Unix(stream), None) => http_1(stream, visit).await,
        (Stream::Tcp(stream), Some(tls)) => encrypted(stream, &tls, visit).await,
        (Stream::Unix(stream), Some(tls)) => encrypted(stream, &tls, visit).await,
    }
}

async fn encrypted<S, R>(stream: S, tls: &Tls, visit: Visit<R>) -> Result<(), Cause>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    R: Routes,
{
    let pulse = &visit.connection.pulse;
    let Some(stream) = obey(tls.acceptor().accept(stream), |_| {}, pulse).await.transpose()? else {
        return Ok(());
    };
    pulse.set_encrypted();
    if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) {
        http_2(stream, visit).await
    } else {
        http_1(stream, visit).await
    }
}

async fn http_1<S, R>(stream: S, visit: Visit<R>) -> Result<(), Cause>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    R: Routes,
{
    let visit = Arc::new(visit);
    let wire = TokioIo::new(Wire::new(stream, Arc::clone(&visit.connection.pulse)));
    let service = service_fn({
        let visit = Arc::clone(&visit);
        move |request| respond(Arc::clone(&visit), request)
    });
    // A client that has said all it had to say may still be reading.
    let mut http = http1::Builder::new();
    http.half_close(true).max_buf_size(HEAD_BYTES.into());
    let connection = http.serve_connection(wire, service);
    let ended =
        obey(connection, GracefulConnection::graceful_shutdown, &visit.connection.pulse).await;
    ended.unwrap_or(Ok(())).map_err(Cause::from)
}

async fn http_2<S, R>(stream: S, visit: Visit<R>) -> Result<(), Cause>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    R: Routes,
{
    visit.connection.pulse.set_queued();
    let visit = Arc::new(visit);
    let wire = TokioIo::new(Wire::new(stream, Arc::clone(&visit.connection.pulse)));
    let service = service_fn({
        let visit = Arc::clone(&visit);
        move |request| respond(Arc::clone(&visit), request)
    });
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_send_buf_size(STREAM_BYTES)
        .max_header_list_size(HEAD_BYTES.into());
    let connection = http.serve_connection(wire, service);
    let ended =
        obey(connection, GracefulConnection::graceful_shutdown, &visit.connection.pulse).await;
    ended.unwrap_or(Ok(())).map_err(Cause::from)
}

/// Drives what happens on a connection until it ends, is overdue (`None`), or is ordered to leave (`None`).
async fn obey<F: Future>(
    work: F,
    finish: impl FnOnce(Pin<&mut F>),
    pulse: &Pulse,
) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut finish = Some(finish);
    let mut look = pin!(tokio::time::sleep(pulse.next_look(LOOK_INTERVAL)));
    poll_fn(|context| {
        pulse.runs_as(context.waker());
        match pulse.order() {
            Order::GoOn => {}
            Order::Finish => {
                if let Some(finish) = finish.take() {
                    finish(work.as_mut());
                }
            }
            Order::Leave => return Poll::Ready(None),
        }
        if let Poll::Ready(ended) = work.as_mut().poll(context) {
            return Poll::Ready(Some(ended));
        }
        while look.as_mut().poll(context).is_ready() {
            if pulse.is_overdue() {
                return Poll::Ready(None);
            }
            look.as_mut().reset(tokio::time::Instant::now() + pulse.next_look(LOOK_INTERVAL));
        }
        Poll::Pending
    })
    .await
}

/// Answers a request.
async fn respond<R: Routes>(
    visit: Arc<Visit<R>>,
    request: Request<Incoming>,
) -> Result<hyper::Response<Content<impl Body<Data = Bytes, Error = warp::Error>>>, Infallible> {
    let Connection { client, gallery, pulse } = &*visit.connection;
    let answer = pulse.asked();
    let started = Instant::now();
    let policy = &gallery.policy;
    let (mut parts, _) = request.into_parts();
    let request = Arc::new(routes::Request {
        connection: Arc::clone(&visit.connection),
        method: parts.method.clone(),
        uri: parts.uri.clone(),
        headers: std::mem::take(&mut parts.headers),
    });
    let client = policy.client(client, &request.headers);
    let mut response = match reject_early(&request, &client) {
        Some(response) => response,
        None => route(&visit, Arc::clone(&request), parts).await,
    };
    let allowed_origin = cors::allowed_origin(policy, &request.headers);
    cors::mark(policy, allowed_origin, response.headers_mut());
    let elapsed = started.elapsed();
    let bytes = access::log(&client, &request, &response, elapsed);
    gallery.metrics.answered(&response, bytes, elapsed);
    Ok(response.map(|body| Content::new(body, answer)))
}

/// The answer to a request that no route needs to see.
fn reject_early(request: &routes::Request, client: &Client) -> Option<Response> {
    let length = request.uri.path_and_query().map_or(0, |path| path.as_str().len());
    if length > MAX_URI_BYTES {
        return Some(ApiError::UriTooLong.into());
    }
    if request.method == Method::OPTIONS {
        return Some(cors::preflight());
    }
    // Monitors may ask as often as they like.
    if UNLIMITED.contains(&request.path()) {
        return None;
    }
    request.gallery().limiter.check_address(client.address).err().map(Response::from)
}

/// The answer of the routes. A panic costs this request alone.
async fn route<R: Routes>(
    visit: &Visit<R>,
    request: Arc<routes::Request>,
    parts: Parts,
) -> Response {
    let mut routed = Request::from_parts(parts, Empty::new());
    routed.extensions_mut().insert(request);
    let answered = unless_panicking(|| {
        visit.routes.lock().unwrap_or_else(PoisonError::into_inner).call(routed)
    });
    match answered.await {
        Some(Ok(response)) => response,
        None => {
            tracing::error!("a request could not be answered: the program has a fault");
            ApiError::Internal.into()
        }
    }
}

/// What a future gives that `start` makes; `None` when one of them panics.
async fn unless_panicking<F: Future>(start: impl FnOnce() -> F) -> Option<F::Output> {
    let future = catch_unwind(AssertUnwindSafe(start)).ok()?;
    let mut future = pin!(future);
    // Whatever it left half-done is dropped with it.
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(polled) => polled.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_costs_one_request() {
        assert_eq!(unless_panicking(|| async { 1 }).await, Some(1));
        assert_eq!(unless_panicking(|| async { panic!("in a handler") }).await, None::<()>);
        let early = unless_panicking::<std::future::Ready<()>>(|| panic!("before it"));
        assert_eq!(early.await, None);
    }
}

//! One connection's life in the server: TLS if it is wanted, then HTTP/1 or HTTP/2 to the end.
//!
//! A session ends when the client leaves, when it is overdue, or when it is asked to close. What is
//! answered is the responder's business; this room knows nothing of galleries.

use std::error::Error;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::activity::{ConnectionActivity, ResponseGuard};
use super::buffered_socket::BufferedSocket;
use super::close_signal::CloseRequest;
use super::tls::{HTTP_2, Tls};

/// Room for a request's head, in bytes. A longer one gets 431.
const HEAD_BYTES: u16 = 16 << 10;
/// Requests under way at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 64;
/// Bytes that HTTP/2 holds of each response before the client takes them.
const STREAM_BUFFER_BYTES: usize = 64 << 10;
/// Longest time between two looks at whether a connection is overdue.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(1);

pub(super) type SessionError = Box<dyn Error + Send + Sync>;

/// Answers the requests of one connection. No answer is an error: those are responses too.
pub(crate) trait Respond: Send + Sync + 'static {
    fn respond(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<impl ResponseBody + use<Self>>> + Send;
}

/// The body of a response.
pub(crate) trait ResponseBody:
    Body<Data = Bytes, Error: Into<SessionError>> + Send + Unpin + 'static
{
}

impl<B> ResponseBody for B where
    B: Body<Data = Bytes, Error: Into<SessionError>> + Send + Unpin + 'static
{
}

/// Makes what answers the requests of a new connection.
pub(crate) trait Application: Clone + Send + 'static {
    type Responder: Respond;

    /// `peer` is the client's address, if it has one.
    fn responder(
        &self,
        peer: Option<SocketAddr>,
        activity: Arc<ConnectionActivity>,
    ) -> Self::Responder;
}

/// The connection was evicted before its request was answered.
#[derive(Debug, thiserror::Error)]
#[error("evicted to make room")]
struct Evicted;

/// A connection and what answers its requests.
pub(super) struct Session<R> {
    activity: Arc<ConnectionActivity>,
    responder: Arc<R>,
}

impl<R: Respond> Session<R> {
    pub(super) fn new(activity: Arc<ConnectionActivity>, responder: R) -> Self {
        Self { activity, responder: Arc::new(responder) }
    }

    /// Serves the connection to its end, over TLS if it is given.
    pub(super) async fn run<S>(self, stream: S, tls: Option<&Tls>) -> Result<(), SessionError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Some(tls) = tls else { return self.run_http_1(stream).await };
        let handshake = tls.acceptor().accept(stream);
        let Some(stream) = self.drive(handshake, |_| {}).await.transpose()? else {
            return Ok(());
        };
        self.activity.set_encrypted();
        if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) {
            self.run_http_2(stream).await
        } else {
            self.run_http_1(stream).await
        }
    }

    async fn run_http_1<S>(self, stream: S) -> Result<(), SessionError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let socket = BufferedSocket::new(stream, Arc::clone(&self.activity));
        let mut http = http1::Builder::new();
        // A client that has sent all its requests may still be reading.
        http.half_close(true).max_buf_size(HEAD_BYTES.into());
        let connection = http.serve_connection(TokioIo::new(socket), self.service());
        let ended = self.drive(connection, GracefulConnection::graceful_shutdown).await;
        ended.unwrap_or(Ok(())).map_err(SessionError::from)
    }

    pub(super) async fn run_http_2<S>(self, stream: S) -> Result<(), SessionError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.activity.set_queued();
        let socket = BufferedSocket::new(stream, Arc::clone(&self.activity));
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_send_buf_size(STREAM_BUFFER_BYTES)
            .max_header_list_size(HEAD_BYTES.into());
        let connection = http.serve_connection(TokioIo::new(socket), self.service());
        let ended = self.drive(connection, GracefulConnection::graceful_shutdown).await;
        ended.unwrap_or(Ok(())).map_err(SessionError::from)
    }

    /// The responder as hyper calls it, with the activity told of each response.
    fn service(
        &self,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<impl ResponseBody + use<R>>,
        Error = Evicted,
        Future: Send,
    > + use<R> {
        let (activity, responder) = (Arc::clone(&self.activity), Arc::clone(&self.responder));
        service_fn(move |request| {
            let guard = activity.begin_response(Instant::now()).ok_or(Evicted);
            let responder = Arc::clone(&responder);
            async move {
                let guard = guard?;
                let response = responder.respond(request).await;
                Ok(response.map(|body| TrackedBody { body, _guard: guard }))
            }
        })
    }

    /// Polls `work` to its end; `None` if it is overdue or has to close at once.
    async fn drive<F: Future>(
        &self,
        work: F,
        finish: impl FnOnce(Pin<&mut F>),
    ) -> Option<F::Output> {
        let activity = &self.activity;
        let mut work = pin!(work);
        let mut finish = Some(finish);
        let next_check = |now| now + activity.next_check(now, CHECK_INTERVAL);
        let mut check = pin!(tokio::time::sleep_until(next_check(Instant::now())));
        poll_fn(|context| {
            match activity.watch_close(context.waker()) {
                CloseRequest::None => {}
                CloseRequest::Graceful => {
                    if let Some(finish) = finish.take() {
                        finish(work.as_mut());
                    }
                }
                CloseRequest::Immediate => return Poll::Ready(None),
            }
            if let Poll::Ready(ended) = work.as_mut().poll(context) {
                return Poll::Ready(Some(ended));
            }
            while check.as_mut().poll(context).is_ready() {
                let now = Instant::now();
                if activity.is_overdue(now) {
                    return Poll::Ready(None);
                }
                check.as_mut().reset(next_check(now));
            }
            Poll::Pending
        })
        .await
    }
}

/// The body of a response, which is under way for as long as this exists.
struct TrackedBody<B> {
    body: B,
    _guard: ResponseGuard,
}

impl<B: Body + Unpin> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

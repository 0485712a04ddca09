//! What a connection is doing, since when, and until when it may.
//!
//! Whoever moves bytes stores a time here, and the connection's session looks at it about once a
//! second, so a request costs no timer. Every method that decides by the clock takes the time as an
//! argument. Inside, times are milliseconds since the server started.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::close_signal::{CloseRequest, CloseSignal};

/// Deadline of a connection that waits for the server, in milliseconds.
const NEVER: u64 = u64::MAX;
/// Largest part of a response that is written in one call, in bytes.
const CHUNK_BYTES: usize = 1 << 20;
/// Backlog of all connections together above which chunks shrink, in bytes.
const MAX_BUFFERED_BYTES: usize = 16 << 20;
/// Largest chunk while the backlog is above that, in bytes.
const SMALL_CHUNK_BYTES: usize = 64 << 10;
/// Largest chunk that a TLS stream takes in one call, in bytes.
const TLS_CHUNK_BYTES: usize = 48 << 10;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From a connection's start, or a request's first byte, to the end of the request's head; also
    /// for a TLS handshake.
    pub header: Duration,
    /// From a response's end to the next request's first byte.
    pub idle: Duration,
    /// For a client to take 64 KiB of a response.
    pub write: Duration,
}

/// What all connections of a server share.
pub(crate) struct ServerState {
    started: Instant,
    timeouts: Timeouts,
    /// Bytes that the sockets of all connections together keep back.
    buffered_bytes: AtomicUsize,
}

impl ServerState {
    /// Returns the state of a server that starts at `now`.
    pub(crate) fn new(timeouts: Timeouts, now: Instant) -> Arc<Self> {
        Arc::new(Self { started: now, timeouts, buffered_bytes: AtomicUsize::new(0) })
    }

    #[cfg(test)]
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes.load(Ordering::Relaxed)
    }

    fn millis(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.started))
    }
}

/// The state of one connection. All but `close` is written by the connection's own thread alone.
pub(crate) struct ConnectionActivity {
    server: Arc<ServerState>,
    close: CloseSignal,
    /// When the connection is overdue, or [`NEVER`].
    deadline: AtomicU64,
    /// Whether a request's first byte has come and the end of its head has not.
    reading_head: AtomicBool,
    /// Responses under way.
    responses: AtomicU32,
    /// Whether the socket keeps back bytes that the client did not take yet.
    backlogged: AtomicBool,
    /// Whether a chunk of a body waits in a queue before it is written, as over HTTP/2.
    queued: AtomicBool,
    /// Largest chunk that this connection takes in one call, in bytes.
    chunk_bytes: AtomicUsize,
}

impl ConnectionActivity {
    /// Returns the activity of a connection that was accepted at `now`.
    pub(crate) fn new(server: &Arc<ServerState>, now: Instant) -> Arc<Self> {
        let now = server.millis(now);
        Arc::new(Self {
            close: CloseSignal::new(now),
            deadline: AtomicU64::new(now.saturating_add(millis(server.timeouts.header))),
            server: Arc::clone(server),
            reading_head: AtomicBool::new(true),
            responses: AtomicU32::new(0),
            backlogged: AtomicBool::new(false),
            queued: AtomicBool::new(false),
            chunk_bytes: AtomicUsize::new(CHUNK_BYTES),
        })
    }

    /// Notes that bytes came from the client.
    pub(super) fn received(&self, now: Instant) {
        // The time for a head that comes early counts from the end of the response before it.
        let waiting = self.responses.load(Ordering::Relaxed) == 0 && !self.is_backlogged();
        if waiting && !self.reading_head.swap(true, Ordering::Relaxed) {
            self.set_deadline(now, self.server.timeouts.header);
        }
    }

    /// Notes that a request's head is complete; `None` if the connection was evicted meanwhile.
    ///
    /// The guard stands for the response and is dropped when its last byte is handed over.
    pub(super) fn begin_response(self: &Arc<Self>, now: Instant) -> Option<ResponseGuard> {
        if !self.close.begin_responding() {
            return None;
        }
        self.responses.fetch_add(1, Ordering::Relaxed);
        self.reading_head.store(false, Ordering::Relaxed);
        if !self.is_backlogged() {
            self.response_progressed(now);
        }
        Some(ResponseGuard(Arc::clone(self)))
    }

    fn end_response(&self, now: Instant) {
        if self.responses.fetch_sub(1, Ordering::Relaxed) == 1 && !self.is_backlogged() {
            self.become_idle(now);
        }
    }

    /// Notes that a response goes on, now that nothing is kept back.
    ///
    /// Over HTTP/1 the server owes the next bytes, so there is no deadline. Over HTTP/2 a client
    /// can hold a response up without the server seeing it, so the response has to keep moving.
    pub(crate) fn response_progressed(&self, now: Instant) {
        if self.is_queued() {
            self.set_deadline(now, self.server.timeouts.write);
        } else {
            self.deadline.store(NEVER, Ordering::Relaxed);
        }
    }

    /// Notes that the socket keeps back this many bytes, which the client has to take.
    pub(super) fn buffered(&self, bytes: usize, now: Instant) {
        self.server.buffered_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.backlogged.store(true, Ordering::Relaxed);
        // A connection that was evicted ends all the same.
        let _ = self.close.begin_responding();
        self.set_deadline(now, self.server.timeouts.write);
    }

    /// Notes that the client took enough of the backlog to be given more time for the rest.
    pub(super) fn backlog_progressed(&self, now: Instant) {
        self.set_deadline(now, self.server.timeouts.write);
    }

    /// Notes that the socket freed this many buffered bytes.
    pub(super) fn released(&self, bytes: usize) {
        self.server.buffered_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Notes that the client has taken the whole backlog.
    pub(super) fn backlog_sent(&self, now: Instant) {
        self.backlogged.store(false, Ordering::Relaxed);
        if self.responses.load(Ordering::Relaxed) == 0 {
            self.become_idle(now);
        } else {
            self.response_progressed(now);
        }
    }

    fn become_idle(&self, now: Instant) {
        self.close.end_responding(self.server.millis(now));
        self.set_deadline(now, self.server.timeouts.idle);
    }

    fn set_deadline(&self, now: Instant, timeout: Duration) {
        let deadline = self.server.millis(now).saturating_add(millis(timeout));
        self.deadline.store(deadline, Ordering::Relaxed);
    }

    fn is_backlogged(&self) -> bool {
        self.backlogged.load(Ordering::Relaxed)
    }

    /// How many bytes a body may hand over next; `None` while the client has a backlog to take.
    ///
    /// The socket wakes the connection's task once the backlog is sent.
    pub(crate) fn chunk_bytes(&self) -> Option<usize> {
        if self.is_backlogged() {
            return None;
        }
        let largest = self.chunk_bytes.load(Ordering::Relaxed);
        let is_tight = self.server.buffered_bytes.load(Ordering::Relaxed) >= MAX_BUFFERED_BYTES;
        Some(if is_tight { largest.min(SMALL_CHUNK_BYTES) } else { largest })
    }

    /// Makes chunks fit what a TLS stream takes in one call.
    pub(super) fn set_encrypted(&self) {
        self.chunk_bytes.store(TLS_CHUNK_BYTES, Ordering::Relaxed);
    }

    /// Notes that chunks of bodies wait in a queue before they are written, as over HTTP/2.
    pub(super) fn set_queued(&self) {
        self.queued.store(true, Ordering::Relaxed);
    }

    /// Whether chunks of bodies wait in a queue, so that they must not borrow the gallery's pages.
    pub(crate) fn is_queued(&self) -> bool {
        self.queued.load(Ordering::Relaxed)
    }

    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.deadline.load(Ordering::Relaxed) <= self.server.millis(now)
    }

    /// How long until the session has to look again whether the connection is overdue.
    ///
    /// A deadline may come closer meanwhile, so this is at most a quarter of the shortest timeout.
    pub(super) fn next_check(&self, now: Instant, longest: Duration) -> Duration {
        let Timeouts { header, idle, write } = self.server.timeouts;
        let shortest = header.min(idle).min(write) / 4;
        let deadline = self.deadline.load(Ordering::Relaxed);
        let left = Duration::from_millis(deadline.saturating_sub(self.server.millis(now)));
        left.min(shortest).min(longest).max(Duration::from_millis(1))
    }

    /// Since when the connection has been idle, for comparison; `None` if it is not idle.
    pub(super) fn idle_since(&self) -> Option<u64> {
        self.close.idle_since()
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.close.is_evicted()
    }

    /// Closes the connection if it is still idle since then; returns whether it was.
    pub(super) fn evict(&self, idle_since: u64) -> bool {
        self.close.evict(idle_since)
    }

    /// Asks the connection to close once the responses under way are sent.
    pub(super) fn close_gracefully(&self) {
        self.close.request(CloseRequest::Graceful);
    }

    /// Returns how the connection has to close, and wakes the task when that changes.
    pub(super) fn watch_close(&self, task: &Waker) -> CloseRequest {
        self.close.watch(task)
    }
}

/// A response under way, from the end of its request's head until its last byte is handed over.
pub(super) struct ResponseGuard(Arc<ConnectionActivity>);

impl Drop for ResponseGuard {
    fn drop(&mut self) {
        self.0.end_response(Instant::now());
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(NEVER / 2).min(NEVER / 2)
}

//! A socket that takes what it is given: what does not fit at once is copied and sent later.
//!
//! hyper writes an answer's head and a chunk of its body with one call. When that call returns, none of the chunk's own
//! memory is needed any more, so it may lie in pages that only a short read transaction keeps as they are. The next chunk is not
//! opened before the copy is sent: see [`Pulse::is_backlogged`].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pulse::Pulse;

/// What a client has to take within the time that it has for writes.
const PROGRESS_BYTES: usize = 64 << 10;

/// A client's socket, or the TLS stream over it.
pub(super) struct Wire<S> {
    stream: S,
    pulse: Arc<Pulse>,
    /// Bytes that the stream did not take yet.
    backlog: Vec<u8>,
    /// How many of them it has taken since.
    sent: usize,
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse, backlog: Vec::new(), sent: 0 }
    }

    fn poll_catch_up(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.backlog.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.sent < self.backlog.len() {
            let sent =
                ready!(Pin::new(&mut self.stream).poll_write(context, &self.backlog[self.sent..]))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let steps = self.sent / PROGRESS_BYTES;
            self.sent += sent;
            if self.sent / PROGRESS_BYTES > steps {
                self.pulse.progressed();
            }
        }
        self.pulse.let_go(self.backlog.len());
        (self.backlog, self.sent) = (Vec::new(), 0);
        self.pulse.caught_up();
        Poll::Ready(Ok(()))
    }

    /// Keeps what follows the first `sent` bytes.
    fn keep_back(&mut self, parts: &[IoSlice<'_>], mut sent: usize) {
        self.backlog.reserve_exact(parts.iter().map(|part| part.len()).sum::<usize>() - sent);
        for part in parts {
            let skipped = sent.min(part.len());
            self.backlog.extend_from_slice(&part[skipped..]);
            sent -= skipped;
        }
        self.pulse.kept_back(self.backlog.len());
    }
}

impl<S> Drop for Wire<S> {
    fn drop(&mut self) {
        self.pulse.let_go(self.backlog.len());
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.pulse.heard();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_catch_up(context))?;
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let sent = match Pin::new(&mut self.stream).poll_write_vectored(context, parts) {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        if sent < total {
            self.keep_back(parts, sent);
        }
        Poll::Ready(Ok(total))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_catch_up(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_catch_up(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

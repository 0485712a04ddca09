//! A socket that takes everything it is given, and copies and sends later what did not fit at once.
//!
//! hyper writes a response's head and a chunk of its body in one call. When that call returns, the
//! chunk's own memory is free again, so it may lie in pages that only a short read transaction
//! keeps. No further chunk is opened before the copy is sent, see
//! [`ConnectionActivity::chunk_bytes`], so a slow client holds one chunk in memory.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::activity::ConnectionActivity;

/// Bytes that a client has to take within the write timeout.
const PROGRESS_BYTES: usize = 64 << 10;

/// A client's socket, or the TLS stream over it, with a backlog.
pub(super) struct BufferedSocket<S> {
    stream: S,
    activity: Arc<ConnectionActivity>,
    /// Bytes that the stream did not take at once.
    backlog: Vec<u8>,
    /// Bytes of the backlog that the stream has taken since.
    sent: usize,
}

impl<S: AsyncWrite + Unpin> BufferedSocket<S> {
    pub(super) fn new(stream: S, activity: Arc<ConnectionActivity>) -> Self {
        Self { stream, activity, backlog: Vec::new(), sent: 0 }
    }

    fn poll_send_backlog(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.backlog.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.sent < self.backlog.len() {
            let rest = &self.backlog[self.sent..];
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let steps = self.sent / PROGRESS_BYTES;
            self.sent += sent;
            if self.sent / PROGRESS_BYTES > steps {
                self.activity.backlog_progressed(Instant::now());
            }
        }
        self.activity.released(self.backlog.len());
        (self.backlog, self.sent) = (Vec::new(), 0);
        self.activity.backlog_sent(Instant::now());
        Poll::Ready(Ok(()))
    }

    /// Copies what follows the first `sent` bytes.
    fn keep_back(&mut self, parts: &[IoSlice<'_>], mut sent: usize) {
        self.backlog.reserve_exact(parts.iter().map(|part| part.len()).sum::<usize>() - sent);
        for part in parts {
            let skipped = sent.min(part.len());
            self.backlog.extend_from_slice(&part[skipped..]);
            sent -= skipped;
        }
        self.activity.buffered(self.backlog.len(), Instant::now());
    }
}

impl<S> Drop for BufferedSocket<S> {
    fn drop(&mut self) {
        self.activity.released(self.backlog.len());
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BufferedSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.activity.received(Instant::now());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BufferedSocket<S> {
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
        ready!(self.poll_send_backlog(context))?;
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
        ready!(self.poll_send_backlog(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send_backlog(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

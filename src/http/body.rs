//! What follows a head: warp's bodies as they are, and images straight out of the gallery's pages.
//!
//! An image goes out in chunks. Over HTTP/1 each is handed to the socket where it lies, under a read transaction that ends with
//! that write, for a [`Wire`](super::wire::Wire) keeps a copy of what its socket does not take. While it keeps one, no further
//! chunk is opened: a slow client holds one chunk and pins no pages. HTTP/2 queues chunks for as long as its client likes, so it is
//! given copies. A chunk that is not in memory is read by a blocking thread first: a slow disk delays those alone who wait for it.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use super::pulse::Answer;
use super::routes::Connection;
use crate::image::ImageId;
use crate::store::{Blob, StoreError};

/// A part of an image, or of its rendition of some width.
pub(super) struct ImageBody {
    connection: Arc<Connection>,
    id: ImageId,
    width: u16,
    rest: Range<usize>,
    /// Open only from one chunk's lookup to its write.
    blob: Option<Blob>,
    /// Its next chunk is being read from the disk.
    loading: Option<(Range<usize>, Loading)>,
    /// All of it is in memory.
    is_there: bool,
}

/// A chunk on its way from the disk.
type Loading = JoinHandle<Result<(), CutShort>>;

/// The image was removed, or could not be read, while it was being sent; the connection is cut.
#[derive(Debug, thiserror::Error)]
pub(super) enum CutShort {
    #[error("the image was removed while it was being sent")]
    Removed,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("reading it was given up")]
    GivenUp,
}

impl ImageBody {
    /// `blob` is the image's; `is_there` says that the part is in memory.
    pub(super) fn new(
        connection: Arc<Connection>,
        (id, width): (ImageId, u16),
        part: Range<usize>,
        blob: Blob,
        is_there: bool,
    ) -> Self {
        // Where chunks wait in a queue, the first one may be wanted late.
        let blob = Some(blob).filter(|_| connection.pulse.is_direct());
        Self { connection, id, width, rest: part, blob, loading: None, is_there }
    }

    fn hold(&mut self) -> Result<Blob, CutShort> {
        match self.blob.take() {
            Some(blob) => Ok(blob),
            None => self
                .connection
                .gallery
                .store
                .hold_blob(self.id, self.width)?
                .ok_or(CutShort::Removed),
        }
    }

    /// Has a blocking thread read a chunk.
    fn load(&mut self, chunk: Range<usize>) {
        let (gallery, id, width) = (Arc::clone(&self.connection.gallery), self.id, self.width);
        let wanted = chunk.clone();
        let loading = tokio::task::spawn_blocking(move || {
            let blob = gallery.store.hold_blob(id, width)?.ok_or(CutShort::Removed)?;
            if chunk.end <= blob.as_ref().len() {
                gallery.residency.loaded(chunk.len());
                blob.load(chunk);
            }
            Ok(())
        });
        self.loading = Some((wanted, loading));
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, CutShort>> {
        if self.connection.pulse.is_backlogged() {
            // The wire wakes this connection's task when its socket takes more.
            self.blob = None;
            return Poll::Pending;
        }
        let mut chunk = self.rest.start
            ..self.rest.end.min(self.rest.start + self.connection.pulse.chunk_bytes());
        let mut loaded = false;
        loop {
            if let Some((of, loading)) = &mut self.loading {
                ready!(Pin::new(loading).poll(context)).map_err(|_| CutShort::GivenUp)??;
                chunk.end = of.end;
                self.loading = None;
                loaded = true;
            }
            let blob = self.hold()?;
            if chunk.end > blob.as_ref().len() {
                return Poll::Ready(Err(CutShort::Removed));
            }
            // What was read just now is there, whatever the kernel says.
            if self.is_there || loaded || blob.is_resident(chunk.clone()) {
                self.rest.start = chunk.end;
                self.connection.pulse.moves();
                let bytes = if self.connection.pulse.is_direct() {
                    Bytes::from_owner(blob).slice(chunk)
                } else {
                    Bytes::copy_from_slice(&blob.as_ref()[chunk])
                };
                return Poll::Ready(Ok(bytes));
            }
            self.load(chunk.clone());
        }
    }
}

impl warp::Stream for ImageBody {
    type Item = Result<Bytes, CutShort>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let chunk = ready!(self.poll_chunk(context));
        if let Err(error) = &chunk {
            tracing::warn!(id = %self.id, %error, "an answer was cut");
            self.rest = 0..0;
        }
        Poll::Ready(Some(chunk))
    }
}

/// The body of any answer, which is under way as long as this exists.
pub(super) struct Content<B> {
    body: B,
    _answer: Answer,
}

impl<B> Content<B> {
    pub(super) fn new(body: B, answer: Answer) -> Self {
        Self { body, _answer: answer }
    }
}

impl<B: Body + Unpin> Body for Content<B> {
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

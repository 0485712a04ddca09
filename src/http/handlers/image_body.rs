//! The bytes of an image, sent straight out of the gallery's pages.
//!
//! An image goes out in chunks. Over HTTP/1 a chunk is handed to the socket where it lies, under a
//! read transaction that ends with that write, because the socket copies what it can't send at
//! once. While it keeps a copy back no further chunk is opened, so a slow client holds one chunk
//! and pins no pages. HTTP/2 queues chunks for as long as its client likes, so it is given copies.
//! A blocking thread reads a chunk that is not in memory, so a slow disk delays only those who wait
//! for it.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::time::Instant;

use crate::http::blocking::{Blocking, BlockingError, run_blocking};
use crate::http::request::ConnectionContext;
use crate::image::ImageId;
use crate::store::{Blob, StoreError};

/// A part of an image, or of one of its renditions.
pub(super) struct ImageBody {
    connection: Arc<ConnectionContext>,
    id: ImageId,
    /// Width of the rendition in pixels; 0 for the image itself.
    width: u16,
    /// Bytes that are still to be sent.
    rest: Range<usize>,
    /// Open only from one chunk's lookup to its write.
    blob: Option<Blob>,
    /// The next chunk, if a blocking thread is reading it from the disk.
    loading: Option<(Range<usize>, Loading)>,
    /// Whether all of the part is in memory.
    is_cached: bool,
}

/// A chunk on its way from the disk.
type Loading = Blocking<Result<(), BodyError>>;

/// Why the connection is cut in the middle of an image.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the image was removed while it was being sent")]
    Removed,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("it could not be read: {0}")]
    Aborted(#[from] BlockingError),
}

impl ImageBody {
    /// `blob` is the image's or the rendition's, `is_cached` whether the part is in memory.
    pub(super) fn new(
        connection: Arc<ConnectionContext>,
        (id, width): (ImageId, u16),
        part: Range<usize>,
        blob: Blob,
        is_cached: bool,
    ) -> Self {
        // The first chunk may wait long in a queue, and the transaction must not.
        let blob = Some(blob).filter(|_| !connection.activity.is_queued());
        Self { connection, id, width, rest: part, blob, loading: None, is_cached }
    }

    /// Returns the open blob, or opens it.
    fn open_blob(&mut self) -> Result<Blob, BodyError> {
        match self.blob.take() {
            Some(blob) => Ok(blob),
            None => self
                .connection
                .gallery
                .store
                .hold_blob(self.id, self.width)?
                .ok_or(BodyError::Removed),
        }
    }

    /// Starts to read a chunk from the disk on a blocking thread.
    fn start_loading(&mut self, chunk: Range<usize>) {
        let (gallery, id, width) = (Arc::clone(&self.connection.gallery), self.id, self.width);
        let wanted = chunk.clone();
        let loading = run_blocking(move || {
            let blob = gallery.store.hold_blob(id, width)?.ok_or(BodyError::Removed)?;
            if chunk.end <= blob.as_ref().len() {
                gallery.page_cache_hints.count_disk_read(chunk.len());
                blob.load(chunk);
            }
            Ok(())
        });
        self.loading = Some((wanted, loading));
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, BodyError>> {
        let activity = &self.connection.activity;
        let Some(most_bytes) = activity.chunk_bytes() else {
            // The socket wakes this connection's task once its backlog is sent.
            self.blob = None;
            return Poll::Pending;
        };
        let mut chunk = self.rest.start..self.rest.end.min(self.rest.start + most_bytes);
        let mut loaded = false;
        loop {
            if let Some((of, loading)) = &mut self.loading {
                ready!(Pin::new(loading).poll(context))??;
                chunk.end = of.end;
                self.loading = None;
                loaded = true;
            }
            let blob = self.open_blob()?;
            if chunk.end > blob.as_ref().len() {
                return Poll::Ready(Err(BodyError::Removed));
            }
            // A chunk that was read just now is in memory, whatever the kernel says.
            if self.is_cached || loaded || blob.is_resident(chunk.clone()) {
                self.rest.start = chunk.end;
                let activity = &self.connection.activity;
                activity.response_progressed(Instant::now());
                let bytes = if activity.is_queued() {
                    Bytes::copy_from_slice(&blob.as_ref()[chunk])
                } else {
                    Bytes::from_owner(blob).slice(chunk)
                };
                return Poll::Ready(Ok(bytes));
            }
            self.start_loading(chunk.clone());
        }
    }
}

impl warp::Stream for ImageBody {
    type Item = Result<Bytes, BodyError>;

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

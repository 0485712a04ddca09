//! Answers requests in tests of the connection room: `/BYTES/MILLIS` gets so many bytes, so late.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{Request, Response};
use tokio::time::Instant;

use super::activity::ConnectionActivity;
use super::session::{Respond, ResponseBody};

/// The source of all bodies; no chunk is larger.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// Answers the requests of one connection.
pub(super) struct TestResponder {
    pub(super) activity: Arc<ConnectionActivity>,
}

impl Respond for TestResponder {
    async fn respond(&self, request: Request<Incoming>) -> Response<impl ResponseBody + use<>> {
        let mut numbers = request.uri().path()[1..].split('/').map(|part| part.parse().unwrap());
        let (bytes, millis): (u64, u64) = (numbers.next().unwrap(), numbers.next().unwrap());
        if millis > 0 {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        Response::new(ZeroBody { activity: Arc::clone(&self.activity), left: bytes })
    }
}

/// A body that is handed over in chunks as an image's is.
struct ZeroBody {
    activity: Arc<ConnectionActivity>,
    left: u64,
}

impl Body for ZeroBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let Some(most_bytes) = self.activity.chunk_bytes() else { return Poll::Pending };
        let chunk = most_bytes.min(ZEROS.len()).min(usize::try_from(self.left).unwrap());
        self.left -= chunk as u64;
        self.activity.response_progressed(Instant::now());
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&ZEROS[..chunk])))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

//! Runs what may take long on a blocking thread, so that no event loop waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;

use super::error::ApiError;

/// Why a blocking thread gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BlockingError {
    #[error("no thread could be started for it; raise the limit of threads (`ulimit -u`)")]
    NoThread,
    #[error("it ended early: the program has a fault")]
    Panicked,
}

impl From<BlockingError> for ApiError {
    fn from(error: BlockingError) -> Self {
        match error {
            BlockingError::NoThread => Self::Unavailable,
            BlockingError::Panicked => Self::Internal,
        }
    }
}

/// Work under way on a blocking thread, or the reason why it is not.
pub(super) struct Blocking<T>(Result<JoinHandle<T>, BlockingError>);

/// Starts work on a blocking thread.
///
/// tokio panics when it can't start the first such thread, which is an error here.
pub(super) fn run_blocking<T, F>(work: F) -> Blocking<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let started = catch_unwind(AssertUnwindSafe(|| tokio::task::spawn_blocking(work)));
    Blocking(started.map_err(|_| {
        let error = BlockingError::NoThread;
        tracing::error!(%error, "a request, or the catalog, has to wait");
        error
    }))
}

impl<T> Future for Blocking<T> {
    type Output = Result<T, BlockingError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(handle) => Pin::new(handle)
                .poll(context)
                .map(|joined| joined.map_err(|_| BlockingError::Panicked)),
            Err(error) => Poll::Ready(Err(*error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_on_a_blocking_thread_is_an_error() {
        assert_eq!(run_blocking(|| 1).await, Ok(1));
        let panicked: Result<(), _> = run_blocking(|| panic!("in blocking work")).await;
        assert_eq!(panicked, Err(BlockingError::Panicked));
    }
}

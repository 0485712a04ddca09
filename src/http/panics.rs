//! Keeps a panic in one request, or one round of a repeated task, from ending more than that.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// Runs the future that `start` returns, or returns `None` if either panics.
pub(super) async fn unless_panicking<F: Future>(start: impl FnOnce() -> F) -> Option<F::Output> {
    let future = catch_unwind(AssertUnwindSafe(start)).ok()?;
    let mut future = pin!(future);
    // Whatever the future left half done is dropped with it.
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

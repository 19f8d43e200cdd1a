//! Work that is not broken off when nobody waits for it any more.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Goes on in the background when it is dropped after it has begun.
///
/// A command that is on its way to a memcached takes effect some time, and on another connection nobody can see when: who leaves in between
/// would leave a lock behind.
pub fn finish<F>(work: F) -> Finish<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    Finish { work: Some(Box::pin(work)), begun: false }
}

/// See [`finish`].
pub struct Finish<F: Future<Output: Send> + Send + 'static> {
    work: Option<Pin<Box<F>>>,
    begun: bool,
}

impl<F: Future<Output: Send> + Send + 'static> Future for Finish<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.begun = true;
        let Some(work) = self.work.as_mut() else { return Poll::Pending };
        let output = ready!(work.as_mut().poll(context));
        self.work = None;
        Poll::Ready(output)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Finish<F> {
    fn drop(&mut self) {
        if let (true, Some(work), Ok(runtime)) =
            (self.begun, self.work.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_has_begun_is_finished() {
        let (done, is_done) = oneshot::channel();
        let work = finish(async {
            sleep(Duration::from_secs(2)).await;
            let _ = done.send(());
        });
        assert!(timeout(Duration::from_secs(1), work).await.is_err());
        assert_eq!(is_done.await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_not_begun_never_begins() {
        let (done, is_done) = oneshot::channel();
        drop(finish(async { done.send(()) }));
        assert!(is_done.await.is_err());
    }
}

//! Bodies of HTTP/2 requests that do not come. Pingora bounds the reads of HTTP/1 alone; a stream that stops would hold its server for ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use pingora_core::protocols::Digest;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::known::Known;

/// What an HTTP/2 connection and its requests share.
#[derive(Debug, Clone, Default)]
pub(super) struct Connection(Arc<State>);

#[derive(Debug, Default)]
struct State {
    closed: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

impl Connection {
    /// Whether it is to be closed; wakes the reader when it is.
    pub(super) fn is_closed(&self, cx: &Context<'_>) -> bool {
        let mut reader = self.0.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if !reader.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *reader = Some(cx.waker().clone());
        }
        self.0.closed.load(Ordering::Relaxed)
    }

    fn close(&self) {
        let mut reader = self.0.reader.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.closed.store(true, Ordering::Relaxed);
        if let Some(reader) = reader.take() {
            reader.wake();
        }
    }
}

/// A body that is being sent. When it stops, its connection is closed.
pub struct Upload {
    progress: Arc<Notify>,
    watch: JoinHandle<()>,
}

impl Upload {
    /// Of a request on a connection with this digest. `None`: the connection bounds it itself. `within`: between two pieces.
    pub fn watch(digest: &Digest, within: Duration) -> Option<Self> {
        let connection = Known::of(digest)?.uploads.clone()?;
        let progress = Arc::new(Notify::new());
        let watched = progress.clone();
        let watch = tokio::spawn(async move {
            while timeout(within, watched.notified()).await.is_ok() {}
            connection.close();
        });
        Some(Self { progress, watch })
    }

    /// A piece has come.
    pub fn progressed(&self) {
        self.progress.notify_one();
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

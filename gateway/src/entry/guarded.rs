//! A client's connection with what Pingora's has not.
//!
//! A request's header has to come whole within a time, as with nginx's `client_header_timeout`: Pingora bounds each read only, so that a client
//! could send a byte a minute and keep its connection for ever. And what a slow client has not read yet is spooled, as with nginx's
//! `proxy_buffering`: Pingora passes a response on as fast as it is read, so that a slow reader would hold a server's thread, and the session's
//! lock with it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use satchel_common::answer;
use satchel_common::server::InFlight;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::known::Known;
use super::spool::Spool;
use super::upload::Connection;
use crate::config::TempFiles;
use crate::limits::Refused;

/// What an HTTP/2 client sends first (RFC 9113, 3.4), in bytes.
const PREFACE: usize = 24;
/// The most that is read of a request before Pingora does, in bytes: what it reads at first.
const BEGINNING: usize = 4096;

/// A client's connection.
pub struct Guarded {
    io: Arc<Mutex<Io>>,
    within: Duration,
    /// Of a request's header that is not whole, the bytes that have come, and whether its first line has.
    header: (usize, bool),
    /// More are not waited for.
    header_max: usize,
    /// Of an HTTP/2 client's preface, the bytes that have not come.
    preface: usize,
    /// Of HTTP/2: what ends it when an upload stops.
    uploads: Option<Connection>,
    /// What its requests are told.
    digest: Option<Arc<ProxyDigest>>,
    /// Headers that have come.
    requests: AtomicU32,
    between: Mutex<Between>,
    /// What was read of a request before Pingora was told of it.
    begun: Bytes,
    /// A header is awaited.
    waiting: AtomicBool,
    /// The deadline that is set is an earlier header's: one that was answered here, without a read between.
    passed: AtomicBool,
    /// When the header has to be whole; runs from its first byte on, or from the connection's beginning.
    deadline: Option<Pin<Box<Sleep>>>,
    in_flight: InFlight,
}

/// The connection itself, shared with the task that empties the spool.
struct Io {
    inner: Stream,
    spool: Spool,
    /// Whether what the client does not take at once may be spooled, and how long it may then take nothing.
    buffering: Option<(Duration, TempFiles)>,
    /// A task empties the spool.
    draining: bool,
    /// Nothing can be written any more.
    failed: bool,
    /// The connection is to be closed when the spool is empty.
    closing: bool,
    /// Who waits for room.
    waker: Option<Waker>,
}

/// What is known of a connection between two requests.
#[derive(Default)]
struct Between {
    /// Bytes that Pingora was given and that do not belong to a request that has ended; `None`: that can't be told any more.
    given: Option<usize>,
    /// How long the next request may take to begin; `None`: it may have begun.
    patience: Option<Duration>,
}

/// The header of a request has come. How many have until now.
pub fn header_has_come(stream: &Stream) -> u32 {
    guarded(stream).map_or(0, |guarded| {
        guarded.waiting.store(false, Ordering::Relaxed);
        guarded.requests.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    })
}

/// The connection waits for its next request, for as long as `patience`, if that is known. The one before had so many bytes; `None`: that is not known.
pub fn next_request(stream: &Stream, had: Option<usize>, patience: Option<Duration>) {
    if let Some(guarded) = guarded(stream) {
        let mut between = guarded.between.lock().unwrap_or_else(PoisonError::into_inner);
        between.given = between.given.zip(had).and_then(|(given, had)| given.checked_sub(had));
        between.patience = patience.filter(|_| between.given == Some(0));
        drop(between);
        guarded.passed.store(true, Ordering::Relaxed);
        guarded.waiting.store(true, Ordering::Relaxed);
    }
}

/// Whether the response that follows is spooled; `None`: it is not. Otherwise how long the client may take nothing of it, and where it is.
pub fn buffer(stream: &Stream, buffering: Option<(Duration, TempFiles)>) {
    if let Some(guarded) = guarded(stream) {
        lock(&guarded.io).buffering = buffering;
    }
}

fn guarded(stream: &Stream) -> Option<&Guarded> {
    stream.as_any().downcast_ref::<Guarded>()
}

fn lock(io: &Mutex<Io>) -> MutexGuard<'_, Io> {
    io.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Guarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guarded")
    }
}

impl Guarded {
    /// `within`: for a request's header of at most `header_max` bytes. Of an HTTP/2 connection only the beginning is waited for here: after that it has streams, which have
    /// windows, and an idle timeout of its own.
    pub(super) fn new(
        inner: Stream,
        within: Duration,
        header_max: usize,
        known: Known,
        in_flight: InFlight,
    ) -> Self {
        let deadline = Some(Box::pin(sleep_until(Instant::now() + within)));
        let io = Io {
            inner,
            spool: Spool::default(),
            buffering: None,
            draining: false,
            failed: false,
            closing: false,
            waker: None,
        };
        Self {
            io: Arc::new(Mutex::new(io)),
            within,
            header: (0, false),
            header_max,
            preface: if known.uploads.is_some() { PREFACE } else { 0 },
            uploads: known.uploads.clone(),
            digest: known.digest(),
            requests: AtomicU32::new(0),
            between: Mutex::new(Between { given: Some(0), patience: Some(within) }),
            begun: Bytes::new(),
            waiting: AtomicBool::new(true),
            passed: AtomicBool::new(false),
            deadline,
            in_flight,
        }
    }

    /// Waits until a request begins, so that a silent client costs nothing but its connection: what Pingora needs for a request is large.
    /// `None`: none will.
    pub(super) async fn begins(mut self: Box<Self>) -> Option<Box<Self>> {
        let between = self.between.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Something of it may have come together with the one before.
        let Some(patience) = between.patience.take() else { return Some(self) };
        let begun = timeout(patience, std::future::poll_fn(|cx| self.poll_begin(cx))).await;
        matches!(begun, Ok(Ok(true))).then_some(self)
    }

    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut bytes = [const { MaybeUninit::uninit() }; BEGINNING];
        let mut buf = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut *self).poll_read(cx, &mut buf))?;
        self.begun = Bytes::copy_from_slice(buf.filled());
        Poll::Ready(Ok(!self.begun.is_empty()))
    }

    fn note_given(&mut self, bytes: usize) {
        let between = self.between.get_mut().unwrap_or_else(PoisonError::into_inner);
        between.given = between.given.and_then(|given| given.checked_add(bytes));
    }

    /// Answers what Pingora has not read as a request: it would go on reading, and says nothing when that fails.
    fn refuse(&self, cx: &mut Context<'_>, status: u16) -> Poll<io::Result<()>> {
        let mut io = lock(&self.io);
        // What is spooled belongs to the answer before.
        if io.spool.is_empty() && !io.draining {
            let _ = Pin::new(&mut io.inner).poll_write(cx, &answer::raw(status));
        }
        Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
    }

    /// Runs for as long as the spool has something. The process does not end before.
    fn drain(&self, send_timeout: Duration) {
        let (io, working) = (self.io.clone(), self.in_flight.start());
        tokio::spawn(async move {
            let _working = working;
            loop {
                let step = std::future::poll_fn(|cx| lock(&io).poll_drain(cx));
                match timeout(send_timeout, step).await {
                    Ok(Ok(false)) => {}
                    Ok(Ok(true)) => return,
                    Ok(Err(_)) | Err(_) => return lock(&io).fail(),
                }
            }
        });
    }
}

impl Io {
    /// Writes a piece of the spool. `true`: nothing is left, and the draining has ended.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.spool.is_empty() {
            ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
            if self.closing {
                ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
            }
            self.draining = false;
            self.wake();
            return Poll::Ready(Ok(true));
        }
        let front = self.spool.front()?;
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, front))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.spool.consume(written);
        self.wake();
        Poll::Ready(Ok(false))
    }

    fn fail(&mut self) {
        self.failed = true;
        self.draining = false;
        self.spool.clear();
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.begun.is_empty() {
            let part = this.begun.split_to(this.begun.len().min(buf.remaining()));
            buf.put_slice(&part);
            return Poll::Ready(Ok(()));
        }
        if this.uploads.as_ref().is_some_and(|uploads| uploads.is_closed(cx)) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if !this.waiting.load(Ordering::Relaxed) {
            this.deadline = None;
            this.header = (0, false);
            let before = buf.filled().len();
            ready!(Pin::new(&mut lock(&this.io).inner).poll_read(cx, buf))?;
            this.note_given(buf.filled().len() - before);
            return Poll::Ready(Ok(()));
        }
        if this.passed.swap(false, Ordering::Relaxed) {
            this.deadline = None;
            this.header = (0, false);
        }
        if this.preface == 0 && this.header.0 > this.header_max {
            let refused = if this.header.1 { Refused::Header } else { Refused::RequestLine };
            return this.refuse(cx, refused.status());
        }
        if let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return match this.header.0 {
                0 => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                _ => this.refuse(cx, 408),
            };
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut lock(&this.io).inner).poll_read(cx, buf))?;
        this.note_given(buf.filled().len() - before);
        let read = &buf.filled()[before..];
        this.header = (this.header.0 + read.len(), this.header.1 || read.contains(&b'\n'));
        if this.preface > 0 {
            this.preface = this.preface.saturating_sub(read.len());
            this.waiting.store(this.preface > 0, Ordering::Relaxed);
        }
        if this.deadline.is_none() {
            this.deadline = Some(Box::pin(sleep_until(Instant::now() + this.within)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut guard = lock(&self.io);
        let io = &mut *guard;
        if io.failed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if io.spool.is_empty() && !io.draining {
            let written = Pin::new(&mut io.inner).poll_write(cx, buf);
            if written.is_ready() || io.buffering.is_none() {
                return written;
            }
        }
        let Some((send_timeout, files)) = &io.buffering else { return io.wait(cx) };
        let send_timeout = *send_timeout;
        if !io.spool.push(buf, files) {
            return io.wait(cx);
        }
        if !std::mem::replace(&mut io.draining, true) {
            drop(guard);
            self.drain(send_timeout);
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut io = lock(&self.io);
        match io.draining {
            false => Pin::new(&mut io.inner).poll_flush(cx),
            true if io.buffering.is_some() => Poll::Ready(Ok(())),
            true => io.wait(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut io = lock(&self.io);
        if io.draining {
            io.closing = true;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut io.inner).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Guarded {
    async fn shutdown(&mut self) {
        let _ = std::future::poll_fn(|cx| Pin::new(&mut *self).poll_shutdown(cx)).await;
    }
}

impl Peek for Guarded {}

impl UniqueID for Guarded {
    fn id(&self) -> UniqueIDType {
        lock(&self.io).inner.id()
    }
}

impl Ssl for Guarded {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        lock(&self.io).inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        lock(&self.io).inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for Guarded {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        lock(&self.io).inner.get_timing_digest()
    }
}

impl GetProxyDigest for Guarded {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.digest.clone()
    }
}

impl GetSocketDigest for Guarded {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        lock(&self.io).inner.get_socket_digest()
    }
}

//! Pingora's callbacks. They translate between HTTP and the exchange, and decide nothing about sessions.

mod flood;
pub mod reissue;
mod replay;
pub mod request;
mod response;
mod spans;
pub mod suffix;
pub mod upload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};
use satchel_common::server::{InFlight, Working};
use satchel_common::trace::{Parent, TRACEPARENT, Trace};
use tokio::sync::{oneshot, watch};

use crate::exchange::settle::settle;
use crate::exchange::watch::Progress;
use crate::exchange::{Core, Exchange};
use flood::Flood;
use upload::Buffering;

/// Says that nothing of the request has reached Tomcat: the gateway may send it to another server (R16).
pub const UNSENT: &str = "X-Satchel-Unsent";
/// How often one request is sent to Tomcat at most, when Tomcat closes connections before reading from them.
const TRIES: usize = 3;

/// The sidecar as a Pingora application.
pub struct Proxy {
    core: Arc<Core>,
    tomcat_address: SocketAddr,
    buffering: Buffering,
    flood: Flood,
    in_flight: InFlight,
}

/// One request.
pub struct Ctx {
    /// `None`: no session work.
    exchange: Option<Exchange>,
    /// Set once the exchange has been handed to its settling task.
    settling: Option<watch::Sender<Progress>>,
    /// The context, when there is session work.
    context: Option<usize>,
    /// Whether the request was (perhaps partly) sent to Tomcat.
    sent: bool,
    /// Whether its body was read by us with our own `100 Continue`.
    continued: bool,
    held: bool,
    tries: usize,
    began: Instant,
    /// When it was last sent to Tomcat, until that has answered.
    sent_at: Option<Instant>,
    /// Its spans, if they are recorded.
    trace: Option<Trace>,
    /// What Tomcat was told of them.
    told: Option<Parent>,
    /// What it has of a session.
    session: &'static str,
    _working: Working,
    _running: Working,
}

impl Proxy {
    /// Builds the application.
    pub fn new(
        core: Arc<Core>,
        config: &crate::config::Config,
        tomcat_address: SocketAddr,
        in_flight: InFlight,
    ) -> Self {
        Self {
            flood: Flood::new(config.unknown_ids_per_second),
            tomcat_address,
            buffering: config.buffering.clone(),
            in_flight,
            core,
        }
    }

    /// Hands the exchange to a task of its own. What it sends lets the response go.
    fn start_settling(
        &self,
        ctx: &mut Ctx,
        announced: Option<crate::exchange::settle::Announced>,
        progress: Progress,
    ) -> Option<
        oneshot::Receiver<Result<crate::exchange::settle::StoredAt, crate::exchange::settle::NotStored>>,
    > {
        let exchange = ctx.exchange.take()?;
        if exchange.held.is_none() && announced.is_none() {
            return None;
        }
        let (sender, receiver) = watch::channel(progress);
        let (release, released) = oneshot::channel();
        tokio::spawn(settle(exchange, announced, receiver, release));
        ctx.settling = Some(sender);
        Some(released)
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx {
            exchange: None,
            settling: None,
            context: None,
            sent: false,
            continued: false,
            held: true,
            tries: 0,
            began: Instant::now(),
            sent_at: None,
            trace: None,
            told: None,
            session: "none",
            _working: self.in_flight.start(),
            _running: self.core.metrics.requests.in_flight.start(),
        }
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        // The gateway decides which requests are recorded.
        ctx.trace = self.core.tracing.begin(Parent::of(&session.req_header().headers), true, ctx.began);
        self.bring_session(session, ctx).await
    }

    async fn upstream_peer(&self, _session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        ctx.tries += 1;
        let settings = self.core.settings();
        let timeouts = &settings.tomcat;
        let mut peer = HttpPeer::new(self.tomcat_address, false, String::new());
        peer.options.connection_timeout = Some(timeouts.connect_timeout);
        peer.options.total_connection_timeout = Some(timeouts.connect_timeout);
        peer.options.read_timeout = Some(timeouts.read_timeout);
        peer.options.write_timeout = Some(timeouts.write_timeout);
        peer.options.idle_timeout = Some(timeouts.keepalive_timeout);
        Ok(Box::new(peer))
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        ctx.sent = true;
        ctx.sent_at = Some(Instant::now());
        ctx.told = ctx.trace.as_ref().map(Trace::send);
        if let Some(told) = ctx.told {
            request.insert_header(TRACEPARENT, told.to_string())?;
        }
        if ctx.continued {
            request.remove_header("expect");
        }
        self.set_id(request, ctx)
    }

    async fn response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        // 100 and 103 are not responses (R15).
        if response.status.is_informational() && response.status.as_u16() != 101 {
            return Ok(());
        }
        self.tomcat_has_answered(ctx, Some(response.status.as_u16()));
        self.take_session(response, ctx).await
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Ctx,
    ) -> Result<Option<Duration>> {
        if end_of_stream {
            ctx.note_end(false);
        }
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        _ctx: &mut Ctx,
        error: Box<Error>,
    ) -> Box<Error> {
        log::warn!("Tomcat at {} cannot be reached: {error}", self.tomcat_address);
        error
    }

    /// Sent again only while Tomcat has not read the placed file; without a session only what Pingora would
    /// send again (idempotent, on a connection that had been used before).
    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Ctx,
        client_reused: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("Peer: {peer}"));
        let replayable = !session.as_ref().retry_buffer_truncated() && ctx.tries < TRIES && client_reused;
        let unread = match ctx.exchange.as_mut() {
            Some(exchange) if exchange.held.is_some() => exchange.untouched(),
            Some(_) => session.req_header().method.is_idempotent(),
            None => ctx.settling.is_none() && session.req_header().method.is_idempotent(),
        };
        if replayable && unread {
            error.retry.decide_reuse(client_reused);
            // Should no further try be possible, the gateway may have it. Not when the client has left: Tomcat has the request.
            if error.retry() && *error.esource() == ErrorSource::Upstream {
                ctx.sent = false;
            }
        } else {
            error.set_retry(false);
        }
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
        let unsent = !ctx.sent;
        let status = match error.esource() {
            ErrorSource::Upstream if unsent => 503,
            _ => satchel_common::answer::status(error),
        };
        if status > 0 {
            if unsent && status == 503 {
                self.core.metrics.unsent.add();
            }
            // Pingora closes the connection after a failure. Said beforehand, so that no client sends its next request into it.
            session.as_mut().set_keepalive(None);
            request::answer(session, status, unsent && status == 503).await;
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Ctx) {
        log::debug!(
            "{} {} {}",
            session.req_header().method,
            session.response_written().map_or(0, |r| r.status.as_u16()),
            // Not its text: Pingora's can quote what was sent.
            error.map_or("", |error| error.root_etype().as_str())
        );
        let status = session.response_written().map(|response| response.status.as_u16());
        self.core.metrics.requests.answered(status, ctx.began.elapsed());
        self.end_trace(session, ctx);
        let closed_by_tomcat = error.is_some_and(|error| {
            *error.esource() == ErrorSource::Upstream
                && !matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout)
        });
        if ctx.settling.is_some() {
            ctx.note_end(closed_by_tomcat);
        } else if !ctx.sent {
            if let Some(exchange) = ctx.exchange.take() {
                exchange.cancel().await;
            }
        } else {
            let progress =
                Progress { ended: Some(ctx.began.elapsed()), closed_by_tomcat, ..Progress::default() };
            // Nobody waits for this response any more.
            drop(self.start_settling(ctx, None, progress));
        }
    }
}

impl Ctx {
    fn note_end(&self, closed_by_tomcat: bool) {
        if let Some(sender) = &self.settling {
            let now = self.began.elapsed();
            sender.send_modify(|progress| {
                progress.ended.get_or_insert(now);
                progress.closed_by_tomcat |= closed_by_tomcat;
            });
        }
    }
}

/// A request that is dropped without `logging` (a panic in its task) still has its session looked after.
impl Drop for Ctx {
    fn drop(&mut self) {
        let Some(exchange) = self.exchange.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let progress = Progress { ended: Some(self.began.elapsed()), ..Progress::default() };
        let (_, receiver) = watch::channel(progress);
        let (release, _) = oneshot::channel();
        if exchange.held.is_some() {
            runtime.spawn(settle(exchange, None, receiver, release));
        }
    }
}

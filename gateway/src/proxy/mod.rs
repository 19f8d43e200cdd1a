//! Pingora's callbacks: they translate, and decide nothing that is not decided elsewhere.

mod answer;
mod ctx;
mod encoding;
mod log;
mod request;
mod response;
mod retry;
mod spans;
mod why;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora_core::modules::http::HttpModules;
use pingora_core::modules::http::compression::ResponseCompressionBuilder;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};
use satchel_common::server::InFlight;
use satchel_common::trace::Tracing;

use crate::entry;
use crate::metrics::Metrics;
use crate::running::Shared;
use crate::upstream::NoServer;

pub use ctx::Ctx;

/// All servers as one Pingora application.
pub struct Proxy {
    /// The configuration in use.
    pub shared: Shared,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Records spans.
    pub tracing: Tracing,
    /// What a stop waits for.
    pub in_flight: InFlight,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx::new(self.in_flight.start(), self.metrics.in_flight.start())
    }

    fn init_downstream_modules(&self, modules: &mut HttpModules) {
        modules.add_module(ResponseCompressionBuilder::enable(0));
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<()> {
        let requests = session.as_downstream().stream().map_or(0, entry::header_has_come);
        // Otherwise a client that does not wait for an answer loses the request that runs. Behind an upgrade nobody knows what it sends.
        let upgrades = session.req_header().headers.contains_key(http::header::UPGRADE);
        session.as_downstream_mut().set_pipelining_enabled(!upgrades);
        self.route(session, ctx, requests)
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        self.admit(session, ctx).await
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Ctx,
    ) -> Result<()> {
        if end_of_stream {
            ctx.upload = None;
        } else if let Some(upload) = &ctx.upload {
            upload.progressed();
        }
        ctx.body_read += body.as_ref().map_or(0, |body| body.len() as u64);
        ctx.check_body(ctx.body_read)
    }

    async fn upstream_peer(&self, _session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        // A body that is sent again is counted again.
        ctx.body_read = 0;
        let Some((upstream, _)) = ctx.upstream() else {
            return Error::e_explain(ErrorType::HTTPStatus(500), "nothing to pass it to");
        };
        let upstream = upstream.clone();
        let lease = upstream
            .pick(&ctx.tries.servers)
            .await
            .or_else(|none: NoServer| Error::e_explain(ErrorType::HTTPStatus(503), none.to_string()))?;
        let mut peer = HttpPeer::new(lease.address, false, String::new());
        ctx.lease = Some(lease);
        if let Some(settings) = ctx.settings() {
            peer.options.connection_timeout = Some(settings.proxy_connect_timeout);
            peer.options.total_connection_timeout = Some(settings.proxy_connect_timeout);
            peer.options.read_timeout = Some(settings.proxy_read_timeout);
            peer.options.write_timeout = Some(settings.proxy_send_timeout);
        }
        peer.options.idle_timeout = Some(upstream.config().keepalive_timeout);
        Ok(Box::new(peer))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        ctx.upload = ctx.watch_upload(session);
        ctx.prepare(request, self.tracing.is_on())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        self.after_answer(session, response, ctx)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        ctx.finish_response(session, response)
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Ctx,
    ) -> Result<Option<std::time::Duration>> {
        if let Some(page) = &mut ctx.page {
            *body = Some(if end_of_stream { std::mem::take(page) } else { Bytes::new() });
        }
        Ok(None)
    }

    fn fail_to_connect(&self, _: &mut Session, _: &HttpPeer, ctx: &mut Ctx, error: Box<Error>) -> Box<Error> {
        self.after_no_connection(ctx, error)
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Ctx,
        client_reused: bool,
    ) -> Box<Error> {
        self.after_lost_connection(session, ctx, error, client_reused).more_context(format!("Peer: {peer}"))
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
        // What is left of a body has other deadlines.
        ctx.upload = None;
        let status = satchel_common::answer::status(error);
        if status > 0 {
            answer::error(session, ctx, status).await;
        }
        if *error.esource() == ErrorSource::Upstream {
            let upstream = ctx.upstream().map_or("", |(upstream, _)| upstream.name.as_str());
            let server = ctx.tries.servers.last().map_or_else(|| "-".into(), ToString::to_string);
            let method = &session.req_header().method;
            ::log::warn!(
                "upstream {upstream}: a {method} has failed at server {server}: {}",
                why::why(error)
            );
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, ctx: &mut Ctx) {
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        ctx.leave_server(status, false);
        self.log(session, ctx);
        ctx.end_trace(session);
        if let Some(stream) = session.as_downstream().stream() {
            let patience = ctx.server().map(|server| server.keepalive_timeout);
            entry::next_request(stream, had(session), patience);
        }
    }
}

/// Bytes of an HTTP/1 request, as its header says; `None`: it does not, or something else than what came was read as the header.
fn had(session: &Session) -> Option<usize> {
    let header = session.as_downstream().as_http1()?.get_headers_raw_bytes().len();
    let headers = &session.req_header().headers;
    if headers.contains_key(TRANSFER_ENCODING) {
        return None;
    }
    let body = headers.get(CONTENT_LENGTH).map_or(Some(0), |length| length.to_str().ok()?.parse().ok())?;
    header.checked_add(body)
}

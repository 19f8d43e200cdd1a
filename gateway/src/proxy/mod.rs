//! Pingora's callbacks: they translate, and decide nothing that is not decided elsewhere.

mod answer;
mod retry;

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};
use satchel_common::server::{InFlight, Working};

use crate::access_log::{Entry, Writer, combined};
use crate::config::ServerConfig;
use crate::forwarding::{Client, client_address, set_headers};
use crate::limits;
use crate::upstream::Upstream;

/// What a client that left before its answer is logged as, as nginx does.
const CLIENT_LEFT: u16 = 499;

/// One `[[server]]` as a Pingora application.
pub struct Proxy {
    /// What it does.
    pub server: ServerConfig,
    /// Where requests go.
    pub upstream: Arc<Upstream>,
    /// Where they are logged.
    pub access_log: Writer,
    /// What a stop waits for.
    pub in_flight: InFlight,
}

/// One request.
pub struct Ctx {
    client: Option<Client>,
    /// The target as received; later it may be changed.
    target: Vec<u8>,
    /// Peers that had their try.
    tried: Vec<usize>,
    /// The peer of the current try.
    peer: Option<usize>,
    body_read: u64,
    _working: Working,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx {
            client: None,
            target: Vec::new(),
            tried: Vec::new(),
            peer: None,
            body_read: 0,
            _working: self.in_flight.start(),
        }
    }

    async fn early_request_filter(&self, session: &mut Session, _ctx: &mut Ctx) -> Result<()> {
        let server = &self.server;
        let downstream = session.as_mut();
        downstream.set_keepalive(Some(server.keepalive_timeout.as_secs().max(1)));
        downstream.set_read_timeout(Some(server.client_body_timeout));
        downstream.set_write_timeout(Some(server.send_timeout));
        let Some(http1) = session.as_downstream().as_http1() else { return Ok(()) };
        let raw = http1.get_headers_raw_bytes();
        limits::check(&raw, server.large_client_header_size, server.client_header_size)
            .or_else(|refused| Error::e_explain(ErrorType::HTTPStatus(refused.status()), "refused"))
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        ctx.target = session.req_header().raw_path().to_vec();
        ctx.client = Some(self.client(session));
        let declared = session.req_header().headers.get(http::header::CONTENT_LENGTH);
        let declared = declared.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        self.check_body(declared.unwrap_or(0))?;
        Ok(false)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        ctx: &mut Ctx,
    ) -> Result<()> {
        ctx.body_read += body.as_ref().map_or(0, |body| body.len() as u64);
        self.check_body(ctx.body_read)
    }

    async fn upstream_peer(&self, _session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        // A body that is sent again is counted again.
        ctx.body_read = 0;
        ctx.peer = self.upstream.next(&ctx.tried);
        let Some(address) = ctx.peer.and_then(|peer| self.upstream.address(peer)) else {
            return Error::e_explain(ErrorType::HTTPStatus(503), "no server is left to try");
        };
        let mut peer = HttpPeer::new(address, false, String::new());
        peer.options.connection_timeout = Some(self.server.proxy_connect_timeout);
        peer.options.total_connection_timeout = Some(self.server.proxy_connect_timeout);
        peer.options.read_timeout = Some(self.server.proxy_read_timeout);
        peer.options.write_timeout = Some(self.server.proxy_send_timeout);
        peer.options.idle_timeout = Some(self.upstream.keepalive_timeout);
        Ok(Box::new(peer))
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let Some(client) = &ctx.client else { return Ok(()) };
        set_headers(request, client, &self.upstream.name, &self.server.proxy_set_header)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        self.try_next_if_unsent(session, response, ctx)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Ctx,
        error: Box<Error>,
    ) -> Box<Error> {
        self.try_next(ctx, error)
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        _ctx: &mut Ctx,
        client_reused: bool,
    ) -> Box<Error> {
        retry::after_error(peer, session, error, client_reused)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, _ctx: &mut Ctx) -> FailToProxy {
        let status = satchel_common::answer::status(error);
        if status > 0 {
            answer::answer(session, status).await;
        }
        if *error.esource() == ErrorSource::Upstream {
            log::warn!("{} {}: {error}", session.req_header().method, self.upstream.name);
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, ctx: &mut Ctx) {
        if !self.access_log.is_on() {
            return;
        }
        let remote_addr = ctx.client.as_ref().map_or_else(|| peer_address(session), |client| client.address);
        let request = session.req_header();
        let time = jiff::Zoned::now().strftime("%d/%b/%Y:%H:%M:%S %z").to_string();
        let header = |name| request.headers.get(name).map(http::HeaderValue::as_bytes);
        let target = if ctx.target.is_empty() { request.raw_path() } else { &ctx.target };
        self.access_log.write(combined(&Entry {
            remote_addr,
            time_local: &time,
            method: request.method.as_str(),
            target,
            version: if request.version == http::Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" },
            status: session.response_written().map_or(CLIENT_LEFT, |response| response.status.as_u16()),
            body_bytes_sent: session.body_bytes_sent(),
            referer: header(http::header::REFERER),
            user_agent: header(http::header::USER_AGENT),
        }));
    }
}

impl Proxy {
    fn client(&self, session: &Session) -> Client {
        let peer = peer_address(session);
        let trusted = &self.server.trusted_proxies;
        let lines = session.req_header().headers.get_all("x-forwarded-for");
        let lines: Vec<_> = lines.iter().filter_map(|line| line.to_str().ok()).collect();
        Client {
            peer,
            address: client_address(peer, lines.into_iter(), trusted),
            trusted: trusted.iter().any(|network| network.contains(&peer)),
            server_port: session
                .server_addr()
                .and_then(|a| a.as_inet().map(std::net::SocketAddr::port))
                .unwrap_or(0),
        }
    }

    fn check_body(&self, bytes: u64) -> Result<()> {
        match self.server.client_max_body_size {
            Some(limit) if bytes > limit => Error::e_explain(ErrorType::HTTPStatus(413), "body too large"),
            _ => Ok(()),
        }
    }
}

fn peer_address(session: &Session) -> IpAddr {
    session
        .client_addr()
        .and_then(|address| address.as_inet().map(std::net::SocketAddr::ip))
        .unwrap_or(IpAddr::from([0, 0, 0, 0]))
}

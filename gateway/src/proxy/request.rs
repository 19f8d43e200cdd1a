//! Before the server: which server and location a request is for, whether it may go on, and how it is sent on.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use http::header::CONTENT_LENGTH;
use pingora_core::modules::http::compression::ResponseCompression;
use pingora_core::protocols::http::compression::Algorithm;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use tokio::time::sleep;

use super::{Ctx, Proxy, answer};
use crate::config::Action;
use crate::forwarding::{Client, request_id, set_headers, trace};
use crate::limits::{self, Admission};
use crate::routing::{decode, encode};
use crate::template::without_port;

fn refuse<T>(status: u16, why: &'static str) -> Result<T> {
    Error::e_explain(ErrorType::HTTPStatus(status), why)
}

impl Proxy {
    /// Finds the server and the location, and sets what holds for the connection.
    pub(super) fn route(&self, session: &mut Session, ctx: &mut Ctx) -> Result<()> {
        let running = self.shared.load();
        let nobody = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let peer = session.client_addr().and_then(|address| address.as_inet().copied()).unwrap_or(nobody);
        ctx.local = session.server_addr().and_then(|address| address.as_inet().copied()).unwrap_or(nobody);
        ctx.tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        let request = session.req_header().clone();
        let host = request.uri.authority().map(|authority| authority.as_str().to_owned());
        let named = || request.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| named().map(str::to_owned)).unwrap_or_default().to_ascii_lowercase();
        let Some(index) = running.server_index(ctx.local, without_port(&host)) else {
            return refuse(404, "no server listens here");
        };
        let server = &running.servers[index];
        ctx.server = index;
        ctx.client = Some(Client::of(peer, &request, &server.trusted_proxies));
        ctx.request_id = request_id(&request, ctx.client.as_ref().is_some_and(|client| client.trusted));
        let (line, all) = (server.large_client_header_size, server.client_header_size);
        let keepalive = server.keepalive_timeout;
        ctx.running = Some(running.clone());
        let downstream = session.as_mut();
        let kept = (!self.in_flight.is_stopping()).then_some(keepalive.as_secs().max(1));
        downstream.set_keepalive(kept);
        let checked = match session.as_downstream().as_http1() {
            Some(http1) => {
                limits::check(&http1.get_headers_raw_bytes(), line, all).map_err(limits::Refused::status)
            }
            None => Ok(()),
        };
        ctx.path = decode(request.raw_path()).unwrap_or_default();
        ctx.request = Some(request);
        ctx.location = running.location(index, &ctx.path).cloned();
        if let Err(status) = checked {
            return refuse(status, "the header");
        }
        if ctx.path.is_empty() {
            return refuse(400, "the path is malformed");
        }
        if let Some(settings) = ctx.settings() {
            let (read, write) = (settings.client_body_timeout, settings.send_timeout);
            let compression = settings.compression.clone();
            let downstream = session.as_mut();
            downstream.set_read_timeout(Some(read));
            downstream.set_write_timeout(Some(write));
            if let Some(module) = session.downstream_modules_ctx.get_mut::<ResponseCompression>() {
                let level = |on: bool| if on { compression.level } else { 0 };
                module.adjust_algorithm_level(Algorithm::Gzip, level(compression.gzip));
                module.adjust_algorithm_level(Algorithm::Brotli, level(compression.brotli));
                module.adjust_algorithm_level(Algorithm::Zstd, level(compression.zstd));
            }
        }
        Ok(())
    }

    /// Answers what is answered here, and refuses what is over a limit. `true`: it is answered.
    pub(super) async fn admit(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        let Some(location) = ctx.location.clone() else { return refuse(404, "no location is for this path") };
        let address = ctx.address();
        if let Some(limit) = location.settings.limit_conn {
            ctx._slot = location.clients.enter(address, limit);
            if ctx._slot.is_none() {
                self.metrics.refused("limit_conn");
                return refuse(503, "limit_conn");
            }
        }
        if let Some(limit) = &location.settings.limit_req {
            match location.clients.request(address, limit, Instant::now()) {
                Admission::After(wait) if wait.is_zero() => {}
                Admission::After(wait) => sleep(wait).await,
                Admission::Refused => {
                    self.metrics.refused("limit_req");
                    return refuse(503, "limit_req");
                }
            }
        }
        let declared = session.req_header().headers.get(CONTENT_LENGTH);
        let declared = declared.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        ctx.check_body(declared.unwrap_or(0))?;
        match &location.action {
            Action::Return { status, text } => {
                answer::returns(session, ctx, *status, text.as_ref()).await?;
                Ok(true)
            }
            Action::Proxy { .. } => {
                if let Some((upstream, _)) = ctx.upstream() {
                    upstream.count_request();
                }
                Ok(false)
            }
        }
    }
}

impl Ctx {
    pub(super) fn check_body(&self, bytes: u64) -> Result<()> {
        match self.settings().and_then(|settings| settings.client_max_body_size) {
            Some(limit) if bytes > limit => refuse(413, "the body is too large"),
            _ => Ok(()),
        }
    }

    /// The request as the server gets it.
    pub(super) fn prepare(&self, request: &mut RequestHeader) -> Result<()> {
        let (Some(client), Some(location)) = (&self.client, &self.location) else { return Ok(()) };
        if let Some((_, Some(uri))) = self.upstream() {
            let rest = self.path.get(location.path.prefix().len()..).unwrap_or_default();
            let mut target = [uri.as_bytes(), encode(rest).as_bytes()].concat();
            let received = self.request.as_ref().map(RequestHeader::raw_path).unwrap_or_default();
            if let Some(at) = received.iter().position(|b| *b == b'?') {
                target.extend_from_slice(&received[at..]);
            }
            request.set_raw_path(&target)?;
        }
        let set = &location.settings.proxy_set_header;
        self.with_variables(|variables| set_headers(request, client, variables, set)).unwrap_or(Ok(()))?;
        trace(request, &self.request_id)
    }
}

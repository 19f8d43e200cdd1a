//! Before the server: which server and location a request is for, whether it may go on, and how it is sent on.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH};
use pingora_core::modules::http::compression::ResponseCompression;
use pingora_core::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use satchel_common::trace::{Parent, Trace};
use tokio::time::sleep;

use super::{Ctx, Proxy, answer, encoding};
use crate::config::{Action, Location};
use crate::entry::{self, Upload};
use crate::forwarding::{Client, Recording, request_id, set_headers, trace};
use crate::limits::{self, Admission};
use crate::routing::{decode, encode, origin_form};
use crate::template::without_port;

fn refuse<T>(status: u16, why: &'static str) -> Result<T> {
    Error::e_explain(ErrorType::HTTPStatus(status), why)
}

impl Proxy {
    /// Finds the server and the location, and sets what holds for the connection, which has brought so many `requests`.
    pub(super) fn route(&self, session: &mut Session, ctx: &mut Ctx, requests: u32) -> Result<()> {
        let running = self.shared.load();
        let inet = |address: Option<&PingoraAddr>| {
            let nobody = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
            address.and_then(|address| address.as_inet().copied()).unwrap_or(nobody)
        };
        let peer = canonical(inet(session.client_addr()));
        // The socket is found by its own word for it.
        let socket = inet(session.server_addr());
        ctx.local = canonical(socket);
        ctx.tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        if let Some(path) = origin_form(session.req_header().raw_path()) {
            session.req_header_mut().set_raw_path(&path)?;
        }
        let request = session.req_header().clone();
        let host = request.uri.authority().map(|authority| authority.as_str().to_owned());
        let named = || request.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| named().map(str::to_owned)).unwrap_or_default().to_ascii_lowercase();
        let Some(index) = running.server_index(socket, without_port(&host).trim_end_matches('.')) else {
            return refuse(404, "no server listens here");
        };
        let server = &running.servers[index];
        ctx.server = index;
        let peer = entry::client(session.digest(), peer, &server.trusted_proxies);
        ctx.client = Some(Client::of(peer, &request, &server.trusted_proxies));
        let trusted = ctx.client.as_ref().is_some_and(|client| client.trusted);
        ctx.trace = self.tracing.begin(Parent::of(&request.headers), trusted, ctx.began);
        ctx.request_id = request_id(&request, trusted);
        // A client of HTTP/1.0 has to ask for it.
        let asks = match request.version {
            http::Version::HTTP_10 => connection_says(&request, b"keep-alive"),
            _ => !connection_says(&request, b"close"),
        };
        let kept = asks && requests < server.keepalive_requests && !self.in_flight.is_stopping();
        session.as_mut().set_keepalive(kept.then_some(server.keepalive_timeout.as_secs().max(1)));
        let (line, all) = (server.large_client_header_size, server.client_header_size);
        let checked = match session.as_downstream().as_http1() {
            Some(http1) => limits::check(&http1.get_headers_raw_bytes(), line, all),
            None => limits::check_fields(&request, line, all),
        };
        ctx.running = Some(running.clone());
        ctx.path = decode(request.raw_path()).unwrap_or_default();
        ctx.request = Some(request);
        ctx.location = running.location(index, &ctx.path).cloned();
        if let Err(refused) = checked {
            return refuse(refused.status(), "the header");
        }
        if ctx.path.is_empty() {
            return refuse(400, "the path is malformed");
        }
        if let Some(settings) = ctx.settings() {
            let (read, write) = (settings.client_body_timeout, settings.send_timeout);
            let compression = settings.compression.clone();
            // Not in HTTP/1.0, as in nginx: its end could not be told.
            let request = ctx.request.as_ref().filter(|request| request.version != http::Version::HTTP_10);
            let accepted = request.and_then(|request| encoding::choose(&request.headers, &compression));
            let downstream = session.as_mut();
            downstream.set_read_timeout(Some(read));
            downstream.set_write_timeout(Some(write));
            downstream.set_total_drain_timeout(Some(answer::LINGERING_TIME));
            if let (true, Some(module)) =
                (compression.is_on(), session.downstream_modules_ctx.get_mut::<ResponseCompression>())
            {
                module.adjust_level(compression.level);
                // Pingora takes the first that it knows, whatever its quality and whether it is offered.
                match accepted {
                    Some(name) => session.req_header_mut().insert_header(ACCEPT_ENCODING, name)?,
                    None => drop(session.req_header_mut().remove_header(&ACCEPT_ENCODING)),
                }
            }
        }
        Ok(())
    }

    /// Answers what is answered here, and refuses what is over a limit. `true`: it is answered.
    pub(super) async fn admit(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        let Some(location) = ctx.location.clone() else { return refuse(404, "no location is for this path") };
        if session.req_header().method == http::Method::TRACE {
            return refuse(405, "TRACE is not passed on, as in nginx");
        }
        if let Some(address) = ctx.with_slash() {
            answer::with_text(session, ctx, 301, Some(address)).await?;
            return Ok(true);
        }
        let address = ctx.address();
        let Some(running) = ctx.running.clone() else { return refuse(404, "no server listens here") };
        if let Some(limit) = &location.settings.limit_conn {
            ctx._slot = running.zones.enter(address, limit);
            if ctx._slot.is_none() {
                self.metrics.limit_conn.add();
                return refuse(location.settings.limit_conn_status, "limit_conn");
            }
        }
        if let Some(limit) = &location.settings.limit_req {
            match running.zones.request(address, limit, Instant::now()) {
                Admission::After(wait) if wait.is_zero() => {}
                Admission::After(wait) => sleep(wait).await,
                Admission::Refused => {
                    self.metrics.limit_req.add();
                    return refuse(location.settings.limit_req_status, "limit_req");
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

/// A socket of IPv6 that takes IPv4 too has `::ffff:192.0.2.1` for what is 192.0.2.1 everywhere else.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// nginx's `underscores_in_headers off`: `X_Real_IP` is `X-Real-IP` to whoever makes variables of names.
fn drop_ambiguous_names(request: &mut RequestHeader) {
    let names: Vec<_> = request.headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
    for name in names {
        request.remove_header(&name);
    }
}

/// Whether a request's `Connection` has this word.
fn connection_says(request: &RequestHeader, word: &[u8]) -> bool {
    let mut lines = request.headers.get_all(CONNECTION).iter();
    lines.any(|line| {
        line.as_bytes().split(|b| *b == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
    })
}

impl Ctx {
    /// nginx's redirect from `/app` to `/app/`, when that is the path of a location that passes requests on.
    fn with_slash(&self) -> Option<String> {
        let locations = &self.server()?.locations;
        let is_this = |location: &Arc<Location>| {
            let prefix = location.path.prefix().as_bytes();
            matches!(location.action, Action::Proxy { .. })
                && !location.path.is_exact()
                && prefix.strip_suffix(b"/").is_some_and(|prefix| prefix == self.path && !prefix.is_empty())
        };
        if self.location.as_ref()?.path.is_exact() || !locations.iter().any(is_this) {
            return None;
        }
        let received = self.request.as_ref()?.raw_path();
        let query = received.iter().position(|b| *b == b'?').map_or(&b""[..], |at| &received[at..]);
        Some(format!("{}/{}", encode(&self.path), String::from_utf8_lossy(query)))
    }

    /// From when the request has its server. What is slow may be the server, hence both times.
    pub(super) fn watch_upload(&self, session: &mut Session) -> Option<Upload> {
        if session.as_mut().is_body_done() {
            return None;
        }
        let settings = self.settings()?;
        Upload::watch(session.digest()?, settings.client_body_timeout + settings.proxy_send_timeout)
    }

    pub(super) fn check_body(&self, bytes: u64) -> Result<()> {
        match self.settings().and_then(|settings| settings.client_max_body_size) {
            Some(limit) if bytes > limit => refuse(413, "the body is too large"),
            _ => Ok(()),
        }
    }

    /// The request as the server gets it.
    pub(super) fn prepare(&mut self, request: &mut RequestHeader, is_recording: bool) -> Result<()> {
        self.sent = self.trace.as_ref().map(Trace::send);
        let (Some(client), Some(location)) = (&self.client, &self.location) else { return Ok(()) };
        if let Some(received) = &self.request {
            request.remove_header(&ACCEPT_ENCODING);
            for line in received.headers.get_all(ACCEPT_ENCODING) {
                request.append_header(ACCEPT_ENCODING, line)?;
            }
        }
        if let Some((_, Some(uri))) = self.upstream() {
            let rest = self.path.get(location.path.prefix().len()..).unwrap_or_default();
            let mut target = [uri.as_bytes(), encode(rest).as_bytes()].concat();
            let received = self.request.as_ref().map(RequestHeader::raw_path).unwrap_or_default();
            if let Some(at) = received.iter().position(|b| *b == b'?').filter(|at| at + 1 < received.len()) {
                target.extend_from_slice(&received[at..]);
            }
            request.set_raw_path(&target)?;
        }
        drop_ambiguous_names(request);
        let set = &location.settings.proxy_set_header;
        self.with_variables(|variables| set_headers(request, client, variables, set)).unwrap_or(Ok(()))?;
        let recording = match self.sent {
            Some(sent) => Recording::As(sent),
            None if is_recording => Recording::NotThis,
            None => Recording::Off,
        };
        trace(request, &self.request_id, recording)
    }
}

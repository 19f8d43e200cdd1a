//! Before Tomcat: which session the request names, and what Tomcat is told of it.

use std::collections::HashSet;
use std::net::IpAddr;

use http::header::{COOKIE, EXPECT, HOST};
use pingora_core::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use satchel_common::answer::{build, is_answered};
use satchel_common::counted::counted;

use super::upload::{Taken, take_in};
use super::{Ctx, Proxy, UNSENT};
use crate::context::Context;
use crate::exchange::Exchange;
use crate::exchange::load::Refusal;
use crate::id::{Presented, SessionId, cookies, path_param};

/// How many different ids of one request are looked up (R4).
const CANDIDATES: usize = 3;

impl Proxy {
    /// Looks up and places the session that the request names. `true`: the request has been answered.
    pub(super) async fn bring_session(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        if self.core.leaving.refuses() {
            return self.send_away(session, ctx).await;
        }
        let request = session.req_header();
        let target = request.raw_path();
        let host = host(request);
        ctx.context = self.core.contexts.of(target, &host).filter(|_| !self.is_ignored(request));
        let Some(index) = ctx.context else { return Ok(false) };
        let context = self.core.context(index);
        let presented = self.presented(request, context);
        let mut exchange = Exchange::new(self.core.clone(), index, host, Some(self.in_flight.start()));
        (exchange.access, exchange.learn_as) = self.core.access(line(request));
        exchange.trace = ctx.trace.clone();
        exchange.in_cookie = !cookies::values(cookie_headers(request), &context.cookie_name).is_empty();
        ctx.began = exchange.began();
        ctx.held = !self.core.settings().unheld_uri.as_ref().is_some_and(|pattern| matches(pattern, request));
        if presented.is_empty() {
            ctx.exchange = Some(exchange);
            return Ok(false);
        }
        let address = client_address(session);
        if self.flood.is_over(address).await && !self.knows_one(index, &presented).await {
            self.core.metrics.unknown_ids_refused.add();
            answer(session, 429, false).await;
            return Ok(true);
        }
        if !self.take_body(session, ctx).await? {
            return Ok(true);
        }
        let loaded = match client_gone(session, exchange.load(&presented)).await {
            Some(loaded) => loaded,
            // The client left while it waited: nothing was sent, nobody is there to be answered.
            None => return Ok(true),
        };
        if let Err(refusal) = loaded {
            self.refuse(session, &refusal).await;
            return Ok(true);
        }
        ctx.session = if exchange.held.is_some() { "held" } else { "unknown" };
        if exchange.unknown {
            self.flood.note(address).await;
        }
        ctx.exchange = Some(exchange);
        Ok(false)
    }

    /// Tomcat is about to be stopped. The body is taken in first: an answer beside one that still comes could be lost with the connection.
    async fn send_away(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        if self.take_body(session, ctx).await? {
            self.core.metrics.unsent.add();
            answer(session, 503, true).await;
        }
        Ok(true)
    }

    /// The ids that a client presents, as many as are looked up: the cookies in their order, else the path parameter (as Tomcat does).
    fn presented(&self, request: &RequestHeader, context: &Context) -> Vec<Presented> {
        let mut values = cookies::values(cookie_headers(request), &context.cookie_name);
        if values.is_empty() {
            values.extend(path_param::value(request.raw_path(), &context.param_names));
        }
        let mut found: Vec<Presented> = Vec::new();
        let any = !values.is_empty();
        for presented in
            values.into_iter().flat_map(|value| Presented::parse(value, |n| self.core.nodes.knows(n)))
        {
            if found.len() == CANDIDATES {
                break;
            }
            if !found.contains(&presented) {
                found.push(presented);
            }
        }
        if found.is_empty() && any {
            // Something was presented, and it is no id: the application sees "requested, not valid".
            found.push(Presented { id: SessionId::never_used(), suffix: None });
        }
        found
    }

    async fn refuse(&self, session: &mut Session, refusal: &Refusal) {
        self.core.metrics.unsent.add();
        log::warn!("Refused a request: {refusal}");
        answer(session, 503, true).await;
    }

    /// Whether one of these is a session that was used here lately: no guess.
    async fn knows_one(&self, index: usize, presented: &[Presented]) -> bool {
        for one in presented {
            let key = self.core.farm.key(&self.core.context(index).name(), &one.id);
            if self.core.cache.get(&key).await.is_some() {
                return true;
            }
        }
        false
    }

    fn is_ignored(&self, request: &RequestHeader) -> bool {
        self.core.settings().ignore_uri.as_ref().is_some_and(|pattern| matches(pattern, request))
    }

    /// `false`: the request has been answered, or its client is gone.
    async fn take_body(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        if session.as_mut().is_body_empty() {
            return Ok(true);
        }
        let expects = session.req_header().headers.get(EXPECT);
        if expects.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            session.as_mut().write_continue_response().await?;
            ctx.continued = true;
        }
        match take_in(session, &self.buffering).await? {
            Taken::Here => return Ok(true),
            Taken::ClientGone => {}
            Taken::TooLarge => answer(session, 413, false).await,
            Taken::NoRoom => {
                self.core.metrics.unsent.add();
                answer(session, 503, true).await;
            }
        }
        Ok(false)
    }

    /// Tomcat sees exactly one session id: the held session's, or one that was never used; without session
    /// work none at all (R3).
    pub(super) fn set_id(&self, request: &mut RequestHeader, ctx: &Ctx) -> Result<()> {
        match ctx.context.map(|index| self.core.context(index)) {
            Some(context) => {
                let told = ctx.exchange.as_ref().and_then(|exchange| exchange.told.as_deref());
                rewrite(request, &context.cookie_name, &context.param_names, told)
            }
            None => {
                let names: HashSet<_> =
                    self.core.contexts.iter().map(|c| (&c.cookie_name, &c.param_names)).collect();
                names.into_iter().try_for_each(|(cookie, param)| rewrite(request, cookie, param, None))
            }
        }
    }
}

/// The id goes where the client had it: into the cookie if there was one, else into the path.
///
/// # Errors
/// None: what is left of a header is one.
pub fn rewrite(
    request: &mut RequestHeader,
    cookie: &str,
    params: &[String],
    told: Option<&str>,
) -> Result<()> {
    let has_cookie = !cookies::values(cookie_headers(request), cookie).is_empty();
    let (in_cookie, in_path) = if has_cookie { (told, None) } else { (None, told) };
    if request.headers.contains_key(COOKIE) {
        let left = cookies::rewrite(cookie_headers(request), cookie, in_cookie);
        request.remove_header(&COOKIE);
        if let Some(left) = left {
            request.insert_header(COOKIE, left)?;
        }
    }
    if let Some(target) = path_param::rewrite(request.raw_path(), params, in_path) {
        request.set_raw_path(&target)?;
    }
    Ok(())
}

fn cookie_headers(request: &RequestHeader) -> impl Iterator<Item = &[u8]> {
    request.headers.get_all(COOKIE).iter().map(http::HeaderValue::as_bytes)
}

fn matches(pattern: &regex::Regex, request: &RequestHeader) -> bool {
    pattern.is_match(&line(request))
}

/// msm's form: `METHOD URI?query`, of a POST without the query (`RequestTrackingHostValve.getURIWithQueryString`).
fn line(request: &RequestHeader) -> String {
    let target = String::from_utf8_lossy(request.raw_path());
    let shown = match (&request.method, target.split_once('?')) {
        (&http::Method::POST, Some((path, _))) => path,
        _ => &target,
    };
    format!("{} {shown}", request.method)
}

/// For probes: only what can't end a header line.
fn host(request: &RequestHeader) -> String {
    let host = request.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    if host.is_empty() { "localhost".into() } else { host.to_owned() }
}

/// Whom unknown ids are counted for. `None`: a client without an address.
fn client_address(session: &Session) -> Option<IpAddr> {
    let told = session.req_header().headers.get("x-real-ip").and_then(|ip| ip.to_str().ok()?.parse().ok());
    let address = told.or_else(|| Some(session.client_addr()?.as_inet()?.ip()));
    address.map(counted)
}

/// Waits for `work`, and gives it up when the client leaves. A body that is still coming keeps us from
/// noticing that.
async fn client_gone<T>(session: &mut Session, work: impl Future<Output = T>) -> Option<T> {
    if !session.as_mut().is_body_done() {
        return Some(work.await);
    }
    tokio::select! {
        biased;
        done = work => Some(done),
        _ = session.as_mut().read_body_or_idle(true) => None,
    }
}

/// A short answer of our own.
pub(super) async fn answer(session: &mut Session, status: u16, unsent: bool) {
    if is_answered(session.response_written()) {
        return;
    }
    let Some((mut header, body)) = build(status) else { return };
    if unsent && header.insert_header(UNSENT, "1").is_err() {
        return;
    }
    // A body that was not read would be taken for the next request.
    if !session.as_mut().is_body_done() {
        session.as_mut().set_keepalive(None);
    }
    let head = session.req_header().method == http::Method::HEAD;
    if session.write_response_header(Box::new(header), head).await.is_ok() && !head {
        let _ = session.write_response_body(Some(body), true).await;
    }
}

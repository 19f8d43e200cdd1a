//! The admin address: the status page, `/status.json`, `/metrics` and `/ready`; and `/servers`, where servers are drained.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Response, StatusCode};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use satchel_common::metrics::Exposition;
use satchel_common::status::{Answer, accept};
use serde::Deserialize;

use crate::balancer;
use crate::exposition::collect;
use crate::metrics::Metrics;
use crate::running::Shared;
use crate::status::{Recent, Sidecars};

/// The page, and what fills it.
const PAGE: &str = include_str!("status/page.html");
const SCRIPT: &str = include_str!("status/page.js");

/// Of a change, in bytes.
const BODY_MAX: usize = 4 * 1024;

/// Serves the admin address.
pub struct Admin {
    shared: Shared,
    metrics: Arc<Metrics>,
    recent: Arc<Recent>,
    sidecars: Sidecars,
    exposition: Exposition,
}

/// What is wanted of a server.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    upstream: String,
    server: SocketAddr,
    state: Wanted,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    /// No new requests; those that it has are finished.
    Drain,
    /// Requests.
    Up,
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let method = request.method.clone();
        let history = request.uri.query() == Some("history");
        let path = request.uri.path().to_owned();
        let answer = match (path.as_str(), &method) {
            ("/servers", &Method::POST) => {
                let answer = self.change(session).await;
                // What is left of a body that was not read is no request.
                session.set_keepalive(None);
                answer
            }
            ("/servers", _) => Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only POST is possible here"),
            _ if method != Method::GET && method != Method::HEAD => {
                Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are possible here")
            }
            ("/" | "/status", _) => Answer::html(PAGE),
            ("/page.js", _) => Answer::script(SCRIPT),
            ("/status.json", _) => {
                let running = self.shared.load();
                Answer::json(&self.recent.status(&running, &self.metrics, &self.sidecars, history).await)
            }
            ("/metrics", _) => Answer::metrics(self.exposition.render(&accept(session))),
            ("/ready", _) => self.ready(),
            (path, _) => Answer::shared(path).unwrap_or_else(|| {
                let known = "only /, /status.json, /metrics, /ready and /servers are here";
                Answer::text(StatusCode::NOT_FOUND, known)
            }),
        };
        answer.response(&method)
    }
}

impl Admin {
    /// Shows what is counted and what was lately, and changes what is in use.
    pub fn new(shared: Shared, metrics: Arc<Metrics>, recent: Arc<Recent>) -> Self {
        let counted = (shared.clone(), metrics.clone());
        let exposition = Exposition::new(move |page| collect(page, &counted.0, &counted.1));
        Self { shared, metrics, recent, sidecars: Sidecars::default(), exposition }
    }

    /// Ready: requests have somewhere to go. A gateway that has just started may not have found its servers yet; what was found once stays.
    fn ready(&self) -> Answer {
        let running = self.shared.load();
        match running.upstreams.iter().find(|upstream| upstream.peers().is_empty()) {
            Some(upstream) => Answer::text(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("upstream {}: no server has been found yet", upstream.name),
            ),
            None => Answer::text(StatusCode::OK, "ready"),
        }
    }

    /// Drains a server, or enables it again. The token is asked for in a field of the header that no browser sends by itself, and before
    /// anything else is looked at.
    async fn change(&self, session: &mut ServerSession) -> Answer {
        let running = self.shared.load();
        let who = session.client_addr().map_or_else(|| "-".into(), ToString::to_string);
        let told = session.req_header().headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let allowed = running.admin_token.as_ref().map(|token| token.is_in(told));
        if allowed != Some(true) {
            self.metrics.denied.add();
            log::warn!("admin: a change that {who} asked for was refused: it had not the token");
            let why = match allowed {
                None => "nothing can be changed here: admin_token_file is not set",
                Some(_) => "the token is needed, and is another one: Authorization: Bearer TOKEN",
            };
            return Answer::text(StatusCode::FORBIDDEN, why);
        }
        let body = match body(session).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        let change: Change = match serde_json::from_slice(&body) {
            Ok(change) => change,
            Err(error) => {
                let usage = r#"{"upstream": "NAME", "server": "ADDRESS:PORT", "state": "drain" or "up"}"#;
                return Answer::text(StatusCode::BAD_REQUEST, format!("{error}; {usage} is understood"));
            }
        };
        let upstream = running.upstreams.iter().find(|upstream| upstream.name == change.upstream);
        let (admin, done) = match change.state {
            Wanted::Drain => (balancer::Admin::Drain, "drained"),
            Wanted::Up => (balancer::Admin::Up, "enabled"),
        };
        if !upstream.is_some_and(|upstream| upstream.say(change.server, admin)) {
            return Answer::text(
                StatusCode::NOT_FOUND,
                "there is no such server in an upstream of this name",
            );
        }
        log::info!(
            "admin: upstream {}: server {} is {done}, as {who} has asked",
            change.upstream,
            change.server
        );
        Answer::text(StatusCode::OK, format!("{} is {done}", change.server))
    }
}

/// The whole body, if it is small enough.
async fn body(session: &mut ServerSession) -> Result<Vec<u8>, Answer> {
    let mut body = Vec::new();
    loop {
        match session.read_request_body().await {
            Ok(Some(part)) => body.extend_from_slice(&part),
            Ok(None) => return Ok(body),
            Err(_) => return Err(Answer::text(StatusCode::BAD_REQUEST, "the body did not come whole")),
        }
        if body.len() > BODY_MAX {
            return Err(Answer::text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"));
        }
    }
}

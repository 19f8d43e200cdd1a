//! The admin address: the status page, `/status.json`, `/metrics` and `/ready`. Nothing can be changed here.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Response, StatusCode};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use satchel_common::metrics::Exposition;
use satchel_common::status::{Answer, accept};

use crate::exchange::Core;
use crate::exposition::collect;
use crate::status::Recent;

/// The page, and what fills it.
const PAGE: &str = include_str!("status/page.html");
const SCRIPT: &str = include_str!("status/page.js");

/// Serves the admin address.
pub struct Admin {
    core: Arc<Core>,
    recent: Arc<Recent>,
    exposition: Exposition,
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let method = request.method.clone();
        let history = request.uri.query() == Some("history");
        let answer = match request.uri.path() {
            _ if method != Method::GET && method != Method::HEAD => {
                Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are possible here")
            }
            "/" | "/status" => Answer::html(PAGE),
            "/page.js" => Answer::script(SCRIPT),
            "/status.json" => Answer::json(&self.recent.status(&self.core, history)),
            "/metrics" => Answer::metrics(self.exposition.render(&accept(session))),
            "/ready" => self.ready(),
            path => Answer::shared(path).unwrap_or_else(|| {
                Answer::text(StatusCode::NOT_FOUND, "only /, /status.json, /metrics and /ready are here")
            }),
        };
        answer.response(&method)
    }
}

impl Admin {
    /// Shows what is counted in `core`, and what was lately.
    pub fn new(core: Arc<Core>, recent: Arc<Recent>) -> Self {
        let counted = core.clone();
        Self { core, recent, exposition: Exposition::new(move |page| collect(page, &counted)) }
    }

    /// Ready: sessions can be stored, and Tomcat is not about to be stopped. Whether Tomcat answers is Tomcat's own probe's business.
    fn ready(&self) -> Answer {
        if self.core.leaving.has_begun() {
            return Answer::text(StatusCode::SERVICE_UNAVAILABLE, "draining");
        }
        let nodes = &self.core.nodes;
        let down: Vec<_> =
            nodes.all().filter(|n| !nodes.is_up(*n)).map(|n| nodes.name(n).to_string()).collect();
        if down.len() == nodes.all().count() {
            return Answer::text(StatusCode::SERVICE_UNAVAILABLE, "no memcached node is up");
        }
        let ready = if down.is_empty() { "ready".into() } else { format!("ready; down: {}", down.join(" ")) };
        Answer::text(StatusCode::OK, ready)
    }
}

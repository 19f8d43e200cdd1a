//! The admin address: `/metrics`, `/ready` and `/status`.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Response, StatusCode};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use serde_json::{Value, json};

use crate::balancer::{self, Peer};
use crate::metrics::Metrics;
use crate::running::Shared;
use crate::upstream::Upstream;

/// Serves the admin address.
pub struct Admin {
    /// The configuration in use.
    pub shared: Shared,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        const TEXT: &str = "text/plain";
        let (status, kind, body) = match session.req_header().uri.path() {
            "/metrics" => {
                (StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", self.metrics())
            }
            "/ready" => (StatusCode::OK, TEXT, "ready\n".to_owned()),
            "/status" => (StatusCode::OK, "application/json", format!("{:#}\n", self.status())),
            _ => (StatusCode::NOT_FOUND, TEXT, "only /ready, /status and /metrics are here\n".to_owned()),
        };
        let mut response = Response::new(body.into_bytes());
        *response.status_mut() = status;
        response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
        response
    }
}

impl Admin {
    fn metrics(&self) -> String {
        for upstream in &self.shared.load().upstreams {
            for peer in upstream.peers() {
                let up = state(upstream, &peer) == "up";
                self.metrics.state(&upstream.name, peer.address, up, peer.conns);
            }
        }
        self.metrics.render()
    }

    fn status(&self) -> Value {
        let running = self.shared.load();
        let upstreams: Vec<_> = running.upstreams.iter().map(|upstream| upstream_status(upstream)).collect();
        json!({ "upstreams": upstreams })
    }
}

fn state(upstream: &Upstream, peer: &Peer) -> &'static str {
    match (peer.options.admin, peer.healthy, upstream.is_failed(peer)) {
        (balancer::Admin::Down, ..) => "down",
        (balancer::Admin::Drain, ..) => "drain",
        (_, false, _) => "unhealthy",
        (_, _, true) => "failed",
        _ => "up",
    }
}

fn upstream_status(upstream: &Upstream) -> Value {
    let servers: Vec<_> = upstream
        .peers()
        .iter()
        .map(|peer| {
            json!({
                "address": peer.address.to_string(),
                "weight": peer.options.weight,
                "backup": peer.options.backup,
                "state": state(upstream, peer),
                "active": peer.conns,
                "max_conns": peer.options.max_conns,
                "fails": peer.fails,
            })
        })
        .collect();
    json!({ "name": upstream.name, "servers": servers })
}

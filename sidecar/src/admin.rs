//! The admin address: `/ready` and `/metrics`.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Response, StatusCode};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;

use crate::exchange::Core;

/// Serves the admin address.
pub struct Admin {
    /// What is reported on.
    pub core: Arc<Core>,
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let (status, body) = match session.req_header().uri.path() {
            "/metrics" => (StatusCode::OK, self.core.metrics.render()),
            "/ready" => self.ready(),
            _ => (StatusCode::NOT_FOUND, "only /ready and /metrics are here\n".to_owned()),
        };
        let mut response = Response::new(body.into_bytes());
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; version=0.0.4"));
        response
    }
}

impl Admin {
    /// Ready: sessions can be stored. Whether Tomcat answers is Tomcat's own probe's business.
    fn ready(&self) -> (StatusCode, String) {
        let nodes = &self.core.nodes;
        let down: Vec<_> =
            nodes.all().filter(|n| !nodes.is_up(*n)).map(|n| nodes.name(n).to_string()).collect();
        if down.len() == nodes.all().count() {
            return (StatusCode::SERVICE_UNAVAILABLE, "no memcached node is up\n".to_owned());
        }
        (
            StatusCode::OK,
            if down.is_empty() { "ready\n".into() } else { format!("ready; down: {}\n", down.join(" ")) },
        )
    }
}

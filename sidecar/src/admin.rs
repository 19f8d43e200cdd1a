//! The admin address: `/ready` and `/metrics`.

use std::fmt::Write as _;
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
            "/metrics" => (StatusCode::OK, self.core.metrics.render() + &self.gauges()),
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
    /// What is so now, in Prometheus' text format.
    fn gauges(&self) -> String {
        let nodes = &self.core.nodes;
        let mut out = String::from(
            "# HELP satchel_node_up Whether a memcached node is used.\n# TYPE satchel_node_up gauge\n",
        );
        for node in nodes.all() {
            let _ = writeln!(
                out,
                "satchel_node_up{{node=\"{}\"}} {}",
                nodes.name(node),
                u8::from(nodes.is_up(node))
            );
        }
        let waiting = self.core.outbox.len();
        let _ = write!(
            out,
            "# HELP satchel_outbox_sessions Sessions that wait for a memcached node.\n# TYPE satchel_outbox_sessions gauge\n\
             satchel_outbox_sessions {waiting}\n"
        );
        out
    }

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

//! What is recorded of a request, if it is: a span for it, and one for each server that had it. Names and attributes are those of OpenTelemetry's conventions
//! for HTTP. Neither queries nor fields of headers are in them, and no session ids.

use std::time::Instant;

use pingora_proxy::Session;
use satchel_common::trace::{Attribute, Kind, Part, method};

use super::Ctx;
use crate::access_log::format::without_ids;
use crate::upstream::Lease;

const STATUS: &str = "http.response.status_code";

impl Ctx {
    /// A server does not have the request any more.
    pub(super) fn end_try(&mut self, lease: &Lease, status: u16, failed: bool) {
        let (Some(trace), sent) = (&self.trace, self.sent.take()) else { return };
        let mut attributes = vec![
            Attribute::new("server.address", lease.address.ip().to_string()),
            Attribute::new("server.port", i64::from(lease.address.port())),
        ];
        if status > 0 {
            attributes.push(Attribute::new(STATUS, i64::from(status)));
        }
        let part = Part { name: "upstream", kind: Kind::Client, began: lease.began, ended: Instant::now() };
        trace.part(part, sent, failed || status >= 500, attributes);
    }

    /// The request has ended.
    pub(super) fn end_trace(&mut self, session: &Session) {
        let Some(trace) = self.trace.take() else { return };
        let method = method(&session.req_header().method);
        let route = self.location.as_ref().map_or("", |location| location.path.prefix());
        let path = String::from_utf8_lossy(&without_ids(&self.path)).into_owned();
        let mut attributes = vec![
            Attribute::new("http.request.method", method),
            Attribute::new("url.path", path),
            Attribute::new("url.scheme", if self.tls { "https" } else { "http" }),
            Attribute::new("satchel.request_id", self.request_id.clone()),
        ];
        if !route.is_empty() {
            attributes.push(Attribute::new("http.route", route.to_owned()));
        }
        if let Some(server) = self.server() {
            attributes.push(Attribute::new("satchel.server_name", server.name()));
        }
        let status = session.response_written().map(|response| response.status.as_u16());
        if let Some(status) = status {
            attributes.push(Attribute::new(STATUS, i64::from(status)));
        }
        let name = if route.is_empty() { method.to_owned() } else { format!("{method} {route}") };
        trace.end(name, status.is_some_and(|status| status >= 500), attributes);
    }
}

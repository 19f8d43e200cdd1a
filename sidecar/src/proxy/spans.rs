//! What is recorded of a request, if it is: a span for it, and one for the time that Tomcat had it. The parts of its exchange record themselves
//! ([`Exchange::ended`](crate::exchange::Exchange::ended)).

use std::time::Instant;

use pingora_proxy::Session;
use satchel_common::trace::{self, Attribute, Kind, method};

use super::{Ctx, Proxy};
use crate::metrics::Part;

const STATUS: &str = "http.response.status_code";

impl Proxy {
    /// The header of Tomcat's response has come; without a status: it will not.
    pub(super) fn tomcat_has_answered(&self, ctx: &mut Ctx, status: Option<u16>) {
        let Some(sent) = ctx.sent_at.take() else { return };
        let now = Instant::now();
        if status.is_some() {
            self.core.metrics.parts.observe(Part::Tomcat, sent, now);
        }
        let Some(trace) = &ctx.trace else { return };
        let part = trace::Part { name: Part::Tomcat.name(), kind: Kind::Client, began: sent, ended: now };
        let mut attributes = vec![
            Attribute::new("server.address", self.tomcat_address.ip().to_string()),
            Attribute::new("server.port", i64::from(self.tomcat_address.port())),
        ];
        attributes.extend(status.map(|status| Attribute::new(STATUS, i64::from(status))));
        trace.part(part, ctx.told.take(), status.is_none_or(|status| status >= 500), attributes);
    }

    /// The request has ended, but perhaps not its exchange.
    pub(super) fn end_trace(&self, session: &Session, ctx: &mut Ctx) {
        self.tomcat_has_answered(ctx, None);
        let Some(trace) = ctx.trace.take() else { return };
        let method = method(&session.req_header().method);
        let mut attributes = vec![
            Attribute::new("http.request.method", method),
            Attribute::new("satchel.session", ctx.session),
        ];
        let context = ctx.context.map(|index| self.core.context(index).name());
        let context = context.map(|name| if name.is_empty() { "/".to_owned() } else { name });
        attributes.extend(context.clone().map(|context| Attribute::new("satchel.context", context)));
        let status = session.response_written().map(|response| response.status.as_u16());
        attributes.extend(status.map(|status| Attribute::new(STATUS, i64::from(status))));
        let name = context.map_or_else(|| method.to_owned(), |context| format!("{method} {context}"));
        trace.end(name, status.is_some_and(|status| status >= 500), attributes);
    }
}

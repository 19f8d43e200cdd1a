//! The request's line in the access log.

use pingora_proxy::Session;

use super::{Ctx, Proxy};
use crate::access_log::Stamp;
use crate::metrics::Ended;
use crate::template::{Answered, Variables};

/// What a client that left before its answer is logged as, as nginx does.
const CLIENT_LEFT: u16 = 499;

impl Proxy {
    /// Counts the request, and logs it.
    pub(super) fn log(&self, session: &Session, ctx: &Ctx) {
        let response = session.response_written();
        let answered = response.map(|response| response.status.as_u16());
        let status = answered.unwrap_or(CLIENT_LEFT);
        if let Some(counted) = ctx.running.as_ref().and_then(|running| running.counted.get(ctx.server)) {
            counted.ended(answered.map_or(Ended::Left, Ended::Answered), ctx.began.elapsed());
        }
        let wanted = ctx.settings().is_none_or(|settings| settings.access_log);
        let Some(log) = ctx.running.as_ref().map(|running| &running.access_log) else { return };
        if !log.is_on() || !wanted {
            return;
        }
        let time = Stamp::now();
        let tries = &ctx.tries;
        let joined = |parts: Vec<String>| if parts.is_empty() { "-".to_owned() } else { parts.join(", ") };
        let status_text = |status: &u16| if *status == 0 { "-".to_owned() } else { status.to_string() };
        let upstream_addr = joined(tries.servers.iter().map(ToString::to_string).collect());
        let upstream_status = joined(tries.statuses.iter().map(status_text).collect());
        let upstream_time = joined(tries.times.iter().map(|time| format!("{time:.3}")).collect());
        let line = ctx.with_variables(|variables| {
            let answered = Answered {
                status,
                body_bytes_sent: session.body_bytes_sent(),
                response,
                request_time: ctx.began.elapsed(),
                upstream_addr: &upstream_addr,
                upstream_status: &upstream_status,
                upstream_response_time: &upstream_time,
                time_local: &time.local,
                time_iso8601: &time.iso8601,
                msec: &time.msec,
            };
            log.line(&Variables { answered: Some(answered), ..variables.clone() })
        });
        if let Some(line) = line {
            log.write(line);
        }
    }
}

//! When a request is sent to another server: nginx's `proxy_next_upstream`, and a sidecar's word that nothing has reached its Tomcat (R16).

use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use satchel_common::answer::is_answered;

use super::why::why;
use super::{Ctx, Proxy};

/// A sidecar's word that nothing of the request has reached its Tomcat.
const UNSENT: &str = "x-satchel-unsent";
/// Of one request: more of them are not meant to end.
const INFORMATIONAL_MAX: usize = 20;
/// Why a request would be sent to another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Its server is not there, or not any more: all that it had fail at once, and each of them is one request more elsewhere.
    Gone,
    /// Its server did not answer in time: others may be as slow.
    Slow,
    /// Its server has answered, but not well: that is better than the answer of a server that does not work.
    Answered,
}

/// Tells our own retryable error from Pingora's.
pub(super) const TRY_NEXT: &str = "the next server is tried";

/// RFC 9110, 9.2.2, as nginx has it: a request that may be sent twice.
fn is_idempotent(session: &Session) -> bool {
    !matches!(session.req_header().method.as_str(), "POST" | "LOCK" | "PATCH")
}

impl Proxy {
    /// A connection that was not made: nothing was sent, so any request goes to the next server.
    pub(super) fn after_no_connection(&self, ctx: &mut Ctx, mut error: Box<Error>) -> Box<Error> {
        if let (Some((upstream, _)), Some(lease)) = (ctx.upstream(), &ctx.lease) {
            let why = why(&error);
            log::warn!("upstream {}: server {} cannot be reached: {why}", upstream.name, lease.address);
        }
        ctx.leave_server(0, true);
        let on = ctx.settings().is_some_and(|settings| match error.etype() {
            ErrorType::ConnectTimedout => settings.next_upstream.timeout,
            _ => settings.next_upstream.error,
        });
        error.set_retry(on && self.may_try_next(ctx, Why::Gone));
        error
    }

    /// A connection that was lost, or a server that did not answer in time, after something was sent.
    pub(super) fn after_lost_connection(
        &self,
        session: &Session,
        ctx: &mut Ctx,
        mut error: Box<Error>,
        client_reused: bool,
    ) -> Box<Error> {
        if matches!(error.etype(), ErrorType::Custom(TRY_NEXT)) {
            return error;
        }
        if *error.esource() != ErrorSource::Upstream {
            // The client's doing.
            ctx.leave_server(0, false);
            error.set_retry(false);
            return error;
        }
        let answered = is_answered(session.response_written());
        let timed_out = matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout);
        let malformed = matches!(error.etype(), ErrorType::InvalidHTTPHeader);
        // A kept connection that turned out to be closed says nothing about its server.
        let stale = client_reused && !timed_out && !malformed && !answered;
        let may_repeat = !session.as_ref().retry_buffer_truncated() && !answered;
        let idempotent = is_idempotent(session);
        let on = ctx.settings().is_some_and(|settings| {
            let next = &settings.next_upstream;
            let on = match (timed_out, malformed) {
                (true, _) => next.timeout,
                (_, true) => next.invalid_header,
                _ => next.error,
            };
            on && (idempotent || next.non_idempotent)
        });
        if stale && idempotent && may_repeat {
            // The same server again is as good as another.
            ctx.lease = None;
            error.set_retry(true);
            return error;
        }
        ctx.leave_server(0, true);
        let why = if timed_out { Why::Slow } else { Why::Gone };
        error.set_retry(on && may_repeat && self.may_try_next(ctx, why));
        error
    }

    /// An answer that is not passed on, because another server may have a better one.
    ///
    /// # Errors
    /// The one that makes Pingora try again.
    pub(super) fn after_answer(
        &self,
        session: &Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let status = response.status.as_u16();
        if response.status.is_informational() && status != 101 {
            ctx.informational += 1;
            if ctx.informational > INFORMATIONAL_MAX {
                let mut error = Error::explain(ErrorType::InvalidHTTPHeader, "1xx without end");
                error.as_up();
                return Err(error);
            }
            return Ok(());
        }
        let unsent = response.remove_header(UNSENT).is_some() && status == 503;
        let Some(next) = ctx.settings().map(|settings| &settings.next_upstream) else { return Ok(()) };
        let chosen = next.status.contains(&status);
        let repeatable = unsent || is_idempotent(session) || next.non_idempotent;
        // As in nginx, an answer that is chosen speaks against its server, but for those that are about what was asked for.
        let failed = chosen && !matches!(status, 403 | 404 | 429);
        let may_repeat = (unsent || chosen) && repeatable && !session.as_ref().retry_buffer_truncated();
        let why = if unsent { Why::Gone } else { Why::Answered };
        if !may_repeat || !self.may_try_next(ctx, why) {
            if failed && let Some(lease) = &mut ctx.lease {
                lease.fail();
            }
            return Ok(());
        }
        ctx.leave_server(status, failed);
        let mut error = Error::explain(ErrorType::Custom(TRY_NEXT), format!("answered {status}"));
        error.as_up();
        error.set_retry(true);
        Err(error)
    }

    /// Whether a server is left, and tries (`proxy_next_upstream_tries`), time and budget.
    fn may_try_next(&self, ctx: &Ctx, why: Why) -> bool {
        let Some((upstream, _)) = ctx.upstream() else { return false };
        let Some(next) = ctx.settings().map(|settings| &settings.next_upstream) else { return false };
        let mut tried = ctx.tries.servers.clone();
        tried.extend(ctx.lease.as_ref().map(|lease| lease.address));
        let may = upstream.has_untried(&tried, why != Why::Answered)
            && (next.tries == 0 || tried.len() < next.tries)
            && next.timeout_total.is_none_or(|limit| ctx.began.elapsed() < limit)
            && ((why == Why::Gone && tried.len() == 1) || upstream.may_retry());
        if may {
            upstream.counted().retries.add();
        }
        may
    }
}

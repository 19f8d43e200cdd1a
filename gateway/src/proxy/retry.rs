//! When a request is sent to another server: when nothing of it can have been acted on.

use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::{Ctx, Proxy};

/// A sidecar's word that nothing of the request has reached its Tomcat (R16).
const UNSENT: &str = "x-satchel-unsent";
/// Tells our own retryable error from Pingora's.
const TRY_NEXT: &str = "the server had no use for the request";

impl Proxy {
    /// A connection that was not made: any request goes to the next server.
    pub(super) fn try_next(&self, ctx: &mut Ctx, mut error: Box<Error>) -> Box<Error> {
        if let Some(peer) = ctx.peer.take() {
            if let Some(address) = self.upstream.address(peer) {
                log::warn!("upstream {}: server {address} cannot be reached: {error}", self.upstream.name);
            }
            ctx.tried.push(peer);
        }
        error.set_retry(self.upstream.has_untried(&ctx.tried));
        error
    }

    /// An "unsent" answer goes to the next server too, whatever the method, if the body can be sent again;
    /// the last server's goes to the client.
    pub(super) fn try_next_if_unsent(
        &self,
        session: &Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        if response.remove_header(UNSENT).is_none()
            || response.status != http::StatusCode::SERVICE_UNAVAILABLE
        {
            return Ok(());
        }
        let mut tried = ctx.tried.clone();
        tried.extend(ctx.peer);
        if session.as_ref().retry_buffer_truncated() || !self.upstream.has_untried(&tried) {
            return Ok(());
        }
        ctx.tried = tried;
        let mut error = Error::explain(ErrorType::Custom(TRY_NEXT), "503 with X-Satchel-Unsent");
        error.as_up();
        error.set_retry(true);
        Err(error)
    }
}

/// Pingora's rules: an idempotent request whose body can be sent again, on a connection that had been used
/// before. Our own error stays as it is.
pub(super) fn after_error(
    peer: &HttpPeer,
    session: &Session,
    error: Box<Error>,
    client_reused: bool,
) -> Box<Error> {
    if matches!(error.etype(), ErrorType::Custom(TRY_NEXT)) {
        return error;
    }
    let mut error = error.more_context(format!("Peer: {peer}"));
    if session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated() {
        error.retry.decide_reuse(client_reused);
    } else {
        error.set_retry(false);
    }
    error
}

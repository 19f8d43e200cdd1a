//! Sending an answer of the gateway's own.

use pingora_proxy::Session;
use satchel_common::answer::{build, is_answered};

/// Answers and ends the connection: what is left of the request is not read.
pub(super) async fn answer(session: &mut Session, status: u16) {
    if is_answered(session.response_written()) {
        return;
    }
    let Some((header, body)) = build(status) else { return };
    session.as_mut().set_keepalive(None);
    let head = session.req_header().method == http::Method::HEAD;
    if session.write_response_header(Box::new(header), head).await.is_ok() && !head {
        let _ = session.write_response_body(Some(body), true).await;
    }
}

//! Answers of the gateway's own: short, plain, and silent about what runs here.

use bytes::Bytes;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

/// Answers and ends the connection: what is left of the request is not read.
pub(super) async fn answer(session: &mut Session, status: u16) {
    let text = match status {
        400 => "The request is malformed.\n",
        408 => "The request did not arrive in time.\n",
        413 => "The request's body is too large.\n",
        414 => "The request's address is too long.\n",
        431 => "The request's header is too large.\n",
        502 => "The server did not complete the request.\n",
        503 => "No server is available; please try again.\n",
        504 => "The server took too long.\n",
        _ => "The request failed.\n",
    };
    if session.response_written().is_some() {
        return;
    }
    let Ok(mut header) = ResponseHeader::build(status, Some(5)) else { return };
    let body = Bytes::from_static(text.as_bytes());
    let mut set = |name: &'static str, value: String| header.insert_header(name, value).is_ok();
    let mut good = set("Content-Type", "text/plain".into());
    good &= set("Content-Length", body.len().to_string());
    good &= set("Cache-Control", "no-store".into());
    if status == 503 {
        good &= set("Retry-After", "1".into());
    }
    if !good {
        return;
    }
    session.as_mut().set_keepalive(None);
    let head = session.req_header().method == http::Method::HEAD;
    if session.write_response_header(Box::new(header), head).await.is_ok() && !head {
        let _ = session.write_response_body(Some(body), true).await;
    }
}

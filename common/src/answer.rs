//! Answers of the programs' own: short, plain, and silent about what runs here.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorSource, ErrorType};

/// Header and body of an answer. `None` never happens: all parts are valid.
pub fn build(status: u16) -> Option<(ResponseHeader, Bytes)> {
    let text = match status {
        400 => "The request is malformed.\n",
        408 => "The request did not arrive in time.\n",
        413 => "The request's body is too large.\n",
        414 => "The request's address is too long.\n",
        429 => "Too many requests.\n",
        431 => "The request's header is too large.\n",
        502 => "The server did not complete the request.\n",
        503 => "The service is busy; please try again.\n",
        504 => "The server took too long.\n",
        _ => "The request failed.\n",
    };
    let mut header = ResponseHeader::build(status, Some(5)).ok()?;
    header.insert_header(CONTENT_TYPE, "text/plain").ok()?;
    header.insert_header(CONTENT_LENGTH, text.len().to_string()).ok()?;
    header.insert_header(CACHE_CONTROL, "no-store").ok()?;
    if matches!(status, 429 | 503) {
        header.insert_header(RETRY_AFTER, "1").ok()?;
    }
    Some((header, Bytes::from_static(text.as_bytes())))
}

/// The same as bytes, for where there is no session yet. The connection is to be closed after it.
pub fn raw(status: u16) -> Vec<u8> {
    let Some((header, body)) = build(status) else { return Vec::new() };
    let reason = header.status.canonical_reason().unwrap_or_default();
    let mut text = format!("HTTP/1.1 {status} {reason}\r\nConnection: close\r\n").into_bytes();
    for (name, value) in &header.headers {
        text.extend_from_slice(format!("{name}: ").as_bytes());
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(&body);
    text
}

/// Whether what was `written` is a final response, or a tunnel: nothing of our own may follow it. After a 100 or 103 it may.
pub fn is_answered(written: Option<&ResponseHeader>) -> bool {
    written.is_some_and(|header| !header.status.is_informational() || header.status.as_u16() == 101)
}

/// The status that tells a client what went wrong; zero when nobody is there to be told.
pub fn status(error: &Error) -> u16 {
    use ErrorSource::{Downstream, Upstream};
    use ErrorType::{
        ConnectError, ConnectNoRoute, ConnectRefused, ConnectTimedout, ConnectionClosed, HTTPStatus,
        ReadError, ReadTimedout, WriteError, WriteTimedout,
    };
    match (error.etype(), error.esource()) {
        (HTTPStatus(status), _) => *status,
        // Nobody could be reached.
        (ConnectTimedout | ConnectRefused | ConnectError | ConnectNoRoute, Upstream) => 503,
        (ReadTimedout | WriteTimedout, Upstream) => 504,
        (_, Upstream) => 502,
        (ReadError | WriteError | ConnectionClosed, Downstream) => 0,
        (ReadTimedout, Downstream) => 408,
        (_, Downstream) => 400,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_can_be_answered() {
        for status in 400..=599 {
            let (header, body) = build(status).unwrap();
            assert_eq!(header.status, status);
            assert_eq!(header.headers[CONTENT_LENGTH], body.len().to_string());
            assert_eq!(header.headers.contains_key(RETRY_AFTER), matches!(status, 429 | 503));
        }
    }

    #[test]
    fn only_a_final_response_is_one() {
        let written = |status| is_answered(ResponseHeader::build(status, None).ok().as_ref());
        assert!(written(200) && written(101) && written(503));
        assert!(!written(100) && !written(103) && !is_answered(None));
    }

    #[test]
    fn who_is_at_fault_decides_the_status() {
        let of = |kind, source: fn(&mut Error)| {
            let mut error = Error::new(kind);
            source(&mut error);
            status(&error)
        };
        assert_eq!(of(ErrorType::HTTPStatus(413), |_| {}), 413);
        assert_eq!(of(ErrorType::ConnectRefused, |e| e.as_up()), 503);
        assert_eq!(of(ErrorType::ReadTimedout, |e| e.as_up()), 504);
        assert_eq!(of(ErrorType::InvalidHTTPHeader, |e| e.as_up()), 502);
        assert_eq!(of(ErrorType::InvalidHTTPHeader, |e| e.as_down()), 400);
        assert_eq!(of(ErrorType::ConnectionClosed, |e| e.as_down()), 0);
    }
}

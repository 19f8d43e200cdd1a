//! The admin address of both programs: pages for people, and what keeps them safe in a browser.
//!
//! A page is a shell that its script fills from `status.json`; whatever comes from outside (names of servers and nodes) is put in as text, never as
//! markup, and the policy below lets nothing run or load that is not served here.

mod sidecar;
mod token;

use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use pingora::protocols::http::ServerSession;

pub use sidecar::{NodeStatus, OutboxStatus, SidecarHistory, SidecarStatus, Trouble};
pub use token::{Token, TokenError};

/// Scripts and styles from here, questions to here, and nothing else: no inline script, no form, no frame, no picture.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// Of both pages.
const STYLE: &str = include_str!("status.css");
const SCRIPT: &str = include_str!("status.js");

/// What is answered at the admin address.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    kind: &'static str,
    body: Vec<u8>,
}

impl Answer {
    /// A page.
    pub fn html(page: &str) -> Self {
        Self { status: StatusCode::OK, kind: "text/html; charset=utf-8", body: page.into() }
    }

    /// Any value as JSON.
    pub fn json(value: &impl serde::Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(mut body) => {
                body.push(b'\n');
                Self { status: StatusCode::OK, kind: "application/json", body }
            }
            Err(error) => Self::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    /// A script.
    pub fn script(text: &str) -> Self {
        Self { status: StatusCode::OK, kind: "text/javascript; charset=utf-8", body: text.into() }
    }

    /// A text, in one line.
    pub fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: (text.into() + "\n").into() }
    }

    /// A page of metrics, of this type.
    pub fn metrics((kind, page): (&'static str, String)) -> Self {
        Self { status: StatusCode::OK, kind, body: page.into() }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// What both pages have in common.
    pub fn shared(path: &str) -> Option<Self> {
        match path {
            "/status.css" => Some(Self { kind: "text/css; charset=utf-8", ..Self::html(STYLE) }),
            "/status.js" => Some(Self::script(SCRIPT)),
            _ => None,
        }
    }

    /// The response. `method`: that of the request; the answer to HEAD has no body.
    pub fn response(self, method: &Method) -> Response<Vec<u8>> {
        let length = self.body.len();
        let body = if method == Method::HEAD { Vec::new() } else { self.body };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let fields: [(HeaderName, &'static str); 6] = [
            (CONTENT_TYPE, self.kind),
            (CACHE_CONTROL, "no-store"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            (REFERRER_POLICY, "no-referrer"),
        ];
        let headers = response.headers_mut();
        headers.extend(fields.map(|(name, value)| (name, HeaderValue::from_static(value))));
        headers.insert(CONTENT_LENGTH, length.into());
        response
    }
}

/// What a request accepts.
pub fn accept(session: &ServerSession) -> String {
    let accept = session.req_header().headers.get(http::header::ACCEPT);
    accept.and_then(|accept| accept.to_str().ok()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_policy_and_its_length() {
        let response = Answer::text(StatusCode::NOT_FOUND, "no").response(&Method::GET);
        assert_eq!((response.status(), response.body().as_slice()), (StatusCode::NOT_FOUND, &b"no\n"[..]));
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(response.headers()[CONTENT_LENGTH], "3");
        let head = Answer::html("<p>").response(&Method::HEAD);
        assert!(head.body().is_empty() && head.headers()[CONTENT_LENGTH] == "3");
    }

    #[test]
    fn nothing_in_a_page_needs_more_than_its_policy_allows() {
        for text in [STYLE, SCRIPT] {
            for forbidden in ["http://", "https://", "innerHTML", "eval(", "url(", "@import"] {
                // The name of SVG is no address that is loaded.
                let text = text.replace("http://www.w3.org/2000/svg", "");
                assert!(!text.contains(forbidden), "{forbidden}");
            }
        }
    }
}

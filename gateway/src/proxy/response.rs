//! After the server: its answer as the client gets it.

use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, SET_COOKIE, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use http::{HeaderName, Method, StatusCode};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::{Ctx, answer, encoding};
use crate::config::Compression;
use crate::entry;
use crate::forwarding::{
    Passed, add_headers, hide_headers, name_charset, rewrite_cookie_paths, rewrite_redirect,
};

/// A server's word about this response, as with nginx.
const X_ACCEL_BUFFERING: &str = "x-accel-buffering";

impl Ctx {
    /// Whether the response is spooled for a slow reader: a tunnel and an event stream never are.
    fn choose_buffering(&self, session: &mut Session, response: &mut ResponseHeader) {
        let Some(settings) = self.settings() else { return };
        let is = |name, text: &[u8]| {
            let value: Option<&http::HeaderValue> = response.headers.get(name);
            value.is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(text))
        };
        let on = match response.headers.get(X_ACCEL_BUFFERING) {
            Some(value) => value.as_bytes().eq_ignore_ascii_case(b"yes"),
            None => settings.proxy_buffering,
        };
        let on = on && response.status.as_u16() != 101 && !is(CONTENT_TYPE, b"text/event-stream");
        response.remove_header(X_ACCEL_BUFFERING);
        if let Some(stream) = session.as_downstream().stream() {
            entry::buffer(stream, on.then(|| (settings.send_timeout, settings.temp_files.clone())));
        }
    }

    /// Rewrites, adds and takes away what the configuration says.
    pub(super) fn finish_response(
        &mut self,
        session: &mut Session,
        response: &mut ResponseHeader,
    ) -> Result<()> {
        self.choose_buffering(session, response);
        // 100 and 103 are not responses; a tunnel's is not ours.
        if response.status.is_informational() {
            if response.status == StatusCode::CONTINUE {
                // The body comes now. Pingora would close the connection for this answer before its end.
                session.as_mut().set_close_on_response_before_downstream_finish(false);
            }
            return Ok(());
        }
        // Chunks are not for HTTP/1.0: such a response ends with its connection.
        if self.request.as_ref().is_some_and(|request| request.version == http::Version::HTTP_10)
            && response.remove_header(&TRANSFER_ENCODING).is_some()
        {
            session.as_mut().set_keepalive(None);
        }
        let Some(location) = self.location.clone() else { return Ok(()) };
        let settings = &location.settings;
        let status = response.status.as_u16();
        let page =
            settings.error_pages.get(&status).filter(|_| settings.proxy_intercept_errors && status >= 400);
        if let Some(page) = page {
            let is_empty = response.headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0");
            // What the server said of its own page goes, but for what is about the client.
            let kept = [SET_COOKIE, WWW_AUTHENTICATE, RETRY_AFTER];
            let names: Vec<_> =
                response.headers.keys().filter(|name| !kept.contains(name)).cloned().collect();
            names.iter().for_each(|name| drop(response.remove_header(name)));
            if is_empty && session.req_header().method != Method::HEAD {
                // Pingora has no place for the body of a response that had none: it is answered here.
                self.intercepted = Some(response.headers.clone());
                self.leave_server(status, false);
                return Error::e_explain(ErrorType::HTTPStatus(status), "an empty error is intercepted");
            }
            answer::put_page(response, page)?;
            self.page = Some(page.body.clone());
        }
        // As nginx: without a path behind proxy_pass, paths are the same on both sides.
        let passed = self.upstream().map(|(upstream, uri)| Passed {
            upstream: &upstream.name,
            from: uri.unwrap_or("/"),
            to: if uri.is_some() { location.path.prefix() } else { "/" },
        });
        hide_headers(response, &settings.proxy_hide_header);
        hide_internal(response);
        rewrite_cookie_paths(response, &settings.proxy_cookie_path)?;
        self.with_variables(|variables| {
            rewrite_redirect(response, &settings.proxy_redirect, passed.as_ref(), variables)?;
            add_headers(response, &settings.add_header, variables)
        })
        .unwrap_or(Ok(()))?;
        // Of the type that add_header says, too.
        name_charset(response, settings.charset.as_deref())?;
        if !compresses(&settings.compression, response) {
            encoding::switch_off(session);
        }
        Ok(())
    }
}

/// What is between a server and its proxy: `X-Accel-*`, and hop-by-hop fields that Pingora passes on.
fn hide_internal(response: &mut ResponseHeader) {
    let is_internal = |name: &HeaderName| name.as_str().starts_with("x-accel-") || name == "keep-alive";
    let names: Vec<_> = response.headers.keys().filter(|name| is_internal(name)).cloned().collect();
    names.iter().for_each(|name| drop(response.remove_header(name)));
}

fn compresses(compression: &Compression, response: &ResponseHeader) -> bool {
    let text = |name| response.headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let kind = text(CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let media = kind.split(';').next().unwrap_or_default().trim();
    let long = text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    matches!(response.status.as_u16(), 200 | 403 | 404)
        && compression.types.iter().any(|one| one == media || one == "*")
        && long.is_none_or(|length| length >= compression.min_length)
}

//! Answers of the gateway's own.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, LOCATION, TRANSFER_ENCODING, UPGRADE,
};
use pingora_core::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use satchel_common::answer::{build, is_answered};
use tokio::time::timeout;

use super::{Ctx, encoding};
use crate::config::{Page, is_redirect};
use crate::forwarding::{add_headers, name_charset, origin};
use crate::template::Template;

/// nginx's defaults: between two reads, and for all of them.
const LINGERING_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const LINGERING_TIME: Duration = Duration::from_secs(30);

/// Answers an error and ends the connection.
pub(super) async fn error(session: &mut Session, ctx: &Ctx, status: u16) {
    if is_answered(session.response_written()) {
        return;
    }
    let page = ctx.settings().and_then(|settings| settings.error_pages.get(&status));
    let Some((mut header, mut body)) = build(status) else { return };
    if let Some(page) = page
        && put_page(&mut header, page).is_ok()
    {
        body = page.body.clone();
    }
    for (name, value) in ctx.intercepted.iter().flatten() {
        let _ = header.append_header(name, value);
    }
    let _ = decorate(&mut header, ctx);
    session.as_mut().set_keepalive(None);
    send(session, header, body).await;
}

/// nginx's `return`.
///
/// # Errors
/// A value that is no header value.
pub(super) async fn returns(
    session: &mut Session,
    ctx: &Ctx,
    status: u16,
    text: Option<&Template>,
) -> Result<()> {
    let render = |text: &Template| {
        ctx.with_variables(|variables| match is_redirect(status) {
            true => text.render_field(variables),
            false => text.render(variables),
        })
    };
    with_text(session, ctx, status, text.and_then(render)).await
}

/// The same with the text, or the address of a redirect, as it is.
///
/// # Errors
/// A value that is no header value.
pub(super) async fn with_text(
    session: &mut Session,
    ctx: &Ctx,
    status: u16,
    text: Option<String>,
) -> Result<()> {
    let mut header = ResponseHeader::build(status, Some(6))?;
    let body = match text {
        Some(address) if is_redirect(status) => {
            let origin = if address.starts_with('/') { ctx.with_variables(origin) } else { None };
            header.insert_header(LOCATION, format!("{}{address}", origin.unwrap_or_default()))?;
            header.insert_header(CONTENT_TYPE, "text/plain")?;
            Bytes::from_static(b"It has moved.\n")
        }
        Some(text) => {
            header.insert_header(CONTENT_TYPE, "text/plain")?;
            Bytes::from(text)
        }
        None => {
            let (own, body) = build(status).unwrap_or_else(|| (header.clone(), Bytes::new()));
            header = own;
            match ctx.settings().and_then(|settings| settings.error_pages.get(&status)) {
                Some(page) => {
                    put_page(&mut header, page)?;
                    page.body.clone()
                }
                None if status < 400 => Bytes::new(),
                None => body,
            }
        }
    };
    decorate(&mut header, ctx)?;
    if status < 400 {
        header.remove_header(&CACHE_CONTROL);
    }
    if matches!(status, 204 | 304) {
        header.remove_header(&CONTENT_LENGTH);
        header.remove_header(&CONTENT_TYPE);
    } else {
        header.insert_header(CONTENT_LENGTH, body.len().to_string())?;
    }
    send(session, header, body).await;
    Ok(())
}

/// The header as it is for a page of ours.
pub(super) fn put_page(header: &mut ResponseHeader, page: &Page) -> Result<()> {
    header.insert_header(CONTENT_TYPE, page.content_type)?;
    header.insert_header(CONTENT_LENGTH, page.body.len().to_string())
}

fn decorate(header: &mut ResponseHeader, ctx: &Ctx) -> Result<()> {
    let Some(settings) = ctx.settings() else { return Ok(()) };
    ctx.with_variables(|variables| add_headers(header, &settings.add_header, variables)).unwrap_or(Ok(()))?;
    name_charset(header, settings.charset.as_deref())
}

async fn send(session: &mut Session, header: ResponseHeader, body: Bytes) {
    // Too short to be worth it.
    encoding::switch_off(session);
    let bodiless =
        session.req_header().method == http::Method::HEAD || matches!(header.status.as_u16(), 204 | 304);
    let bodiless = bodiless || body.is_empty();
    if session.write_response_header(Box::new(header), bodiless).await.is_ok() && !bodiless {
        let _ = session.write_response_body(Some(body), true).await;
    }
    linger(session).await;
}

/// Reads what is left of the request's body, as nginx's `lingering_close`: a client that still sends when its connection or stream is closed may
/// never see the answer. One that waits to be asked for its body sends none in HTTP/1, and ends its stream in HTTP/2.
async fn linger(session: &mut Session) {
    let headers = &session.req_header().headers;
    let has = |name: HeaderName| headers.contains_key(name);
    // To Pingora an upgrade is read until its connection ends; curl offers one with an ordinary body.
    let upgrades = has(UPGRADE) && !has(CONTENT_LENGTH) && !has(TRANSFER_ENCODING);
    let waits = has(EXPECT);
    let downstream = session.as_mut();
    if upgrades || (waits && !downstream.is_http2()) {
        return;
    }
    downstream.set_read_timeout(Some(LINGERING_TIMEOUT));
    let limit = if waits { LINGERING_TIMEOUT } else { LINGERING_TIME };
    let _ = timeout(limit, downstream.drain_request_body()).await;
}

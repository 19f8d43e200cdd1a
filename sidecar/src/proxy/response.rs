//! After Tomcat: which session the response tells of, holding it until that is stored, and the suffix.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use tokio::time::timeout;

use super::{Ctx, Proxy, UNSENT};
use crate::exchange::access::Access;
use crate::exchange::settle::{NotStored, StoredAt};
use crate::exchange::watch::Progress;
use crate::id::set_cookie;

/// A body up to this size fits into the buffers between Tomcat and us: a held header can't stop Tomcat.
const SMALL_BODY: u64 = 64 * 1024;

/// With `backup_timeout = "0ms"`, how long a response is held all the same when Tomcat may be unable to save before it flows: it
/// may wait for its body to be read, or for nothing.
const HOLD_BLINDLY: Duration = Duration::from_millis(100);

impl Proxy {
    /// Settles the exchange, holding the response until the session is stored, and marks it if it is not.
    pub(super) async fn take_session(&self, response: &mut ResponseHeader, ctx: &mut Ctx) -> Result<()> {
        // Only the sidecar's own word counts: the application must not be able to have a request sent twice.
        response.remove_header(UNSENT);
        let Some(index) = ctx.context else {
            self.mark(response, true)?;
            return self.remove_all_cookies(response);
        };
        let stored = self.hold(response, ctx, index).await?;
        self.mark(response, stored)
    }

    /// Tells those who asked to be told (`session.unsaved_header`).
    fn mark(&self, response: &mut ResponseHeader, stored: bool) -> Result<()> {
        let settings = self.core.settings();
        let Some(name) = &settings.unsaved_header else { return Ok(()) };
        response.remove_header(name);
        if stored { Ok(()) } else { response.insert_header(name.clone(), "1") }
    }

    /// Holds the response until its session is stored, if it is to be held. Whether it is stored.
    async fn hold(&self, response: &mut ResponseHeader, ctx: &mut Ctx, index: usize) -> Result<bool> {
        let Some(exchange) = ctx.exchange.as_ref() else { return Ok(true) };
        let readonly = exchange.access == Access::ReadOnly;
        // What it does to a session is dropped.
        let dropped = exchange.drop_cookie || readonly;
        if dropped {
            let name = &self.core.context(index).cookie_name;
            remove_cookies(response, |header| set_cookie::value_range(header, name).is_some())?;
        }
        let said = self.said(response, exchange, index);
        let upgraded = response.status.as_u16() == 101;
        let progress = Progress {
            header: Some(ctx.began.elapsed()),
            small: is_small(response),
            ended: upgraded.then(|| ctx.began.elapsed()),
            same_id_again: said.same_id_again,
            ..Progress::default()
        };
        let held = ctx.held && !readonly && !is_event_stream(response);
        // Whether Tomcat can finish while the header is held, and be asked whether it has.
        let finishes = progress.small && (said.announced.is_none() || exchange.told.is_some());
        let tomcat_is_done = exchange.tomcat_is_done.clone();
        if let (false, Some(announced), Some(exchange)) = (held, &said.announced, ctx.exchange.as_mut()) {
            exchange.lock_new(announced).await;
        }
        let limit = self.core.settings().backup_timeout.or_else(|| (!finishes).then_some(HOLD_BLINDLY));
        let Some(mut released) = self.start_settling(ctx, said.announced.clone(), progress) else {
            return Ok(!dropped);
        };
        let lost = Some(Err(NotStored));
        let result = if upgraded {
            // A tunnel is not a response that can be late: the session is stored before it opens (R15).
            (&mut released).await.ok()
        } else if !held {
            released.try_recv().ok()
        } else if let Some(limit) = limit {
            match timeout(limit, &mut released).await {
                // What is left is the nodes' to do, and bounded by their timeouts.
                Err(_) if tomcat_is_done.load(Ordering::Relaxed) => (&mut released).await.ok().or(lost),
                result => result.ok().and_then(|result| result.ok().or(lost)),
            }
        } else {
            (&mut released).await.ok().or(lost)
        };
        let at = match result {
            Some(Ok(at)) => at,
            Some(Err(_)) => {
                return Error::e_explain(ErrorType::HTTPStatus(503), "the session was not stored");
            }
            // Nothing is to be stored.
            None if readonly => StoredAt::default(),
            None => {
                self.core.metrics.released_unsaved.add();
                StoredAt { unsaved: true, ..StoredAt::default() }
            }
        };
        self.add_suffixes(response, &said, at)?;
        Ok(!dropped && !at.unsaved)
    }

    /// Without session work a response can't set or replace a session cookie (R3).
    fn remove_all_cookies(&self, response: &mut ResponseHeader) -> Result<()> {
        remove_cookies(response, |header| {
            self.core.contexts.iter().any(|c| set_cookie::value_range(header, &c.cookie_name).is_some())
        })
    }
}

fn remove_cookies(response: &mut ResponseHeader, is_session: impl Fn(&[u8]) -> bool) -> Result<()> {
    if !response.headers.get_all(SET_COOKIE).iter().any(|value| is_session(value.as_bytes())) {
        return Ok(());
    }
    let kept: Vec<_> = response
        .headers
        .get_all(SET_COOKIE)
        .iter()
        .filter(|value| !is_session(value.as_bytes()))
        .cloned()
        .collect();
    response.remove_header(&SET_COOKIE);
    kept.into_iter().try_for_each(|value| response.append_header(SET_COOKIE, value).map(|_| ()))
}

fn is_small(response: &ResponseHeader) -> bool {
    if matches!(response.status.as_u16(), 101 | 204 | 304) {
        return true;
    }
    response
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
        .is_some_and(|length| length <= SMALL_BODY)
}

fn is_event_stream(response: &ResponseHeader) -> bool {
    response
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"text/event-stream"))
}

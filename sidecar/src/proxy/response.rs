//! After Tomcat: which session the response tells of, holding it until that is stored, and the suffix.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, SET_COOKIE};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use tokio::time::timeout;

use super::{Ctx, Proxy, UNSENT};
use crate::exchange::settle::Announced;
use crate::exchange::watch::Progress;
use crate::id::{Presented, SessionId, path_param, set_cookie};

/// A body up to this size fits into the buffers between Tomcat and us: a held header can't stop Tomcat.
const SMALL_BODY: u64 = 64 * 1024;

/// What the response says about sessions.
#[derive(Default)]
struct Said {
    announced: Option<Announced>,
    same_id_again: bool,
}

impl Proxy {
    /// Settles the exchange, holding the response until the session is stored.
    pub(super) async fn take_session(&self, response: &mut ResponseHeader, ctx: &mut Ctx) -> Result<()> {
        // Only the sidecar's own word counts: the application must not be able to have a request sent twice.
        response.remove_header(UNSENT);
        let Some(index) = ctx.context else { return self.remove_all_cookies(response) };
        let Some(exchange) = ctx.exchange.as_ref() else { return Ok(()) };
        if exchange.drop_cookie {
            let name = &self.core.context(index).cookie_name;
            remove_cookies(response, |header| set_cookie::value_range(header, name).is_some())?;
        }
        let said = self.add_suffixes(response, ctx, index)?;
        let upgraded = response.status.as_u16() == 101;
        let progress = Progress {
            header: Some(ctx.began.elapsed()),
            small: is_small(response),
            ended: upgraded.then(|| ctx.began.elapsed()),
            same_id_again: said.same_id_again,
            ..Progress::default()
        };
        let held = ctx.held && !is_event_stream(response);
        let Some(mut released) = self.start_settling(ctx, said.announced, progress) else { return Ok(()) };
        let result = if upgraded {
            // A tunnel is not a response that can be late: the session is stored before it opens (R15).
            (&mut released).await.ok()
        } else if !held {
            released.try_recv().ok()
        } else if let Some(limit) = self.backup_timeout {
            match timeout(limit, &mut released).await {
                Ok(result) => result.ok().or(Some(Err(crate::exchange::settle::NotStored))),
                Err(_) => None,
            }
        } else {
            (&mut released).await.ok().or(Some(Err(crate::exchange::settle::NotStored)))
        };
        match result {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) => Error::e_explain(ErrorType::HTTPStatus(503), "the session was not stored"),
            None => {
                self.core.metrics.released_unsaved.add();
                Ok(())
            }
        }
    }

    /// Adds the node suffix to the ids of `Set-Cookie` and `Location`.
    fn add_suffixes(&self, response: &mut ResponseHeader, ctx: &Ctx, index: usize) -> Result<Said> {
        let context = self.core.context(index);
        let mut said = Said::default();
        let cookies: Vec<Vec<u8>> =
            response.headers.get_all(SET_COOKIE).iter().map(|value| value.as_bytes().to_vec()).collect();
        if cookies.iter().any(|header| set_cookie::value_range(header, &context.cookie_name).is_some()) {
            response.remove_header(&SET_COOKIE);
            for header in cookies {
                let changed = set_cookie::value_range(&header, &context.cookie_name).and_then(|range| {
                    let attributes = Bytes::copy_from_slice(set_cookie::attributes(&header));
                    let value = self.outside(&header[range.clone()], attributes, ctx, index, &mut said)?;
                    Some(set_cookie::with_value(&header, &range, &value))
                });
                response.append_header(SET_COOKIE, changed.unwrap_or(header))?;
            }
        }
        let location = response.headers.get(LOCATION).map(|value| value.as_bytes().to_vec());
        if let Some(location) = location
            && let Some(value) = path_param::value(&location, &context.param_name)
            && let Some(value) = self.outside(value, Bytes::new(), ctx, index, &mut said)
            && let Some(changed) = path_param::rewrite(&location, &context.param_name, Some(&value))
        {
            response.insert_header(LOCATION, changed)?;
        }
        Ok(said)
    }

    /// The value for the client in place of Tomcat's. `None`: left as it is.
    fn outside(
        &self,
        value: &[u8],
        cookie_attributes: Bytes,
        ctx: &Ctx,
        index: usize,
        said: &mut Said,
    ) -> Option<String> {
        let exchange = ctx.exchange.as_ref()?;
        let id = SessionId::parse(value)?;
        if let Some(held) = &exchange.held
            && (held.tomcat_id.as_bytes() == value || held.id == id)
        {
            said.same_id_again = true;
            return Some(held.id.with_suffix(self.core.nodes.name(held.session.version.node)));
        }
        // A never-used id or one that already has a suffix was not given by Tomcat just now.
        if exchange.told.as_deref() == Some(id.as_str()) || self.has_suffix(value) {
            return None;
        }
        let announced = said.announced.get_or_insert_with(|| {
            let key = self.core.farm.key(&self.core.context(index).path, &id);
            let nodes = &self.core.nodes;
            let start = key.ring_start(nodes.len());
            // With no node up the store will fail and say so.
            let node = nodes.ring(start).find(|node| nodes.is_up(*node)).unwrap_or(start);
            Announced { id: id.clone(), node, cookie_attributes }
        });
        (announced.id == id).then(|| id.with_suffix(self.core.nodes.name(announced.node)))
    }

    fn has_suffix(&self, value: &[u8]) -> bool {
        Presented::parse(value)
            .and_then(|presented| presented.suffix)
            .is_some_and(|suffix| self.core.nodes.find(&suffix).is_some())
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

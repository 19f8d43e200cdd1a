//! After Tomcat: which session the response tells of, holding it until that is stored, and the suffix.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, SET_COOKIE};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use std::time::Duration;
use tokio::time::timeout;

use super::{Ctx, Proxy, UNSENT};
use crate::exchange::settle::Announced;
use crate::exchange::watch::Progress;
use crate::id::{Presented, SessionId, path_param, set_cookie};

/// A body up to this size fits into the buffers between Tomcat and us: a held header can't stop Tomcat.
const SMALL_BODY: u64 = 64 * 1024;

/// With `backup_timeout = "0ms"`, how long a response is held all the same when Tomcat may be unable to save before it flows: it
/// may wait for its body to be read, or for nothing.
const HOLD_BLINDLY: Duration = Duration::from_millis(100);

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
        let Some(exchange) = ctx.exchange.as_ref() else { return Ok(()) };
        let upgraded = response.status.as_u16() == 101;
        let progress = Progress {
            header: Some(ctx.began.elapsed()),
            small: is_small(response),
            ended: upgraded.then(|| ctx.began.elapsed()),
            same_id_again: said.same_id_again,
            ..Progress::default()
        };
        let held = ctx.held && !is_event_stream(response);
        // Whether Tomcat can finish while the header is held, and be asked whether it has.
        let finishes = progress.small && (said.announced.is_none() || exchange.told.is_some());
        let limit = self.backup_timeout.or_else(|| (!finishes).then_some(HOLD_BLINDLY));
        let Some(mut released) = self.start_settling(ctx, said.announced, progress) else { return Ok(()) };
        let result = if upgraded {
            // A tunnel is not a response that can be late: the session is stored before it opens (R15).
            (&mut released).await.ok()
        } else if !held {
            released.try_recv().ok()
        } else if let Some(limit) = limit {
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
                let range = set_cookie::value_range(&header, &context.cookie_name);
                let changed = range.filter(|_| !set_cookie::is_removal(&header)).and_then(|range| {
                    let attributes = Bytes::copy_from_slice(set_cookie::attributes(&header));
                    let value = self.outside(&header[range.clone()], attributes, ctx, index, &mut said)?;
                    Some(set_cookie::with_value(&header, &range, &value))
                });
                response.append_header(SET_COOKIE, changed.unwrap_or(header))?;
            }
        }
        let location = response.headers.get(LOCATION).map(|value| value.as_bytes().to_vec());
        if let Some(location) = location
            && ctx.exchange.as_ref().is_some_and(|exchange| is_ours(&location, &exchange.host))
            && let Some(value) = path_param::value(&location, &context.param_names)
            && let Some(value) = self.outside(value, Bytes::new(), ctx, index, &mut said)
            && let Some(changed) = path_param::rewrite(&location, &context.param_names, Some(&value))
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
        if value.is_empty() {
            return None;
        }
        let Some(id) = SessionId::parse(value) else {
            self.core.metrics.unshared_ids.add();
            log::warn!(
                "Tomcat gave a session an id that cannot be shared: A-Z a-z 0-9 . _ - are allowed, 1 to 128 of them"
            );
            return None;
        };
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
        let nodes = &self.core.nodes;
        Presented::parse(value, |name| nodes.knows(name))
            .iter()
            .any(|presented| presented.suffix.as_ref().is_some_and(|suffix| nodes.knows(suffix)))
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

/// Whether a `Location` leads back to this host: ids in other hosts' addresses are theirs.
fn is_ours(location: &[u8], host: &str) -> bool {
    let after_scheme = location.windows(3).position(|w| w == b"://").map(|at| &location[at + 3..]);
    let path_first = location.iter().position(|b| matches!(b, b'/' | b'?' | b'#' | b';'));
    let authority = match (location.strip_prefix(b"//"), after_scheme) {
        (Some(rest), _) => rest,
        // "/path?u=http://x" has no authority of its own.
        (None, Some(rest)) if path_first.is_none_or(|at| at > location.len() - rest.len() - 3) => rest,
        _ => return true,
    };
    let end =
        authority.iter().position(|b| matches!(b, b'/' | b'?' | b'#' | b';')).unwrap_or(authority.len());
    authority[..end].eq_ignore_ascii_case(host.as_bytes())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_addresses_carry_our_ids() {
        for ours in [
            "/a;jsessionid=X",
            "a/b",
            "http://test/a",
            "HTTPS://TEST/a",
            "//test/a",
            "?u=http://x/",
            "/a?u=http://x",
        ] {
            assert!(is_ours(ours.as_bytes(), "test"), "{ours}");
        }
        for theirs in
            ["https://partner/x;jsessionid=ABC", "//partner/x", "http://test.evil/", "http://test:81/"]
        {
            assert!(!is_ours(theirs.as_bytes(), "test"), "{theirs}");
        }
    }
}

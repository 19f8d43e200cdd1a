//! The node suffix in a response: which sessions its `Set-Cookie` and `Location` tell of, and their ids as the client gets them.

use bytes::Bytes;
use http::header::{LOCATION, SET_COOKIE};
use pingora_core::Result;
use pingora_http::ResponseHeader;

use super::Proxy;
use super::reissue::reissue;
use crate::context::Context;
use crate::exchange::Exchange;
use crate::exchange::access::Access;
use crate::exchange::settle::{Announced, StoredAt};
use crate::id::{NodeName, Presented, SessionId, path_param, set_cookie};
use crate::memcached::nodes::NodeIndex;

/// The session that the request had, as far as a response needs it.
#[derive(Clone)]
struct Known {
    id: SessionId,
    tomcat_id: String,
    node: NodeIndex,
    /// What its client has in its cookie; `None`: it has none.
    cookie: Option<InCookie>,
}

/// A session cookie as the client has it.
#[derive(Clone)]
struct InCookie {
    suffix: Option<NodeName>,
    attributes: Bytes,
}

/// What a response says about sessions.
#[derive(Clone)]
pub(super) struct Said {
    context: usize,
    host: String,
    /// The never-used id that Tomcat was told, or the held session's.
    told: Option<String>,
    /// That is the id of a session of another context.
    shared: Option<NodeIndex>,
    held: Option<Known>,
    /// The request works on a copy of its session: a new one that it makes is dropped like its other changes.
    readonly: bool,
    /// A new session.
    pub(super) announced: Option<Announced>,
    /// Its cookie is set to the id that the request had: invalidated and made anew under one id.
    pub(super) same_id_again: bool,
}

impl Proxy {
    /// Reads what a response says. Nothing is changed.
    pub(super) fn said(&self, response: &ResponseHeader, exchange: &Exchange, index: usize) -> Said {
        let context = self.core.context(index);
        let held = exchange.held.as_ref().map(|held| Known {
            id: held.id.clone(),
            tomcat_id: held.tomcat_id.clone(),
            node: held.session.version.primary.node,
            cookie: exchange.in_cookie.then(|| InCookie {
                suffix: held.suffix.clone(),
                attributes: held.session.cookie_attributes.clone(),
            }),
        });
        let host = exchange.host.clone();
        let told = exchange.told.clone();
        let readonly = exchange.access == Access::ReadOnly;
        let mut said = Said {
            context: index,
            host,
            told,
            shared: exchange.shared,
            held,
            readonly,
            announced: None,
            same_id_again: false,
        };
        for header in response.headers.get_all(SET_COOKIE) {
            let header = header.as_bytes();
            if let Some(range) = set_cookie::value_range(header, &context.cookie_name)
                && !set_cookie::is_removal(header)
            {
                let attributes = Bytes::copy_from_slice(set_cookie::attributes(header));
                self.note(&mut said, &header[range], attributes);
            }
        }
        if let Some(location) = response.headers.get(LOCATION)
            && let Some(value) = self.id_in_location(location.as_bytes(), &said.host, context)
        {
            self.note(&mut said, value, Bytes::new());
        }
        said
    }

    fn note(&self, said: &mut Said, value: &[u8], cookie_attributes: Bytes) {
        if value.is_empty() {
            return;
        }
        let Some(id) = SessionId::parse(value) else {
            self.core.metrics.unshared_ids.add();
            log::warn!(
                "Tomcat gave a session an id that cannot be shared: A-Z a-z 0-9 . _ - are allowed, 1 to 128 of them"
            );
            return;
        };
        if said.held.as_ref().is_some_and(|held| held.is(value, &id)) {
            said.same_id_again = true;
        } else if !said.readonly
            && said.announced.is_none()
            && (said.shared.is_some() || said.told.as_deref() != Some(id.as_str()))
            && !self.has_suffix(value)
        {
            // A never-used id or one that already has a suffix was not given by Tomcat just now.
            let key = self.core.farm.key(&self.core.context(said.context).name(), &id);
            let start = self.core.nodes.start_of(&key);
            // With no node up the store will fail and say so.
            let own = said.told.as_deref() == Some(id.as_str());
            let node =
                said.shared.filter(|_| own).or_else(|| self.core.nodes.first_up(start)).unwrap_or(start);
            said.announced = Some(Announced { id, node, cookie_attributes });
        }
    }

    /// Adds the suffixes: of the nodes where the sessions are stored now, else of those where they are to be.
    pub(super) fn add_suffixes(
        &self,
        response: &mut ResponseHeader,
        said: &Said,
        at: StoredAt,
    ) -> Result<()> {
        let context = self.core.context(said.context);
        let name = |node| self.core.nodes.name(node);
        let cookies: Vec<Vec<u8>> =
            response.headers.get_all(SET_COOKIE).iter().map(|value| value.as_bytes().to_vec()).collect();
        if cookies.iter().any(|header| set_cookie::value_range(header, &context.cookie_name).is_some()) {
            response.remove_header(&SET_COOKIE);
            for header in cookies {
                let range = set_cookie::value_range(&header, &context.cookie_name);
                let changed = range.filter(|_| !set_cookie::is_removal(&header)).and_then(|range| {
                    let value = said.outside(&header[range.clone()], at, name)?;
                    Some(set_cookie::with_value(&header, &range, &value))
                });
                response.append_header(SET_COOKIE, changed.unwrap_or(header))?;
            }
        }
        let location = response.headers.get(LOCATION).map(|value| value.as_bytes().to_vec());
        if let Some(location) = location
            && let Some(value) = self.id_in_location(&location, &said.host, context)
            && let Some(value) = said.outside(value, at, name)
            && let Some(changed) = path_param::rewrite(&location, &context.param_names, Some(&value))
        {
            response.insert_header(LOCATION, changed)?;
        }
        match said.moved(at, name) {
            Some((held, cookie, node)) if said.announced.is_none() => {
                let value = held.id.with_suffix(&name(node));
                reissue(response, &context.cookie_name, &value, &cookie.attributes)
            }
            _ => Ok(()),
        }
    }

    fn id_in_location<'a>(&self, location: &'a [u8], host: &str, context: &Context) -> Option<&'a [u8]> {
        if is_ours(location, host) { path_param::value(location, &context.param_names) } else { None }
    }

    fn has_suffix(&self, value: &[u8]) -> bool {
        let nodes = &self.core.nodes;
        Presented::parse(value, |name| nodes.knows(name))
            .iter()
            .any(|presented| presented.suffix.as_ref().is_some_and(|suffix| nodes.knows(suffix)))
    }
}

impl Known {
    fn is(&self, value: &[u8], id: &SessionId) -> bool {
        self.tomcat_id.as_bytes() == value || self.id == *id
    }
}

impl Said {
    /// The session that the client's cookie names by another node than it is on now.
    fn moved(
        &self,
        at: StoredAt,
        names: impl Fn(NodeIndex) -> NodeName,
    ) -> Option<(&Known, &InCookie, NodeIndex)> {
        let held = self.held.as_ref()?;
        let cookie = held.cookie.as_ref().filter(|cookie| !cookie.attributes.is_empty())?;
        let node = at.held?;
        (!self.same_id_again && cookie.suffix.as_ref() != Some(&names(node))).then_some((held, cookie, node))
    }

    /// The value for the client in place of Tomcat's. `None`: left as it is.
    fn outside(&self, value: &[u8], at: StoredAt, name: impl Fn(NodeIndex) -> NodeName) -> Option<String> {
        let id = SessionId::parse(value)?;
        if let Some(held) = self.held.as_ref().filter(|held| held.is(value, &id)) {
            return Some(held.id.with_suffix(&name(at.held.unwrap_or(held.node))));
        }
        let announced = self.announced.as_ref().filter(|announced| announced.id == id)?;
        Some(id.with_suffix(&name(at.announced.unwrap_or(announced.node))))
    }
}

/// Whether a `Location` leads back to this host: ids in other hosts' addresses are theirs.
pub fn is_ours(location: &[u8], host: &str) -> bool {
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

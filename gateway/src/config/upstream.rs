//! Groups of servers.

use std::collections::HashSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use regex::bytes::Regex;
use satchel_common::address::HostPort;
use satchel_common::config::Invalid;

use super::raw::CheckKind;
use super::settings::time;
use super::{defaults, raw};
use crate::balancer::{Admin, Method, Options};

/// A group of servers.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// Its name.
    pub name: String,
    /// How a server is chosen.
    pub method: Method,
    /// How long an idle connection is kept.
    pub keepalive_timeout: Duration,
    /// Requests that wait while every server has `max_conns`.
    pub queue: usize,
    /// How long.
    pub queue_timeout: Duration,
    /// Percent of the requests that may be sent once more.
    pub retry_budget: u32,
    /// A file with more servers.
    pub file: Option<PathBuf>,
    /// How it is found out which servers work.
    pub check: Option<CheckConfig>,
    /// The servers.
    pub servers: Vec<PeerConfig>,
}

/// A server, or several that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Where.
    pub source: Source,
    /// How it is used.
    pub options: Options,
}

/// Where the addresses of a server come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// They are known: every address of a name is a server of its own, as in nginx.
    Known(Vec<SocketAddr>),
    /// They are looked up again and again (A and AAAA records).
    Resolve(HostPort),
    /// With their ports and weights (SRV records); the name is complete: `_http._tcp.tomcats.example`.
    Service(String),
}

/// Of a server of which nothing is said.
impl Default for Options {
    fn default() -> Self {
        Self {
            weight: defaults::WEIGHT,
            max_fails: defaults::MAX_FAILS,
            fail_timeout: defaults::FAIL_TIMEOUT.0,
            max_conns: 0,
            backup: false,
            admin: Admin::Up,
            slow_start: Duration::ZERO,
            admin_port: None,
        }
    }
}

/// An active check.
#[derive(Debug, Clone)]
pub struct CheckConfig {
    /// HTTP or only a connection.
    pub kind: CheckKind,
    /// What is asked for.
    pub uri: String,
    /// `Host` of the question.
    pub host: Option<String>,
    /// Between two checks of a server.
    pub interval: Duration,
    /// For one check.
    pub timeout: Duration,
    /// So many failures in a row make it unhealthy.
    pub fails: u32,
    /// So many successes in a row make it healthy.
    pub passes: u32,
    /// Good answers; empty: 200 to 399.
    pub status: Vec<u16>,
    /// What the body has to match.
    pub body: Option<Regex>,
    /// Another port than that for requests.
    pub port: Option<u16>,
}

pub(super) fn upstream(raw: raw::Upstream) -> Result<UpstreamConfig, Invalid> {
    let name = format!("upstream \"{}\"", raw.name);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if raw.name.is_empty() || !raw.name.bytes().all(allowed) {
        return Err(Invalid::new(
            format!("{name}: name"),
            "A-Z a-z 0-9 . _ - are allowed: it is what the servers see as Host unless proxy_set_header says otherwise",
        ));
    }
    if raw.server.is_empty() && raw.file.is_none() {
        return Err(Invalid::new(name, "has no server; add [[upstream.server]] with an address, or a file"));
    }
    let retry_budget = raw.retry_budget.unwrap_or(defaults::RETRY_BUDGET);
    if retry_budget > 100 {
        return Err(Invalid::new(
            format!("{name}: retry_budget"),
            format!("is {retry_budget}; 0 to 100 percent are allowed"),
        ));
    }
    let mut written = HashSet::new();
    let mut servers = Vec::new();
    for (index, one) in raw.server.into_iter().enumerate() {
        let key = |what: &str| format!("{name}: server {}: {what}", index + 1);
        let address = (one.address.clone(), one.service.clone());
        if !written.insert(address) {
            return Err(Invalid::new(key("address"), format!("{} is listed twice", one.address)));
        }
        servers.push(peer(one, &key)?);
    }
    if let Some(file) = &raw.file {
        crate::upstream::read_file(file)
            .map_err(|error| Invalid::new(format!("{name}: file"), error.to_string()))?;
    }
    Ok(UpstreamConfig {
        method: raw.method,
        keepalive_timeout: raw.keepalive_timeout.unwrap_or(defaults::UPSTREAM_KEEPALIVE_TIMEOUT).0,
        queue: raw.queue.unwrap_or(defaults::QUEUE) as usize,
        queue_timeout: raw.queue_timeout.unwrap_or(defaults::QUEUE_TIMEOUT).0,
        retry_budget,
        file: raw.file.map(PathBuf::from),
        check: raw.check.map(|one| check(one, &format!("{name}: check"))).transpose()?,
        servers,
        name: raw.name,
    })
}

/// A group of one, for `proxy_pass` to an address.
pub(super) fn of_address(name: &str, address: &HostPort) -> Result<UpstreamConfig, String> {
    Ok(UpstreamConfig {
        name: name.to_owned(),
        method: Method::RoundRobin,
        keepalive_timeout: defaults::UPSTREAM_KEEPALIVE_TIMEOUT.0,
        queue: 0,
        queue_timeout: defaults::QUEUE_TIMEOUT.0,
        retry_budget: defaults::RETRY_BUDGET,
        file: None,
        check: None,
        servers: vec![PeerConfig { source: Source::Known(resolve(address)?), options: Options::default() }],
    })
}

fn peer(raw: raw::Peer, key: &impl Fn(&str) -> String) -> Result<PeerConfig, Invalid> {
    let weight = raw.weight.unwrap_or(i64::from(defaults::WEIGHT));
    let weight = u16::try_from(weight).ok().filter(|weight| *weight > 0).ok_or_else(|| {
        Invalid::new(
            key("weight"),
            format!("is {weight}; 1 to 65535 are allowed. To take a server out, say down = true"),
        )
    })?;
    let admin = match (raw.down, raw.drain) {
        (true, _) => Admin::Down,
        (_, true) => Admin::Drain,
        _ => Admin::Up,
    };
    let usual = Options::default();
    let options = Options {
        weight,
        max_fails: raw.max_fails.unwrap_or(usual.max_fails),
        fail_timeout: raw.fail_timeout.map_or(usual.fail_timeout, |time| time.0),
        max_conns: raw.max_conns.unwrap_or(usual.max_conns),
        backup: raw.backup,
        admin,
        slow_start: raw.slow_start.map_or(usual.slow_start, |time| time.0),
        admin_port: raw.admin_port,
    };
    let source = match raw.service {
        Some(service) => Source::Service(service_name(&service, &raw.address)),
        None => {
            let address: HostPort =
                raw.address.parse().map_err(|error: satchel_common::address::AddressError| {
                    Invalid::new(key("address"), error.to_string())
                })?;
            if raw.resolve {
                Source::Resolve(address)
            } else {
                Source::Known(resolve(&address).map_err(|error| Invalid::new(key("address"), error))?)
            }
        }
    };
    Ok(PeerConfig { source, options })
}

/// As nginx: `service=http` means `_http._tcp`; one with a dot or an underscore is taken as it is.
fn service_name(service: &str, host: &str) -> String {
    if service.contains('.') || service.starts_with('_') {
        format!("{service}.{host}")
    } else {
        format!("_{service}._tcp.{host}")
    }
}

fn resolve(address: &HostPort) -> Result<Vec<SocketAddr>, String> {
    let found = (address.host.as_str(), address.port)
        .to_socket_addrs()
        .map_err(|error| format!("{address} does not resolve: {error}"))?;
    let mut all: Vec<SocketAddr> = Vec::new();
    for one in found {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    Ok(all)
}

fn check(raw: raw::Check, key: &str) -> Result<CheckConfig, Invalid> {
    let has_blanks = |text: &str| text.bytes().any(|b| b <= b' ' || b == 0x7f);
    let uri = raw.uri.unwrap_or_else(|| "/".into());
    if !uri.starts_with('/') || has_blanks(&uri) {
        return Err(Invalid::new(format!("{key}.uri"), "must begin with / and have no blanks"));
    }
    if raw.host.as_deref().is_some_and(has_blanks) {
        return Err(Invalid::new(format!("{key}.host"), "must have no blanks"));
    }
    let body = raw.body.map(|text| Regex::new(&text)).transpose();
    Ok(CheckConfig {
        kind: raw.kind,
        uri,
        host: raw.host,
        interval: time(format!("{key}.interval"), raw.interval, defaults::CHECK_INTERVAL)?,
        timeout: time(format!("{key}.timeout"), raw.timeout, defaults::CHECK_TIMEOUT)?,
        fails: raw.fails.unwrap_or(defaults::CHECK_FAILS).max(1),
        passes: raw.passes.unwrap_or(defaults::CHECK_PASSES).max(1),
        status: raw.status,
        body: body.map_err(|error| Invalid::new(format!("{key}.body"), error.to_string()))?,
        port: raw.port,
    })
}

//! From what is written to what is valid. Errors name the key and what is allowed.

use std::collections::HashSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use satchel_common::config::Invalid;
use satchel_common::units::Time;

use super::{AccessLog, Config, ServerConfig, UpstreamConfig, defaults, raw};
use crate::forwarding::Template;

pub(super) fn check(file: raw::File) -> Result<Config, Invalid> {
    let threads = file.threads.unwrap_or(defaults::THREADS);
    if !(1..=1024).contains(&threads) {
        return Err(Invalid::new("threads", format!("is {threads}; 1 to 1024 are allowed")));
    }
    let mut upstreams: Vec<UpstreamConfig> = Vec::new();
    for one in file.upstream {
        let upstream = upstream(one)?;
        if upstreams.iter().any(|other| other.name == upstream.name) {
            return Err(Invalid::new(format!("upstream \"{}\"", upstream.name), "is configured twice"));
        }
        upstreams.push(upstream);
    }
    if file.server.is_empty() {
        return Err(Invalid::new(
            "server",
            "no server is configured; add [[server]] with listen and upstream",
        ));
    }
    let mut taken = HashSet::new();
    let servers = file
        .server
        .into_iter()
        .enumerate()
        .map(|(index, one)| server(index + 1, one, &upstreams, &mut taken))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Config {
        threads,
        log_level: file.log_level,
        stop_timeout: file.stop_timeout.unwrap_or(defaults::STOP_TIMEOUT).0,
        access_log: match file.access_log.path.as_deref() {
            None | Some("stdout") => AccessLog::Stdout,
            Some("off") => AccessLog::Off,
            Some(path) => AccessLog::File(path.into()),
        },
        upstreams,
        servers,
    })
}

fn upstream(raw: raw::Upstream) -> Result<UpstreamConfig, Invalid> {
    let name = format!("upstream \"{}\"", raw.name);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if raw.name.is_empty() || !raw.name.bytes().all(allowed) {
        return Err(Invalid::new(
            format!("{name}: name"),
            "A-Z a-z 0-9 . _ - are allowed: it is what the servers see as Host unless proxy_set_header says otherwise",
        ));
    }
    if raw.server.is_empty() {
        return Err(Invalid::new(name, "has no server; add [[upstream.server]] with an address"));
    }
    let mut written = HashSet::new();
    let mut peers: Vec<(SocketAddr, u16)> = Vec::new();
    for (index, one) in raw.server.into_iter().enumerate() {
        let key = |what: &str| format!("{name}: server {}: {what}", index + 1);
        let weight = one.weight.unwrap_or(i64::from(defaults::WEIGHT));
        let weight = u16::try_from(weight).ok().filter(|weight| *weight > 0).ok_or_else(|| {
            Invalid::new(
                key("weight"),
                format!("is {weight}; 1 to 65535 are allowed. To take a server out, remove it"),
            )
        })?;
        if !written.insert(one.address.to_string()) {
            return Err(Invalid::new(key("address"), format!("{} is listed twice", one.address)));
        }
        let found: Vec<SocketAddr> = (one.address.host.as_str(), one.address.port)
            .to_socket_addrs()
            .map_err(|error| {
                Invalid::new(key("address"), format!("{} does not resolve: {error}", one.address))
            })?
            .collect();
        // As in nginx, every address of a name is a server of its own.
        for address in found {
            if !peers.iter().any(|(other, _)| *other == address) {
                peers.push((address, weight));
            }
        }
    }
    let keepalive_timeout = raw.keepalive_timeout.unwrap_or(defaults::UPSTREAM_KEEPALIVE_TIMEOUT).0;
    Ok(UpstreamConfig { name: raw.name, keepalive_timeout, peers })
}

fn server(
    number: usize,
    raw: raw::Server,
    upstreams: &[UpstreamConfig],
    taken: &mut HashSet<SocketAddr>,
) -> Result<ServerConfig, Invalid> {
    let key = |what: &str| format!("server {number}: {what}");
    if raw.listen.is_empty() {
        return Err(Invalid::new(key("listen"), "names no address; write for example [\"0.0.0.0:80\"]"));
    }
    let mut listen = Vec::new();
    for text in &raw.listen {
        let address: SocketAddr = text.parse().map_err(|_| {
            Invalid::new(
                key("listen"),
                format!("'{text}' is not an address; write \"0.0.0.0:80\" or \"[::]:80\""),
            )
        })?;
        if !taken.insert(address) {
            return Err(Invalid::new(key("listen"), format!("{address} is listed twice")));
        }
        listen.push(address);
    }
    let upstream = upstreams.iter().position(|upstream| upstream.name == raw.upstream).ok_or_else(|| {
        let known: Vec<_> = upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
        Invalid::new(
            key("upstream"),
            format!("there is no upstream \"{}\"; there is: {}", raw.upstream, known.join(", ")),
        )
    })?;
    let time = |name: &str, value: Option<Time>, default: Time| -> Result<Duration, Invalid> {
        let value = value.unwrap_or(default).0;
        if value.is_zero() { Err(Invalid::new(key(name), "must be more than zero")) } else { Ok(value) }
    };
    let bytes = |size: satchel_common::units::Size| usize::try_from(size.0).unwrap_or(usize::MAX);
    let keepalive_requests = raw.keepalive_requests.unwrap_or(defaults::KEEPALIVE_REQUESTS);
    if keepalive_requests == 0 {
        return Err(Invalid::new(key("keepalive_requests"), "must be at least 1"));
    }
    let body = raw.client_max_body_size.unwrap_or(defaults::CLIENT_MAX_BODY_SIZE).0;
    Ok(ServerConfig {
        listen,
        upstream,
        trusted_proxies: raw.trusted_proxies,
        client_max_body_size: (body > 0).then_some(body),
        large_client_header_size: bytes(
            raw.large_client_header_size.unwrap_or(defaults::LARGE_CLIENT_HEADER_SIZE),
        ),
        client_header_size: bytes(raw.client_header_size.unwrap_or(defaults::CLIENT_HEADER_SIZE)),
        client_body_timeout: time(
            "client_body_timeout",
            raw.client_body_timeout,
            defaults::CLIENT_BODY_TIMEOUT,
        )?,
        send_timeout: time("send_timeout", raw.send_timeout, defaults::SEND_TIMEOUT)?,
        keepalive_timeout: time("keepalive_timeout", raw.keepalive_timeout, defaults::KEEPALIVE_TIMEOUT)?,
        keepalive_requests,
        proxy_connect_timeout: time(
            "proxy_connect_timeout",
            raw.proxy_connect_timeout,
            defaults::PROXY_CONNECT_TIMEOUT,
        )?,
        proxy_read_timeout: time("proxy_read_timeout", raw.proxy_read_timeout, defaults::PROXY_READ_TIMEOUT)?,
        proxy_send_timeout: time("proxy_send_timeout", raw.proxy_send_timeout, defaults::PROXY_SEND_TIMEOUT)?,
        proxy_set_header: headers(&key("proxy_set_header"), raw.proxy_set_header)?,
    })
}

/// Headers that frame the message are the gateway's business.
const RESERVED: [&str; 5] =
    ["connection", "content-length", "transfer-encoding", "upgrade", "x-satchel-unsent"];

fn headers(
    key: &str,
    raw: std::collections::BTreeMap<String, String>,
) -> Result<Vec<(http::HeaderName, Template)>, Invalid> {
    raw.into_iter()
        .map(|(name, value)| {
            let key = format!("{key}.{name}");
            let header: http::HeaderName =
                name.parse().map_err(|_| Invalid::new(&key, "is not the name of a header"))?;
            if RESERVED.contains(&header.as_str()) {
                return Err(Invalid::new(&key, "is set by the gateway itself and can't be configured"));
            }
            let template = Template::parse(&value).map_err(|error| Invalid::new(&key, error.to_string()))?;
            Ok((header, template))
        })
        .collect()
}

//! `[[server]]` and `[[server.location]]`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use satchel_common::address::HostPort;
use satchel_common::config::Invalid;

use super::settings::{Settings, time};
use super::{Action, Listen, Location, ServerConfig, UpstreamConfig, defaults, raw, upstream};
use crate::forwarding::canonical_network;
use crate::routing::{PathMatch, ServerName};
use crate::template::Template;
use crate::tls::{Certificate, CertificateError};

/// What the servers of a file have in common.
pub(super) struct Shared<'a> {
    pub(super) http: &'a raw::Block,
    pub(super) settings: Settings,
    /// Grows by those that are named by their address.
    pub(super) upstreams: Vec<UpstreamConfig>,
    /// Each socket, as it was listed first.
    pub(super) sockets: HashMap<SocketAddr, Listen>,
}

/// Keys that say something in a server only, by their name in the file and whether a block has them.
fn of_servers(block: &raw::Block) -> [(&'static str, bool); 6] {
    [
        ("listen", !block.listen.is_empty()),
        ("server_name", !block.server_name.is_empty()),
        ("ssl_certificate", block.ssl_certificate.is_some()),
        ("ssl_certificate_key", block.ssl_certificate_key.is_some()),
        ("location", !block.location.is_empty()),
        ("path", block.path.is_some()),
    ]
}

/// Keys that hold for whole connections.
fn of_connections(block: &raw::Block) -> [(&'static str, bool); 6] {
    [
        ("trusted_proxies", !block.trusted_proxies.is_empty()),
        ("client_header_timeout", block.client_header_timeout.is_some()),
        ("large_client_header_size", block.large_client_header_size.is_some()),
        ("client_header_size", block.client_header_size.is_some()),
        ("keepalive_timeout", block.keepalive_timeout.is_some()),
        ("keepalive_requests", block.keepalive_requests.is_some()),
    ]
}

/// Where a key may stand that is not allowed everywhere.
fn belongs(key: &str) -> &'static str {
    match key {
        "path" => "[[server.location]]",
        "proxy_pass" | "return" => "[[server]] or [[server.location]]",
        "listen" | "server_name" | "ssl_certificate" | "ssl_certificate_key" | "location" => "[[server]]",
        _ => "[http] or [[server]]",
    }
}

fn refuse(found: impl IntoIterator<Item = (&'static str, bool)>, place: &str) -> Result<(), Invalid> {
    match found.into_iter().find(|(_, found)| *found) {
        Some((key, _)) => {
            let message = format!("is not allowed here; write it in {}", belongs(key));
            Err(Invalid::new(format!("{place}: {key}"), message))
        }
        None => Ok(()),
    }
}

/// `[http]`: what holds for every server.
pub(super) fn http(block: &raw::Block) -> Result<Settings, Invalid> {
    refuse(of_servers(block), "http")?;
    refuse([("proxy_pass", block.proxy_pass.is_some()), ("return", block.returns.is_some())], "http")?;
    Settings::defaults().with(block, &|key| format!("http: {key}"))
}

pub(super) fn server(
    number: usize,
    raw: &raw::Block,
    shared: &mut Shared<'_>,
) -> Result<ServerConfig, Invalid> {
    let place = raw.place_of_server(number);
    let key = |what: &str| format!("{place}: {what}");
    refuse([("path", raw.path.is_some())], &place)?;
    let settings = shared.settings.with(raw, &key)?;
    let mut locations = Vec::new();
    for (index, one) in raw.location.iter().enumerate() {
        locations.push(location(&one.place_of_location(&place, index + 1), one, &settings, shared)?);
    }
    // What a server says for itself is its location for all paths, unless it has one.
    let root = PathMatch::parse("/").map_err(|error| Invalid::new(key("location"), error))?;
    if let Some(action) = action(&key, raw, &root, shared)? {
        if locations.iter().any(|location| location.path == root) {
            return Err(Invalid::new(
                key("proxy_pass"),
                "and a location for \"/\" cannot both be; leave one out",
            ));
        }
        locations.push(location_of(root, action, settings));
    }
    if locations.is_empty() {
        return Err(Invalid::new(
            key("proxy_pass"),
            "is missing; write proxy_pass = \"http://NAME\" with the name of an upstream, or a location that has it",
        ));
    }
    for (index, one) in locations.iter().enumerate() {
        if locations[..index].iter().any(|other| other.path == one.path) {
            return Err(Invalid::new(key("location"), format!("\"{}\" is there twice", one.path)));
        }
    }
    let listen = listens(&key, raw, shared)?;
    let certificate = certificate(&key, raw)?;
    if certificate.is_none() && listen.iter().any(|listen| listen.ssl) {
        return Err(Invalid::new(
            key("ssl_certificate"),
            "is missing, and so is ssl_certificate_key: a server that listens with ssl needs both",
        ));
    }
    let http = shared.http;
    let names = raw.server_name.iter().map(|name| ServerName::parse(name));
    let names = names.collect::<Result<_, _>>().map_err(|error| Invalid::new(key("server_name"), error))?;
    let bytes = |size: satchel_common::units::Size| usize::try_from(size.0).unwrap_or(usize::MAX);
    let keepalive_requests =
        raw.keepalive_requests.or(http.keepalive_requests).unwrap_or(defaults::KEEPALIVE_REQUESTS);
    if keepalive_requests == 0 {
        return Err(Invalid::new(key("keepalive_requests"), "must be at least 1"));
    }
    let trusted = if raw.trusted_proxies.is_empty() { &http.trusted_proxies } else { &raw.trusted_proxies };
    if trusted.is_empty() && listen.iter().any(|listen| listen.proxy_protocol) {
        return Err(Invalid::new(
            key("trusted_proxies"),
            "is missing: with proxy_protocol in listen it says whose word about clients is taken; write the balancer's networks, as in [\"10.0.0.0/8\"]",
        ));
    }
    let of = |own: Option<_>, all: Option<_>, default| bytes(own.or(all).unwrap_or(default));
    Ok(ServerConfig {
        listen,
        names,
        certificate,
        trusted_proxies: trusted
            .iter()
            .map(|text| network(text).map_err(|error| Invalid::new(key("trusted_proxies"), error)))
            .collect::<Result<_, _>>()?,
        large_client_header_size: of(
            raw.large_client_header_size,
            http.large_client_header_size,
            defaults::LARGE_CLIENT_HEADER_SIZE,
        ),
        client_header_size: of(raw.client_header_size, http.client_header_size, defaults::CLIENT_HEADER_SIZE),
        client_header_timeout: time(
            key("client_header_timeout"),
            raw.client_header_timeout.or(http.client_header_timeout),
            defaults::CLIENT_HEADER_TIMEOUT,
        )?,
        keepalive_timeout: time(
            key("keepalive_timeout"),
            raw.keepalive_timeout.or(http.keepalive_timeout),
            defaults::KEEPALIVE_TIMEOUT,
        )?,
        keepalive_requests,
        locations: locations.into_iter().map(Arc::new).collect(),
    })
}

/// A network, or one address as in nginx.
fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map(canonical_network).map_err(|_| {
        format!("'{text}' is no network; write \"10.0.0.0/8\", \"2001:db8::/32\" or a single address")
    })
}

fn listens(
    key: &impl Fn(&str) -> String,
    raw: &raw::Block,
    shared: &mut Shared<'_>,
) -> Result<Vec<Listen>, Invalid> {
    if raw.listen.is_empty() {
        return Err(Invalid::new(key("listen"), "names no address; write for example [\"0.0.0.0:80\"]"));
    }
    let mut listens: Vec<Listen> = Vec::new();
    for text in &raw.listen {
        let listen = Listen::parse(text).map_err(|error| Invalid::new(key("listen"), error))?;
        if listens.iter().any(|other| other.address == listen.address) {
            return Err(Invalid::new(key("listen"), format!("{} is listed twice", listen.address)));
        }
        let socket = shared.sockets.entry(listen.address).or_insert(listen);
        if !socket.is_compatible(&listen) {
            return Err(Invalid::new(
                key("listen"),
                format!(
                    "{} must have the same ssl, http2 and proxy_protocol in every server",
                    listen.address
                ),
            ));
        }
        listens.push(listen);
    }
    Ok(listens)
}

fn certificate(key: &impl Fn(&str) -> String, raw: &raw::Block) -> Result<Option<Certificate>, Invalid> {
    match (&raw.ssl_certificate, &raw.ssl_certificate_key) {
        (None, None) => Ok(None),
        (Some(chain), Some(private)) => {
            let loaded = Certificate::load(chain.as_ref(), private.as_ref());
            let place = |error: &CertificateError| match error {
                CertificateError::Read { path, .. } if path == Path::new(private) => "ssl_certificate_key",
                _ => "ssl_certificate",
            };
            Ok(Some(loaded.map_err(|error| Invalid::new(key(place(&error)), error.to_string()))?))
        }
        (Some(_), None) => Err(Invalid::new(key("ssl_certificate_key"), "is missing beside ssl_certificate")),
        (None, Some(_)) => Err(Invalid::new(key("ssl_certificate"), "is missing beside ssl_certificate_key")),
    }
}

fn location(
    place: &str,
    raw: &raw::Block,
    outer: &Settings,
    shared: &mut Shared<'_>,
) -> Result<Location, Invalid> {
    let key = |what: &str| format!("{place}: {what}");
    let [listen, name, certificate, private, inner, _] = of_servers(raw);
    refuse([listen, name, certificate, private, inner], place)?;
    refuse(of_connections(raw), place)?;
    let path = raw.path.as_deref().ok_or_else(|| {
        Invalid::new(key("path"), "is missing; write for example \"/app/\", \"= /exact\" or \"~ \\.jsp$\"")
    })?;
    let path = PathMatch::parse(path).map_err(|error| Invalid::new(key("path"), error))?;
    let action = action(&key, raw, &path, shared)?.ok_or_else(|| {
        Invalid::new(key("proxy_pass"), "is missing, and so is return: one of them is needed")
    })?;
    Ok(location_of(path, action, outer.with(raw, &key)?))
}

fn location_of(path: PathMatch, action: Action, settings: Settings) -> Location {
    Location { path, action, settings }
}

fn action(
    key: &dyn Fn(&str) -> String,
    raw: &raw::Block,
    path: &PathMatch,
    shared: &mut Shared<'_>,
) -> Result<Option<Action>, Invalid> {
    match (&raw.proxy_pass, &raw.returns) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            Err(Invalid::new(key("return"), "and proxy_pass cannot both be; leave one out"))
        }
        (None, Some(text)) => returns(text).map(Some).map_err(|error| Invalid::new(key("return"), error)),
        (Some(text), None) => {
            let wrong = |message: String| Invalid::new(key("proxy_pass"), message);
            let rest = text.strip_prefix("http://").ok_or_else(|| {
                wrong(format!(
                    "'{text}' must begin with http://, as in \"http://tomcats\": servers are spoken to in the clear"
                ))
            })?;
            let (name, uri) = match rest.find('/') {
                Some(at) => (&rest[..at], Some(rest[at..].to_owned())),
                None => (rest, None),
            };
            if uri.is_some() && path.is_regex() {
                return Err(wrong(
                    "cannot have a path in a location that is a regular expression, as in nginx".into(),
                ));
            }
            let upstream = find_upstream(name, &mut shared.upstreams).map_err(wrong)?;
            Ok(Some(Action::Proxy { upstream, uri }))
        }
    }
}

/// By its name; a host with a port is a group of its own, as in nginx.
fn find_upstream(name: &str, upstreams: &mut Vec<UpstreamConfig>) -> Result<usize, String> {
    if let Some(at) = upstreams.iter().position(|upstream| upstream.name == name) {
        return Ok(at);
    }
    match name.parse::<HostPort>() {
        Ok(address) => {
            upstreams.push(upstream::of_address(name, &address)?);
            Ok(upstreams.len() - 1)
        }
        Err(_) => {
            let known: Vec<_> = upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            Err(format!(
                "there is no upstream \"{name}\"; there is: {known}. A host needs its port, as in \"http://127.0.0.1:8080\""
            ))
        }
    }
}

/// Whether what `return` has beside this status is an address, as in nginx.
pub(crate) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// nginx's `return`: a status with a text or an address, or an address alone.
fn returns(text: &str) -> Result<Action, String> {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let template = |text: &str| Template::parse(text).map_err(|error| error.to_string());
    if let Ok(status) = first.parse::<u16>() {
        if status == 444 {
            return Err(
                "is nginx's word for no answer at all, which is not possible; write \"403\" or \"404\""
                    .into(),
            );
        }
        if !(200..=599).contains(&status) {
            return Err(format!("is {status}; 200 to 599 are allowed"));
        }
        let redirects = is_redirect(status);
        let body = |text: &str| Template::parse_body(text).map_err(|error| error.to_string());
        let text = match rest.trim_matches(' ') {
            "" => None,
            address if redirects => Some(template(address)?),
            _ => Some(body(rest)?),
        };
        if redirects && text.is_none() {
            return Err(format!("{status} needs an address, as in \"301 https://$host$request_uri\""));
        }
        return Ok(Action::Return { status, text });
    }
    if ["http://", "https://", "$scheme://"].iter().any(|prefix| text.starts_with(prefix)) {
        return Ok(Action::Return { status: 302, text: Some(template(text)?) });
    }
    Err(format!("'{text}' must begin with a status or an address, as in \"301 https://$host$request_uri\""))
}

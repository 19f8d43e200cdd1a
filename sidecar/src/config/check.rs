//! From what is written to what is valid. Errors name the key and what is allowed.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use regex::Regex;
use satchel_common::address::HostPort;
use satchel_common::config::Invalid;
use satchel_common::units::Size;

use super::{Config, NodeConfig, Protocol, Secret, TomcatTimeouts, defaults, raw};
use crate::context::Context;
use crate::exchange::access::{Locking, OnLockTimeout};
use crate::exchange::watch::Limits;
use crate::exchange::{NodeSuffix, OnStoreFailure, Settings};
use crate::id::{NodeName, path_param};
use crate::proxy::UNSENT;
use crate::proxy::upload::Buffering;

pub(super) fn check(file: raw::File) -> Result<Config, Invalid> {
    let buffering = buffering(&file)?;
    let listen = match file.listen {
        raw::Listen::One(one) => vec![one],
        raw::Listen::Many(many) if many.is_empty() => {
            return Err(Invalid::new("listen", "names no address; write at least one"));
        }
        raw::Listen::Many(many) => many,
    };
    let listen = listen.iter().map(|text| socket("listen", text)).collect::<Result<Vec<_>, _>>()?;
    let admin = file.admin.as_deref().map(|text| socket("admin", text)).transpose()?;
    let session = file.session;
    let limits = Limits {
        max_request_time: file.tomcat.max_request_time.unwrap_or(defaults::MAX_REQUEST_TIME).0,
        abandon_time: file.tomcat.abandon_time.unwrap_or(defaults::ABANDON_TIME).0,
    };
    positive("tomcat.max_request_time", limits.max_request_time)?;
    let lock_timeout = session.lock_timeout.unwrap_or(defaults::LOCK_TIMEOUT).0;
    positive("session.lock_timeout", lock_timeout)?;
    let backup_timeout = session.backup_timeout.unwrap_or(defaults::BACKUP_TIMEOUT).0;
    let (keys, index_key) = secrets(file.record)?;
    let (nodes, retired_nodes) = all_nodes(&file.memcached)?;
    let copies = match file.memcached.copies.unwrap_or(defaults::COPIES) {
        copies @ (1 | 2) => copies.min(nodes.len()),
        other => return Err(Invalid::new("memcached.copies", format!("is {other}; 1 or 2 are allowed"))),
    };
    Ok(Config {
        listen,
        admin,
        threads: at_least_one("threads", file.threads.unwrap_or(defaults::THREADS))?,
        log_level: file.log_level,
        stop_timeout: file.stop_timeout.unwrap_or(defaults::STOP_TIMEOUT).0,
        buffering,
        tomcat: file.tomcat.address.clone(),
        contexts: contexts(file.context, session.node_suffix)?,
        farm: farm(session.farm)?,
        settings: Settings {
            node_suffix: match session.node_suffix {
                raw::NodeSuffix::Cookie => NodeSuffix::Cookie,
                raw::NodeSuffix::Visible => NodeSuffix::Visible,
            },
            locking: locking(session.locking.as_deref())?,
            readonly_uri: whole_match("session.readonly_uri", session.readonly_uri)?,
            copies,
            lock_timeout,
            on_lock_timeout: match session.on_lock_timeout {
                raw::OnLockTimeout::Fail => OnLockTimeout::Fail,
                raw::OnLockTimeout::Proceed => OnLockTimeout::Proceed,
            },
            on_store_failure: match session.on_store_failure {
                raw::OnStoreFailure::Fail => OnStoreFailure::Fail,
                raw::OnStoreFailure::Proceed => OnStoreFailure::Proceed,
            },
            outbox_size: bytes(session.outbox_size.unwrap_or(defaults::OUTBOX_SIZE)),
            backup_timeout: (!backup_timeout.is_zero()).then_some(backup_timeout),
            tomcat: tomcat(&file.tomcat, limits.max_request_time)?,
            limits,
            ignore_uri: whole_match("session.ignore_uri", session.ignore_uri)?,
            unheld_uri: whole_match("session.unheld_uri", session.unheld_uri)?,
            unsaved_header: session.unsaved_header.as_deref().map(unsaved_header).transpose()?,
            max_session_size: bytes(session.max_session_size.unwrap_or(defaults::MAX_SESSION_SIZE)),
        },
        unknown_ids_per_second: match session.unknown_ids_per_second {
            Some(0) => return Err(Invalid::new("session.unknown_ids_per_second", "must be at least 1")),
            limit => limit.unwrap_or(defaults::UNKNOWN_IDS_PER_SECOND),
        },
        cache_size: session.cache_size.unwrap_or(defaults::CACHE_SIZE).0,
        nodes,
        retired_nodes,
        node_timeout: {
            let timeout = file.memcached.timeout.unwrap_or(defaults::NODE_TIMEOUT).0;
            positive("memcached.timeout", timeout)?;
            if timeout > defaults::NODE_TIMEOUT_MAX.0 {
                let most = "must be at most 2s: a session's lock lasts 5s and is renewed through it";
                return Err(Invalid::new("memcached.timeout", most));
            }
            timeout
        },
        keys,
        index_key,
        traces: file.traces.map(|raw| raw.check("satchel-sidecar")).transpose()?,
    })
}

fn bytes(size: Size) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

fn socket(key: &str, text: &str) -> Result<SocketAddr, Invalid> {
    text.parse().map_err(|_| {
        Invalid::new(
            key,
            format!("'{text}' is not an address to listen on; write \"127.0.0.1:8081\" or \"[::1]:8081\""),
        )
    })
}

fn positive(key: &str, time: Duration) -> Result<(), Invalid> {
    if time.is_zero() { Err(Invalid::new(key, "must be more than zero")) } else { Ok(()) }
}

fn at_least_one(key: &str, n: usize) -> Result<usize, Invalid> {
    if (1..=1024).contains(&n) {
        Ok(n)
    } else {
        Err(Invalid::new(key, format!("is {n}; 1 to 1024 are allowed")))
    }
}

fn tomcat(raw: &raw::Tomcat, max_request_time: Duration) -> Result<TomcatTimeouts, Invalid> {
    let config = TomcatTimeouts {
        connect_timeout: raw.connect_timeout.unwrap_or(defaults::CONNECT_TIMEOUT).0,
        read_timeout: raw.read_timeout.map_or(max_request_time, |time| time.0),
        write_timeout: raw.write_timeout.unwrap_or(defaults::WRITE_TIMEOUT).0,
        keepalive_timeout: raw.keepalive_timeout.unwrap_or(defaults::KEEPALIVE_TIMEOUT).0,
    };
    positive("tomcat.connect_timeout", config.connect_timeout)?;
    positive("tomcat.read_timeout", config.read_timeout)?;
    if config.read_timeout > max_request_time {
        let most = "must not be longer than tomcat.max_request_time: until the response begins, its session is locked";
        return Err(Invalid::new("tomcat.read_timeout", most));
    }
    positive("tomcat.write_timeout", config.write_timeout)?;
    Ok(config)
}

fn buffering(file: &raw::File) -> Result<Buffering, Invalid> {
    let max = file.client_max_body_size.unwrap_or(defaults::CLIENT_MAX_BODY_SIZE).0;
    let directory = file.client_body_temp_path.clone().unwrap_or_else(std::env::temp_dir);
    if !directory.is_dir() {
        return Err(Invalid::new(
            "client_body_temp_path",
            format!("{} is not a directory; make it, or name another", directory.display()),
        ));
    }
    Ok(Buffering {
        on: file.request_buffering.unwrap_or(defaults::REQUEST_BUFFERING),
        max: (max > 0).then_some(max),
        directory,
    })
}

fn farm(name: Option<String>) -> Result<String, Invalid> {
    let name = name.unwrap_or_else(|| defaults::FARM.to_owned());
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
        return Err(Invalid::new("session.farm", "1 to 64 characters of A-Z a-z 0-9 . _ - are allowed"));
    }
    Ok(name)
}

fn contexts(raw: Vec<raw::Context>, node_suffix: raw::NodeSuffix) -> Result<Vec<Context>, Invalid> {
    if raw.is_empty() {
        return Err(Invalid::new(
            "context",
            "no context is configured; add [[context]] with the path of your application (\"/\" for ROOT) and \
             the directory of its FileStore",
        ));
    }
    let mut contexts: Vec<Context> = Vec::new();
    for (index, one) in raw.into_iter().enumerate() {
        let key = |name: &str| format!("context {} (path \"{}\"): {name}", index + 1, one.path);
        let path = one.path.strip_suffix('/').unwrap_or(&one.path).to_owned();
        if !one.path.starts_with('/') || path.contains(['?', '#', ';', '%']) || path.contains("//") {
            return Err(Invalid::new(key("path"), "write \"/\" for ROOT, or \"/app\" as in Tomcat"));
        }
        if !one.directory.is_absolute() {
            return Err(Invalid::new(
                key("directory"),
                "must be absolute, and the same as in Tomcat's <Store>",
            ));
        }
        let cookie_name = one.cookie_name.clone().unwrap_or_else(|| defaults::COOKIE_NAME.to_owned());
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if cookie_name.is_empty() || !cookie_name.bytes().all(token) {
            return Err(Invalid::new(key("cookie_name"), "is not the name of a cookie (RFC 6265, token)"));
        }
        let hosts =
            one.hosts.iter().map(|host| virtual_host(&key("hosts"), host)).collect::<Result<Vec<_>, _>>()?;
        let same_host = |other: &Context| {
            other.hosts.is_empty() && hosts.is_empty() || other.hosts.iter().any(|host| hosts.contains(host))
        };
        if let Some(other) = contexts.iter().find(|c| c.path == path && same_host(c)) {
            let how = "for the same host; to tell virtual hosts apart, give each its `hosts`";
            return Err(Invalid::new(key("path"), format!("\"{}\" is configured twice {how}", other.path)));
        }
        let shares_cookie = match one.session_cookie_path.as_deref() {
            None => false,
            Some("/") if matches!(node_suffix, raw::NodeSuffix::Cookie) => true,
            Some("/") => {
                let why = "needs session.node_suffix = \"cookie\": Tomcat takes over the id that it is shown";
                return Err(Invalid::new(key("session_cookie_path"), why));
            }
            Some(_) => {
                let what = "only \"/\" changes something here; leave it out for any other";
                return Err(Invalid::new(key("session_cookie_path"), what));
            }
        };
        if contexts.iter().any(|c| c.directory == one.directory) {
            return Err(Invalid::new(
                key("directory"),
                "another context uses it too; each needs its own, or their sessions would mix",
            ));
        }
        let param_names = path_param::names_for(&cookie_name);
        contexts.push(Context {
            path,
            hosts,
            shares_cookie,
            directory: one.directory,
            cookie_name,
            param_names,
        });
    }
    Ok(contexts)
}

/// A name of Tomcat's `<Host>` or one of its aliases.
fn virtual_host(key: &str, text: &str) -> Result<String, Invalid> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'[' | b']' | b':');
    if name.is_empty() || !name.bytes().all(allowed) || name.rsplit_once("]:").is_some() {
        return Err(Invalid::new(
            key,
            format!("'{text}' is not a host's name; write \"shop.example.com\" or \"*.example.com\""),
        ));
    }
    Ok(text.to_ascii_lowercase())
}

/// Those that get sessions, and the retired ones.
fn all_nodes(raw: &raw::Memcached) -> Result<(Vec<NodeConfig>, Vec<NodeConfig>), Invalid> {
    let mut all = Vec::new();
    nodes("memcached.nodes", &raw.nodes, &mut all)?;
    if all.is_empty() {
        return Err(Invalid::new("memcached.nodes", "is empty; write for example \"n1:127.0.0.1:11211\""));
    }
    let placed = all.len();
    nodes("memcached.retired_nodes", raw.retired_nodes.as_deref().unwrap_or_default(), &mut all)?;
    for (name, options) in &raw.node {
        let Some(node) = all.iter_mut().find(|node| node.name.as_str() == name) else {
            let key = format!("memcached.node.{name}");
            return Err(Invalid::new(key, "no node of this name is in memcached.nodes"));
        };
        node.protocol = match options.protocol {
            raw::Protocol::Meta => Protocol::Meta,
            raw::Protocol::Text => Protocol::Text,
        };
    }
    let retired = all.split_off(placed);
    Ok((all, retired))
}

/// msm's form: `n1:host:port n2:host:port`, separated by commas or spaces; IPv6 addresses in brackets.
fn nodes(key: &str, text: &str, nodes: &mut Vec<NodeConfig>) -> Result<(), Invalid> {
    for part in text.split([',', ' ', '\t', '\n']).filter(|part| !part.is_empty()) {
        let form = "write name:host:port, for example \"n1:10.0.0.1:11211, n2:10.0.0.2:11211\"";
        let (name, address) =
            part.split_once(':').ok_or_else(|| Invalid::new(key, format!("'{part}' has no name; {form}")))?;
        let name = NodeName::parse(name).ok_or_else(|| {
            Invalid::new(key, format!("'{name}' is not a node's name (A-Z a-z 0-9 _, 1 to 32); {form}"))
        })?;
        let address: HostPort =
            address.parse().map_err(|error| Invalid::new(key, format!("node {name}: {error}; {form}")))?;
        if nodes.iter().any(|other| other.name == name) {
            return Err(Invalid::new(key, format!("node {name} is listed twice")));
        }
        if let Some(other) = nodes.iter().find(|other| other.address == address) {
            return Err(Invalid::new(
                key,
                format!("nodes {} and {name} have one address, {address}", other.name),
            ));
        }
        nodes.push(NodeConfig { name, address, protocol: Protocol::Meta });
    }
    Ok(())
}

fn locking(text: Option<&str>) -> Result<Locking, Invalid> {
    match text.unwrap_or(defaults::LOCKING) {
        "all" => Ok(Locking::All),
        "none" => Ok(Locking::None),
        "auto" => Ok(Locking::Auto),
        // msm's own word for it is taken too.
        other => match other.strip_prefix("uri:").or_else(|| other.strip_prefix("uriPattern:")) {
            Some(pattern) => Ok(Locking::Uri(pattern_of_line("session.locking", pattern)?)),
            None => Err(Invalid::new(
                "session.locking",
                format!("'{other}' is none of \"all\", \"none\", \"auto\", \"uri:REGEX\""),
            )),
        },
    }
}

/// msm's patterns match the whole of `METHOD URI?query`.
fn whole_match(key: &str, pattern: Option<String>) -> Result<Option<Regex>, Invalid> {
    pattern.map(|pattern| pattern_of_line(key, &pattern)).transpose()
}

/// A name of one's own: the header is taken out of every response.
fn unsaved_header(name: &str) -> Result<HeaderName, Invalid> {
    let key = "session.unsaved_header";
    if name.eq_ignore_ascii_case(UNSENT) {
        return Err(Invalid::new(key, format!("the gateway gives {UNSENT} a meaning of its own")));
    }
    if !name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-")) {
        let why =
            "must begin with \"X-\", as in \"X-Session-Unsaved\": it is taken out of what applications send";
        return Err(Invalid::new(key, format!("'{name}' {why}")));
    }
    name.parse()
        .map_err(|_| Invalid::new(key, format!("'{name}' is not the name of a header (RFC 9110, token)")))
}

fn pattern_of_line(key: &str, pattern: &str) -> Result<Regex, Invalid> {
    if pattern.trim_start_matches(['^', '(', '?', ':']).starts_with('/') {
        return Err(Invalid::new(
            key,
            format!(
                "'{pattern}' matches nothing: it must match the whole of METHOD URI?query, as in '.* {pattern}'"
            ),
        ));
    }
    Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|error| Invalid::new(key, format!("is not a regular expression: {error}")))
}

pub(super) type Secrets = (Vec<Secret>, Option<Secret>);

pub(super) fn secrets(raw: raw::Record) -> Result<Secrets, Invalid> {
    let keys = raw
        .keys
        .iter()
        .enumerate()
        .map(|(n, secret)| decode(&format!("record.keys: key {}", n + 1), secret))
        .collect::<Result<Vec<_>, _>>()?;
    let index_key = raw.index_key.as_ref().map(|secret| decode("record.index_key", secret)).transpose()?;
    let how = "`sidecar --new-keys` prints both; they must be the same on every sidecar";
    match raw.encryption {
        raw::Encryption::On if keys.is_empty() => {
            Err(Invalid::new("record.keys", format!("at least one key is needed; {how}")))
        }
        raw::Encryption::On if index_key.is_none() => {
            Err(Invalid::new("record.index_key", format!("is needed; {how}")))
        }
        raw::Encryption::Off if !keys.is_empty() => Err(Invalid::new(
            "record.encryption",
            "is \"off\" although record.keys has keys; remove one of the two",
        )),
        _ => Ok((keys, index_key)),
    }
}

fn decode(key: &str, secret: &raw::Secret) -> Result<Secret, Invalid> {
    let bytes: Option<[u8; 32]> = STANDARD.decode(&secret.0).ok().and_then(|bytes| bytes.try_into().ok());
    match bytes {
        // The whole world knows those of conf/sidecar.toml.
        Some(bytes) if bytes.starts_with(b"change me") => {
            Err(Invalid::new(key, "is the example's; make your own with `sidecar --new-keys`"))
        }
        Some(bytes) => Ok(Secret(bytes)),
        None => Err(Invalid::new(key, "must be 32 bytes in base64; `sidecar --new-keys` prints some")),
    }
}

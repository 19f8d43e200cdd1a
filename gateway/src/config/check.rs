//! From what is written to what is valid. Errors name the key and what is allowed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use satchel_common::config::Invalid;
use satchel_common::status::Token;

use super::block::{self, Shared};
use super::limits::check_zones;
use super::{AccessLog, AdminToken, Config, Listen, LogFormat, LogTarget, Resolver, defaults, raw, upstream};
use crate::template::Template;

pub(super) fn check(file: raw::File) -> Result<Config, Invalid> {
    let threads = file.threads.unwrap_or(defaults::THREADS);
    if !(1..=1024).contains(&threads) {
        return Err(Invalid::new("threads", format!("is {threads}; 1 to 1024 are allowed")));
    }
    let mut upstreams = Vec::new();
    for one in file.upstream {
        let one = upstream::upstream(one)?;
        if upstreams.iter().any(|other: &super::UpstreamConfig| other.name == one.name) {
            return Err(Invalid::new(format!("upstream \"{}\"", one.name), "is configured twice"));
        }
        upstreams.push(one);
    }
    if file.server.is_empty() {
        return Err(Invalid::new(
            "server",
            "no server is configured; add [[server]] with listen and proxy_pass",
        ));
    }
    let settings = block::http(&file.http)?;
    let mut shared = Shared { http: &file.http, settings, upstreams, sockets: HashMap::new() };
    let mut servers = Vec::new();
    for (index, one) in file.server.iter().enumerate() {
        servers.push(block::server(index + 1, one, &mut shared)?);
    }
    check_zones(&file.http, &file.server)?;
    let admin = address("admin", file.admin.as_deref())?;
    let admin_token = file.admin_token_file.map(|file| admin_token(file, admin)).transpose()?;
    one_socket_each(&shared.sockets, admin)?;
    let upstreams = shared.upstreams;
    let nameservers = file.resolver.nameservers.iter().map(|text| {
        let with_port =
            if text.parse::<std::net::IpAddr>().is_ok() { format!("{text}:53") } else { text.clone() };
        address("resolver.nameservers", Some(&with_port))
    });
    let nameservers: Vec<_> = nameservers.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    Ok(Config {
        threads,
        log_level: file.log_level,
        stop_timeout: file.stop_timeout.unwrap_or(defaults::STOP_TIMEOUT).0,
        admin,
        admin_token,
        upgrade_sock: file.upgrade_sock.unwrap_or_else(|| defaults::UPGRADE_SOCK.into()).into(),
        access_log: access_log(file.access_log)?,
        resolver: Resolver { nameservers, valid: file.resolver.valid.map(|time| time.0) },
        traces: file.traces.map(|raw| raw.check("satchel-gateway")).transpose()?,
        upstreams,
        servers,
    })
}

/// The sockets do not get in each other's way: a socket of all addresses takes those of the others too, as in nginx.
fn one_socket_each(sockets: &HashMap<SocketAddr, Listen>, admin: Option<SocketAddr>) -> Result<(), Invalid> {
    for listen in sockets.values() {
        let all = listen.of_all_addresses();
        if sockets.get(&all.address).is_some_and(|other| !other.is_compatible(&all)) {
            return Err(Invalid::new(
                "server: listen",
                format!(
                    "{} and {} must have the same ssl, http2 and proxy_protocol: one socket is for both",
                    listen.address, all.address
                ),
            ));
        }
        let overlaps = |admin: SocketAddr| {
            [listen.address, all.address].contains(&admin)
                || (listen.address == all.address
                    && admin.port() == all.address.port()
                    && admin.is_ipv4() == all.address.is_ipv4())
        };
        if admin.is_some_and(overlaps) {
            return Err(Invalid::new(
                "admin",
                format!("{} is an address of a server already; choose another port", listen.address),
            ));
        }
    }
    Ok(())
}

/// What is in the file, without the blanks around it.
fn admin_token(file: PathBuf, admin: Option<SocketAddr>) -> Result<AdminToken, Invalid> {
    const KEY: &str = "admin_token_file";
    if admin.is_none() {
        return Err(Invalid::new(KEY, "there is no admin address that it could be used at; set admin"));
    }
    let text = std::fs::read_to_string(&file)
        .map_err(|error| Invalid::new(KEY, format!("cannot read {}: {error}", file.display())))?;
    let token = Token::new(text.trim().to_owned())
        .map_err(|error| Invalid::new(KEY, format!("{}: {error}", file.display())))?;
    Ok(AdminToken { token, file })
}

fn address(key: &str, text: Option<&str>) -> Result<Option<SocketAddr>, Invalid> {
    text.map(|text| {
        text.parse().map_err(|_| {
            Invalid::new(key, format!("'{text}' is not an address with a port, as in \"127.0.0.1:8090\""))
        })
    })
    .transpose()
}

fn access_log(raw: raw::AccessLog) -> Result<AccessLog, Invalid> {
    let target = match raw.path.as_deref() {
        None | Some("stdout") => LogTarget::Stdout,
        Some("off") => LogTarget::Off,
        Some(path) => LogTarget::File(path.into()),
    };
    let wrong = |message: String| Invalid::new("access_log.format", message);
    let template =
        |text: &str| Template::parse(text).map(LogFormat::Template).map_err(|error| wrong(error.to_string()));
    let format = match raw.format.as_deref().unwrap_or("combined") {
        "combined" => template(defaults::ACCESS_LOG_COMBINED)?,
        "json" => LogFormat::Json,
        text if text.contains('$') => template(text)?,
        text => {
            return Err(wrong(format!(
                "'{text}' is not known; write \"combined\", \"json\" or a template with variables"
            )));
        }
    };
    Ok(AccessLog { target, format })
}

//! Wiring: from a configuration to a running server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use pingora_core::apps::HttpServerOptions;
use pingora_core::apps::http_app::HttpServer;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::server::Server;
use pingora_core::server::configuration::Opt;
use pingora_core::services::background::background_service;
use pingora_core::services::listening::Service;
use pingora_proxy::HttpProxy;
use satchel_common::server::{InFlight, conf, expect_reloads, run as run_server};

use crate::access_log::{AccessLogError, Writer};
use crate::admin::Admin;
use crate::config::{Config, Listen};
use crate::entry::Entry;
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::reload::Housekeeping;
use crate::running::{Running, Shared};
use crate::tls;

/// Idle connections that are kept to all servers together.
const UPSTREAM_POOL: usize = 512;
/// Of each client's connection, in bytes, in place of Pingora's 64 KiB: a request's header fits, and larger reads go past it. 9,000 idle clients
/// cost 455 MB with it and 495 MB without (unoptimised build).
const READ_BUFFER: usize = 4 * 1024;
/// As often as one request may be sent; which of these tries are made is decided by `proxy/retry.rs`.
const TRIES_MAX: usize = 64;

/// Why the gateway can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The access log can't be opened.
    #[error(transparent)]
    AccessLog(#[from] AccessLogError),
    /// TLS can't be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Runs until it is told to stop. `path` is where the configuration was read, and is read again at SIGHUP. With `upgrade` the listeners are
/// taken over from the process that runs.
///
/// # Errors
/// As [`StartError`].
pub fn run(config: Config, path: &Path, upgrade: bool) -> Result<(), StartError> {
    expect_reloads();
    let access_log = Writer::open(&config.access_log)?;
    let metrics = Arc::new(Metrics::default());
    let shared = Shared::new(Running::new(&config, &[], &metrics));
    let in_flight = InFlight::default();
    let mut server_conf = conf(config.threads, TRIES_MAX, UPSTREAM_POOL, config.stop_timeout);
    server_conf.upgrade_sock = config.upgrade_sock.display().to_string();
    let opt = Opt { upgrade, ..Opt::default() };
    let mut server = Server::new_with_opt_and_conf(opt, server_conf);
    server.bootstrap();
    let proxy = Proxy {
        shared: shared.clone(),
        access_log: access_log.clone(),
        metrics: metrics.clone(),
        in_flight: in_flight.clone(),
    };
    let mut http = HttpProxy::new(proxy, server.configuration.clone());
    http.handle_init_modules();
    let mut options = HttpServerOptions::default();
    let first = config.servers.first();
    options.keepalive_request_limit = first.map(|server| server.keepalive_requests);
    options.h2_idle_timeout = first.map(|server| server.keepalive_timeout);
    http.server_options = Some(options);
    let http = Arc::new(http);
    for (listen, header_timeout) in sockets(&config) {
        let acceptor = match listen.ssl {
            true => Some(tls::acceptor(shared.clone(), listen.address, listen.http2)?),
            false => None,
        };
        let entry = Entry {
            http: http.clone(),
            acceptor,
            proxy_protocol: listen.proxy_protocol,
            header_timeout,
            in_flight: in_flight.clone(),
        };
        let mut service = Service::new(format!("gateway {}", listen.address), entry);
        let buffers = L4BufferSettings::default().read(READ_BUFFER);
        service.add_listener(ListenerConfig::tcp(listen.address.to_string()).l4_buffer(buffers));
        log::info!("Listening on {}{}", listen.address, if listen.ssl { " with TLS" } else { "" });
        server.add_service(service);
    }
    if let Some(address) = config.admin {
        let admin = Admin { shared: shared.clone(), metrics: metrics.clone() };
        let mut service = Service::new("admin".into(), HttpServer::new_app(admin));
        service.threads = Some(1);
        service.add_tcp(&address.to_string());
        server.add_service(service);
    }
    let housekeeping = Housekeeping { path: path.to_owned(), config, shared, access_log, metrics };
    let mut housekeeping = background_service("housekeeping", housekeeping);
    housekeeping.threads = Some(1);
    server.add_service(housekeeping);
    run_server(server, in_flight);
    Ok(())
}

/// Each socket once, with its default server's time for a header.
fn sockets(config: &Config) -> Vec<(Listen, std::time::Duration)> {
    let mut sockets: BTreeMap<SocketAddr, (Listen, std::time::Duration)> = BTreeMap::new();
    for server in &config.servers {
        for listen in &server.listen {
            let entry = (*listen, server.client_header_timeout);
            if listen.default_server || !sockets.contains_key(&listen.address) {
                sockets.insert(listen.address, entry);
            }
        }
    }
    sockets.into_values().collect()
}

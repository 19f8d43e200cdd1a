//! Wiring: from a configuration to a running server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use pingora_core::apps::HttpServerOptions;
use pingora_core::apps::http_app::HttpServer;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig, TcpSocketOptions};
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_core::server::Server;
use pingora_core::server::configuration::Opt;
use pingora_core::services::background::background_service;
use pingora_core::services::listening::Service;
use pingora_proxy::HttpProxy;
use satchel_common::exposure;
use satchel_common::listen::{ListenError, try_all};
use satchel_common::server::{InFlight, conf, run as run_server};
use satchel_common::signals;
use satchel_common::trace::Tracing;

use crate::access_log::{AccessLogError, Writer};
use crate::admin::Admin;
use crate::banner;
use crate::config::{Config, Listen};
use crate::entry::Entry;
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::reload::Housekeeping;
use crate::running::{Running, Shared};
use crate::status::Recent;
use crate::tls::{self, Certificate};
use crate::upgrade::{self, UpgradeError};

/// Idle connections that are kept to all servers together.
const UPSTREAM_POOL: usize = 512;
/// Of each client's connection that is read in small pieces, in bytes: TLS reads a record's length first, and the PROXY protocol's first version has its
/// end as its only mark. What is read in one piece needs none.
const READ_BUFFER: (usize, usize) = (4 * 1024, 128);
/// As often as one request may be sent; which of these tries are made is decided by `proxy/retry.rs`.
const TRIES_MAX: usize = 64;

/// Why the gateway can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address can't be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// There is no place for the socket of an upgrade.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// The access log can't be opened.
    #[error(transparent)]
    AccessLog(#[from] AccessLogError),
    /// TLS can't be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// What of this configuration is open to more than it need be.
pub fn exposed(config: &Config) -> Vec<String> {
    let certificates = config.servers.iter().filter_map(|server| server.certificate.as_ref());
    let mut keys: Vec<_> = certificates.map(Certificate::key_file).collect();
    keys.sort_unstable();
    keys.dedup();
    let keys = keys.into_iter().filter_map(|file| exposure::of_secrets("ssl_certificate_key", file));
    let token = config.admin_token.as_ref();
    let token = token.and_then(|token| exposure::of_secrets("admin_token_file", &token.file));
    exposure::of_admin(config.admin).into_iter().chain(keys).chain(token).collect()
}

/// Runs until it is told to stop. `path` is where the configuration was read, and is read again at SIGHUP. With `upgrade` the listeners are
/// taken over from the process that runs.
///
/// # Errors
/// As [`StartError`].
pub fn run(config: Config, path: &Path, upgrade: bool) -> Result<(), StartError> {
    signals::expect();
    for line in banner::lines(&config, path) {
        log::info!("{line}");
    }
    exposure::keep_memory_private();
    for warning in exposure::of_root().into_iter().chain(exposed(&config)) {
        log::warn!("{warning}");
    }
    let access_log = Writer::open(&config.access_log)?;
    let metrics = Arc::new(Metrics::default());
    let shared = Shared::new(Running::new(&config, &[], access_log, &metrics));
    let in_flight = InFlight::new(config.stop_timeout);
    let sockets = sockets(&config);
    let mut server_conf = conf(config.threads, TRIES_MAX, UPSTREAM_POOL);
    server_conf.upgrade_sock = config.upgrade_sock.display().to_string();
    if upgrade {
        upgrade::directory(&config.upgrade_sock)?;
        log::info!(
            "Waiting 6 s at {} for the gateway that runs: send it SIGQUIT now",
            config.upgrade_sock.display()
        );
    } else {
        try_all(sockets.keys().copied().chain(config.admin), true)?;
        if let Err(error) = upgrade::directory(&config.upgrade_sock) {
            log::warn!("{error}. Until then this gateway cannot be upgraded without a stop");
        }
    }
    let opt = Opt { upgrade, ..Opt::default() };
    let mut server = Server::new_with_opt_and_conf(opt, server_conf);
    server.bootstrap();
    let tracing = Tracing::default();
    let proxy = Proxy {
        shared: shared.clone(),
        metrics: metrics.clone(),
        tracing: tracing.clone(),
        in_flight: in_flight.clone(),
    };
    let mut http = HttpProxy::new(proxy, server.configuration.clone());
    http.handle_init_modules();
    http.server_options = Some(h2_idle(&config));
    http.h2_options = Some(h2_headers(&config));
    let http = Arc::new(http);
    for listen in sockets.into_values() {
        let acceptor = match listen.ssl {
            true => Some(tls::acceptor(shared.clone(), listen.address, listen.http2)?),
            false => None,
        };
        let (records, line) = READ_BUFFER;
        let read_buffer = match (listen.ssl, listen.proxy_protocol) {
            (true, _) => records,
            (false, true) => line,
            (false, false) => 0,
        };
        let entry = Entry {
            http: http.clone(),
            acceptor,
            shared: shared.clone(),
            listen,
            in_flight: in_flight.clone(),
        };
        let mut service = Service::new(format!("gateway {}", listen.address), entry);
        let buffers = L4BufferSettings::default().read(read_buffer);
        let mut options = TcpSocketOptions::default();
        // nginx's default: 0.0.0.0:80 and [::]:80 are two sockets.
        options.ipv6_only = listen.address.is_ipv6().then_some(true);
        let socket = ListenerConfig::tcp(listen.address.to_string()).tcp_socket_options(options);
        service.add_listener(socket.l4_buffer(buffers));
        log::info!("Listening on {}{}", listen.address, if listen.ssl { " with TLS" } else { "" });
        server.add_service(service);
    }
    let recent = Arc::new(Recent::default());
    if let Some(address) = config.admin {
        let admin = Admin::new(shared.clone(), metrics.clone(), recent.clone());
        let mut service = Service::new("admin".into(), HttpServer::new_app(admin));
        service.threads = Some(1);
        service.add_tcp(&address.to_string());
        server.add_service(service);
    }
    let upgrade_sock = config.upgrade_sock.clone();
    let housekeeping = Housekeeping {
        path: path.to_owned(),
        config,
        shared,
        metrics,
        recent,
        tracing: tracing.clone(),
        in_flight: in_flight.clone(),
    };
    let mut housekeeping = background_service("housekeeping", housekeeping);
    housekeeping.threads = Some(1);
    server.add_service(housekeeping);
    run_server(server, in_flight, Some(upgrade_sock), tracing);
    Ok(())
}

/// Each socket once, and without those that one for all addresses stands for.
fn sockets(config: &Config) -> BTreeMap<SocketAddr, Listen> {
    let all = config.servers.iter().flat_map(|server| &server.listen);
    let mut sockets: BTreeMap<_, _> = all.map(|listen| (listen.address, *listen)).collect();
    let named: Vec<SocketAddr> = sockets.keys().copied().collect();
    sockets.retain(|address, listen| {
        let all = listen.of_all_addresses().address;
        *address == all || !named.contains(&all)
    });
    sockets
}

/// An HTTP/2 connection is kept for as long as the most patient server says: Pingora has one time for all.
fn h2_idle(config: &Config) -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = config.servers.iter().map(|server| server.keepalive_timeout).max();
    options
}

/// What Pingora reads of HTTP/2 headers at most. What each server allows is checked when it is known which one is asked.
fn h2_headers(config: &Config) -> H2Options {
    let mut options = default_h2_options();
    let largest = config.servers.iter().map(|server| server.client_header_size).max().unwrap_or_default();
    options.max_header_list_size(u32::try_from(largest.saturating_mul(2)).unwrap_or(u32::MAX));
    options
}

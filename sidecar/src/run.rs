//! Wiring: from a configuration to a running server.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pingora_core::apps::HttpServerOptions;
use pingora_core::apps::http_app::HttpServer;
use pingora_core::server::{Server, ShutdownWatch};
use pingora_core::services::background::{BackgroundService, background_service};
use pingora_core::services::listening::Service;
use pingora_proxy::ProxyServiceBuilder;
use satchel_common::server::{InFlight, conf, run as run_server};
use tokio::sync::watch;

use crate::admin::Admin;
use crate::cache::Cache;
use crate::config::Config;
use crate::context::Contexts;
use crate::exchange::Core;
use crate::exchange::late::Late;
use crate::exchange::outbox::Outbox;
use crate::file::{DirectoryError, StoreDirectory};
use crate::lock::Locks;
use crate::memcached::{Node, Nodes, Pool};
use crate::metrics::Metrics;
use crate::probe::Tomcat;
use crate::proxy::Proxy;
use crate::record::{Farm, Keys};
use crate::sweeper::sweep;

/// Requests on one connection of the gateway before it is closed, as nginx's `keepalive_requests`.
const KEEPALIVE_REQUESTS: u32 = 10_000;
/// Idle connections to Tomcat that are kept: Tomcat's default of `maxThreads`.
const TOMCAT_POOL: usize = 200;
/// As often as one request may be sent, see `proxy::TRIES`.
const MAX_RETRIES: usize = 3;

/// Why the sidecar can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A store directory can't be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Tomcat's name does not resolve.
    #[error("tomcat.address: {0} does not resolve to an address")]
    Tomcat(String),
}

/// Resolves Tomcat's address.
///
/// # Errors
/// [`StartError::Tomcat`].
pub fn tomcat_address(config: &Config) -> Result<SocketAddr, StartError> {
    let address = &config.tomcat.address;
    (address.host.as_str(), address.port)
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| StartError::Tomcat(address.to_string()))
}

/// Runs until it is told to stop.
///
/// # Errors
/// As [`StartError`].
pub fn run(config: &Config) -> Result<(), StartError> {
    // Files and directories are for the group that Tomcat and the sidecar share.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o007));
    let tomcat = tomcat_address(config)?;
    let in_flight = InFlight::default();
    let (core, away) = core(config, &in_flight)?;
    let core = Arc::new(core);
    if config.keys.is_empty() {
        log::warn!(
            "record.encryption is off: whoever can write memcached can run code in Tomcat, and whoever can read it can \
             read every session"
        );
    }
    let mut server = Server::new_with_opt_and_conf(
        None,
        conf(config.threads, MAX_RETRIES, TOMCAT_POOL, config.stop_timeout),
    );
    server.bootstrap();
    let proxy = Proxy::new(core.clone(), config, tomcat, in_flight.clone());
    let mut options = HttpServerOptions::default();
    options.keepalive_request_limit = Some(KEEPALIVE_REQUESTS);
    let mut service = ProxyServiceBuilder::new(&server.configuration, proxy)
        .name("sidecar")
        .server_options(options)
        .build();
    for address in &config.listen {
        service.add_tcp(&address.to_string());
        log::info!("Listening on {address}, for Tomcat at {tomcat}");
    }
    server.add_service(service);
    if let Some(admin) = config.admin {
        let mut service = Service::new("admin".into(), HttpServer::new_app(Admin { core: core.clone() }));
        service.threads = Some(1);
        service.add_tcp(&admin.to_string());
        server.add_service(service);
    }
    let mut housekeeping = background_service("housekeeping", Housekeeping { core, away });
    housekeeping.threads = Some(1);
    server.add_service(housekeeping);
    run_server(server, in_flight);
    Ok(())
}

/// What exchanges share, and where it is said that it is known which nodes were away.
fn core(config: &Config, in_flight: &InFlight) -> Result<(Core, watch::Sender<bool>), StartError> {
    let metrics = Arc::new(Metrics::default());
    let contexts = Contexts::new(config.contexts.clone());
    let mut directories = Vec::new();
    let mut suspects = std::collections::HashSet::new();
    for (index, context) in contexts.iter().enumerate() {
        let (directory, found) = StoreDirectory::open(&context.directory)?;
        directories.push(Arc::new(directory));
        suspects.extend(found.into_iter().map(|id| (index, id)));
    }
    let nodes = config
        .nodes
        .iter()
        .map(|(name, address)| {
            (name.clone(), Box::new(Pool::new(address.clone(), config.node_timeout)) as Box<dyn Node>)
        })
        .collect();
    let nodes = Nodes::new(nodes, metrics.clone());
    let (away, away_known) = watch::channel(false);
    let core = Core {
        contexts,
        directories,
        farm: Farm::new(&config.farm, config.index_key.as_ref().map(|key| key.0)),
        keys: Keys::new(
            &config.keys.iter().map(|key| key.0).collect::<Vec<_>>(),
            config.settings.max_session_size + 64 * 1024,
        ),
        locks: Locks::new(nodes.clone(), metrics.clone()),
        nodes,
        turns: Arc::default(),
        cache: Cache::new(config.cache_size),
        metrics,
        tomcat: Tomcat { address: config.tomcat.address.clone() },
        settings: config.settings.clone(),
        suspects: Mutex::new(suspects),
        outbox: Outbox::new(in_flight.clone()),
        late: Late::default(),
        learned: Default::default(),
        away_known,
    };
    Ok((core, away))
}

struct Housekeeping {
    core: Arc<Core>,
    away: watch::Sender<bool>,
}

#[async_trait]
impl BackgroundService for Housekeeping {
    /// Runs on after the shutdown has begun: locks are renewed until the last request has ended.
    async fn start(&self, _shutdown: ShutdownWatch) {
        let core = &self.core;
        let keys = (0..core.nodes.len()).map(|node| core.farm.away(core.nodes.name(node))).collect();
        tokio::join!(
            core.locks.clone().renew(),
            sweep(core.clone()),
            core.clone().deliver(),
            core.nodes.clone().exchange_away(keys, self.away.clone())
        );
    }
}

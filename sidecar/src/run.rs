//! Wiring: from a configuration to a running server.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora_core::apps::HttpServerOptions;
use pingora_core::apps::http_app::HttpServer;
use pingora_core::server::{Server, ShutdownWatch};
use pingora_core::services::background::{BackgroundService, background_service};
use pingora_core::services::listening::Service;
use pingora_proxy::ProxyServiceBuilder;
use satchel_common::exposure;
use satchel_common::listen::{ListenError, try_all};
use satchel_common::server::{InFlight, conf, run as run_server};
use satchel_common::signals;
use satchel_common::trace::Tracing;
use tokio::sync::watch;

use crate::admin::Admin;
use crate::agreement::{Agreed, Agreement, agree, at_start};
use crate::banner;
use crate::cache::Cache;
use crate::config::{Config, NodeConfig, Secret};
use crate::context::Contexts;
use crate::exchange::late::Late;
use crate::exchange::outbox::Outbox;
use crate::exchange::{Core, Settings};
use crate::file::{DirectoryError, StoreDirectory};
use crate::leaving::on_sigusr2;
use crate::lock::Locks;
use crate::memcached::{Node, Nodes, Pool};
use crate::metrics::Metrics;
use crate::past;
use crate::probe::Tomcat;
use crate::proxy::Proxy;
use crate::record::{Farm, Keys};
use crate::reload::on_sighup;
use crate::status::Recent;
use crate::sweeper::sweep;

/// Requests on one connection of the gateway before it is closed, as nginx's `keepalive_requests`.
const KEEPALIVE_REQUESTS: u32 = 10_000;
/// Idle connections to Tomcat that are kept: Tomcat's default of `maxThreads`.
const TOMCAT_POOL: usize = 200;
/// As often as one request may be sent, see `proxy::TRIES`.
const MAX_RETRIES: usize = 3;

/// How much larger than `max_session_size` a session may be that is read, and how large any may be, in bytes: one that was stored before the
/// limit was lowered is no miss.
const READ_TIMES: usize = 4;
const READ_AT_LEAST: usize = 64 << 20;

/// Why the sidecar can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A store directory can't be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// An address can't be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Tomcat's name does not resolve.
    #[error("tomcat.address: {0} does not resolve to an address")]
    Tomcat(String),
    /// The other sidecars have another configuration.
    #[error(
        "The running sidecars of farm \"{0}\" have another configuration: {1}. Make them the same, or change all of them with SIGHUP \
         first. What a sidecar that has stopped had is forgotten after a minute"
    )]
    Different(String, String),
    /// No runtime to ask them on.
    #[error("cannot start a runtime: {0}")]
    Runtime(std::io::Error),
}

/// Resolves Tomcat's address.
///
/// # Errors
/// [`StartError::Tomcat`].
pub fn tomcat_address(config: &Config) -> Result<SocketAddr, StartError> {
    let address = &config.tomcat;
    (address.host.as_str(), address.port)
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| StartError::Tomcat(address.to_string()))
}

/// What of this configuration, read from `path`, is open to more than it need be.
pub fn exposed(config: &Config, path: &Path, tomcat: SocketAddr) -> Vec<String> {
    let secrets = if config.keys.is_empty() { None } else { exposure::of_secrets("", path) };
    [exposure::of_admin(config.admin), secrets, past::of_address(tomcat)].into_iter().flatten().collect()
}

/// Runs until it is told to stop. `path` is where the configuration was read, and is read again at SIGHUP.
///
/// # Errors
/// As [`StartError`].
pub fn run(config: &Config, path: &Path) -> Result<(), StartError> {
    signals::expect();
    for line in banner::lines(config, path) {
        log::info!("{line}");
    }
    exposure::keep_memory_private();
    // Files and directories are for the group that Tomcat and the sidecar share.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o007));
    let tomcat = tomcat_address(config)?;
    for warning in exposure::of_root().into_iter().chain(exposed(config, path, tomcat)) {
        log::warn!("{warning}");
    }
    try_all(config.listen.iter().copied().chain(config.admin), false)?;
    let in_flight = InFlight::new(config.stop_timeout);
    let (core, away) = core(config, agreement(config)?, &in_flight)?;
    let core = Arc::new(core);
    if config.keys.is_empty() {
        log::warn!(
            "record.encryption is off: whoever can write memcached can run code in Tomcat, and whoever can read it can \
             read every session"
        );
    }
    let mut server = Server::new_with_opt_and_conf(None, conf(config.threads, MAX_RETRIES, TOMCAT_POOL));
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
    let recent = Arc::new(Recent::default());
    if let Some(admin) = config.admin {
        let mut service =
            Service::new("admin".into(), HttpServer::new_app(Admin::new(core.clone(), recent.clone())));
        service.threads = Some(1);
        service.add_tcp(&admin.to_string());
        server.add_service(service);
    }
    let tracing = core.tracing.clone();
    let mut housekeeping = background_service(
        "housekeeping",
        Housekeeping { core, recent, away, tomcat, path: path.to_owned(), config: config.clone() },
    );
    housekeeping.threads = Some(1);
    server.add_service(housekeeping);
    run_server(server, in_flight, None, tracing);
    Ok(())
}

/// What exchanges share, and where it is said that it is known which nodes were away.
fn core(
    config: &Config,
    agreement: Agreement,
    in_flight: &InFlight,
) -> Result<(Core, watch::Sender<bool>), StartError> {
    let (mut core, away) = core_without_tomcat(config, agreement, in_flight);
    let mut suspects = std::collections::HashSet::new();
    for (index, context) in core.contexts.iter().enumerate() {
        let (directory, found) = StoreDirectory::open(&context.directory)?;
        core.directories.push(Arc::new(directory));
        suspects.extend(found.into_iter().map(|id| (index, id)));
    }
    core.suspects = Mutex::new(suspects);
    Ok((core, away))
}

/// The same for who stands beside no Tomcat: it can look sessions up and end them, and hand none over.
pub(crate) fn core_without_tomcat(
    config: &Config,
    agreement: Agreement,
    in_flight: &InFlight,
) -> (Core, watch::Sender<bool>) {
    let metrics = Arc::new(Metrics::default());
    let named = |nodes: &[NodeConfig]| {
        nodes.iter().map(|node| (node.name.clone(), connect(node, config.node_timeout))).collect()
    };
    let nodes = Nodes::new(named(&config.nodes), named(&config.retired_nodes));
    let (away, away_known) = watch::channel(false);
    let core = Core {
        contexts: Contexts::new(config.contexts.clone()),
        directories: Vec::new(),
        farm: Farm::new(&config.farm, config.index_key.as_ref().map(|key| key.0)),
        keys: ArcSwap::from_pointee(keys(&config.keys, &config.settings)),
        locks: Locks::new(nodes.clone(), metrics.clone()),
        nodes,
        turns: Arc::default(),
        cache: Cache::new(config.cache_size),
        metrics,
        tracing: Tracing::default(),
        tomcat: Tomcat { address: config.tomcat.clone() },
        settings: ArcSwap::from_pointee(config.settings.clone()),
        agreed: Agreed::new(agreement),
        suspects: Mutex::default(),
        outbox: Outbox::new(in_flight.clone()),
        leftovers: Arc::default(),
        late: Late::default(),
        learned: Default::default(),
        gathering: Default::default(),
        leaving: Default::default(),
        away_known,
    };
    (core, away)
}

/// The way to a node. Nothing is connected yet.
pub(crate) fn connect(node: &NodeConfig, timeout: Duration) -> Arc<dyn Node> {
    Arc::new(Pool::new(node.address.clone(), node.protocol, timeout))
}

/// What seals and opens records.
pub(crate) fn keys(secrets: &[Secret], settings: &Settings) -> Keys {
    let secrets: Vec<_> = secrets.iter().map(|key| key.0).collect();
    Keys::new(&secrets, settings.max_session_size.saturating_mul(READ_TIMES).max(READ_AT_LEAST))
}

/// Refuses to start when the other sidecars have another configuration (R25). Nodes that cannot be asked are not waited for twice.
fn agreement(config: &Config) -> Result<Agreement, StartError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Runtime)?;
    runtime
        .block_on(at_start(config))
        .map_err(|difference| StartError::Different(config.farm.clone(), difference))
}

struct Housekeeping {
    core: Arc<Core>,
    recent: Arc<Recent>,
    away: watch::Sender<bool>,
    tomcat: SocketAddr,
    path: PathBuf,
    config: Config,
}

#[async_trait]
impl BackgroundService for Housekeeping {
    /// Runs on after the shutdown has begun: locks are renewed until the last request has ended.
    async fn start(&self, _shutdown: ShutdownWatch) {
        let core = &self.core;
        if let Some(traces) = &self.config.traces {
            core.tracing.start(traces, env!("CARGO_PKG_VERSION"));
        }
        tokio::join!(
            core.locks.clone().renew(),
            sweep(core.clone()),
            core.clone().deliver(),
            core.nodes.clone().exchange_away(core.farm.clone(), self.away.clone()),
            past::watch(self.tomcat),
            agree(core.clone(), self.config.farm.clone()),
            async {
                if self.config.admin.is_some() {
                    self.recent.watch(core).await;
                }
            },
            on_sighup(core.clone(), &self.path, self.config.clone()),
            on_sigusr2(core.clone()),
        );
    }
}

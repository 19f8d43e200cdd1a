//! What a configuration has become: servers, routes and upstreams. A reload makes a new one; requests keep the one that they began with.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::access_log::Writer;
use crate::config::{Config, Location, ServerConfig};
use crate::metrics::Metrics;
use crate::routing::{Routes, location};
use crate::upstream::Upstream;

/// A configuration in use.
pub struct Running {
    /// The servers in the order of the file.
    pub servers: Vec<ServerConfig>,
    /// By the indexes that locations have.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Where requests are logged.
    pub access_log: Writer,
    routes: Routes,
}

/// The configuration in use now.
#[derive(Clone)]
pub struct Shared(Arc<ArcSwap<Running>>);

impl Shared {
    /// Begins with this one.
    pub fn new(running: Running) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(running)))
    }

    /// The one in use now.
    pub fn load(&self) -> Arc<Running> {
        self.0.load_full()
    }

    /// From now on this one is used.
    pub fn replace(&self, running: Running) {
        self.0.store(Arc::new(running));
    }
}

impl Running {
    /// Of a configuration. Upstreams that were there before, by their names, keep the state of their servers.
    pub fn new(
        config: &Config,
        before: &[Arc<Upstream>],
        access_log: Writer,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let upstreams = config.upstreams.iter().map(|one| {
            match before.iter().find(|upstream| upstream.name == one.name) {
                Some(upstream) => {
                    upstream.reconfigure(one.clone());
                    upstream.clone()
                }
                None => Upstream::new(one.clone(), metrics.clone()),
            }
        });
        Self {
            upstreams: upstreams.collect(),
            access_log,
            routes: Routes::new(&config.servers),
            servers: config.servers.clone(),
        }
    }

    /// The index of the server for a host, on the socket that a connection came in at.
    pub fn server_index(&self, local: SocketAddr, host: &str) -> Option<usize> {
        self.routes.server(local, host, &self.servers)
    }

    /// The server for a host.
    pub fn server(&self, local: SocketAddr, host: &str) -> Option<&ServerConfig> {
        self.servers.get(self.server_index(local, host)?)
    }

    /// The location for a decoded path.
    pub fn location(&self, server: usize, path: &[u8]) -> Option<&Arc<Location>> {
        location(&self.servers.get(server)?.locations, path)
    }
}

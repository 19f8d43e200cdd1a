//! The configuration file: read strictly, checked whole, then only valid values.

mod check;
pub mod defaults;
mod raw;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use regex::Regex;
use satchel_common::address::HostPort;
use satchel_common::config::{ConfigError, load};
use satchel_common::logging::Level;

use crate::context::Context;
use crate::exchange::Settings;
use crate::id::NodeName;
use crate::proxy::upload::Buffering;

/// Everything that the sidecar is told. See `conf/sidecar.toml` for what each key means.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the gateway connects.
    pub listen: Vec<SocketAddr>,
    /// Where `/ready` and `/metrics` are served.
    pub admin: Option<SocketAddr>,
    /// Worker threads.
    pub threads: usize,
    /// How much is logged.
    pub log_level: Level,
    /// How long a stop waits for running requests.
    pub stop_timeout: Duration,
    /// How request bodies are taken in.
    pub buffering: Buffering,
    /// The Tomcat beside the sidecar.
    pub tomcat: TomcatConfig,
    /// The web applications.
    pub contexts: Vec<Context>,
    /// The farm's name.
    pub farm: String,
    /// What exchanges need to know.
    pub settings: Settings,
    /// Requests without session work.
    pub ignore_uri: Option<Regex>,
    /// Requests whose response is not held.
    pub unheld_uri: Option<Regex>,
    /// Unknown ids that one address may present in a second.
    pub unknown_ids_per_second: u32,
    /// Bytes of recent sessions that are kept in memory.
    pub cache_size: u64,
    /// The nodes, in the order that all sidecars share.
    pub nodes: Vec<(NodeName, HostPort)>,
    /// For one exchange with a node.
    pub node_timeout: Duration,
    /// What seals records; empty: encryption is off.
    pub keys: Vec<Secret>,
    /// What names records.
    pub index_key: Option<Secret>,
}

/// A key. It is never printed.
#[derive(Clone)]
pub struct Secret(pub [u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// How Tomcat is reached.
#[derive(Debug, Clone)]
pub struct TomcatConfig {
    /// Its HTTP connector.
    pub address: HostPort,
    /// For connecting.
    pub connect_timeout: Duration,
    /// Between two reads of a response.
    pub read_timeout: Duration,
    /// Between two writes of a request.
    pub write_timeout: Duration,
    /// How long an idle connection is kept.
    pub keepalive_timeout: Duration,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Names the file, the key and what is allowed.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        load(path, check::check)
    }
}

#[cfg(test)]
mod tests;

//! The configuration file: read strictly, checked whole, then only valid values.

mod check;
pub mod defaults;
mod keys;
mod raw;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngExt as _;
use satchel_common::address::HostPort;
use satchel_common::config::{ConfigError, load, parse};
use satchel_common::logging::Level;
use satchel_common::trace;

use crate::context::Context;
use crate::exchange::Settings;
use crate::id::NodeName;
use crate::proxy::upload::Buffering;
use crate::record::shown_fingerprint;

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
    /// The HTTP connector of the Tomcat beside the sidecar.
    pub tomcat: HostPort,
    /// The web applications.
    pub contexts: Vec<Context>,
    /// The farm's name.
    pub farm: String,
    /// What exchanges need to know.
    pub settings: Settings,
    /// Unknown ids that one address may present in a second.
    pub unknown_ids_per_second: u32,
    /// Bytes of recent sessions that are kept in memory.
    pub cache_size: u64,
    /// The nodes, in the order that all sidecars share.
    pub nodes: Vec<NodeConfig>,
    /// Nodes that get no session any more.
    pub retired_nodes: Vec<NodeConfig>,
    /// For one exchange with a node.
    pub node_timeout: Duration,
    /// What seals records; empty: encryption is off.
    pub keys: Vec<Secret>,
    /// What names records.
    pub index_key: Option<Secret>,
    /// Where spans are sent; `None`: nowhere.
    pub traces: Option<trace::Config>,
}

pub use keys::load_keys;

/// A key. It is never printed.
#[derive(Clone)]
pub struct Secret(pub [u8; 32]);

impl Secret {
    /// A new one.
    pub fn random() -> Self {
        let mut bytes = [0u8; 32];
        rand::rng().fill(&mut bytes);
        Self(bytes)
    }

    /// As a configuration has it: in base64.
    pub fn encoded(&self) -> String {
        STANDARD.encode(self.0)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// A memcached node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// As in the suffix of a session's cookie.
    pub name: NodeName,
    /// Where it listens.
    pub address: HostPort,
    /// What it speaks.
    pub protocol: Protocol,
}

/// What a memcached node speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// The meta commands of memcached 1.6.
    Meta,
    /// The classic text commands, as every memcached and its proxies do.
    Text,
}

/// Of connections to Tomcat.
#[derive(Debug, Clone)]
pub struct TomcatTimeouts {
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
    /// What cannot be changed while the sidecar runs, as pairs of key and value.
    pub fn fixed(&self) -> Vec<(&'static str, String)> {
        let contexts = format!("{:?}", self.contexts);
        let index_key = self.index_key.as_ref().map(|key| shown_fingerprint(&key.0));
        vec![
            ("listen", format!("{:?}", self.listen)),
            ("admin", format!("{:?}", self.admin)),
            ("threads", self.threads.to_string()),
            ("log_level", format!("{:?}", self.log_level)),
            ("stop_timeout", format!("{:?}", self.stop_timeout)),
            (
                "request_buffering, client_max_body_size or client_body_temp_path",
                format!("{:?}", self.buffering),
            ),
            ("tomcat.address", self.tomcat.to_string()),
            ("[[context]]", contexts),
            ("session.farm", self.farm.clone()),
            ("session.node_suffix", format!("{:?}", self.settings.node_suffix)),
            ("session.unknown_ids_per_second", self.unknown_ids_per_second.to_string()),
            ("session.cache_size", self.cache_size.to_string()),
            ("record.encryption", self.keys.is_empty().to_string()),
            ("record.index_key", format!("{index_key:?}")),
            ("[traces]", format!("{:?}", self.traces)),
        ]
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// Names the file, the key and what is allowed.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        load(path, check::check)
    }

    /// Reads and checks a text; `path` is for errors.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        parse(path, text, check::check)
    }
}

#[cfg(test)]
mod tests;

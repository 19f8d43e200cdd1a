//! The configuration file: read strictly, checked whole, then only valid values.

mod check;
pub mod defaults;
mod raw;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use satchel_common::config::{ConfigError, load};
use satchel_common::logging::Level;

use crate::forwarding::Template;

/// Everything that the gateway is told. See `conf/gateway.toml` for what each key means.
#[derive(Debug, Clone)]
pub struct Config {
    /// Worker threads.
    pub threads: usize,
    /// How much is logged.
    pub log_level: Level,
    /// How long a stop waits for running requests.
    pub stop_timeout: Duration,
    /// Where requests are logged.
    pub access_log: AccessLog,
    /// The groups of servers.
    pub upstreams: Vec<UpstreamConfig>,
    /// The listeners with what they do.
    pub servers: Vec<ServerConfig>,
}

/// Where requests are logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To a file, appended.
    File(PathBuf),
}

/// A group of servers.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// Its name.
    pub name: String,
    /// How long an idle connection is kept.
    pub keepalive_timeout: Duration,
    /// Every address of every server, with the server's weight.
    pub peers: Vec<(SocketAddr, u16)>,
}

/// A listener with what it does.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// Index into [`Config::upstreams`].
    pub upstream: usize,
    /// Whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Bytes of a request's body; `None`: any.
    pub client_max_body_size: Option<u64>,
    /// Bytes of a request line or header field.
    pub large_client_header_size: usize,
    /// Bytes of all header fields with the request line.
    pub client_header_size: usize,
    /// Between two reads of a request's body.
    pub client_body_timeout: Duration,
    /// Between two writes of a response.
    pub send_timeout: Duration,
    /// How long an idle connection of a client is kept.
    pub keepalive_timeout: Duration,
    /// Requests on one connection.
    pub keepalive_requests: u32,
    /// For connecting to a server.
    pub proxy_connect_timeout: Duration,
    /// Between two reads of a response.
    pub proxy_read_timeout: Duration,
    /// Between two writes of a request.
    pub proxy_send_timeout: Duration,
    /// Headers that are set on the request.
    pub proxy_set_header: Vec<(http::HeaderName, Template)>,
}

impl Config {
    /// Reads and checks a file. Names of servers are resolved.
    ///
    /// # Errors
    /// Names the file, the key and what is allowed.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        load(path, check::check)
    }
}

#[cfg(test)]
mod tests;

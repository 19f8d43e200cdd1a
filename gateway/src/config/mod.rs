//! The configuration file: read strictly, checked whole, then only valid values.

mod block;
mod check;
pub mod defaults;
mod limits;
mod listen;
mod place;
pub(crate) mod raw;
mod replacement;
mod settings;
mod upstream;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use satchel_common::config::{ConfigError, load, parse};
use satchel_common::logging::Level;
use satchel_common::status::Token;
use satchel_common::trace;

pub(crate) use block::is_redirect;
pub(crate) use limits::rate_limit;
pub use limits::{ConnectionLimit, RateLimit};
pub use listen::Listen;
pub use raw::CheckKind;
pub(crate) use replacement::replacement;
pub use settings::{AddHeader, Compression, NextUpstream, Page, Redirects, Settings, TempFiles};
pub use upstream::{CheckConfig, PeerConfig, Source, UpstreamConfig};

use crate::routing::{PathMatch, ServerName};
use crate::template::Template;
use crate::tls::Certificate;

/// Everything that the gateway is told. See `conf/gateway.toml` for what each key means.
#[derive(Debug, Clone)]
pub struct Config {
    /// Worker threads.
    pub threads: usize,
    /// How much is logged.
    pub log_level: Level,
    /// How long a stop waits for running requests.
    pub stop_timeout: Duration,
    /// Where metrics and status are served.
    pub admin: Option<SocketAddr>,
    /// What lets somebody drain servers there; `None`: nobody can.
    pub admin_token: Option<AdminToken>,
    /// Where a new process takes the listeners over.
    pub upgrade_sock: PathBuf,
    /// Where requests are logged.
    pub access_log: AccessLog,
    /// How names of servers are resolved.
    pub resolver: Resolver,
    /// Where spans are sent; `None`: nowhere.
    pub traces: Option<trace::Config>,
    /// The groups of servers.
    pub upstreams: Vec<UpstreamConfig>,
    /// The servers in the order of the file.
    pub servers: Vec<ServerConfig>,
}

/// What lets somebody change something at the admin address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// The secret.
    pub token: Token,
    /// Where it was read.
    pub file: PathBuf,
}

/// Where requests are logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Where.
    pub target: LogTarget,
    /// How.
    pub format: LogFormat,
}

/// Where requests are logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To a file, appended.
    File(PathBuf),
}

/// What a line of the access log looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFormat {
    /// By a template, as nginx's `log_format`.
    Template(Template),
    /// One object a line.
    Json,
}

/// How names of servers are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    /// Name servers; none: the system's.
    pub nameservers: Vec<SocketAddr>,
    /// In place of what answers say about how long they hold.
    pub valid: Option<Duration>,
}

/// A virtual server.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where it listens.
    pub listen: Vec<Listen>,
    /// For which hosts.
    pub names: Vec<ServerName>,
    /// Its certificate.
    pub certificate: Option<Certificate>,
    /// Whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Bytes of a request line or header field.
    pub large_client_header_size: usize,
    /// Bytes of all header fields with the request line.
    pub client_header_size: usize,
    /// For a request's header.
    pub client_header_timeout: Duration,
    /// How long an idle connection of a client is kept.
    pub keepalive_timeout: Duration,
    /// Requests on one connection.
    pub keepalive_requests: u32,
    /// What is done with which paths.
    pub locations: Vec<Arc<Location>>,
}

impl ServerConfig {
    /// Its first name, for logs and counters; `_` without one.
    pub fn name(&self) -> String {
        self.names.first().map(ServerName::text).filter(|name| !name.is_empty()).unwrap_or_else(|| "_".into())
    }
}

/// What is done with some paths.
#[derive(Debug, Clone)]
pub struct Location {
    /// Which.
    pub path: PathMatch,
    /// What.
    pub action: Action,
    /// How.
    pub settings: Settings,
}

/// What is done with a request.
#[derive(Debug, Clone)]
pub enum Action {
    /// It is passed on.
    Proxy {
        /// Index into [`Config::upstreams`].
        upstream: usize,
        /// What the matched prefix is replaced by.
        uri: Option<String>,
    },
    /// It is answered here.
    Return {
        /// With this status.
        status: u16,
        /// The address of a redirect, or the text of an answer.
        text: Option<Template>,
    },
}

impl Config {
    /// Reads and checks a file. Names of servers are resolved.
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

    /// The same of a file that is read already.
    ///
    /// # Errors
    /// Names the key and what is allowed.
    pub(crate) fn of_raw(file: raw::File) -> Result<Self, satchel_common::config::Invalid> {
        check::check(file)
    }
}

#[cfg(test)]
mod tests;

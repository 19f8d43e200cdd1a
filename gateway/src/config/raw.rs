//! The file as it is written: every key that exists, nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use satchel_common::logging::Level;
use satchel_common::units::{Size, Time};
use serde::Deserialize;

use crate::balancer::Method;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub threads: Option<usize>,
    #[serde(default)]
    pub log_level: Level,
    pub stop_timeout: Option<Time>,
    pub admin: Option<String>,
    pub admin_token_file: Option<PathBuf>,
    pub upgrade_sock: Option<String>,
    #[serde(default)]
    pub access_log: AccessLog,
    #[serde(default)]
    pub resolver: Resolver,
    pub traces: Option<satchel_common::trace::Raw>,
    #[serde(default)]
    pub upstream: Vec<Upstream>,
    /// What holds for every server that does not say otherwise.
    #[serde(default)]
    pub http: Block,
    #[serde(default)]
    pub server: Vec<Block>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    pub path: Option<String>,
    pub format: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolver {
    #[serde(default)]
    pub nameservers: Vec<String>,
    pub valid: Option<Time>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    pub name: String,
    #[serde(default)]
    pub method: Method,
    pub keepalive_timeout: Option<Time>,
    pub queue: Option<u32>,
    pub queue_timeout: Option<Time>,
    pub retry_budget: Option<u32>,
    pub file: Option<String>,
    pub check: Option<Check>,
    #[serde(default)]
    pub server: Vec<Peer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    #[serde(rename = "type", default)]
    pub kind: CheckKind,
    pub uri: Option<String>,
    pub host: Option<String>,
    pub interval: Option<Time>,
    pub timeout: Option<Time>,
    pub fails: Option<u32>,
    pub passes: Option<u32>,
    #[serde(default)]
    pub status: Vec<u16>,
    pub body: Option<String>,
    pub port: Option<u16>,
}

/// How servers are checked.
#[derive(Debug, Default, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// By an answer.
    #[default]
    Http,
    /// By a connection.
    Tcp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    pub address: String,
    pub weight: Option<i64>,
    pub max_fails: Option<u32>,
    pub fail_timeout: Option<Time>,
    pub max_conns: Option<u32>,
    #[serde(default)]
    pub backup: bool,
    #[serde(default)]
    pub down: bool,
    #[serde(default)]
    pub drain: bool,
    pub slow_start: Option<Time>,
    pub admin_port: Option<u16>,
    #[serde(default)]
    pub resolve: bool,
    pub service: Option<String>,
}

/// `[http]`, `[[server]]` and `[[server.location]]`, as in nginx: most keys are allowed in each, and the innermost counts. `block.rs`
/// says which are not.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    // Of a server.
    #[serde(default)]
    pub listen: Vec<String>,
    #[serde(default)]
    pub server_name: Vec<String>,
    pub ssl_certificate: Option<String>,
    pub ssl_certificate_key: Option<String>,
    #[serde(default)]
    pub location: Vec<Block>,
    #[serde(default)]
    pub trusted_proxies: Vec<String>,
    pub client_header_timeout: Option<Time>,
    pub large_client_header_size: Option<Size>,
    pub client_header_size: Option<Size>,
    pub keepalive_timeout: Option<Time>,
    pub keepalive_requests: Option<u32>,

    // Of a location.
    pub path: Option<String>,
    pub proxy_pass: Option<String>,
    #[serde(rename = "return")]
    pub returns: Option<String>,

    // Of each.
    pub client_max_body_size: Option<Size>,
    pub client_body_timeout: Option<Time>,
    pub send_timeout: Option<Time>,
    pub proxy_connect_timeout: Option<Time>,
    pub proxy_read_timeout: Option<Time>,
    pub proxy_send_timeout: Option<Time>,
    pub proxy_next_upstream: Option<Vec<String>>,
    pub proxy_next_upstream_tries: Option<u32>,
    pub proxy_next_upstream_timeout: Option<Time>,
    pub proxy_buffering: Option<bool>,
    pub proxy_temp_path: Option<String>,
    pub proxy_max_temp_file_size: Option<Size>,
    pub proxy_set_header: Option<BTreeMap<String, String>>,
    pub proxy_hide_header: Option<Vec<String>>,
    pub proxy_redirect: Option<Vec<[String; 2]>>,
    pub proxy_cookie_path: Option<Vec<[String; 2]>>,
    pub proxy_intercept_errors: Option<bool>,
    pub add_header: Option<BTreeMap<String, String>>,
    pub error_page: Option<BTreeMap<String, String>>,
    pub charset: Option<String>,
    pub gzip: Option<bool>,
    pub brotli: Option<bool>,
    pub zstd: Option<bool>,
    pub gzip_types: Option<Vec<String>>,
    pub gzip_min_length: Option<Size>,
    pub gzip_comp_level: Option<u32>,
    pub limit_req: Option<String>,
    pub limit_conn: Option<LimitConn>,
    pub limit_req_status: Option<u16>,
    pub limit_conn_status: Option<u16>,
    pub access_log: Option<bool>,
}

/// Most write a number alone.
#[derive(Deserialize)]
#[serde(untagged, expecting = "write a number, as 10, or \"10 zone=NAME\"")]
pub enum LimitConn {
    Number(u32),
    Text(String),
}

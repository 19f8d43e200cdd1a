//! The file as it is written: every key that exists, nothing else.

use std::collections::BTreeMap;

use ipnet::IpNet;
use satchel_common::address::HostPort;
use satchel_common::logging::Level;
use satchel_common::units::{Size, Time};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub threads: Option<usize>,
    #[serde(default)]
    pub log_level: Level,
    pub stop_timeout: Option<Time>,
    #[serde(default)]
    pub access_log: AccessLog,
    #[serde(default)]
    pub upstream: Vec<Upstream>,
    #[serde(default)]
    pub server: Vec<Server>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    pub path: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    pub name: String,
    pub keepalive_timeout: Option<Time>,
    #[serde(default)]
    pub server: Vec<Peer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    pub address: HostPort,
    pub weight: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub listen: Vec<String>,
    pub upstream: String,
    #[serde(default)]
    pub trusted_proxies: Vec<IpNet>,
    pub client_max_body_size: Option<Size>,
    pub large_client_header_size: Option<Size>,
    pub client_header_size: Option<Size>,
    pub client_body_timeout: Option<Time>,
    pub send_timeout: Option<Time>,
    pub keepalive_timeout: Option<Time>,
    pub keepalive_requests: Option<u32>,
    pub proxy_connect_timeout: Option<Time>,
    pub proxy_read_timeout: Option<Time>,
    pub proxy_send_timeout: Option<Time>,
    #[serde(default)]
    pub proxy_set_header: BTreeMap<String, String>,
}

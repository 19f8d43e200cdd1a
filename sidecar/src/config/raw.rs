//! The file as it is written: every key that exists, nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use satchel_common::address::HostPort;
use satchel_common::logging::Level;
use satchel_common::units::{Size, Time};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub listen: Listen,
    pub admin: Option<String>,
    pub threads: Option<usize>,
    #[serde(default)]
    pub log_level: Level,
    pub stop_timeout: Option<Time>,
    pub request_buffering: Option<bool>,
    pub client_max_body_size: Option<Size>,
    pub client_body_temp_path: Option<PathBuf>,
    pub tomcat: Tomcat,
    #[serde(default)]
    pub context: Vec<Context>,
    #[serde(default)]
    pub session: Session,
    pub memcached: Memcached,
    #[serde(default)]
    pub record: Record,
    pub traces: Option<satchel_common::trace::Raw>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected an address in quotes, or a list of them")]
pub enum Listen {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tomcat {
    pub address: HostPort,
    pub connect_timeout: Option<Time>,
    pub read_timeout: Option<Time>,
    pub write_timeout: Option<Time>,
    pub keepalive_timeout: Option<Time>,
    pub max_request_time: Option<Time>,
    pub abandon_time: Option<Time>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    pub path: String,
    pub directory: PathBuf,
    pub cookie_name: Option<String>,
    #[serde(default)]
    pub hosts: Vec<String>,
    pub session_cookie_path: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    pub farm: Option<String>,
    #[serde(default)]
    pub node_suffix: NodeSuffix,
    pub backup_timeout: Option<Time>,
    pub locking: Option<String>,
    pub lock_timeout: Option<Time>,
    #[serde(default)]
    pub on_lock_timeout: OnLockTimeout,
    #[serde(default)]
    pub on_store_failure: OnStoreFailure,
    pub outbox_size: Option<Size>,
    pub readonly_uri: Option<String>,
    pub ignore_uri: Option<String>,
    pub unheld_uri: Option<String>,
    pub unsaved_header: Option<String>,
    pub unknown_ids_per_second: Option<u32>,
    pub max_session_size: Option<Size>,
    pub cache_size: Option<Size>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeSuffix {
    #[default]
    Cookie,
    Visible,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLockTimeout {
    #[default]
    Fail,
    Proceed,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnStoreFailure {
    #[default]
    Fail,
    Proceed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memcached {
    pub copies: Option<usize>,
    pub nodes: String,
    pub retired_nodes: Option<String>,
    pub timeout: Option<Time>,
    #[serde(default)]
    pub node: BTreeMap<String, Node>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    #[serde(default)]
    pub protocol: Protocol,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    Meta,
    Text,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    #[serde(default)]
    pub encryption: Encryption,
    #[serde(default)]
    pub keys: Vec<Secret>,
    pub index_key: Option<Secret>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    #[default]
    On,
    Off,
}

/// 32 bytes in base64. Has no `Debug`: a secret is never printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

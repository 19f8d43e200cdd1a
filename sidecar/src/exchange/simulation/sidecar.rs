//! A sidecar as `run.rs` puts it together, without Tomcat and files, and with a network of ours.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use satchel_common::trace::Tracing;

use super::memory::{Gate, Network, Shared};
use crate::agreement::Agreed;
use crate::cache::Cache;
use crate::config::TomcatTimeouts;
use crate::context::{Context, Contexts};
use crate::exchange::access::{Locking, OnLockTimeout};
use crate::exchange::late::Late;
use crate::exchange::outbox::Outbox;
use crate::exchange::watch::Limits;
use crate::exchange::{Core, NodeSuffix, OnStoreFailure, Settings};
use crate::id::NodeName;
use crate::lock::Locks;
use crate::memcached::nodes::NodeIndex;
use crate::memcached::{Node, Nodes};
use crate::metrics::Metrics;
use crate::probe::Tomcat;
use crate::record::{Farm, Keys};

/// A sidecar, and whether it is stopped.
#[derive(Clone)]
pub struct Sidecar {
    pub core: Arc<Core>,
    pub gate: Gate,
}

pub fn name(node: NodeIndex) -> NodeName {
    NodeName::parse(&format!("n{}", node + 1)).unwrap()
}

/// `number`: what tells its network from others'.
pub fn sidecar(memories: &[Shared], number: u64) -> Sidecar {
    let gate = Gate::new();
    let metrics = Arc::new(Metrics::default());
    let nodes = memories.iter().enumerate().map(|(node, memory)| {
        let network =
            Network { memory: memory.clone(), from: number, gate: gate.clone(), known: Mutex::default() };
        (name(node), Arc::new(network) as Arc<dyn Node>)
    });
    let nodes = Nodes::new(nodes.collect(), Vec::new());
    let farm = Farm::new("test", None);
    let (first, away_known) = tokio::sync::watch::channel(false);
    tokio::spawn(nodes.clone().exchange_away(farm.clone(), first));
    let locks = Locks::new(nodes.clone(), metrics.clone());
    tokio::spawn(locks.clone().renew());
    let context = Context {
        path: String::new(),
        hosts: Vec::new(),
        shares_cookie: false,
        directory: "/nowhere".into(),
        cookie_name: "JSESSIONID".into(),
        param_names: vec!["jsessionid".into()],
    };
    let core = Core {
        contexts: Contexts::new(vec![context]),
        directories: Vec::new(),
        farm,
        away_known,
        agreed: Agreed::default(),
        keys: ArcSwap::from_pointee(Keys::new(&[[7; 32]], 1 << 20)),
        nodes,
        locks,
        turns: Arc::default(),
        cache: Cache::new(1 << 20),
        metrics,
        tracing: Tracing::default(),
        tomcat: Tomcat { address: "127.0.0.1:1".parse().unwrap() },
        settings: ArcSwap::from_pointee(settings(memories.len().min(2))),
        suspects: Mutex::default(),
        outbox: Outbox::default(),
        leftovers: Arc::default(),
        late: Late::default(),
        learned: Default::default(),
        gathering: Default::default(),
        leaving: Default::default(),
    };
    let core = Arc::new(core);
    tokio::spawn(core.clone().deliver());
    Sidecar { core, gate }
}

fn settings(copies: usize) -> Settings {
    Settings {
        node_suffix: NodeSuffix::Cookie,
        locking: Locking::All,
        ignore_uri: None,
        unheld_uri: None,
        unsaved_header: None,
        readonly_uri: None,
        on_lock_timeout: OnLockTimeout::Fail,
        on_store_failure: OnStoreFailure::Fail,
        outbox_size: 1 << 20,
        copies,
        lock_timeout: Duration::from_secs(30),
        backup_timeout: None,
        tomcat: TomcatTimeouts {
            connect_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(600),
            write_timeout: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(15),
        },
        limits: Limits { max_request_time: Duration::from_secs(600), abandon_time: Duration::from_secs(5) },
        max_session_size: 1 << 20,
    }
}

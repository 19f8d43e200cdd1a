//! SIGHUP: the configuration is read again. What may change while requests run is changed; a file that is wrong, or that changes
//! something else, changes nothing.
//!
//! New nodes and keys are known at once and used a little later, when the other sidecars can know them too.

use std::path::Path;
use std::sync::Arc;

use satchel_common::signals::listen;
use tokio::signal::unix::SignalKind;
use tokio::time::sleep;

use crate::agreement::{Agreement, KNOWN_AFTER};
use crate::config::{Config, NodeConfig, Secret};
use crate::exchange::Core;
use crate::memcached::nodes::Named;
use crate::record::{Keys, shown_fingerprint};
use crate::run::{connect, keys};

/// Reloads `path` at every SIGHUP, for ever.
pub async fn on_sighup(core: Arc<Core>, path: &Path, mut config: Config) {
    let mut hangup = match listen(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            log::error!("Cannot listen for SIGHUP: {error}");
            return std::future::pending().await;
        }
    };
    while hangup.recv().await.is_some() {
        match Config::load(path).map_err(|error| error.to_string()).and_then(|new| changeable(&config, new)) {
            Ok(new) => {
                apply(&core, &config, &new).await;
                config = new;
                log::info!("Configuration reloaded");
            }
            Err(error) => log::error!("Configuration not reloaded, everything stays as it was: {error}"),
        }
    }
}

/// The new configuration, if all that it changes can be changed.
fn changeable(old: &Config, new: Config) -> Result<Config, String> {
    for ((key, before), (_, after)) in old.fixed().into_iter().zip(new.fixed()) {
        if before != after {
            return Err(format!("{key} cannot be changed while the sidecar runs; restart it"));
        }
    }
    for node in new.nodes.iter().chain(&new.retired_nodes) {
        let same = |before: &&NodeConfig| before.name == node.name && before.address != node.address;
        if let Some(before) = old.nodes.iter().chain(&old.retired_nodes).find(same) {
            // Until all have reloaded, a session would be locked on two servers.
            return Err(format!(
                "memcached.nodes: node {} was at {} and is to be at {}; give it a new name there, or use a host name, which is resolved at \
                 every connect",
                node.name, before.address, node.address
            ));
        }
    }
    if let Some(first) = new.keys.first()
        && !old.keys.is_empty()
        && !old.keys.iter().any(|key| key.0 == first.0)
    {
        return Err(format!(
            "record.keys: the key that is to seal from now on ({}) is new, and other sidecars could not open what it seals; add it behind \
             the present one on every sidecar first, then put it in front",
            shown_fingerprint(&first.0)
        ));
    }
    if let Some(sealing) = old.keys.first()
        && !new.keys.iter().any(|key| key.0 == sealing.0)
    {
        return Err(format!(
            "record.keys: the key that has sealed until now ({}) is gone, and every session with it; leave it in the list, behind the new \
             one, until the sessions have expired",
            shown_fingerprint(&sealing.0)
        ));
    }
    Ok(new)
}

async fn apply(core: &Core, old: &Config, new: &Config) {
    core.settings.store(Arc::new(new.settings.clone()));
    core.nodes.know(changed_nodes(old, new));
    // Records are sealed with the old key until everybody can open the new one's.
    let mut all: Vec<Secret> = old.keys.first().cloned().into_iter().collect();
    all.extend(new.keys.iter().cloned());
    core.keys.store(Arc::new(keys(&all, &new.settings)));
    let known: Vec<_> = core.nodes.all().map(|node| core.nodes.name(node)).collect();
    if core.agreed.change(Agreement::of(new).with_retired_of(&core.nodes)) {
        log::info!(
            "New nodes or keys: they are used in {} s, when the other sidecars can know them",
            KNOWN_AFTER.as_secs()
        );
        sleep(KNOWN_AFTER).await;
    }
    let names: Vec<_> = new.nodes.iter().map(|node| node.name.clone()).collect();
    core.nodes.place(&names);
    for name in known.iter().filter(|name| !names.contains(name)) {
        if old.nodes.iter().any(|node| node.name == *name) {
            log::warn!(
                "memcached node {name} is retired: it gets no session any more, and is read until those that it has have moved or \
                 expired. To restart a sidecar before that, name it in memcached.retired_nodes"
            );
        }
    }
    core.keys.store(Arc::<Keys>::new(keys(&new.keys, &new.settings)));
}

/// Nodes that are new, or reached in another way than before.
fn changed_nodes(old: &Config, new: &Config) -> Vec<Named> {
    let before = |node: &NodeConfig| {
        old.node_timeout == new.node_timeout
            && old.nodes.iter().chain(&old.retired_nodes).any(|old| old == node)
    };
    let all = new.nodes.iter().chain(&new.retired_nodes);
    all.filter(|node| !before(node))
        .map(|node| (node.name.clone(), connect(node, new.node_timeout)))
        .collect()
}

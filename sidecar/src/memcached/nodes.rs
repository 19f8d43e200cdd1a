//! The configured nodes in their order, and which of them are up.
//!
//! Only refused, reset and timed-out connections make a node down; an error answer never does, or one user's
//! huge session would take a node from everybody (R23). A timeout is confirmed on a fresh connection first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::node::{Answers, Command, Incarnation, Node, NodeError};
use crate::id::NodeName;
use crate::metrics::Metrics;

/// Between two probes of a node that is down: doubled from the first to the last.
const PROBE_FIRST: Duration = Duration::from_millis(100);
const PROBE_LAST: Duration = Duration::from_secs(5);

/// Index of a node in configuration order.
pub type NodeIndex = usize;

/// All nodes.
#[derive(Clone)]
pub struct Nodes(Arc<Inner>);

struct Inner {
    entries: Vec<Entry>,
    metrics: Arc<Metrics>,
}

struct Entry {
    name: NodeName,
    node: Box<dyn Node>,
    up: AtomicBool,
}

impl Nodes {
    /// In configuration order, which must be the same on every sidecar.
    pub fn new(nodes: Vec<(NodeName, Box<dyn Node>)>, metrics: Arc<Metrics>) -> Self {
        let entries =
            nodes.into_iter().map(|(name, node)| Entry { name, node, up: AtomicBool::new(true) }).collect();
        Self(Arc::new(Inner { entries, metrics }))
    }

    /// The node called `name`.
    pub fn find(&self, name: &NodeName) -> Option<NodeIndex> {
        self.0.entries.iter().position(|entry| entry.name == *name)
    }

    /// The name of a node.
    pub fn name(&self, index: NodeIndex) -> &NodeName {
        &self.0.entries[index].name
    }

    /// All nodes in ring order from `start` on.
    pub fn ring(&self, start: NodeIndex) -> impl Iterator<Item = NodeIndex> + use<> {
        let len = self.0.entries.len();
        (0..len).map(move |step| (start + step) % len)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether there are none; the configuration refuses that.
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// Whether a node is believed to be up.
    pub fn is_up(&self, index: NodeIndex) -> bool {
        self.0.entries[index].up.load(Ordering::Relaxed)
    }

    /// The largest item that a node takes, in bytes; zero while unknown.
    pub fn item_size_max(&self, index: NodeIndex) -> usize {
        self.0.entries[index].node.item_size_max()
    }

    /// Runs a batch on a node.
    ///
    /// # Errors
    /// At once when the node is down, so that no request waits for it.
    pub async fn run(&self, index: NodeIndex, batch: &[Command]) -> Result<Answers, NodeError> {
        self.run_in(index, batch, None).await
    }

    /// The same, in one life of the node only: a cas of another life means nothing (R7).
    ///
    /// # Errors
    /// [`NodeError::Reborn`] if the node was restarted since.
    pub async fn run_in(
        &self,
        index: NodeIndex,
        batch: &[Command],
        only: Option<Incarnation>,
    ) -> Result<Answers, NodeError> {
        if !self.is_up(index) {
            return Err(NodeError::Down);
        }
        let result = self.0.entries[index].node.run(batch, only).await;
        match &result {
            Ok(_)
            | Err(NodeError::Down | NodeError::Reborn | NodeError::Refused(_) | NodeError::Protocol(_)) => {}
            Err(NodeError::Unreachable(_)) => self.mark_down(index),
            Err(NodeError::Timeout) => self.confirm(index),
        }
        if let Err(error) = &result {
            self.0.metrics.node_errors.add();
            log::warn!("memcached node {}: {error}", self.name(index));
        }
        result
    }

    fn mark_down(&self, index: NodeIndex) {
        if self.0.entries[index].up.swap(false, Ordering::Relaxed) {
            log::warn!("memcached node {} is down", self.name(index));
            let nodes = self.clone();
            tokio::spawn(async move { nodes.bring_back(index).await });
        }
    }

    /// After a timeout one probe on a fresh connection decides.
    fn confirm(&self, index: NodeIndex) {
        let nodes = self.clone();
        tokio::spawn(async move {
            if let Err(NodeError::Timeout | NodeError::Unreachable(_)) =
                nodes.0.entries[index].node.probe().await
            {
                nodes.mark_down(index);
            }
        });
    }

    async fn bring_back(&self, index: NodeIndex) {
        let mut pause = PROBE_FIRST;
        loop {
            tokio::time::sleep(pause).await;
            if self.0.entries[index].node.probe().await.is_ok() {
                self.0.entries[index].up.store(true, Ordering::Relaxed);
                log::info!("memcached node {} is up", self.name(index));
                return;
            }
            pause = (pause * 2).min(PROBE_LAST);
        }
    }
}

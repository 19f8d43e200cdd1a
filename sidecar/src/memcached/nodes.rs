//! The configured nodes in their order, and which of them are used ([`health`](super::health) decides that).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::health::{Event, Health};
use super::node::{Answers, Command, Incarnation, Node, NodeError};
use crate::id::NodeName;
use crate::metrics::Metrics;

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
    health: Mutex<Health>,
}

impl Nodes {
    /// In configuration order, which must be the same on every sidecar.
    pub fn new(nodes: Vec<(NodeName, Box<dyn Node>)>, metrics: Arc<Metrics>) -> Self {
        let entries =
            nodes.into_iter().map(|(name, node)| Entry { name, node, health: Mutex::default() }).collect();
        Self(Arc::new(Inner { entries, metrics }))
    }

    /// The node called `name`.
    pub fn find(&self, name: &NodeName) -> Option<NodeIndex> {
        self.0.entries.iter().position(|entry| entry.name == *name)
    }

    /// Whether one is called `name`.
    pub fn knows(&self, name: &NodeName) -> bool {
        self.find(name).is_some()
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
        self.health(index).is_used()
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
        self.send(index, batch, only).await
    }

    /// The same, also when the node is down: for what was already sent to it and got no answer.
    ///
    /// # Errors
    /// As [`NodeError`].
    pub async fn run_anyway(&self, index: NodeIndex, batch: &[Command]) -> Result<Answers, NodeError> {
        self.send(index, batch, None).await
    }

    async fn send(
        &self,
        index: NodeIndex,
        batch: &[Command],
        only: Option<Incarnation>,
    ) -> Result<Answers, NodeError> {
        let result = self.0.entries[index].node.run(batch, only).await;
        match &result {
            Ok(_)
            | Err(NodeError::Down | NodeError::Reborn | NodeError::Refused(_) | NodeError::Protocol(_)) => {}
            Err(NodeError::Unreachable(_)) => self.tell(index, Event::Cut),
            Err(NodeError::Timeout) => self.tell(index, Event::TimedOut),
        }
        if let Err(error) = &result {
            self.0.metrics.node_errors.add();
            log::warn!("memcached node {}: {error}", self.name(index));
        }
        result
    }

    fn tell(&self, index: NodeIndex, event: Event) {
        let (before, (after, probe)) = {
            let mut health = self.health(index);
            let before = *health;
            let next = before.on(event);
            *health = next.0;
            (before, next)
        };
        match (before.is_used(), after.is_used()) {
            (true, false) => log::warn!("memcached node {} is down", self.name(index)),
            (false, true) => log::info!("memcached node {} is up", self.name(index)),
            _ => {}
        }
        if let Some(pause) = probe {
            let nodes = self.clone();
            tokio::spawn(async move { nodes.probe(index, pause).await });
        }
    }

    /// Any answer is one: only a node that can't be reached is down.
    async fn probe(&self, index: NodeIndex, pause: Duration) {
        tokio::time::sleep(pause).await;
        let failed = matches!(
            self.0.entries[index].node.probe().await,
            Err(NodeError::Timeout | NodeError::Unreachable(_))
        );
        self.tell(index, if failed { Event::ProbeFailed } else { Event::ProbeAnswered });
    }

    fn health(&self, index: NodeIndex) -> std::sync::MutexGuard<'_, Health> {
        self.0.entries[index].health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

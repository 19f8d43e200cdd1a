//! Old copies on nodes where a session does not belong any more.
//!
//! While a node is away a session's second copy is made on the next one, and the session may end; when the node is back it has an old
//! copy, or that third one grows old. It must not outlive the two that know better: were these restarted one after the other, a
//! session that nobody used between would come back as it once was, and one that had ended would live again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Core;
use crate::cache::{There, Version};
use crate::memcached::nodes::NodeIndex;
use crate::memcached::{Command, NodeError, Nodes, Reply};
use crate::metrics::Metrics;
use crate::record::{RecordKey, flags};

/// Of how many sessions it is remembered, for one node that is away, that its copy is old: about 10 MiB.
const REMEMBERED: usize = 65_536;
/// Copies that are looked at in one round trip.
const BATCH: usize = 64;

/// Records by their key in memcached, with the flags that are the newest that is known.
type Newest = BTreeMap<String, u32>;

/// What is to be looked at on nodes that are away, once they are back.
#[derive(Debug, Default)]
pub struct Leftovers(Mutex<BTreeMap<NodeIndex, Newest>>);

impl Leftovers {
    /// `false`: there is no room.
    fn note(&self, node: NodeIndex, key: String, newest: u32) -> bool {
        let mut nodes = self.nodes();
        let noted = nodes.entry(node).or_default();
        let full = noted.len() >= REMEMBERED;
        match noted.get_mut(&key) {
            Some(before) if flags::is_newer(*before, newest) => {}
            Some(before) => *before = newest,
            None if full => return false,
            None => drop(noted.insert(key, newest)),
        }
        true
    }

    /// Some that are to be looked at on a node that is back. They are noted no more.
    fn take(&self, is_up: impl Fn(NodeIndex) -> bool) -> Option<(NodeIndex, Newest)> {
        let mut nodes = self.nodes();
        let node = nodes.keys().copied().find(|node| is_up(*node))?;
        let mut taken = nodes.remove(&node)?;
        if let Some(from) = taken.keys().nth(BATCH).cloned() {
            nodes.insert(node, taken.split_off(&from));
        }
        Some((node, taken))
    }

    /// Deletes the copies on a node that are older than these. `false`: it can't be asked, and they are noted.
    async fn clear(&self, nodes: &Nodes, metrics: &Metrics, node: NodeIndex, older: Newest) -> bool {
        let dropped =
            if nodes.is_up(node) { drop_older(nodes, node, &older).await } else { Err(NodeError::Down) };
        if dropped.is_err() {
            for (key, newest) in older {
                if !self.note(node, key, newest) {
                    metrics.leftovers_forgotten.add();
                }
            }
        }
        dropped.is_ok()
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<NodeIndex, Newest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Deletes, in the background, what is older than `version` on nodes where that is not; on those that are away, when they are
    /// back. Without a node that has been away there is nothing, and nothing is asked.
    pub(super) fn drop_leftovers(&self, key: &RecordKey, version: &Version) {
        if !self.nodes.one_was_away() {
            return;
        }
        let belongs = [Some(version.primary.node), version.backup.map(|place| place.node)];
        // Of two with one counter the farm decides when it reads them (R18).
        let older = Newest::from([(key.record(), flags::of(version.counter, 0))]);
        let (leftovers, nodes, metrics) = (self.leftovers.clone(), self.nodes.clone(), self.metrics.clone());
        tokio::spawn(async move {
            for node in nodes.all().filter(|node| !belongs.contains(&Some(*node))) {
                leftovers.clear(&nodes, &metrics, node, older.clone()).await;
            }
        });
    }

    /// Deletes what was noted for nodes that are back.
    pub(super) async fn drop_noted_leftovers(&self) {
        while let Some((node, older)) = self.leftovers.take(|node| self.nodes.is_up(node)) {
            if !self.leftovers.clear(&self.nodes, &self.metrics, node, older).await {
                return;
            }
        }
    }
}

async fn drop_older(nodes: &Nodes, node: NodeIndex, older: &Newest) -> Result<(), NodeError> {
    let gets: Vec<_> = older.keys().map(|key| Command::Get { key: key.clone(), value: false }).collect();
    let answers = nodes.run(node, &gets).await?;
    for ((key, newest), reply) in older.iter().zip(&answers.replies) {
        if let Reply::Hit(item) = reply
            && flags::is_newer(*newest, item.flags)
        {
            let there = There { incarnation: answers.incarnation, cas: item.cas };
            drop_leftover(nodes, node, key.clone(), there).await?;
        }
    }
    Ok(())
}

/// Deletes one, if it is still what was seen there.
///
/// # Errors
/// It is not known whether it is deleted.
pub(super) async fn drop_leftover(
    nodes: &Nodes,
    node: NodeIndex,
    key: String,
    there: There,
) -> Result<(), NodeError> {
    let delete = Command::Delete { key, cas: Some(there.cas) };
    match nodes.run_in(node, &[delete], Some(there.incarnation)).await {
        // What was seen is gone.
        Ok(_) | Err(NodeError::Reborn) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r24_what_is_noted_is_bounded_and_the_newest_of_each_session() {
        let leftovers = Leftovers::default();
        let key = |n: usize| format!("s{n:06}");
        assert!((0..REMEMBERED).all(|n| leftovers.note(1, key(n), flags::of(5, 0))));
        assert!(!leftovers.note(1, key(REMEMBERED), flags::of(5, 0)), "no room");
        assert!(leftovers.note(2, key(0), flags::of(5, 0)), "another node");
        assert!(leftovers.note(1, key(0), flags::of(7, 0)) && leftovers.note(1, key(0), flags::of(6, 0)));
        assert!(leftovers.take(|_| false).is_none(), "all are away");
        let (mut seen, mut batches) = (Newest::new(), 0);
        while let Some((node, batch)) = leftovers.take(|node| node == 1) {
            assert!(node == 1 && (1..=BATCH).contains(&batch.len()));
            seen.extend(batch);
            batches += 1;
        }
        assert_eq!((seen.len(), batches), (REMEMBERED, REMEMBERED.div_ceil(BATCH)));
        assert_eq!((seen[&key(0)], seen[&key(1)]), (flags::of(7, 0), flags::of(5, 0)));
        assert!(leftovers.take(|node| node == 2).is_some_and(|(_, batch)| batch.len() == 1));
    }
}

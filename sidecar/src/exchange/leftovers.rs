//! Old copies on nodes where a session does not belong any more.
//!
//! While a node is away a session's second copy is made on the next one; when the node is back it has its copies where they belong
//! again, and that third one grows old. It must not outlive the two that know better: were these restarted one after the other, a
//! session that nobody used between would come back as it once was, and one that had ended would live again.

use super::Core;
use crate::cache::{There, Version};
use crate::memcached::nodes::NodeIndex;
use crate::memcached::{Command, Nodes, Reply};
use crate::record::{RecordKey, flags};

impl Core {
    /// Deletes, in the background, what is older than `version` on nodes where that is not. Without a node that has been away there is
    /// nothing, and nothing is asked.
    pub(super) fn drop_leftovers(&self, key: &RecordKey, version: &Version) {
        if !self.nodes.one_was_away() {
            return;
        }
        let belongs = [Some(version.primary.node), version.backup.map(|place| place.node)];
        // Of two with one counter the farm decides when it reads them (R18).
        let newest = flags::of(version.counter, 0);
        let (nodes, key) = (self.nodes.clone(), key.record());
        tokio::spawn(async move {
            for node in nodes.all().filter(|node| !belongs.contains(&Some(*node)) && nodes.is_up(*node)) {
                let get = Command::Get { key: key.clone(), value: false };
                let Ok(answers) = nodes.run(node, &[get]).await else { continue };
                if let Some(Reply::Hit(item)) = answers.replies.first()
                    && flags::is_newer(newest, item.flags)
                {
                    let there = There { incarnation: answers.incarnation, cas: item.cas };
                    drop_leftover(&nodes, node, key.clone(), there).await;
                }
            }
        });
    }
}

/// Deletes one, if it is still what was seen there.
pub(super) async fn drop_leftover(nodes: &Nodes, node: NodeIndex, key: String, there: There) {
    let delete = Command::Delete { key, cas: Some(there.cas) };
    let _ = nodes.run_in(node, &[delete], Some(there.incarnation)).await;
}

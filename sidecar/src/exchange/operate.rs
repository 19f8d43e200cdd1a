//! What an operator asks for: what is stored of a session, and its end.

use std::sync::Arc;

use futures_util::future::join_all;

use super::Core;
use super::access::Access;
use super::copies::{Has, newest};
use super::leftovers::drop_leftover;
use super::load::Refusal;
use super::look_up::Lookup;
use super::store::{StoreError, Target};
use crate::cache::There;
use crate::id::{Presented, SessionId};
use crate::memcached::nodes::NodeIndex;
use crate::memcached::{Command, NodeError, Reply};
use crate::record::{self, Ended, Payload, RecordKey, flags};

/// Somebody else may store a session again and again while its end is tried without its lock.
const TRIES: usize = 10;

/// What one node has of a session.
#[derive(Debug)]
pub struct OnNode {
    /// The node.
    pub node: NodeIndex,
    /// The record; `None`: it has none. `Err`: why that is not known.
    pub record: Result<Option<Stored>, NodeError>,
    /// Whether a request has locked the session there.
    pub locked: bool,
}

/// A record as it is stored.
#[derive(Debug)]
pub struct Stored {
    /// Client flags: which of two is newer.
    pub flags: u32,
    /// Bytes of the envelope; `None`: parts of it are missing.
    pub size: Option<usize>,
    /// In so many parts, if it is in parts.
    pub parts: Option<usize>,
    /// Seconds that it lives; -1: for ever; [`TTL_UNKNOWN`](crate::memcached::node::TTL_UNKNOWN).
    pub ttl: i64,
    /// What is in it, or why it can't be opened.
    pub payload: Result<Payload, String>,
    /// Which item it is.
    there: There,
}

impl Stored {
    fn has_ended(&self) -> bool {
        self.payload.as_ref().is_ok_and(|payload| matches!(payload.stored, record::Stored::Ended(_)))
    }
}

/// What became of a session that was to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It has ended now.
    Ended,
    /// It had before.
    Before(Ended),
    /// There is none.
    Absent,
}

/// Why a session could not be ended. It goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndError {
    /// It can't be had.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its end can't be stored.
    #[error(transparent)]
    NotStored(#[from] StoreError),
}

impl Core {
    /// What each node has of a session. Takes no lock and changes nothing.
    pub async fn inspect(&self, context: usize, id: &SessionId) -> Vec<OnNode> {
        let name = self.context(context).name();
        let (key, identity) = (self.farm.key(&name, id), self.farm.identity(&name, id));
        join_all(self.nodes.all().map(|node| self.inspect_on(node, &key, &identity))).await
    }

    async fn inspect_on(&self, node: NodeIndex, key: &RecordKey, identity: &[u8]) -> OnNode {
        let get = Command::Get { key: key.lock(), value: false };
        let answers = self.nodes.run(node, &[get]).await;
        let locked = answers.is_ok_and(|answers| matches!(answers.replies.first(), Some(Reply::Hit(_))));
        let record = match self.fetch(node, key).await {
            Ok(Some(read)) => Ok(Some(Stored {
                flags: read.item.flags,
                size: read.item.value.as_ref().map(|value| value.len()),
                parts: read.manifest.as_ref().map(|manifest| manifest.keys().count()),
                ttl: read.item.ttl,
                payload: self.unseal(identity, &read.item).await,
                there: read.there(),
            })),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        OnNode { node, record, locked }
    }

    /// Ends a session as its application would: a tombstone on all its copies, on condition of the version that is there (R17). With
    /// [`Access::Locked`] after the request that uses it. With [`Access::Unlocked`] at once; what that request then stores is refused.
    ///
    /// # Errors
    /// As [`EndError`].
    pub async fn end(
        self: &Arc<Self>,
        context: usize,
        presented: &Presented,
        access: Access,
    ) -> Result<End, EndError> {
        let name = self.context(context).name();
        let mut tries = 0;
        loop {
            let found = match self.clone().look_up(context, presented, access).await? {
                Lookup::Found(found) => found,
                Lookup::Ended { how, .. } => return Ok(End::Before(how)),
                Lookup::Absent => return Ok(End::Absent),
            };
            let target = Target { key: &found.key, context: &name, id: &presented.id };
            if let Some(lock) = &found.lock {
                lock.let_record_be();
            }
            let result = self.bury(&target, &found.session, Ended::Invalidated).await;
            if let Some(lock) = found.lock {
                lock.release().await;
            }
            tries += 1;
            match result {
                Ok(()) => return Ok(End::Ended),
                Err(StoreError::Conflict) if tries < TRIES => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Deletes what nodes still have of a session that has ended: were the nodes with its tombstone restarted one after the other, it would
    /// live again. The nodes that may still have something, because they can't be asked.
    ///
    /// A sidecar does this by itself when such a node is back (`leftovers.rs`); this is for who does not wait for that.
    pub async fn drop_old_copies(&self, context: usize, id: &SessionId) -> Vec<NodeIndex> {
        let key = self.farm.key(&self.context(context).name(), id);
        let copies = self.inspect(context, id).await;
        let newest = match counts(&copies) {
            Some(newest) if !newest.has_ended() => return Vec::new(),
            newest => newest.map(|newest| newest.flags),
        };
        let mut left = Vec::new();
        for copy in &copies {
            let is_left = match &copy.record {
                Err(_) => true,
                Ok(Some(old))
                    if !old.has_ended()
                        && newest.is_some_and(|newest| flags::is_newer(newest, old.flags)) =>
                {
                    drop_leftover(&self.nodes, copy.node, key.record(), old.there).await.is_err()
                }
                Ok(_) => false,
            };
            if is_left {
                left.push(copy.node);
            }
        }
        left
    }
}

/// The copy that counts.
pub fn counts(copies: &[OnNode]) -> Option<&Stored> {
    let has = |copy: &OnNode| match &copy.record {
        Ok(Some(record)) if record.payload.is_ok() => Has::Record(record.flags),
        Ok(_) => Has::Nothing,
        Err(_) => Has::Unknown,
    };
    let at = newest(&copies.iter().map(has).collect::<Vec<_>>())?;
    copies.get(at)?.record.as_ref().ok()?.as_ref()
}

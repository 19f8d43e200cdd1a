//! Stores that no node took: kept here until one is back, then written under the same condition as any store (R17).
//!
//! Bounded. What it holds ends with the process; nothing of it is ever written over what somebody else has stored meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use satchel_common::server::{InFlight, Working};
use tokio::time::{Instant, sleep, timeout};

use super::Core;
use super::copies::{Has, newest};
use super::look_up::Read;
use super::store::{StoreError, Target};
use super::write::{Record, Written};
use crate::cache::{Place, Version};
use crate::id::SessionId;
use crate::memcached::NodeError;
use crate::memcached::nodes::NodeIndex;
use crate::record::{RecordKey, Stored, Ttl, flags};

/// How often it is tried.
const STEP: Duration = Duration::from_millis(250);
/// A session that is in use for longer is left for the next time.
const TURN_WITHIN: Duration = Duration::from_millis(10);
/// What an entry costs beside its bytes.
const OVERHEAD: usize = 256;

/// A store that is still to be done.
#[derive(Debug)]
pub(super) struct Entry {
    /// The context's path.
    pub(super) context: String,
    pub(super) id: SessionId,
    /// The version that it replaces; zero: the session is new.
    pub(super) base: u64,
    /// memcached dropped that one when it refused another (R19).
    pub(super) dropped: bool,
    /// The first copy's node.
    pub(super) node: NodeIndex,
    pub(super) ttl: Ttl,
    pub(super) stored: Stored,
    pub(super) since: Instant,
    /// A stop waits for it.
    pub(super) _working: Option<Working>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: Mutex<Entries>,
    in_flight: InFlight,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: BTreeMap<RecordKey, Arc<Entry>>,
    bytes: usize,
}

/// What came of a delivery.
enum Delivery {
    /// The session is stored.
    Done,
    /// Somebody has stored another version meanwhile, or it has lived out its life.
    Lost(&'static str),
    /// No node can take it yet.
    Later,
}

impl Entry {
    fn cost(&self) -> usize {
        OVERHEAD
            + match &self.stored {
                Stored::Session { cookie_attributes, file } => cookie_attributes.len() + file.len(),
                Stored::Ended(_) => 0,
            }
    }
}

impl Outbox {
    /// Nothing waits yet. What will counts as work that is `in_flight`.
    pub fn new(in_flight: InFlight) -> Self {
        Self { entries: Mutex::default(), in_flight }
    }

    /// How many sessions wait.
    pub fn len(&self) -> usize {
        self.entries().by_key.len()
    }

    /// What these take, in bytes.
    pub fn bytes(&self) -> usize {
        self.entries().bytes
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps a store, in place of an older one of the same session. `false`: there is no room.
    fn keep(&self, key: &RecordKey, mut entry: Entry, limit: usize) -> bool {
        entry._working = Some(self.in_flight.start());
        let mut entries = self.entries();
        let freed = entries.by_key.get(key).map_or(0, |entry| entry.cost());
        if entries.bytes - freed + entry.cost() > limit {
            return false;
        }
        entries.bytes = entries.bytes - freed + entry.cost();
        entries.by_key.insert(key.clone(), Arc::new(entry));
        true
    }

    /// Whether something is kept for a session.
    pub(super) fn has(&self, key: &RecordKey) -> bool {
        self.entries().by_key.contains_key(key)
    }

    fn get(&self, key: &RecordKey) -> Option<Arc<Entry>> {
        self.entries().by_key.get(key).cloned()
    }

    /// It is stored, or lost; another one of the same session stays.
    fn remove(&self, key: &RecordKey, entry: &Arc<Entry>) {
        let mut entries = self.entries();
        if entries.by_key.get(key).is_some_and(|kept| Arc::ptr_eq(kept, entry)) {
            entries.by_key.remove(key);
            entries.bytes -= entry.cost();
        }
    }

    fn keys(&self) -> Vec<RecordKey> {
        self.entries().by_key.keys().cloned().collect()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Writes a record, or keeps it if that fails for want of a node.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub(super) async fn write_or_keep(&self, record: Record<'_>) -> Result<Written, StoreError> {
        let entry = Entry {
            context: record.target.context.to_owned(),
            id: record.target.id.clone(),
            base: record.base.counter,
            dropped: false,
            node: record.base.primary.node,
            ttl: record.ttl,
            stored: record.stored.clone(),
            since: Instant::now(),
            _working: None,
        };
        let key = record.target.key;
        let result = self.write(record).await;
        let Err(StoreError::Node(error)) = &result else { return result };
        let no_node = matches!(error, NodeError::Down | NodeError::Timeout | NodeError::Unreachable(_));
        if no_node && self.keep(key, entry) { Err(StoreError::Kept(error.clone())) } else { result }
    }

    /// Keeps a store. `false`: there is no room.
    pub(super) fn keep(&self, key: &RecordKey, entry: Entry) -> bool {
        let kept = self.outbox.keep(key, entry, self.settings().outbox_size);
        let metrics = &self.metrics;
        if kept {
            metrics.outbox_kept.add()
        } else {
            metrics.outbox_full.add()
        }
        kept
    }

    /// Delivers what waits for a node, for ever.
    pub async fn deliver(self: Arc<Self>) {
        loop {
            sleep(STEP).await;
            self.deliver_all().await;
            self.drop_noted_leftovers().await;
        }
    }

    /// One attempt for each session that waits.
    pub async fn deliver_all(self: &Arc<Self>) {
        for key in self.outbox.keys() {
            // A request of the session delivers it itself, before it looks the session up.
            let Ok(Ok(_turn)) = timeout(TURN_WITHIN, self.turns.take(&key)).await else { continue };
            if !self.deliver_one(&key).await && self.nodes.first_up(0).is_none() {
                return;
            }
        }
    }

    /// Delivers what waits for one session, before it is looked up; its turn is the caller's. `false`: it still waits. Somebody who stops
    /// waiting for this changes nothing: the entry stays until it is known what became of it.
    pub(super) async fn deliver_one(&self, key: &RecordKey) -> bool {
        let Some(entry) = self.outbox.get(key) else { return true };
        match self.delivered(key, &entry).await {
            Delivery::Done => self.metrics.outbox_delivered.add(),
            Delivery::Lost(why) => {
                self.metrics.outbox_lost.add();
                log::error!(
                    "A session of context \"{}\" that was kept could not be stored: {why}",
                    entry.context
                );
            }
            Delivery::Later => return false,
        }
        self.outbox.remove(key, &entry);
        true
    }

    async fn delivered(&self, key: &RecordKey, entry: &Entry) -> Delivery {
        if entry.ttl.0 > 0 && entry.since.elapsed() > Duration::from_secs(entry.ttl.0.into()) {
            return Delivery::Lost("its life is over");
        }
        let home = match self.settings().copies {
            // With one copy what it replaces is there and nowhere else.
            1 => Some(entry.node).filter(|node| self.nodes.is_up(*node)),
            _ => self.nodes.first_up(entry.node),
        };
        let Some(home) = home else { return Delivery::Later };
        let mut has = Vec::new();
        let mut found = Vec::new();
        let others = self.nodes.all().filter(|node| *node != home);
        for node in std::iter::once(home).chain(others).filter(|node| self.nodes.is_up(*node)) {
            let Ok(read) = self.peek(node, key).await else { return Delivery::Later };
            has.push(read.as_ref().map_or(Has::Nothing, |read| Has::Record(read.item.flags)));
            found.push((node, read));
        }
        match newest(&has).map(|at| (at, has[at])) {
            Some((at, Has::Record(found_there)))
                if !flags::is_newer(flags::of(entry.base.wrapping_add(1), 0), found_there) =>
            {
                return match self.is_there(key, entry, found[at].0).await {
                    Ok(true) => Delivery::Done,
                    Ok(false) => Delivery::Lost("it was changed or removed elsewhere meanwhile"),
                    Err(_) => Delivery::Later,
                };
            }
            // What was stored, or ended, elsewhere before the nodes lost it, nobody knows any more (R7). A node that is down may
            // have the version that this replaces.
            None if entry.base > 0 && !entry.dropped && self.nodes.all_up() => {
                return Delivery::Lost("the nodes have lost it meanwhile");
            }
            _ => {}
        }
        let target = Target { key, context: &entry.context, id: &entry.id };
        let Ok(before) = self.there(&target, home).await else { return Delivery::Later };
        if before.as_ref().is_some_and(|before| before.counter > entry.base) {
            return Delivery::Later;
        }
        let there = match &before {
            Some(before) => Some(before.there),
            None => found.first().and_then(|(_, read)| read.as_ref().map(Read::there)),
        };
        // It is put back when memcached refuses this one and drops it (R19).
        let before = before.filter(|before| before.counter == entry.base);
        let record = Record {
            target: &target,
            base: Version {
                counter: entry.base,
                writer: before.as_ref().map_or(0, |before| before.writer),
                primary: there.map_or(Place::nothing(home), |there| Place::of(home, there)),
                backup: None,
            },
            ttl: entry.ttl,
            stored: entry.stored.clone(),
            insists: false,
            chunks: before.as_ref().and_then(|before| before.chunks.clone()),
            loaded: before.map(|before| before.loaded),
        };
        self.cache.remove(key).await;
        match self.write(record).await {
            Ok(_) => Delivery::Done,
            Err(StoreError::Conflict) => Delivery::Lost("it was changed or removed elsewhere meanwhile"),
            Err(StoreError::TooLarge { .. } | StoreError::Seal) => Delivery::Lost("it is too large"),
            Err(StoreError::Node(NodeError::Refused(_) | NodeError::ChunkRefused(_))) => {
                Delivery::Lost("memcached has no room for it")
            }
            Err(StoreError::Node(_) | StoreError::Kept(_)) => Delivery::Later,
        }
    }

    /// Whether the store had taken effect although it was not answered.
    async fn is_there(&self, key: &RecordKey, entry: &Entry, node: NodeIndex) -> Result<bool, NodeError> {
        let Some(read) = self.fetch(node, key).await? else { return Ok(false) };
        let identity = self.farm.identity(&entry.context, &entry.id);
        Ok(self.unseal(&identity, &read.item).await.is_ok_and(|payload| payload.stored == entry.stored))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Ended, Farm};

    #[test]
    fn it_is_bounded_and_keeps_the_last_of_each_session() {
        let farm = Farm::new("shop", None);
        let id = |text: &str| SessionId::parse(text.as_bytes()).unwrap();
        let entry = |id: SessionId, bytes: usize| Entry {
            context: String::new(),
            id,
            base: 1,
            dropped: false,
            node: 0,
            ttl: Ttl(1800),
            stored: Stored::Session { cookie_attributes: "".into(), file: vec![0; bytes].into() },
            since: Instant::now(),
            _working: None,
        };
        let (a, b) = (farm.key("", &id("A")), farm.key("", &id("B")));
        let outbox = Outbox::default();
        let limit = 2 * OVERHEAD + 300;
        assert!(outbox.keep(&a, entry(id("A"), 300), limit));
        assert!(!outbox.keep(&b, entry(id("B"), 1), limit), "no room");
        assert!(outbox.keep(&a, entry(id("A"), 200), limit), "in place of the first");
        assert!(outbox.keep(&b, entry(id("B"), 100), limit));
        let ended = Entry { stored: Stored::Ended(Ended::Invalidated), ..entry(id("A"), 0) };
        assert!(outbox.keep(&a, ended, limit));
        let (one, other) = (outbox.get(&a).unwrap(), outbox.get(&b).unwrap());
        assert_eq!((one.cost(), outbox.len()), (OVERHEAD, 2));
        outbox.remove(&a, &other);
        assert!(outbox.has(&a), "another one stays");
        outbox.remove(&a, &one);
        outbox.remove(&a, &one);
        outbox.remove(&b, &other);
        assert!(outbox.is_empty());
        assert_eq!(outbox.entries().bytes, 0);
    }
}

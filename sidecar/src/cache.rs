//! Recent sessions in memory, so that a body crosses the network only when somebody else has changed it.
//!
//! An entry is used only if memcached says at this moment that it is current, never because it is young.

use std::sync::Arc;
use std::time::{Duration, Instant as Then};

use bytes::Bytes;
use moka::Expiry;
use moka::future::Cache as Moka;
use moka::policy::EvictionPolicy;
use tokio::time::Instant;

use crate::broken::Broken;
use crate::file::SessionFile;
use crate::memcached::Incarnation;
use crate::memcached::nodes::NodeIndex;
use crate::record::{Manifest, RecordKey, Ttl};

/// What one node holds of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The node.
    pub node: NodeIndex,
    /// What is there; `None`: nothing.
    pub there: Option<There>,
    /// In which life of the node that was seen; `None`: it was not looked.
    pub life: Option<Incarnation>,
}

impl Place {
    /// What was seen on a node in one life of it.
    pub fn seen(node: NodeIndex, life: Incarnation, cas: Option<u64>) -> Self {
        Self { node, there: cas.map(|cas| There { incarnation: life, cas }), life: Some(life) }
    }

    /// This is there.
    pub fn of(node: NodeIndex, there: There) -> Self {
        Self { node, there: Some(there), life: Some(there.incarnation) }
    }

    /// Nothing is there, as far as is known.
    pub fn nothing(node: NodeIndex) -> Self {
        Self { node, there: None, life: None }
    }
}

/// An item on a node (R7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct There {
    /// In which life of the node.
    pub incarnation: Incarnation,
    /// The item's cas.
    pub cas: u64,
}

/// Which stored version of a session is meant, and what its store has to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The record's counter.
    pub counter: u64,
    /// Who wrote it.
    pub writer: u64,
    /// The node where the session's requests are locked.
    pub primary: Place,
    /// The second copy; `None`: not known.
    pub backup: Option<Place>,
}

/// A session as it was stored.
#[derive(Debug, Clone)]
pub struct Session {
    /// What was stored, with the id without suffix.
    pub file: SessionFile,
    /// Where and as what.
    pub version: Version,
    /// The node that its record names: there, or behind it if it is down, the session's requests are locked.
    pub named: NodeIndex,
    /// What it was stored with.
    pub ttl: Ttl,
    /// To issue the cookie again.
    pub cookie_attributes: Bytes,
    /// Its copies are not where they belong, because a node has failed or has come back: it is stored even if it has not changed.
    pub displaced: bool,
    /// Where its chunks are, if it has some.
    pub chunks: Option<Manifest>,
    /// When the lives of its second copy and of its chunks were last begun anew.
    pub renewed: Option<Instant>,
}

impl Session {
    /// The same, of whose second copy nothing is known.
    pub fn without_backup(&self) -> Self {
        Self { version: Version { backup: None, ..self.version }, renewed: None, ..self.clone() }
    }
}

/// The cache. A clone is the same cache.
#[derive(Clone)]
pub struct Cache(Moka<RecordKey, Entry>);

/// What is remembered of a session.
#[derive(Clone)]
enum Entry {
    Living(Arc<Session>),
    /// This sidecar has stored its end.
    Ended(Version, Ttl),
}

/// What an entry costs beside its bytes.
const OVERHEAD: usize = 256;

impl Cache {
    /// Holds at most `bytes`. Least recently used goes first: a policy that may refuse a new entry would
    /// refuse just the session that is in use.
    pub fn new(bytes: u64) -> Self {
        let weigh = |_: &RecordKey, entry: &Entry| {
            let file = if let Entry::Living(session) = entry { session.file.bytes().len() } else { 0 };
            u32::try_from(file + OVERHEAD).unwrap_or(u32::MAX)
        };
        let mut moka =
            Moka::builder().max_capacity(bytes).weigher(weigh).eviction_policy(EvictionPolicy::lru());
        if Broken::PlainTtlCache.is_on() {
            moka = moka.time_to_live(Duration::from_secs(5));
        }
        Self(moka.expire_after(AsRecords).build())
    }

    /// How many sessions are remembered, living or ended, and what they take in bytes. As moka knows it: what has just come or gone may be missing.
    pub fn size(&self) -> (u64, u64) {
        (self.0.entry_count(), self.0.weighted_size())
    }

    /// What they may take, in bytes.
    pub fn max_size(&self) -> u64 {
        self.0.policy().max_capacity().unwrap_or(0)
    }

    /// The session as it was last seen here. To be compared with memcached before it is used.
    pub async fn get(&self, key: &RecordKey) -> Option<Arc<Session>> {
        match self.0.get(key).await? {
            Entry::Living(session) => Some(session),
            Entry::Ended(..) => None,
        }
    }

    /// The version that was last seen or stored here, of a session that has ended too. Its record can't have lived out its time since.
    pub async fn version(&self, key: &RecordKey) -> Option<Version> {
        Some(match self.0.get(key).await? {
            Entry::Living(session) => session.version,
            Entry::Ended(version, _) => version,
        })
    }

    /// Remembers what was stored or read.
    pub async fn put(&self, key: RecordKey, session: Arc<Session>) {
        self.0.insert(key, Entry::Living(session)).await;
    }

    /// Remembers which version of a session is its end.
    pub async fn bury(&self, key: RecordKey, version: Version, ttl: Ttl) {
        self.0.insert(key, Entry::Ended(version, ttl)).await;
    }

    /// Forgets a session.
    pub async fn remove(&self, key: &RecordKey) {
        self.0.invalidate(key).await;
    }
}

/// An entry lives as long as the record that was seen.
struct AsRecords;

impl AsRecords {
    fn life(entry: &Entry) -> Option<Duration> {
        let ttl = match entry {
            Entry::Living(session) => session.ttl,
            Entry::Ended(_, ttl) => *ttl,
        };
        (ttl.0 > 0).then(|| Duration::from_secs(ttl.0.into()))
    }
}

impl Expiry<RecordKey, Entry> for AsRecords {
    fn expire_after_create(&self, _: &RecordKey, entry: &Entry, _: Then) -> Option<Duration> {
        Self::life(entry)
    }

    // Whoever reads it goes on to use the session, whose record lives on.
    fn expire_after_read(
        &self,
        _: &RecordKey,
        entry: &Entry,
        _: Then,
        left: Option<Duration>,
        _: Then,
    ) -> Option<Duration> {
        if matches!(entry, Entry::Living(_)) { Self::life(entry) } else { left }
    }

    fn expire_after_update(
        &self,
        _: &RecordKey,
        entry: &Entry,
        _: Then,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Self::life(entry)
    }
}

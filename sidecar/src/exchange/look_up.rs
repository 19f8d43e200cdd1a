//! Finding a session among the nodes: its lock, its newest copy, and where its copies belong.
//!
//! A session is locked on its primary: the node that its newest record names, or the next one that is up after it. Whoever finds the
//! record, by whatever cookie, comes to the same node; that is what keeps two requests of a session apart when it has moved (R24).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant as Then};

use futures_util::future::{FutureExt as _, join_all};
use tokio::time::{Instant, sleep, timeout};

use super::access::Access;
use super::copies::{Has, have_diverged, newest};
use super::leftovers::drop_leftover;
use super::load::Refusal;
use super::{Core, aside, unix_time};
use crate::broken::Broken;
use crate::cache::{Place, Session, There, Version};
use crate::file::SessionFile;
use crate::id::Presented;
use crate::lock::Lock;
use crate::lock::backoff::Backoff;
use crate::memcached::nodes::NodeIndex;
use crate::memcached::{Answers, Command, Incarnation, Item, NodeError, Reply};
use crate::metrics::Metrics;
use crate::record::{Ended, Manifest, Payload, RecordKey, Stored, flags};
use crate::turn::Turn;

/// How long a tombstone that says "id changed" keeps other requests of the old id from setting a cookie:
/// longer than a browser's parallel requests last (R21).
const ID_CHANGE_IS_YOUNG: u32 = 60;

/// What became of a look-up.
pub(super) enum Lookup {
    Found(Box<Found>),
    Ended { how: Ended, young: bool },
    Absent,
}

/// A session that may be used: its turn and its lock are ours.
pub(super) struct Found {
    pub(super) key: RecordKey,
    pub(super) session: Arc<Session>,
    /// Seconds since the session's last request; `None` if it never ends.
    pub(super) idle: Option<u32>,
    pub(super) lock: Option<Lock>,
    /// `None` for a read-only request.
    pub(super) turn: Option<Turn>,
    /// Since when and until when its body was fetched and opened; `None`: the local copy was current.
    pub(super) loaded: Option<(Then, Then)>,
}

/// What one look at one node came to.
enum Step {
    Session(Arc<Session>, Option<u32>, Option<Lock>),
    Ended {
        how: Ended,
        young: bool,
    },
    Absent,
    /// What is there can't be opened: it counts as nothing.
    Unreadable,
    /// The session's requests are locked there.
    Elsewhere(NodeIndex),
    /// The node went down meanwhile.
    Down,
    /// It was there a moment ago. Its node has been restarted, perhaps: the other copy is to be looked for.
    Gone,
}

/// An item, and in which life of its node it was read.
#[derive(Clone)]
pub(super) struct Read {
    pub(super) item: Item,
    incarnation: Incarnation,
    /// Where its value was put together from.
    pub(super) manifest: Option<Manifest>,
}

/// What a node answered.
struct Seen {
    node: NodeIndex,
    read: Result<Option<Read>, NodeError>,
    /// In which life of the node, where that matters: at home.
    life: Option<Incarnation>,
    unreadable: bool,
}

/// How long one look-up has waited for its turn and for its lock: it is one wait, also when it is given up in the middle.
struct Waits {
    metrics: Arc<Metrics>,
    /// Nanoseconds; zero: there was nothing to wait for.
    waited: AtomicU64,
}

/// A wait that is going on.
struct Waiting<'a>(&'a Waits, Then);

/// One session that is looked for.
struct Search {
    core: Arc<Core>,
    key: RecordKey,
    identity: Vec<u8>,
    access: Access,
    deadline: Instant,
    loaded: OnceLock<(Then, Then)>,
    waits: Waits,
}

impl Core {
    pub(super) async fn look_up(
        self: Arc<Self>,
        context: usize,
        presented: &Presented,
        access: Access,
    ) -> Result<Lookup, Refusal> {
        let path = &self.context(context).name();
        let key = self.farm.key(path, &presented.id);
        let identity = self.farm.identity(path, &presented.id);
        let deadline = Instant::now() + self.settings().lock_timeout;
        let waits = Waits { metrics: self.metrics.clone(), waited: AtomicU64::new(0) };
        let turn = match access {
            Access::ReadOnly if !self.outbox.has(&key) => None,
            _ => Some(self.take_turn(&key, &waits).await?),
        };
        if !self.deliver_one(&key).await {
            return Err(Refusal::Store);
        }
        let turn = turn.filter(|_| access != Access::ReadOnly);
        if !*self.away_known.borrow() {
            let _ =
                timeout(self.settings().lock_timeout, self.away_known.clone().wait_for(|known| *known)).await;
        }
        let suffix = presented.suffix.as_ref().and_then(|suffix| self.nodes.find(suffix));
        let start = suffix.unwrap_or_else(|| self.nodes.start_of(&key));
        self.nodes.settled().await;
        // With one copy a node that is down may have the only one.
        let single = self.settings().copies == 1;
        if single && suffix.is_some_and(|node| !self.nodes.is_up(node)) {
            return Err(Refusal::Store);
        }
        let mut home = self.nodes.first_up(start).ok_or(Refusal::Store)?;
        // Where a session is that has left its node, a sidecar can say that knows all nodes.
        if self.agreed.is_outdated() && suffix != Some(home) {
            return Err(Refusal::Store);
        }
        let shared = self.context(context).shares_cookie;
        let loaded = OnceLock::new();
        let search =
            Search { core: self.clone(), key: key.clone(), identity, access, deadline, loaded, waits };
        for _ in 0..=2 * self.nodes.all().count() {
            self.nodes.settled().await;
            // Where the session is, is certain only if the cookie names a node that is up and none has been away.
            // The suffix of a cookie that several contexts share is that of one of their sessions.
            let none_was_away = !self.nodes.one_was_away() && self.nodes.would_know_of(home);
            let certain = suffix == Some(home) && !shared && none_was_away;
            let unasked: Vec<_> = self.nodes.all().filter(|node| !self.nodes.is_up(*node)).collect();
            let step = search.at(home, certain).await?;
            if step.may_be_for_want_of_nodes() && !single {
                let is_back = |node: &NodeIndex| self.nodes.is_up(*node);
                if unasked.iter().any(is_back) || self.nodes.one_is_back().await {
                    continue;
                }
            }
            match step {
                Step::Session(session, idle, lock) => {
                    if let Some(lock) = &lock {
                        lock.keep_alive(key.record(), session.ttl.on_the_wire(unix_time()));
                    }
                    let loaded = search.loaded.get().copied();
                    return Ok(Lookup::Found(Box::new(Found { key, session, idle, lock, turn, loaded })));
                }
                Step::Ended { how, young } => return Ok(Lookup::Ended { how, young }),
                Step::Absent if single && suffix.is_none() && !self.nodes.all_up() => {
                    return Err(Refusal::Store);
                }
                Step::Absent | Step::Unreadable => return Ok(Lookup::Absent),
                Step::Elsewhere(node) => home = node,
                Step::Gone => {}
                Step::Down if single => return Err(Refusal::Store),
                Step::Down => home = self.nodes.first_up(home).ok_or(Refusal::Store)?,
            }
        }
        // Nodes go up and down faster than one can look.
        Err(Refusal::Store)
    }

    async fn take_turn(&self, key: &RecordKey, waits: &Waits) -> Result<Turn, Refusal> {
        let mut turn = std::pin::pin!(self.turns.take(key));
        let result = match turn.as_mut().now_or_never() {
            Some(result) => Ok(result),
            None => {
                let _waiting = waits.begin();
                timeout(self.settings().lock_timeout, turn).await
            }
        };
        match result {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(Refusal::Busy),
            Err(_) => {
                self.metrics.lock_timeouts.add();
                Err(Refusal::Busy)
            }
        }
    }

    /// The node of the second copy of a session whose first is on `primary`; `None`: there is to be none, or no other node is up.
    pub(super) fn backup_of(&self, primary: NodeIndex) -> Option<NodeIndex> {
        if self.settings().copies < 2 {
            return None;
        }
        self.nodes.ring(primary).skip(1).find(|node| self.nodes.is_up(*node))
    }

    /// What a node has, without its body.
    pub(super) async fn peek(&self, node: NodeIndex, key: &RecordKey) -> Result<Option<Read>, NodeError> {
        let answers = self.nodes.run(node, &[Command::Get { key: key.record(), value: false }]).await?;
        Ok(Read::of(&answers, 0))
    }

    /// Opens the record in an item.
    pub(super) async fn unseal(&self, identity: &[u8], item: &Item) -> Result<Payload, String> {
        let value = item.value.clone().ok_or("parts of it are missing")?;
        let (keys, identity) = (self.keys(), identity.to_vec());
        let opened = aside(value.len(), move || keys.open(&identity, &value)).await;
        let bytes = opened.ok_or("it could not be opened")?.map_err(|error| error.to_string())?;
        let payload = Payload::decode(bytes).map_err(|error| error.to_string())?;
        if flags::of(payload.counter, payload.writer) != item.flags {
            return Err("its counter and its writer are not those in its client flags".into());
        }
        Ok(payload)
    }
}

impl Step {
    /// The session is not where it belongs.
    fn may_be_for_want_of_nodes(&self) -> bool {
        match self {
            Self::Session(session, ..) => session.displaced,
            Self::Absent | Self::Unreadable => true,
            Self::Ended { .. } | Self::Elsewhere(_) | Self::Down | Self::Gone => false,
        }
    }
}

impl Read {
    pub(super) fn of(answers: &Answers, at: usize) -> Option<Self> {
        match answers.replies.get(at) {
            Some(Reply::Hit(item)) => {
                Some(Self { item: item.clone(), incarnation: answers.incarnation, manifest: None })
            }
            _ => None,
        }
    }

    pub(super) fn there(&self) -> There {
        There { incarnation: self.incarnation, cas: self.item.cas }
    }
}

impl Seen {
    fn has(&self) -> Has {
        match &self.read {
            Ok(Some(read)) if !self.unreadable => Has::Record(read.item.flags),
            Ok(_) => Has::Nothing,
            Err(_) => Has::Unknown,
        }
    }

    fn place(&self) -> Place {
        let read = self.read.as_ref().ok().and_then(Option::as_ref);
        read.map_or(Place { life: self.life, ..Place::nothing(self.node) }, |read| {
            Place::of(self.node, read.there())
        })
    }
}

impl Search {
    /// Looks with `home` as the place of the lock. With `certain` the other nodes are asked only when it has nothing.
    async fn at(&self, home: NodeIndex, certain: bool) -> Result<Step, Refusal> {
        let core = &self.core;
        let cached = core.cache.get(&self.key).await.filter(|session| session.version.primary.node == home);
        let others = || if certain { core.backup_of(home).into_iter().collect() } else { self.all_but(home) };
        let ask_others = async { if certain { Vec::new() } else { self.peek_at(others()).await } };
        // One round trip, also when others are asked.
        let (locked, mut seen) = tokio::join!(self.lock_and_get(home, cached.is_none()), ask_others);
        let Locked { lock, read, life, waited } = match locked {
            Ok(locked) => locked,
            Err(LockError::Busy) => return Err(Refusal::Busy),
            Err(LockError::Node) if !core.nodes.is_up(home) => return Ok(Step::Down),
            Err(LockError::Node) => return Err(Refusal::Store),
        };
        let here = match &read {
            Some(read) if certain => self.here(home, cached.clone(), read.clone()).await,
            _ => Ok(Step::Absent),
        };
        let step = match here {
            Ok(nothing @ (Step::Absent | Step::Unreadable)) => {
                // What was seen before a wait for the lock may have changed since.
                if certain || waited {
                    core.nodes.settled().await;
                    seen = self.peek_at(others()).await;
                }
                let unreadable = matches!(nothing, Step::Unreadable);
                seen.insert(0, Seen { node: home, read: Ok(read), life: Some(life), unreadable });
                self.compare(cached, seen).await
            }
            other => other,
        };
        match step {
            Ok(Step::Session(session, idle, _)) => Ok(Step::Session(session, idle, lock)),
            // A miss gives its own lock back in the same turn (R9).
            other => {
                if let Some(lock) = lock {
                    lock.release().await;
                }
                other
            }
        }
    }

    fn all_but(&self, home: NodeIndex) -> Vec<NodeIndex> {
        let nodes = &self.core.nodes;
        nodes.all().filter(|node| *node != home && nodes.is_up(*node)).collect()
    }

    async fn peek_at(&self, nodes: Vec<NodeIndex>) -> Vec<Seen> {
        join_all(nodes.into_iter().map(async |node| {
            let read = self.core.peek(node, &self.key).await;
            Seen { node, read, life: None, unreadable: false }
        }))
        .await
    }

    /// The newest of all copies that can be opened; the first is where the lock is.
    async fn compare(&self, cached: Option<Arc<Session>>, mut seen: Vec<Seen>) -> Result<Step, Refusal> {
        let nodes = &self.core.nodes;
        // A node that is up and did not answer may have the newest.
        nodes.settled().await;
        for other in seen.iter_mut().filter(|seen| seen.read.is_err() && nodes.is_up(seen.node)) {
            other.read = self.core.peek(other.node, &self.key).await;
            if other.read.is_err() && nodes.is_up(other.node) {
                return Err(Refusal::Store);
            }
        }
        if have_diverged(&seen.iter().map(Seen::has).collect::<Vec<_>>()) {
            self.core.metrics.diverged.add();
            log::warn!(
                "The copies of a session differ: sidecars have seen different memcached nodes. One of them counts from now on"
            );
        }
        loop {
            let all: Vec<Has> = seen.iter().map(Seen::has).collect();
            let home = &seen[0];
            let Some(at) = newest(&all) else { return Ok(Step::Absent) };
            let step = match (at, &home.read) {
                (0, Ok(Some(read))) => self.here(home.node, cached.clone(), read.clone()).await?,
                _ => self.on_another(seen[at].node, home.place()).await?,
            };
            match step {
                Step::Unreadable => seen[at].unreadable = true,
                Step::Ended { .. } => {
                    self.repair(&seen, at).await;
                    return Ok(step);
                }
                Step::Session(session, idle, lock) if self.lacks_backup(&seen) => {
                    return Ok(Step::Session(Arc::new(session.without_backup()), idle, lock));
                }
                _ => return Ok(step),
            }
        }
    }

    /// The second copy is not where it belongs, or is another version.
    fn lacks_backup(&self, seen: &[Seen]) -> bool {
        let backup = self.core.backup_of(seen[0].node);
        seen.iter().any(|other| Some(other.node) == backup && other.has() != seen[0].has())
    }

    /// A session has ended and nobody will store it again: its copies are made good now.
    async fn repair(&self, seen: &[Seen], newest: usize) {
        let home = seen[0].node;
        let belongs = [Some(home), self.core.backup_of(home)];
        for other in seen.iter().filter(|other| belongs.contains(&Some(other.node))) {
            if other.read.is_ok() && other.has() != seen[newest].has() {
                let _ = self.core.copy(&self.key, seen[newest].node, other.place()).await;
            }
        }
        for (at, other) in seen.iter().enumerate() {
            if at != newest
                && !belongs.contains(&Some(other.node))
                && let Some(there) = other.place().there
            {
                let _ = drop_leftover(&self.core.nodes, other.node, self.key.record(), there).await;
            }
        }
    }

    /// The copy on `home` is the newest.
    async fn here(
        &self,
        home: NodeIndex,
        cached: Option<Arc<Session>>,
        mut read: Read,
    ) -> Result<Step, Refusal> {
        let at_home = |session: &Session| self.core.nodes.first_up(session.named) == Some(home);
        let session = match cached.filter(|session| is_current(session, &read) && at_home(session)) {
            Some(session) => {
                self.core.metrics.cache_hits.add();
                session
            }
            None => {
                let began = Then::now();
                if read.item.value.as_deref().is_none_or(|value| self.core.manifest(value).is_some()) {
                    match self.body(home).await? {
                        Some(again) => read = again,
                        None => return Ok(Step::Gone),
                    }
                }
                let place = Place::of(home, read.there());
                match self.open(home, &read, place).await {
                    Ok(session) => {
                        let _ = self.loaded.set((began, Then::now()));
                        self.note_rollback(&session).await;
                        self.core.cache.put(self.key.clone(), session.clone()).await;
                        session
                    }
                    Err(other) => return Ok(other),
                }
            }
        };
        let idle = session.ttl.idle(read.item.ttl);
        Ok(Step::Session(session, idle, None))
    }

    /// In one life of a node a session's versions only go up: who gives an older one back has kept it. It is counted and not refused,
    /// since a sidecar that has not seen the newer one could not refuse it either; and a session that was evicted and made anew under
    /// its old id (`sessionCookiePath="/"`) begins anew too.
    async fn note_rollback(&self, session: &Session) {
        let core = &self.core;
        let now = session.version;
        if let Some(before) = core.cache.version(&self.key).await
            && before.counter > now.counter
            && before.primary.node == now.primary.node
            && before.primary.there.map(|there| there.incarnation)
                == now.primary.there.map(|there| there.incarnation)
        {
            core.metrics.rolled_back.add();
            log::error!(
                "A session on memcached node {} is older than it was: somebody may have put an old record back",
                core.nodes.name(now.primary.node)
            );
        }
    }

    /// The newest copy is on another node than the one that holds the lock, where `home` is to be replaced.
    async fn on_another(&self, node: NodeIndex, home: Place) -> Result<Step, Refusal> {
        let began = Then::now();
        let Some(read) = self.body(node).await? else { return Ok(Step::Gone) };
        self.core.metrics.read_from_backup.add();
        let session = match self.open(node, &read, home).await {
            Ok(session) => session,
            Err(other) => return Ok(other),
        };
        let _ = self.loaded.set((began, Then::now()));
        let idle = session.ttl.idle(read.item.ttl);
        Ok(Step::Session(session, idle, None))
    }

    async fn body(&self, node: NodeIndex) -> Result<Option<Read>, Refusal> {
        self.core.fetch(node, &self.key).await.map_err(|_| Refusal::Store)
    }

    /// The session in a record read on `node`, if its first copy belongs to `primary`; otherwise the step that this is.
    async fn open(&self, node: NodeIndex, read: &Read, primary: Place) -> Result<Arc<Session>, Step> {
        let core = &self.core;
        core.metrics.cache_misses.add();
        let unreadable = |error: String| {
            core.metrics.records_rejected.add();
            log::error!("A record on memcached node {} was refused: {error}", core.nodes.name(node));
            Step::Unreadable
        };
        let payload = core.unseal(&self.identity, &read.item).await.map_err(unreadable)?;
        let ttl = payload.ttl;
        core.nodes.note_life(ttl.0);
        match payload.stored {
            Stored::Ended(ended) => {
                let age = ttl.idle(read.item.ttl).unwrap_or(u32::MAX);
                Err(Step::Ended { how: ended, young: age < ID_CHANGE_IS_YOUNG })
            }
            Stored::Session { cookie_attributes, file } => {
                let named = core.nodes.find(&payload.primary);
                // From a time with two copies: nobody has kept it up since.
                if core.settings().copies == 1 && named != Some(node) && !core.nodes.is_retired(node) {
                    return Err(Step::Unreadable);
                }
                let file = SessionFile::parse(file).map_err(|error| unreadable(error.to_string()))?;
                let version =
                    Version { counter: payload.counter, writer: payload.writer, primary, backup: None };
                let displaced = node != primary.node
                    || named != Some(primary.node)
                    || core.nodes.is_retired(primary.node);
                // Whoever finds this record locks it where it says, or behind that one if it is down.
                let home = named.and_then(|named| core.nodes.first_up(named));
                if let Some(home) = home.filter(|home| *home != primary.node) {
                    return Err(Step::Elsewhere(home));
                }
                let chunks = read.manifest.clone();
                let named = named.unwrap_or(primary.node);
                Ok(Arc::new(Session {
                    file,
                    version,
                    named,
                    ttl,
                    cookie_attributes,
                    displaced,
                    chunks,
                    renewed: None,
                }))
            }
        }
    }

    /// One round trip when the lock is free: the lock, then the item (R5).
    async fn lock_and_get(&self, node: NodeIndex, mut value: bool) -> Result<Locked, LockError> {
        let core = &self.core;
        let get = |value| Command::Get { key: self.key.record(), value };
        if self.access != Access::Locked {
            let answers = core.nodes.run(node, &[get(value)]).await?;
            let (read, life) = (Read::of(&answers, 0), answers.incarnation);
            return Ok(Locked { lock: None, read, life, waited: false });
        }
        let mut backoff = Backoff::new(self.deadline.saturating_duration_since(Instant::now()));
        let mut began = Instant::now();
        let mut waiting: Option<Waiting<'_>> = None;
        loop {
            let (lock, answers) = core.locks.take(&self.key, node, Some(get(value))).await?;
            if lock.is_some() {
                let (read, life) = (Read::of(&answers, 1), answers.incarnation);
                return Ok(Locked { lock, read, life, waited: waiting.is_some() });
            }
            // Not won: what was read counts for nothing.
            waiting.get_or_insert_with(|| self.waits.begin());
            value = false;
            let Some(pause) = backoff.next(began.elapsed(), crate::random::unit()) else {
                core.metrics.lock_timeouts.add();
                return Err(LockError::Busy);
            };
            began = Instant::now();
            sleep(pause).await;
        }
    }
}

impl Waits {
    fn begin(&self) -> Waiting<'_> {
        if self.waited.fetch_max(1, Ordering::Relaxed) == 0 {
            self.metrics.lock_waits.add();
        }
        Waiting(self, Then::now())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waited = u64::try_from(self.1.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.waited.fetch_add(waited, Ordering::Relaxed);
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        match *self.waited.get_mut() {
            0 => {}
            waited => self.metrics.lock_wait.observe(Duration::from_nanos(waited)),
        }
    }
}

/// What came of the round trip to the lock's node.
struct Locked {
    /// `None` for a request that takes none.
    lock: Option<Lock>,
    read: Option<Read>,
    /// Of the node.
    life: Incarnation,
    waited: bool,
}

enum LockError {
    Busy,
    Node,
}

impl From<NodeError> for LockError {
    fn from(_: NodeError) -> Self {
        Self::Node
    }
}

/// The local copy counts only if incarnation, cas and counter agree (R7).
fn is_current(session: &Session, read: &Read) -> bool {
    let Version { counter, writer, primary, .. } = session.version;
    Broken::PlainTtlCache.is_on()
        || primary.there == Some(read.there()) && flags::of(counter, writer) == read.item.flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Ttl;
    use bytes::Bytes;

    #[test]
    fn r07_a_cas_of_another_life_means_nothing() {
        let life = Incarnation { pid: 7, started: 100 };
        let primary = Place::seen(0, life, Some(5));
        let file = crate::file::session_file::tests::sample("A", 1800, b"");
        let session = Session {
            file: SessionFile::parse(file).unwrap(),
            version: Version { counter: 3, writer: 7, primary, backup: None },
            named: 0,
            ttl: Ttl(1805),
            cookie_attributes: Bytes::new(),
            displaced: false,
            chunks: None,
            renewed: None,
        };
        let item = Item { value: None, flags: flags::of(3, 7), cas: 5, ttl: 100 };
        let read = Read { item, incarnation: life, manifest: None };
        assert!(is_current(&session, &read));
        let with = |change: fn(&mut Read)| {
            let mut other = read.clone();
            change(&mut other);
            other
        };
        assert!(!is_current(&session, &with(|read| read.incarnation.started += 1)));
        assert!(!is_current(&session, &with(|read| read.item.cas = 6)));
        assert!(!is_current(&session, &with(|read| read.item.flags = flags::of(4, 7))));
    }

    #[test]
    fn a_wait_for_turn_and_lock_is_one() {
        let metrics = Arc::new(Metrics::default());
        let look_up = || Waits { metrics: metrics.clone(), waited: AtomicU64::new(0) };
        drop(look_up());
        assert_eq!((metrics.lock_waits.get(), metrics.lock_wait.snapshot().count()), (0, 0));
        let waits = look_up();
        drop(waits.begin());
        drop(waits.begin());
        assert_eq!((metrics.lock_waits.get(), metrics.lock_wait.snapshot().count()), (1, 0));
        drop(waits);
        assert_eq!((metrics.lock_waits.get(), metrics.lock_wait.snapshot().count()), (1, 1));
    }
}

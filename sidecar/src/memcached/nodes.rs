//! The configured nodes in their order, and which of them are used ([`health`](super::health) decides that).
//!
//! The list can be changed. A node that is not configured any more is *retired*: it gets no session, and is read and written until
//! those that it has have moved or expired (R25).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant as Then};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use satchel_common::metrics::{Counter, Histogram, Snapshot};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::away::Away;
use super::health::{Event, Health};
use super::node::{Answers, Command, Incarnation, Mode, Node, NodeError, Reply};
use crate::exchange::unix_time;
use crate::id::NodeName;
use crate::record::{Farm, RecordKey, Ttl};

/// Index of a node: in configuration order first, then those that were added. It stays the same as long as this process runs.
pub type NodeIndex = usize;
/// A node as it is added.
pub type Named = (NodeName, Arc<dyn Node>);

/// How often it is told and learnt which nodes were away.
const AWAY_STEP: Duration = Duration::from_secs(1);
/// When an absence is this old, every sidecar has read of it: it is told at once, and read within a step.
const AWAY_KNOWN_AFTER: Duration = Duration::from_millis(1_300);
/// A sidecar that has read for this long from no node knows of no absence: it was stopped. Less than that, by the time that telling takes.
const READ_WITHIN: Duration = Duration::from_millis(1_200);
/// A sidecar that was just started has seen no session yet.
const LONGEST_LIFE_AT_LEAST: u64 = 24 * 3600;
/// How long it is remembered that a node was away, for sessions without end: as long as their tombstones.
const LIFE_WITHOUT_END: u64 = 30 * 24 * 3600;

/// All nodes.
#[derive(Clone)]
pub struct Nodes(Arc<Inner>);

struct Inner {
    list: ArcSwap<List>,
    away: Away,
    /// Counts the absences that this sidecar has noticed, with the time of the last.
    noticed: watch::Sender<(u64, Option<Instant>)>,
    /// How many of them each node has been told.
    told: watch::Sender<Vec<u64>>,
    /// How long a node that was away may hold what others have forgotten: the longest life of a session that was seen, in seconds.
    longest_life: AtomicU64,
}

#[derive(Clone)]
struct List {
    entries: Vec<Arc<Entry>>,
    /// Those that get sessions, in configuration order.
    ring: Vec<NodeIndex>,
}

struct Entry {
    name: NodeName,
    node: ArcSwap<Arc<dyn Node>>,
    health: watch::Sender<Health>,
    /// Who answered last.
    life: Mutex<Option<Incarnation>>,
    /// When it was last asked which nodes have been away, and answered.
    asked: Mutex<Option<Instant>>,
    /// When it was last noticed that it had gone, or come back empty.
    gone: Mutex<Option<Instant>>,
    /// When the last probe began that it did not answer.
    missed: Mutex<Option<Instant>>,
    /// Its next probe is wanted now.
    hurry: Notify,
    /// The key of what is said about it.
    away_key: OnceLock<String>,
    /// Of batches that it has answered.
    times: Histogram,
    /// Batches that it has failed.
    errors: Counter,
}

impl Entry {
    fn new(name: NodeName, node: Arc<dyn Node>) -> Arc<Self> {
        Arc::new(Self {
            name,
            node: ArcSwap::from_pointee(node),
            health: watch::Sender::default(),
            life: Mutex::default(),
            asked: Mutex::default(),
            gone: Mutex::default(),
            missed: Mutex::default(),
            hurry: Notify::new(),
            away_key: OnceLock::new(),
            times: Histogram::default(),
            errors: Counter::default(),
        })
    }

    /// Whether another life of the node has answered than before.
    fn is_reborn(&self, life: Incarnation) -> bool {
        let before = self.life.lock().unwrap_or_else(PoisonError::into_inner).replace(life);
        before.is_some_and(|before| before != life)
    }

    fn has_told_lately(&self) -> bool {
        get(&self.asked).is_some_and(|at| at.elapsed() < READ_WITHIN)
    }

    /// Whether it answers: anything is an answer, only a node that can't be reached is down.
    async fn answers(&self) -> bool {
        let began = Instant::now();
        let answer = self.node().probe().await;
        let missed = matches!(answer, Err(NodeError::Timeout | NodeError::Unreachable(_)));
        if missed {
            set(&self.missed, began);
        }
        !missed
    }

    fn node(&self) -> Arc<dyn Node> {
        Arc::clone(&self.node.load())
    }

    fn health(&self) -> Health {
        *self.health.borrow()
    }
}

impl Nodes {
    /// In configuration order, which must be the same on every sidecar; and those that are retired.
    pub fn new(nodes: Vec<Named>, retired: Vec<Named>) -> Self {
        let ring = (0..nodes.len()).collect();
        let entries: Vec<_> =
            nodes.into_iter().chain(retired).map(|(name, node)| Entry::new(name, node)).collect();
        let longest_life = AtomicU64::new(LONGEST_LIFE_AT_LEAST);
        let (noticed, told) = (watch::Sender::new((0, None)), watch::Sender::new(vec![0; entries.len()]));
        let away = Away::new(entries.len());
        let list = ArcSwap::from_pointee(List { entries, ring });
        Self(Arc::new(Inner { list, away, noticed, told, longest_life }))
    }

    fn list(&self) -> Arc<List> {
        self.0.list.load_full()
    }

    fn entry(&self, index: NodeIndex) -> Arc<Entry> {
        self.list().entries[index].clone()
    }

    /// Makes nodes known that are not yet, and replaces the way to those that are. They get sessions when [`place`](Self::place) says so.
    pub fn know(&self, nodes: Vec<Named>) {
        let mut list = List::clone(&self.list());
        for (name, node) in nodes {
            if let Some(entry) = list.entries.iter().find(|entry| entry.name == name) {
                entry.node.store(Arc::new(node));
            } else {
                list.entries.push(Entry::new(name, node));
            }
        }
        let count = list.entries.len();
        self.0.away.grow(count);
        // First the list: whoever sees that somebody may be told asks it whether he is up.
        self.0.list.store(Arc::new(list));
        self.0.told.send_modify(|told| told.resize(count, 0));
    }

    /// Only these get sessions from now on, in this order. Copies of a session may be where they do not belong then.
    pub fn place(&self, names: &[NodeName]) {
        let mut list = List::clone(&self.list());
        let before = std::mem::take(&mut list.ring);
        list.ring = names.iter().filter_map(|name| list.find(name)).collect();
        let changed = if before == list.ring { 0..0 } else { 0..list.entries.len() };
        self.0.list.store(Arc::new(list));
        changed.for_each(|node| self.note_away(node));
    }

    /// The node called `name`.
    pub fn find(&self, name: &NodeName) -> Option<NodeIndex> {
        self.list().find(name)
    }

    /// Whether one is called `name`.
    pub fn knows(&self, name: &NodeName) -> bool {
        self.find(name).is_some()
    }

    /// The name of a node.
    pub fn name(&self, index: NodeIndex) -> NodeName {
        self.entry(index).name.clone()
    }

    /// All that are known, in the order of their indexes.
    pub fn all(&self) -> impl Iterator<Item = NodeIndex> + use<> {
        0..self.list().entries.len()
    }

    /// How many get sessions.
    pub fn placed(&self) -> usize {
        self.list().ring.len()
    }

    /// Whether a node gets no session any more.
    pub fn is_retired(&self, index: NodeIndex) -> bool {
        !self.list().ring.contains(&index)
    }

    /// Those that get sessions, in ring order from `start` on. A retired one stands before all others.
    pub fn ring(&self, start: NodeIndex) -> impl Iterator<Item = NodeIndex> + use<> {
        let list = self.list();
        let at = list.ring.iter().position(|node| *node == start);
        let first = at.is_none().then_some(start);
        let len = list.ring.len();
        // By its name, so that it is the same on every sidecar.
        let by_name =
            || list.entries[start].name.as_str().bytes().map(usize::from).sum::<usize>() % len.max(1);
        let at = at.unwrap_or_else(by_name);
        first.into_iter().chain((0..len).map(move |step| list.ring[(at + step) % len]))
    }

    /// The first node that is up, in ring order from `start` on.
    pub fn first_up(&self, start: NodeIndex) -> Option<NodeIndex> {
        self.ring(start).find(|node| self.is_up(*node))
    }

    /// Where the ring starts for a session that no node's name goes with (R2).
    pub fn start_of(&self, key: &RecordKey) -> NodeIndex {
        let list = self.list();
        list.ring[key.ring_start(list.ring.len())]
    }

    /// Whether a node may hold old copies, because it was away.
    pub fn one_was_away(&self) -> bool {
        self.0.away.any(unix_time())
    }

    /// Whether it would be known here that `node` was away: another one has said lately what it knows. None has when this process was stopped.
    pub fn would_know_of(&self, node: NodeIndex) -> bool {
        let entries = &self.list().entries;
        let mut others = entries.iter().enumerate().filter(|(other, _)| *other != node);
        entries.len() < 2 || others.any(|(_, entry)| entry.has_told_lately())
    }

    /// Waits until all sidecars know of every absence that was noticed until now, so that nobody reads from a node that comes back what
    /// was stored without it. Immediate while there was none lately.
    pub async fn away_known(&self) {
        let (noticed, Some(since)) = *self.0.noticed.borrow() else { return };
        if since.elapsed() >= AWAY_KNOWN_AFTER {
            return;
        }
        let told = |told: &Vec<u64>| (0..told.len()).all(|node| told[node] >= noticed || !self.is_up(node));
        let _ = timeout(AWAY_KNOWN_AFTER, self.0.told.subscribe().wait_for(told)).await;
        sleep_until(since + AWAY_KNOWN_AFTER).await;
    }

    /// A session lives for `seconds`; zero: for ever.
    pub fn note_life(&self, seconds: u32) {
        let seconds = if seconds == 0 { LIFE_WITHOUT_END } else { seconds.into() };
        self.0.longest_life.fetch_max(seconds, Ordering::Relaxed);
    }

    /// Tells the other nodes, and learns from them, which nodes have been away. For ever.
    pub async fn exchange_away(self, farm: Farm, first: watch::Sender<bool>) {
        let mut talked_to = 0;
        join_all(self.all().map(|node| self.exchange_away_with(node, &farm))).await;
        first.send_replace(true);
        let mut talks = FuturesUnordered::new();
        let mut notices = self.0.noticed.subscribe();
        loop {
            // Each for itself: a node that hangs must not keep the others' news waiting. A new list is noticed like an absence.
            talks.extend(self.all().skip(talked_to).map(|node| self.exchange_away_for_ever(node, &farm)));
            talked_to = self.all().count();
            tokio::select! {
                _ = notices.changed() => {}
                _ = talks.next() => {}
            }
        }
    }

    /// Learns from all nodes which have been away, once, and tells none: for who looks on beside the sidecars, and may himself be cut off
    /// from a node that they reach.
    pub async fn learn_away(&self, farm: &Farm) {
        join_all(self.all().map(|node| self.learn_away_from(node, farm))).await;
    }

    /// Tells all nodes that are up which ones were away as seen from here, once, and waits until every sidecar has read it.
    pub async fn tell_away(&self, farm: &Farm) {
        let up = self.all().filter(|node| self.is_up(*node));
        join_all(up.map(|node| self.exchange_away_with(node, farm))).await;
        sleep(AWAY_KNOWN_AFTER).await;
    }

    async fn exchange_away_for_ever(&self, node: NodeIndex, farm: &Farm) {
        let mut notices = self.0.noticed.subscribe();
        loop {
            let (noticed, _) = *notices.borrow_and_update();
            if self.is_up(node) {
                let done = self.exchange_away_with(node, farm).await;
                self.0.told.send_modify(|told| {
                    if let Some(told) = told.get_mut(node).filter(|_| done) {
                        *told = noticed;
                    }
                });
            }
            let _ = timeout(AWAY_STEP, notices.changed()).await;
        }
    }

    /// `false`: the node could not be asked or told.
    async fn exchange_away_with(&self, node: NodeIndex, farm: &Farm) -> bool {
        let Some(theirs) = self.learn_away_from(node, farm).await else { return false };
        let now = unix_time();
        let mut told = Vec::new();
        for (about, (key, theirs)) in theirs.into_iter().enumerate() {
            let ours = self.0.away.until(about);
            if ours > theirs.max(now) {
                let value = Bytes::from(ours.to_string());
                let ttl = Ttl(u32::try_from(ours - now).unwrap_or(0)).on_the_wire(now);
                told.push(Command::Set { key, value, flags: 0, ttl, mode: Mode::Set });
            }
        }
        told.is_empty() || self.run(node, &told).await.is_ok()
    }

    /// What a node says of each node: the item's key, and until when that one counts as having been away. `None`: it could not be asked.
    async fn learn_away_from(&self, node: NodeIndex, farm: &Farm) -> Option<Vec<(String, u64)>> {
        let (list, began) = (self.list(), Instant::now());
        let key = |entry: &Arc<Entry>| entry.away_key.get_or_init(|| farm.away(&entry.name)).clone();
        let keys: Vec<String> = list.entries.iter().map(key).collect();
        let batch: Vec<_> = keys.iter().map(|key| Command::Get { key: key.clone(), value: true }).collect();
        let answers = self.run(node, &batch).await.ok()?;
        let said = answers.replies.iter().map(|reply| match reply {
            Reply::Hit(item) => until(item.value.as_deref().unwrap_or_default()),
            _ => 0,
        });
        let theirs: Vec<_> = keys.into_iter().zip(said).collect();
        for (about, (_, until)) in theirs.iter().enumerate() {
            self.0.away.note(about, *until);
        }
        set(&list.entries[node].asked, began);
        Some(theirs)
    }

    fn note_away(&self, node: NodeIndex) {
        set(&self.entry(node).gone, Instant::now());
        self.0.away.note(node, unix_time() + self.0.longest_life.load(Ordering::Relaxed));
        self.0.noticed.send_modify(|(count, since)| {
            *count += 1;
            *since = Some(Instant::now());
        });
    }

    /// Whether every node that gets sessions is believed to be up.
    pub fn all_up(&self) -> bool {
        self.list().ring.iter().all(|node| self.is_up(*node))
    }

    /// When another node has gone since one that is believed to be down was last asked, that one may be back, others may use it already, and
    /// what was on these two is not seen from here: it is asked now. `true`: it is back, or still not known.
    pub async fn one_is_back(&self) -> bool {
        let list = self.list();
        let doubtful = || list.entries.iter().find(|entry| list.is_doubtful(entry));
        // A probe that is under way has begun too early, perhaps.
        for _ in 0..=2 * list.entries.len() {
            let Some(entry) = doubtful() else { return false };
            let mut health = entry.health.subscribe();
            entry.hurry.notify_one();
            let told = timeout(entry.node().timeout(), health.changed()).await;
            if told.is_err() || entry.health().is_used() {
                return true;
            }
        }
        true
    }

    /// Whether a node is believed to be up.
    pub fn is_up(&self, index: NodeIndex) -> bool {
        self.entry(index).health().is_used()
    }

    /// How long a node took to answer batches, and how many it has failed.
    pub fn counted(&self, index: NodeIndex) -> (Snapshot, u64) {
        let entry = self.entry(index);
        (entry.times.snapshot(), entry.errors.get())
    }

    /// The largest item that a node takes, in bytes; zero while unknown.
    pub fn item_size_max(&self, index: NodeIndex) -> usize {
        self.entry(index).node().item_size_max()
    }

    /// Waits until it is known of every node whether it is down: what a node has that was only cut off for a moment may be newer than
    /// what the others have. As long as a probe takes; immediate while no connection was cut just now.
    pub async fn settled(&self) {
        for entry in &self.list().entries {
            if entry.health() == Health::Cut {
                let _ = entry.health.subscribe().wait_for(|health| *health != Health::Cut).await;
            }
        }
    }

    /// The longest life that an item may have, as far as is known.
    pub fn longest_life(&self) -> Ttl {
        Ttl(u32::try_from(self.0.longest_life.load(Ordering::Relaxed)).unwrap_or(0))
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

    /// The same for what nobody waits for and may be done twice, within a millisecond: it goes with other requests' commands if there are any.
    ///
    /// # Errors
    /// As [`run_in`](Self::run_in).
    pub async fn run_soon(
        &self,
        index: NodeIndex,
        batch: Vec<Command>,
        only: Incarnation,
    ) -> Result<Answers, NodeError> {
        if !self.is_up(index) {
            return Err(NodeError::Down);
        }
        let entry = self.entry(index);
        let node = entry.node();
        self.watched(index, &entry, node.run_soon(batch, only)).await
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
        let entry = self.entry(index);
        let node = entry.node();
        let began = Then::now();
        let result = self.watched(index, &entry, node.run(batch, only)).await;
        if result.is_ok() {
            entry.times.observe(began.elapsed());
        }
        result
    }

    /// Takes note of how a node behaves.
    async fn watched(
        &self,
        index: NodeIndex,
        entry: &Entry,
        mut running: impl Future<Output = Result<Answers, NodeError>> + Unpin,
    ) -> Result<Answers, NodeError> {
        let result = match timeout(entry.node().timeout() * 2 / 5, &mut running).await {
            Ok(result) => result,
            Err(_) => {
                // Asked on a fresh connection meanwhile: when this request gives up, it is known whether the node is down.
                self.tell(index, Event::TimedOut);
                running.await
            }
        };
        match &result {
            // It was restarted so fast that nobody saw it go.
            Ok(answers) if entry.is_reborn(answers.incarnation) => self.note_away(index),
            Ok(_)
            | Err(
                NodeError::Down
                | NodeError::Reborn
                | NodeError::Refused(_)
                | NodeError::ChunkRefused(_)
                | NodeError::Protocol(_),
            ) => {}
            Err(NodeError::Unreachable(_)) => self.tell(index, Event::Cut),
            Err(NodeError::Timeout) => self.tell(index, Event::TimedOut),
        }
        if let Err(error) = &result {
            entry.errors.add();
            log::warn!("memcached node {}: {error}", entry.name);
        }
        result
    }

    fn tell(&self, index: NodeIndex, event: Event) {
        let (before, (after, probe)) = {
            let entry = self.entry(index);
            let mut told = (Health::Up, (Health::Up, None));
            entry.health.send_modify(|health| {
                told = (*health, health.on(event));
                *health = told.1.0;
            });
            told
        };
        match (before.is_used(), after.is_used()) {
            (true, false) => {
                log::warn!("memcached node {} is down", self.name(index));
                self.note_away(index);
            }
            (false, true) => log::info!("memcached node {} is up", self.name(index)),
            _ => {}
        }
        if let Some(pause) = probe {
            let nodes = self.clone();
            tokio::spawn(async move { nodes.probe(index, pause).await });
        }
    }

    async fn probe(&self, index: NodeIndex, pause: Duration) {
        let entry = self.entry(index);
        let _ = timeout(pause, entry.hurry.notified()).await;
        let answers = entry.answers().await;
        self.tell(index, if answers { Event::ProbeAnswered } else { Event::ProbeFailed });
    }
}

impl List {
    fn is_doubtful(&self, entry: &Arc<Entry>) -> bool {
        let missed = get(&entry.missed);
        let gone_since =
            |other: &Entry| get(&other.gone).is_some_and(|gone| missed.is_none_or(|missed| gone >= missed));
        let mut others = self.entries.iter().filter(|other| !Arc::ptr_eq(other, entry));
        !entry.health().is_used() && others.any(|other| gone_since(other))
    }

    fn find(&self, name: &NodeName) -> Option<NodeIndex> {
        self.entries.iter().position(|entry| entry.name == *name)
    }
}

fn get(at: &Mutex<Option<Instant>>) -> Option<Instant> {
    *at.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set(at: &Mutex<Option<Instant>>, to: Instant) {
    *at.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
}

/// What an item about a node says: seconds since 1970, in decimal.
fn until(value: &[u8]) -> u64 {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

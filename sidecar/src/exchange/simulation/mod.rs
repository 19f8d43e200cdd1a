//! Several sidecars, one session, and a memcached whose network loses, delays and cuts, in simulated time: thousands of
//! seeds in seconds. The same seed gives the same run. What memcached does to an item is modelled after 1.6.18, and real
//! ones are used by the tests in `tests/`.

mod memory;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};

use super::access::{Access, Locking, OnLockTimeout};
use super::late::Late;
use super::look_up::Lookup;
use super::outbox::Outbox;
use super::store::{StoreError, Target};
use super::watch::Limits;
use super::{Core, NodeSuffix, OnStoreFailure, Settings};
use crate::agreement::Agreed;
use crate::cache::Cache;
use crate::config::TomcatTimeouts;
use crate::context::{Context, Contexts};
use crate::file::SessionFile;
use crate::file::session_file::tests::sample;
use crate::id::{NodeName, Presented, SessionId};
use crate::lock::Locks;
use crate::memcached::nodes::NodeIndex;
use crate::memcached::{Incarnation, Node, Nodes};
use crate::metrics::Metrics;
use crate::probe::Tomcat;
use crate::record::{Ended, Farm, Keys};
use memory::{Faults, Memory, Network, Reach};

const SIDECARS: usize = 3;
const CLIENTS: usize = 4;

/// A sidecar, and until when it is stopped.
#[derive(Clone)]
struct Sidecar {
    core: Arc<Core>,
    asleep: Arc<Mutex<Instant>>,
}

type Shared = Arc<Mutex<Memory>>;

fn name(node: NodeIndex) -> NodeName {
    NodeName::parse(&format!("n{}", node + 1)).unwrap()
}

fn sidecar(memories: &[Shared]) -> Sidecar {
    let asleep = Arc::new(Mutex::new(Instant::now()));
    let metrics = Arc::new(Metrics::default());
    let nodes = memories.iter().enumerate().map(|(node, memory)| {
        let network = Network { memory: memory.clone(), asleep: asleep.clone() };
        (name(node), Arc::new(network) as Arc<dyn Node>)
    });
    let nodes = Nodes::new(nodes.collect(), Vec::new(), metrics.clone());
    let farm = Farm::new("test", None);
    let (first, away_known) = tokio::sync::watch::channel(false);
    tokio::spawn(nodes.clone().exchange_away(farm.clone(), first));
    let locks = Locks::new(nodes.clone(), metrics.clone());
    tokio::spawn(locks.clone().renew());
    let context = Context {
        path: String::new(),
        hosts: Vec::new(),
        shares_cookie: false,
        directory: "/nowhere".into(),
        cookie_name: "JSESSIONID".into(),
        param_names: vec!["jsessionid".into()],
    };
    let core = Core {
        contexts: Contexts::new(vec![context]),
        directories: Vec::new(),
        farm,
        away_known,
        agreed: Agreed::default(),
        keys: ArcSwap::from_pointee(Keys::new(&[[7; 32]], 1 << 20)),
        nodes,
        locks,
        turns: Arc::default(),
        cache: Cache::new(1 << 20),
        metrics,
        tomcat: Tomcat { address: "127.0.0.1:1".parse().unwrap() },
        settings: ArcSwap::from_pointee(settings(memories.len().min(2))),
        suspects: Mutex::default(),
        outbox: Outbox::default(),
        late: Late::default(),
        learned: Default::default(),
        gathering: Default::default(),
    };
    let core = Arc::new(core);
    tokio::spawn(core.clone().deliver());
    Sidecar { core, asleep }
}

fn settings(copies: usize) -> Settings {
    Settings {
        node_suffix: NodeSuffix::Cookie,
        locking: Locking::All,
        ignore_uri: None,
        unheld_uri: None,
        readonly_uri: None,
        on_lock_timeout: OnLockTimeout::Fail,
        on_store_failure: OnStoreFailure::Fail,
        outbox_size: 1 << 20,
        copies,
        lock_timeout: Duration::from_secs(30),
        backup_timeout: None,
        tomcat: TomcatTimeouts {
            connect_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(600),
            write_timeout: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(15),
        },
        limits: Limits { max_request_time: Duration::from_secs(600), abandon_time: Duration::from_secs(5) },
        max_session_size: 1 << 20,
    }
}

/// Bytes of a large session beside its changes: three items of a memcached that takes 1 KiB as one.
const LARGE: usize = 2_500;
const SMALL_ITEMS: usize = 1_300;

/// A session file that lists the changes that were made to it, behind something that can't be compressed.
fn file(changes: &BTreeSet<u16>, large: bool) -> SessionFile {
    let mut random = SmallRng::seed_from_u64(1);
    let mut tail: Vec<u8> = (0..if large { LARGE } else { 0 }).map(|_| random.random()).collect();
    tail.extend(changes.iter().flat_map(|change| change.to_be_bytes()));
    SessionFile::parse(sample("ABC", 1800, &tail)).unwrap()
}

fn changes(file: &SessionFile, large: bool) -> BTreeSet<u16> {
    let start = sample("ABC", 1800, b"").len() + if large { LARGE } else { 0 };
    file.bytes()[start..].chunks(2).map(|change| u16::from_be_bytes([change[0], change[1]])).collect()
}

/// What the clients know.
#[derive(Default)]
struct History {
    acknowledged: BTreeSet<u16>,
    /// A logout was begun; and it was acknowledged.
    ending: bool,
    ended: bool,
    changes: u16,
    served: usize,
}

struct World {
    memories: Vec<Shared>,
    /// What a sidecar that starts now is configured with.
    list: Mutex<Vec<NodeName>>,
    history: Mutex<History>,
    large: bool,
}

/// What a request does with its session.
#[derive(Clone, Copy)]
enum Work {
    Change,
    Read,
    /// Beside the others, without lock and turn.
    ReadBeside,
    LogOut,
}

/// What runs.
#[derive(Clone, Copy)]
struct Plan {
    nodes: usize,
    faults: Faults,
    /// Requests of each client.
    requests: usize,
    /// Of a thousand requests: end the session.
    logouts: u32,
    /// Nodes are away for a while, one at a time, and a new sidecar serves every twentieth request.
    outages: bool,
    /// The session is larger than an item of memcached may be.
    large: bool,
    /// Nodes are taken out of the list and put back, by one sidecar after the other.
    reloads: bool,
}

impl World {
    /// Whether a single node has lost its memory.
    fn forgotten(&self) -> bool {
        self.memories.len() == 1 && self.memories[0].lock().unwrap().life != FIRST_LIFE
    }

    fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }

    fn set_faults(&self, faults: Faults) {
        self.memories.iter().for_each(|memory| memory.lock().unwrap().faults = faults);
    }

    /// Creates the session.
    async fn create(&self, core: &Core) {
        let (key, id) = (core.farm.key("", &id()), id());
        let target = Target { key: &key, context: "", id: &id };
        core.create(&target, 0, file(&BTreeSet::new(), self.large), Bytes::new(), false).await.unwrap();
    }

    /// One request, from the look-up to the answer. What it sees must hold every change that was acknowledged
    /// before it began. The node that the session is on then, if that is told.
    async fn request(
        &self,
        Sidecar { core, asleep }: &Sidecar,
        cookie: NodeIndex,
        work: Work,
        takes: Duration,
        nap: Option<Duration>,
    ) -> Option<NodeIndex> {
        let forgotten = self.forgotten();
        let known = self.history().acknowledged.clone();
        let ended = self.history().ended;
        let presented = Presented { id: id(), suffix: Some(name(cookie)) };
        // 503: nothing was promised.
        let access = if matches!(work, Work::ReadBeside) { Access::ReadOnly } else { Access::Locked };
        let found = core.clone().look_up(0, &presented, access).await.ok()?;
        let Lookup::Found(found) = found else {
            assert!(self.history().ending || self.forgotten(), "an existing session was not found");
            return None;
        };
        assert!(!ended, "a session that had been logged out came back");
        assert!(!forgotten, "a session came back after memcached had forgotten it");
        let mut seen = changes(&found.session.file, self.large);
        assert!(seen.is_superset(&known), "{known:?} were acknowledged, {seen:?} are seen");
        self.history().served += 1;
        sleep(takes).await;
        if let Some(nap) = nap {
            *asleep.lock().unwrap() = Instant::now() + nap;
        }
        let id = id();
        let target = Target { key: &found.key, context: "", id: &id };
        let mut node = None;
        match work {
            Work::ReadBeside => {
                core.touch(&target, &found.session, None).await;
                return None;
            }
            Work::Read if !found.session.displaced => {
                core.touch(&target, &found.session, found.lock).await;
                return None;
            }
            Work::Read => node = core.store(&target, &found.session, file(&seen, self.large)).await.ok(),
            Work::LogOut => {
                self.history().ending = true;
                if core.bury(&target, &found.session, Ended::Invalidated).await.is_ok() {
                    self.history().ended = true;
                }
            }
            Work::Change => {
                self.history().changes += 1;
                let change = self.history().changes;
                seen.insert(change);
                match core.store(&target, &found.session, file(&seen, self.large)).await {
                    Ok(primary) => {
                        assert!(self.history().acknowledged.insert(change));
                        node = Some(primary);
                    }
                    Err(StoreError::Conflict | StoreError::Node(_) | StoreError::Kept(_)) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
        if let Some(lock) = found.lock {
            lock.release().await;
        }
        node
    }

    /// Nodes go away and come back, one after the other: killed, cut off, or stopped.
    async fn outages(self: Arc<Self>, mut random: SmallRng) {
        loop {
            // Long enough for every session to have been used: two copies survive one failure at a time (R26).
            sleep(Duration::from_millis(random.random_range(15_000..30_000))).await;
            let memory = &self.memories[random.random_range(0..self.memories.len())];
            let how = random.random_range(0..3);
            memory.lock().unwrap().reach = if how == 0 { Reach::Silent } else { Reach::Refused };
            let away = if random.random_range(0..2) == 0 { 50..1_500 } else { 2_000..15_000 };
            sleep(Duration::from_millis(random.random_range(away))).await;
            let mut memory = memory.lock().unwrap();
            if how == 1 {
                memory.restart();
            }
            memory.reach = Reach::Yes;
        }
    }

    /// The list of nodes changes, and one sidecar after the other is told.
    async fn reloads(self: Arc<Self>, sidecars: Vec<Sidecar>, mut random: SmallRng) {
        loop {
            sleep(Duration::from_millis(random.random_range(5_000..20_000))).await;
            let mut list: Vec<_> = (0..self.memories.len()).map(name).collect();
            if random.random_range(0..3) > 0 {
                list.remove(random.random_range(0..list.len()));
            }
            *self.list.lock().unwrap() = list.clone();
            for sidecar in &sidecars {
                sleep(Duration::from_millis(random.random_range(0..2_000))).await;
                sidecar.core.nodes.place(&list);
            }
        }
    }
}

fn id() -> SessionId {
    SessionId::parse(b"ABC").unwrap()
}

/// One run. How many requests had their session.
async fn run(seed: u64, plan: Plan) -> usize {
    crate::random::seed(seed);
    let memories: Vec<Shared> = (0..plan.nodes as u64)
        .map(|node| {
            let random = SmallRng::seed_from_u64(seed.wrapping_add(node << 32));
            let mut memory = Memory::new(FIRST_LIFE, random, NONE);
            memory.item_size_max = if plan.large { SMALL_ITEMS } else { memory.item_size_max };
            Arc::new(Mutex::new(memory))
        })
        .collect();
    let world = Arc::new(World {
        memories: memories.clone(),
        list: Mutex::new((0..plan.nodes).map(name).collect()),
        history: Mutex::default(),
        large: plan.large,
    });
    let sidecars: Vec<_> = (0..SIDECARS).map(|_| sidecar(&memories)).collect();
    world.create(&sidecars[0].core).await;
    world.set_faults(plan.faults);
    let outages = plan.outages.then(|| tokio::spawn(world.clone().outages(SmallRng::seed_from_u64(!seed))));
    let reloads = plan.reloads.then(|| {
        let random = SmallRng::seed_from_u64(!seed.wrapping_mul(7));
        tokio::spawn(world.clone().reloads(sidecars.clone(), random))
    });
    let clients: Vec<_> = (0..CLIENTS as u64)
        .map(|client| {
            let (world, sidecars, memories) = (world.clone(), sidecars.clone(), memories.clone());
            tokio::spawn(async move {
                let mut random = SmallRng::seed_from_u64(seed.wrapping_mul(31) + client);
                let mut cookie = 0;
                for _ in 0..plan.requests {
                    sleep(Duration::from_millis(random.random_range(0..500))).await;
                    let chosen = match random.random_range(0..20) {
                        0 if plan.outages || plan.reloads => {
                            let started = sidecar(&memories);
                            started.core.nodes.place(&world.list.lock().unwrap());
                            started
                        }
                        _ => sidecars[random.random_range(0..SIDECARS)].clone(),
                    };
                    let work = match random.random_range(0..1000) {
                        dice if dice < plan.logouts => Work::LogOut,
                        dice if dice < 150 => Work::Read,
                        dice if dice < 300 => Work::ReadBeside,
                        _ => Work::Change,
                    };
                    let takes = Duration::from_millis(random.random_range(0..400));
                    let nap = Duration::from_millis(random.random_range(4_000..20_000));
                    let naps = random.random_range(0..1000) < plan.faults.asleep;
                    let told = world.request(&chosen, cookie, work, takes, naps.then_some(nap)).await;
                    // A new cookie does not always reach its client.
                    cookie = told.filter(|_| random.random_range(0..10) > 2).unwrap_or(cookie);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    outages.into_iter().chain(reloads).for_each(|task| task.abort());
    for sidecar in &sidecars {
        assert_eq!(
            sidecar.core.metrics.rolled_back.get(),
            0,
            "seed {seed}: nobody has put an old record back"
        );
    }
    world.history().served
}

const FIRST_LIFE: Incarnation = Incarnation { pid: 1, started: 1 };
const NONE: Faults = Faults { lost: 0, unanswered: 0, late: 0, asleep: 0, restarts: 0 };
const ONE_NODE: Plan =
    Plan { nodes: 1, faults: NONE, requests: 12, logouts: 10, outages: false, large: false, reloads: false };
const OUTAGES: Plan =
    Plan { nodes: 3, faults: NONE, requests: 150, logouts: 2, outages: true, large: false, reloads: false };

/// `SATCHEL_SEEDS=from..to` runs others than the first few hundred.
fn seeds(default: u64) -> std::ops::Range<u64> {
    let text = std::env::var("SATCHEL_SEEDS").unwrap_or_default();
    let parse = |text: &str| text.parse().ok();
    text.split_once("..").and_then(|(from, to)| Some(parse(from)?..parse(to)?)).unwrap_or(0..default)
}

fn simulate(plan: Plan, default: u64) {
    let mut served = 0;
    for seed in seeds(default) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        served += runtime.block_on(run(seed, plan));
    }
    let seeds = seeds(default);
    let all = (seeds.end - seeds.start) as usize * CLIENTS * plan.requests;
    assert!(served * 4 > all, "only {served} of {all} requests had their session");
}

#[test]
fn r05_r06_r17_a_network_that_loses_and_delays_loses_no_acknowledged_change() {
    simulate(Plan { faults: Faults { lost: 10, unanswered: 20, late: 20, ..NONE }, ..ONE_NODE }, 300);
}

#[test]
fn r06_r17_sidecars_that_sleep_through_their_locks_are_fenced_off() {
    simulate(Plan { faults: Faults { asleep: 60, ..NONE }, ..ONE_NODE }, 300);
}

#[test]
fn r07_a_memcached_that_restarts_brings_nothing_back() {
    simulate(Plan { faults: Faults { restarts: 2, ..NONE }, ..ONE_NODE }, 300);
}

#[test]
fn everything_at_once() {
    simulate(
        Plan { faults: Faults { lost: 5, unanswered: 10, late: 10, asleep: 20, restarts: 1 }, ..ONE_NODE },
        300,
    );
}

#[test]
fn r18_r24_of_three_nodes_any_may_go_and_come_back() {
    simulate(OUTAGES, 30);
}

#[test]
fn r18_r24_of_two_nodes_any_may_go_and_come_back() {
    simulate(Plan { nodes: 2, ..OUTAGES }, 30);
}

/// A logout has reached the second node and not yet the first when a reader beside it renews the second copy.
#[tokio::test(start_paused = true)]
async fn r20_a_reader_does_not_renew_a_copy_that_is_newer_than_what_it_has_read() {
    let memory = |node| Memory::new(FIRST_LIFE, SmallRng::seed_from_u64(node), NONE);
    let memories: Vec<Shared> = (0..2).map(|node| Arc::new(Mutex::new(memory(node)))).collect();
    let (writer, reader) = (sidecar(&memories), sidecar(&memories));
    let (key, id) = (writer.core.farm.key("", &id()), id());
    let target = Target { key: &key, context: "", id: &id };
    writer.core.create(&target, 0, file(&BTreeSet::new(), false), Bytes::new(), false).await.unwrap();
    let look_up = async |core: &Arc<Core>, access| {
        let presented = Presented { id: id.clone(), suffix: Some(name(0)) };
        match core.clone().look_up(0, &presented, access).await {
            Ok(Lookup::Found(found)) => found,
            _ => panic!("it is there"),
        }
    };
    let read = look_up(&reader.core, Access::ReadOnly).await;
    let before = memories[0].lock().unwrap().items().clone();
    let found = look_up(&writer.core, Access::Locked).await;
    writer.core.bury(&target, &found.session, Ended::Invalidated).await.unwrap();
    let flags = |node: usize| memories[node].lock().unwrap().items()[&key.record()].flags;
    let tombstone = flags(1);
    *memories[0].lock().unwrap().items() = before;
    assert_ne!(flags(0), tombstone);
    reader.core.touch(&target, &read.session, None).await;
    assert_eq!(flags(1), tombstone, "the session would be back when the first node dies");
}

#[test]
fn r23_r24_an_answer_that_is_lost_while_nodes_go_and_come_back_brings_nothing_back() {
    simulate(Plan { faults: Faults { lost: 3, unanswered: 3, ..NONE }, requests: 75, ..OUTAGES }, 30);
}

#[test]
fn r19_a_session_in_chunks_is_whole_or_old() {
    let faults = Faults { lost: 5, unanswered: 10, late: 10, asleep: 20, restarts: 0 };
    simulate(Plan { faults, large: true, ..ONE_NODE }, 100);
    simulate(Plan { large: true, requests: 75, ..OUTAGES }, 10);
}

#[test]
fn r25_nodes_leave_the_list_and_come_back() {
    simulate(Plan { outages: false, reloads: true, ..OUTAGES }, 30);
}

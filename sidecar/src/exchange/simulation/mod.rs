//! Several sidecars, one session, and a memcached whose network loses, delays and cuts, in simulated time: thousands of
//! seeds in seconds. The same seed gives the same run. What memcached does to an item is modelled after 1.6.18, and real
//! ones are used by the tests in `tests/`.

mod checker;
mod farm;
mod found;
mod memory;
mod sidecar;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};

use super::Core;
use super::access::Access;
use super::look_up::Lookup;
use super::store::{StoreError, Target};
use crate::file::SessionFile;
use crate::file::session_file::tests::sample;
use crate::id::{NodeName, Presented, SessionId};
use crate::memcached::Incarnation;
use crate::memcached::nodes::NodeIndex;
use crate::record::Ended;
use memory::{Faults, Memory, Outage, Shared};
use sidecar::{Sidecar, name, sidecar};

const SIDECARS: usize = 3;
const CLIENTS: usize = 4;

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
        Sidecar { core, gate }: &Sidecar,
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
            gate.stop(nap);
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
            Outage::any(&mut random).of(memory, &mut random).await;
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
    let memories: Vec<Shared> = (0..plan.nodes as u64)
        .map(|node| {
            let mut memory = Memory::new(FIRST_LIFE, seed.wrapping_add(node << 32), NONE);
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
    let sidecars: Vec<_> = (0..SIDECARS as u64).map(|number| sidecar(&memories, number)).collect();
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
                for request in 0..plan.requests as u64 {
                    sleep(Duration::from_millis(random.random_range(0..500))).await;
                    let chosen = match random.random_range(0..20) {
                        0 if plan.outages || plan.reloads => {
                            let started = sidecar(&memories, (client + 1) << 20 | request);
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
        client.await.unwrap();
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

/// `SATCHEL_SEEDS=from..to` runs others; without it they are so many with `SATCHEL_LONG`, else a third.
fn seeds(default: u64) -> std::ops::Range<u64> {
    let text = std::env::var("SATCHEL_SEEDS").unwrap_or_default();
    let parse = |text: &str| text.parse().ok();
    text.split_once("..").and_then(|(from, to)| Some(parse(from)?..parse(to)?)).unwrap_or_else(|| {
        if std::env::var_os("SATCHEL_LONG").is_some() { 0..default } else { 0..default.div_ceil(3) }
    })
}

/// Says how to run a seed again, if it fails.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let thread = std::thread::current();
            let test = thread.name().filter(|name| name.contains("simulation")).unwrap_or("simulation");
            let Self(seed) = *self;
            eprintln!(
                "replay: SATCHEL_SEEDS={seed}..{} cargo test -p sidecar {test} -- --nocapture",
                seed + 1
            );
        }
    }
}

thread_local! {
    static BEGAN: Cell<Option<(u64, Instant)>> = const { Cell::new(None) };
}

/// Since the run began that this thread simulates.
fn now() -> Option<Duration> {
    BEGAN.get().map(|(_, began)| began.elapsed())
}

/// With `SATCHEL_TRACE` in the environment: says what happens.
fn trace(line: impl FnOnce() -> Option<String>) {
    static ASKED: LazyLock<bool> = LazyLock::new(|| std::env::var_os("SATCHEL_TRACE").is_some());
    if *ASKED && let Some(line) = line() {
        eprintln!("{:?} {line}", now().unwrap_or_default());
    }
}

/// Seconds since 1970, in a simulation.
pub(super) fn unix_time() -> Option<u64> {
    now().map(|now| 1_700_000_000 + now.as_secs())
}

/// A number for each moment of a simulation: random, and the same for whoever asks first.
pub(crate) fn moment() -> Option<u64> {
    let (seed, began) = BEGAN.get()?;
    let mut hasher = DefaultHasher::new();
    (seed, began.elapsed()).hash(&mut hasher);
    Some(hasher.finish())
}

/// Runs something for each seed, in simulated time and with random numbers of its own.
fn for_seeds(default: u64, mut run: impl AsyncFnMut(u64)) {
    for seed in seeds(default) {
        let _replay = Replay(seed);
        crate::random::seed(seed);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            BEGAN.set(Some((seed, Instant::now())));
            run(seed).await;
        });
        BEGAN.set(None);
    }
}

fn simulate(plan: Plan, default: u64) {
    let mut served = 0;
    for_seeds(default, async |seed| served += run(seed, plan).await);
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

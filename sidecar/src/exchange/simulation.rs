//! Several sidecars, one session, and a memcached whose network loses, delays and cuts, in simulated time: thousands of
//! seeds in seconds. The same seed gives the same run. What memcached does to an item is modelled after 1.6.18, and real
//! ones are used by the tests in `tests/`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep, timeout};

use super::late::Late;
use super::load::Lookup;
use super::store::{StoreError, Target};
use super::watch::Limits;
use super::{Core, Locking, NodeSuffix, Settings};
use crate::cache::Cache;
use crate::context::{Context, Contexts};
use crate::file::SessionFile;
use crate::file::session_file::tests::sample;
use crate::id::{NodeName, Presented, SessionId};
use crate::lock::Locks;
use crate::memcached::{Answers, Command, Incarnation, Item, Mode, Node, NodeError, Nodes, Reply};
use crate::metrics::Metrics;
use crate::probe::Tomcat;
use crate::record::{Ended, Farm, Keys};

const SIDECARS: usize = 3;
const CLIENTS: usize = 4;
const REQUESTS: usize = 12;
const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// What can go wrong.
#[derive(Clone, Copy)]
struct Faults {
    /// Of a thousand batches: never arrive.
    lost: u32,
    /// Arrive, and their answers do not.
    unanswered: u32,
    /// Arrive seconds later, when nobody waits any more: memcached was stopped and goes on.
    late: u32,
    /// Of a thousand requests: the sidecar is stopped while it has the session, for longer than the lock's TTL.
    asleep: u32,
    /// Of a thousand batches: memcached is killed and starts again, empty.
    restarts: u32,
}

/// One memcached.
struct Memory {
    items: BTreeMap<String, Held>,
    cas: u64,
    life: Incarnation,
    random: SmallRng,
    faults: Faults,
}

struct Held {
    value: Bytes,
    flags: u32,
    cas: u64,
    ends: Option<Instant>,
}

impl Memory {
    fn apply(&mut self, batch: &[Command]) -> Answers {
        let now = Instant::now();
        self.items.retain(|_, item| item.ends.is_none_or(|ends| ends > now));
        let replies = batch.iter().map(|command| self.one(command, now)).collect();
        Answers { replies, incarnation: self.life }
    }

    fn one(&mut self, command: &Command, now: Instant) -> Reply {
        let ends = |ttl: u32| (ttl > 0).then(|| now + Duration::from_secs(ttl.into()));
        match command {
            Command::Get { key, value } => match self.items.get(key) {
                Some(item) => Reply::Hit(item.seen(*value, now)),
                None => Reply::Miss,
            },
            Command::Touch { key, ttl } => match self.items.get_mut(key) {
                Some(item) => {
                    item.ends = ends(*ttl);
                    Reply::Hit(item.seen(false, now))
                }
                None => Reply::Miss,
            },
            Command::Set { key, value, flags, ttl, mode } => {
                let there = self.items.get(key).map(|item| item.cas);
                match (mode, there) {
                    (Mode::Add, Some(_)) => return Reply::Exists,
                    (Mode::Cas(_), None) => return Reply::NotFound,
                    (Mode::Cas(cas), Some(there)) if *cas != there => return Reply::Exists,
                    _ => {}
                }
                self.cas += 1;
                let item = Held { value: value.clone(), flags: *flags, cas: self.cas, ends: ends(*ttl) };
                self.items.insert(key.clone(), item);
                Reply::Stored(self.cas)
            }
            Command::Delete { key, cas } => match self.items.get(key) {
                None => Reply::NotFound,
                Some(item) if item.cas != *cas => Reply::Exists,
                Some(_) => {
                    self.items.remove(key);
                    Reply::Deleted
                }
            },
        }
    }

    fn restart(&mut self) {
        self.items.clear();
        self.cas = 0;
        self.life.pid += 1;
    }
}

impl Held {
    fn seen(&self, value: bool, now: Instant) -> Item {
        Item {
            value: value.then(|| self.value.clone()),
            flags: self.flags,
            cas: self.cas,
            ttl: self.ends.map_or(-1, |ends| i64::try_from(ends.duration_since(now).as_secs()).unwrap()),
        }
    }
}

/// One sidecar's way to it.
struct Network {
    memory: Arc<Mutex<Memory>>,
    /// Until then the sidecar is stopped: nothing that it sends leaves it.
    asleep: Arc<Mutex<Instant>>,
}

impl Network {
    async fn awake(&self) {
        let until = *self.asleep.lock().unwrap();
        tokio::time::sleep_until(until).await;
    }

    async fn send(&self, batch: &[Command], only: Option<Incarnation>) -> Result<Answers, NodeError> {
        let (delay, dice, late, restart) = {
            let mut memory = self.memory.lock().unwrap();
            let faults = memory.faults;
            let random = &mut memory.random;
            (
                Duration::from_micros(random.random_range(50..3_000)),
                random.random_range(0..1000),
                Duration::from_millis(random.random_range(1_000..12_000)),
                random.random_range(0..1000) < faults.restarts,
            )
        };
        let life = self.memory.lock().unwrap().life;
        if only.is_some_and(|only| only != life) {
            return Err(NodeError::Reborn);
        }
        sleep(delay).await;
        if restart {
            self.memory.lock().unwrap().restart();
        }
        let faults = self.memory.lock().unwrap().faults;
        let alive = |memory: &Memory| memory.life == life;
        if dice < faults.lost {
            return std::future::pending().await;
        } else if dice < faults.lost + faults.unanswered {
            let mut memory = self.memory.lock().unwrap();
            if alive(&memory) {
                memory.apply(batch);
            }
            return Err(NodeError::Unreachable("cut".into()));
        } else if dice < faults.lost + faults.unanswered + faults.late {
            let (memory, batch) = (self.memory.clone(), batch.to_vec());
            tokio::spawn(async move {
                sleep(late).await;
                let mut memory = memory.lock().unwrap();
                if memory.life == life {
                    memory.apply(&batch);
                }
            });
            return std::future::pending().await;
        }
        let answers = {
            let mut memory = self.memory.lock().unwrap();
            if !alive(&memory) {
                return Err(NodeError::Unreachable("cut".into()));
            }
            memory.apply(batch)
        };
        sleep(delay).await;
        Ok(answers)
    }
}

#[async_trait]
impl Node for Network {
    async fn run(&self, batch: &[Command], only: Option<Incarnation>) -> Result<Answers, NodeError> {
        self.awake().await;
        let answers = timeout(NODE_TIMEOUT, self.send(batch, only)).await.unwrap_or(Err(NodeError::Timeout));
        self.awake().await;
        answers
    }

    async fn probe(&self) -> Result<(), NodeError> {
        self.awake().await;
        Ok(())
    }

    fn item_size_max(&self) -> usize {
        1 << 20
    }
}

/// A sidecar, and until when it is stopped.
type Sidecar = (Arc<Core>, Arc<Mutex<Instant>>);

fn sidecar(memory: &Arc<Mutex<Memory>>) -> Sidecar {
    let asleep = Arc::new(Mutex::new(Instant::now()));
    let network = Network { memory: memory.clone(), asleep: asleep.clone() };
    let metrics = Arc::new(Metrics::default());
    let nodes = Nodes::new(
        vec![(NodeName::parse("n1").unwrap(), Box::new(network) as Box<dyn Node>)],
        metrics.clone(),
    );
    let locks = Locks::new(nodes.clone(), metrics.clone());
    tokio::spawn(locks.clone().renew());
    let context = Context {
        path: String::new(),
        directory: "/nowhere".into(),
        cookie_name: "JSESSIONID".into(),
        param_names: vec!["jsessionid".into()],
    };
    let core = Core {
        contexts: Contexts::new(vec![context]),
        directories: Vec::new(),
        farm: Farm::new("test", None),
        keys: Keys::new(&[[7; 32]], 1 << 20),
        nodes,
        locks,
        turns: Arc::default(),
        cache: Cache::new(1 << 20),
        metrics,
        tomcat: Tomcat { address: "127.0.0.1:1".parse().unwrap() },
        settings: Settings {
            node_suffix: NodeSuffix::Cookie,
            locking: Locking::All,
            lock_timeout: Duration::from_secs(30),
            backup_timeout: None,
            limits: Limits {
                max_request_time: Duration::from_secs(600),
                abandon_time: Duration::from_secs(5),
            },
            max_session_size: 1 << 20,
        },
        suspects: Mutex::default(),
        late: Late::default(),
    };
    (Arc::new(core), asleep)
}

/// A session file that lists the changes that were made to it.
fn file(changes: &BTreeSet<u8>) -> SessionFile {
    let tail: Vec<u8> = changes.iter().copied().collect();
    SessionFile::parse(sample("ABC", 1800, &tail)).unwrap()
}

fn changes(file: &SessionFile) -> BTreeSet<u8> {
    let start = sample("ABC", 1800, b"").len();
    file.bytes()[start..].iter().copied().collect()
}

/// What the clients know.
#[derive(Default)]
struct History {
    acknowledged: BTreeSet<u8>,
    /// A logout was begun; and it was acknowledged.
    ending: bool,
    ended: bool,
    changes: u8,
    served: usize,
}

struct World {
    memory: Arc<Mutex<Memory>>,
    history: Mutex<History>,
}

/// What a request does with its session.
enum Work {
    Change,
    Read,
    LogOut,
}

impl World {
    fn life(&self) -> Incarnation {
        self.memory.lock().unwrap().life
    }

    fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }

    /// Creates the session.
    async fn create(&self, core: &Core) {
        let (key, id) = (core.farm.key("", &id()), id());
        let target = Target { key: &key, context: "", id: &id };
        let file = file(&BTreeSet::new());
        let faults = std::mem::replace(&mut self.memory.lock().unwrap().faults, NONE);
        core.create(&target, 0, file, Bytes::new()).await.unwrap();
        self.memory.lock().unwrap().faults = faults;
    }

    /// One request, from the look-up to the answer. What it sees must hold every change that was acknowledged
    /// before it began.
    async fn request(&self, (core, asleep): &Sidecar, work: Work, takes: Duration, nap: Option<Duration>) {
        let before = self.life();
        let known = self.history().acknowledged.clone();
        let ended = self.history().ended;
        let presented = Presented { id: id(), suffix: NodeName::parse("n1") };
        // 503: nothing was promised.
        let Ok(found) = core.clone().look_up(0, &presented).await else { return };
        let Lookup::Found(found) = found else {
            assert!(self.history().ending || self.life() != FIRST_LIFE, "an existing session was not found");
            return;
        };
        assert!(!ended, "a session that had been logged out came back");
        assert!(before == FIRST_LIFE, "a session came back after memcached had forgotten it");
        let mut seen = changes(&found.session.file);
        assert!(seen.is_superset(&known), "{known:?} were acknowledged, {seen:?} are seen");
        self.history().served += 1;
        sleep(takes).await;
        if let Some(nap) = nap {
            *asleep.lock().unwrap() = Instant::now() + nap;
        }
        let id = id();
        let target = Target { key: &found.key, context: "", id: &id };
        match work {
            Work::Read => return core.touch(&target, &found.session, found.lock).await,
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
                match core.store(&target, &found.session, file(&seen)).await {
                    Ok(()) => assert!(self.history().acknowledged.insert(change)),
                    Err(StoreError::Conflict | StoreError::Node(_)) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
        if let Some(lock) = found.lock {
            lock.release().await;
        }
    }
}

fn id() -> SessionId {
    SessionId::parse(b"ABC").unwrap()
}

/// One run. How many requests had their session.
async fn run(seed: u64, faults: Faults) -> usize {
    crate::random::seed(seed);
    let memory = Memory {
        items: BTreeMap::new(),
        cas: 0,
        life: FIRST_LIFE,
        random: SmallRng::seed_from_u64(seed),
        faults,
    };
    let memory = Arc::new(Mutex::new(memory));
    let world = Arc::new(World { memory: memory.clone(), history: Mutex::default() });
    let sidecars: Vec<_> = (0..SIDECARS).map(|_| sidecar(&memory)).collect();
    world.create(&sidecars[0].0).await;
    let clients: Vec<_> = (0..CLIENTS as u64)
        .map(|client| {
            let (world, sidecars) = (world.clone(), sidecars.clone());
            tokio::spawn(async move {
                let mut random = SmallRng::seed_from_u64(seed.wrapping_mul(31) + client);
                for _ in 0..REQUESTS {
                    sleep(Duration::from_millis(random.random_range(0..500))).await;
                    let sidecar = &sidecars[random.random_range(0..SIDECARS)];
                    let work = match random.random_range(0..100) {
                        0 => Work::LogOut,
                        1..20 => Work::Read,
                        _ => Work::Change,
                    };
                    let takes = Duration::from_millis(random.random_range(0..400));
                    let nap = Duration::from_millis(random.random_range(4_000..20_000));
                    let naps = random.random_range(0..1000) < faults.asleep;
                    world.request(sidecar, work, takes, naps.then_some(nap)).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    world.history().served
}

const FIRST_LIFE: Incarnation = Incarnation { pid: 1, started: 1 };
const NONE: Faults = Faults { lost: 0, unanswered: 0, late: 0, asleep: 0, restarts: 0 };

/// `SATCHEL_SEEDS=from..to` runs others than the first few hundred.
fn seeds() -> std::ops::Range<u64> {
    let text = std::env::var("SATCHEL_SEEDS").unwrap_or_default();
    let parse = |text: &str| text.parse().ok();
    text.split_once("..").and_then(|(from, to)| Some(parse(from)?..parse(to)?)).unwrap_or(0..300)
}

fn simulate(faults: Faults) {
    let mut served = 0;
    for seed in seeds() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        served += runtime.block_on(run(seed, faults));
    }
    let all = (seeds().end - seeds().start) as usize * CLIENTS * REQUESTS;
    assert!(served * 4 > all, "only {served} of {all} requests had their session");
}

#[test]
fn r05_r06_r17_a_network_that_loses_and_delays_loses_no_acknowledged_change() {
    simulate(Faults { lost: 10, unanswered: 20, late: 20, ..NONE });
}

#[test]
fn r06_r17_sidecars_that_sleep_through_their_locks_are_fenced_off() {
    simulate(Faults { asleep: 60, ..NONE });
}

#[test]
fn r07_a_memcached_that_restarts_brings_nothing_back() {
    simulate(Faults { restarts: 2, ..NONE });
}

#[test]
fn everything_at_once() {
    simulate(Faults { lost: 5, unanswered: 10, late: 10, asleep: 20, restarts: 1 });
}

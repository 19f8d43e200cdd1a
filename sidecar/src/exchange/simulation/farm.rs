//! A whole farm: up to 1,000 sidecars and 100 memcacheds, hundreds of users with several requests at a time, who log in and out. Nodes go and come
//! back, sidecars are killed and stopped; [`checker`](super::checker) says whether the users have noticed.

mod faults;
mod user;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::checker::{Act, Id, Kind, Request, Saw, Time, Token, Violation, check};
use super::memory::{Faults, Lie, Memory, Outage, Shared};
use super::sidecar::{Sidecar, name, sidecar};
use super::{FIRST_LIFE, NONE, for_seeds, trace};
use crate::id::SessionId;
use crate::memcached::nodes::NodeIndex;
use crate::record::{Farm, RecordKey, flags};
use user::User;

/// What runs.
#[derive(Clone, Copy)]
struct Plan {
    sidecars: usize,
    /// So many of them get nine of ten requests, and change as time passes. The others are stopped when they have nothing to do.
    window: usize,
    nodes: usize,
    users: usize,
    /// Of each user, and requests of each.
    tabs: usize,
    requests: usize,
    faults: Faults,
    /// Nodes go and come back, one at a time.
    outages: bool,
    /// The next one goes when each session has been used, and so has two copies again; otherwise when all know that the last one is back.
    repaired: bool,
    /// Nodes are killed without regard to the copies that are left.
    reckless: bool,
    /// Sidecars are killed and come back empty.
    crashes: bool,
    /// What must not be and is only counted.
    tolerated: &'static [Kind],
    broken: Broken,
}

/// What is taken away from the product, to see that the simulation notices.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// By the network.
    Lie(Lie),
    /// A session that ends is deleted.
    NoTombstones,
}

/// Stopped until somebody has something to do for it.
const PARKED: Duration = Duration::from_secs(365 * 24 * 3600);

struct World {
    plan: Plan,
    began: Instant,
    memories: Vec<Shared>,
    slots: Vec<Mutex<Slot>>,
    history: Mutex<Vec<Request>>,
    /// The ids of which clients know, and the last suffix that they were told.
    ids: Mutex<BTreeMap<Id, (RecordKey, NodeIndex)>>,
    farm: Farm,
}

/// Where a sidecar runs, is stopped, or is not.
struct Slot {
    running: Option<Running>,
    /// When it may be started.
    starts: Instant,
    parked: bool,
    /// How many have run there.
    lives: u64,
}

#[derive(Clone)]
struct Running {
    sidecar: Sidecar,
    number: u64,
    killed: Arc<watch::Sender<bool>>,
    used: Instant,
    /// One reference for each request.
    requests: Arc<()>,
}

/// What came of a run.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    history: Vec<Request>,
    wrong: Vec<Violation>,
}

impl World {
    fn new(seed: u64, plan: Plan) -> Arc<Self> {
        let memory = |node: usize| {
            let mut memory = Memory::new(FIRST_LIFE, seed.wrapping_add((node as u64) << 32), plan.faults);
            if let Broken::Lie(lie) = plan.broken {
                memory.lie = Some(lie);
            }
            Arc::new(Mutex::new(memory))
        };
        let slot = || Mutex::new(Slot { running: None, starts: Instant::now(), parked: false, lives: 0 });
        Arc::new(Self {
            plan,
            began: Instant::now(),
            memories: (0..plan.nodes).map(memory).collect(),
            slots: (0..plan.sidecars).map(|_| slot()).collect(),
            history: Mutex::default(),
            ids: Mutex::default(),
            farm: Farm::new("test", None),
        })
    }

    fn now(&self) -> Time {
        self.began.elapsed()
    }

    fn history(&self) -> MutexGuard<'_, Vec<Request>> {
        self.history.lock().unwrap()
    }

    /// A sidecar for a request.
    fn pick(&self, random: &mut SmallRng) -> Running {
        let Plan { sidecars, window, .. } = self.plan;
        loop {
            let passed = usize::try_from(self.now().as_secs() / 10).unwrap();
            let at = match random.random_range(0..10) {
                0 => random.random_range(0..sidecars),
                _ => (passed * window.div_ceil(2) + random.random_range(0..window)) % sidecars,
            };
            let mut slot = self.slots[at].lock().unwrap();
            if slot.starts > Instant::now() {
                continue;
            }
            if std::mem::take(&mut slot.parked)
                && let Some(running) = &slot.running
            {
                running.sidecar.gate.go_on();
            }
            let Slot { running, lives, .. } = &mut *slot;
            let running = running.get_or_insert_with(|| {
                *lives += 1;
                let number = (at as u64) << 20 | *lives;
                Running {
                    sidecar: sidecar(&self.memories, number),
                    number,
                    killed: Arc::new(watch::Sender::new(false)),
                    used: Instant::now(),
                    requests: Arc::default(),
                }
            });
            running.used = Instant::now();
            return running.clone();
        }
    }
}

/// The name of a session.
fn session_id(id: Id) -> SessionId {
    SessionId::parse(format!("S{id}").as_bytes()).unwrap()
}

/// One run of one seed.
async fn run(seed: u64, plan: Plan) -> Outcome {
    let world = World::new(seed, plan);
    let random = |n: u64| SmallRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(n << 20));
    let faults = [
        plan.outages.then(|| tokio::spawn(world.clone().outages(random(1)))),
        plan.reckless.then(|| tokio::spawn(world.clone().kill_nodes(random(2)))),
        plan.crashes.then(|| tokio::spawn(world.clone().kill_sidecars(random(3)))),
        (plan.window < plan.sidecars).then(|| tokio::spawn(world.clone().park())),
    ];
    let mut tabs = Vec::new();
    for _ in 0..plan.users {
        let user = Arc::new(Mutex::new(User::default()));
        for _ in 0..plan.tabs {
            let number = tabs.len() + 1;
            tabs.push(tokio::spawn(world.clone().browse(user.clone(), number, random(10 + number as u64))));
        }
    }
    for tab in tabs {
        tab.await.unwrap();
    }
    for task in faults.into_iter().flatten() {
        // What it has seen go wrong counts.
        if task.is_finished() { task.await.unwrap() } else { task.abort() }
    }
    let mut history = std::mem::take(&mut *world.history());
    history.sort_by_key(|request| (request.from, request.id, request.saw.clone(), request.acknowledged));
    let wrong = check(&history);
    Outcome { history, wrong }
}

impl Outcome {
    /// All that happened to a session that was seen as it must not be.
    fn story(&self, violation: &Violation) -> String {
        let mut ids = vec![self.history[violation.by].id];
        loop {
            let before = ids.len();
            for request in &self.history {
                if let Act::Rename(to) = request.act
                    && ids.contains(&request.id) != ids.contains(&to)
                {
                    ids.extend([request.id, to]);
                }
            }
            if ids.len() == before {
                break;
            }
        }
        let lines = self.history.iter().enumerate().filter(|(_, request)| ids.contains(&request.id));
        let lines: Vec<_> = lines.map(|(at, request)| format!("{at}: {request:?}")).collect();
        let keys = ids.iter().map(|id| (id, Farm::new("test", None).key("", &session_id(*id)).record()));
        let keys: Vec<_> = keys.map(|(id, key)| format!("{id}: {}", &key[..8])).collect();
        format!("{violation:?} of {}\n{}", keys.join(", "), lines.join("\n"))
    }

    fn served(&self) -> usize {
        self.history.iter().filter(|request| request.saw.is_some() || request.acknowledged.is_some()).count()
    }
}

/// Runs a plan, and says what was tolerated.
fn simulate(plan: Plan, default: u64) {
    let (mut served, mut asked, mut tolerated) = (0, 0, 0);
    for_seeds(default, async |seed| {
        let outcome = run(seed, plan).await;
        let (allowed, wrong): (Vec<_>, Vec<_>) =
            outcome.wrong.iter().partition(|violation| plan.tolerated.contains(&violation.kind));
        if let Some(first) = wrong.first() {
            panic!("{} of {}: {}", wrong.len(), outcome.history.len(), outcome.story(first));
        }
        tolerated += allowed.len();
        served += outcome.served();
        asked += outcome.history.len();
    });
    println!("{served} of {asked} requests had their session; tolerated: {tolerated}");
    assert!(served * 4 > asked * 3, "only {served} of {asked} requests had their session");
}

const SMALL: Plan = Plan {
    sidecars: 6,
    window: 6,
    nodes: 4,
    users: 4,
    tabs: 3,
    requests: 30,
    faults: NONE,
    outages: true,
    repaired: true,
    reckless: false,
    crashes: true,
    tolerated: &[],
    broken: Broken::Nothing,
};

const BIG: Plan = Plan { sidecars: 1_000, window: 12, nodes: 100, users: 250, tabs: 2, requests: 6, ..SMALL };

#[test]
fn small() {
    simulate(SMALL, 60);
}

#[test]
fn small_with_stops_and_a_network_that_loses() {
    let faults = Faults { lost: 2, unanswered: 3, asleep: 10, ..NONE };
    simulate(Plan { faults, ..SMALL }, 60);
}

#[test]
fn small_with_sidecars_that_sleep_while_nothing_is_to_do() {
    simulate(Plan { sidecars: 30, window: 3, ..SMALL }, 60);
}

#[test]
fn small_with_nodes_that_are_killed_at_any_time() {
    simulate(Plan { outages: false, reckless: true, tolerated: &[Kind::Gone], ..SMALL }, 60);
}

/// Who does not use his session loses it when one node after the other forgets it; but he never sees it again as it once was.
#[test]
fn small_with_sessions_that_nobody_uses_between_outages() {
    simulate(Plan { repaired: false, crashes: false, requests: 60, tolerated: &[Kind::Gone], ..SMALL }, 30);
}

#[test]
fn big() {
    simulate(BIG, 2);
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    let faults = Faults { lost: 2, unanswered: 3, asleep: 10, ..NONE };
    let plan = Plan { faults, sidecars: 20, window: 5, ..SMALL };
    let mut before = None;
    for_seeds(1, async |seed| before = Some(run(seed, plan).await));
    for_seeds(1, async |seed| assert!(before == Some(run(seed, plan).await), "another run"));
}

/// What the simulation finds when something is taken away, within so many seeds.
fn finds(broken: Broken, seeds: u64) {
    let mut found = None;
    for_seeds(seeds, async |seed| {
        if found.is_none() {
            let outcome = run(seed, Plan { broken, ..SMALL }).await;
            found = outcome.wrong.first().map(|violation| (seed, violation.kind));
        }
    });
    println!("found: {found:?}");
    assert!(found.is_some(), "nothing was noticed in {seeds} seeds");
}

#[test]
fn it_notices_that_locks_and_fences_are_missing() {
    finds(Broken::Lie(Lie::NoLockNoFence), 10);
}

#[test]
fn it_notices_that_ended_sessions_are_only_deleted() {
    finds(Broken::NoTombstones, 10);
}

#[test]
fn it_notices_that_local_copies_are_not_compared() {
    finds(Broken::Lie(Lie::AsBefore), 10);
}

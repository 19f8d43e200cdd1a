//! A memcached and the network between it and a sidecar, as far as sessions depend on them. After memcached 1.6.18.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::trace;
use crate::memcached::{Answers, Command, Incarnation, Item, Mode, Node, NodeError, Reply};

pub const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// What can go wrong.
#[derive(Clone, Copy)]
pub struct Faults {
    /// Of a thousand batches: never arrive.
    pub lost: u32,
    /// Arrive, and their answers do not.
    pub unanswered: u32,
    /// Arrive seconds later, when nobody waits any more: memcached was stopped and goes on.
    pub late: u32,
    /// Of a thousand requests: the sidecar is stopped while it has the session, for longer than the lock's TTL.
    pub asleep: u32,
    /// Of a thousand batches: memcached is killed and starts again, empty.
    pub restarts: u32,
}

pub type Shared = Arc<Mutex<Memory>>;

/// How a node goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// It hangs, and goes on.
    Hangs,
    /// It is killed, and comes back empty.
    Killed,
    /// It is cut off.
    CutOff,
}

impl Outage {
    /// One of them.
    pub fn any(random: &mut SmallRng) -> Self {
        match random.random_range(0..3) {
            0 => Self::Hangs,
            1 => Self::Killed,
            _ => Self::CutOff,
        }
    }

    /// Takes the node away, and brings it back after a moment or many seconds.
    pub async fn of(self, memory: &Shared, random: &mut SmallRng) {
        let reach = if self == Self::Hangs { Reach::Silent } else { Reach::Refused };
        memory.lock().unwrap().set_reach(reach);
        let away = if random.random_range(0..2) == 0 { 50..1_500 } else { 2_000..15_000 };
        sleep(Duration::from_millis(random.random_range(away))).await;
        let mut memory = memory.lock().unwrap();
        if self == Self::Killed {
            memory.restart();
        }
        memory.set_reach(Reach::Yes);
    }
}

/// One memcached.
pub struct Memory {
    items: BTreeMap<String, Held>,
    cas: u64,
    pub life: Incarnation,
    seed: u64,
    pub faults: Faults,
    reach: Reach,
    /// What is on its way to it. What arrives at one time is done in an order that does not depend on who was woken first: tokio draws that.
    coming: BTreeMap<Place, Arrival>,
    /// Bytes of the largest item.
    pub item_size_max: usize,
    pub lie: Option<Lie>,
}

/// What it does that no memcached does, to see that the simulation notices.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Every condition holds.
    NoLockNoFence,
    /// To each sidecar that asks for no value, a record is what it was when it last had the value.
    AsBefore,
}

/// When a batch arrives, from whom, and with which random number: in this order they are done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: Instant,
    from: u64,
    dice: u64,
    nth: usize,
}

struct Arrival {
    batch: Vec<Command>,
    life: Incarnation,
    /// memcached is killed just before.
    restart: bool,
    answer: oneshot::Sender<Result<Answers, Reach>>,
}

/// Whether it can be reached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Yes,
    /// Connections are refused.
    Refused,
    /// Nothing is answered, and what is sent is lost.
    Silent,
}

#[derive(Clone)]
pub struct Held {
    value: Bytes,
    pub flags: u32,
    cas: u64,
    ends: Option<Instant>,
}

impl Memory {
    pub fn new(life: Incarnation, seed: u64, faults: Faults) -> Self {
        Self {
            items: BTreeMap::new(),
            cas: 0,
            life,
            seed,
            faults,
            reach: Reach::Yes,
            coming: BTreeMap::new(),
            item_size_max: 1 << 20,
            lie: None,
        }
    }

    /// Does what has arrived.
    fn catch_up(&mut self) {
        while let Some(first) = self.coming.first_entry().filter(|first| first.key().at <= Instant::now()) {
            let (place, arrival) = first.remove_entry();
            if arrival.restart {
                self.forget();
            }
            let answers = match self.reach {
                Reach::Yes if self.life == arrival.life => Ok(self.apply(&arrival.batch, place.at)),
                Reach::Yes => Err(Reach::Refused),
                other => Err(other),
            };
            let _ = arrival.answer.send(answers);
        }
    }

    fn apply(&mut self, batch: &[Command], now: Instant) -> Answers {
        let replies = batch.iter().map(|command| self.one(command, now)).collect();
        Answers { replies, incarnation: self.life }
    }

    fn one(&mut self, command: &Command, now: Instant) -> Reply {
        let key = key(command);
        if self.items.get(key).is_some_and(|item| item.ends.is_some_and(|ends| ends <= now)) {
            self.items.remove(key);
        }
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
                    _ if self.lie == Some(Lie::NoLockNoFence) => {}
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
                Some(item) if cas.is_some_and(|cas| item.cas != cas) => Reply::Exists,
                Some(_) => {
                    self.items.remove(key);
                    Reply::Deleted
                }
            },
        }
    }

    /// What is there, to be looked at or put back.
    pub fn items(&mut self) -> &mut BTreeMap<String, Held> {
        &mut self.items
    }

    /// The client flags of what is there.
    pub fn flags(&self, key: &str) -> Option<u32> {
        let lives = |item: &&Held| item.ends.is_none_or(|ends| ends > Instant::now());
        self.items.get(key).filter(lives).map(|item| item.flags)
    }

    pub fn set_reach(&mut self, reach: Reach) {
        self.catch_up();
        self.reach = reach;
    }

    /// Killed and started again, empty.
    pub fn restart(&mut self) {
        self.catch_up();
        self.forget();
    }

    fn forget(&mut self) {
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

fn key(command: &Command) -> &str {
    let (Command::Get { key, .. }
    | Command::Touch { key, .. }
    | Command::Set { key, .. }
    | Command::Delete { key, .. }) = command;
    key
}

fn brief(command: &Command) -> String {
    let key = &key(command)[..8];
    match command {
        Command::Get { value, .. } => format!("get {key} {value}"),
        Command::Touch { .. } => format!("touch {key}"),
        Command::Set { flags, mode, .. } => format!("set {key} {} {mode:?}", flags >> 8),
        Command::Delete { cas, .. } => format!("delete {key} {cas:?}"),
    }
}

fn told(reply: &Reply) -> String {
    match reply {
        Reply::Hit(item) => format!("{}, cas {}", item.flags >> 8, item.cas),
        other => format!("{other:?}"),
    }
}

/// Until when a sidecar is stopped: nothing that it sends leaves it, and nothing comes in.
#[derive(Clone)]
pub struct Gate(Arc<(Mutex<Instant>, Notify)>);

impl Gate {
    pub fn new() -> Self {
        Self(Arc::new((Mutex::new(Instant::now()), Notify::new())))
    }

    pub fn stop(&self, time: Duration) {
        *self.0.0.lock().unwrap() = Instant::now() + time;
    }

    pub fn go_on(&self) {
        self.stop(Duration::ZERO);
        self.0.1.notify_waiters();
    }

    pub fn is_open(&self) -> bool {
        *self.0.0.lock().unwrap() <= Instant::now()
    }

    pub async fn passed(&self) {
        while !self.is_open() {
            let until = *self.0.0.lock().unwrap();
            let _ = timeout_at(until, self.0.1.notified()).await;
        }
    }
}

/// One sidecar's way to it.
pub struct Network {
    pub memory: Shared,
    /// The sidecar's number.
    pub from: u64,
    pub gate: Gate,
    /// With [`Lie::AsBefore`]: the items that the sidecar knows.
    pub known: Mutex<BTreeMap<String, Item>>,
}

impl Network {
    /// What becomes of a batch follows from what it is, and when and by whom it is sent.
    fn dice(&self, batch: &[Command]) -> SmallRng {
        let mut hasher = DefaultHasher::new();
        (self.memory.lock().unwrap().seed, self.from, super::now()).hash(&mut hasher);
        for command in batch {
            (std::mem::discriminant(command), key(command)).hash(&mut hasher);
        }
        SmallRng::seed_from_u64(hasher.finish())
    }

    async fn send(&self, batch: &[Command], only: Option<Incarnation>) -> Result<Answers, NodeError> {
        let mut random = self.dice(batch);
        let delay = Duration::from_micros(random.random_range(50..3_000));
        let late = Duration::from_millis(random.random_range(1_000..12_000));
        let mut dice = random.random_range(0..1000u32);
        let mut falls_on = |part: u32| {
            let hit = dice < part;
            dice = if hit { u32::MAX } else { dice - part };
            hit
        };
        let (answer, answered) = oneshot::channel();
        let (lost, unanswered, is_late) = {
            let mut memory = self.memory.lock().unwrap();
            let (life, faults) = (memory.life, memory.faults);
            if only.is_some_and(|only| only != life) {
                return Err(NodeError::Reborn);
            }
            let lost = falls_on(faults.lost);
            let unanswered = !lost && falls_on(faults.unanswered);
            let is_late = !lost && !unanswered && falls_on(faults.late);
            let at = Instant::now() + if is_late { late } else { delay };
            let place = Place { at, from: self.from, dice: random.random(), nth: memory.coming.len() };
            let restart = random.random_range(0..1000) < faults.restarts;
            if !lost {
                memory.coming.insert(place, Arrival { batch: batch.to_vec(), life, restart, answer });
            }
            (lost, unanswered, is_late)
        };
        if lost || is_late {
            return std::future::pending().await;
        }
        sleep(delay).await;
        self.memory.lock().unwrap().catch_up();
        let answers = match answered.await {
            Ok(Ok(_)) if unanswered => return Err(NodeError::Unreachable("cut".into())),
            Ok(Ok(answers)) => answers,
            Ok(Err(Reach::Silent)) => return std::future::pending().await,
            _ => return Err(NodeError::Unreachable("cut".into())),
        };
        sleep(delay).await;
        self.reach().await?;
        Ok(answers)
    }

    fn lie(&self, batch: &[Command], answers: &mut Answers) {
        let mut known = self.known.lock().unwrap();
        for (command, reply) in batch.iter().zip(&mut answers.replies) {
            match (command, reply) {
                (Command::Get { key, value: true }, Reply::Hit(item)) => {
                    known.insert(key.clone(), Item { value: None, ..item.clone() });
                }
                (Command::Get { key, value: false }, Reply::Hit(item)) => {
                    *item = known.get(key).unwrap_or(item).clone();
                }
                (Command::Set { key, flags, .. }, Reply::Stored(cas)) => {
                    known.insert(key.clone(), Item { value: None, flags: *flags, cas: *cas, ttl: -1 });
                }
                _ => {}
            }
        }
    }

    async fn reach(&self) -> Result<(), NodeError> {
        let reach = self.memory.lock().unwrap().reach;
        match reach {
            Reach::Yes => Ok(()),
            Reach::Refused => Err(NodeError::Unreachable("refused".into())),
            Reach::Silent => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Node for Network {
    async fn run(&self, batch: &[Command], only: Option<Incarnation>) -> Result<Answers, NodeError> {
        self.gate.passed().await;
        let sent = super::now();
        let mut answers =
            timeout(NODE_TIMEOUT, self.send(batch, only)).await.unwrap_or(Err(NodeError::Timeout));
        if let Ok(answers) = &mut answers
            && self.memory.lock().unwrap().lie == Some(Lie::AsBefore)
        {
            self.lie(batch, answers);
        }
        self.gate.passed().await;
        // What sidecars tell each other once a second would be most of it.
        trace(|| {
            let said = batch.iter().filter(|command| !key(command).starts_with('a')).map(brief);
            let said: Vec<_> = said.collect();
            let answers =
                answers.as_ref().map(|answers| answers.replies.iter().map(told).collect::<Vec<_>>());
            let node = self.memory.lock().unwrap().seed >> 32;
            (!said.is_empty())
                .then(|| format!("{sent:?} sidecar {:x} node {node}: {said:?} {answers:?}", self.from))
        });
        answers
    }

    async fn probe(&self) -> Result<(), NodeError> {
        self.gate.passed().await;
        timeout(NODE_TIMEOUT / 2, self.reach()).await.unwrap_or(Err(NodeError::Timeout))
    }

    fn timeout(&self) -> Duration {
        NODE_TIMEOUT
    }

    fn item_size_max(&self) -> usize {
        self.memory.lock().unwrap().item_size_max
    }
}

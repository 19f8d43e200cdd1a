//! A memcached and the network between it and a sidecar, as far as sessions depend on them. After memcached 1.6.18.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rand::RngExt;
use rand::rngs::SmallRng;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

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

/// One memcached.
pub struct Memory {
    items: BTreeMap<String, Held>,
    cas: u64,
    pub life: Incarnation,
    random: SmallRng,
    pub faults: Faults,
    pub reach: Reach,
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
    pub fn new(life: Incarnation, random: SmallRng, faults: Faults) -> Self {
        Self {
            items: BTreeMap::new(),
            cas: 0,
            life,
            random,
            faults,
            reach: Reach::Yes,
            item_size_max: 1 << 20,
            lie: None,
        }
    }

    fn apply(&mut self, batch: &[Command]) -> Answers {
        let now = Instant::now();
        let replies = batch.iter().map(|command| self.one(command, now)).collect();
        Answers { replies, incarnation: self.life }
    }

    fn one(&mut self, command: &Command, now: Instant) -> Reply {
        let (Command::Get { key, .. }
        | Command::Touch { key, .. }
        | Command::Set { key, .. }
        | Command::Delete { key, .. }) = command;
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

    pub fn restart(&mut self) {
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

/// Until when a sidecar is stopped: nothing that it sends leaves it, and nothing comes in.
#[derive(Clone)]
pub struct Gate(Arc<watch::Sender<Instant>>);

impl Gate {
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Instant::now())))
    }

    pub fn stop(&self, time: Duration) {
        self.0.send_replace(Instant::now() + time);
    }

    pub fn go_on(&self) {
        self.0.send_replace(Instant::now());
    }

    pub fn is_open(&self) -> bool {
        *self.0.borrow() <= Instant::now()
    }

    pub async fn passed(&self) {
        if self.is_open() {
            return;
        }
        let mut changes = self.0.subscribe();
        loop {
            let until = *changes.borrow_and_update();
            if until <= Instant::now() {
                return;
            }
            let _ = timeout_at(until, changes.changed()).await;
        }
    }
}

/// One sidecar's way to it.
pub struct Network {
    pub memory: Shared,
    pub gate: Gate,
    /// With [`Lie::AsBefore`]: the items that the sidecar knows.
    pub known: Mutex<BTreeMap<String, Item>>,
}

impl Network {

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
        self.reach().await?;
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
        let mut answers =
            timeout(NODE_TIMEOUT, self.send(batch, only)).await.unwrap_or(Err(NodeError::Timeout));
        if let Ok(answers) = &mut answers
            && self.memory.lock().unwrap().lie == Some(Lie::AsBefore)
        {
            self.lie(batch, answers);
        }
        self.gate.passed().await;
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

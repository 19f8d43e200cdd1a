//! The lock of a session across all sidecars: an item in memcached that holds its owner's token.
//!
//! It is renewed while the request runs and deleted only by its owner, by the item's cas (R6). A lock that
//! ended all the same (this process was stopped for longer than its TTL) is harmless: every store is a fence.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::RngExt;

use crate::memcached::nodes::NodeIndex;
use crate::memcached::{Command, Mode, Nodes, Reply};
use crate::metrics::Metrics;
use crate::record::RecordKey;

/// Seconds. memcached's clock is coarse: a TTL of 1 can be over after 0.1 s (measured), so at least 3.
pub const LOCK_TTL: u32 = 5;
/// How old a lock may get before it is renewed.
const RENEW_AFTER: Duration = Duration::from_secs(1);
/// How often that is looked at.
const RENEW_STEP: Duration = Duration::from_millis(250);

/// All locks that this sidecar holds.
pub struct Locks {
    nodes: Nodes,
    metrics: Arc<Metrics>,
    held: Mutex<HashMap<u64, Arc<State>>>,
    next: AtomicU64,
}

struct State {
    node: NodeIndex,
    key: String,
    token: Bytes,
    /// `None`: whether the lock was won is not known. The mutex is held during a renewal, so that a release
    /// uses the cas that the renewal left.
    cas: tokio::sync::Mutex<Option<u64>>,
    renewed: Mutex<Instant>,
    /// The record with its TTL: kept alive together with the lock, for sessions shorter than their request.
    record: Mutex<Option<(String, u32)>>,
}

/// A lock that is being taken or held. Dropping it releases it in the background.
pub struct Lock {
    locks: Arc<Locks>,
    id: u64,
    state: Option<Arc<State>>,
}

impl Locks {
    /// No locks yet.
    pub fn new(nodes: Nodes, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { nodes, metrics, held: Mutex::default(), next: AtomicU64::new(0) })
    }

    /// Prepares to take the lock of `key` on `node`: send [`Lock::add`] and tell the reply to
    /// [`Lock::won`].
    pub fn prepare(self: &Arc<Self>, key: &RecordKey, node: NodeIndex) -> Lock {
        let mut token = [0u8; 16];
        rand::rng().fill(&mut token);
        let state = State {
            node,
            key: key.lock(),
            token: Bytes::copy_from_slice(&token),
            cas: tokio::sync::Mutex::new(None),
            renewed: Mutex::new(Instant::now()),
            record: Mutex::new(None),
        };
        Lock {
            locks: self.clone(),
            id: self.next.fetch_add(1, Ordering::Relaxed),
            state: Some(Arc::new(state)),
        }
    }

    /// Renews what is due, for ever.
    pub async fn renew(&self) {
        loop {
            tokio::time::sleep(RENEW_STEP).await;
            let due: Vec<_> = guard(&self.held)
                .values()
                .filter(|state| guard(&state.renewed).elapsed() >= RENEW_AFTER)
                .cloned()
                .collect();
            for state in due {
                self.renew_one(&state).await;
            }
        }
    }

    async fn renew_one(&self, state: &State) {
        let mut cas = state.cas.lock().await;
        let Some(current) = *cas else { return };
        *guard(&state.renewed) = Instant::now();
        let mut batch = vec![state.add(Mode::Cas(current))];
        if let Some((key, ttl)) = guard(&state.record).clone() {
            batch.push(Command::Touch { key, ttl });
        }
        match self.nodes.run(state.node, &batch).await.map(|answers| answers.replies.into_iter().next()) {
            Ok(Some(Reply::Stored(new))) => *cas = Some(new),
            Ok(_) => {
                self.metrics.locks_lost.add();
                log::warn!("A session's lock was lost; its store will be refused if the session has changed");
                *cas = None;
            }
            // The node may be back before the TTL is over: the next round tries again.
            Err(_) => {}
        }
    }

    /// Deletes the lock, after `first` in the same round trip. The reply to `first`; `None` if the node failed.
    async fn release(&self, state: &State, first: Option<Command>) -> Option<Reply> {
        let mut cas = state.cas.lock().await;
        let known = match *cas {
            Some(cas) => Some(cas),
            None => self.find_own(state).await,
        };
        let delete = known.map(|cas| Command::Delete { key: state.key.clone(), cas });
        let asked = first.is_some();
        let batch: Vec<_> = first.into_iter().chain(delete).collect();
        *cas = None;
        if batch.is_empty() {
            return None;
        }
        let answers = self.nodes.run(state.node, &batch).await.ok()?;
        answers.replies.into_iter().next().filter(|_| asked)
    }

    /// The cas of the lock if it holds our token after all: the answer to the add was lost.
    async fn find_own(&self, state: &State) -> Option<u64> {
        let get = Command::Get { key: state.key.clone(), value: true };
        match self.nodes.run(state.node, &[get]).await.ok()?.replies.pop()? {
            Reply::Hit(item) if item.value.as_ref() == Some(&state.token) => Some(item.cas),
            _ => None,
        }
    }
}

impl State {
    fn add(&self, mode: Mode) -> Command {
        Command::Set { key: self.key.clone(), value: self.token.clone(), flags: 0, ttl: LOCK_TTL, mode }
    }
}

impl Lock {
    /// The command that takes the lock.
    pub fn add(&self) -> Option<Command> {
        self.state.as_ref().map(|state| state.add(Mode::Add))
    }

    /// Whether the reply to [`add`](Self::add) says that it is ours. From now on it is renewed.
    pub async fn won(&self, reply: &Reply) -> bool {
        let (Reply::Stored(cas), Some(state)) = (reply, &self.state) else { return false };
        *state.cas.lock().await = Some(*cas);
        *guard(&state.renewed) = Instant::now();
        guard(&self.locks.held).insert(self.id, state.clone());
        true
    }

    /// The lock belongs to somebody else: nothing is to be released.
    pub fn forget(mut self) {
        self.state = None;
    }

    /// The record is kept alive as long as the lock.
    pub fn keep_alive(&self, record: String, ttl: u32) {
        if let Some(state) = &self.state {
            *guard(&state.record) = Some((record, ttl));
        }
    }

    /// Releases it and waits until that is done.
    pub async fn release(mut self) {
        if let Some(state) = self.state.take() {
            guard(&self.locks.held).remove(&self.id);
            self.locks.release(&state, None).await;
        }
    }

    /// Sends `command` and releases the lock in one round trip. The reply; `None` if the node failed.
    pub async fn release_after(mut self, command: Command) -> Option<Reply> {
        let state = self.state.take()?;
        guard(&self.locks.held).remove(&self.id);
        self.locks.release(&state, Some(command)).await
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let Some(state) = self.state.take() else { return };
        guard(&self.locks.held).remove(&self.id);
        let locks = self.locks.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { locks.release(&state, None).await });
        }
    }
}

fn guard<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

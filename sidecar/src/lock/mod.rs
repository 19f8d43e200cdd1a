//! The lock of a session across all sidecars: an item in memcached that holds its owner's token.
//!
//! It is renewed while the request runs and deleted only by its owner, by the item's cas (R6). A lock that
//! ended all the same (this process was stopped for longer than its TTL) is harmless: every store is a fence.

pub mod backoff;
pub mod tenure;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Then};

use bytes::Bytes;
use rand::RngExt;
use tokio::time::Instant;

use crate::finish::finish;
use crate::memcached::nodes::NodeIndex;
use crate::memcached::{Answers, Command, Mode, NodeError, Nodes, Reply};
use crate::metrics::Metrics;
use crate::record::RecordKey;
use tenure::{LOCK_TTL, Next, RENEW_AFTER, Tenure};

/// How often it is looked at which locks are due.
const RENEW_STEP: Duration = Duration::from_millis(250);

/// All locks that this sidecar holds.
pub struct Locks {
    nodes: Nodes,
    metrics: Arc<Metrics>,
    held: Mutex<BTreeMap<u64, Arc<State>>>,
    next: AtomicU64,
}

struct State {
    node: NodeIndex,
    key: String,
    token: Bytes,
    /// The mutex is held during a renewal, so that a release uses the cas that the renewal left.
    tenure: tokio::sync::Mutex<Tenure>,
    renewed: Mutex<Instant>,
    /// The record with its TTL: kept alive together with the lock, for sessions shorter than their request.
    record: Mutex<Option<(String, u32)>>,
}

/// A lock that is being taken or held. Dropping it releases it in the background.
pub struct Lock {
    locks: Arc<Locks>,
    id: u64,
    state: Option<Arc<State>>,
    /// Since when it is ours.
    taken: Then,
}

impl Locks {
    /// No locks yet.
    pub fn new(nodes: Nodes, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { nodes, metrics, held: Mutex::default(), next: AtomicU64::new(0) })
    }

    /// Tries to take the lock of `key` on `node`, with `get` in the same round trip. The lock, if it is ours: from now on it is renewed. And the reply
    /// to `get`, the last of the answers. Whoever gives up meanwhile does not leave it behind.
    ///
    /// # Errors
    /// As [`Nodes::run`].
    pub async fn take(
        self: &Arc<Self>,
        key: &RecordKey,
        node: NodeIndex,
        get: Option<Command>,
    ) -> Result<(Option<Lock>, Answers), NodeError> {
        let mut token = [0u8; 16];
        rand::rng().fill(&mut token);
        let state = Arc::new(State {
            node,
            key: key.lock(),
            token: Bytes::copy_from_slice(&token),
            tenure: tokio::sync::Mutex::default(),
            renewed: Mutex::new(Instant::now()),
            record: Mutex::new(None),
        });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut lock = Lock { locks: self.clone(), id, state: Some(state.clone()), taken: Then::now() };
        finish(async move {
            let batch: Vec<_> = [state.set(Mode::Add)].into_iter().chain(get).collect();
            let answers = lock.locks.nodes.run(node, &batch).await?;
            let tenure = Tenure::stored(Ok(&answers));
            if tenure == Tenure::Lost {
                lock.forget();
                return Ok((None, answers));
            }
            *state.tenure.lock().await = tenure;
            *guard(&state.renewed) = Instant::now();
            lock.taken = Then::now();
            guard(&lock.locks.held).insert(id, state);
            Ok((Some(lock), answers))
        })
        .await
    }

    /// How many are held.
    pub fn count(&self) -> usize {
        guard(&self.held).len()
    }

    /// Renews what is due, for ever. Each lock for itself: a node that hangs must not keep those of others waiting.
    pub async fn renew(self: Arc<Self>) {
        loop {
            tokio::time::sleep(RENEW_STEP).await;
            let due: Vec<_> = guard(&self.held)
                .values()
                .filter(|state| guard(&state.renewed).elapsed() >= RENEW_AFTER)
                .cloned()
                .collect();
            for state in due {
                let locks = self.clone();
                tokio::spawn(async move { locks.renew_one(&state).await });
            }
        }
    }

    async fn renew_one(&self, state: &State) {
        // Its last renewal may still be waiting for an answer.
        let Ok(mut tenure) = state.tenure.try_lock() else { return };
        let age = guard(&state.renewed).elapsed();
        if tenure.renew(age) == Next::Find {
            *tenure = self.find(state).await;
        }
        let Next::Under(cas, life) = tenure.renew(age) else { return };
        *guard(&state.renewed) = Instant::now();
        let mut batch = vec![state.set(Mode::Cas(cas))];
        if let Some((key, ttl)) = guard(&state.record).clone() {
            batch.push(Command::Touch { key, ttl });
        }
        *tenure = Tenure::stored(self.nodes.run_in(state.node, &batch, Some(life)).await.as_ref());
        if *tenure == Tenure::Lost {
            self.metrics.locks_lost.add();
            log::warn!("A session's lock was lost; its store will be refused if the session has changed");
        }
    }

    /// Deletes the lock, after `first` in the same round trip. The reply to `first`; `None` if the node failed, or the lock
    /// is not ours any more: then nothing is sent. `soon`: nobody waits for it.
    async fn release(&self, state: &State, first: Option<Command>, soon: bool) -> Option<Reply> {
        let mut tenure = state.tenure.lock().await;
        if tenure.release() == Next::Find {
            // Its connection may have been cut, and nothing is sent to the node until it is known whether it is down.
            self.nodes.settled().await;
            *tenure = self.find(state).await;
        }
        let Next::Under(cas, life) = std::mem::replace(&mut *tenure, Tenure::Lost).release() else {
            return None;
        };
        let asked = first.is_some();
        let delete = Command::Delete { key: state.key.clone(), cas: Some(cas) };
        let batch: Vec<_> = first.into_iter().chain([delete]).collect();
        let answers = match soon {
            true => self.nodes.run_soon(state.node, batch, life).await,
            false => self.nodes.run_in(state.node, &batch, Some(life)).await,
        };
        let answers = answers.ok()?;
        answers.replies.into_iter().next().filter(|_| asked)
    }

    async fn find(&self, state: &State) -> Tenure {
        let get = Command::Get { key: state.key.clone(), value: true };
        Tenure::found(self.nodes.run_anyway(state.node, &[get]).await.as_ref(), &state.token)
    }
}

impl State {
    fn set(&self, mode: Mode) -> Command {
        Command::Set { key: self.key.clone(), value: self.token.clone(), flags: 0, ttl: LOCK_TTL, mode }
    }
}

impl Lock {
    /// It belongs to somebody else: nothing is to be released.
    fn forget(mut self) {
        self.state = None;
    }

    /// Since when it is held.
    pub fn taken(&self) -> Then {
        self.taken
    }

    /// The record is kept alive as long as the lock.
    pub fn keep_alive(&self, record: String, ttl: u32) {
        if let Some(state) = &self.state {
            *guard(&state.record) = Some((record, ttl));
        }
    }

    /// The record is about to be stored anew: its life is not to be touched any more.
    pub fn let_record_be(&self) {
        if let Some(state) = &self.state {
            *guard(&state.record) = None;
        }
    }

    /// Releases it and waits until that is done.
    pub async fn release(self) {
        self.give_back(None, false).await;
    }

    /// The same when the response is on its way: a millisecond later if that saves a round trip.
    pub async fn release_soon(self) {
        self.give_back(None, true).await;
    }

    /// Sends `command`, which may be done twice, and releases the lock in one round trip, as [`release_soon`](Self::release_soon). The reply; `None`
    /// if the node failed.
    pub async fn release_after(self, command: Command) -> Option<Reply> {
        self.give_back(Some(command), true).await
    }

    async fn give_back(mut self, first: Option<Command>, soon: bool) -> Option<Reply> {
        let state = self.state.take()?;
        guard(&self.locks.held).remove(&self.id);
        let locks = self.locks.clone();
        finish(async move { locks.release(&state, first, soon).await }).await
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let Some(state) = self.state.take() else { return };
        guard(&self.locks.held).remove(&self.id);
        let locks = self.locks.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { locks.release(&state, None, false).await });
        }
    }
}

fn guard<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Before the request: find the session that a client presents, lock it, and place its file.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::{Core, Exchange, Held, Locking, unix_millis, unix_time};
use crate::cache::{Session, Version};
use crate::file::SessionFile;
use crate::id::{Presented, SessionId};
use crate::lock::Lock;
use crate::lock::backoff::Backoff;
use crate::memcached::nodes::NodeIndex;
use crate::memcached::{Answers, Command, Incarnation, Item, NodeError, Reply};
use crate::probe::Answer;
use crate::record::{Ended, Payload, RecordKey, Stored};
use crate::turn::Turn;

/// How many different ids of one request are looked up (R4).
pub const CANDIDATES: usize = 3;
/// How long a tombstone that says "id changed" keeps other requests of the old id from setting a cookie:
/// longer than a browser's parallel requests last (R21).
const ID_CHANGE_IS_YOUNG: u32 = 60;

/// Why a request can't have its session. Nothing has reached Tomcat.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The node that holds the session can't be asked.
    #[error("the session store is not reachable")]
    Store,
    /// Another request of the session takes too long, or too many wait.
    #[error("the session is in use by other requests")]
    Busy,
    /// The record can't be opened.
    #[error("the stored session cannot be opened")]
    Record,
    /// The session's file can't be placed.
    #[error("the session cannot be handed to Tomcat")]
    File,
    /// Tomcat did not answer.
    #[error("Tomcat does not answer")]
    Tomcat,
}

pub(super) enum Lookup {
    Found(Box<Found>),
    Ended { young_id_change: bool },
    Absent,
}

pub(super) struct Found {
    pub(super) key: RecordKey,
    pub(super) session: Arc<Session>,
    /// Seconds since the session's last request; `None` if it never ends.
    idle: Option<u32>,
    pub(super) lock: Option<Lock>,
    turn: Turn,
}

enum Read {
    Session(Arc<Session>, Option<u32>),
    Ended { young_id_change: bool },
    Absent,
}

impl Exchange {
    /// Looks up what the client presents, in its order; the first that exists counts. Afterwards
    /// [`told`](Self::told) is what Tomcat gets.
    ///
    /// # Errors
    /// [`Refusal`]: the request must not reach Tomcat.
    pub async fn load(&mut self, presented: &[Presented]) -> Result<(), Refusal> {
        if presented.is_empty() {
            return Ok(());
        }
        let mut ended = false;
        for candidate in presented.iter().take(CANDIDATES) {
            match self.core.clone().look_up(self.context, candidate).await? {
                Lookup::Found(found) => return self.place(&candidate.id, *found).await,
                Lookup::Ended { young_id_change } => {
                    ended = true;
                    self.drop_cookie |= young_id_change;
                }
                Lookup::Absent => self.core.metrics.unknown_ids.add(),
            }
        }
        self.unknown = !ended;
        self.told = Some(SessionId::never_used().as_str().to_owned());
        Ok(())
    }

    async fn place(&mut self, id: &SessionId, found: Found) -> Result<(), Refusal> {
        let core = self.core.clone();
        let tomcat_id = core.tomcat_id(id, found.session.version.node);
        self.wait_for_suspect(&tomcat_id).await?;
        let file = found.session.file.with_id(&tomcat_id);
        let bytes: Bytes = match found.idle {
            Some(idle) => file.accessed_at(unix_millis() - i64::from(idle) * 1000).into(),
            None => file.bytes().clone(),
        };
        let claim = self.directory().claim(&tomcat_id);
        let placed = self.directory().place(&tomcat_id, &bytes).map_err(|error| {
            core.metrics.file_errors.add();
            log::error!("Cannot place {}: {error}", self.directory().shown(&tomcat_id));
            Refusal::File
        })?;
        core.metrics.sessions_loaded.add();
        self.drop_cookie = false;
        self.told = Some(tomcat_id.clone());
        self.held = Some(Held {
            id: id.clone(),
            key: found.key,
            session: found.session,
            tomcat_id,
            placed,
            _claim: claim,
            lock: found.lock,
            _turn: found.turn,
        });
        Ok(())
    }

    /// A request of this id may still run in Tomcat from before the sidecar was started: wait until it has
    /// ended, or its save would pass for this request's (R12).
    async fn wait_for_suspect(&self, tomcat_id: &str) -> Result<(), Refusal> {
        let core = &self.core;
        if !core.is_suspect(self.context, tomcat_id) {
            return Ok(());
        }
        let limit = core.settings.lock_timeout;
        match core.tomcat.probe(core.context(self.context), &self.host, tomcat_id, limit).await {
            Answer::Answered | Answer::Refused => {
                core.clear_suspect(self.context, tomcat_id);
                Ok(())
            }
            Answer::Leaving | Answer::Silent => Err(Refusal::Tomcat),
        }
    }
}

impl Core {
    pub(super) async fn look_up(
        self: Arc<Self>,
        context: usize,
        presented: &Presented,
    ) -> Result<Lookup, Refusal> {
        let identity_context = &self.context(context).path;
        let key = self.farm.key(identity_context, &presented.id);
        let deadline = Instant::now() + self.settings.lock_timeout;
        let turn = match timeout(self.settings.lock_timeout, self.turns.take(&key)).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) | Err(_) => {
                self.metrics.lock_timeouts.add();
                return Err(Refusal::Busy);
            }
        };
        let identity = self.farm.identity(identity_context, &presented.id);
        let mut last = Lookup::Absent;
        for node in self.nodes_of(presented, &key) {
            let (lock, read) = self.lock_and_read(&key, &identity, node, deadline).await?;
            match read {
                Read::Session(session, idle) => {
                    if let Some(lock) = &lock {
                        lock.keep_alive(key.record(), session.ttl.on_the_wire(unix_time()));
                    }
                    return Ok(Lookup::Found(Box::new(Found { key, session, idle, lock, turn })));
                }
                Read::Ended { young_id_change } => last = Lookup::Ended { young_id_change },
                Read::Absent => {}
            }
            // A miss gives its own lock back in the same turn (R9).
            if let Some(lock) = lock {
                lock.release().await;
            }
        }
        Ok(last)
    }

    /// The node in the suffix; without a known one every node, in ring order (R2).
    fn nodes_of(&self, presented: &Presented, key: &RecordKey) -> Vec<NodeIndex> {
        match presented.suffix.as_ref().and_then(|suffix| self.nodes.find(suffix)) {
            Some(node) => vec![node],
            None => self.nodes.ring(key.ring_start(self.nodes.len())).collect(),
        }
    }

    /// One round trip when the lock is free and the local copy current: the lock, then the item (R5).
    async fn lock_and_read(
        self: &Arc<Self>,
        key: &RecordKey,
        identity: &[u8],
        node: NodeIndex,
        deadline: Instant,
    ) -> Result<(Option<Lock>, Read), Refusal> {
        let cached = self.cache.get(key).await.filter(|session| session.version.node == node);
        let get = |value| Command::Get { key: key.record(), value };
        if self.settings.locking == Locking::None {
            let answers = self.ask(node, &[get(cached.is_none())]).await?;
            let read = self.read(key, identity, node, cached, &answers, 0).await?;
            return Ok((None, read));
        }
        let mut value = cached.is_none();
        let mut backoff = Backoff::new(deadline.saturating_duration_since(Instant::now()));
        let mut began = Instant::now();
        let mut waits = false;
        loop {
            let lock = self.locks.prepare(key, node);
            let add = lock.add().ok_or(Refusal::Store)?;
            let answers = self.ask(node, &[add, get(value)]).await?;
            if lock.won(&answers).await {
                let read = self.read(key, identity, node, cached, &answers, 1).await?;
                return Ok((Some(lock), read));
            }
            // Not won: what was read counts for nothing.
            lock.forget();
            if !std::mem::replace(&mut waits, true) {
                self.metrics.lock_waits.add();
            }
            value = false;
            let Some(pause) = backoff.next(began.elapsed(), crate::random::unit()) else {
                self.metrics.lock_timeouts.add();
                return Err(Refusal::Busy);
            };
            began = Instant::now();
            sleep(pause).await;
        }
    }

    async fn ask(&self, node: NodeIndex, batch: &[Command]) -> Result<Answers, Refusal> {
        self.nodes.run(node, batch).await.map_err(|_: NodeError| Refusal::Store)
    }

    async fn read(
        &self,
        key: &RecordKey,
        identity: &[u8],
        node: NodeIndex,
        cached: Option<Arc<Session>>,
        answers: &Answers,
        at: usize,
    ) -> Result<Read, Refusal> {
        let Some(Reply::Hit(item)) = answers.replies.get(at) else {
            self.cache.remove(key).await;
            return Ok(Read::Absent);
        };
        if let Some(session) = cached.filter(|session| is_current(session, answers.incarnation, item)) {
            let idle = session.ttl.idle(item.ttl);
            return Ok(Read::Session(session, idle));
        }
        if item.value.is_some() {
            return self.open(key, identity, node, answers.incarnation, item).await;
        }
        let again = self.ask(node, &[Command::Get { key: key.record(), value: true }]).await?;
        match again.replies.first() {
            Some(Reply::Hit(item)) => self.open(key, identity, node, again.incarnation, item).await,
            _ => Ok(Read::Absent),
        }
    }

    async fn open(
        &self,
        key: &RecordKey,
        identity: &[u8],
        node: NodeIndex,
        incarnation: Incarnation,
        item: &Item,
    ) -> Result<Read, Refusal> {
        self.metrics.bodies_fetched.add();
        let payload = self.unseal(identity, item).map_err(|error| {
            self.metrics.records_rejected.add();
            log::error!("A record on memcached node {} was refused: {error}", self.nodes.name(node));
            Refusal::Record
        })?;
        let ttl = payload.ttl;
        match payload.stored {
            Stored::Ended(ended) => {
                let age = ttl.idle(item.ttl).unwrap_or(u32::MAX);
                Ok(Read::Ended { young_id_change: ended == Ended::IdChanged && age < ID_CHANGE_IS_YOUNG })
            }
            Stored::Session { cookie_attributes, file } => {
                let file = SessionFile::parse(file).map_err(|error| {
                    self.metrics.records_rejected.add();
                    log::error!("A record on memcached node {} was refused: {error}", self.nodes.name(node));
                    Refusal::Record
                })?;
                let version = Version { node, incarnation, cas: item.cas, counter: payload.counter };
                let session = Arc::new(Session { file, version, ttl, cookie_attributes });
                self.cache.put(key.clone(), session.clone()).await;
                Ok(Read::Session(session, ttl.idle(item.ttl)))
            }
        }
    }

    /// Opens the record in an item.
    pub(super) fn unseal(&self, identity: &[u8], item: &Item) -> Result<Payload, String> {
        let value = item.value.as_ref().ok_or("no value")?;
        let bytes = self.keys.open(identity, value).map_err(|error| error.to_string())?;
        let payload = Payload::decode(bytes).map_err(|error| error.to_string())?;
        if payload.counter as u32 != item.flags {
            return Err("its counter is not the one in its client flags".into());
        }
        Ok(payload)
    }
}

/// The local copy counts only if incarnation, cas and counter agree (R7).
fn is_current(session: &Session, incarnation: Incarnation, item: &Item) -> bool {
    session.version.incarnation == incarnation
        && session.version.cas == item.cas
        && session.version.counter as u32 == item.flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Ttl;

    #[test]
    fn r07_a_cas_of_another_life_means_nothing() {
        let life = Incarnation { pid: 7, started: 100 };
        let version = Version { node: 0, incarnation: life, cas: 5, counter: 3 };
        let file = crate::file::session_file::tests::sample("A", 1800, b"");
        let session = Session {
            file: SessionFile::parse(file).unwrap(),
            version,
            ttl: Ttl(1805),
            cookie_attributes: Bytes::new(),
        };
        let item = Item { value: None, flags: 3, cas: 5, ttl: 100 };
        assert!(is_current(&session, life, &item));
        assert!(!is_current(&session, Incarnation { started: 101, ..life }, &item));
        assert!(!is_current(&session, life, &Item { cas: 6, ..item.clone() }));
        assert!(!is_current(&session, life, &Item { flags: 4, ..item }));
    }
}

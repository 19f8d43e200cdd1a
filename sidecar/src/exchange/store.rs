//! After the request: the four things that can happen to a record. Every store is a fence (R17): it takes
//! effect only on the version that this exchange loaded.

use std::sync::Arc;

use bytes::Bytes;
use rand::RngExt;

use super::fence::{self, Next};
use super::{Core, unix_time};
use crate::cache::{Session, Version};
use crate::file::SessionFile;
use crate::id::SessionId;
use crate::lock::Lock;
use crate::memcached::nodes::NodeIndex;
use crate::memcached::{Answers, Command, Incarnation, Mode, NodeError, Reply};
use crate::record::{Ended, Payload, RecordKey, Stored, Ttl};

/// memcached's own bytes for an item beside key and value: header, cas and suffix (`items.c`), rounded up.
const ITEM_OVERHEAD: usize = 128;

/// Why a session was not stored. The state before it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It was changed elsewhere meanwhile, or is gone.
    #[error("the session was changed or removed elsewhere while this request used it")]
    Conflict,
    /// It does not fit.
    #[error("the session needs {size} bytes, more than the {limit} that are allowed for one")]
    TooLarge {
        /// Of the sealed record.
        size: usize,
        /// `item_size_max` of the node, or `max_session_size`.
        limit: usize,
    },
    /// The node failed or refused.
    #[error("memcached: {0}")]
    Node(#[from] NodeError),
    /// It could not be sealed.
    #[error("the session could not be sealed")]
    Seal,
}

/// Which record, and what it belongs to.
pub struct Target<'a> {
    /// Its place.
    pub key: &'a RecordKey,
    /// The context's path.
    pub context: &'a str,
    /// The id without suffix.
    pub id: &'a SessionId,
}

/// A record as it is found.
struct There {
    ended: bool,
    counter: u64,
    cas: u64,
    incarnation: Incarnation,
}

impl Core {
    /// Stores a changed session over the version that was loaded.
    ///
    /// # Errors
    /// As [`StoreError`]; the loaded state is still there.
    pub async fn store(
        &self,
        target: &Target<'_>,
        old: &Session,
        file: SessionFile,
    ) -> Result<(), StoreError> {
        let ttl = Ttl::of(file.max_inactive_interval());
        let stored =
            Stored::Session { cookie_attributes: old.cookie_attributes.clone(), file: file.bytes().clone() };
        let version = self.replace(target, old, ttl, stored).await?;
        let cookie_attributes = old.cookie_attributes.clone();
        self.cache.put(target.key.clone(), Arc::new(Session { file, version, ttl, cookie_attributes })).await;
        self.metrics.sessions_stored.add();
        Ok(())
    }

    /// Puts a tombstone over the version that was loaded: a late writer can't bring the session back.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn bury(&self, target: &Target<'_>, old: &Session, ended: Ended) -> Result<(), StoreError> {
        self.cache.remove(target.key).await;
        self.replace(target, old, old.ttl.of_tombstone(), Stored::Ended(ended)).await?;
        match ended {
            Ended::Invalidated => self.metrics.sessions_invalidated.add(),
            Ended::IdChanged => self.metrics.ids_changed.add(),
        }
        Ok(())
    }

    /// Stores a session that did not exist.
    ///
    /// # Errors
    /// As [`StoreError`]; [`StoreError::Conflict`] when a living session has this id.
    pub async fn create(
        &self,
        target: &Target<'_>,
        node: NodeIndex,
        file: SessionFile,
        cookie_attributes: Bytes,
    ) -> Result<(), StoreError> {
        let ttl = Ttl::of(file.max_inactive_interval());
        let stored =
            Stored::Session { cookie_attributes: cookie_attributes.clone(), file: file.bytes().clone() };
        let mut counter = 1;
        let (mut flags, mut value) = self.sealed(target, node, counter, ttl, stored.clone())?;
        let mut answers = self.set(target.key, node, flags, value, ttl, Mode::Add, None).await?;
        if answers.replies.first() == Some(&Reply::Exists) {
            // A tombstone of the same id (`sessionCookiePath="/"` uses ids again): counters go on over it.
            let there =
                self.there(target, node).await?.filter(|there| there.ended).ok_or(StoreError::Conflict)?;
            counter = there.counter + 1;
            (flags, value) = self.sealed(target, node, counter, ttl, stored)?;
            let (mode, only) = (Mode::Cas(there.cas), Some(there.incarnation));
            answers = self.set(target.key, node, flags, value, ttl, mode, only).await?;
        }
        let Some(Reply::Stored(cas)) = answers.replies.first() else { return Err(StoreError::Conflict) };
        let version = Version { node, incarnation: answers.incarnation, cas: *cas, counter };
        self.cache.put(target.key.clone(), Arc::new(Session { file, version, ttl, cookie_attributes })).await;
        self.metrics.sessions_created.add();
        Ok(())
    }

    /// The session was used and not changed: its life begins anew. Goes with the unlock in one round trip.
    pub async fn touch(&self, target: &Target<'_>, old: &Session, lock: Option<Lock>) {
        let touch = Command::Touch { key: target.key.record(), ttl: old.ttl.on_the_wire(unix_time()) };
        let reply = match lock {
            Some(lock) => lock.release_after(touch).await,
            None => self.nodes.run(old.version.node, &[touch]).await.ok().and_then(|mut a| a.replies.pop()),
        };
        match reply {
            Some(Reply::Hit(_)) => self.metrics.sessions_touched.add(),
            Some(_) => {
                self.metrics.vanished.add();
                log::warn!(
                    "A session vanished from memcached node {} while it was in use",
                    self.nodes.name(old.version.node)
                );
            }
            None => self.metrics.store_failed.add(),
        }
    }

    async fn replace(
        &self,
        target: &Target<'_>,
        old: &Session,
        ttl: Ttl,
        stored: Stored,
    ) -> Result<Version, StoreError> {
        let node = old.version.node;
        let only = Some(old.version.incarnation);
        let (mut counter, mut cas) = (old.version.counter + 1, old.version.cas);
        loop {
            let (flags, value) = self.sealed(target, node, counter, ttl, stored.clone())?;
            let mut result =
                self.set(target.key, node, flags, value.clone(), ttl, Mode::Cas(cas), only).await;
            let mut next = fence::after(answer(&result), self.settings.locking);
            if next == Next::Look {
                result = self.confirm(node, target, &value).await;
                next = fence::after(answer(&result), self.settings.locking);
            }
            match (next, result) {
                (Next::Stored(cas), Ok(answers)) => {
                    return Ok(Version { node, incarnation: answers.incarnation, cas, counter });
                }
                (Next::Overwrite, _) => match self.there(target, node).await? {
                    Some(there) if !there.ended => {
                        self.metrics.overwritten.add();
                        (counter, cas) = (there.counter + 1, there.cas);
                    }
                    _ => return Err(StoreError::Conflict),
                },
                (Next::Vanished, _) => {
                    self.metrics.vanished.add();
                    return Err(StoreError::Conflict);
                }
                (Next::PutBack, Err(error)) => {
                    self.put_back(target, old).await;
                    return Err(error.into());
                }
                (_, Err(error)) => return Err(error.into()),
                (_, Ok(_)) => return Err(StoreError::Conflict),
            }
        }
    }

    /// The answer to a store that got none: stored, if the record that is there is this one.
    async fn confirm(
        &self,
        node: NodeIndex,
        target: &Target<'_>,
        value: &Bytes,
    ) -> Result<Answers, NodeError> {
        let get = Command::Get { key: target.key.record(), value: true };
        let answers = self.nodes.run_anyway(node, &[get]).await?;
        match answers.replies.first() {
            Some(Reply::Hit(item)) if item.value.as_ref() == Some(value) => {
                Ok(Answers { replies: vec![Reply::Stored(item.cas)], ..answers })
            }
            _ => Err(NodeError::Timeout),
        }
    }

    /// memcached drops the old item when it refuses a new one (R19): the last acknowledged record goes back
    /// at once.
    async fn put_back(&self, target: &Target<'_>, old: &Session) {
        let stored = Stored::Session {
            cookie_attributes: old.cookie_attributes.clone(),
            file: old.file.bytes().clone(),
        };
        let node = old.version.node;
        let result = match self.sealed(target, node, old.version.counter, old.ttl, stored) {
            Ok((flags, value)) => {
                let mode = Mode::Add;
                self.set(target.key, node, flags, value, old.ttl, mode, None).await.map_err(StoreError::from)
            }
            Err(error) => Err(error),
        };
        self.cache.remove(target.key).await;
        if let Err(error) = result {
            log::error!(
                "A session was dropped by memcached node {} and could not be put back: {error}",
                self.nodes.name(node)
            );
        }
    }

    /// What is there now; `None`: nothing, or nothing that can be opened.
    async fn there(&self, target: &Target<'_>, node: NodeIndex) -> Result<Option<There>, StoreError> {
        let get = Command::Get { key: target.key.record(), value: true };
        let answers = self.nodes.run(node, &[get]).await?;
        let Some(Reply::Hit(item)) = answers.replies.first() else { return Ok(None) };
        let identity = self.farm.identity(target.context, target.id);
        Ok(self.unseal(&identity, item).ok().map(|payload| There {
            ended: matches!(payload.stored, Stored::Ended(_)),
            counter: payload.counter,
            cas: item.cas,
            incarnation: answers.incarnation,
        }))
    }

    #[allow(clippy::too_many_arguments, reason = "they are the parts of one command")]
    async fn set(
        &self,
        key: &RecordKey,
        node: NodeIndex,
        flags: u32,
        value: Bytes,
        ttl: Ttl,
        mode: Mode,
        only: Option<Incarnation>,
    ) -> Result<Answers, NodeError> {
        let set = Command::Set { key: key.record(), value, flags, ttl: ttl.on_the_wire(unix_time()), mode };
        self.nodes.run_in(node, &[set], only).await
    }

    /// Client flags and value.
    fn sealed(
        &self,
        target: &Target<'_>,
        node: NodeIndex,
        counter: u64,
        ttl: Ttl,
        stored: Stored,
    ) -> Result<(u32, Bytes), StoreError> {
        let primary = self.nodes.name(node).clone();
        let payload = Payload { counter, writer: rand::rng().random(), primary, ttl, stored };
        let identity = self.farm.identity(target.context, target.id);
        let value = self.keys.seal(&identity, payload.encode()).map_err(|_| StoreError::Seal)?;
        let limit = self.nodes.item_size_max(node);
        let size = value.len() + target.key.record().len() + ITEM_OVERHEAD;
        if limit != 0 && size > limit {
            return Err(StoreError::TooLarge { size, limit });
        }
        Ok((counter as u32, value.into()))
    }
}

/// The answer to a batch of one.
fn answer(result: &Result<Answers, NodeError>) -> Result<&Reply, &NodeError> {
    result.as_ref().map(|answers| answers.replies.first().unwrap_or(&Reply::Miss))
}

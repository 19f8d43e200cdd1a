//! After the request: the four things that can happen to a record. Every store is a fence (R17): it takes
//! effect only on the version that this exchange loaded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::write::{Record, Written};
use super::{Core, unix_time};
use crate::broken::Broken;
use crate::cache::{Place, Session, There, Version};
use crate::file::SessionFile;
use crate::id::SessionId;
use crate::lock::Lock;
use crate::memcached::nodes::NodeIndex;
use crate::memcached::{Command, NodeError, Reply};
use crate::record::{Ended, Manifest, RecordKey, Stored, Ttl, flags};

/// Why a session was not stored. The state before it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It was changed elsewhere meanwhile, or is gone.
    #[error("the session was changed or removed elsewhere while this request used it")]
    Conflict,
    /// It does not fit.
    #[error("the session needs {size} bytes, more than the {limit} that session.max_session_size allows")]
    TooLarge {
        /// Of the sealed record.
        size: usize,
        /// `max_session_size`.
        limit: usize,
    },
    /// The node failed or refused.
    #[error("memcached: {0}")]
    Node(#[from] NodeError),
    /// No node took it; it is kept in the outbox and stored when one is back.
    #[error("memcached: {0}; the session is kept here and stored when a node is back")]
    Kept(NodeError),
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
pub(super) struct Found {
    pub(super) ended: bool,
    pub(super) counter: u64,
    pub(super) writer: u64,
    /// What it was stored with, and its chunks: to put it back.
    pub(super) loaded: (Stored, Ttl),
    pub(super) chunks: Option<Manifest>,
    pub(super) there: There,
}

impl Core {
    /// Stores a changed session over the version that was loaded. The node that is its primary now.
    ///
    /// # Errors
    /// As [`StoreError`]; the loaded state is still there.
    pub async fn store(
        &self,
        target: &Target<'_>,
        old: &Session,
        file: SessionFile,
    ) -> Result<NodeIndex, StoreError> {
        let ttl = Ttl::of(file.max_inactive_interval());
        // What a request has not changed is no reason to undo what others have.
        let insists = self.settings().locking.last_writer_wins() && !file.same_session(&old.file);
        let written = self
            .write_or_keep(over(target, old, ttl, session(&old.cookie_attributes, &file), insists))
            .await?;
        let node = written.version.primary.node;
        if node != old.named {
            self.metrics.moved.add();
        }
        self.remember(target, file, written, ttl, old.cookie_attributes.clone()).await;
        self.metrics.sessions_stored.add();
        Ok(node)
    }

    /// Puts a tombstone over the version that was loaded: a late writer can't bring the session back.
    ///
    /// # Errors
    /// As [`StoreError`].
    pub async fn bury(&self, target: &Target<'_>, old: &Session, ended: Ended) -> Result<(), StoreError> {
        self.cache.remove(target.key).await;
        let insists = self.settings().locking.last_writer_wins();
        if Broken::NoTombstones.is_on() {
            self.delete(target.key).await;
        } else {
            let ttl = old.ttl.of_tombstone();
            let tombstone = Stored::Ended(ended);
            let written = self.write_or_keep(over(target, old, ttl, tombstone, insists)).await?;
            self.cache.bury(target.key.clone(), written.version, ttl).await;
        }
        match ended {
            Ended::Invalidated => self.metrics.sessions_invalidated.add(),
            Ended::IdChanged => self.metrics.ids_changed.add(),
        }
        Ok(())
    }

    /// In place of a tombstone: [`Broken::NoTombstones`].
    async fn delete(&self, key: &RecordKey) {
        for node in self.nodes.all() {
            let _ = self.nodes.run(node, &[Command::Delete { key: key.record(), cas: None }]).await;
        }
    }

    /// Stores a session that did not exist, on `node` or the next one that is up. The node that is its primary.
    ///
    /// # Errors
    /// As [`StoreError`]; [`StoreError::Conflict`] when a living session has this id. With `keep` it is kept if no node takes it:
    /// only for a client that is told of it.
    pub async fn create(
        &self,
        target: &Target<'_>,
        node: NodeIndex,
        file: SessionFile,
        cookie_attributes: Bytes,
        keep: bool,
    ) -> Result<NodeIndex, StoreError> {
        let ttl = Ttl::of(file.max_inactive_interval());
        let node = match self.nodes.first_up(node) {
            Some(node) => node,
            None if keep => node,
            None => return Err(NodeError::Down.into()),
        };
        let mut base = Version {
            counter: 0,
            writer: 0,
            primary: Place::nothing(node),
            backup: self.backup_of(node).map(Place::nothing),
        };
        let record = |base| {
            let stored = session(&cookie_attributes, &file);
            Record { target, base, ttl, stored, insists: false, loaded: None, chunks: None }
        };
        let mut result = self.write_new(record(base), keep).await;
        // A tombstone of the same id (`sessionCookiePath="/"` uses ids again): counters go on over it.
        if matches!(result, Err(StoreError::Conflict))
            && let Some(found) = self.there(target, node).await?.filter(|found| found.ended)
        {
            base.counter = found.counter;
            base.writer = found.writer;
            base.primary = Place::of(node, found.there);
            base.backup = None;
            result = self.write_new(record(base), keep).await;
        }
        let written = result?;
        let node = written.version.primary.node;
        self.remember(target, file, written, ttl, cookie_attributes).await;
        self.metrics.sessions_created.add();
        Ok(node)
    }

    async fn write_new(&self, record: Record<'_>, keep: bool) -> Result<Written, StoreError> {
        if keep { self.write_or_keep(record).await } else { self.write(record).await }
    }

    /// The session was used and not changed: its life begins anew. Goes with the unlock in one round trip.
    pub async fn touch(&self, target: &Target<'_>, old: &Session, lock: Option<Lock>) {
        let primary = old.version.primary.node;
        let touch = Command::Touch { key: target.key.record(), ttl: old.ttl.on_the_wire(unix_time()) };
        let first = async {
            match lock {
                Some(lock) => lock.release_after(touch.clone()).await,
                None => self
                    .nodes
                    .run(primary, std::slice::from_ref(&touch))
                    .await
                    .ok()
                    .and_then(|mut a| a.replies.pop()),
            }
        };
        let (reply, ()) = tokio::join!(first, self.renew(target, old, &touch));
        match reply {
            Some(Reply::Hit(_)) => self.metrics.sessions_touched.add(),
            Some(_) => {
                self.metrics.vanished.add();
                log::warn!(
                    "A session vanished from memcached node {} while it was in use",
                    self.nodes.name(primary)
                );
            }
            None => self.metrics.store_failed.add(),
        }
    }

    /// What a touch of the record itself does not reach, once in a quarter of its life: its chunks, and the second copy (R20).
    /// What is not there, or not this version, is made anew.
    async fn renew(&self, target: &Target<'_>, old: &Session, touch: &Command) {
        let backup = self.backup_of(old.version.primary.node);
        let young = |at: Instant| at.elapsed() < Duration::from_secs(u64::from(old.ttl.0 / 4));
        let known = old.version.backup.map(|place| place.node) == backup;
        if (backup.is_none() && old.chunks.is_none()) || (known && old.renewed.is_some_and(young)) {
            return;
        }
        if let Some(chunks) = &old.chunks
            && let Ok(false) = self.touch_chunks(old.version.primary.node, chunks, old.ttl).await
        {
            self.metrics.vanished.add();
            let _ = self.store(target, old, old.file.clone()).await;
            return;
        }
        let mut session = old.clone();
        if let Some(node) = backup {
            session.version.backup = self.renew_second(target, old, node, touch).await;
        }
        session.renewed = Some(Instant::now());
        self.cache.put(target.key.clone(), Arc::new(session)).await;
    }

    /// The second copy, as it is then; `None`: not known.
    async fn renew_second(
        &self,
        target: &Target<'_>,
        old: &Session,
        node: NodeIndex,
        touch: &Command,
    ) -> Option<Place> {
        let answers = self.nodes.run(node, std::slice::from_ref(touch)).await.ok()?;
        let there = match answers.replies.first() {
            Some(Reply::Hit(item)) => Some(item),
            _ => None,
        };
        let place = Place::seen(node, answers.incarnation, there.map(|item| item.cas));
        let whole = match &old.chunks {
            Some(chunks) => self.touch_chunks(node, chunks, old.ttl).await.ok()?,
            None => true,
        };
        let ours = flags::of(old.version.counter, old.version.writer);
        match there.map(|item| item.flags) {
            Some(theirs) if theirs == ours && whole => return Some(place),
            // Somebody is storing a newer one: it must not be replaced by what was loaded before.
            Some(theirs) if flags::is_newer(theirs, ours) => return None,
            _ => {}
        }
        self.copy(target.key, old.version.primary.node, place).await.ok()
    }

    async fn remember(
        &self,
        target: &Target<'_>,
        file: SessionFile,
        written: Written,
        ttl: Ttl,
        cookie_attributes: Bytes,
    ) {
        let session = Session {
            file,
            version: written.version,
            ttl,
            cookie_attributes,
            displaced: written.named != written.version.primary.node,
            named: written.named,
            chunks: written.chunks,
            renewed: Some(Instant::now()),
        };
        self.cache.put(target.key.clone(), Arc::new(session)).await;
    }

    /// What is there now; `None`: nothing, or nothing that can be opened.
    pub(super) async fn there(
        &self,
        target: &Target<'_>,
        node: NodeIndex,
    ) -> Result<Option<Found>, StoreError> {
        let Some(read) = self.fetch(node, target.key).await? else { return Ok(None) };
        let identity = self.farm.identity(target.context, target.id);
        Ok(self.unseal(&identity, &read.item).await.ok().map(|payload| Found {
            ended: matches!(payload.stored, Stored::Ended(_)),
            counter: payload.counter,
            writer: payload.writer,
            there: read.there(),
            loaded: (payload.stored, payload.ttl),
            chunks: read.manifest,
        }))
    }
}

fn session(cookie_attributes: &Bytes, file: &SessionFile) -> Stored {
    Stored::Session { cookie_attributes: cookie_attributes.clone(), file: file.bytes().clone() }
}

/// A record over the version that was loaded.
fn over<'a>(target: &'a Target<'a>, old: &Session, ttl: Ttl, stored: Stored, insists: bool) -> Record<'a> {
    let loaded = Some((session(&old.cookie_attributes, &old.file), old.ttl));
    Record { target, base: old.version, ttl, stored, insists, loaded, chunks: old.chunks.clone() }
}

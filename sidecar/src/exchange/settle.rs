//! After the request: watch what Tomcat does to the session, store it, let the response go, unlock.
//!
//! Runs as a task of its own: neither a client that leaves nor a response that is released early ends it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{oneshot, watch as channel};
use tokio::time::{sleep, timeout};

use super::access::Access;
use super::store::{StoreError, Target};
use super::watch::{ALIVE_WITHIN, PROBE_AFTER, Probed, Progress, Step, Verdict, next};
use super::{Core, Exchange, Held, OnStoreFailure};
use crate::file::SessionFile;
use crate::id::SessionId;
use crate::lock::Lock;
use crate::memcached::nodes::NodeIndex;
use crate::metrics::Part;
use crate::probe::Answer;
use crate::record::Ended;

/// Looks at the file: from the first, doubled, to the last.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LAST: Duration = Duration::from_millis(100);
/// Between two probes that Tomcat did not answer.
const PROBE_AGAIN: Duration = Duration::from_millis(100);
/// How long after the end of its response a new session's file is waited for, when no probe can tell (a request
/// that presented no id). A file that comes later is left to the sweeper.
const NEW_FILE_WITHIN: Duration = Duration::from_secs(30);
/// Meanwhile: a Tomcat that is gone will not write it.
const ASK_ALIVE_EVERY: Duration = Duration::from_secs(1);

/// A session that the response tells the client of.
#[derive(Debug, Clone)]
pub struct Announced {
    /// The id that Tomcat gave it.
    pub id: SessionId,
    /// The node in the suffix that the client gets.
    pub node: NodeIndex,
    /// Of the `Set-Cookie`.
    pub cookie_attributes: Bytes,
}

/// Why the response must not be passed on: what the client believes to have done is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotStored;

/// Where the sessions of a response are stored now: their cookies' suffixes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoredAt {
    /// The session that the response announced.
    pub announced: Option<NodeIndex>,
    /// The session that the request had, if it goes on.
    pub held: Option<NodeIndex>,
    /// They are not stored, and the response is passed on all the same (`on_store_failure = "proceed"`).
    pub unsaved: bool,
}

/// What holds the response back until it is answered.
pub type Release = oneshot::Sender<Result<StoredAt, NotStored>>;

/// Carries an exchange to its end.
pub async fn settle(
    mut exchange: Exchange,
    announced: Option<Announced>,
    mut progress: channel::Receiver<Progress>,
    release: Release,
) {
    let mut result = Ok(());
    let mut at = StoredAt::default();
    let mut new_lock = None;
    let mut new = New::None;
    let mut since = Instant::now();
    if let Some(announced) = &announced {
        exchange.learn(true);
        let file = exchange.await_new(announced, &mut progress).await;
        since = exchange.ended_now(Part::Save, since);
        new_lock = exchange.new_lock.take();
        exchange.tomcat_is_done.store(file.is_ok(), Ordering::Relaxed);
        let goes_on = exchange.core.settings().on_store_failure == OnStoreFailure::Proceed;
        let keep = goes_on || release.is_closed();
        result = exchange.create(announced, file, keep).await.map(|node| at.announced = Some(node));
        since = exchange.ended_now(Part::Store, since);
        new = match result {
            Ok(()) => New::Stored,
            Err(Failure::Store(StoreError::Kept(_))) => New::Stored,
            // It does not exist: ended again within its request, or Tomcat could not save it.
            Err(Failure::NeverCame) => New::None,
            Err(_) => New::Failed,
        };
    }
    let Some(mut held) = exchange.held.take() else {
        exchange.finish(result.map(|()| at), release);
        drop(new_lock);
        return;
    };
    let verdict = exchange.verdict(&mut held, &mut progress).await;
    since = exchange.ended_now(Part::Save, since);
    exchange.tomcat_is_done.store(true, Ordering::Relaxed);
    let mut touch = false;
    match exchange.conclude(&held, verdict, new).await {
        Ok(Concluded::Unchanged) => {
            touch = true;
            at.held = Some(held.session.version.primary.node);
        }
        Ok(Concluded::Stored(node)) => {
            since = exchange.ended_now(Part::Store, since);
            at.held = Some(node);
        }
        Ok(Concluded::Buried) => since = exchange.ended_now(Part::Store, since),
        Ok(Concluded::Nothing) => {}
        Err(error) => {
            if matches!(error, Failure::Store(_)) {
                since = exchange.ended_now(Part::Store, since);
            }
            result = Err(error);
        }
    }
    exchange.finish(result.map(|()| at), release);
    let core = exchange.core.clone();
    if touch {
        let context = &core.context(exchange.context).name();
        let target = Target { key: &held.key, context, id: &held.id };
        let lock = held.lock.take();
        core.touch(&target, &held.session, lock).await;
    }
    held.release().await;
    if let Some(lock) = new_lock {
        lock.release().await;
    }
    exchange.ended_now(Part::Unlock, since);
}

/// Stores a session whose file came after its exchange had given up waiting for it (R14).
pub async fn adopt(core: Arc<Core>, context: usize, announced: &Announced) {
    let exchange = Exchange::new(core, context, String::new(), None);
    let id = announced.id.as_str();
    let file = match exchange.directory().take(id) {
        Ok(Some(bytes)) => exchange.understood(bytes, id),
        Ok(None) => Err(Failure::NeverCame),
        Err(error) => Err(Failure::File(error)),
    };
    exchange.directory().remove(id);
    let result = exchange.create(announced, file, true).await;
    exchange.core.metrics.late_sessions.add();
    exchange.finish(result.map(|_| StoredAt::default()), oneshot::channel().0);
}

/// What became of the session that the response announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum New {
    /// There is none.
    None,
    /// It is stored.
    Stored,
    /// It could not be stored.
    Failed,
}

/// What became of the session that the request had.
enum Concluded {
    /// It was used and has not changed.
    Unchanged,
    /// It is stored, with this primary.
    Stored(NodeIndex),
    /// It has ended, and that is stored.
    Buried,
    /// It was not used.
    Nothing,
}

/// What went wrong, for the log and the counters.
enum Failure {
    Store(StoreError),
    NotSaved,
    NeverCame,
    Foreign,
    Abandoned,
    TomcatGone,
    Overtime,
    File(std::io::Error),
    Layout(String),
}

impl Exchange {
    /// A part has ended just now. The time, for the next one.
    fn ended_now(&self, part: Part, since: Instant) -> Instant {
        let now = Instant::now();
        self.ended(part, since, now);
        now
    }

    /// Watches the placed file until it is decided what became of the session.
    async fn verdict(&self, held: &mut Held, progress: &mut channel::Receiver<Progress>) -> Verdict {
        let context = self.core.context(self.context);
        let limits = self.core.settings().limits;
        let mut probed = Probed::No;
        let mut pause = LOOK_FIRST;
        loop {
            let seen = match held.placed.look() {
                Ok(seen) => seen,
                Err(error) => {
                    log::error!("Cannot look at {}: {error}", self.directory().shown(&held.tomcat_id));
                    return Verdict::TomcatGone;
                }
            };
            let now = *progress.borrow_and_update();
            match next(seen, &now, probed, self.age(), &limits) {
                Step::Done(verdict) => return verdict,
                Step::Wait => {
                    // A change of the response's state ends the pause.
                    let _ = timeout(pause, progress.changed()).await;
                    if progress.has_changed().is_err() {
                        sleep(pause).await;
                    }
                    pause = (pause * 2).min(LOOK_LAST);
                }
                Step::Probe => {
                    let _ = held.placed.arm();
                    let left = limits.max_request_time.saturating_sub(self.age()).max(ALIVE_WITHIN);
                    let answer = self.core.tomcat.probe(context, &self.host, &held.tomcat_id, left).await;
                    let read_again = held.placed.read_again().unwrap_or(false);
                    probed = Probed::Came { answer, read_again };
                    if answer == Answer::Silent {
                        sleep(PROBE_AGAIN).await;
                    }
                }
                Step::AskAlive => {
                    let answer = self.core.tomcat.is_alive(context, &self.host, ALIVE_WITHIN).await;
                    probed = Probed::Came { answer, read_again: false };
                    if answer == Answer::Silent {
                        sleep(PROBE_AGAIN).await;
                    }
                }
            }
        }
    }

    /// Carries the verdict out and removes the file.
    async fn conclude(&self, held: &Held, verdict: Verdict, new: New) -> Result<Concluded, Failure> {
        let core = &self.core;
        let context = core.context(self.context).name();
        let target = Target { key: &held.key, context: &context, id: &held.id };
        let taken = if verdict == Verdict::Saved { self.directory().take(&held.tomcat_id) } else { Ok(None) };
        self.directory().remove(&held.tomcat_id);
        if self.access == Access::ReadOnly {
            return Ok(self.drop_changes(held, verdict, taken.ok().flatten()));
        }
        match verdict {
            Verdict::Saved => {
                let bytes = taken.map_err(Failure::File)?.ok_or(Failure::NotSaved)?;
                let file = self.understood(bytes, &held.tomcat_id)?.with_id(held.id.as_str());
                let changed = !file.same_session(&held.session.file);
                if !held.session.file.is_new() {
                    self.learn(changed);
                }
                if !changed && !held.session.displaced {
                    return Ok(Concluded::Unchanged);
                }
                held.let_record_be();
                match core.store(&target, &held.session, file).await {
                    // Its copies were to be put where they belong; somebody else has done that.
                    Err(StoreError::Conflict) if !changed => Ok(Concluded::Nothing),
                    result => result.map(Concluded::Stored).map_err(Failure::Store),
                }
            }
            // The session that was to take its place is not stored: this one stays (R21).
            Verdict::Ended if new == New::Failed => Ok(Concluded::Nothing),
            Verdict::Ended => {
                self.learn(true);
                held.let_record_be();
                let ended = if new == New::Stored { Ended::IdChanged } else { Ended::Invalidated };
                core.bury(&target, &held.session, ended).await.map_err(Failure::Store)?;
                Ok(Concluded::Buried)
            }
            Verdict::NotLoaded => {
                self.learn(false);
                Ok(Concluded::Nothing)
            }
            Verdict::NotSaved => Err(Failure::NotSaved),
            Verdict::Foreign => Err(Failure::Foreign),
            Verdict::TomcatGone => Err(Failure::TomcatGone),
            Verdict::Abandoned => {
                core.add_suspect(self.context, &held.tomcat_id);
                Err(Failure::Abandoned)
            }
            Verdict::Overtime => {
                core.add_suspect(self.context, &held.tomcat_id);
                Err(Failure::Overtime)
            }
        }
    }

    /// What a read-only request did to its copy of the session counts for nothing; that it used it does.
    fn drop_changes(&self, held: &Held, verdict: Verdict, taken: Option<Bytes>) -> Concluded {
        let saved = taken.and_then(|bytes| self.understood(bytes, &held.tomcat_id).ok());
        let same = |file: SessionFile| file.with_id(held.id.as_str()).same_session(&held.session.file);
        let changed = match verdict {
            Verdict::Saved => saved.is_some_and(|file| !same(file)) && !held.session.file.is_new(),
            Verdict::Ended => true,
            _ => false,
        };
        if changed {
            self.core.metrics.changes_dropped.add();
        }
        // A copy that has ended was too old to be used, or is to be dropped like a change: neither is a use.
        if verdict == Verdict::Saved { Concluded::Unchanged } else { Concluded::Nothing }
    }

    /// Remembers what the request has done, for the next one like it.
    fn learn(&self, changed: bool) {
        if let Some(line) = &self.learn_as
            && self.core.learned.note(line, changed)
        {
            self.core.metrics.auto_locking_misses.add();
        }
    }

    fn understood(&self, bytes: Bytes, tomcat_id: &str) -> Result<SessionFile, Failure> {
        let limit = self.core.settings().max_session_size;
        if bytes.len() > limit {
            return Err(Failure::Store(StoreError::TooLarge { size: bytes.len(), limit }));
        }
        let file = SessionFile::parse(bytes).map_err(|error| Failure::Layout(error.to_string()))?;
        if file.id() != tomcat_id.as_bytes() {
            return Err(Failure::Layout("it holds the session of another id".into()));
        }
        Ok(file)
    }

    /// Waits for the file of a session that the response announces. While it is not there, the new session
    /// is locked: the client may use its id before the file comes (R14).
    async fn await_new(
        &mut self,
        announced: &Announced,
        progress: &mut channel::Receiver<Progress>,
    ) -> Result<SessionFile, Failure> {
        let id = announced.id.as_str();
        let _claim = self.directory().claim(id);
        let mut pause = LOOK_FIRST;
        let mut asked = Duration::ZERO;
        let mut last_look = false;
        loop {
            // An application that announces the id of another user's session must not get at that one's file.
            let ours = self.directory().claims(id) == 1;
            match if ours { self.directory().take(id) } else { Ok(None) } {
                Ok(Some(bytes)) => {
                    self.directory().remove(id);
                    return self.understood(bytes, id);
                }
                Err(error) => return Err(Failure::File(error)),
                Ok(None) if last_look => {
                    if self.told.is_none() {
                        let time = self.core.settings().limits.max_request_time;
                        self.core.late.remember(self.context, announced, time);
                    }
                    return Err(Failure::NeverCame);
                }
                Ok(None) => {}
            }
            self.lock_new(announced).await;
            let now = *progress.borrow_and_update();
            let asked_for = now.ended.or(now.header.filter(|_| now.small));
            let ended = asked_for.map(|at| self.age().saturating_sub(at));
            match (ended, &self.told) {
                (Some(since), Some(told)) if since >= PROBE_AFTER => {
                    let context = self.core.context(self.context);
                    let left = self.core.settings().limits.max_request_time.saturating_sub(self.age());
                    let answer =
                        self.core.tomcat.probe(context, &self.host, told, left.max(ALIVE_WITHIN)).await;
                    last_look = answer != Answer::Silent;
                }
                (Some(since), None) if since >= NEW_FILE_WITHIN => last_look = true,
                (Some(since), None) if since >= asked + ASK_ALIVE_EVERY => {
                    asked = since;
                    let context = self.core.context(self.context);
                    let answer = self.core.tomcat.is_alive(context, &self.host, ALIVE_WITHIN).await;
                    last_look = answer == Answer::Refused;
                }
                _ => {}
            }
            if self.age() >= self.core.settings().limits.max_request_time {
                last_look = true;
            }
            if !last_look {
                let _ = timeout(pause, progress.changed()).await;
                if progress.has_changed().is_err() {
                    sleep(pause).await;
                }
                pause = (pause * 2).min(LOOK_LAST);
            }
        }
    }

    /// Locks the session that the response announces, unless that is done: whoever is told of its id waits until it is stored.
    pub async fn lock_new(&mut self, announced: &Announced) {
        if self.new_lock.is_none() {
            self.new_lock = self.new_lock_of(announced).await;
        }
    }

    async fn new_lock_of(&self, announced: &Announced) -> Option<Lock> {
        if self.core.settings().locking.last_writer_wins() {
            return None;
        }
        let key = self.core.farm.key(&self.core.context(self.context).name(), &announced.id);
        self.core.locks.take(&key, announced.node, None).await.ok()?.0
    }

    async fn create(
        &self,
        announced: &Announced,
        file: Result<SessionFile, Failure>,
        keep: bool,
    ) -> Result<NodeIndex, Failure> {
        let path = &self.core.context(self.context).name();
        let key = self.core.farm.key(path, &announced.id);
        let target = Target { key: &key, context: path, id: &announced.id };
        let attributes = announced.cookie_attributes.clone();
        self.core.create(&target, announced.node, file?, attributes, keep).await.map_err(Failure::Store)
    }

    /// Counts, logs and lets the response go or stops it.
    fn finish(&self, result: Result<StoredAt, Failure>, release: Release) {
        let failure = match result {
            Ok(at) => {
                let _ = release.send(Ok(at));
                return;
            }
            Err(failure) => failure,
        };
        let goes_on = self.core.settings().on_store_failure == OnStoreFailure::Proceed
            && matches!(failure, Failure::Store(StoreError::Kept(_) | StoreError::TooLarge { .. }));
        let passed_on = StoredAt { unsaved: true, ..StoredAt::default() };
        let told = release.send(if goes_on { Ok(passed_on) } else { Err(NotStored) }).is_ok();
        let kept = matches!(failure, Failure::Store(StoreError::Kept(_)));
        let metrics = &self.core.metrics;
        let (counter, text) = match failure {
            Failure::Store(StoreError::Conflict) if told => {
                (&metrics.conflicts, StoreError::Conflict.to_string())
            }
            Failure::Store(StoreError::Conflict) => {
                (&metrics.conflicts_after_response, StoreError::Conflict.to_string())
            }
            Failure::Store(error @ StoreError::TooLarge { .. }) => (&metrics.too_large, error.to_string()),
            Failure::Store(error) => (&metrics.store_failed, error.to_string()),
            Failure::NotSaved => (
                &metrics.save_failed,
                "Tomcat ended the request without saving it; Tomcat's own log says why (an attribute that \
                 cannot be serialized or restored, a full store directory)"
                    .into(),
            ),
            Failure::NeverCame => (
                &metrics.save_failed,
                format!(
                    "Tomcat told a client of a new session and did not save it. If this is said of every new session: is \
                     PersistentValve the first valve of <Host>, and has this application's <Context> a PersistentManager whose \
                     <Store> is {}? Otherwise Tomcat's own log says why",
                    self.directory().path().display()
                ),
            ),
            Failure::Foreign => {
                (&metrics.foreign_files, "a request that had been given up earlier saved over it".into())
            }
            Failure::Abandoned => (&metrics.abandoned, "Tomcat never read it and the client has gone".into()),
            Failure::TomcatGone => (&metrics.tomcat_gone, "Tomcat has stopped".into()),
            Failure::Overtime => {
                (&metrics.overtime, "its request ran for longer than max_request_time".into())
            }
            Failure::File(error) => (&metrics.file_errors, error.to_string()),
            Failure::Layout(text) => (&metrics.file_errors, text),
        };
        counter.add();
        if kept {
            return log::warn!("A session of context \"{}\": {text}", self.core.context(self.context).name());
        }
        log::warn!(
            "A session of context \"{}\" was not stored; its last stored state, if it has one, stays: {text}",
            self.core.context(self.context).name()
        );
    }
}

//! Before the request: find the session that a client presents, lock it, and place its file.

use std::time::Instant as Then;

use bytes::Bytes;

use super::access::{Access, OnLockTimeout};
use super::look_up::{Found, Lookup};
use super::{Exchange, Held, OnStoreFailure, unix_millis};
use crate::id::{Presented, SessionId};
use crate::metrics::Part;
use crate::probe::Answer;
use crate::record::Ended;

/// Why a request can't have its session. Nothing has reached Tomcat.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The node that holds the session can't be asked.
    #[error("the session store is not reachable")]
    Store,
    /// Another request of the session takes too long, or too many wait.
    #[error("the session is in use by other requests")]
    Busy,
    /// The session's file can't be placed.
    #[error("the session cannot be handed to Tomcat")]
    File,
    /// Tomcat did not answer.
    #[error("Tomcat does not answer")]
    Tomcat,
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
        for candidate in presented {
            let began = Then::now();
            match self.look_up(candidate).await {
                Ok(Lookup::Found(found)) => {
                    self.note_found(began, &found);
                    let found_at = Then::now();
                    let placed = self.place(candidate, *found).await;
                    self.ended(Part::Place, found_at, Then::now());
                    return placed;
                }
                Ok(Lookup::Ended { how: Ended::IdChanged, young }) => {
                    ended = true;
                    self.drop_cookie |= young;
                }
                Ok(other) => {
                    if self.is_shared(candidate).await? {
                        self.share(candidate);
                        return Ok(());
                    }
                    match other {
                        Lookup::Absent => self.core.metrics.unknown_ids.add(),
                        _ => ended = true,
                    }
                }
                Err(Refusal::Store) if self.core.settings().on_store_failure == OnStoreFailure::Proceed => {
                    // The client keeps its cookie: its session is there again when a node is.
                    self.core.metrics.proceeded_without_session.add();
                    self.drop_cookie = true;
                    ended = true;
                    break;
                }
                Err(refusal) => return Err(refusal),
            }
        }
        self.unknown = !ended;
        self.told = Some(SessionId::never_used().as_str().to_owned());
        Ok(())
    }

    fn note_found(&self, began: Then, found: &Found) {
        if let Some(lock) = &found.lock {
            self.ended(Part::Lock, began, lock.taken());
        }
        if let Some((began, ended)) = found.loaded {
            self.ended(Part::Load, began, ended);
        }
    }

    /// Whether another context has a living session of this id, and its cookie goes to this one too.
    async fn is_shared(&self, presented: &Presented) -> Result<bool, Refusal> {
        let contexts = &self.core.contexts;
        let own = contexts.get(self.context);
        if !own.shares_cookie || !self.in_cookie || self.access == Access::ReadOnly {
            return Ok(false);
        }
        for (index, other) in contexts.iter().enumerate() {
            if index != self.context
                && other.shares_cookie
                && (&other.cookie_name, &other.hosts) == (&own.cookie_name, &own.hosts)
                && let Lookup::Found(_) =
                    self.core.clone().look_up(index, presented, Access::ReadOnly).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tomcat is told the id, and makes a session of this context under it (`Request.doGetSession`).
    fn share(&mut self, presented: &Presented) {
        let nodes = &self.core.nodes;
        let key = self.core.farm.key(&self.core.context(self.context).name(), &presented.id);
        let suffix = presented.suffix.as_ref().and_then(|suffix| nodes.find(suffix));
        let start = suffix.filter(|node| !nodes.is_retired(*node)).unwrap_or_else(|| nodes.start_of(&key));
        self.shared = nodes.first_up(start);
        self.told = Some(presented.id.as_str().to_owned());
    }

    /// Past `lock_timeout` the session is had read-only, if the configuration says so.
    async fn look_up(&mut self, presented: &Presented) -> Result<Lookup, Refusal> {
        let core = &self.core;
        match core.clone().look_up(self.context, presented, self.access).await {
            Err(Refusal::Busy) if core.settings().on_lock_timeout == OnLockTimeout::Proceed => {
                core.metrics.proceeded_without_lock.add();
                self.access = Access::ReadOnly;
                core.clone().look_up(self.context, presented, self.access).await
            }
            other => other,
        }
    }

    async fn place(&mut self, presented: &Presented, found: Found) -> Result<(), Refusal> {
        let core = self.core.clone();
        let tomcat_id = if self.access == Access::ReadOnly {
            // Under a name of its own: Tomcat runs one request per id at a time.
            SessionId::never_used().as_str().to_owned()
        } else {
            core.tomcat_id(&presented.id, found.session.version.primary.node)
        };
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
            id: presented.id.clone(),
            suffix: presented.suffix.clone(),
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
        let limit = core.settings().lock_timeout;
        match core.tomcat.probe(core.context(self.context), &self.host, tomcat_id, limit).await {
            Answer::Answered | Answer::Refused => {
                core.clear_suspect(self.context, tomcat_id);
                Ok(())
            }
            Answer::Leaving | Answer::Silent => Err(Refusal::Tomcat),
        }
    }
}

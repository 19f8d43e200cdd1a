//! An exchange: everything that happens to one session during one request.
//!
//! [`load`] brings the session and places its file; the request is forwarded; [`settle`] watches what Tomcat
//! does to the file, stores the result and lets the response go. `docs/architecture.md` shows the order.

pub mod access;
pub mod chunks;
pub mod copies;
pub mod fence;
pub mod late;
pub mod leftovers;
pub mod load;
mod look_up;
pub mod operate;
pub mod outbox;
pub mod settle;
#[cfg(test)]
pub(crate) mod simulation;
pub mod store;
pub mod watch;
mod write;

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use http::HeaderName;
use regex::Regex;
use satchel_common::server::Working;
use satchel_common::trace::{self, Kind, Trace, Tracing};

use access::{Access, Learned, Locking, OnLockTimeout};

use leftovers::Leftovers;
use outbox::Outbox;

use crate::agreement::Agreed;
use crate::cache::{Cache, Session};
use crate::config::TomcatTimeouts;
use crate::context::{Context, Contexts};
use crate::file::directory::Claim;
use crate::file::{Placed, StoreDirectory};
use crate::id::{NodeName, SessionId};
use crate::leaving::Leaving;
use crate::lock::{Lock, Locks};
use crate::memcached::Nodes;
use crate::memcached::nodes::NodeIndex;
use crate::metrics::{Metrics, Part};
use crate::probe::Tomcat;
use crate::record::{Farm, Keys, RecordKey};
use crate::turn::{Turn, Turns};

/// Whether the application sees the node suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeSuffix {
    /// Only the client does; Tomcat's ids stay as Tomcat made them.
    Cookie,
    /// `session.getId()` shows it too, from the second request on, as with msm.
    Visible,
}

/// What becomes of a request whose session cannot be had or stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// It is answered 503.
    Fail,
    /// It goes on without its session, and its response is passed on.
    Proceed,
}

/// What the configuration says about exchanges.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether the application sees the node suffix.
    pub node_suffix: NodeSuffix,
    /// Which requests lock their session.
    pub locking: Locking,
    /// Requests without session work.
    pub ignore_uri: Option<Regex>,
    /// Requests whose response is not held.
    pub unheld_uri: Option<Regex>,
    /// What marks a response of which it is not promised that its session is stored.
    pub unsaved_header: Option<HeaderName>,
    /// Requests that only read their session, whatever they do.
    pub readonly_uri: Option<Regex>,
    /// On how many nodes a session is stored: 1 or 2.
    pub copies: usize,
    /// How long a request waits for its session.
    pub lock_timeout: Duration,
    /// What it does then.
    pub on_lock_timeout: OnLockTimeout,
    /// What becomes of a request whose session cannot be had or stored.
    pub on_store_failure: OnStoreFailure,
    /// Bytes of sessions that are kept until a node takes them.
    pub outbox_size: usize,
    /// How long a response is held until its session is stored; `None`: as long as the request may run.
    pub backup_timeout: Option<Duration>,
    /// Of connections to Tomcat.
    pub tomcat: TomcatTimeouts,
    /// Bounds of a request in Tomcat.
    pub limits: watch::Limits,
    /// The largest session file that is taken, in bytes.
    pub max_session_size: usize,
}

/// Everything that exchanges share.
pub struct Core {
    /// The web applications.
    pub contexts: Contexts,
    /// Their directories, by context index.
    pub directories: Vec<Arc<StoreDirectory>>,
    /// Who shares sessions.
    pub farm: Farm,
    /// What seals records.
    pub keys: ArcSwap<Keys>,
    /// The memcached nodes.
    pub nodes: Nodes,
    /// What all sidecars have in common.
    pub agreed: Agreed,
    /// Turns true when it is known which nodes have been away.
    pub away_known: tokio::sync::watch::Receiver<bool>,
    /// The locks that are held.
    pub locks: Arc<Locks>,
    /// The queues for each session.
    pub turns: Arc<Turns>,
    /// Recent sessions.
    pub cache: Cache,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Records spans.
    pub tracing: Tracing,
    /// The Tomcat beside us.
    pub tomcat: Tomcat,
    /// What the configuration says.
    pub settings: ArcSwap<Settings>,
    /// Ids whose files were found at the start: Tomcat may still run a request of theirs (R12).
    pub suspects: Mutex<HashSet<(usize, String)>>,
    /// Stores that no node took.
    pub outbox: Outbox,
    /// Old copies on nodes that are away.
    pub leftovers: Arc<Leftovers>,
    /// Ids that clients were told of and whose sessions have not come (R14).
    pub late: late::Late,
    /// What requests were seen to do to their sessions, for locking "auto".
    pub learned: Learned,
    /// Who may put a record in parts together.
    pub gathering: chunks::Gathering,
    /// Whether Tomcat is about to be stopped.
    pub leaving: Leaving,
}

/// A session that was placed for Tomcat.
pub struct Held {
    /// The id without suffix.
    pub id: SessionId,
    /// Its place in memcached.
    pub key: RecordKey,
    /// What was loaded.
    pub session: Arc<Session>,
    /// The suffix that the client presented with it.
    pub suffix: Option<NodeName>,
    /// The id under which Tomcat knows it.
    pub tomcat_id: String,
    /// The file.
    pub placed: Placed,
    _claim: Claim,
    /// `None` for a request that takes none.
    lock: Option<Lock>,
    _turn: Option<Turn>,
}

/// One request's session work, from the lookup to the store.
pub struct Exchange {
    core: Arc<Core>,
    /// Which context the request is for.
    pub context: usize,
    /// How it may use its session.
    pub access: Access,
    /// With locking "auto": what it is remembered by.
    pub learn_as: Option<String>,
    /// The session, if one was found.
    pub held: Option<Held>,
    /// The id that Tomcat is told: the held session's, or a never-used one. `None`: the client presented none.
    pub told: Option<String>,
    /// With an id that another context has made: the node in its suffix.
    pub shared: Option<NodeIndex>,
    /// None of the presented ids has ever existed, as far as the store remembers.
    pub unknown: bool,
    /// The session has just gone on under another id: a session cookie in this response would log the user
    /// out (R21).
    pub drop_cookie: bool,
    /// Whether the client presented its ids in cookies.
    pub in_cookie: bool,
    /// The request's `Host`, for probes.
    pub host: String,
    /// Its request's spans, if they are recorded.
    pub trace: Option<Trace>,
    /// Turns true when Tomcat has saved, or is known not to: from then on only memcached is waited for.
    pub tomcat_is_done: Arc<AtomicBool>,
    /// The lock of the session that the response announces, once it is taken.
    new_lock: Option<Lock>,
    began: Instant,
    _working: Option<Working>,
}

impl Core {
    /// A web application.
    pub fn context(&self, index: usize) -> &Context {
        self.contexts.get(index)
    }

    /// What the configuration says now.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// What seals records now.
    pub fn keys(&self) -> Arc<Keys> {
        self.keys.load_full()
    }

    /// The id under which Tomcat knows a session.
    pub fn tomcat_id(&self, id: &SessionId, node: NodeIndex) -> String {
        match self.settings().node_suffix {
            NodeSuffix::Cookie => id.as_str().to_owned(),
            NodeSuffix::Visible => id.with_suffix(&self.nodes.name(node)),
        }
    }

    /// Whether a request of this id, of which nothing is known any more, may still run.
    fn is_suspect(&self, context: usize, tomcat_id: &str) -> bool {
        let suspects = self.suspects();
        !suspects.is_empty() && suspects.contains(&(context, tomcat_id.to_owned()))
    }

    fn add_suspect(&self, context: usize, tomcat_id: &str) {
        self.suspects().insert((context, tomcat_id.to_owned()));
    }

    fn clear_suspect(&self, context: usize, tomcat_id: &str) {
        self.suspects().remove(&(context, tomcat_id.to_owned()));
    }

    fn suspects(&self) -> MutexGuard<'_, HashSet<(usize, String)>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exchange {
    /// An exchange without a session yet.
    pub fn new(core: Arc<Core>, context: usize, host: String, working: Option<Working>) -> Self {
        Self {
            core,
            context,
            access: Access::Locked,
            learn_as: None,
            held: None,
            told: None,
            shared: None,
            unknown: false,
            drop_cookie: false,
            in_cookie: false,
            host,
            trace: None,
            tomcat_is_done: Arc::default(),
            new_lock: None,
            began: Instant::now(),
            _working: working,
        }
    }

    /// When it began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// A part of it has ended.
    pub fn ended(&self, part: Part, since: Instant, at: Instant) {
        self.core.metrics.parts.observe(part, since, at);
        if let Some(trace) = &self.trace {
            let part = trace::Part { name: part.name(), kind: Kind::Internal, began: since, ended: at };
            trace.part(part, None, false, Vec::new());
        }
    }

    /// How long it has been going on.
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether Tomcat has not read the placed file. `false` without one.
    pub fn untouched(&mut self) -> bool {
        self.held.as_mut().is_some_and(|held| matches!(held.placed.look(), Ok(crate::file::Seen::Untouched)))
    }

    /// Ends an exchange of which nothing reached Tomcat.
    pub async fn cancel(self) {
        if let Some(held) = self.held {
            self.core.directories[self.context].remove(&held.tomcat_id);
            held.release().await;
        }
    }

    fn directory(&self) -> &Arc<StoreDirectory> {
        &self.core.directories[self.context]
    }
}

impl Held {
    /// From now on the record's life is what it is stored with.
    fn let_record_be(&self) {
        if let Some(lock) = &self.lock {
            lock.let_record_be();
        }
    }

    /// Gives the session back: the lock first, then the turn.
    async fn release(self) {
        if let Some(lock) = self.lock {
            lock.release_soon().await;
        }
    }
}

/// From so many bytes on, what works on each of them would keep the other requests waiting: sealing 5 MB takes 17 ms.
const ASIDE_FROM: usize = 256 * 1024;

/// Runs what works on every byte of `bytes`, beside the other requests if they are many. `None`: it panicked.
async fn aside<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if bytes < ASIDE_FROM { Some(work()) } else { tokio::task::spawn_blocking(work).await.ok() }
}

/// Seconds since 1970.
pub(crate) fn unix_time() -> u64 {
    #[cfg(test)]
    if let Some(time) = simulation::unix_time() {
        return time;
    }
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Milliseconds since 1970.
fn unix_millis() -> i64 {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    i64::try_from(millis).unwrap_or(i64::MAX)
}

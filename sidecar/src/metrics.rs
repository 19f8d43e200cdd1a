//! What is counted. Each counter is raised where the thing happens; `docs/monitoring.md` lists them all.

use std::time::{Duration, Instant};

use satchel_common::metrics::{Counter, Family, Histogram, PROCESS, Process, Snapshot};
use satchel_common::server::InFlight;

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident,)+) => {
        /// Everything that the sidecar counts, but for what belongs to a memcached node.
        #[derive(Debug)]
        pub struct Metrics {
            $($(#[doc = $help])+ pub $name: Counter,)+
            /// Requests, with session and without.
            pub requests: Requests,
            /// How long the parts of exchanges take.
            pub parts: Parts,
            /// How long requests wait for their session, of those that have to.
            pub lock_wait: Histogram,
            /// This process.
            pub process: Process,
        }

        impl Default for Metrics {
            fn default() -> Self {
                Self {
                    $($name: Counter::default(),)+
                    requests: Requests::default(),
                    parts: Parts::default(),
                    lock_wait: Histogram::default(),
                    process: Process::started_now(),
                }
            }
        }

        /// The families of the counters without labels.
        const COUNTERS: &[Family] = &[$(
            Family::counter(concat!("satchel_sidecar_", stringify!($name), "_total"), &[], concat!($($help),+).trim_ascii()),
        )+];

        impl Metrics {
            /// The counters without labels, with what they are called and what they mean.
            pub fn counters(&self) -> impl Iterator<Item = (&'static Family, u64)> {
                COUNTERS.iter().zip([$(self.$name.get(),)+])
            }
        }
    };
}

metrics! {
    /// Requests that were forwarded with a session.
    sessions_loaded,
    /// Look-ups that needed no body, because the local copy was current.
    cache_hits,
    /// Bodies that had to be fetched from memcached because the local copy was missing or stale.
    cache_misses,
    /// Sessions that were stored because they had changed.
    sessions_stored,
    /// Sessions that were only touched because they had not changed.
    sessions_touched,
    /// New sessions that were stored.
    sessions_created,
    /// Sessions that ended (logout or expiry in Tomcat).
    sessions_invalidated,
    /// Sessions that went on under another id (login).
    ids_changed,
    /// Ids that Tomcat gave and that cannot be shared, because of their characters or their length.
    unshared_ids,
    /// Ids that a client presented and that do not exist.
    unknown_ids,
    /// Requests that were refused because their client presented too many unknown ids.
    unknown_ids_refused,
    /// Requests that had to wait for their session: for its lock, or for their turn in this sidecar.
    lock_waits,
    /// Requests that gave up waiting for a lock or a turn.
    lock_timeouts,
    /// Requests that had their session read-only because its lock could not be had in time.
    proceeded_without_lock,
    /// Requests that locking "auto" had not locked and that changed their session.
    auto_locking_misses,
    /// Read-only requests that changed their session; the change was dropped.
    changes_dropped,
    /// Locks that were found lost when they were renewed.
    locks_lost,
    /// Stores that were refused because the session had changed elsewhere; the client was told.
    conflicts,
    /// The same, but the response was already on its way.
    conflicts_after_response,
    /// Stores that overwrote a change made elsewhere (locking "none" only).
    overwritten,
    /// Responses that were released before their session was stored.
    released_unsaved,
    /// Requests that Tomcat ended without saving the session.
    save_failed,
    /// Sessions that could not be stored; their last stored state is kept.
    store_failed,
    /// Stores that no memcached node took and that are kept until one does.
    outbox_kept,
    /// Kept stores that were done later.
    outbox_delivered,
    /// Kept stores that could not be done any more, because the session had changed or ended meanwhile.
    outbox_lost,
    /// Stores that no memcached node took and for which session.outbox_size had no room.
    outbox_full,
    /// Old copies on a node that was away for which there was no room to remember them.
    leftovers_forgotten,
    /// Requests that went on without their session because no memcached node could be asked for it.
    proceeded_without_session,
    /// Sessions that are larger than session.max_session_size.
    too_large,
    /// Files of requests that had been given up.
    foreign_files,
    /// New sessions that Tomcat saved long after the response that told of them.
    late_sessions,
    /// Session files that belonged to no request and were removed.
    swept_files,
    /// Sessions that were read from another copy than the first.
    read_from_backup,
    /// Sessions that were stored on another node because their own failed or was removed.
    moved,
    /// Stores of which only one copy could be made.
    single_copies,
    /// Stores that were refused or not repaired because the session's copies differed: sidecars see different nodes.
    diverged,
    /// Records that were refused because they were forged, damaged or sealed with an unknown key.
    records_rejected,
    /// Sessions that a memcached node gave back in an older state than this sidecar had seen there.
    rolled_back,
    /// Sessions that vanished from memcached while a request used them.
    vanished,
    /// Requests whose session was given up because Tomcat never read it.
    abandoned,
    /// Requests that ran longer than max_request_time.
    overtime,
    /// Exchanges that failed because Tomcat had stopped.
    tomcat_gone,
    /// Requests that were answered 503 before anything reached Tomcat.
    unsent,
    /// Session files that could not be read or written.
    file_errors,
}

/// What a request was answered with, as `status` has it.
const STATUS: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "499"];
/// nginx's word for a client that has left.
const LEFT: usize = 5;

/// Requests by what they were answered, and how long they took.
#[derive(Debug, Default)]
pub struct Requests {
    by_status: [Counter; STATUS.len()],
    /// From a request's header to the end of its response.
    pub times: Histogram,
    /// Those that run.
    pub in_flight: InFlight,
}

impl Requests {
    /// A request has ended. `None`: its client has left before there was an answer.
    pub fn answered(&self, status: Option<u16>, time: Duration) {
        let at = status.map_or(LEFT, |status| usize::from(status / 100).clamp(1, LEFT) - 1);
        self.by_status[at].add();
        self.times.observe(time);
    }

    /// How many were answered with which status.
    pub fn by_status(&self) -> impl Iterator<Item = (&'static str, u64)> {
        STATUS.into_iter().zip(self.by_status.iter().map(Counter::get))
    }

    /// Those that were answered with an error of the server's.
    pub fn errors(&self) -> u64 {
        self.by_status[4].get()
    }
}

/// What an exchange consists of, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The session's turn in this sidecar, and its lock; the state of its record comes with it.
    Lock,
    /// Its body is fetched and opened, if the local copy is not current.
    Load,
    /// Its file is written for Tomcat.
    Place,
    /// From the request to the header of Tomcat's response.
    Tomcat,
    /// Then Tomcat is waited for to save.
    Save,
    /// Its record is written.
    Store,
    /// It is touched, if it was not stored, and its lock given back.
    Unlock,
}

const PARTS: [(Part, &str); 7] = [
    (Part::Lock, "lock"),
    (Part::Load, "load"),
    (Part::Place, "place"),
    (Part::Tomcat, "tomcat"),
    (Part::Save, "save"),
    (Part::Store, "store"),
    (Part::Unlock, "unlock"),
];

impl Part {
    /// As it is called in metrics and traces.
    pub fn name(self) -> &'static str {
        PARTS[self as usize].1
    }
}

/// How long each part takes.
#[derive(Debug, Default)]
pub struct Parts([Histogram; PARTS.len()]);

impl Parts {
    /// A part has ended.
    pub fn observe(&self, part: Part, began: Instant, ended: Instant) {
        self.0[part as usize].observe(ended.saturating_duration_since(began));
    }

    /// How long one took until now.
    pub fn of(&self, part: Part) -> Snapshot {
        self.0[part as usize].snapshot()
    }

    /// Each with its name.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &Histogram)> {
        PARTS.iter().map(|(_, name)| *name).zip(&self.0)
    }
}

const NODE: &[&str] = &["node"];

macro_rules! families {
    ($($name:ident = $kind:ident $text:literal $labels:expr, $help:literal;)+) => {
        $(#[doc = $help] pub const $name: Family = Family::$kind(concat!("satchel_sidecar_", $text), $labels, $help);)+

        /// Those with labels, and gauges.
        const OTHERS: &[&Family] = &[$(&$name,)+];
    };
}

families! {
    BUILD = gauge "build_info" &["version"], "Always 1; its label tells which version runs.";
    REQUESTS = counter "requests_total" &["status"], "Requests by what they were answered: 2xx and so on, or 499 for a client that left before.";
    REQUEST_TIME = histogram "request_time_seconds" &[], "How long requests took, from their header to the end of their response.";
    IN_FLIGHT = gauge "requests_in_flight" &[], "Requests that run.";
    PART_TIME = histogram "exchange_part_seconds" &["part"], "How long the parts of an exchange took: lock, load (if the local copy is not current), place, tomcat (also of requests without a session), save (by Tomcat, after its header has come), store, unlock.";
    LOCK_WAIT = histogram "lock_wait_seconds" &[], "How long requests waited for their session's lock or turn, of those that had to.";
    LOCKS = gauge "locks_held" &[], "Locks of sessions that this sidecar holds.";
    NODE_UP = gauge "node_up" NODE, "Whether a memcached node is used: 1 or 0.";
    NODE_RETIRED = gauge "node_retired" NODE, "Whether a memcached node gets no session any more: 1 or 0.";
    NODE_TIME = histogram "node_round_trip_seconds" NODE, "How long a memcached node took to answer a batch, of those that it has answered.";
    NODE_ERRORS = counter "node_errors_total" NODE, "Batches that a memcached node failed.";
    CACHE_SESSIONS = gauge "cache_sessions" &[], "Sessions of which something is remembered here: a local copy, or that they have ended.";
    CACHE_BYTES = gauge "cache_size_bytes" &[], "What these take.";
    CACHE_MAX = gauge "cache_max_size_bytes" &[], "What they may take: session.cache_size.";
    OUTBOX_SESSIONS = gauge "outbox_sessions" &[], "Sessions that are kept until a memcached node takes them.";
    OUTBOX_BYTES = gauge "outbox_size_bytes" &[], "What these take.";
    OUTBOX_MAX = gauge "outbox_max_size_bytes" &[], "What they may take: session.outbox_size.";
}

/// All families, in the order in which they are shown.
pub fn families() -> impl Iterator<Item = &'static Family> {
    OTHERS.iter().copied().chain(COUNTERS).chain(PROCESS)
}

#[cfg(test)]
mod tests {
    use satchel_common::metrics::table;

    use super::*;

    #[test]
    fn the_documentation_lists_them_all() {
        let docs = include_str!("../../docs/monitoring.md");
        let now = table(families());
        assert!(docs.contains(&now), "docs/monitoring.md: the sidecar's table is to be:\n{now}");
    }

    #[test]
    fn a_status_is_counted_in_its_class() {
        let requests = Requests::default();
        for status in [Some(200), Some(204), Some(503), None, Some(999)] {
            requests.answered(status, Duration::ZERO);
        }
        let seen: Vec<_> = requests.by_status().filter(|(_, count)| *count > 0).collect();
        assert_eq!(seen, [("2xx", 2), ("5xx", 2), ("499", 1)]);
        assert_eq!((requests.errors(), requests.times.snapshot().count()), (2, 5));
    }

    #[test]
    fn every_part_has_its_name() {
        for (at, (part, name)) in PARTS.iter().enumerate() {
            assert_eq!((*part as usize, part.name()), (at, *name));
        }
    }
}

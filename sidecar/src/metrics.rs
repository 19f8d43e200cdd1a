//! Counters, in Prometheus' text format. Each is raised where the thing happens.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Only ever grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident,)+) => {
        /// All counters of the sidecar.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[doc = $help])+ pub $name: Counter,)+
        }

        impl Metrics {
            /// Prometheus' text format, version 0.0.4.
            pub fn render(&self) -> String {
                let mut out = String::new();
                $(
                    let name = concat!("satchel_", stringify!($name), "_total");
                    let help = concat!($($help),+);
                    let _ = write!(out, "# HELP {name}{help}\n# TYPE {name} counter\n{name} {}\n", self.$name.get());
                )+
                out
            }
        }
    };
}

metrics! {
    /// Requests that were forwarded with a session.
    sessions_loaded,
    /// Bodies that had to be fetched from memcached because the local copy was missing or stale.
    bodies_fetched,
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
    /// Batches that a memcached node failed.
    node_errors,
    /// Session files that could not be read or written.
    file_errors,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_rendered_with_their_help() {
        let metrics = Metrics::default();
        metrics.conflicts.add();
        let text = metrics.render();
        assert!(
            text.contains("\n# TYPE satchel_conflicts_total counter\nsatchel_conflicts_total 1\n"),
            "{text}"
        );
        assert!(text.contains("# HELP satchel_save_failed_total Requests that Tomcat ended"), "{text}");
    }
}

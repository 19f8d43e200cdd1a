//! What is counted. Whoever counts holds what he counts in: no request looks anything up by its name. `docs/monitoring.md` lists it all.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use satchel_common::metrics::{Counter, Family, Histogram, PROCESS, Process, Snapshot};
use satchel_common::server::InFlight;

/// What was answered, as the label `status` has it: a class; 499 as in nginx, for a client that has left; or that there was no answer.
const STATUS: [&str; 7] = ["1xx", "2xx", "3xx", "4xx", "5xx", "499", "none"];

/// How a request has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this status.
    Answered(u16),
    /// Its client has left.
    Left,
    /// The server did not answer.
    Unanswered,
}

/// Requests by how they have ended, and how long that took.
#[derive(Debug, Default)]
pub struct Requests {
    by_status: [Counter; STATUS.len()],
    times: Histogram,
}

impl Requests {
    /// A request has ended.
    pub fn ended(&self, how: Ended, time: Duration) {
        let at = match how {
            Ended::Answered(status) => usize::from(status / 100).clamp(1, 5) - 1,
            Ended::Left => 5,
            Ended::Unanswered => 6,
        };
        self.by_status[at].add();
        self.times.observe(time);
    }

    /// How many have ended how.
    pub fn by_status(&self) -> impl Iterator<Item = (&'static str, u64)> {
        STATUS.into_iter().zip(self.by_status.iter().map(Counter::get))
    }

    /// How long they took.
    pub fn times(&self) -> Snapshot {
        self.times.snapshot()
    }

    /// Those that were answered with an error of the server's, or not at all.
    pub fn errors(&self) -> u64 {
        self.by_status[4].get() + self.by_status[6].get()
    }
}

/// One server of an upstream.
#[derive(Debug, Default)]
pub struct Server {
    /// What was sent to it.
    pub requests: Requests,
    /// Requests that it has failed, as `proxy_next_upstream` says.
    pub failures: Counter,
}

/// One upstream.
#[derive(Debug, Default)]
pub struct Group {
    /// Requests that went to a further server.
    pub retries: Counter,
    servers: ArcSwap<HashMap<SocketAddr, Arc<Server>>>,
}

impl Group {
    /// A server; `None`: it is no member any more.
    pub fn server(&self, address: SocketAddr) -> Option<Arc<Server>> {
        self.servers.load().get(&address).cloned()
    }

    /// The servers now. What was counted for one that is gone goes with it: addresses come and go without end where names are looked up.
    pub fn members_are(&self, servers: impl Iterator<Item = SocketAddr>) {
        let before = self.servers.load();
        let one = |address| (address, before.get(&address).cloned().unwrap_or_default());
        let servers: HashMap<_, _> = servers.map(one).collect();
        self.servers.store(Arc::new(servers));
    }
}

/// Everything that the gateway counts.
#[derive(Debug)]
pub struct Metrics {
    /// By the first names of the servers.
    sites: Mutex<BTreeMap<String, Arc<Requests>>>,
    /// By the names of the upstreams.
    groups: Mutex<BTreeMap<String, Arc<Group>>>,
    /// Requests that run.
    pub in_flight: InFlight,
    /// Requests that `limit_req` has refused.
    pub limit_req: Counter,
    /// The same of `limit_conn`.
    pub limit_conn: Counter,
    /// Changes at the admin address that were refused for want of the token.
    pub denied: Counter,
    reloads: Counter,
    failed_reloads: Counter,
    /// When the configuration in use was read, in seconds since 1970.
    reloaded_at: AtomicU64,
    /// Whether the last reload has failed.
    stale: std::sync::atomic::AtomicBool,
    /// This process.
    pub process: Process,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            sites: Mutex::default(),
            groups: Mutex::default(),
            in_flight: InFlight::default(),
            limit_req: Counter::default(),
            limit_conn: Counter::default(),
            denied: Counter::default(),
            reloads: Counter::default(),
            failed_reloads: Counter::default(),
            reloaded_at: AtomicU64::new(unix_time()),
            stale: false.into(),
            process: Process::started_now(),
        }
    }
}

impl Metrics {
    /// The requests of a server with this name. Servers of one name are counted together.
    pub fn site(&self, name: &str) -> Arc<Requests> {
        lock(&self.sites).entry(name.to_owned()).or_default().clone()
    }

    /// From now on there are only these servers.
    pub fn sites_are(&self, names: &HashSet<String>) {
        lock(&self.sites).retain(|name, _| names.contains(name));
    }

    /// All servers.
    pub fn sites(&self) -> Vec<(String, Arc<Requests>)> {
        lock(&self.sites).iter().map(|(name, requests)| (name.clone(), requests.clone())).collect()
    }

    /// An upstream.
    pub fn group(&self, name: &str) -> Arc<Group> {
        lock(&self.groups).entry(name.to_owned()).or_default().clone()
    }

    /// All upstreams.
    pub fn groups(&self) -> Vec<(String, Arc<Group>)> {
        lock(&self.groups).iter().map(|(name, group)| (name.clone(), group.clone())).collect()
    }

    /// There is no such upstream any more.
    pub fn forget_group(&self, name: &str) {
        lock(&self.groups).remove(name);
    }

    /// A configuration was read again.
    pub fn reloaded(&self, done: bool) {
        if done {
            self.reloads.add();
            self.reloaded_at.store(unix_time(), Ordering::Relaxed);
        } else {
            self.failed_reloads.add();
        }
        self.stale.store(!done, Ordering::Relaxed);
    }

    /// Reloads that were done, and those that changed nothing because the file was wrong.
    pub fn reloads(&self) -> (u64, u64) {
        (self.reloads.get(), self.failed_reloads.get())
    }

    /// Whether the file is as it is used, as far as a reload has told; and when what is used was read, in seconds since 1970.
    pub fn config(&self) -> (bool, u64) {
        (!self.stale.load(Ordering::Relaxed), self.reloaded_at.load(Ordering::Relaxed))
    }
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const SERVER: &[&str] = &["upstream", "server"];

macro_rules! families {
    ($($name:ident = $kind:ident $text:literal $labels:expr, $help:literal;)+) => {
        $(#[doc = $help] pub const $name: Family = Family::$kind(concat!("satchel_gateway_", $text), $labels, $help);)+

        const OURS: &[&Family] = &[$(&$name,)+];
    };
}

families! {
    BUILD = gauge "build_info" &["version"], "Always 1; its label tells which version runs.";
    REQUESTS = counter "requests_total" &["server_name", "status"], "Requests by what they were answered: 2xx and so on, or 499 for a client that left before.";
    REQUEST_TIME = histogram "request_time_seconds" &["server_name"], "How long requests took, from their header to the end of their response ($request_time).";
    IN_FLIGHT = gauge "requests_in_flight" &[], "Requests that run.";
    REFUSED = counter "requests_refused_total" &["limit"], "Requests that limit_req or limit_conn has refused.";
    UP = gauge "upstream_up" SERVER, "Whether a server gets requests: 1, or 0 if it has failed, is unhealthy, drained or down.";
    ENABLED = gauge "upstream_enabled" SERVER, "Whether a server is to get requests: 1, or 0 if it is drained or down.";
    WEIGHT = gauge "upstream_weight" SERVER, "The share of the requests that a server is to get.";
    SERVER_IN_FLIGHT = gauge "upstream_requests_in_flight" SERVER, "Requests that a server has now.";
    SERVER_REQUESTS = counter "upstream_requests_total" &["upstream", "server", "status"], "Requests that were sent to a server, by what it answered: 2xx and so on, none if it did not, or 499 if the client left.";
    SERVER_TIME = histogram "upstream_response_time_seconds" SERVER, "How long a server had a request ($upstream_response_time).";
    FAILURES = counter "upstream_failures_total" SERVER, "Requests that a server has failed, as proxy_next_upstream says.";
    RETRIES = counter "upstream_retries_total" &["upstream"], "Requests that were sent to a further server.";
    RELOADS = counter "config_reloads_total" &["result"], "Configurations that were read again: success, or failure for those that changed nothing because they were wrong.";
    RELOAD_OK = gauge "config_last_reload_successful" &[], "Whether the last reload was one: 1 or 0.";
    RELOAD_TIME = gauge "config_last_reload_success_timestamp_seconds" &[], "When the configuration in use was read, in seconds since 1970.";
    DENIED = counter "admin_denied_total" &[], "Changes at the admin address that were refused for want of the token.";
}

/// All families, in the order in which they are shown.
pub fn families() -> impl Iterator<Item = &'static Family> {
    OURS.iter().copied().chain(PROCESS)
}

#[cfg(test)]
mod tests {
    use satchel_common::metrics::table;

    use super::*;

    #[test]
    fn the_documentation_lists_them_all() {
        let docs = include_str!("../../docs/monitoring.md");
        let now = table(families());
        assert!(docs.contains(&now), "docs/monitoring.md: the gateway's table is to be:\n{now}");
    }

    #[test]
    fn how_a_request_ended_is_counted() {
        let requests = Requests::default();
        for how in [Ended::Answered(204), Ended::Answered(502), Ended::Left, Ended::Unanswered] {
            requests.ended(how, Duration::from_millis(3));
        }
        let seen: Vec<_> =
            requests.by_status().filter(|(_, count)| *count > 0).map(|(status, _)| status).collect();
        assert_eq!(seen, ["2xx", "5xx", "499", "none"]);
        assert_eq!((requests.errors(), requests.times().count()), (2, 4));
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let metrics = Metrics::default();
        let [one, two] = ["127.0.0.1:8081", "127.0.0.1:8082"].map(|address| address.parse().unwrap());
        let group = metrics.group("tomcats");
        group.members_are([one, two].into_iter());
        let (first, second) = (group.server(one).unwrap(), group.server(two).unwrap());
        second.failures.add();
        group.members_are([two].into_iter());
        // Its last request.
        first.failures.add();
        assert!(group.server(one).is_none());
        assert_eq!(group.server(two).unwrap().failures.get(), 1, "who stays is not");
        group.members_are([one, two].into_iter());
        assert_eq!(group.server(one).unwrap().failures.get(), 0, "it begins anew");
        metrics.forget_group("tomcats");
        assert!(metrics.groups().is_empty());
    }

    #[test]
    fn a_server_that_is_not_configured_any_more_is_forgotten() {
        let metrics = Metrics::default();
        let of_shop = metrics.site("shop");
        of_shop.ended(Ended::Answered(200), Duration::ZERO);
        metrics.site("old");
        metrics.sites_are(&HashSet::from(["shop".to_owned()]));
        let names: Vec<_> = metrics.sites().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["shop"]);
        assert_eq!(metrics.site("shop").times().count(), 1);
    }
}

//! What is counted, in Prometheus' text format.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// From a fast page to the default of `proxy_read_timeout`, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0];

/// One server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Server {
    upstream: String,
    server: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    /// The server's first name.
    server_name: String,
    /// `2xx`, or 499 for a client that left.
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Group {
    upstream: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Limit {
    limit: &'static str,
}

/// All counters of the gateway.
pub struct Metrics {
    registry: Registry,
    /// The servers that are counted, by upstream.
    members: RwLock<HashMap<String, HashSet<SocketAddr>>>,
    answers: Family<Answer, Counter>,
    attempts: Family<Server, Counter>,
    failures: Family<Server, Counter>,
    times: Family<Server, Histogram, fn() -> Histogram>,
    up: Family<Server, Gauge>,
    active: Family<Server, Gauge>,
    retries: Family<Group, Counter>,
    refused: Family<Limit, Counter>,
    reloads: Counter<u64, AtomicU64>,
    failed_reloads: Counter<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("satchel_gateway");
        let times: Family<_, _, fn() -> Histogram> = Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let metrics = Self {
            members: RwLock::default(),
            answers: Family::default(),
            attempts: Family::default(),
            failures: Family::default(),
            up: Family::default(),
            active: Family::default(),
            retries: Family::default(),
            refused: Family::default(),
            reloads: Counter::default(),
            failed_reloads: Counter::default(),
            times: times.clone(),
            registry: Registry::default(),
        };
        registry.register("answers", "Requests by what they were answered", metrics.answers.clone());
        registry.register(
            "upstream_attempts",
            "Requests that were sent to a server",
            metrics.attempts.clone(),
        );
        registry.register(
            "upstream_failures",
            "Requests that a server has failed, as proxy_next_upstream says",
            metrics.failures.clone(),
        );
        registry.register_with_unit(
            "upstream_response_time",
            "How long a server had a request",
            Unit::Seconds,
            times,
        );
        registry.register("upstream_up", "Whether requests go to a server: 1 or 0", metrics.up.clone());
        registry.register("upstream_active", "Requests that a server has now", metrics.active.clone());
        registry.register("retries", "Requests that were sent to a second server", metrics.retries.clone());
        registry.register("refused", "Requests that a limit has refused", metrics.refused.clone());
        registry.register("reloads", "Configurations that were taken over", metrics.reloads.clone());
        registry.register(
            "failed_reloads",
            "Configurations that were wrong and changed nothing",
            metrics.failed_reloads.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// The text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// A request was answered.
    pub fn answered(&self, server_name: &str, status: u16) {
        let status = if status == 499 { "499".into() } else { format!("{}xx", status / 100) };
        self.answers.get_or_create(&Answer { server_name: server_name.to_owned(), status }).inc();
    }

    /// The servers of an upstream now; without any it is forgotten. What was counted for one that is gone goes, too: addresses come and
    /// go without end where names are looked up.
    pub fn members(&self, upstream: &str, servers: impl Iterator<Item = SocketAddr>) {
        let servers: HashSet<_> = servers.collect();
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        let before = members.remove(upstream).unwrap_or_default();
        for gone in before.difference(&servers) {
            let label = server_label(upstream, *gone);
            self.attempts.remove(&label);
            self.failures.remove(&label);
            self.times.remove(&label);
            self.up.remove(&label);
            self.active.remove(&label);
        }
        if servers.is_empty() {
            self.retries.remove(&Group { upstream: upstream.to_owned() });
        } else {
            members.insert(upstream.to_owned(), servers);
        }
    }

    /// A server has had a request for a time. One that is no member any more is not counted.
    pub fn served(&self, upstream: &str, server: SocketAddr, failed: bool, time: Duration) {
        // Held, so that the server does not go before it is counted.
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        let Some(label) = label_of_member(&members, upstream, server) else { return };
        self.attempts.get_or_create(&label).inc();
        if failed {
            self.failures.get_or_create(&label).inc();
        }
        self.times.get_or_create(&label).observe(time.as_secs_f64());
    }

    /// What a server is like now: whether requests go to it, and how many it has.
    pub fn state(&self, upstream: &str, server: SocketAddr, up: bool, active: u32) {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        let Some(label) = label_of_member(&members, upstream, server) else { return };
        self.up.get_or_create(&label).set(up.into());
        self.active.get_or_create(&label).set(active.into());
    }

    /// A request goes to a second server.
    pub fn retried(&self, upstream: &str) {
        self.retries.get_or_create(&Group { upstream: upstream.to_owned() }).inc();
    }

    /// A limit has refused a request: `limit_req` or `limit_conn`.
    pub fn refused(&self, limit: &'static str) {
        self.refused.get_or_create(&Limit { limit }).inc();
    }

    /// A configuration was read again.
    pub fn reloaded(&self, done: bool) {
        if done {
            self.reloads.inc()
        } else {
            self.failed_reloads.inc()
        };
    }
}

/// `None`: it is no member any more.
fn label_of_member(
    members: &HashMap<String, HashSet<SocketAddr>>,
    upstream: &str,
    server: SocketAddr,
) -> Option<Server> {
    members.get(upstream)?.contains(&server).then(|| server_label(upstream, server))
}

fn server_label(upstream: &str, server: SocketAddr) -> Server {
    Server { upstream: upstream.to_owned(), server: server.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::default();
        metrics.answered("shop", 204);
        metrics.answered("shop", 499);
        let server = "127.0.0.1:8081".parse().unwrap();
        metrics.members("tomcats", [server].into_iter());
        metrics.served("tomcats", server, true, Duration::from_millis(3));
        metrics.state("tomcats", server, false, 2);
        metrics.reloaded(true);
        let text = metrics.render();
        for line in [
            "satchel_gateway_answers_total{server_name=\"shop\",status=\"2xx\"} 1",
            "satchel_gateway_answers_total{server_name=\"shop\",status=\"499\"} 1",
            "satchel_gateway_upstream_failures_total{upstream=\"tomcats\",server=\"127.0.0.1:8081\"} 1",
            "satchel_gateway_upstream_response_time_seconds_bucket{le=\"0.005\",upstream=\"tomcats\",server=\"127.0.0.1:8081\"} 1",
            "satchel_gateway_upstream_up{upstream=\"tomcats\",server=\"127.0.0.1:8081\"} 0",
            "satchel_gateway_upstream_active{upstream=\"tomcats\",server=\"127.0.0.1:8081\"} 2",
            "satchel_gateway_reloads_total 1",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let metrics = Metrics::default();
        let [one, two] = ["127.0.0.1:8081", "127.0.0.1:8082"].map(|address| address.parse().unwrap());
        let serve = |server| metrics.served("tomcats", server, true, Duration::ZERO);
        metrics.members("tomcats", [one, two].into_iter());
        metrics.members("others", [one].into_iter());
        metrics.served("others", one, false, Duration::ZERO);
        serve(one);
        serve(two);
        metrics.retried("tomcats");
        metrics.members("tomcats", [two].into_iter());
        // Its last request.
        serve(one);
        let text = metrics.render();
        assert!(!text.contains("upstream=\"tomcats\",server=\"127.0.0.1:8081\""), "{text}");
        assert!(text.contains("upstream_attempts_total{upstream=\"tomcats\",server=\"127.0.0.1:8082\"} 1"));
        assert!(text.contains("upstream_attempts_total{upstream=\"others\",server=\"127.0.0.1:8081\"} 1"));
        metrics.members("tomcats", [].into_iter());
        assert!(!metrics.render().contains("tomcats"));
        metrics.members("tomcats", [one].into_iter());
        serve(one);
        assert!(
            metrics
                .render()
                .contains("upstream_attempts_total{upstream=\"tomcats\",server=\"127.0.0.1:8081\"} 1")
        );
    }
}

//! What is counted, in Prometheus' text format.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
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
    answers: Family<Answer, Counter>,
    attempts: Family<Server, Counter>,
    failures: Family<Server, Counter>,
    times: Family<Server, Histogram, fn() -> Histogram>,
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
            answers: Family::default(),
            attempts: Family::default(),
            failures: Family::default(),
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

    /// A server has had a request for a time.
    pub fn served(&self, upstream: &str, server: SocketAddr, failed: bool, time: Duration) {
        let label = Server { upstream: upstream.to_owned(), server: server.to_string() };
        self.attempts.get_or_create(&label).inc();
        if failed {
            self.failures.get_or_create(&label).inc();
        }
        self.times.get_or_create(&label).observe(time.as_secs_f64());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::default();
        metrics.answered("shop", 204);
        metrics.answered("shop", 499);
        metrics.served("tomcats", "127.0.0.1:8081".parse().unwrap(), true, Duration::from_millis(3));
        metrics.reloaded(true);
        let text = metrics.render();
        for line in [
            "satchel_gateway_answers_total{server_name=\"shop\",status=\"2xx\"} 1",
            "satchel_gateway_answers_total{server_name=\"shop\",status=\"499\"} 1",
            "satchel_gateway_upstream_failures_total{upstream=\"tomcats\",server=\"127.0.0.1:8081\"} 1",
            "satchel_gateway_upstream_response_time_seconds_bucket{le=\"0.005\",upstream=\"tomcats\",server=\"127.0.0.1:8081\"} 1",
            "satchel_gateway_reloads_total 1",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}

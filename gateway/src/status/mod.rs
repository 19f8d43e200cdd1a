//! What the status page shows: rates and times of the last seconds, and what is so now.

mod sidecars;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use satchel_common::metrics::{Live, Point, STEP, Snapshot};
use satchel_common::status::SidecarStatus;
use serde::Serialize;

use crate::balancer::{self, Method, Peer};
use crate::metrics::Metrics;
use crate::running::{Running, Shared};
use crate::upstream::Upstream;

pub use sidecars::Sidecars;

/// The gateway now. Rates and times are those of the last 10 s.
#[derive(Debug, Serialize)]
pub struct Status {
    program: &'static str,
    version: &'static str,
    started: f64,
    memory: u64,
    /// How many looks there have been: the number of the one that these values are of.
    looks: u64,
    /// Between two looks, in seconds.
    step: f32,
    /// Whether servers can be drained here, by who has the token.
    can_change: bool,
    /// Whether the last reload has changed nothing, because the file was wrong.
    reload_failed: bool,
    /// Requests; `rates`: errors; `level`: those that run.
    requests: Point<1>,
    upstreams: Vec<UpstreamStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<VecDeque<Point<1>>>,
}

#[derive(Debug, Serialize)]
struct UpstreamStatus {
    name: String,
    method: &'static str,
    /// Requests that went to a further server.
    retries: u64,
    servers: Vec<ServerStatus>,
}

#[derive(Debug, Serialize)]
struct ServerStatus {
    address: String,
    weight: u16,
    backup: bool,
    /// `up`, `failed`, `unhealthy`, `drain` or `down`.
    state: &'static str,
    /// It was drained, or enabled, at the admin address.
    said: bool,
    in_flight: u32,
    /// Zero: any number.
    max_conns: u32,
    /// Failed attempts in a row.
    fails: u32,
    /// Requests that it was sent; `rates`: errors; `level`: those that it has.
    requests: Point<1>,
    /// Since the start.
    total: u64,
    /// Of these, with an error of the server's or without an answer.
    errors: u64,
    /// Requests in a second, the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<f32>>,
    /// The sidecar's admin address, if it is known.
    admin: Option<String>,
    sidecar: Option<SidecarStatus>,
    /// Why it has not answered.
    sidecar_error: Option<String>,
}

/// The last minutes.
#[derive(Default)]
pub struct Recent(Mutex<Looks>);

#[derive(Default)]
struct Looks {
    count: u64,
    requests: Live<1>,
    servers: HashMap<(String, SocketAddr), Live<1>>,
}

impl Recent {
    /// Looks at what was counted, for ever.
    pub async fn watch(&self, shared: &Shared, metrics: &Metrics) {
        loop {
            self.look(&shared.load(), metrics, Instant::now());
            tokio::time::sleep(STEP).await;
        }
    }

    fn look(&self, running: &Running, metrics: &Metrics, now: Instant) {
        let (mut all, mut errors) = (Snapshot::default(), 0);
        for (_, requests) in metrics.sites() {
            all.add(&requests.times());
            errors += requests.errors();
        }
        let mut looks = self.looks();
        looks.count += 1;
        looks.requests.look(now, all, [errors], metrics.in_flight.count() as f32);
        let mut there = HashSet::new();
        for upstream in &running.upstreams {
            for peer in upstream.peers() {
                let Some(counted) = upstream.counted().server(peer.address) else { continue };
                let key = (upstream.name.clone(), peer.address);
                there.insert(key.clone());
                let requests = &counted.requests;
                looks.servers.entry(key).or_default().look(
                    now,
                    requests.times(),
                    [requests.errors()],
                    peer.conns as f32,
                );
            }
        }
        looks.servers.retain(|server, _| there.contains(server));
    }

    /// What is so now, with what the sidecars say of themselves; with the last minutes if they are wanted.
    pub async fn status(
        &self,
        running: &Running,
        metrics: &Metrics,
        sidecars: &Sidecars,
        history: bool,
    ) -> Status {
        let peers = running.upstreams.iter().flat_map(|upstream| upstream.peers());
        let said = sidecars.ask(peers.filter_map(|peer| admin(&peer)).collect()).await;
        let looks = self.looks();
        let upstreams = running.upstreams.iter().map(|upstream| UpstreamStatus {
            name: upstream.name.clone(),
            method: match upstream.config().method {
                Method::RoundRobin => "round_robin",
                Method::LeastConn => "least_conn",
                Method::RandomTwo => "random two",
            },
            retries: upstream.counted().retries.get(),
            servers: upstream
                .peers()
                .iter()
                .map(|peer| looks.server(upstream, peer, history, |address| said.get(&address).cloned()))
                .collect(),
        });
        let upstreams = upstreams.collect();
        Status {
            program: "gateway",
            version: env!("CARGO_PKG_VERSION"),
            started: metrics.process.started(),
            memory: metrics.process.memory().unwrap_or(0),
            looks: looks.count,
            step: STEP.as_secs_f32(),
            can_change: running.admin_token.is_some(),
            reload_failed: !metrics.config().0,
            requests: looks.requests.now(),
            upstreams,
            history: history.then(|| looks.requests.history().clone()),
        }
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Looks {
    fn server(
        &self,
        upstream: &Upstream,
        peer: &Peer,
        history: bool,
        sidecar: impl FnOnce(SocketAddr) -> Option<Result<SidecarStatus, String>>,
    ) -> ServerStatus {
        let live = self.servers.get(&(upstream.name.clone(), peer.address));
        let counted = upstream.counted().server(peer.address);
        let requests = counted.as_ref().map(|counted| &counted.requests);
        let admin = admin(peer);
        let (sidecar, sidecar_error) = match admin.and_then(sidecar) {
            Some(Ok(status)) => (Some(status), None),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        ServerStatus {
            address: peer.address.to_string(),
            weight: peer.options.weight,
            backup: peer.options.backup,
            state: state(upstream, peer),
            said: upstream.is_said(peer.address),
            in_flight: peer.conns,
            max_conns: peer.options.max_conns,
            fails: peer.fails,
            requests: live.map(Live::now).unwrap_or_default(),
            total: requests.map_or(0, |requests| requests.times().count()),
            errors: requests.map_or(0, |requests| requests.errors()),
            history: live
                .filter(|_| history)
                .map(|live| live.history().iter().map(|point| point.rate).collect()),
            admin: admin.map(|address| address.to_string()),
            sidecar,
            sidecar_error,
        }
    }
}

/// Where a server's sidecar tells of itself.
fn admin(peer: &Peer) -> Option<SocketAddr> {
    Some(SocketAddr::new(peer.address.ip(), peer.options.admin_port?))
}

/// Whether a server gets requests, in one word.
pub fn state(upstream: &Upstream, peer: &Peer) -> &'static str {
    match (peer.options.admin, peer.healthy, upstream.is_failed(peer)) {
        (balancer::Admin::Down, ..) => "down",
        (balancer::Admin::Drain, ..) => "drain",
        (_, false, _) => "unhealthy",
        (_, _, true) => "failed",
        _ => "up",
    }
}

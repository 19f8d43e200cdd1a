//! An upstream: the servers that requests are balanced over, and who uses them now.

mod budget;
mod check;
mod discovery;
mod file;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::balancer::{Admin, Balancer, News, Now, Options, Peer, Pick};
use crate::config::{Source, UpstreamConfig};
use crate::metrics::{Ended, Group, Metrics, Server};

use budget::Budget;
pub use check::check_for_ever;
pub use discovery::discover_for_ever;
pub use file::{FileError, read as read_file};

/// A waiting request is not told that a server's `fail_timeout` is over, nor that the one who was told of a free server had tried it.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A named group of servers. It outlives a reload of the configuration.
pub struct Upstream {
    /// As in the configuration; what the servers see as `Host` by default, as with nginx.
    pub name: String,
    config: ArcSwap<UpstreamConfig>,
    members: Mutex<Members>,
    balancer: Mutex<Balancer>,
    budget: Mutex<Budget>,
    /// A request has left a server that had `max_conns`.
    freed: Notify,
    waiting: AtomicUsize,
    started: Instant,
    reconfigured: Notify,
    counted: Arc<Group>,
}

/// What discovery has found.
#[derive(Default)]
struct Members {
    /// For each configured server: the addresses and weights that its name stands for.
    found: Vec<Vec<(SocketAddr, Option<u16>)>>,
    /// From the file.
    listed: Vec<(SocketAddr, Options)>,
    /// What somebody has said at the admin address. It counts more than the configuration, until the process ends or the server goes.
    said: HashMap<SocketAddr, Admin>,
}

/// Why a request gets no server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoServer {
    /// All that may be used have been tried, or there are none.
    #[error("no server is left to try")]
    Left,
    /// All have `max_conns` requests, and so many more wait that this one can't.
    #[error("all servers are busy")]
    Busy,
}

/// A server in use by one request.
pub struct Lease {
    upstream: Arc<Upstream>,
    /// Where it is.
    pub address: SocketAddr,
    /// Since when.
    pub began: Instant,
    failed: bool,
    ended: Option<Ended>,
    counted: Option<Arc<Server>>,
}

impl Upstream {
    /// As configured. Names that are to be looked up have no servers yet.
    pub fn new(config: UpstreamConfig, metrics: &Metrics) -> Arc<Self> {
        let upstream = Self {
            name: config.name.clone(),
            members: Mutex::default(),
            balancer: Mutex::new(Balancer::new(config.method, SmallRng::seed_from_u64(rand::random()))),
            budget: Mutex::new(Budget::new(config.retry_budget)),
            config: ArcSwap::from_pointee(config.clone()),
            freed: Notify::new(),
            waiting: AtomicUsize::new(0),
            started: Instant::now(),
            reconfigured: Notify::new(),
            counted: metrics.group(&config.name),
        };
        upstream.reconfigure(config);
        Arc::new(upstream)
    }

    /// As configured now. Servers that stay keep their state.
    pub fn reconfigure(&self, config: UpstreamConfig) {
        self.balancer().set_method(config.method);
        self.budget().set(config.retry_budget);
        self.change(|members| {
            let old = self.config.load();
            let found = config.servers.iter().map(|server| match &server.source {
                Source::Known(addresses) => addresses.iter().map(|address| (*address, None)).collect(),
                // What was found for that name is good until it is looked up again.
                source => old
                    .servers
                    .iter()
                    .position(|before| before.source == *source)
                    .and_then(|at| members.found.get(at).cloned())
                    .unwrap_or_default(),
            });
            let found = found.collect();
            members.found = found;
            let is_known = old.file == config.file && !members.listed.is_empty();
            match config.file.as_deref().filter(|_| !is_known).map(file::read) {
                Some(Ok(servers)) => members.listed = servers,
                // Who watches it will find it when it is good.
                Some(Err(error)) => log::error!("upstream {}: {error}", config.name),
                None if is_known => {}
                None => members.listed.clear(),
            }
            self.config.store(Arc::new(config));
        });
        self.reconfigured.notify_waiters();
    }

    /// Waits for the next [`reconfigure`](Self::reconfigure).
    async fn reconfigured(&self) {
        self.reconfigured.notified().await;
    }

    /// What the configuration says now.
    pub fn config(&self) -> Arc<UpstreamConfig> {
        self.config.load_full()
    }

    /// A look-up for this source has found these addresses, with weights of their own if they have some.
    fn found(&self, source: &Source, addresses: Vec<(SocketAddr, Option<u16>)>) {
        self.change(|members| {
            let config = self.config.load();
            for (at, server) in config.servers.iter().enumerate() {
                if server.source == *source && members.found.len() > at {
                    members.found[at].clone_from(&addresses);
                }
            }
        });
    }

    fn listed(&self, servers: Vec<(SocketAddr, Options)>) {
        self.change(|members| members.listed = servers);
    }

    /// Changes the members, and what follows from them. One change after the other, with the configuration of its time: discovery, a reload
    /// and the admin address come from several threads, and the last one must not act on what it had read before another's.
    fn change<T>(&self, change: impl FnOnce(&mut Members) -> T) -> T {
        let mut members = self.members();
        let changed = change(&mut members);
        let config = self.config.load();
        let mut servers: Vec<(SocketAddr, Options)> = Vec::new();
        let configured = config.servers.iter().zip(&members.found).flat_map(|(server, found)| {
            found.iter().map(|(address, weight)| {
                let weight = weight.unwrap_or(server.options.weight);
                (*address, Options { weight, ..server.options.clone() })
            })
        });
        for (address, mut options) in configured.chain(members.listed.iter().cloned()) {
            if !servers.iter().any(|(other, _)| *other == address) {
                options.admin = members.said.get(&address).copied().unwrap_or(options.admin);
                servers.push((address, options));
            }
        }
        members.said.retain(|address, _| servers.iter().any(|(server, _)| server == address));
        let addresses: Vec<_> = servers.iter().map(|(address, _)| *address).collect();
        self.counted.members_are(addresses.iter().copied());
        let mut balancer = self.balancer();
        let before: HashSet<_> = balancer.peers().iter().map(|peer| peer.address).collect();
        let is_news = before != addresses.iter().copied().collect();
        balancer.update(servers, self.now());
        drop(balancer);
        if is_news {
            let list: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            log::info!("upstream {}: its servers are {}", self.name, list.join(", "));
        }
        drop(members);
        self.freed.notify_waiters();
        changed
    }

    /// Drains a server, or lets it have requests again, whatever the configuration says. `false`: there is no such server.
    pub fn say(&self, address: SocketAddr, admin: Admin) -> bool {
        // What is said of others is forgotten at once.
        self.change(|members| {
            members.said.insert(address, admin);
        });
        self.is_said(address)
    }

    /// Whether a server is as it is because of [`say`](Self::say).
    pub fn is_said(&self, address: SocketAddr) -> bool {
        self.members().said.contains_key(&address)
    }

    /// What is counted of it.
    pub fn counted(&self) -> &Group {
        &self.counted
    }

    /// The next server that is not among `tried`. While all have `max_conns` requests it is waited for, in the configured bounds.
    ///
    /// # Errors
    /// [`NoServer`].
    pub async fn pick(self: &Arc<Self>, tried: &[SocketAddr]) -> Result<Lease, NoServer> {
        match self.try_pick(tried) {
            Err(NoServer::Busy) => {}
            other => return other,
        }
        let config = self.config();
        let _place = Place::take(&self.waiting, config.queue).ok_or(NoServer::Busy)?;
        let wait = async {
            loop {
                let freed = self.freed.notified();
                match self.try_pick(tried) {
                    Err(NoServer::Busy) => drop(timeout(LOOK_AGAIN, freed).await),
                    other => return other,
                }
            }
        };
        timeout(config.queue_timeout, wait).await.unwrap_or(Err(NoServer::Busy))
    }

    fn try_pick(self: &Arc<Self>, tried: &[SocketAddr]) -> Result<Lease, NoServer> {
        let pick = self.balancer().pick(self.now(), tried);
        match pick {
            Pick::Server(address) => Ok(Lease {
                upstream: self.clone(),
                address,
                began: Instant::now(),
                failed: false,
                ended: None,
                counted: self.counted.server(address),
            }),
            Pick::Full => Err(NoServer::Busy),
            Pick::None => Err(NoServer::Left),
        }
    }

    /// Whether a server is left that is not among `tried`: one that works as far as is known, or with `any` one that may be used at all.
    pub fn has_untried(&self, tried: &[SocketAddr], any: bool) -> bool {
        self.balancer().has_untried(tried, any, self.now())
    }

    /// A request has come: others may be repeated for it.
    pub fn count_request(&self) {
        self.budget().deposit();
    }

    /// Whether a request may be sent once more, as far as the retry budget goes.
    pub fn may_retry(&self) -> bool {
        self.budget().withdraw(self.now())
    }

    /// All servers with their state.
    pub fn peers(&self) -> Vec<Peer> {
        self.balancer().peers().to_vec()
    }

    /// Whether a server is left alone at present.
    pub fn is_failed(&self, peer: &Peer) -> bool {
        peer.is_failed(self.now())
    }

    fn set_healthy(&self, address: SocketAddr, healthy: bool) -> bool {
        let news = self.balancer().set_healthy(address, healthy, self.now());
        self.freed.notify_waiters();
        news
    }

    fn done(&self, address: SocketAddr, failed: bool) {
        match self.balancer().done(address, failed, self.now()) {
            Some(News::Failed) => {
                log::warn!("upstream {}: server {address} is left alone for a while", self.name);
            }
            Some(News::Serves) => log::info!("upstream {}: server {address} serves again", self.name),
            None => {}
        }
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.freed.notify_one();
        }
    }

    fn now(&self) -> Now {
        self.started.elapsed()
    }

    fn balancer(&self) -> MutexGuard<'_, Balancer> {
        self.balancer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those who wait.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, limit: usize) -> Option<Self> {
        let taken =
            waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < limit).then_some(n + 1));
        taken.ok().map(|_| Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lease {
    /// The request has failed in a way that speaks against the server.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// The request has left the server. Without this it is not counted.
    pub fn end(&mut self, how: Ended) {
        self.ended = Some(how);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.upstream.done(self.address, self.failed);
        let (Some(counted), Some(how)) = (&self.counted, self.ended) else { return };
        counted.requests.ended(how, self.began.elapsed());
        if self.failed {
            counted.failures.add();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::balancer::Method;
    use crate::config::PeerConfig;

    const TIMES: usize = 20_000;

    fn source() -> Source {
        Source::Resolve("tomcats.example:8080".parse().unwrap())
    }

    /// One name, with this weight for all that it stands for.
    fn config(weight: u16) -> UpstreamConfig {
        UpstreamConfig {
            name: "t".into(),
            method: Method::RoundRobin,
            keepalive_timeout: Duration::ZERO,
            queue: 0,
            queue_timeout: Duration::ZERO,
            retry_budget: 0,
            file: None,
            check: None,
            servers: vec![PeerConfig { source: source(), options: Options { weight, ..Options::default() } }],
        }
    }

    fn addresses(count: u16) -> Vec<(SocketAddr, Option<u16>)> {
        (1..=count).map(|port| (SocketAddr::from(([127, 0, 0, 1], port)), None)).collect()
    }

    #[test]
    fn what_is_said_stays_while_names_are_looked_up_and_a_reload_counts_at_once() {
        let upstream = Upstream::new(config(1), &Metrics::default());
        upstream.found(&source(), addresses(1));
        let first = addresses(1)[0].0;
        let peer = || upstream.peers().into_iter().find(|peer| peer.address == first).unwrap();
        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            let looks_up = scope.spawn(|| {
                while done.load(Ordering::Relaxed) == 0 {
                    (1..4).for_each(|count| upstream.found(&source(), addresses(count)));
                }
            });
            for n in 0..TIMES {
                let admin = if n % 2 == 0 { Admin::Drain } else { Admin::Up };
                let weight = 1 + u16::try_from(n % 2).unwrap();
                assert!(upstream.say(first, admin));
                upstream.reconfigure(config(weight));
                let seen = peer().options;
                if (seen.admin, seen.weight) != (admin, weight) {
                    done.store(1, Ordering::Relaxed);
                    panic!("{n}: {seen:?}, and {admin:?} was said, and weight {weight} configured");
                }
            }
            done.store(1, Ordering::Relaxed);
            looks_up.join().unwrap();
        });
    }

    #[test]
    fn of_a_server_that_is_not_there_nothing_can_be_said() {
        let upstream = Upstream::new(config(1), &Metrics::default());
        upstream.found(&source(), addresses(1));
        let second = addresses(2)[1].0;
        assert!(!upstream.say(second, Admin::Drain));
        upstream.found(&source(), addresses(2));
        assert!(!upstream.is_said(second) && upstream.peers().len() == 2, "it is new, and not drained");
    }
}

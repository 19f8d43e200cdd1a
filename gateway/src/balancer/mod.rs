//! Which server gets a request. Pure: the clock is an argument, the random numbers have a seed, and nothing is sent.
//!
//! Round robin and `least_conn` are nginx's, step by step (`ngx_http_upstream_round_robin.c`,
//! `ngx_http_upstream_least_conn_module.c`): for weights 5, 1, 1 the order is A A B A C A A, not A A A A A B C.

mod methods;
mod peer;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use rand::rngs::SmallRng;

pub use methods::Method;
pub use peer::{Admin, Now, Options, Peer};

/// What came of looking for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// This one; it counts as used until [`Balancer::done`].
    Server(SocketAddr),
    /// All that could be used have `max_conns` requests.
    Full,
    /// There is none that was not tried.
    None,
}

/// What a request has made known about its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It is left alone for its `fail_timeout`.
    Failed,
    /// It is not any more.
    Serves,
}

/// The servers of an upstream and their state.
pub struct Balancer {
    method: Method,
    peers: Vec<Peer>,
    random: SmallRng,
}

impl Balancer {
    /// Without servers yet.
    pub fn new(method: Method, random: SmallRng) -> Self {
        Self { method, peers: Vec::new(), random }
    }

    /// How the servers are chosen from now on.
    pub fn set_method(&mut self, method: Method) {
        self.method = method;
    }

    /// These are the servers now. One that was there before keeps its state.
    pub fn update(&mut self, servers: Vec<(SocketAddr, Options)>, now: Now) {
        let mut before = std::mem::take(&mut self.peers);
        let first = before.is_empty();
        self.peers = servers
            .into_iter()
            .map(|(address, options)| match before.iter().position(|peer| peer.address == address) {
                Some(at) => {
                    let mut peer = before.swap_remove(at);
                    peer.reconfigure(options);
                    peer
                }
                None => Peer::new(address, options, now, !first),
            })
            .collect();
    }

    /// The next server that is not among `tried`.
    ///
    /// When every one has failed or is unhealthy, they are used all the same: requests that may fail are better than requests that do.
    pub fn pick(&mut self, now: Now, tried: &[SocketAddr]) -> Pick {
        let mut full = false;
        let usable: [fn(&Peer, Now) -> bool; 3] = [
            |peer, now| !peer.options.backup && peer.is_usable(now),
            |peer, now| peer.options.backup && peer.is_usable(now),
            |peer, _| peer.is_wanted(),
        ];
        for (stage, usable) in usable.into_iter().enumerate() {
            // Those that are only busy are waited for.
            if full && stage == 2 {
                break;
            }
            let mut candidates = Vec::new();
            for (at, peer) in self.peers.iter().enumerate() {
                if tried.contains(&peer.address) || !usable(peer, now) {
                } else if peer.is_full() {
                    full = true;
                } else {
                    candidates.push(at);
                }
            }
            if let Some(at) =
                methods::choose(self.method, &mut self.peers, &candidates, now, &mut self.random)
            {
                self.peers[at].picked(now);
                return Pick::Server(self.peers[at].address);
            }
        }
        if full { Pick::Full } else { Pick::None }
    }

    /// Whether a server is left that is not among `tried`: one that works as far as is known, or with `any` one that may be used at all.
    pub fn has_untried(&self, tried: &[SocketAddr], any: bool, now: Now) -> bool {
        let mut left = self.peers.iter().filter(|peer| !tried.contains(&peer.address));
        left.any(|peer| if any { peer.is_wanted() } else { peer.is_usable(now) })
    }

    /// A request has left its server. `failed`: in a way that speaks against the server. `None`: it is as it was.
    pub fn done(&mut self, address: SocketAddr, failed: bool, now: Now) -> Option<News> {
        // As in nginx: a single server is never left alone.
        let single = self.peers.len() == 1;
        let peer = self.find(address)?;
        let was_failed = peer.is_failed(now);
        peer.conns = peer.conns.saturating_sub(1);
        match failed {
            _ if single => {}
            true => peer.has_failed(now),
            false => peer.has_served(now),
        }
        match (was_failed, peer.is_failed(now)) {
            (false, true) => Some(News::Failed),
            (true, false) => Some(News::Serves),
            _ => None,
        }
    }

    /// What an active check has found. `true` if that is news.
    pub fn set_healthy(&mut self, address: SocketAddr, healthy: bool, now: Now) -> bool {
        let Some(peer) = self.find(address) else { return false };
        let news = peer.healthy != healthy;
        peer.set_healthy(healthy, now);
        news
    }

    /// All servers.
    pub fn peers(&self) -> &[Peer] {
        &self.peers
    }

    fn find(&mut self, address: SocketAddr) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|peer| peer.address == address)
    }
}

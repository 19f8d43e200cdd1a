//! An upstream: the servers that requests are balanced over.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pingora_load_balancing::Backend;

use crate::balancer::SmoothRoundRobin;

/// A named group of servers.
pub struct Upstream {
    /// As in the configuration; what the servers see as `Host` by default, as with nginx.
    pub name: String,
    /// How long an idle connection is kept.
    pub keepalive_timeout: Duration,
    peers: Vec<Backend>,
    balancer: Mutex<SmoothRoundRobin>,
}

impl Upstream {
    /// Peers with weights of 1 to 65535.
    pub fn new(name: String, keepalive_timeout: Duration, peers: Vec<(SocketAddr, u16)>) -> Self {
        let balancer = Mutex::new(SmoothRoundRobin::new(peers.iter().map(|(_, weight)| *weight)));
        let peers = peers
            .into_iter()
            .map(|(address, weight)| Backend {
                addr: address.into(),
                weight: usize::from(weight),
                ext: Default::default(),
            })
            .collect();
        Self { name, keepalive_timeout, peers, balancer }
    }

    /// The next peer that is not among `tried`.
    pub fn next(&self, tried: &[usize]) -> Option<usize> {
        let mut balancer = self.balancer.lock().unwrap_or_else(PoisonError::into_inner);
        balancer.next(|peer| !tried.contains(&peer))
    }

    /// Whether a peer is left that is not among `tried`.
    pub fn has_untried(&self, tried: &[usize]) -> bool {
        (0..self.peers.len()).any(|peer| !tried.contains(&peer))
    }

    /// The address of a peer.
    pub fn address(&self, peer: usize) -> Option<SocketAddr> {
        self.peers.get(peer)?.addr.as_inet().copied()
    }

    /// How many peers there are.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there are none; the configuration refuses that.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }
}

//! The ways to choose among the servers that can be used.

use std::cmp::Ordering;

use rand::RngExt;
use rand::rngs::SmallRng;
use serde::Deserialize;

use super::peer::{Now, Peer};

/// nginx's load balancing methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Method {
    /// Smooth weighted round robin.
    #[default]
    #[serde(rename = "round_robin")]
    RoundRobin,
    /// The one with the fewest requests for its weight.
    #[serde(rename = "least_conn")]
    LeastConn,
    /// The less busy of two that are drawn (power of two choices).
    #[serde(rename = "random two")]
    RandomTwo,
}

/// One of the candidates, which are indexes into `peers`.
pub(super) fn choose(
    method: Method,
    peers: &mut [Peer],
    candidates: &[usize],
    now: Now,
    random: &mut SmallRng,
) -> Option<usize> {
    match method {
        Method::RoundRobin => round_robin(peers, candidates, now),
        Method::LeastConn => {
            let least =
                candidates.iter().copied().min_by(|a, b| peers[*a].is_less_busy_than(&peers[*b], now))?;
            let equal: Vec<usize> = candidates
                .iter()
                .copied()
                .filter(|at| peers[*at].is_less_busy_than(&peers[least], now) == Ordering::Equal)
                .collect();
            if equal.len() == 1 { Some(least) } else { round_robin(peers, &equal, now) }
        }
        Method::RandomTwo => {
            let first = draw(peers, candidates, now, random)?;
            let rest: Vec<usize> = candidates.iter().copied().filter(|at| *at != first).collect();
            let Some(second) = draw(peers, &rest, now, random) else { return Some(first) };
            let second_is_less_busy = peers[second].is_less_busy_than(&peers[first], now) == Ordering::Less;
            Some(if second_is_less_busy { second } else { first })
        }
    }
}

fn round_robin(peers: &mut [Peer], candidates: &[usize], now: Now) -> Option<usize> {
    let mut total = 0;
    let mut best: Option<usize> = None;
    for at in candidates.iter().copied() {
        total += peers[at].step(now);
        if best.is_none_or(|best| peers[at].current > peers[best].current) {
            best = Some(at);
        }
    }
    let best = best?;
    peers[best].current -= total;
    Some(best)
}

fn draw(peers: &[Peer], candidates: &[usize], now: Now, random: &mut SmallRng) -> Option<usize> {
    let total: u64 = candidates.iter().map(|at| peers[*at].share(now)).sum();
    if total == 0 {
        return None;
    }
    let mut at = random.random_range(0..total);
    candidates.iter().copied().find(|candidate| {
        let share = peers[*candidate].share(now);
        let found = at < share;
        at = at.saturating_sub(share);
        found
    })
}

//! nginx's smooth weighted round robin (`ngx_http_upstream_round_robin.c`): for weights 5, 1, 1 the order is
//! A A B A C A A, not A A A A A B C. Pure: no clock, no I/O.

/// The state of a balancer over a fixed list of peers.
#[derive(Debug, Clone)]
pub struct SmoothRoundRobin {
    weights: Vec<i64>,
    current: Vec<i64>,
}

impl SmoothRoundRobin {
    /// Weights of 1 to 65535, one per peer.
    pub fn new(weights: impl IntoIterator<Item = u16>) -> Self {
        let weights: Vec<i64> = weights.into_iter().map(i64::from).collect();
        Self { current: vec![0; weights.len()], weights }
    }

    /// The next peer among those that `usable` allows; the others keep their state.
    pub fn next(&mut self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<usize> = None;
        for peer in (0..self.weights.len()).filter(|peer| usable(*peer)) {
            self.current[peer] += self.weights[peer];
            total += self.weights[peer];
            if best.is_none_or(|best| self.current[peer] > self.current[best]) {
                best = Some(peer);
            }
        }
        let best = best?;
        self.current[best] -= total;
        Some(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sequence(weights: &[u16], picks: usize) -> String {
        let mut balancer = SmoothRoundRobin::new(weights.iter().copied());
        (0..picks).map(|_| (b'A' + balancer.next(|_| true).unwrap() as u8) as char).collect()
    }

    #[test]
    fn the_order_is_nginxs() {
        assert_eq!(sequence(&[5, 1, 1], 7), "AABACAA");
        assert_eq!(sequence(&[1, 1], 4), "ABAB");
        assert_eq!(sequence(&[3, 1], 8), "AABAAABA");
        assert_eq!(sequence(&[4, 2, 1], 7), "ABACABA");
    }

    #[test]
    fn nobody_is_picked_when_nobody_is_usable() {
        assert_eq!(SmoothRoundRobin::new([1, 1]).next(|_| false), None);
        assert_eq!(SmoothRoundRobin::new([]).next(|_| true), None);
    }

    proptest! {
        #[test]
        fn in_every_period_each_peer_has_its_share(weights in proptest::collection::vec(1u16..50, 1..8)) {
            let period: usize = weights.iter().map(|w| usize::from(*w)).sum();
            let mut balancer = SmoothRoundRobin::new(weights.iter().copied());
            for _ in 0..3 {
                let mut counts = vec![0u16; weights.len()];
                for _ in 0..period {
                    counts[balancer.next(|_| true).unwrap()] += 1;
                }
                prop_assert_eq!(&counts, &weights);
            }
        }

        #[test]
        fn without_one_peer_the_others_keep_their_proportion(
            weights in proptest::collection::vec(1u16..50, 2..8),
            before in 0usize..100,
        ) {
            let mut balancer = SmoothRoundRobin::new(weights.iter().copied());
            for _ in 0..before {
                balancer.next(|_| true);
            }
            let rest: usize = weights[1..].iter().map(|w| usize::from(*w)).sum();
            let mut counts = vec![0i64; weights.len()];
            for _ in 0..rest * 20 {
                counts[balancer.next(|peer| peer != 0).unwrap()] += 1;
            }
            prop_assert_eq!(counts[0], 0);
            for (peer, weight) in weights.iter().enumerate().skip(1) {
                // What was owed when the peer left is made up for once.
                prop_assert!((counts[peer] - i64::from(*weight) * 20).abs() <= 8, "{:?}", counts);
            }
        }
    }
}

//! The balancer against nginx's rules, and simulated with a clock of its own.

mod farm;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng;

use super::*;

fn address(n: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], u16::try_from(n + 1).unwrap()))
}

fn options(weight: u16) -> Options {
    Options {
        weight,
        max_fails: 1,
        fail_timeout: Duration::from_secs(10),
        max_conns: 0,
        backup: false,
        admin: Admin::Up,
        slow_start: Duration::ZERO,
        admin_port: None,
    }
}

fn secs(n: u64) -> Now {
    Duration::from_secs(n)
}

fn balancer(method: Method, servers: Vec<Options>) -> Balancer {
    let mut balancer = Balancer::new(method, SmallRng::seed_from_u64(7));
    let servers = servers.into_iter().enumerate().map(|(n, options)| (address(n), options)).collect();
    balancer.update(servers, Now::ZERO);
    balancer
}

fn weighted(weights: &[u16]) -> Balancer {
    balancer(Method::RoundRobin, weights.iter().map(|weight| options(*weight)).collect())
}

fn number(pick: Pick) -> usize {
    match pick {
        Pick::Server(address) => usize::from(address.port()) - 1,
        other => panic!("{other:?}"),
    }
}

/// A request that is served at once.
fn serve(balancer: &mut Balancer, now: Now) -> usize {
    let server = number(balancer.pick(now, &[]));
    balancer.done(address(server), false, now);
    server
}

fn sequence(weights: &[u16], picks: usize) -> String {
    let mut balancer = weighted(weights);
    (0..picks).map(|_| (b'A' + serve(&mut balancer, secs(1)) as u8) as char).collect()
}

#[test]
fn the_order_is_nginxs() {
    assert_eq!(sequence(&[5, 1, 1], 7), "AABACAA");
    assert_eq!(sequence(&[1, 1], 4), "ABAB");
    assert_eq!(sequence(&[3, 1], 8), "AABAAABA");
    assert_eq!(sequence(&[4, 2, 1], 7), "ABACABA");
}

#[test]
fn nobody_is_picked_when_nobody_is_left() {
    let mut balancer = weighted(&[1, 1]);
    assert_eq!(balancer.pick(secs(1), &[address(0), address(1)]), Pick::None);
    assert_eq!(weighted(&[]).pick(secs(1), &[]), Pick::None);
}

#[test]
fn a_server_that_failed_max_fails_times_is_left_alone_for_fail_timeout() {
    let two = Options { max_fails: 2, ..options(1) };
    let mut balancer = balancer(Method::RoundRobin, vec![two.clone(), two]);
    for _ in 0..2 {
        while number(balancer.pick(secs(1), &[])) != 0 {
            balancer.done(address(1), false, secs(1));
        }
        balancer.done(address(0), true, secs(1));
    }
    for _ in 0..10 {
        assert_eq!(serve(&mut balancer, secs(5)), 1);
    }
    // Afterwards one request tries it; while that runs it counts as failed still.
    let picked: Vec<usize> = (0..6).map(|_| number(balancer.pick(secs(12), &[]))).collect();
    assert_eq!(picked.iter().filter(|server| **server == 0).count(), 1, "{picked:?}");
    balancer.done(address(0), false, secs(12));
    assert_eq!(balancer.peers()[0].fails, 0);
}

#[test]
fn a_backup_gets_requests_only_when_no_other_can() {
    let backup = Options { backup: true, ..options(1) };
    let mut balancer = balancer(Method::RoundRobin, vec![options(1), options(1), backup]);
    for _ in 0..10 {
        assert_ne!(serve(&mut balancer, secs(1)), 2);
    }
    assert_eq!(number(balancer.pick(secs(1), &[address(0), address(1)])), 2);
    balancer.set_healthy(address(0), false, secs(1));
    balancer.set_healthy(address(1), false, secs(1));
    assert_eq!(serve(&mut balancer, secs(1)), 2);
}

#[test]
fn down_and_drain_get_nothing_even_when_all_others_fail() {
    for admin in [Admin::Down, Admin::Drain] {
        let first = Options { admin, ..options(1) };
        let mut balancer = balancer(Method::RoundRobin, vec![first, options(1)]);
        balancer.set_healthy(address(1), false, secs(1));
        for _ in 0..4 {
            assert_eq!(serve(&mut balancer, secs(1)), 1, "unhealthy, but the only one");
        }
        assert_eq!(balancer.pick(secs(1), &[address(1)]), Pick::None);
        assert!(!balancer.has_untried(&[address(1)], true, Now::ZERO));
    }
}

#[test]
fn an_answer_is_not_given_up_for_a_server_that_does_not_work() {
    let mut balancer = weighted(&[1, 1]);
    let tried = [address(0)];
    assert!(balancer.has_untried(&tried, false, secs(1)));
    balancer.set_healthy(address(1), false, secs(1));
    assert!(!balancer.has_untried(&tried, false, secs(1)) && balancer.has_untried(&tried, true, secs(1)));
}

#[test]
fn when_all_have_failed_all_are_used() {
    let mut balancer = weighted(&[1, 1]);
    for server in 0..2 {
        assert!(matches!(balancer.pick(secs(1), &[]), Pick::Server(_)));
        balancer.done(address(server), true, secs(1));
    }
    let picked: Vec<usize> = (0..4).map(|_| number(balancer.pick(secs(2), &[]))).collect();
    assert!(picked.contains(&0) && picked.contains(&1), "{picked:?}");
}

#[test]
fn max_conns_is_a_bound_and_full_is_said() {
    let one = Options { max_conns: 1, ..options(1) };
    for method in [Method::RoundRobin, Method::LeastConn, Method::RandomTwo] {
        let mut balancer = balancer(method, vec![one.clone(), one.clone()]);
        let (first, second) = (number(balancer.pick(secs(1), &[])), number(balancer.pick(secs(1), &[])));
        assert_ne!(first, second);
        assert_eq!(balancer.pick(secs(1), &[]), Pick::Full);
        balancer.done(address(first), false, secs(1));
        assert_eq!(number(balancer.pick(secs(1), &[])), first);
    }
}

#[test]
fn a_server_that_comes_back_starts_slowly() {
    let slow = Options { slow_start: secs(100), ..options(1) };
    let mut balancer = balancer(Method::RoundRobin, vec![slow.clone(), slow]);
    balancer.set_healthy(address(0), false, secs(1));
    for _ in 0..10 {
        assert_eq!(serve(&mut balancer, secs(2)), 1);
    }
    assert!(balancer.set_healthy(address(0), true, secs(1_000)));
    let share = |balancer: &mut Balancer, now| (0..400).filter(|_| serve(balancer, now) == 0).count();
    // A quarter of the weight: one of five; three quarters: three of seven.
    assert!((75..=85).contains(&share(&mut balancer, secs(1_025))));
    assert!((165..=178).contains(&share(&mut balancer, secs(1_075))));
    assert!((195..=205).contains(&share(&mut balancer, secs(1_101))));
}

#[test]
fn least_conn_takes_the_one_with_the_fewest_for_its_weight() {
    let mut balancer = balancer(Method::LeastConn, vec![options(2), options(1)]);
    let picked: Vec<usize> = (0..6).map(|_| number(balancer.pick(secs(1), &[]))).collect();
    assert_eq!(picked.iter().filter(|server| **server == 0).count(), 4, "{picked:?}");
    for _ in 0..4 {
        balancer.done(address(0), false, secs(1));
    }
    assert_eq!(number(balancer.pick(secs(1), &[])), 0);
}

#[test]
fn random_two_spreads_by_weight_and_prefers_the_less_busy() {
    let mut balancer = balancer(Method::RandomTwo, vec![options(1), options(1), options(1)]);
    for _ in 0..300 {
        assert!(matches!(balancer.pick(secs(1), &[]), Pick::Server(_)));
    }
    let conns: Vec<u32> = balancer.peers().iter().map(|peer| peer.conns).collect();
    assert!(conns.iter().all(|conns| (90..=110).contains(conns)), "{conns:?}");
}

#[test]
fn state_survives_a_change_of_members_and_weights() {
    let mut balancer = weighted(&[1, 1, 1]);
    assert_eq!(number(balancer.pick(secs(1), &[])), 0);
    assert_eq!(number(balancer.pick(secs(1), &[])), 1);
    balancer.done(address(1), true, secs(1));
    // The third goes, a fourth comes, the second has another weight.
    let servers = vec![(address(0), options(1)), (address(1), options(4)), (address(3), options(1))];
    balancer.update(servers, secs(2));
    let [first, second, fourth] = balancer.peers() else { panic!() };
    assert_eq!((first.conns, second.fails, fourth.conns), (1, 1, 0));
    assert!(second.is_failed(secs(3)));
    balancer.done(address(2), false, secs(3));
}

proptest! {
    #[test]
    fn in_every_period_each_server_has_its_share(weights in proptest::collection::vec(1u16..50, 1..8)) {
        let period: usize = weights.iter().map(|w| usize::from(*w)).sum();
        let mut balancer = weighted(&weights);
        for _ in 0..3 {
            let mut counts = vec![0u16; weights.len()];
            for _ in 0..period {
                counts[serve(&mut balancer, secs(1))] += 1;
            }
            prop_assert_eq!(&counts, &weights);
        }
    }

    /// nginx's own loop, with its integers and without our scale.
    #[test]
    fn with_failures_too_the_order_is_nginxs(
        weights in proptest::collection::vec(1u16..20, 2..6),
        max_fails in 1u32..4,
        failures in proptest::collection::vec(0..10u8, 300),
    ) {
        let mut reference = Nginx::new(&weights, max_fails);
        let servers = weights.iter().map(|weight| Options { max_fails, ..options(*weight) }).collect();
        let mut balancer = balancer(Method::RoundRobin, servers);
        for (step, dice) in failures.into_iter().enumerate() {
            let now = secs(step as u64);
            let Some(expected) = reference.pick(now.as_secs()) else {
                // nginx answers 502 then; here all are used.
                break;
            };
            prop_assert_eq!(number(balancer.pick(now, &[])), expected, "step {}", step);
            reference.done(expected, dice == 0, now.as_secs());
            balancer.done(address(expected), dice == 0, now);
        }
    }

    /// Servers come and go, fail and change their weights; each gets its share of what is left.
    #[test]
    fn shares_stay_fair_while_servers_come_and_go(
        rounds in proptest::collection::vec((proptest::collection::vec(1u16..10, 2..7), 0usize..4), 1..12),
    ) {
        let mut balancer = weighted(&[1]);
        let mut now = 1;
        for (weights, offset) in rounds {
            now += 60;
            let servers: Vec<_> = weights.iter().enumerate().map(|(n, w)| (address(n + offset), options(*w))).collect();
            balancer.update(servers, secs(now));
            let period: usize = weights.iter().map(|w| usize::from(*w)).sum();
            let mut counts: BTreeMap<usize, i64> = BTreeMap::new();
            for _ in 0..period * 20 {
                *counts.entry(serve(&mut balancer, secs(now))).or_default() += 1;
            }
            for (n, weight) in weights.iter().enumerate() {
                // What is owed from before is made up for once.
                let seen = counts.get(&(n + offset)).copied().unwrap_or(0);
                prop_assert!((seen - i64::from(*weight) * 20).abs() <= 12, "{:?} {:?}", weights, counts);
            }
        }
    }
}

/// `ngx_http_upstream_get_peer` and `ngx_http_upstream_free_round_robin_peer` of nginx 1.22, for one group and no limits.
struct Nginx {
    max_fails: i64,
    peers: Vec<NginxPeer>,
}

struct NginxPeer {
    weight: i64,
    effective: i64,
    current: i64,
    fails: i64,
    accessed: u64,
    checked: u64,
}

impl Nginx {
    fn new(weights: &[u16], max_fails: u32) -> Self {
        let peer = |weight: &u16| NginxPeer {
            weight: i64::from(*weight),
            effective: i64::from(*weight),
            current: 0,
            fails: 0,
            accessed: 0,
            checked: 0,
        };
        Self { max_fails: i64::from(max_fails), peers: weights.iter().map(peer).collect() }
    }

    fn pick(&mut self, now: u64) -> Option<usize> {
        let (mut best, mut total) = (None::<usize>, 0);
        for at in 0..self.peers.len() {
            let peer = &mut self.peers[at];
            if peer.fails >= self.max_fails && now - peer.checked <= 10 {
                continue;
            }
            peer.current += peer.effective;
            total += peer.effective;
            if peer.effective < peer.weight {
                peer.effective += 1;
            }
            let current = peer.current;
            if best.is_none_or(|best| current > self.peers[best].current) {
                best = Some(at);
            }
        }
        let best = best?;
        self.peers[best].current -= total;
        if now - self.peers[best].checked > 10 {
            self.peers[best].checked = now;
        }
        Some(best)
    }

    fn done(&mut self, at: usize, failed: bool, now: u64) {
        let peer = &mut self.peers[at];
        if failed {
            peer.fails += 1;
            peer.accessed = now;
            peer.checked = now;
            peer.effective = (peer.effective - peer.weight / self.max_fails).max(0);
        } else if peer.accessed < peer.checked {
            peer.fails = 0;
        }
    }
}

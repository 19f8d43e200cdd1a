//! The balancer simulated: up to 1,000 servers that fail, return, drain and fill up, with requests that are tried again, in a time of its own.
//! Other seeds with `SATCHEL_SEEDS=from..to`.

use rand::RngExt;

use super::*;

/// What the simulation itself knows of a server.
#[derive(Clone, Default)]
struct Known {
    running: u32,
    /// Failures without a success between them, and the last.
    failures: u32,
    failed: Option<Now>,
    /// How many of a hundred requests fail there now.
    sick: u32,
}

/// A request that runs.
struct Running {
    on: SocketAddr,
    tried: Vec<SocketAddr>,
}

struct Farm {
    balancer: Balancer,
    method: Method,
    now: Now,
    random: SmallRng,
    servers: Vec<(SocketAddr, Options)>,
    known: BTreeMap<SocketAddr, Known>,
    running: Vec<Running>,
    picked: usize,
}

impl Farm {
    fn new(seed: u64, servers: usize) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let method =
            [Method::RoundRobin, Method::LeastConn, Method::RandomTwo][random.random_range(0..3usize)];
        let servers: Vec<_> = (0..servers).map(|n| (address(n), any_options(&mut random))).collect();
        let mut balancer = Balancer::new(method, SmallRng::seed_from_u64(!seed));
        balancer.update(servers.clone(), Now::ZERO);
        let known = servers.iter().map(|(address, _)| (*address, Known::default())).collect();
        let now = Duration::from_secs(1);
        Self { balancer, method, now, random, servers, known, running: Vec::new(), picked: 0 }
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.now += Duration::from_millis(self.random.random_range(0..200));
            match self.random.random_range(0..100) {
                0..45 => self.request(Vec::new()),
                45..90 => self.finish(),
                90..93 => self.check_health(),
                93..97 => self.fall_ill(),
                _ => self.reconfigure(),
            }
            self.nothing_leaks();
        }
        while !self.running.is_empty() {
            self.finish();
        }
        assert!(self.balancer.peers().iter().all(|peer| peer.conns == 0), "requests that nobody has");
    }

    fn request(&mut self, mut tried: Vec<SocketAddr>) {
        let before = self.balancer.peers().to_vec();
        let pick = self.balancer.pick(self.now, &tried);
        self.judge(&before, &tried, pick);
        if let Pick::Server(on) = pick {
            self.known.get_mut(&on).unwrap().running += 1;
            self.picked += 1;
            tried.push(on);
            self.running.push(Running { on, tried });
        }
    }

    /// One that runs ends, and is tried on another server if it has failed.
    fn finish(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let Running { on, tried } = self.running.swap_remove(self.random.random_range(0..self.running.len()));
        let single = self.servers.len() == 1;
        let failed = self.random.random_range(0..100) < self.known.get(&on).map_or(0, |known| known.sick);
        self.balancer.done(on, failed, self.now);
        if let Some(known) = self.known.get_mut(&on) {
            known.running -= 1;
            match failed {
                _ if single => {}
                true => (known.failures, known.failed) = (known.failures + 1, Some(self.now)),
                false => known.failures = 0,
            }
        }
        if failed && tried.len() < 4 {
            self.request(tried);
        }
    }

    fn check_health(&mut self) {
        let (address, healthy) = (self.any(), self.random.random_range(0..3) > 0);
        let before = self.balancer.peers().iter().find(|peer| peer.address == address).unwrap().healthy;
        assert_eq!(self.balancer.set_healthy(address, healthy, self.now), before != healthy);
        if healthy && !before {
            self.known.get_mut(&address).unwrap().failures = 0;
        }
    }

    fn fall_ill(&mut self) {
        let (address, sick) = (self.any(), [0, 0, 30, 100][self.random.random_range(0..4usize)]);
        self.known.get_mut(&address).unwrap().sick = sick;
    }

    /// A server is given other options, or another one takes its place.
    fn reconfigure(&mut self) {
        let at = self.random.random_range(0..self.servers.len());
        self.servers[at].1 = any_options(&mut self.random);
        if self.random.random_range(0..4) == 0 {
            // What ran there is nobody's business any more.
            let gone = self.servers[at].0;
            let next = self.known.keys().map(|address| usize::from(address.port())).max().unwrap_or(0);
            self.known.remove(&gone);
            self.running.retain(|running| running.on != gone);
            self.servers[at].0 = address(next.min(60_000));
            self.known.insert(self.servers[at].0, Known::default());
        }
        self.balancer.update(self.servers.clone(), self.now);
    }

    fn any(&mut self) -> SocketAddr {
        self.servers[self.random.random_range(0..self.servers.len())].0
    }

    /// Whether the pick is one that the rules allow.
    fn judge(&self, before: &[Peer], tried: &[SocketAddr], pick: Pick) {
        let now = self.now;
        let open = |peer: &&Peer| peer.options.admin == Admin::Up && !tried.contains(&peer.address);
        let has_room = |peer: &&Peer| peer.options.max_conns == 0 || peer.conns < peer.options.max_conns;
        let works = |peer: &&Peer| peer.healthy && !peer.is_failed(now);
        let open: Vec<&Peer> = before.iter().filter(open).collect();
        let good: Vec<&Peer> = open.iter().copied().filter(has_room).filter(works).collect();
        let Pick::Server(address) = pick else {
            assert!(good.is_empty(), "{pick:?} although {} can be used", good.len());
            let full = open.iter().any(|peer| !has_room(peer));
            assert_eq!(pick, if full { Pick::Full } else { Pick::None });
            return;
        };
        let picked = before.iter().find(|peer| peer.address == address).unwrap();
        assert!(open.iter().any(|peer| peer.address == address), "down, drained or tried: {picked:?}");
        assert!(has_room(&picked), "full: {picked:?}");
        if good.is_empty() {
            let busy = open.iter().any(|peer| works(peer) && !has_room(peer));
            assert!(!busy, "one that does not work, while others are only busy: {picked:?}");
            return;
        }
        assert!(works(&picked), "does not work, and {} others do: {picked:?}", good.len());
        let primary = good.iter().any(|peer| !peer.options.backup);
        assert!(!(primary && picked.options.backup), "a backup, and others can be used: {picked:?}");
        // `is_failed` is the balancer's own word; this is ours.
        let Known { failures, failed, .. } = self.known[&address];
        let Options { max_fails, fail_timeout, .. } = picked.options;
        let left_alone = max_fails > 0
            && failures >= max_fails
            && failed.is_some_and(|failed| now - failed <= fail_timeout);
        assert!(!left_alone, "it has failed {failures} times in a row: {picked:?}");
        if self.method == Method::LeastConn {
            let rivals = good.iter().filter(|peer| peer.options.backup == picked.options.backup);
            let load = |peer: &Peer| f64::from(peer.conns) / peer.share(now) as f64;
            for rival in rivals {
                assert!(load(rival) >= load(picked) - 1e-9, "{rival:?} is less busy than {picked:?}");
            }
        }
    }

    fn nothing_leaks(&self) {
        for peer in self.balancer.peers() {
            assert_eq!(peer.conns, self.known[&peer.address].running, "{}", peer.address);
            let full = u64::from(peer.options.weight) * 256;
            assert!((1..=full).contains(&peer.share(self.now)), "more than its weight, or nothing");
        }
    }
}

fn any_options(random: &mut SmallRng) -> Options {
    Options {
        weight: random.random_range(1..10),
        max_fails: random.random_range(0..4),
        fail_timeout: secs(random.random_range(1..20)),
        max_conns: if random.random_range(0..3) == 0 { random.random_range(1..4) } else { 0 },
        backup: random.random_range(0..5) == 0,
        admin: [Admin::Up, Admin::Up, Admin::Up, Admin::Up, Admin::Down, Admin::Drain]
            [random.random_range(0..6usize)],
        slow_start: if random.random_range(0..3) == 0 { secs(random.random_range(1..30)) } else { Now::ZERO },
        admin_port: None,
    }
}

/// Says how to run a seed again, if it fails.
struct Replay(u64, &'static str);

impl Drop for Replay {
    fn drop(&mut self) {
        let Self(seed, test) = *self;
        if std::thread::panicking() {
            eprintln!(
                "replay: SATCHEL_SEEDS={seed}..{} cargo test -p gateway farm::{test} -- --nocapture",
                seed + 1
            );
        }
    }
}

fn for_seeds(default: u64, test: &'static str, run: impl Fn(u64)) {
    let text = std::env::var("SATCHEL_SEEDS").unwrap_or_default();
    let parse = |text: &str| text.parse().ok();
    let seeds = text.split_once("..").and_then(|(from, to)| Some(parse(from)?..parse(to)?));
    for seed in seeds.unwrap_or(0..default) {
        let _replay = Replay(seed, test);
        run(seed);
    }
}

#[test]
fn small() {
    for_seeds(1_000, "small", |seed| {
        let servers = 1 + usize::try_from(seed % 12).unwrap();
        let mut farm = Farm::new(seed, servers);
        farm.run(400);
    });
}

#[test]
fn big() {
    for_seeds(3, "big", |seed| {
        let mut farm = Farm::new(seed, 1_000);
        farm.run(4_000);
        assert!(farm.picked > 1_000, "{}", farm.picked);
    });
}

#[test]
fn in_a_big_farm_too_every_server_has_exactly_its_share_of_a_cycle() {
    for_seeds(1, "in_a_big_farm_too", |seed| {
        let mut random = SmallRng::seed_from_u64(seed);
        let weights: Vec<u16> = (0..1_000).map(|_| random.random_range(1..6)).collect();
        let mut balancer = weighted(&weights);
        let cycle: usize = weights.iter().map(|weight| usize::from(*weight)).sum();
        let mut counts = vec![0u16; weights.len()];
        for _ in 0..cycle {
            counts[serve(&mut balancer, secs(1))] += 1;
        }
        assert_eq!(counts, weights);
    });
}

/// Whatever has been before: while nothing changes, what each server gets of a whole cycle is exactly its weight.
#[test]
fn after_a_quarrel_shares_are_exact_again() {
    for_seeds(200, "after_a_quarrel", |seed| {
        let mut random = SmallRng::seed_from_u64(seed);
        let weights: Vec<u16> = (0..random.random_range(2..8)).map(|_| random.random_range(1..10)).collect();
        let mut balancer = weighted(&weights);
        for step in 0..50 {
            let server = number(balancer.pick(secs(step), &[]));
            balancer.done(address(server), random.random_range(0..4) == 0, secs(step));
        }
        let now = secs(1_000);
        let cycle: usize = weights.iter().map(|weight| usize::from(*weight)).sum();
        // What is owed from before is made up for first, and servers that had failed come to their weight again.
        for _ in 0..20 * cycle {
            serve(&mut balancer, now);
        }
        let mut counts = vec![0u16; weights.len()];
        for _ in 0..cycle {
            counts[serve(&mut balancer, now)] += 1;
        }
        assert_eq!(counts, weights);
    });
}

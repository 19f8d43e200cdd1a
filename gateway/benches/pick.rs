//! Picking a server: `cargo bench -p gateway`.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gateway::balancer::{Admin, Balancer, Method, Options, Pick};
use rand::SeedableRng;
use rand::rngs::SmallRng;

const OPTIONS: Options = Options {
    weight: 1,
    max_fails: 1,
    fail_timeout: Duration::from_secs(10),
    max_conns: 0,
    backup: false,
    admin: Admin::Up,
    admin_port: None,
    slow_start: Duration::ZERO,
};

/// Picks a server and gives it back, as a request does.
fn pick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick and done");
    for method in [Method::RoundRobin, Method::LeastConn, Method::RandomTwo] {
        for servers in [2u16, 16, 200] {
            let mut balancer = Balancer::new(method, SmallRng::seed_from_u64(7));
            let address = |n| SocketAddr::from(([127, 0, 0, 1], n));
            balancer.update((1..=servers).map(|n| (address(n), OPTIONS)).collect(), Duration::ZERO);
            let now = Duration::from_secs(1);
            group.bench_function(BenchmarkId::new(format!("{method:?}"), servers), |bencher| {
                bencher.iter(|| match black_box(balancer.pick(now, &[])) {
                    Pick::Server(server) => balancer.done(server, false, now),
                    Pick::Full | Pick::None => None,
                });
            });
        }
    }
}

criterion_group!(benches, pick);
criterion_main!(benches);

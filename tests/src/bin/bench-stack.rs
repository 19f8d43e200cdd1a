//! `cargo bench-stack`: the whole of it, against nginx, Tomcat and memcached-session-manager.

// As in the harness: what can't go on says so and stops.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use clap::Parser;
use satchel_tests::bench::generator::{Load, Pace};
use satchel_tests::bench::msm::{self, Serializer};
use satchel_tests::bench::rounds::{Contender, Sample, Series, compare, warm};
use satchel_tests::bench::{Figure, Goal, Options, Part, Report, page};
use satchel_tests::{Farm, Memcached, Nginx, Tomcat, TomcatVersion, binaries, ports};

/// Connections of the saturating load, and sessions that they use in turn.
const CONNECTIONS: usize = 8;
const SESSIONS: usize = 64;
/// Requests in a second of the load at a constant rate: about a third of what the scenario's stack can do here.
const STEADY: u32 = 600;
/// The last that msm knows.
const LINE: TomcatVersion = TomcatVersion::V9_0;

fn main() {
    let options = Options::parse();
    binaries::build(true);
    let mut report = Report::default();
    options.run(&[("scenario", scenario), ("kryo", kryo)], &mut report);
    report.finish(&options);
}

/// nginx, two Tomcats with msm, and one memcached.
struct Msm {
    // In this order they stop.
    nginx: Nginx,
    port: u16,
    tomcats: Vec<Tomcat>,
    memcached: Memcached,
    _stores: tempfile::TempDir,
}

impl Msm {
    fn start(serializer: Serializer, keepalive: bool) -> Self {
        let stores = tempfile::tempdir().unwrap();
        let memcached = Memcached::with(&["-m", "1024"]);
        let jars = msm::jars(serializer).unwrap_or_else(|why| panic!("msm is needed for this: {why}"));
        let manager = msm::manager(serializer, memcached.port());
        let tomcats: Vec<Tomcat> = (0..2)
            .map(|n| {
                let store = stores.path().join(n.to_string());
                let address = format!("127.0.0.{}", n + 2);
                let tomcat = Tomcat::version(LINE).host_address(&address).context("/", &store);
                tomcat.fast().manager(&manager, jars.clone()).launch()
            })
            .collect();
        tomcats.iter().for_each(Tomcat::await_ready);
        let port = ports::free();
        let servers: String =
            tomcats.iter().map(|tomcat| format!("server 127.0.0.1:{} weight=1; ", tomcat.port())).collect();
        let (upstream, location) = if keepalive {
            ("keepalive 64;", "proxy_http_version 1.1; proxy_set_header Connection \"\";")
        } else {
            ("", "")
        };
        let config = format!(
            "events {{ worker_connections 4096; }}\n\
             http {{\n access_log off; keepalive_requests 1000000000;\n upstream tomcats {{ {servers} {upstream} }}\n\
             server {{ listen 127.0.0.1:{port}; server_name tomcats; charset utf-8;\n\
             location / {{ proxy_pass http://tomcats; proxy_redirect off; proxy_set_header X-Real-IP $remote_addr; {location} }} }}\n}}\n"
        );
        Self { nginx: Nginx::start(&config, &[port]), port, tomcats, memcached, _stores: stores }
    }

    fn contender(&self, name: &str, path: &str, cookies: &[String]) -> Contender {
        Contender {
            name: name.to_owned(),
            load: Load::of_users(self.port, CONNECTIONS, path, cookies),
            parts: vec![
                Part::new("nginx", self.nginx.pid()),
                Part::new("tomcat 1", self.tomcats[0].pid()),
                Part::new("tomcat 2", self.tomcats[1].pid()),
                Part::new("memcached", self.memcached.pid()),
            ],
        }
    }
}

fn farm() -> Farm {
    Farm::builder().version(LINE).fast().memcached("-m").memcached("1024").start()
}

fn satchel(farm: &Farm, name: &str, path: &str, cookies: &[String]) -> Contender {
    Contender {
        name: name.to_owned(),
        load: Load::of_users(farm.gateway.port(), CONNECTIONS, path, cookies),
        parts: vec![
            Part::new("gateway", farm.gateway.pid()),
            Part::new("sidecar 1", farm.sidecars[0].pid()),
            Part::new("sidecar 2", farm.sidecars[1].pid()),
            Part::new("tomcat 1", farm.tomcats[0].pid()),
            Part::new("tomcat 2", farm.tomcats[1].pid()),
            Part::new("memcached", farm.nodes[0].pid()),
        ],
    }
}

/// The scenario as it is, at its limit and below it.
fn scenario(options: &Options, report: &mut Report) {
    let (farm, msm) = (farm(), Msm::start(Serializer::Java, false));
    let path = page::change(300);
    let (ours, theirs) = (
        page::begin_sessions(farm.gateway.port(), SESSIONS, 300),
        page::begin_sessions(msm.port, SESSIONS, 300),
    );
    let contenders =
        [satchel(&farm, "Satchel", &path, &ours), msm.contender("nginx + msm, scenario", &path, &theirs)];
    warm(&contenders);
    let before = page::counters(farm.gateway.port(), &ours);
    let all = compare(&contenders, options.rounds(Pace::Saturate));
    report.table("The scenario: sessions of 300 B, changed by each request, saturated", &all);
    check(&farm, &ours, &before, &all[0]);
    let ratio = |value: fn(&Sample) -> f64| all[0].ratio(&all[1], value);
    report.figure(Figure::new("stack_vs_scenario_rps", ratio(|s| s.seen.rate()), Goal::AtLeast(2.5)));
    report.figure(Figure::new("stack_vs_scenario_p50", ratio(|s| s.seen.percentile(0.5)), Goal::AtMost(0.4)));
    report.figure(Figure::new(
        "stack_vs_scenario_p99",
        ratio(|s| s.seen.percentile(0.99)),
        Goal::AtMost(0.5),
    ));
    let steady = compare(&contenders, options.rounds(Pace::Rate(STEADY)));
    report.table(&format!("The same at {STEADY} requests/s"), &steady);
}

/// What was answered is there.
fn check(farm: &Farm, cookies: &[String], before: &[u64], ours: &Series) {
    let after = page::counters(farm.gateway.port(), cookies);
    for (user, (before, after)) in before.iter().zip(after).enumerate() {
        let answered: u64 = ours.samples.iter().map(|sample| sample.seen.answered[user]).sum();
        assert_eq!(after - before, answered, "changes of session {user} that were answered");
    }
}

/// The best that nginx and msm can do, with small and with large sessions.
fn kryo(options: &Options, report: &mut Report) {
    let (farm, msm) = (farm(), Msm::start(Serializer::Kryo, true));
    for (name, bytes, figure) in [
        ("300 B", 300, "stack_vs_kryo_rps_300b"),
        ("20 KB", 20_000, "stack_vs_kryo_rps_20k"),
        ("200 KB", 200_000, "stack_vs_kryo_rps_200k"),
    ] {
        let path = page::change(bytes);
        let ours = page::begin_sessions(farm.gateway.port(), SESSIONS, bytes);
        let theirs = page::begin_sessions(msm.port, SESSIONS, bytes);
        let contenders = [
            satchel(&farm, "Satchel", &path, &ours),
            msm.contender("nginx keepalive + msm with kryo", &path, &theirs),
        ];
        warm(&contenders);
        let all = compare(&contenders, options.rounds(Pace::Saturate));
        report.table(
            &format!("nginx with kept connections, msm with kryo: sessions of {name}, changed, saturated"),
            &all,
        );
        let rps = all[0].ratio(&all[1], |sample| sample.seen.rate());
        report.figure(Figure::new(figure, rps, Goal::AtLeast(1.5)));
    }
}

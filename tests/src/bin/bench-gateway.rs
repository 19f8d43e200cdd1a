//! `cargo bench-gateway`: the gateway, nginx and HAProxy before the same tiny pages.

// As in the harness: what can't go on says so and stops.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::net::TcpStream;
use std::path::Path;

use clap::Parser;
use satchel_tests::bench::generator::{Load, Pace};
use satchel_tests::bench::haproxy::Haproxy;
use satchel_tests::bench::rounds::{Contender, Sample, Series, Spread, compare};
use satchel_tests::bench::{Figure, Goal, Options, Part, Report};
use satchel_tests::client::read_response;
use satchel_tests::process::memory_kib;
use satchel_tests::{Client, Gateway, Nginx, binaries, eventually, ports};

/// Connections of the saturating load; of the measurements that the goals come from, too.
const CONNECTIONS: usize = 8;
/// Connections and requests in a second of the load at a constant rate: about a third of what two cores can do here.
const STEADY: (usize, u32) = (32, 2000);
/// Clients that are connected and silent.
const IDLE: usize = 10_000;

fn main() {
    let options = Options::parse();
    binaries::build(true);
    let mut report = Report::default();
    options.run(
        &[
            ("scenario", scenario),
            ("keepalive", keepalive),
            ("steady", steady),
            ("servers", servers),
            ("idle", idle),
        ],
        &mut report,
    );
    report.finish(&options);
}

/// As people have it today: nginx opens a connection for each request. Both write their access logs.
fn scenario(options: &Options, report: &mut Report) {
    let (origin, servers) = origin(2);
    let directory = tempfile::tempdir().unwrap();
    let gateway = gateway(&servers, Some(&directory.path().join("access")));
    let nginx = nginx(&servers, "", "access_log access;", "");
    let contenders = [
        contender("gateway", "gateway", gateway.port(), gateway.pid(), CONNECTIONS),
        contender("nginx, scenario", "nginx", nginx.0, nginx.1.pid(), CONNECTIONS),
    ];
    let all = compare(&contenders, options.rounds(Pace::Saturate));
    report.table("Gateway and nginx in the scenario's configuration, both with access logs, saturated", &all);
    report.figure(Figure::new(
        "gateway_vs_nginx_scenario_cpu",
        all[0].ratio(&all[1], Sample::cpu_of_all),
        Goal::AtMost(0.35),
    ));
    drop(origin);
}

/// Everybody keeps connections to the servers, and nobody writes a log.
struct Peers {
    _origin: Nginx,
    gateway: Gateway,
    nginx: (u16, Nginx),
    haproxy: Haproxy,
}

impl Peers {
    fn start() -> Self {
        let (origin, servers) = origin(2);
        Self {
            _origin: origin,
            gateway: gateway(&servers, None),
            nginx: nginx(
                &servers,
                "keepalive 64;",
                "access_log off; keepalive_requests 1000000000;",
                "proxy_http_version 1.1; proxy_set_header Connection \"\"; \
                 proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
            ),
            haproxy: Haproxy::before(&servers),
        }
    }

    fn compare(&self, connections: usize, options: &Options, pace: Pace) -> Vec<Series> {
        let contenders = [
            contender("gateway", "gateway", self.gateway.port(), self.gateway.pid(), connections),
            contender("nginx, upstream keepalive", "nginx", self.nginx.0, self.nginx.1.pid(), connections),
            contender("HAProxy", "haproxy", self.haproxy.port(), self.haproxy.pid(), connections),
        ];
        compare(&contenders, options.rounds(pace))
    }
}

fn keepalive(options: &Options, report: &mut Report) {
    let all = Peers::start().compare(CONNECTIONS, options, Pace::Saturate);
    report.table("With kept connections and without logs, saturated", &all);
    let cpu = |other: &Series| all[0].ratio(other, Sample::cpu_of_all);
    report.figure(Figure::new("gateway_vs_nginx_keepalive_cpu", cpu(&all[1]), Goal::AtMost(1.0)));
    report.figure(Figure::new("gateway_vs_haproxy_cpu", cpu(&all[2]), Goal::AtMost(1.0)));
}

fn steady(options: &Options, report: &mut Report) {
    let (connections, rate) = STEADY;
    let all = Peers::start().compare(connections, options, Pace::Rate(rate));
    report.table(&format!("The same at {rate} requests/s over {connections} connections"), &all);
    let p99 = |other: &Series| all[0].ratio(other, |sample| sample.seen.percentile(0.99));
    report.figure(Figure::new("gateway_vs_nginx_keepalive_p99", p99(&all[1]), Goal::AtMost(1.0)));
    report.figure(Figure::new("gateway_vs_haproxy_p99", p99(&all[2]), Goal::AtMost(1.0)));
}

/// What more servers cost.
fn servers(options: &Options, report: &mut Report) {
    let (origin, servers) = origin(200);
    let gateways = [2, 200].map(|n| (n, gateway(&servers[..n], None)));
    let contenders = gateways.each_ref().map(|(n, gateway)| {
        contender(&format!("{n} servers"), "gateway", gateway.port(), gateway.pid(), CONNECTIONS)
    });
    let all = compare(&contenders, options.rounds(Pace::Saturate));
    report.table("Gateway with few and with many servers, saturated", &all);
    let growth = all[1].ratio(&all[0], Sample::cpu_of_all);
    report.figure(Figure::new("growth_servers", growth, Goal::AtMost(1.1)));
    drop(origin);
}

/// Clients that have asked once and stay.
fn idle(_: &Options, report: &mut Report) {
    let (origin, servers) = origin(2);
    let gateway = gateway(&servers, None);
    let nginx = nginx(&servers, "keepalive 64;", "access_log off;", "proxy_http_version 1.1;");
    let grown = [(gateway.port(), gateway.pid()), (nginx.0, nginx.1.pid())].map(|(port, pid)| {
        Client::new(port).get("/");
        let before = memory_kib(pid);
        let clients: Vec<TcpStream> = (0..IDLE).map(|_| ask_once(port)).collect();
        let after = memory_kib(pid);
        drop(clients);
        (before, after)
    });
    let [(gateway_before, gateway_after), (nginx_before, nginx_after)] = grown;
    report.say(&format!(
        "gateway: {gateway_before} KiB, with {IDLE} idle clients {gateway_after} KiB; nginx: {nginx_before} KiB, {nginx_after} KiB"
    ));
    report.figure(Figure::new(
        "gateway_idle_memory_vs_nginx",
        Spread::once(gateway_after as f64 / nginx_after as f64),
        Goal::AtMost(1.5),
    ));
    drop(origin);
}

fn ask_once(port: u16) -> TcpStream {
    let stream = Client::new(port).start("GET", "/", &[], b"");
    let response = read_response(&mut std::io::BufReader::new(&stream), false).unwrap();
    assert_eq!(response.status, 200);
    stream
}

fn contender(name: &str, part: &str, port: u16, pid: u32, connections: usize) -> Contender {
    Contender {
        name: name.to_owned(),
        load: Load::alike(port, connections, "/"),
        parts: vec![Part::new(part, pid)],
    }
}

/// A server at so many ports whose answers cost next to nothing.
fn origin(servers: usize) -> (Nginx, Vec<u16>) {
    let servers: Vec<u16> = (0..servers).map(|_| ports::free()).collect();
    let mut listen = String::new();
    for port in &servers {
        let _ = write!(listen, "listen 127.0.0.1:{port}; ");
    }
    let config = format!(
        "worker_rlimit_nofile 20000;\nevents {{ worker_connections 19000; }}\n\
         http {{\n access_log off; keepalive_requests 1000000000; keepalive_timeout 600;\n\
         server {{ {listen} location / {{ return 200 \"ok\\n\"; }} }}\n}}\n"
    );
    (Nginx::start(&config, &servers), servers)
}

/// nginx as the scenario has it, with these words more in `upstream`, `http` and `location`.
fn nginx(servers: &[u16], upstream: &str, http: &str, location: &str) -> (u16, Nginx) {
    let port = ports::free();
    let list: String = servers.iter().map(|port| format!("server 127.0.0.1:{port} weight=1; ")).collect();
    let config = format!(
        "worker_rlimit_nofile 40000;\nevents {{ worker_connections 30000; }}\n\
         http {{\n keepalive_timeout 600; {http}\n upstream tomcats {{ {list} {upstream} }}\n\
         server {{ listen 127.0.0.1:{port}; server_name tomcats; charset utf-8;\n\
         location / {{ proxy_pass http://tomcats; proxy_redirect off; proxy_set_header X-Real-IP $remote_addr; {location} }} }}\n}}\n"
    );
    (port, Nginx::start(&config, &[port]))
}

fn gateway(servers: &[u16], access_log: Option<&Path>) -> Gateway {
    let gateway = servers.iter().fold(Gateway::builder(), |gateway, server| gateway.server(*server, 1));
    let gateway = access_log.iter().fold(gateway, |gateway, path| gateway.access_log(path)).start();
    eventually("the gateway serves", || Client::new(gateway.port()).get("/").status == 200);
    gateway
}

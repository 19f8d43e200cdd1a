//! `cargo bench-sidecar`: what the sidecar costs beside a plain proxy and beside nothing at all.

// As in the harness: what can't go on says so and stops.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::time::Duration;

use clap::Parser;
use satchel_tests::bench::generator::{Load, Pace};
use satchel_tests::bench::minimal::Minimal;
use satchel_tests::bench::rounds::{Contender, Sample, Series, Spread, compare, warm};
use satchel_tests::bench::{Figure, Goal, Options, Part, Report, page};
use satchel_tests::{Memcached, Sidecar, Tomcat, TomcatVersion, binaries, eventually};

/// Connections of the saturating load, and sessions that they use in turn.
const CONNECTIONS: usize = 8;
const SESSIONS: usize = 64;

fn main() {
    let options = Options::parse();
    binaries::build(true);
    let mut report = Report::default();
    options.run(
        &[
            ("session", session),
            ("plain", plain),
            ("added", added),
            ("sizes", sizes),
            ("sessions", sessions),
            ("nodes", nodes),
            ("memory", memory),
        ],
        &mut report,
    );
    report.finish(&options);
}

/// A Tomcat with its sidecar and memcacheds, and the same Tomcat behind a plain proxy.
struct Place {
    // In this order they stop.
    sidecar: Sidecar,
    tomcat: Tomcat,
    memcached: Vec<Memcached>,
    _store: tempfile::TempDir,
}

impl Place {
    fn start(nodes: usize) -> Self {
        Self::with(nodes, &[])
    }

    fn with(nodes: usize, settings: &[(String, String)]) -> Self {
        let store = tempfile::Builder::new().prefix("satchel-bench-").tempdir_in("/dev/shm").unwrap();
        let tomcat = tomcat(&store.path().join("beside"));
        let memcached: Vec<Memcached> = (0..nodes).map(|_| Memcached::with(&["-m", "1024"])).collect();
        let ports: Vec<u16> = memcached.iter().map(Memcached::port).collect();
        let sidecar = Sidecar::beside(&tomcat).nodes_at(&ports).set_all(settings).start();
        Self { sidecar, tomcat, memcached, _store: store }
    }

    /// Its processes.
    fn parts(&self) -> Vec<Part> {
        vec![
            Part::new("sidecar", self.sidecar.pid()),
            Part::new("tomcat", self.tomcat.pid()),
            // They are alike; the sum would hide in which one something is.
            Part::new("memcached", self.memcached[0].pid()),
        ]
    }

    fn contender(&self, name: &str, load: Load) -> Contender {
        Contender { name: name.to_owned(), load, parts: self.parts() }
    }
}

fn tomcat(store: &Path) -> Tomcat {
    Tomcat::version(TomcatVersion::V10_1).context("/", store).fast().start()
}

fn users(port: u16, path: &str, cookies: &[String]) -> Load {
    Load::of_users(port, CONNECTIONS, path, cookies)
}

/// CPU time of the sidecar.
fn sidecar(sample: &Sample) -> f64 {
    sample.cpu(0)
}

/// A session request against one without a session.
fn session(options: &Options, report: &mut Report) {
    let place = Place::start(1);
    let port = place.sidecar.port();
    let path = page::change(300);
    let cookies = page::begin_sessions(port, SESSIONS, 300);
    let contenders = [
        place.contender("session, changed", users(port, &path, &cookies)),
        place.contender("session, read", users(port, page::READ, &cookies)),
        place.contender("no session", Load::alike(port, CONNECTIONS, page::PLAIN)),
    ];
    let before = page::counters(port, &cookies);
    warm(&contenders[1..]);
    let all = compare(&contenders, options.rounds(Pace::Saturate));
    report.table("One sidecar, sessions of 300 B, saturated", &all);
    let ratio = all[0].ratio(&all[2], sidecar);
    report.figure(Figure::new("sidecar_session_vs_plain_cpu", ratio, Goal::AtMost(1.5)));
    check(port, &cookies, &before, &all[0]);
}

/// What was answered is there.
fn check(port: u16, cookies: &[String], before: &[u64], changed: &Series) {
    let after = page::counters(port, cookies);
    for (user, (before, after)) in before.iter().zip(after).enumerate() {
        let answered: u64 = changed.samples.iter().map(|sample| sample.seen.answered[user]).sum();
        assert_eq!(after - before, answered, "changes of session {user} that were answered");
    }
}

/// A request without a session, against a proxy that does nothing else.
fn plain(options: &Options, report: &mut Report) {
    let place = Place::start(1);
    let minimal = Minimal::before(place.tomcat.port());
    let load = |port| Load::alike(port, CONNECTIONS, page::PLAIN);
    let contenders = [
        place.contender("sidecar, no session", load(place.sidecar.port())),
        Contender {
            name: "minimal Pingora proxy".into(),
            load: load(minimal.port()),
            parts: vec![Part::new("proxy", minimal.pid()), Part::new("tomcat", place.tomcat.pid())],
        },
    ];
    warm(&contenders);
    let all = compare(&contenders, options.rounds(Pace::Saturate));
    report.table("The sidecar and a minimal Pingora proxy, without sessions, saturated", &all);
    report.figure(Figure::new(
        "sidecar_plain_vs_pingora_cpu",
        all[0].ratio(&all[1], sidecar),
        Goal::AtMost(1.05),
    ));
}

/// What sidecar and memcached add to a request's time when nobody waits.
fn added(options: &Options, report: &mut Report) {
    let place = Place::start(1);
    let alone = tempfile::Builder::new().prefix("satchel-bench-").tempdir_in("/dev/shm").unwrap();
    let tomcat = tomcat(&alone.path().join("alone"));
    let path = page::change(300);
    let contender = |name: &str, port: u16, parts| {
        let cookies = page::begin_sessions(port, SESSIONS, 300);
        Contender { name: name.to_owned(), load: Load::of_users(port, 1, &path, &cookies), parts }
    };
    let contenders = [
        contender("with sidecar and memcached", place.sidecar.port(), place.parts()),
        contender("Tomcat with its valve alone", tomcat.port(), vec![Part::new("tomcat", tomcat.pid())]),
    ];
    warm(&contenders);
    let all = compare(&contenders, options.rounds(Pace::Rate(200)));
    report.table("One request after the other, 200 a second, sessions of 300 B, changed", &all);
    let p50 = |sample: &Sample| sample.seen.percentile(0.5);
    let added = all[0].paired(&all[1], |with, without| p50(with) - p50(without));
    report.figure(Figure::new("sidecar_added_p50_ms", added, Goal::AtMost(0.3)));
}

/// Larger sessions, and what goes over the wire when they are only read.
fn sizes(options: &Options, report: &mut Report) {
    let place = Place::start(1);
    let port = place.sidecar.port();
    for (name, bytes) in [("20 KB", 20_000), ("200 KB", 200_000)] {
        let cookies = page::begin_sessions(port, SESSIONS, bytes);
        let contenders = [
            place.contender("changed", users(port, &page::change(bytes), &cookies)),
            place.contender("read", users(port, page::READ, &cookies)),
        ];
        warm(&contenders);
        let wire = || place.memcached[0].stat("bytes_read") + place.memcached[0].stat("bytes_written");
        let all = compare(&contenders, options.rounds(Pace::Saturate));
        report.table(&format!("One sidecar, sessions of {name}, saturated"), &all);
        if bytes == 200_000 {
            let before = wire();
            let time = Duration::from_secs_f64(options.seconds);
            let seen = contenders[1].load.run(Pace::Saturate, Duration::ZERO, time, || {});
            let requests: u64 = seen.answered.iter().sum();
            let bytes = (wire() - before) as f64 / requests as f64;
            report.figure(Figure::new(
                "readonly_200k_memcached_bytes",
                Spread::once(bytes),
                Goal::AtMost(300.0),
            ));
        }
    }
}

/// What more sessions cost.
fn sessions(options: &Options, report: &mut Report) {
    const COUNTS: [usize; 3] = [10, 1_000, 100_000];
    let path = page::change(300);
    let places = COUNTS.map(|count| {
        let place = Place::start(1);
        let cookies = page::begin_sessions(place.sidecar.port(), count, 300);
        (place, cookies)
    });
    let contenders = [0, 1, 2].map(|n| {
        let (place, cookies) = &places[n];
        place.contender(&format!("{} sessions", COUNTS[n]), users(place.sidecar.port(), &path, cookies))
    });
    warm(&contenders);
    let all = compare(&contenders, options.rounds(Pace::Saturate));
    report.table("One sidecar, few and many sessions of 300 B, changed, saturated", &all);
    report.figure(Figure::new("growth_sessions", all[2].ratio(&all[0], sidecar), Goal::AtMost(1.1)));
}

/// What more nodes cost.
fn nodes(options: &Options, report: &mut Report) {
    const COUNTS: [usize; 2] = [1, 16];
    let path = page::change(300);
    // With one copy each: a second one is another store, which is no matter of how many nodes there are.
    let one_copy = [("session.copies".to_owned(), "1".to_owned())];
    let places = COUNTS.map(|count| {
        let place = Place::with(count, &one_copy);
        let cookies = page::begin_sessions(place.sidecar.port(), SESSIONS, 300);
        (place, cookies)
    });
    let contenders = [0, 1].map(|n| {
        let (place, cookies) = &places[n];
        place.contender(&format!("{} nodes", COUNTS[n]), users(place.sidecar.port(), &path, cookies))
    });
    warm(&contenders);
    let all = compare(&contenders, options.rounds(Pace::Saturate));
    report.table("One sidecar, one and many nodes, sessions of 300 B, changed, saturated", &all);
    report.figure(Figure::new("growth_nodes", all[1].ratio(&all[0], sidecar), Goal::AtMost(1.1)));
}

/// Memory of a full cache.
fn memory(_: &Options, report: &mut Report) {
    const CACHED: usize = 100_000;
    const BYTES: usize = 4_000;
    let settings = [("session.cache_size".to_owned(), "\"1g\"".to_owned())];
    let mut place = Place::with(1, &settings);
    let port = place.sidecar.port();
    // Buffers and pools of those that come are no part of the cache.
    page::begin_sessions(port, 1_000, BYTES);
    eventually("it is quiet", || place.memcached[0].locks().is_empty());
    let before = place.sidecar.process().memory_kib();
    let first = place.memcached[0].stat("bytes");
    page::begin_sessions(port, CACHED, BYTES);
    eventually("it is quiet", || place.memcached[0].locks().is_empty());
    let grown = (place.sidecar.process().memory_kib() - before) * 1024;
    let stored = place.memcached[0].stat("bytes") - first;
    report.say(&format!(
        "{CACHED} sessions with texts of {BYTES} B: the sidecar has grown by {} MiB, memcached's items by {} MiB",
        grown >> 20,
        stored >> 20
    ));
    let overhead = grown as f64 / (CACHED * session_file(&place, BYTES)) as f64;
    report.figure(Figure::new("cache_bytes_overhead", Spread::once(overhead), Goal::AtMost(1.25)));
}

/// How large the file of such a session is: Tomcat is asked past the sidecar, and leaves it.
fn session_file(place: &Place, bytes: usize) -> usize {
    let directory = &place.tomcat.contexts[0].1;
    page::begin_sessions(place.tomcat.port(), 1, bytes);
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    usize::try_from(files.max().unwrap()).unwrap()
}

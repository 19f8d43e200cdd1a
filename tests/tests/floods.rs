//! Ids and headers in masses: what is left behind of them, and what another user notices.

use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use satchel_tests::client::{connect, connect_from, read_response};
use satchel_tests::{Farm, Gateway, Sidecar, often};

/// Of unknown ids, from one address and from many.
fn ids() -> usize {
    often(4_000, 10_000)
}
fn ids_of_many() -> usize {
    often(1_000, 3_000)
}
const ATTACKERS: usize = 8;
const ROOM_KIB: u64 = 100 * 1024;

/// Sends `ids` requests with an unknown id each. `begin` makes the connection of request `n` with the one before, and what stands in
/// its header.
fn flood(
    ids: usize,
    port: u16,
    begin: impl Fn(usize, Option<TcpStream>) -> (TcpStream, String) + Send + Sync + 'static,
) -> Vec<u16> {
    let (begin, next) = (Arc::new(begin), Arc::new(AtomicUsize::new(0)));
    let attackers: Vec<_> = (0..ATTACKERS)
        .map(|_| {
            let (begin, next) = (begin.clone(), next.clone());
            thread::spawn(move || {
                let (mut statuses, mut connection) = (Vec::new(), None);
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= ids {
                        return statuses;
                    }
                    let (mut stream, header) = begin(n, connection.take());
                    write!(
                        stream,
                        "GET /kind/small?read=1 HTTP/1.1\r\nHost: test\r\nCookie: JSESSIONID={n:016X}{port:016X}-n{}\r\n{header}\r\n",
                        n % 3
                    )
                    .unwrap();
                    let response = read_response(&mut BufReader::new(&stream), false).unwrap();
                    statuses.push(response.status);
                    connection = (response.header("connection") != Some("close")).then_some(stream);
                }
            })
        })
        .collect();
    attackers.into_iter().flat_map(|attacker| attacker.join().unwrap()).collect()
}

/// How far each peak is above what it was before, in KiB.
fn above(gateways: &mut [&mut Gateway], sidecars: &mut [Sidecar], before: &[u64]) -> Vec<u64> {
    let gateways = gateways.iter_mut().map(|gateway| gateway.process());
    let all = gateways.chain(sidecars.iter_mut().map(Sidecar::process));
    all.zip(before).map(|(process, before)| process.peak_above(*before)).collect()
}

#[test]
fn r04_r09_unknown_ids_in_masses_leave_nothing_behind_and_hold_nobody_up() {
    let mut farm = Farm::builder().nodes(2).set("session.unknown_ids_per_second", "5").start();
    let ports: Vec<u16> = farm.sidecars.iter().map(Sidecar::port).collect();
    let gateway = || ports.iter().fold(Gateway::builder(), |gateway, port| gateway.server(*port, 1));
    let mut trusting =
        gateway().set("trusted_proxies = [\"127.0.0.0/8\"]\nkeepalive_requests = 1000000").start();
    let mut plain = gateway().set("keepalive_requests = 1000000").start();
    let mut user = plain.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    farm.await_quiet();
    let items: Vec<u64> = farm.nodes.iter().map(|node| node.stat("curr_items")).collect();
    let before = above(&mut [&mut trusting, &mut plain], &mut farm.sidecars, &[0; 4]);
    // A user beside it, from the attacker's own address. He is known to both sidecars.
    for port in &ports {
        assert_eq!(user.at(*port).get("/kind/small?read=1").number("n"), Some(1));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let beside = thread::spawn(move || {
        let mut n = 1;
        while !stopped.load(Ordering::Relaxed) {
            n += 1;
            let response = user.get("/kind/small");
            assert_eq!((response.status, response.number("n")), (200, Some(n)), "{}", response.text());
        }
        n
    });
    let (one, many) = (plain.port(), trusting.port());
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let reuse = move |port: u16, connection: Option<TcpStream>| {
        connection.unwrap_or_else(|| connect(at(port)).unwrap())
    };
    // One address.
    let statuses = flood(ids(), one, move |_, connection| (reuse(one, connection), String::new()));
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)));
    assert!(statuses.iter().filter(|status| **status == 429).count() > ids() / 2, "most are refused");
    // Thousands that a trusted proxy tells of.
    let statuses = flood(ids_of_many(), many, move |n, connection| {
        let client = Ipv4Addr::from(0x0A00_0000 + u32::try_from(n).unwrap());
        (reuse(many, connection), format!("X-Forwarded-For: {client}\r\n"))
    });
    assert!(statuses.iter().all(|status| *status == 200));
    // Two hundred and fifty of the attacker's own.
    let statuses = flood(ids_of_many(), one, move |n, _| {
        let source = Ipv4Addr::new(127, 1, 1, u8::try_from(n % 250).unwrap() + 1);
        (connect_from(source, at(one)).unwrap(), "Connection: close\r\n".into())
    });
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)));
    stop.store(true, Ordering::Relaxed);
    let served = beside.join().unwrap();
    assert!(served > 20, "{served}");
    assert!(farm.metric("unknown_ids") > ids_of_many() as u64);
    farm.await_quiet();
    for (node, before) in farm.nodes.iter().zip(items) {
        assert_eq!(node.records().len(), 1, "no tombstone");
        let now = node.stat("curr_items");
        assert!(now <= before + 5, "{now} items, {before} before");
    }
    let grown = above(&mut [&mut trusting, &mut plain], &mut farm.sidecars, &before);
    println!("peaks above {before:?} KiB: {grown:?}; the user beside had {served} requests");
    assert!(grown.iter().all(|grown| *grown < ROOM_KIB), "{before:?} {grown:?}");
    assert_eq!(farm.metric("node_errors"), 0);
}

#[test]
fn r04_thousands_of_cookies_in_one_request_are_three_look_ups() {
    let mut farm = Farm::builder().tomcats(1).start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let good = user.cookie_header("/");
    let peak = farm.sidecars[0].process().peak_kib();
    let pairs = |number: usize| -> String {
        (0..number).map(|n| format!("JSESSIONID={n:X}-x{n}")).collect::<Vec<_>>().join("; ")
    };
    // As much as the gateway takes in one header line, and far more at the sidecar.
    for (port, number) in [(farm.gateway.port(), 350), (farm.sidecars[0].port(), 20_000)] {
        for _ in 0..20 {
            let (unknown, asked) = (farm.metric("unknown_ids"), farm.nodes[0].stat("cmd_set"));
            let mut client = user.at(port);
            let header = format!("{}; {good}", pairs(number));
            let seen = client.send("GET", "/kind/small?read=1", &[("Cookie", &header)], b"");
            assert_eq!((seen.status, seen.field("n").as_deref()), (200, Some("null")), "{}", seen.text());
            assert!(farm.metric("unknown_ids") - unknown <= 3);
            // A lock for each, and what sidecars tell each other meanwhile.
            assert!(farm.nodes[0].stat("cmd_set") - asked <= 3 + 3);
            // Many times the same, and nonsense, are nothing.
            let same = format!("JSESSIONID=A-n1; {}{good}", "JSESSIONID=A-n1; JSESSIONID=%; ".repeat(200));
            assert_eq!(
                client.send("GET", "/kind/small?read=1", &[("Cookie", &same)], b"").number("n"),
                Some(1)
            );
        }
    }
    let grown = farm.sidecars[0].process().peak_above(peak);
    assert!(grown < ROOM_KIB, "{grown} KiB");
    farm.await_quiet();
    assert_eq!(user.get("/kind/small").number("n"), Some(2));
}

#[test]
fn headers_in_masses_are_refused_and_cost_no_memory() {
    let mut farm = Farm::builder().tomcats(1).start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let before = above(&mut [&mut farm.gateway], &mut farm.sidecars, &[0; 2]);
    let ports = [farm.gateway.port(), farm.sidecars[0].port()];
    for port in ports {
        for (number, length) in [(200, 10), (1_000, 10), (100_000, 10), (100, 60_000), (1, 3_000_000)] {
            let field = format!("X-Field: {}\r\n", "y".repeat(length));
            let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
            // A server that refuses it may close before it has read all of it.
            let _ = stream.write_all(b"GET /kind/small?read=1 HTTP/1.1\r\nHost: test\r\n");
            let _ =
                stream.write_all(field.repeat(number).as_bytes()).and_then(|()| stream.write_all(b"\r\n"));
            if let Ok(response) = read_response(&mut BufReader::new(&stream), false) {
                let status = response.status;
                // Of more than a hundred (maxHeaderCount) Tomcat says 500; as many as these do not reach it.
                let of_tomcat = status == 500 && number < 256;
                assert!(of_tomcat || matches!(status, 200 | 400 | 431), "{number} of {length}: {status}");
            }
        }
    }
    let grown = above(&mut [&mut farm.gateway], &mut farm.sidecars, &before);
    println!("peaks above {before:?} KiB: {grown:?}");
    assert!(grown.iter().all(|grown| *grown < ROOM_KIB), "{before:?} {grown:?}");
    assert_eq!(user.get("/kind/small").number("n"), Some(2));
}

//! Sessions beyond memcached's item limit, beyond the configured maximum, and nodes that are full.

use std::thread;

use satchel_tests::{Client, Farm, Memcached, Sidecar, eventually};

/// Bytes of its attribute; random, so that nothing is compressed.
const BIG: usize = 5_000_000;

fn with_big_session(farm: &Farm) -> Client {
    let mut user = farm.client();
    let response = user.get(&format!("/kind/small?big={BIG}"));
    assert_eq!((response.status, response.number("n")), (200, Some(1)), "{}", response.text());
    user
}

fn all_up(farm: &Farm) -> bool {
    !farm.sidecars.iter().any(|sidecar| sidecar.log().contains("is down"))
}

fn number_of_chunks(node: &Memcached) -> usize {
    node.chunks().len()
}

#[test]
fn r19_a_5_mb_session_alternates_between_two_tomcats() {
    // memcached's own item limit, 1 MiB.
    let farm = Farm::builder()
        .nodes(2)
        .memcached("-m")
        .memcached("256")
        .set("session.backup_timeout", "\"0ms\"")
        .start();
    let mut user = with_big_session(&farm);
    for n in 2..=101_i64 {
        let sidecar = &farm.sidecars[usize::try_from(n).unwrap() % 2];
        let mut there = user.at(sidecar.port());
        // Half of them change all of it.
        let path = if n % 2 == 0 { format!("/kind/small?big={BIG}") } else { "/kind/small".into() };
        let response = there.get(&path);
        assert_eq!((response.status, response.number("n")), (200, Some(n)), "{}", response.text());
    }
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(101));
    farm.await_quiet();
    for node in &farm.nodes {
        eventually("only the last version's chunks are left", || number_of_chunks(node) == 5);
        assert_eq!(node.records().len(), 1);
    }
    assert_eq!(farm.metric("conflicts") + farm.metric("records_rejected") + farm.metric("node_errors"), 0);
    assert!(all_up(&farm));
}

#[test]
fn chunks_that_are_gone_are_a_clean_miss() {
    let mut farm = Farm::builder().nodes(2).memcached("-m").memcached("256").start();
    let mut user = with_big_session(&farm);
    farm.await_quiet();
    assert!(farm.nodes[0].delete(&farm.nodes[0].chunks()[0]));
    // Nothing is remembered, and the other node's copy is whole.
    farm.sidecars.iter_mut().for_each(Sidecar::restart);
    for (n, sidecar) in (2..).zip(&farm.sidecars) {
        let response = user.at(sidecar.port()).get("/kind/small");
        assert_eq!((response.status, response.number("n")), (200, Some(n)), "{}", response.text());
    }
    farm.await_quiet();
    for node in &farm.nodes {
        assert_eq!(number_of_chunks(node), 5, "both are whole again");
        assert!(node.delete(&node.chunks()[4]));
    }
    farm.sidecars.iter_mut().for_each(Sidecar::restart);
    for sidecar in &farm.sidecars {
        let seen = user.at(sidecar.port()).get("/kind/small?read=1");
        assert_eq!((seen.status, seen.field("n").as_deref()), (200, Some("null")), "{}", seen.text());
    }
    assert!(farm.metric("records_rejected") >= 2);
    assert_eq!(user.get("/kind/small").number("n"), Some(1), "a new session");
    farm.await_quiet();
    assert!(all_up(&farm));
}

#[test]
fn r19_a_session_that_outgrows_the_maximum_keeps_its_last_state() {
    let farm = Farm::builder()
        .nodes(2)
        .memcached("-m")
        .memcached("256")
        .set("session.backup_timeout", "\"0ms\"")
        .set("session.max_session_size", "\"6m\"")
        .start();
    let mut user = with_big_session(&farm);
    for sidecar in &farm.sidecars {
        let refused = user.at(sidecar.port()).get("/kind/small?big=7000000");
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(sidecar.log().contains("more than the 6291456"), "{}", sidecar.log());
    }
    assert_eq!(user.get("/kind/small").number("n"), Some(2));
    assert_eq!(farm.metric("too_large"), 2);
    assert!(all_up(&farm));
}

#[test]
fn r19_full_nodes_keep_the_last_state() {
    let mut farm = Farm::builder()
        .nodes(2)
        .memcached("-m")
        .memcached("32")
        .memcached("-M")
        .set("session.backup_timeout", "\"0ms\"")
        .start();
    let (mut small, mut large) = (farm.client(), farm.client());
    assert_eq!(small.get("/kind/small?big=20000").number("n"), Some(1));
    assert_eq!(large.get("/kind/small?big=3000000").number("n"), Some(1));
    for node in &farm.nodes {
        for size in [900_000, 60_000, 20_000, 2_000, 200] {
            node.fill(size);
        }
    }
    let (mut refused, mut n) = (0, [1, 1]);
    for round in 0..40 {
        for (which, (user, path)) in
            [(&mut small, "/kind/small?big=50000"), (&mut large, "/kind/small?big=4000000")]
                .into_iter()
                .enumerate()
        {
            let response = user.at(farm.sidecars[round % 2].port()).get(path);
            match response.status {
                200 => n[which] += 1,
                503 => refused += 1,
                other => panic!("{other}: {}", response.text()),
            }
            if response.status == 200 {
                assert_eq!(response.number("n"), Some(n[which]), "{which} in round {round}");
            }
        }
    }
    assert!(refused >= 10, "{refused}: the nodes were not full");
    // What they have is asked of them, not of what is remembered.
    farm.sidecars.iter_mut().for_each(Sidecar::restart);
    for (user, n) in [(&mut small, n[0]), (&mut large, n[1])] {
        let seen = user.get("/kind/small?read=1");
        assert_eq!(seen.number("n"), Some(n), "{}", seen.text());
    }
    assert!(all_up(&farm));
}

/// Each refusal makes room where another user is about to write.
#[test]
fn r19_full_nodes_lose_nothing_of_many_who_write_at_once() {
    const USERS: usize = 12;
    const SESSIONS: usize = 24;
    const ROUNDS: usize = 8;
    let mut farm = Farm::builder()
        .nodes(2)
        .memcached("-m")
        .memcached("8")
        .memcached("-M")
        .set("session.backup_timeout", "\"0ms\"")
        .start();
    let visit = |user: &mut Client, size: usize| {
        let response = user.get(&format!("/kind/small?big={size}"));
        assert!(matches!(response.status, 200 | 503), "{}", response.text());
        (response.status == 200).then(|| response.number("n").unwrap())
    };
    let told: Vec<(Client, i64, i64)> = thread::scope(|scope| {
        let users: Vec<_> = (0..USERS)
            .map(|number| {
                let clients: Vec<_> = (0..SESSIONS).map(|_| farm.client()).collect();
                scope.spawn(move || {
                    let mut sessions = Vec::new();
                    for mut client in clients {
                        if let Some(n) = visit(&mut client, 100) {
                            sessions.push((client, n, 0));
                        }
                    }
                    for round in 0..ROUNDS {
                        for (index, (client, n, refused)) in sessions.iter_mut().enumerate() {
                            let size = (number * 7919 + index * 104_729 + round * 1_299_709) % 60_000;
                            match visit(client, size) {
                                Some(now) => {
                                    assert!((*n + 1..=*n + 1 + *refused).contains(&now), "{now} after {n}");
                                    (*n, *refused) = (now, 0);
                                }
                                None => *refused += 1,
                            }
                        }
                    }
                    sessions
                })
            })
            .collect();
        users.into_iter().flat_map(|user| user.join().unwrap()).collect()
    });
    let refused = farm.metric("store_failed");
    assert!(refused >= 100 && told.len() >= USERS, "{refused}: the nodes were not full");
    farm.await_quiet();
    // What they have is asked of them, not of what is remembered.
    farm.sidecars.iter_mut().for_each(Sidecar::restart);
    for (mut user, n, refused) in told {
        let seen = user.get("/kind/small?read=1");
        assert!((n..=n + refused).contains(&seen.number("n").unwrap_or(0)), "{n}: {}", seen.text());
    }
    assert!(all_up(&farm));
}

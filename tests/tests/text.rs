//! Nodes that speak the classic text protocol only.

use std::thread;
use std::time::Duration;

use satchel_tests::{Client, Farm, Load, eventually};

const USERS: usize = 10;

/// What every user does: count up, log in, log out, at both Tomcats and in parallel.
fn serves(farm: &Farm) {
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    for n in 2..10 {
        assert_eq!(user.get("/kind/small").number("n"), Some(n));
    }
    let requests: Vec<_> = (0..6)
        .map(|_| {
            let mut user = user.at(farm.gateway.port());
            thread::spawn(move || user.get("/kind/small?ms=20&late=1").number("n").unwrap())
        })
        .collect();
    let mut seen: Vec<_> = requests.into_iter().map(|request| request.join().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (10..16).collect::<Vec<_>>(), "one after the other");
    let before = user.cookie_header("/");
    assert_eq!(user.get("/login?user=me").status, 200);
    assert_eq!(user.get("/whoami").field("user").as_deref(), Some("me"));
    let old = user.send("GET", "/kind/small?read=1", &[("Cookie", &before)], b"");
    assert_eq!(old.field("n").as_deref(), Some("null"), "the id before the login is gone");
    let before = user.cookie_header("/");
    assert_eq!(user.get("/logout").status, 200);
    let old = user.send("GET", "/kind/small?read=1", &[("Cookie", &before)], b"");
    assert_eq!(old.field("n").as_deref(), Some("null"));
    // Larger than an item of memcached.
    let mut large = farm.client();
    assert_eq!(large.get("/kind/small?big=3000000").number("n"), Some(1));
    for n in 2..5 {
        assert_eq!(large.get("/kind/small").number("n"), Some(n));
    }
    farm.await_quiet();
    assert_eq!(farm.metric("conflicts") + farm.metric("node_errors"), 0);
    let load = Load::start(farm.gateway.port(), USERS);
    load.all_served();
    let report = load.finish();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
}

#[test]
fn a_memcached_spoken_to_in_text_serves() {
    serves(&Farm::builder().nodes(2).text().start());
}

#[test]
fn twemproxy_in_front_of_memcached_serves() {
    serves(&Farm::builder().nodes(2).twemproxy().start());
}

fn user_on(farm: &Farm, node: &str) -> Client {
    loop {
        let mut user = farm.client();
        assert_eq!(user.get("/kind/small").number("n"), Some(1));
        if user.cookie("JSESSIONID").unwrap().ends_with(node) {
            return user;
        }
    }
}

#[test]
fn a_node_spoken_to_in_text_may_die_hang_and_come_back() {
    let mut farm = Farm::builder().nodes(2).text().start();
    let mut user = user_on(&farm, "-n1");
    farm.nodes[0].process().kill9();
    for n in 2..5 {
        let response = user.get("/kind/small");
        assert_eq!((response.status, response.number("n")), (200, Some(n)), "{}", response.text());
    }
    farm.nodes[0].restart();
    eventually("it is used again", || {
        farm.sidecars
            .iter()
            .all(|sidecar| !sidecar.log().contains("n1 is down") || sidecar.log().contains("n1 is up"))
    });
    let mut other = user_on(&farm, "-n2");
    farm.nodes[1].process().stop();
    let response = other.get("/kind/small");
    assert_eq!((response.status, response.number("n")), (200, Some(2)), "{}", response.text());
    farm.nodes[1].process().cont();
    eventually("all is quiet", || farm.client().get("/kind/small").status == 200);
}

#[test]
fn a_server_that_dies_behind_its_proxy_is_a_node_that_is_down() {
    let mut farm = Farm::builder().nodes(2).twemproxy().start();
    let (mut user, mut other) = (user_on(&farm, "-n1"), user_on(&farm, "-n2"));
    farm.nodes[0].process().kill9();
    for n in 2..6 {
        for user in [&mut user, &mut other] {
            let response = user.get("/kind/small");
            assert_eq!((response.status, response.number("n")), (200, Some(n)), "{}", response.text());
        }
    }
    assert!(user.cookie("JSESSIONID").unwrap().ends_with("-n2"), "the session has moved");
    farm.nodes[0].restart();
    eventually("it is used again", || {
        farm.sidecars
            .iter()
            .all(|sidecar| !sidecar.log().contains("n1 is down") || sidecar.log().contains("n1 is up"))
    });
    for user in [&mut user, &mut other] {
        assert_eq!(user.get("/kind/small").number("n"), Some(6));
    }
}

#[test]
fn r17_with_locking_none_a_request_that_only_reads_undoes_nothing() {
    for text in [false, true] {
        let farm = Farm::builder().nodes(2).set("session.locking", "\"none\"");
        let farm = if text { farm.text() } else { farm }.start();
        let mut user = farm.client();
        assert_eq!(user.get("/kind/small").number("n"), Some(1));
        assert_eq!(user.get("/kind/small?read=1").number("n"), Some(1));
        let ran = farm.counted("runs");
        let mut same = user.at(farm.sidecars[0].port());
        let reader = thread::spawn(move || same.get("/kind/small?read=1&ms=1500"));
        eventually("it runs", || farm.counted("runs") > ran);
        let mut writer = user.at(farm.sidecars[1].port());
        assert_eq!(writer.get("/kind/small").number("n"), Some(2));
        assert!(!reader.is_finished());
        assert_eq!(reader.join().unwrap().number("n"), Some(1));
        assert_eq!(user.get("/kind/small?read=1").number("n"), Some(2), "text: {text}");
        assert_eq!(farm.metric("overwritten"), 0);
    }
}

#[test]
fn a_session_that_is_only_read_lives_on_although_text_does_not_tell_its_age() {
    let farm = Farm::builder().text().start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small?interval=3").number("n"), Some(1));
    let began = std::time::Instant::now();
    eventually("twice its life is over", || {
        assert_eq!(user.get("/kind/small?read=1").number("n"), Some(1), "after {:?}", began.elapsed());
        began.elapsed() > Duration::from_secs(7)
    });
}

//! What goes over the network, and how long sessions live.

use satchel_tests::{Farm, eventually};

#[test]
fn r05_r07_reading_a_large_session_moves_no_body() {
    let farm = Farm::builder().tomcats(1).start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small?big=100000").number("n"), Some(1));
    farm.await_quiet();
    let (received, sent) = (farm.nodes[0].stat("bytes_read"), farm.nodes[0].stat("bytes_written"));
    for _ in 0..20 {
        assert_eq!(user.get("/kind/small?read=1").number("n"), Some(1));
    }
    farm.await_quiet();
    let received = farm.nodes[0].stat("bytes_read") - received;
    let sent = farm.nodes[0].stat("bytes_written") - sent;
    // Twenty requests, and the statistics that were asked for; one body alone is 100,000.
    assert!(received < 20_000 && sent < 60_000, "{received} to memcached, {sent} from it");
    assert_eq!(farm.metric("cache_misses"), 0);
    assert_eq!(farm.metric("sessions_touched"), 20);
}

#[test]
fn r07_a_restarted_memcached_has_forgotten_everything() {
    let mut farm = Farm::builder().tomcats(1).start();
    let mut user = farm.client();
    for _ in 0..3 {
        user.get("/kind/small");
    }
    farm.nodes[0].restart();
    eventually("the node is up again", || farm.client().get("/kind/small").status == 200);
    let seen = user.get("/kind/small?read=1");
    assert_eq!(seen.field("n").as_deref(), Some("null"), "the local copy is not used: {}", seen.text());
}

#[test]
fn r08_r20_an_idle_session_ends_and_one_that_is_read_lives_on() {
    let farm = Farm::builder().start();
    let mut idle = farm.client();
    let mut read = farm.client();
    assert_eq!(idle.get("/kind/small?interval=2").number("n"), Some(1));
    assert_eq!(read.get("/kind/small?interval=2").number("n"), Some(1));
    assert_eq!(farm.nodes[0].records().len(), 2);
    // Its last request is long ago when the other one has gone from memcached.
    eventually("the idle session ends in memcached", || {
        let seen = read.get("/kind/small?read=1");
        assert_eq!(seen.number("n"), Some(1), "a session that is read ended: {}", seen.text());
        farm.nodes[0].records().len() == 1
    });
    assert_eq!(read.get("/kind/small").number("n"), Some(2));
    assert_eq!(idle.get("/kind/small?read=1").field("n").as_deref(), Some("null"));
}

#[test]
fn r08_tomcat_itself_ends_a_session_that_was_idle_too_long() {
    let farm = Farm::builder().start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small?interval=1").number("n"), Some(1));
    let cookie = user.cookie_header("/");
    eventually("Tomcat finds it expired", || {
        // Not a request of the session: that would keep it alive. memcached keeps it for its margin.
        farm.nodes[0]
            .command("lru_crawler metadump hash\r\n", "END")
            .iter()
            .any(|line| expires_within(line, 3))
    });
    let seen = user.send("GET", "/kind/small?read=1", &[("Cookie", &cookie)], b"");
    assert_eq!(seen.field("n").as_deref(), Some("null"), "{}", seen.text());
    farm.await_quiet();
    assert_eq!(farm.metric("sessions_invalidated"), 1);
}

/// `key=… exp=<seconds since 1970> …`
fn expires_within(line: &str, seconds: u64) -> bool {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let exp = line.split(' ').find_map(|part| part.strip_prefix("exp=")?.parse::<u64>().ok());
    line.starts_with("key=s") && exp.is_some_and(|exp| exp <= now + seconds)
}

#[test]
fn a_session_without_end_has_none_in_memcached() {
    let farm = Farm::builder().tomcats(1).start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small?interval=-1").number("n"), Some(1));
    let lines = farm.nodes[0].command("lru_crawler metadump hash\r\n", "END");
    assert!(lines.iter().any(|line| line.starts_with("key=s") && line.contains("exp=-1")), "{lines:?}");
    for n in 2..5 {
        assert_eq!(user.get("/kind/small").number("n"), Some(n));
    }
    let mut long = farm.client();
    let month = 40 * 24 * 3600;
    assert_eq!(long.get(&format!("/kind/small?interval={month}")).number("n"), Some(1));
    assert_eq!(long.get("/kind/small").number("n"), Some(2), "more than 30 days is not taken for 1970");
}

#[test]
fn a_session_shorter_than_its_request_survives_it() {
    let farm = Farm::builder().start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small?interval=1").number("n"), Some(1));
    // Longer than the record's TTL of 6 s.
    assert_eq!(user.get("/kind/small?ms=8000&late=1").number("n"), Some(2));
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(2));
}

#[test]
fn r19_what_memcached_drops_when_it_refuses_a_store_is_put_back() {
    // -M: it refuses when it is full, instead of dropping what is old.
    let farm = Farm::builder().memcached("-M").memcached("-m").memcached("4").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small?big=2000").number("n"), Some(1));
    for size in [100_000, 10_000, 2_000] {
        farm.nodes[0].fill(size);
    }
    for _ in 0..3 {
        let refused = user.get("/kind/small?big=100000");
        assert_eq!((refused.status, refused.header("x-satchel-unsent")), (503, None), "{}", refused.text());
        assert_eq!(user.get("/kind/small?read=1").number("n"), Some(1), "the last state is there again");
    }
    assert_eq!(user.get("/kind/small?big=2000").number("n"), Some(2), "and one of its size goes on");
    assert_eq!(farm.metric("store_failed"), 3);
    farm.await_quiet();
}

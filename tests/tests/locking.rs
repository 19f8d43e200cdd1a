//! Which requests wait for each other: locking by URI, learned locking, and read-only requests.

use std::thread;
use std::time::{Duration, Instant};

use satchel_tests::{Client, Farm, eventually};

fn with_session(farm: &Farm) -> Client {
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    // The first use of a new session changes it: Tomcat notes that it is not new any more.
    assert_eq!(user.get("/kind/small?first=1&read=1").number("n"), Some(1));
    user
}

/// Runs `path` on the first Tomcat, and `meanwhile` as soon as the application has begun with it.
fn during(
    farm: &Farm,
    user: &Client,
    path: &'static str,
    meanwhile: impl FnOnce(),
) -> satchel_tests::Response {
    let ran = farm.counted("runs");
    let mut same = user.at(farm.sidecars[0].port());
    let slow = thread::spawn(move || same.get(path));
    eventually("the slow request runs", || farm.counted("runs") > ran);
    meanwhile();
    assert!(!slow.is_finished(), "the others waited for it");
    slow.join().unwrap()
}

#[test]
fn read_only_requests_do_not_delay_a_writing_one() {
    const READERS: i64 = 10;
    let farm = Farm::builder().set("session.readonly_uri", "'GET /kind/small\\?read=1.*'").start();
    let mut user = with_session(&farm);
    let ran = farm.counted("runs");
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let mut reader = user.at(farm.gateway.port());
            thread::spawn(move || reader.get("/kind/small?read=1&ms=2000"))
        })
        .collect();
    eventually("all ten run at once", || farm.counted("runs") == ran + READERS);
    // Where they run, and next door.
    let mut slowest = Duration::ZERO;
    for n in 2..10 {
        let began = Instant::now();
        let response = user.get("/kind/small");
        slowest = slowest.max(began.elapsed());
        assert_eq!(response.number("n"), Some(n), "{}", response.text());
    }
    assert!(readers.iter().all(|reader| !reader.is_finished()), "the writers waited for the readers");
    println!("beside {READERS} readers of 2 s the slowest of 8 writers took {slowest:?}");
    let id = user.cookie("JSESSIONID").unwrap().to_owned();
    for reader in readers {
        let response = reader.join().unwrap();
        assert_eq!((response.status, response.number("n")), (200, Some(1)), "what was stored when it began");
        assert_eq!(response.header("set-cookie"), None);
        assert!(!id.starts_with(&response.field("id").unwrap()), "it has an id of its own");
    }
    assert_eq!(farm.metric("changes_dropped"), 0);
    farm.await_quiet();
}

#[test]
fn what_a_read_only_request_changes_is_dropped_and_counted() {
    let farm = Farm::builder()
        .set(
            "session.readonly_uri",
            "'(GET|POST) /(kind/(small\\?ro|flush-cl\\?ro|invalidate|change-id|invalidate-new)|login|sse).*'",
        )
        .start();
    let mut user = with_session(&farm);
    let paths = [
        "/kind/small?ro=1",
        "/kind/flush-cl?ro=1",
        "/kind/invalidate",
        "/kind/change-id",
        "/kind/invalidate-new",
        "/login?user=mallory",
        "/sse?n=2&ms=10",
    ];
    let mut dropped = 0;
    for path in paths {
        for _ in 0..2 {
            let response = user.get(path);
            assert_eq!(
                (response.status, response.header("set-cookie")),
                (200, None),
                "{path}: {}",
                response.text()
            );
            dropped += 1;
            farm.await_quiet();
            assert_eq!(farm.metric("changes_dropped"), dropped, "{path}");
        }
    }
    assert_eq!(user.post("/kind/small", "a=b").number("n"), Some(2), "not what the pattern names");
    let seen = user.get("/kind/small?read=1");
    assert_eq!((seen.number("n"), seen.field("user").as_deref()), (Some(2), Some("null")), "{}", seen.text());
    assert_eq!(farm.metric("sessions_invalidated") + farm.metric("ids_changed"), 0);
    assert_eq!(farm.nodes[0].records().len(), 1, "no copy was stored");
    farm.await_quiet();
}

#[test]
fn a_read_only_request_keeps_its_session_alive() {
    let farm = Farm::builder().set("session.readonly_uri", "'GET /kind/small\\?read=1.*'").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small?interval=4").number("n"), Some(1));
    let began = Instant::now();
    eventually("twice its life is over", || {
        assert_eq!(user.get("/kind/small?read=1").number("n"), Some(1), "after {:?}", began.elapsed());
        began.elapsed() > Duration::from_secs(9)
    });
}

#[test]
fn r17_locking_by_uri_lets_the_others_run_in_parallel_and_catches_their_conflicts() {
    let farm = Farm::builder().set("session.locking", "'uri:.*/small\\?locked.*'").start();
    let mut user = with_session(&farm);
    let there = farm.sidecars[1].port();
    // Not locked: it loses against the store that came first, and nothing is overwritten.
    let slow = during(&farm, &user, "/kind/small?ms=1500&late=1", || {
        for n in 2..5 {
            assert_eq!(user.at(there).get("/kind/small").number("n"), Some(n));
        }
    });
    assert_eq!(slow.status, 503, "{}", slow.text());
    assert_eq!((farm.metric("conflicts"), farm.metric("overwritten")), (1, 0));
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(4));
    // Locked: the other waits.
    let ran = farm.counted("runs");
    let mut same = user.at(farm.sidecars[0].port());
    let slow = thread::spawn(move || same.get("/kind/small?locked=1&ms=500&late=1"));
    eventually("the slow request runs", || farm.counted("runs") > ran);
    assert_eq!(user.at(there).get("/kind/small?locked=1").number("n"), Some(6));
    assert_eq!(slow.join().unwrap().number("n"), Some(5));
    assert!(farm.metric("lock_waits") > 0);
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(6));
    farm.await_quiet();
}

#[test]
fn locking_auto_learns_what_only_reads_and_catches_what_turns_out_to_write() {
    let farm = Farm::builder().set("session.locking", "\"auto\"").start();
    let user = with_session(&farm);
    let there = farm.sidecars[1].port();
    for sidecar in &farm.sidecars {
        // Seen to leave its session as it is.
        assert_eq!(user.at(sidecar.port()).get("/kind/small?read=1&ms=1500").number("n"), Some(1));
    }
    let slow = during(&farm, &user, "/kind/small?read=1&ms=1500", || {
        assert_eq!(user.at(there).get("/kind/small").number("n"), Some(2), "a request that writes");
    });
    assert_eq!(slow.number("n"), Some(1), "it began before");
    // A line that was learned changes a session for the first time.
    assert_eq!(farm.metric("auto_locking_misses"), 0);
    let learned = "/whoami?create=1";
    for sidecar in &farm.sidecars {
        assert_eq!(user.at(sidecar.port()).get(learned).number("n"), Some(2));
    }
    let mut stranger = farm.client();
    for sidecar in &farm.sidecars {
        // A new session is a change.
        assert_eq!(stranger.at(sidecar.port()).get(learned).status, 200);
    }
    assert_eq!(farm.metric("auto_locking_misses"), 2, "one on each sidecar");
    assert_eq!(stranger.get("/kind/small").status, 200);
    assert_eq!(farm.metric("conflicts"), 0);
    // One that was learned turns out to write, beside another writer: its store is refused, and nothing is overwritten.
    const TURNS: &str = "/kind/small?ms=1500&late=1&turns=1";
    let mut reader = user.at(farm.sidecars[0].port());
    let cookie = user.cookie_header("/");
    let seen = reader.send("GET", TURNS, &[("X-Read", "1"), ("Cookie", &cookie)], b"");
    assert_eq!(seen.number("n"), Some(2));
    let slow = during(&farm, &user, TURNS, || {
        assert_eq!(user.at(there).get("/kind/small").number("n"), Some(3), "it did not wait");
    });
    assert_eq!(slow.status, 503, "{}", slow.text());
    assert_eq!((farm.metric("conflicts"), farm.metric("overwritten")), (1, 0));
    assert_eq!(farm.metric("auto_locking_misses"), 3);
    // From now on it is locked.
    let ran = farm.counted("runs");
    let mut same = user.at(farm.sidecars[0].port());
    let slow = thread::spawn(move || same.get(TURNS).number("n"));
    eventually("it runs", || farm.counted("runs") > ran);
    assert_eq!(user.at(there).get("/kind/small?after=1").number("n"), Some(5), "it waited");
    assert_eq!(slow.join().unwrap(), Some(4));
    farm.await_quiet();
}

#[test]
fn past_lock_timeout_a_request_may_proceed_on_a_copy() {
    let farm = Farm::builder()
        .set("session.lock_timeout", "\"300ms\"")
        .set("session.on_lock_timeout", "\"proceed\"")
        .start();
    let mut user = with_session(&farm);
    let ports: Vec<u16> = farm.sidecars.iter().map(satchel_tests::Sidecar::port).collect();
    let slow = during(&farm, &user, "/kind/small?ms=4000&late=1", || {
        for port in ports {
            let response = user.at(port).get("/kind/small");
            assert_eq!(
                (response.status, response.number("n")),
                (200, Some(2)),
                "its own change, on its copy"
            );
        }
    });
    assert_eq!(slow.number("n"), Some(2));
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(2));
    assert_eq!((farm.metric("proceeded_without_lock"), farm.metric("changes_dropped")), (2, 2));
    assert_eq!(farm.metric("conflicts"), 0);
    farm.await_quiet();
}

#[test]
fn an_application_that_calls_itself_waits_at_most_lock_timeout() {
    let call = |farm: &Farm, user: &mut Client| {
        let path = format!("/self-call?port={}&path=/kind/small?read=1", farm.gateway.port());
        user.get(&path)
    };
    // The inner request waits for the outer one, which waits for it.
    let farm = Farm::builder().set("session.lock_timeout", "\"500ms\"").start();
    let mut user = with_session(&farm);
    let response = call(&farm, &mut user);
    assert_eq!((response.status, response.number("inner")), (200, Some(503)), "{}", response.text());
    assert_eq!(response.number("n"), Some(2));
    assert!(farm.metric("lock_timeouts") > 0);
    assert_eq!(user.get("/kind/small").number("n"), Some(3));
    // With a copy it does not; it sees what was stored before the outer one.
    for (key, value) in
        [("session.readonly_uri", "'GET /kind/small\\?read=1'"), ("session.on_lock_timeout", "\"proceed\"")]
    {
        let farm = Farm::builder().set("session.lock_timeout", "\"500ms\"").set(key, value).start();
        let mut user = with_session(&farm);
        let response = call(&farm, &mut user);
        assert_eq!((response.status, response.number("inner")), (200, Some(200)), "{}", response.text());
        assert_eq!((response.number("inner-n"), response.number("n")), (Some(1), Some(2)));
        assert_eq!(user.get("/kind/small").number("n"), Some(3));
    }
}

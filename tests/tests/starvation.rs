//! Users who keep their session, or the sidecar, busy, and what others notice.

use std::collections::BTreeSet;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use satchel_tests::client::read_response;
use satchel_tests::{Client, Farm, eventually};

fn with_session(farm: &Farm) -> Client {
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    user
}

/// Somebody else, who counts up while `work` goes on, and whom nothing may refuse.
fn beside<T>(farm: &Farm, work: impl FnOnce() -> T) -> T {
    let mut other = with_session(farm);
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (stopped, told) = (stop.clone(), served.clone());
    let other = thread::spawn(move || {
        let mut n = 1;
        while !stopped.load(Ordering::SeqCst) {
            n += 1;
            let response = other.get("/kind/small");
            assert_eq!((response.status, response.number("n")), (200, Some(n)), "{}", response.text());
            told.store(true, Ordering::SeqCst);
        }
    });
    let done = work();
    served.store(false, Ordering::SeqCst);
    eventually("the other is served", || other.is_finished() || served.load(Ordering::SeqCst));
    stop.store(true, Ordering::SeqCst);
    other.join().unwrap();
    done
}

/// An upload of which the last part has not been sent.
fn stalled(user: &Client, bytes: usize) -> TcpStream {
    let length = (bytes + 1).to_string();
    let mut client = user.at(user.port());
    client.start("POST", "/upload", &[("Content-Length", &length)], &vec![b'x'; bytes])
}

#[test]
fn r09_hundreds_of_requests_of_one_user_are_a_bounded_queue_and_nobody_elses_concern() {
    const REQUESTS: usize = 400;
    let mut farm = Farm::start();
    let mut user = with_session(&farm);
    let peak = farm.sidecars[0].process().peak_kib();
    let answers: Vec<(u16, Option<i64>, bool)> = beside(&farm, || {
        // Until all are there the session is in use.
        let ran = farm.counted("runs");
        let mut first = user.at(farm.sidecars[0].port());
        let first = thread::spawn(move || first.get("/kind/small?ms=3000"));
        eventually("the first runs", || farm.counted("runs") > ran);
        let all: Vec<_> = (0..REQUESTS)
            .map(|_| {
                let mut user = user.at(farm.sidecars[0].port());
                thread::spawn(move || {
                    let response = user.get("/kind/small");
                    (response.status, response.number("n"), response.header("retry-after").is_some())
                })
            })
            .collect();
        assert_eq!(first.join().unwrap().number("n"), Some(2));
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let served: BTreeSet<i64> = answers.iter().filter_map(|(_, n, _)| *n).collect();
    let refused = answers.iter().filter(|(status, ..)| *status == 503).count();
    println!("{} served, {refused} refused", served.len());
    assert!(answers.iter().all(|(status, _, retry)| *status == 200 || (*status == 503 && *retry)));
    assert!(refused >= REQUESTS / 2, "{refused}: 127 wait behind the one that runs");
    assert!(served.len() >= 100, "{}: those that wait are served", served.len());
    let last = 2 + i64::try_from(served.len()).unwrap();
    assert_eq!(served, (3..=last).collect(), "each of them once");
    assert_eq!(user.get("/kind/small").number("n"), Some(last + 1), "and so is he afterwards");
    assert!(farm.sidecars[0].process().peak_above(peak) < 100 * 1024);
    farm.await_quiet();
}

#[test]
fn r06_a_request_that_runs_long_holds_only_its_own_session() {
    let farm = Farm::builder()
        .set("tomcat.max_request_time", "\"4s\"")
        .set("session.lock_timeout", "\"1s\"")
        .start();
    let user = with_session(&farm);
    let ran = farm.counted("runs");
    let long = user.at(farm.sidecars[0].port()).start(
        "GET",
        "/kind/small?ms=60000",
        &[("Cookie", &user.cookie_header("/"))],
        b"",
    );
    beside(&farm, || {
        eventually("it runs", || farm.counted("runs") > ran);
        assert_eq!(user.at(farm.sidecars[1].port()).get("/kind/small").status, 503, "its own session waits");
        eventually("it is given up", || farm.metric("overtime") == 1);
    });
    // On the other Tomcat the session can be used again.
    eventually("the user is served", || user.at(farm.sidecars[1].port()).get("/kind/small").status == 200);
    drop(long);
}

#[test]
fn r09_a_slow_upload_does_not_hold_its_session() {
    let farm = Farm::start();
    let mut user = with_session(&farm);
    // In memory, and in a file.
    for bytes in [1_000, 60_000, 500_000] {
        for port in [farm.gateway.port(), farm.sidecars[0].port()] {
            let uploads = farm.counted("/upload");
            let mut upload = stalled(&user.at(port), bytes);
            let began = user.get("/kind/small?read=1").number("n").unwrap();
            for n in 1..6 {
                assert_eq!(user.get("/kind/small").number("n"), Some(began + n), "{bytes} bytes");
            }
            // No lock either: what waits a moment above waits for an unlock that is on its way.
            farm.await_quiet();
            assert_eq!(farm.counted("/upload"), uploads, "it has not reached Tomcat");
            upload.write_all(b"x").unwrap();
            let response = read_response(&mut BufReader::new(&upload), false).unwrap();
            assert_eq!((response.status, response.number("read")), (200, Some(bytes as i64 + 1)));
            assert_eq!(response.number("n"), Some(began + 6), "it came last");
        }
    }
    assert_eq!(farm.metric("lock_timeouts"), 0);
}

#[test]
fn r09_slow_uploads_in_masses_hold_nobody_up_and_leave_no_file() {
    const UPLOADS: usize = 150;
    // Twice what stays in memory, and no more than Tomcat has threads beside.
    const BYTES: usize = 400_000;
    let mut farm = Farm::builder().tomcats(1).set("client_max_body_size", "\"1m\"").start();
    let attacker = with_session(&farm).at(farm.sidecars[0].port());
    let peak = farm.sidecars[0].process().peak_kib();
    let mut uploads: Vec<_> = (0..UPLOADS).map(|_| stalled(&attacker, BYTES)).collect();
    eventually("all are being taken in", || farm.sidecars[0].process().unnamed_files() == UPLOADS);
    beside(&farm, || {
        let mut owner = attacker.at(farm.gateway.port());
        for n in 2..10 {
            assert_eq!(owner.get("/kind/small").number("n"), Some(n), "the attacker's own session");
        }
    });
    assert_eq!(farm.counted("/upload"), 0, "none has reached Tomcat");
    // One that is larger than is allowed, and says so or not.
    let chunk = format!("{:x}\r\n{}\r\n", 200_000, "x".repeat(200_000));
    for (name, value, body) in
        [("Content-Length", "1048577", "x".repeat(1000)), ("Transfer-Encoding", "chunked", chunk.repeat(6))]
    {
        let mut client = attacker.at(attacker.port());
        let stream = client.start("POST", "/upload", &[(name, value)], body.as_bytes());
        assert_eq!(read_response(&mut BufReader::new(&stream), false).unwrap().status, 413, "{name}");
    }
    // Some end, some break off.
    let ended = uploads.split_off(UPLOADS - 5);
    drop(uploads);
    for mut upload in ended {
        upload.write_all(b"x").unwrap();
        let response = read_response(&mut BufReader::new(&upload), false).unwrap();
        assert_eq!((response.status, response.number("read")), (200, Some(BYTES as i64 + 1)));
    }
    eventually("no file is left", || farm.sidecars[0].process().unnamed_files() == 0);
    let grown = farm.sidecars[0].process().peak_above(peak);
    assert!(grown < 100 * 1024, "{grown} KiB");
    assert_eq!(farm.metric("lock_timeouts"), 0);
    farm.await_quiet();
}

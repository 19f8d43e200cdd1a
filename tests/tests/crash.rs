//! Any process may be killed or stopped at any moment.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;

use satchel_tests::{Farm, eventually};

/// What a request that may have failed left behind: `before` or one more, the same on both Tomcats, no lock and no file.
fn assert_old_or_new(farm: &Farm, user: &mut satchel_tests::Client, before: i64) -> i64 {
    eventually("the lock ends by itself", || farm.nodes.iter().all(|node| node.locks().is_empty()));
    let seen = user.get("/kind/small?read=1");
    let n = seen.number("n").unwrap_or(-1);
    assert!(n == before || n == before + 1, "{n} after {before}: {} {}", seen.status, seen.text());
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(n));
    farm.await_quiet();
    n
}

#[test]
fn r12_a_sidecar_killed_between_save_and_store_leaves_the_old_or_the_new_state() {
    let mut farm = Farm::builder().set("memcached.timeout", "\"2s\"").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let mut n = 1;
    for round in 0..5 {
        let port = farm.sidecars[0].port();
        let ran = farm.counted("runs");
        let mut same = user.at(port);
        let request = thread::spawn(move || same.try_send("GET", "/kind/small?ms=300&late=1", &[], b""));
        eventually("the request runs in Tomcat", || farm.counted("runs") > ran);
        farm.nodes[0].process().stop();
        let store = farm.tomcats[0].contexts[0].1.clone();
        // The sidecar may have taken the file already, and waits for memcached.
        eventually("Tomcat has saved", || {
            let entries = fs::read_dir(&store).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.metadata().ok()).all(|metadata| metadata.mtime() != 0)
        });
        farm.sidecars[0].process().kill9();
        farm.nodes[0].process().cont();
        assert!(request.join().unwrap().is_err(), "round {round}: the client got a response");
        farm.sidecars[0].restart();
        n = assert_old_or_new(&farm, &mut user, n);
    }
    assert_eq!(user.get("/kind/small").number("n"), Some(n + 1));
}

#[test]
fn r12_after_a_restart_a_request_that_still_runs_is_waited_for() {
    let mut farm = Farm::builder().tomcats(1).start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let ran = farm.counted("runs");
    let mut same = user.at(farm.sidecars[0].port());
    let request = thread::spawn(move || same.try_send("GET", "/kind/small?ms=8000&late=1", &[], b""));
    eventually("the request runs in Tomcat", || farm.counted("runs") > ran);
    farm.sidecars[0].process().kill9();
    assert!(request.join().unwrap().is_err());
    farm.sidecars[0].restart();
    // The lock is over before the request is. Its late save must not pass for the next request's.
    for n in 2..5 {
        let response = user.get("/kind/small");
        assert_eq!((response.status, response.number("n")), (200, Some(n)), "{}", response.text());
    }
    assert_eq!(farm.metric("foreign_files"), 0);
    farm.await_quiet();
}

fn slow_request_while(kill: impl Fn(&mut Farm), path: &'static str) {
    let mut farm = Farm::start();
    let mut user = farm.client();
    user.get("/login?user=alice");
    for round in 0..3 {
        let ran = farm.counted("runs");
        let mut same = user.at(farm.sidecars[0].port());
        let request = thread::spawn(move || same.try_send("GET", path, &[], b""));
        eventually("the request runs in Tomcat", || farm.counted("runs") > ran);
        kill(&mut farm);
        let response = request.join().unwrap();
        let mut other = user.at(farm.sidecars[1].port());
        let seen = other.get("/whoami");
        assert_eq!(
            seen.field("user").as_deref(),
            Some("alice"),
            "round {round}: {response:?} {}",
            seen.text()
        );
        farm.tomcats[0].restart();
        let mut back = user.at(farm.sidecars[0].port());
        assert_eq!(back.get("/whoami").field("user").as_deref(), Some("alice"), "round {round}");
        farm.await_quiet();
    }
    assert_eq!(farm.metric("sessions_invalidated"), 0);
}

#[test]
fn r13_a_killed_tomcat_logs_nobody_out() {
    slow_request_while(|farm| farm.tomcats[0].process().kill9(), "/kind/small?ms=3000&late=1");
}

#[test]
fn r13_a_stopped_tomcat_logs_nobody_out() {
    slow_request_while(
        |farm| {
            farm.tomcats[0].process().terminate();
            eventually("Tomcat has ended", || !farm.tomcats[0].process().is_running());
        },
        "/kind/small?ms=3000&late=1",
    );
}

#[test]
fn r13_a_tomcat_that_is_stopped_while_it_answers_logs_nobody_out() {
    // The session is deleted by the stop while the response is already under way.
    slow_request_while(|farm| farm.tomcats[0].process().terminate(), "/kind/flush?ms=1500&late=1");
}

#[test]
fn r17_a_sidecar_that_slept_through_its_lock_is_fenced_off() {
    let mut farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let ran = farm.counted("runs");
    let mut late = user.at(farm.sidecars[0].port());
    let request = thread::spawn(move || late.get("/kind/small?ms=1500&late=1"));
    eventually("the request runs in Tomcat", || farm.counted("runs") > ran);
    farm.sidecars[0].process().stop();
    eventually("its lock is over", || farm.nodes[0].locks().is_empty());
    let mut other = user.at(farm.sidecars[1].port());
    assert_eq!(other.get("/kind/small").number("n"), Some(2));
    assert_eq!(other.get("/kind/small").number("n"), Some(3));
    farm.sidecars[0].process().cont();
    let response = request.join().unwrap();
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(3), "the late store was refused");
    assert_eq!(farm.metric("conflicts") + farm.metric("conflicts_after_response"), 1);
    farm.await_quiet();
}

#[test]
fn r12_a_session_that_cannot_be_written_keeps_its_state() {
    let farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let response = user.get("/unserializable?write=1");
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(farm.metric("save_failed"), 1);
    for n in 2..4 {
        assert_eq!(user.get("/kind/small").number("n"), Some(n));
    }
    farm.await_quiet();
}

#[test]
fn r12_a_session_that_cannot_be_read_back_is_not_overwritten() {
    let farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    assert_eq!(user.get("/unserializable").status, 200);
    let cookie = user.cookie_header("/");
    let stored = farm.metric("sessions_stored");
    for path in ["/kind/small?read=1", "/kind/small"] {
        let response = user.send("GET", path, &[("Cookie", &cookie)], b"");
        assert_eq!(response.status, 503, "{path}: {}", response.text());
    }
    assert_eq!(farm.metric("save_failed"), 2);
    assert_eq!(farm.metric("sessions_stored"), stored, "nothing was written over it");
    farm.await_quiet();
}

#[test]
fn r12_a_full_store_directory_loses_nothing() {
    let base = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = base.path().display().to_string();
    let mount = ["-t", "tmpfs", "-o", "size=64k,mode=0770", "none", &path];
    if !std::process::Command::new("mount").args(mount).status().is_ok_and(|status| status.success()) {
        satchel_tests::needs::skipped("a full store directory", "mounting a tmpfs needs root");
        return;
    }
    let _unmount = Unmount(path);
    let node = satchel_tests::Memcached::start();
    let tomcat = satchel_tests::Tomcat::version(satchel_tests::TomcatVersion::V10_1)
        .context("/", &base.path().join("ROOT"))
        .start();
    let sidecar = satchel_tests::Sidecar::beside(&tomcat).nodes(&[("n1", &node)]).start();
    let mut user = sidecar.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let response = user.get("/kind/small?big=200000");
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(response.header("connection"), Some("close"), "the connection that is closed says so");
    assert_eq!(sidecar.metric("save_failed"), 1);
    assert_eq!(user.get("/kind/small").number("n"), Some(2), "the stored session stays");
    eventually("no lock is left", || node.locks().is_empty());
}

struct Unmount(String);

impl Drop for Unmount {
    fn drop(&mut self) {
        // Lazily: Tomcat may still have it open.
        let _ = std::process::Command::new("umount").args(["-l", &self.0]).status();
    }
}

//! How a session ends, and what does not end it.

use std::thread;

use satchel_tests::{Client, Farm, eventually};

fn assert_ended(user: &mut Client, old: &str) {
    let seen = user.send("GET", "/kind/small?read=1", &[("Cookie", old)], b"");
    assert_eq!((seen.status, seen.field("n").as_deref()), (200, Some("null")), "{}", seen.text());
    assert_eq!(seen.field("valid").as_deref(), Some("false"));
}

#[test]
fn r13_a_logout_whose_client_has_left_is_one() {
    let farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let old = user.cookie_header("/");
    let request = user.start("GET", "/kind/invalidate?ms=500", &[], b"");
    eventually("the logout runs", || farm.counted("invalidated") == 1);
    drop(request);
    eventually("the session has ended", || farm.metric("sessions_invalidated") == 1);
    for sidecar in &farm.sidecars {
        assert_ended(&mut user.at(sidecar.port()), &old);
    }
    farm.await_quiet();
}

#[test]
fn r18_with_locking_none_a_logout_wins_over_a_request_that_still_runs() {
    let farm = Farm::builder().set("session.locking", "\"none\"").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let old = user.cookie_header("/");
    let ran = farm.counted("runs");
    let mut slow = user.at(farm.sidecars[0].port());
    let slow = thread::spawn(move || slow.get("/kind/small?ms=1000&late=1"));
    eventually("the slow request runs", || farm.counted("runs") > ran);
    assert_eq!(user.at(farm.sidecars[1].port()).get("/kind/invalidate").status, 200);
    assert_eq!(slow.join().unwrap().status, 503, "its change is not acknowledged");
    assert_ended(&mut user, &old);
    assert_eq!((farm.metric("sessions_invalidated"), farm.metric("overwritten")), (1, 0));
    farm.await_quiet();
}

#[test]
fn r21_a_login_that_cannot_be_stored_leaves_the_old_session() {
    let farm = Farm::builder().set("session.max_session_size", "\"100k\"").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let old = user.cookie_header("/");
    for _ in 0..2 {
        let refused = user.get("/kind/change-id?big=200000");
        assert_eq!((refused.status, refused.header("set-cookie")), (503, None), "{}", refused.text());
    }
    assert_eq!(user.cookie_header("/"), old);
    assert_eq!(user.get("/kind/small").number("n"), Some(2));
    assert_eq!((farm.metric("too_large"), farm.metric("ids_changed")), (2, 0));
    assert_eq!(user.get("/kind/change-id").number("n"), Some(3), "a smaller one goes on");
    assert_ended(&mut user, &old);
    farm.await_quiet();
}

#[test]
fn r17_a_session_that_vanishes_while_it_is_used_is_not_made_anew() {
    let farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let [record] = &farm.nodes[0].records()[..] else { panic!("one record") };
    let ran = farm.counted("runs");
    let mut same = user.at(farm.sidecars[0].port());
    let slow = thread::spawn(move || same.get("/kind/small?ms=500&late=1"));
    eventually("the request runs", || farm.counted("runs") > ran);
    assert!(farm.nodes[0].delete(record));
    assert_eq!(slow.join().unwrap().status, 503);
    assert_eq!(farm.metric("vanished"), 1);
    let old = user.cookie_header("/");
    assert_ended(&mut user, &old);
    farm.await_quiet();
}

#[test]
fn r06_a_lock_that_is_lost_is_noticed_and_the_store_is_still_fenced() {
    let farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let ran = farm.counted("runs");
    let mut same = user.at(farm.sidecars[0].port());
    let slow = thread::spawn(move || same.get("/kind/small?ms=2500&late=1"));
    eventually("the request runs", || farm.counted("runs") > ran);
    let [lock] = &farm.nodes[0].locks()[..] else { panic!("one lock") };
    assert!(farm.nodes[0].delete(lock));
    // Another one's now.
    assert_eq!(user.at(farm.sidecars[1].port()).get("/kind/small").number("n"), Some(2));
    assert_eq!(slow.join().unwrap().status, 503);
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(2));
    assert_eq!((farm.metric("locks_lost"), farm.metric("conflicts")), (1, 1));
    farm.await_quiet();
}

#[test]
fn r12_a_request_past_max_request_time_is_given_up_and_its_late_save_is_nobodys() {
    let farm = Farm::builder().tomcats(1).set("tomcat.max_request_time", "\"1s\"").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let slow = user.start("GET", "/kind/small?ms=3000&late=1", &[], b"");
    eventually("it is given up", || farm.metric("overtime") == 1);
    drop(slow);
    // Its thread still runs in Tomcat, under the same id: it is waited for, and what it saves is not taken.
    let mut next = None;
    eventually("the session can be used again", || {
        let response = user.get("/kind/small");
        next = response.number("n");
        response.status == 200
    });
    assert_eq!(next, Some(2));
    assert_eq!(user.get("/kind/small").number("n"), Some(3));
    farm.await_quiet();
}

#[test]
fn r11_a_request_that_tomcat_never_read_is_given_up_when_its_client_has_left() {
    let mut farm = Farm::builder().set("tomcat.abandon_time", "\"1s\"").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    farm.tomcats[0].process().stop();
    let request = user.at(farm.sidecars[0].port()).start(
        "GET",
        "/kind/small",
        &[("Cookie", &user.cookie_header("/"))],
        b"",
    );
    eventually("its session is there for Tomcat", || !farm.session_files().is_empty());
    drop(request);
    eventually("it is given up", || farm.metric("abandoned") == 1);
    assert_eq!(
        user.at(farm.sidecars[1].port()).get("/kind/small").number("n"),
        Some(2),
        "the other Tomcat has it"
    );
    farm.tomcats[0].process().cont();
    // The request that was given up may run now: nothing of it may be taken for the next one's.
    let mut back = user.at(farm.sidecars[0].port());
    for n in 3..6 {
        assert_eq!(back.get("/kind/small").number("n"), Some(n));
    }
    farm.await_quiet();
}

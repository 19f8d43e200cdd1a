//! No memcached node can be asked, or takes a session.

use std::thread;

use satchel_tests::farm::Builder;
use satchel_tests::{Client, Farm, Response, eventually};

/// Its response is complete long before Tomcat saves, and leaves after backup_timeout: what it says must come true.
const EARLY: &str = "/kind/flush?ms=500&slow=400";

/// A request that is in Tomcat when every node dies, or hangs.
fn during_an_outage(farm: &mut Farm, user: &Client, path: &'static str, away: fn(&mut Farm)) -> Response {
    let ran = farm.counted("runs");
    let mut same = user.at(farm.sidecars[0].port());
    let slow = thread::spawn(move || same.get(path));
    eventually("the slow request runs", || farm.counted("runs") > ran);
    away(farm);
    slow.join().unwrap()
}

fn hang(farm: &mut Farm) {
    farm.nodes.iter_mut().for_each(|node| node.process().stop());
}

fn go_on(farm: &mut Farm) {
    farm.nodes.iter_mut().for_each(|node| node.process().cont());
    eventually("the nodes are used again", || farm.client().get("/kind/small").status == 200);
}

fn farm() -> Builder {
    Farm::builder().nodes(2).set("memcached.timeout", "\"300ms\"")
}

fn stored(farm: &Farm) {
    eventually("what was kept is stored", || farm.metric("outbox_delivered") == farm.metric("outbox_kept"));
}

#[test]
fn with_no_node_up_a_request_that_names_a_session_is_refused_and_the_rest_works() {
    let mut farm = farm().start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    hang(&mut farm);
    eventually("that is known", || user.get("/kind/small").status == 503);
    let refused = user.get("/kind/small");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.header("set-cookie"), None);
    assert_eq!(farm.client().get("/kind/small?nosession=1").status, 200);
    assert_eq!(farm.client().get("/kind/small").status, 503, "a new session that nobody can store");
    go_on(&mut farm);
    let seen = user.get("/kind/small?read=1");
    assert!(seen.number("n") >= Some(1), "{}", seen.text());
    farm.await_quiet();
}

#[test]
fn a_store_that_fails_everywhere_is_done_when_a_node_is_back() {
    let mut farm = farm().set("session.unheld_uri", "'GET /kind/invalidate.*'").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let told = during_an_outage(&mut farm, &user, EARLY, hang);
    assert_eq!((told.status, told.number("n")), (200, Some(2)), "{}", told.text());
    eventually("it is kept", || farm.metric("outbox_kept") == 1);
    go_on(&mut farm);
    eventually("it is stored, for everybody", || {
        user.at(farm.sidecars[1].port()).get("/kind/small?read=1").number("n") == Some(2)
    });
    stored(&farm);
    assert_eq!(farm.metric("outbox_lost") + farm.metric("conflicts_after_response"), 0);
    // So does a logout.
    let told = during_an_outage(&mut farm, &user, "/kind/invalidate?ms=500", hang);
    assert_eq!(told.status, 200, "{}", told.text());
    eventually("it is kept", || farm.metric("outbox_kept") == 2);
    go_on(&mut farm);
    stored(&farm);
    assert_eq!(user.get("/kind/small?read=1").field("n").as_deref(), Some("null"));
    farm.await_quiet();
}

#[test]
fn what_was_kept_is_never_written_over_what_was_stored_meanwhile() {
    let mut farm = farm().start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let told = during_an_outage(&mut farm, &user, EARLY, hang);
    assert_eq!(told.number("n"), Some(2), "{}", told.text());
    eventually("it is kept", || farm.metric("outbox_kept") == 1);
    // The sidecar that keeps it is stopped until another has gone on with the session.
    farm.sidecars[0].process().stop();
    farm.nodes.iter_mut().for_each(|node| node.process().cont());
    let there = farm.sidecars[1].port();
    eventually("it is served next door", || user.at(there).get("/kind/small").status == 200);
    let last = user.at(there).get("/kind/small").number("n");
    assert!(last >= Some(3), "{last:?}");
    farm.sidecars[0].process().cont();
    eventually("it is given up", || farm.metric("outbox_lost") == 1);
    let seen = user.at(farm.sidecars[0].port()).get("/kind/small?read=1");
    assert_eq!(seen.number("n"), last, "{}", seen.text());
}

#[test]
fn what_does_not_fit_is_refused_aloud() {
    let mut farm =
        farm().set("session.outbox_size", "\"0b\"").set("session.backup_timeout", "\"0ms\"").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let told = during_an_outage(&mut farm, &user, "/kind/small?ms=500&late=1", hang);
    assert_eq!(told.status, 503, "{}", told.text());
    assert_eq!((farm.metric("outbox_full"), farm.metric("outbox_kept")), (1, 0));
    go_on(&mut farm);
    // The last stored state, or what the nodes were sent before they hung and took after all.
    let n = user.get("/kind/small?read=1").number("n");
    assert!(matches!(n, Some(1 | 2)), "{n:?}");
}

#[test]
fn on_store_failure_proceed_goes_on_without_the_session_and_keeps_the_cookie() {
    let mut farm = farm()
        .set("session.on_store_failure", "\"proceed\"")
        .set("session.backup_timeout", "\"0ms\"")
        .set("session.unsaved_header", "\"X-Session-Unsaved\"")
        .start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let told = during_an_outage(&mut farm, &user, "/kind/small?ms=500&late=1", hang);
    assert_eq!((told.status, told.number("n")), (200, Some(2)), "passed on: it is kept");
    assert_eq!(told.header("x-session-unsaved"), Some("1"), "and that is said");
    let without = user.get("/kind/small");
    assert_eq!((without.status, without.number("n")), (200, Some(1)), "{}", without.text());
    assert_eq!(without.header("set-cookie"), None, "his own session comes back");
    assert_eq!(without.header("x-session-unsaved"), Some("1"), "and this one does not");
    assert!(farm.metric("proceeded_without_session") > 0);
    let mut other = farm.client();
    assert_eq!(other.get("/kind/small").number("n"), Some(1), "a new session is kept too");
    go_on(&mut farm);
    for (user, n) in [(&mut user, 2), (&mut other, 1)] {
        eventually("it is there again", || user.get("/kind/small?read=1").number("n") == Some(n));
    }
    stored(&farm);
    farm.await_quiet();
}

#[test]
fn a_stop_waits_until_what_is_kept_is_stored() {
    let mut farm = farm().tomcats(1).start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let told = during_an_outage(&mut farm, &user, EARLY, hang);
    assert_eq!(told.number("n"), Some(2), "{}", told.text());
    eventually("it is kept", || farm.metric("outbox_kept") == 1);
    farm.sidecars[0].process().terminate();
    eventually("it stops", || farm.sidecars[0].log().contains("SIGTERM"));
    farm.nodes.iter_mut().for_each(|node| node.process().cont());
    eventually("it has stopped", || farm.sidecars[0].log().contains("Idle: stopped"));
    farm.sidecars[0].restart();
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(2));
}

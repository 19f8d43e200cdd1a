//! What the settings of the sidecar promise.

use std::thread;

use satchel_tests::{Client, Farm, eventually};

#[test]
fn r09_a_request_waits_for_its_session_at_most_lock_timeout() {
    let farm = Farm::builder().set("session.lock_timeout", "\"300ms\"").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let ran = farm.counted("runs");
    let mut same = user.at(farm.sidecars[0].port());
    let slow = thread::spawn(move || same.get("/kind/small?ms=4000&late=1"));
    eventually("the slow request runs", || farm.counted("runs") > ran);
    // In the other Tomcat it waits for the lock, in the same one for its turn.
    for sidecar in &farm.sidecars {
        let refused = user.at(sidecar.port()).get("/kind/small");
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
        assert_eq!(refused.header("x-satchel-unsent"), Some("1"));
    }
    let refused = user.get("/kind/small");
    assert_eq!(
        (refused.status, refused.header("x-satchel-unsent")),
        (503, None),
        "the gateway keeps it to itself"
    );
    assert!(farm.metric("lock_timeouts") >= 4);
    assert_eq!(slow.join().unwrap().number("n"), Some(2));
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(2));
    farm.await_quiet();
}

/// Responses that are complete before their session is saved: the save takes 400 ms.
fn release_early(farm: &Farm) -> u64 {
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    for n in 1..4 {
        assert_eq!(user.get(&format!("/kind/flush-cl?expect={n}&slow=400")).status, 200);
    }
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(4));
    assert_eq!(farm.counted("mismatches"), 0);
    farm.await_quiet();
    farm.metric("released_unsaved")
}

#[test]
fn r12_past_backup_timeout_a_response_is_released_and_counted() {
    assert!(release_early(&Farm::start()) >= 3);
}

#[test]
fn r12_with_backup_timeout_0_every_response_is_held_until_its_session_is_stored() {
    assert_eq!(release_early(&Farm::builder().set("session.backup_timeout", "\"0ms\"").start()), 0);
}

#[test]
fn r12_with_backup_timeout_0_large_responses_arrive_whole() {
    let farm = Farm::builder().set("session.backup_timeout", "\"0ms\"").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let mut n = 1;
    // Tomcat can't save before its response is read: it is held for a moment only.
    for path in
        ["/kind/large-cl", "/kind/large-chunked", "/kind/large-cl?late=1", "/kind/large-chunked?late=1"]
    {
        let response = user.get(path);
        assert_eq!((response.status, response.body.len()), (200, 200 * 1024), "{path}");
        n += 1;
        assert_eq!(user.get("/kind/small?read=1").number("n"), Some(n), "{path}");
    }
    // A new session in a large response: nothing can be asked meanwhile.
    let mut new = farm.client();
    assert_eq!(new.get("/kind/large-chunked").body.len(), 200 * 1024);
    assert_eq!(new.get("/kind/small").number("n"), Some(2));
    farm.await_quiet();
}

#[test]
fn r12_a_response_whose_session_is_not_stored_yet_is_marked_and_no_other() {
    let farm = Farm::builder()
        .set("session.backup_timeout", "\"0ms\"")
        .set("session.unheld_uri", "'GET /kind/flush-cl.*'")
        .set("session.unsaved_header", "\"X-Session-Unsaved\"")
        .set("session.readonly_uri", "'GET /kind/small.readonly'")
        .start();
    let mut user = farm.client();
    let mut marked = |path: &str| user.get(path).header("x-session-unsaved") == Some("1");
    assert!(!marked("/kind/small") && !marked("/kind/small"));
    assert!(marked("/kind/flush-cl?slow=400"), "released before it was stored");
    assert!(!marked("/kind/small?read=1"));
    assert!(marked("/kind/small?readonly"), "its change is dropped");
    assert!(!marked("/unsent"), "the application's own");
    farm.await_quiet();
    // It is reloaded.
    for sidecar in &farm.sidecars {
        sidecar.reload_with("unsaved_header", "# unsaved_header");
        eventually("it has reloaded", || sidecar.reloads() == 1);
    }
    assert!(!marked("/kind/flush-cl?slow=400"));
    assert!(marked("/unsent"), "it is the application's now");
}

#[test]
fn responses_of_unheld_uris_are_not_held() {
    let farm = Farm::builder()
        .set("session.backup_timeout", "\"0ms\"")
        .set("session.unheld_uri", "'GET /kind/flush-cl.*'")
        .start();
    assert!(release_early(&farm) >= 3);
}

#[test]
fn r14_a_new_session_can_be_used_at_once_although_its_response_was_not_held() {
    let farm = Farm::builder().set("session.unheld_uri", "'.*'").start();
    for _ in 0..20 {
        // Saved some time after the client has its cookie.
        let mut user = Client::new(farm.sidecars[0].port());
        assert_eq!(user.get("/kind/flush-cl?slow=200").status, 200);
        let mut next_door = user.at(farm.sidecars[1].port());
        let response = next_door.get("/kind/small");
        assert_eq!((response.status, response.number("n")), (200, Some(2)), "{}", response.text());
    }
}

#[test]
fn r17_with_locking_none_requests_run_in_parallel_and_the_last_writer_wins() {
    let farm = Farm::builder().set("session.locking", "\"none\"").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let ran = farm.counted("runs");
    let mut same = user.at(farm.sidecars[0].port());
    let slow = thread::spawn(move || same.get("/kind/small?ms=3000"));
    eventually("the slow request runs", || farm.counted("runs") > ran);
    let mut other = user.at(farm.sidecars[1].port());
    for n in 2..6 {
        assert_eq!(other.get("/kind/small").number("n"), Some(n));
    }
    assert!(!slow.is_finished(), "the others did not wait for it");
    assert_eq!(slow.join().unwrap().number("n"), Some(2));
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(2), "the last writer has won");
    assert_eq!(farm.metric("overwritten"), 1);
    assert!(farm.nodes[0].locks().is_empty());
}

#[test]
fn a_larger_body_than_client_max_body_size_is_refused() {
    let farm = Farm::builder().set("client_max_body_size", "\"100k\"").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let body = vec![b'x'; 200_000];
    let refused = user.send("POST", "/upload", &[("Content-Type", "text/plain")], &body);
    assert_eq!(refused.status, 413, "{}", refused.text());
    let chunked = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    let refused = user.send("POST", "/upload", &[("Transfer-Encoding", "chunked")], &chunked);
    assert_eq!(refused.status, 413, "{}", refused.text());
    let taken = user.send("POST", "/upload", &[], &body[..90_000]);
    assert_eq!(taken.number("n"), Some(2), "{} {}", taken.status, taken.text());
    farm.await_quiet();
}

#[test]
fn a_session_above_max_session_size_keeps_its_last_state() {
    let farm = Farm::builder().set("session.max_session_size", "\"50k\"").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small?big=40000").number("n"), Some(1));
    let refused = user.get("/kind/small?big=60000");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(user.get("/kind/small?big=40000").number("n"), Some(2));
    assert_eq!(farm.metric("too_large"), 1);
}

#[test]
fn keys_are_changed_without_losing_a_session() {
    const OLD: &str = "dGVzdCBrZXkgdGVzdCBrZXkgdGVzdCBrZXkgdGVzdCE=";
    const NEW: &str = "bmV3IHRlc3Qga2V5IG5ldyB0ZXN0IGtleSBuZXcga2U=";
    let mut farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let mut n = 1;
    let mut use_it = |user: &Client, farm: &Farm| {
        for sidecar in &farm.sidecars {
            n += 1;
            assert_eq!(user.at(sidecar.port()).get("/kind/small").number("n"), Some(n));
        }
    };
    // As conf/sidecar.toml says: behind the old one everywhere, then in front everywhere, then alone.
    let mut keys = format!("keys = [\"{OLD}\"]");
    for next in [
        format!("keys = [\"{OLD}\", \"{NEW}\"]"),
        format!("keys = [\"{NEW}\", \"{OLD}\"]"),
        format!("keys = [\"{NEW}\"]"),
    ] {
        for which in 0..2 {
            farm.sidecars[which].restart_with(&keys, &next);
            use_it(&user, &farm);
        }
        keys = next;
    }
    assert_eq!(farm.metric("records_rejected"), 0);
}

#[test]
fn encryption_can_be_turned_off_and_that_is_said_aloud() {
    let farm = Farm::builder().set("record.encryption", "\"off\"").set("record.keys", "[]").start();
    let mut user = farm.client();
    for n in 1..4 {
        assert_eq!(user.get("/kind/small").number("n"), Some(n));
    }
    assert!(farm.sidecars[0].log().contains("can run code in Tomcat"));
}

#[test]
fn r16_what_never_reached_tomcat_is_sent_to_another_server() {
    let mut farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    farm.tomcats[0].process().kill9();
    for n in 2..8 {
        let response = user.post("/kind/small", "a=b");
        assert_eq!((response.status, response.number("n")), (200, Some(n)), "{}", response.text());
        assert_eq!(response.header("x-satchel-unsent"), None);
    }
    assert!(farm.metric("unsent") >= 1, "the dead Tomcat's sidecar was asked");
    let mut stranger = Client::new(farm.sidecars[0].port());
    assert_eq!(stranger.get("/kind/small").status, 503);
    farm.await_quiet();
}

#[test]
fn r16_the_application_can_not_have_a_request_sent_twice() {
    let farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    for mut client in [user, farm.client()] {
        let ran = farm.counted("/unsent");
        let response = client.post("/unsent", "a=b");
        assert_eq!((response.status, response.text().trim()), (503, "it has run"));
        assert_eq!(farm.counted("/unsent"), ran + 1);
    }
}

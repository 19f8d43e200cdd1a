//! Every kind of response that a session can be saved before, during or after: each request reads what the
//! one before wrote, on the other Tomcat. Counted by the application as well as by the client.

use satchel_tests::{Farm, TomcatVersion, eventually};

/// Kind, and whether its late phase can write.
const KINDS: [(&str, bool); 16] = [
    ("small", true),
    ("large-cl", true),
    ("large-chunked", true),
    ("flush-cl", true),
    ("flush", true),
    ("closed", true),
    ("forward", true),
    ("forward-wrapped", true),
    ("redirect", true),
    ("senderror", true),
    ("throw", true),
    ("not-modified", true),
    ("missing", true),
    ("change-id", true),
    ("async-complete", true),
    ("async-dispatch", true),
];

/// Requests of each kind; half of them write late.
const REQUESTS: i64 = 50;

/// Tomcats that write in place do not save asynchronous requests (Tomcat's changelog, 10.1.56), and every request costs
/// them a probe.
const KINDS_IN_PLACE: usize = 14;
const REQUESTS_IN_PLACE: i64 = 20;

struct Walk<'a> {
    farm: &'a Farm,
    user: satchel_tests::Client,
    n: i64,
}

impl<'a> Walk<'a> {
    fn new(farm: &'a Farm) -> Self {
        let mut user = farm.client();
        let first = user.get("/kind/small");
        assert_eq!(first.number("n"), Some(1), "{}", first.text());
        Self { farm, user, n: 1 }
    }

    fn step(&mut self, kind: &str, more: &str) {
        let response = self.user.get(&format!("/kind/{kind}?expect={}{more}", self.n));
        let expected = match kind {
            "redirect" => 302,
            "not-modified" => 304,
            "missing" => 404,
            "senderror" | "throw" => 500,
            _ => 200,
        };
        assert_eq!(response.status, expected, "{kind}{more}: {}", response.text());
        self.n += 1;
    }

    fn check(&mut self, kind: &str) {
        let seen = self.user.get("/kind/small?read=1");
        assert_eq!(seen.number("n"), Some(self.n), "{kind}: {}", seen.text());
        assert_eq!(self.farm.counted("mismatches"), 0, "{kind}");
    }
}

fn all_kinds(version: TomcatVersion) {
    if version.home().is_err() {
        return;
    }
    let farm = Farm::builder().version(version).start();
    walk_kinds(&farm, &KINDS, REQUESTS);
    ended(&farm);
    ended_and_new(&farm);
    slow_to_serialize(&farm, REQUESTS / 3);
    new_and_slow_to_serialize(&farm);
    all_is_well(&farm);
}

fn walk_kinds(farm: &Farm, kinds: &[(&str, bool)], requests: i64) {
    let mut written = 0;
    for &(kind, late) in kinds {
        let mut walk = Walk::new(farm);
        for request in 0..requests {
            walk.step(kind, if late && request % 2 == 1 { "&late=1" } else { "" });
        }
        walk.check(kind);
        written += requests + 1;
        assert_eq!(farm.counted("writes"), written, "{kind}");
        assert_eq!(farm.counted(kind) - i64::from(kind == "small") * 2, requests, "{kind}: each ran once");
    }
}

fn all_is_well(farm: &Farm) {
    assert_eq!(farm.counted("mismatches"), 0);
    for counter in [
        "conflicts",
        "conflicts_after_response",
        "save_failed",
        "foreign_files",
        "store_failed",
        "file_errors",
    ] {
        assert_eq!(farm.metric(counter), 0, "{counter}");
    }
    assert!(farm.all_have_served());
    farm.await_quiet();
}

fn ended(farm: &Farm) {
    for _ in 0..REQUESTS / 2 {
        let mut walk = Walk::new(farm);
        let old = walk.user.cookie_header("/");
        assert_eq!(walk.user.get("/kind/invalidate?expect=1").status, 200);
        let seen = walk.user.send("GET", "/kind/small?read=1", &[("Cookie", &old)], b"");
        assert_eq!(seen.field("n").as_deref(), Some("null"), "{}", seen.text());
        assert_eq!(seen.field("valid").as_deref(), Some("false"));
        assert_ne!(
            seen.field("requested").as_deref(),
            Some("null"),
            "the application sees that one was requested"
        );
    }
}

fn ended_and_new(farm: &Farm) {
    let mut walk = Walk::new(farm);
    for _ in 0..REQUESTS {
        let old = walk.user.cookie_header("/");
        walk.step("invalidate-new", "");
        assert_ne!(walk.user.cookie_header("/"), old);
        let seen = walk.user.send("GET", "/kind/small?read=1", &[("Cookie", &old)], b"");
        assert_eq!(seen.field("n").as_deref(), Some("null"), "{}", seen.text());
    }
    walk.check("invalidate-new");
}

fn slow_to_serialize(farm: &Farm, requests: i64) {
    for kind in ["small", "flush-cl", "closed"] {
        let mut walk = Walk::new(farm);
        for _ in 0..requests {
            walk.step(kind, "&slow=300");
        }
        walk.check(kind);
    }
}

/// The first save takes its time as well, and there is no earlier state to fall back on.
fn new_and_slow_to_serialize(farm: &Farm) {
    for kind in ["small", "flush-cl", "closed", "invalidate-new"] {
        let mut user = farm.client();
        if kind == "invalidate-new" {
            assert_eq!(user.get("/kind/small").number("n"), Some(1));
        }
        let created = user.get(&format!("/kind/{kind}?slow=300&big=100000"));
        assert_eq!(created.status, 200, "{kind}: {}", created.text());
        let seen = user.get("/kind/small?read=1");
        assert_eq!(
            seen.number("n"),
            Some(if kind == "invalidate-new" { 2 } else { 1 }),
            "{kind}: {}",
            seen.text()
        );
    }
}

fn kinds_in_place(version: TomcatVersion) {
    if version.home().is_err() {
        return;
    }
    let farm = Farm::builder().version(version).start();
    walk_kinds(&farm, &KINDS[..KINDS_IN_PLACE], REQUESTS_IN_PLACE);
    slow_to_serialize(&farm, REQUESTS_IN_PLACE / 5);
    new_and_slow_to_serialize(&farm);
    all_is_well(&farm);
}

#[test]
fn r10_tomcats_that_write_in_place() {
    kinds_in_place(TomcatVersion::V9_0InPlace);
    kinds_in_place(TomcatVersion::V10_1InPlace);
}

#[test]
fn r14_a_new_session_that_is_saved_long_after_its_response_is_stored() {
    let farm = Farm::start();
    let mut user = farm.client();
    // The response is complete at once; Tomcat goes on for longer than its exchange waits.
    assert_eq!(user.get("/kind/closed?ms=33000").status, 200);
    eventually("the session is stored", || farm.metric("late_sessions") == 1);
    assert_eq!(user.get("/kind/small").number("n"), Some(2));
    assert_eq!(farm.metric("swept_files"), 0);
    farm.await_quiet();
}

#[test]
fn r10_r12_r14_every_kind_on_tomcat_10_1() {
    all_kinds(TomcatVersion::V10_1);
}

#[test]
fn r10_r12_r14_every_kind_on_tomcat_9_0() {
    all_kinds(TomcatVersion::V9_0);
}

#[test]
fn r10_r12_r14_every_kind_on_tomcat_11_0() {
    all_kinds(TomcatVersion::V11_0);
}

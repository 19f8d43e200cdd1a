//! Two copies of each session: any one memcached may die.

use satchel_tests::webapp::App;
use satchel_tests::{Client, Farm, eventually};

fn node_of(user: &Client) -> usize {
    let cookie = user.cookie("JSESSIONID").unwrap();
    let (_, node) = cookie.rsplit_once("-n").unwrap();
    node.parse::<usize>().unwrap() - 1
}

/// A user whose session is on node `node`.
fn user_on(farm: &Farm, node: usize) -> Client {
    loop {
        let mut user = farm.client();
        assert_eq!(user.get("/kind/small").number("n"), Some(1));
        if node_of(&user) == node {
            return user;
        }
    }
}

#[test]
fn r18_a_session_is_on_two_nodes_and_survives_either() {
    for victim in 0..2 {
        let mut farm = Farm::builder().nodes(3).start();
        let mut user = user_on(&farm, 0);
        farm.nodes[victim].process().kill9();
        for n in 2..8 {
            let response = user.get("/kind/small");
            assert_eq!((response.status, response.number("n")), (200, Some(n)), "{}", response.text());
        }
        assert_eq!(node_of(&user), usize::from(victim == 0), "the cookie names where the session is");
        // Two copies again: the next one may go too.
        farm.nodes[1 - victim].process().kill9();
        for n in 8..12 {
            let response = user.get("/kind/small");
            assert_eq!((response.status, response.number("n")), (200, Some(n)), "{}", response.text());
        }
        assert_eq!(node_of(&user), 2);
    }
}

#[test]
fn r24_a_logout_holds_when_the_node_comes_back_with_old_data() {
    for sidecars_restart in [false, true] {
        // Held until it is stored: without a node that takes longer than the usual 100 ms.
        let mut farm = Farm::builder().nodes(3).set("session.backup_timeout", "\"0ms\"").start();
        let mut user = user_on(&farm, 0);
        let old = user.cookie_header("/");
        // It answers nobody, and keeps what it has.
        farm.nodes[0].process().stop();
        let response = user.get("/kind/invalidate");
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(farm.metric("sessions_invalidated"), 1);
        farm.nodes[0].process().cont();
        if sidecars_restart {
            farm.sidecars.iter_mut().for_each(satchel_tests::Sidecar::restart);
        }
        for sidecar in &farm.sidecars {
            let mut late = user.at(sidecar.port());
            eventually("the node is back", || {
                late.send("GET", "/kind/small?read=1", &[("Cookie", &old)], b"").status == 200
            });
            let seen = late.send("GET", "/kind/small?read=1", &[("Cookie", &old)], b"");
            assert_eq!(seen.field("n").as_deref(), Some("null"), "{}", seen.text());
        }
    }
}

#[test]
fn r22_a_moved_sessions_cookie_stays_out_of_shared_caches() {
    let mut farm = Farm::builder().nodes(2).start();
    let mut user = user_on(&farm, 0);
    let attributes = |header: &str| header.split_once(';').unwrap().1.to_owned();
    let mut first = farm.client();
    let given = first.get("/kind/small").header("set-cookie").unwrap().to_owned();
    farm.nodes[0].process().kill9();
    let not_modified = user.send("GET", "/kind/not-modified", &[("Cookie", &user.cookie_header("/"))], b"");
    assert_eq!((not_modified.status, not_modified.header("set-cookie")), (304, None));
    let public = user.send("GET", "/kind/public", &[("Cookie", &user.cookie_header("/"))], b"");
    assert_eq!((public.status, public.header("set-cookie")), (200, None), "a shared cache may keep it");
    let response = user.get("/kind/small");
    let reissued = response.header("set-cookie").unwrap();
    assert!(reissued.contains("-n2;"), "{reissued}");
    assert_eq!(attributes(reissued), attributes(&given));
    assert_eq!(response.header("cache-control"), Some("private"));
    assert_eq!(user.get("/kind/small").header("set-cookie"), None, "once");
}

#[test]
fn r18_a_moved_sessions_cookie_keeps_all_its_attributes() {
    let mut farm = Farm::builder()
        .nodes(2)
        .context("/", App::CookieAttributes)
        .set("session.backup_timeout", "\"0ms\"")
        .start();
    let mut user = farm.client();
    let given = user.get("/kind/small").header("set-cookie").unwrap().to_owned();
    for attribute in
        ["Max-Age=3600", "Expires=", "Domain=shop.example", "Path=/", "Secure", "HttpOnly", "SameSite=Strict"]
    {
        assert!(given.contains(attribute), "{attribute} is not in {given}");
    }
    let (name_and_id, attributes) = given.split_once(';').unwrap();
    let (id, node) = name_and_id.rsplit_once("-n").unwrap();
    let node: usize = node.parse().unwrap();
    farm.nodes[node - 1].process().kill9();
    let response = user.send("GET", "/kind/small", &[("Cookie", name_and_id)], b"");
    assert_eq!(response.number("n"), Some(2), "{}", response.text());
    // When it expires was said for the first one.
    let kept: Vec<_> = attributes.split(';').filter(|one| !one.contains("Expires=")).collect();
    let reissued = format!("{id}-n{};{}", 3 - node, kept.join(";"));
    assert_eq!(response.header("set-cookie"), Some(reissued.as_str()));
}

#[test]
fn r23_a_node_that_hangs_costs_one_timeout_and_no_request_fails() {
    let mut farm = Farm::builder().nodes(2).set("memcached.timeout", "\"500ms\"").start();
    let mut users: Vec<_> = (0..30).map(|n| user_on(&farm, n % 2)).collect();
    farm.nodes[0].process().stop();
    for user in &mut users {
        let response = user.get("/kind/small");
        assert_eq!((response.status, response.number("n")), (200, Some(2)), "{}", response.text());
    }
    // Each sidecar learns it once; every request that waits says so in the log, and so does what looks after its lock.
    let waited: usize =
        farm.sidecars.iter().map(|sidecar| sidecar.log().matches("no answer in time").count()).sum();
    assert!(waited <= 12, "{waited} waits");
    farm.nodes[0].process().cont();
    eventually("it is used again", || {
        farm.sidecars.iter().all(|sidecar| sidecar.log().contains("node n1 is up"))
    });
    for user in &mut users {
        assert_eq!(user.get("/kind/small").number("n"), Some(3));
    }
    farm.await_quiet();
}

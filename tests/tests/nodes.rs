//! Several memcached nodes: where sessions are, and what happens when a node is away.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::time::Instant;

use satchel_tests::{Client, Farm, Link, Memcached, Sidecar, Tomcat, TomcatVersion, eventually, needs};

const SESSIONS: usize = 60;

/// The node in the suffix of the user's cookie, as an index.
fn node_of(user: &Client) -> usize {
    let cookie = user.cookie("JSESSIONID").unwrap();
    let (_, node) = cookie.rsplit_once("-n").unwrap();
    node.parse::<usize>().unwrap() - 1
}

/// Users with a session each.
fn users(farm: &Farm) -> Vec<Client> {
    (0..SESSIONS)
        .map(|_| {
            let mut user = farm.client();
            assert_eq!(user.get("/kind/small").number("n"), Some(1));
            user
        })
        .collect()
}

#[test]
fn r02_new_sessions_are_spread_over_the_nodes_and_found_by_their_suffix() {
    let farm = Farm::builder().nodes(3).set("memcached.copies", "1").start();
    let mut users = users(&farm);
    let mut expected = [0; 3];
    users.iter().for_each(|user| expected[node_of(user)] += 1);
    let stored: Vec<usize> = farm.nodes.iter().map(|node| node.records().len()).collect();
    assert_eq!(stored, expected, "each is where its suffix says");
    assert!(stored.iter().all(|&n| n >= SESSIONS / 10), "{stored:?}");
    for user in &mut users {
        assert_eq!(user.get("/kind/small").number("n"), Some(2));
    }
}

#[test]
fn r02_a_session_is_found_without_a_suffix_and_with_an_unknown_one() {
    let farm = Farm::builder().nodes(3).start();
    for mut user in users(&farm) {
        let cookie = user.cookie("JSESSIONID").unwrap().to_owned();
        let (id, _) = cookie.rsplit_once('-').unwrap();
        for (n, value) in [(2, id.to_owned()), (3, format!("{id}-n9")), (4, cookie.clone())] {
            let header = format!("JSESSIONID={value}");
            let seen = user.send("GET", "/kind/small", &[("Cookie", &header)], b"");
            assert_eq!(seen.number("n"), Some(n), "{value}");
        }
    }
    assert_eq!(farm.metric("sessions_created"), SESSIONS as u64);
}

#[test]
fn r23_a_dead_node_is_not_waited_for_and_comes_back() {
    let mut farm = Farm::builder().nodes(2).set("memcached.copies", "1").start();
    let mut users = users(&farm);
    farm.nodes[0].process().kill9();
    for user in &mut users {
        let response = user.get("/kind/small");
        if node_of(user) == 0 {
            assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
            assert_eq!(
                response.header("set-cookie"),
                None,
                "nobody gets an empty session in place of his own"
            );
        } else {
            assert_eq!(response.number("n"), Some(2));
        }
    }
    for _ in 0..SESSIONS {
        let mut user = farm.client();
        assert_eq!(user.get("/kind/small").number("n"), Some(1));
        assert_eq!(node_of(&user), 1, "new sessions go to the living node");
    }
    assert_eq!(farm.client().get("/kind/small?nosession=1").status, 200);
    farm.nodes[0].restart();
    eventually("the node is used again", || {
        let mut user = farm.client();
        assert_eq!(user.get("/kind/small").status, 200);
        node_of(&user) == 0
    });
}

#[test]
fn r23_a_node_that_hangs_costs_one_timeout_and_comes_back_with_its_sessions() {
    let mut farm = Farm::builder()
        .nodes(2)
        .set("memcached.timeout", "\"500ms\"")
        .set("memcached.copies", "1")
        .tomcats(1)
        .start();
    let mut users = users(&farm);
    farm.nodes[0].process().stop();
    let began = Instant::now();
    let mut hung = 0;
    for user in &mut users {
        let response = user.get("/kind/small");
        hung += i64::from(node_of(user) == 0);
        assert_eq!(response.status == 503, node_of(user) == 0, "{}", response.text());
    }
    assert!(hung > 10, "{hung}");
    // A request that waits leaves two of these in the log: its own, and that of looking after its lock behind it. The first
    // two or three wait, until the node is known to be down.
    let waited = farm.sidecars[0].log().matches("n1: no answer in time").count();
    assert!(waited <= 8, "{waited} waits, in {:?}", began.elapsed());
    farm.nodes[0].process().cont();
    for user in users.iter_mut().filter(|user| node_of(user) == 0) {
        eventually("its session is back", || user.get("/kind/small?read=1").number("n") == Some(1));
    }
    assert!(farm.sidecars[0].log().contains("node n1 is down"));
}

#[test]
fn r23_an_error_answer_does_not_take_a_node_down() {
    // 200 KB are below memcached's item limit and above the memory that it has.
    let farm = Farm::builder().memcached("-m").memcached("2").memcached("-M").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let mut refused = 0;
    for _ in 0..40 {
        let mut other = farm.client();
        refused += i64::from(other.get("/kind/small?big=200000").status == 503);
    }
    assert!(refused > 0, "memcached was never full");
    assert!(farm.metric("node_errors") > 0);
    assert!(!farm.sidecars.iter().any(|sidecar| sidecar.log().contains("is down")));
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(1));
}

#[test]
fn r23_a_node_that_comes_back_at_another_address_is_found_by_its_name() {
    if !rustix::process::geteuid().is_root() {
        needs::skipped("names whose address changes", "that needs root");
        return;
    }
    let (mut before, after) = (Memcached::start(), Memcached::start());
    let port = before.port();
    let hosts = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(hosts.path(), "127.0.0.1 cache.test\n").unwrap();
    let store = tempfile::tempdir_in("/dev/shm").unwrap();
    let tomcat = Tomcat::version(TomcatVersion::V10_1).context("/", &store.path().join("ROOT")).start();
    let nodes = format!("\"n1:cache.test:{port}\"");
    let sidecar = Sidecar::beside(&tomcat).set("memcached.nodes", &nodes).hosts(hosts.path()).start();
    assert_eq!(sidecar.client().get("/kind/small").number("n"), Some(1));
    assert_eq!(before.records().len(), 1);
    before.process().kill9();
    eventually("it is missed", || sidecar.client().get("/kind/small").status == 503);
    let _link = Link::at(SocketAddr::from(([127, 0, 0, 6], port)), after.port());
    std::fs::write(hosts.path(), "127.0.0.6 cache.test\n").unwrap();
    eventually("it is found", || sidecar.client().get("/kind/small").status == 200);
    assert!(!after.records().is_empty());
}

#[test]
fn a_node_may_have_a_name_or_an_ipv6_address() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        needs::skipped("IPv6", "this machine has no ::1");
        return;
    }
    let named = Memcached::start();
    let six = Memcached::with(&["-l", "::1"]);
    let store = tempfile::tempdir_in("/dev/shm").unwrap();
    let tomcat = Tomcat::version(TomcatVersion::V10_1).context("/", &store.path().join("ROOT")).start();
    let nodes = format!("\"n1:localhost:{}, n2:[::1]:{}\"", named.port(), six.port());
    let sidecar =
        Sidecar::beside(&tomcat).set("memcached.nodes", &nodes).set("memcached.copies", "1").start();
    for _ in 0..20 {
        let mut user = sidecar.client();
        for n in 1..3 {
            assert_eq!(user.get("/kind/small").number("n"), Some(n));
        }
    }
    let (named, six) = (named.records().len(), six.records().len());
    assert!(named > 0 && six > 0 && named + six == 20, "{named} and {six}");
}

//! SIGHUP, and what sidecars must have in common.

use satchel_tests::{Client, Farm, Load, Memcached, Sidecar, eventually};

const USERS: usize = 20;
const OLD: &str = "dGVzdCBrZXkgdGVzdCBrZXkgdGVzdCBrZXkgdGVzdCE=";
const NEW: &str = "bmV3IGtleSBuZXcga2V5IG5ldyBrZXkgbmV3IGtleSE=";

fn node_of(user: &Client) -> String {
    let cookie = user.cookie("JSESSIONID").unwrap();
    cookie.rsplit_once('-').unwrap().1.to_owned()
}

/// As in a sidecar's configuration.
fn list(nodes: &[(&str, &Memcached)]) -> String {
    nodes
        .iter()
        .map(|(name, node)| format!("{name}:127.0.0.1:{}", node.port()))
        .collect::<Vec<_>>()
        .join(", ")
}

fn reload(farm: &Farm, find: &str, replace: &str) {
    let before: Vec<_> = farm.sidecars.iter().map(Sidecar::reloads).collect();
    farm.sidecars.iter().for_each(|sidecar| sidecar.reload_with(find, replace));
    eventually("every sidecar has reloaded", || {
        farm.sidecars.iter().zip(&before).all(|(sidecar, before)| sidecar.reloads() > *before)
    });
}

/// A user whose session is on node `name`.
fn user_on(farm: &Farm, name: &str) -> Client {
    loop {
        let mut user = farm.client();
        assert_eq!(user.get("/kind/small").number("n"), Some(1));
        if node_of(&user) == name {
            return user;
        }
    }
}

#[test]
fn r25_under_load_a_node_is_added_one_is_removed_and_the_key_is_changed() {
    let mut farm = Farm::builder().nodes(2).start();
    let third = Memcached::start();
    let (two, three, without) = {
        let (n1, n2) = (&farm.nodes[0], &farm.nodes[1]);
        (
            list(&[("n1", n1), ("n2", n2)]),
            list(&[("n1", n1), ("n2", n2), ("n3", &third)]),
            list(&[("n2", n2), ("n3", &third)]),
        )
    };
    let load = Load::start(farm.gateway.port(), USERS);
    reload(&farm, &two, &three);
    let mut added = user_on(&farm, "n3");
    load.all_served();
    let mut idle = user_on(&farm, "n1");
    reload(&farm, &three, &without);
    load.all_served();
    assert!(farm.metric("moved") > 0);
    let mut keys = format!("keys = [\"{OLD}\"]");
    for next in [
        format!("keys = [\"{OLD}\", \"{NEW}\"]"),
        format!("keys = [\"{NEW}\", \"{OLD}\"]"),
        format!("keys = [\"{NEW}\"]"),
    ] {
        // Every session is sealed anew before the old key goes.
        load.all_served();
        if next.contains(OLD) {
            reload(&farm, &keys, &next);
            keys = next;
        }
    }
    let seen = idle.get("/kind/small");
    assert_eq!(seen.number("n"), Some(2), "a session on a removed node: {}", seen.text());
    assert_ne!(node_of(&idle), "n1", "it has moved");
    assert_eq!(added.get("/kind/small").number("n"), Some(2));
    reload(&farm, &keys, &format!("keys = [\"{NEW}\"]"));
    load.all_served();
    // Nobody needs it any more.
    farm.nodes[0].process().kill9();
    load.all_served();
    let report = load.finish();
    println!("{}", report.summary());
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_eq!(
        (idle.get("/kind/small").number("n"), added.get("/kind/small").number("n")),
        (Some(3), Some(3))
    );
    assert_eq!(farm.metric("records_rejected") + farm.metric("diverged"), 0);
}

#[test]
fn r25_a_sidecar_that_was_not_told_of_a_new_node_sends_its_sessions_to_one_that_was() {
    let farm = Farm::builder().nodes(2).start();
    let third = Memcached::start();
    let two = list(&[("n1", &farm.nodes[0]), ("n2", &farm.nodes[1])]);
    let three = format!("{two}, {}", list(&[("n3", &third)]));
    let load = Load::start(farm.gateway.port(), USERS);
    farm.sidecars[0].reload_with(&two, &three);
    eventually("one has reloaded", || farm.sidecars[0].reloads() == 1);
    let mut user = user_on(&farm, "n3");
    let other = farm.sidecars[1].port();
    let refused = user.at(other).get("/kind/small");
    assert_eq!((refused.status, refused.header("x-satchel-unsent")), (503, Some("1")));
    for n in 2..10 {
        assert_eq!(user.get("/kind/small").number("n"), Some(n), "the gateway finds the one that knows");
    }
    assert!(farm.sidecars[1].log().contains("here [n1 n2], the others [n1 n2 n3]"));
    load.all_served();
    farm.sidecars[1].reload_with(&two, &three);
    eventually("the other has reloaded", || farm.sidecars[1].reloads() == 1);
    eventually("it serves them too", || user.at(other).get("/kind/small?read=1").number("n") == Some(9));
    load.all_served();
    let report = load.finish();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let farm = Farm::builder().tomcats(1).start();
    let sidecar = &farm.sidecars[0];
    let mut user = farm.client();
    for (n, (find, replace, said)) in (1..).zip([
        ("[session]", "[session]\nlock_timeout = \"soon\"", "lock_timeout"),
        ("lock_timeout = \"soon\"", "farm_name = \"x\"", "farm_name"),
        ("farm_name = \"x\"", "node_suffix = \"visible\"", "session.node_suffix cannot be changed"),
        (
            "[session]\nnode_suffix = \"visible\"\nfarm = \"test\"",
            "[session]\nfarm = \"other\"",
            "session.farm cannot",
        ),
    ]) {
        sidecar.reload_with(find, replace);
        eventually("it says why", || sidecar.log().matches("Configuration not reloaded").count() == n);
        assert!(sidecar.log().contains(said), "{said}: {}", sidecar.log());
        assert_eq!(user.get("/kind/small").number("n"), Some(i64::try_from(n).unwrap()));
    }
    let moved = Memcached::start();
    let (before, after) = (farm.nodes[0].port().to_string(), moved.port().to_string());
    sidecar.change("farm = \"other\"", "farm = \"test\"");
    sidecar.reload_with(&before, &after);
    eventually("it says why", || sidecar.log().contains("node n1 was at"));
    sidecar.change(&after, &before);
    // Nobody else could open what it seals.
    let keys = |key| format!("\nkeys = [\"{key}\"]");
    sidecar.reload_with(&keys(OLD), &keys(NEW));
    eventually("it says why", || sidecar.log().contains("is new, and other sidecars could not open"));
    sidecar.change(&keys(NEW), &keys(OLD));
    // Put right, and with something that may change.
    sidecar.reload_with("farm = \"test\"", "farm = \"test\"\nreadonly_uri = 'GET /kind/small'");
    eventually("it reloads", || sidecar.reloads() == 1);
    for _ in 0..2 {
        assert_eq!(user.get("/kind/small").number("n"), Some(5), "its change is dropped");
    }
    // The response does not wait for it.
    eventually("both are counted", || farm.metric("changes_dropped") == 2);
    let both = format!("\nkeys = [\"{OLD}\", \"{NEW}\"]");
    sidecar.reload_with(&keys(OLD), &both);
    eventually("it knows both", || sidecar.reloads() == 2);
    // Nothing that was sealed until now could be opened.
    sidecar.reload_with(&both, &keys(NEW));
    eventually("it says why", || sidecar.log().contains("record.keys: the key that has sealed until now"));
}

#[test]
fn r25_a_sidecar_that_has_something_else_is_refused_at_start() {
    let farm = Farm::builder().nodes(2).start();
    let two = [("n1", &farm.nodes[0]), ("n2", &farm.nodes[1])];
    eventually("what they have is published", || {
        farm.nodes.iter().all(|node| node.keys().iter().any(|key| key.starts_with('f')))
    });
    let beside = || Sidecar::beside(&farm.tomcats[0]);
    for (sidecar, said) in [
        (beside().nodes(&[two[1], two[0]]), "here [n2 n1], the others [n1 n2]"),
        (beside().nodes(&two[..1]), "here [n1], the others [n1 n2]"),
        (beside().nodes(&two).set("record.keys", &format!("[\"{NEW}\"]")), "record.keys"),
        (beside().nodes(&two).set("memcached.copies", "1"), "memcached.copies: here 1, the others 2"),
        (beside().nodes(&two).set("record.index_key", &format!("\"{NEW}\"")), "record.index_key"),
    ] {
        let text = sidecar.refusal();
        assert!(text.contains(said) && text.contains("farm \"test\""), "{text}");
        assert!(!text.contains(NEW), "a key is never printed");
    }
}

#[test]
fn r25_a_node_that_was_removed_is_read_until_its_sessions_have_moved() {
    for copies in ["1", "2"] {
        let mut farm = Farm::builder().nodes(3).set("memcached.copies", copies).start();
        let [n1, n2, n3] = [0, 1, 2].map(|n| (["n1", "n2", "n3"][n], &farm.nodes[n]));
        let (all, left, gone) = (list(&[n1, n2, n3]), list(&[n2, n3]), list(&[n1]));
        let mut users: Vec<_> = (0..5).map(|_| user_on(&farm, "n1")).collect();
        reload(&farm, &all, &left);
        // By the sidecar that was told, and by one that is started later.
        assert_eq!(users[0].get("/kind/small").number("n"), Some(2));
        let retired = format!("\"{left}\"\nretired_nodes = \"{gone}\"");
        let refusal = {
            let beside = Sidecar::beside(&farm.tomcats[0]).nodes(&[n2, n3]).set("memcached.copies", copies);
            beside.refusal()
        };
        assert!(refusal.contains("retired_nodes") && refusal.contains("n1"), "{refusal}");
        farm.sidecars[0].restart_with(&format!("\"{left}\""), &retired);
        for sidecar in &farm.sidecars {
            for user in &mut users[1..] {
                let before = user.at(sidecar.port()).get("/kind/small?read=1").number("n");
                assert_eq!(before, Some(1), "copies = {copies}");
            }
        }
        for user in &mut users {
            let n = user.get("/kind/small?read=1").number("n").unwrap();
            assert_eq!(user.get("/kind/small").number("n"), Some(n + 1));
            assert_ne!(node_of(user), "n1");
        }
        farm.await_quiet();
        farm.nodes[0].process().kill9();
        // Nobody reads it any more, so nobody who starts has to know it.
        eventually("nobody asks for it", || {
            let keys = farm.nodes[1].keys();
            let said = keys.iter().find(|key| key.starts_with('f')).map(|key| farm.nodes[1].get(key).1);
            said.is_some_and(|said| String::from_utf8_lossy(&said).contains("retired \n"))
        });
        farm.sidecars[0].restart_with(&retired, &format!("\"{left}\""));
        for user in &mut users {
            eventually("the node's death is known", || user.get("/kind/small?read=1").status == 200);
            assert!(user.get("/kind/small?read=1").number("n") >= Some(2), "copies = {copies}");
        }
    }
}

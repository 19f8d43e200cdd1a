//! Users go on while memcached nodes die, hang, are cut off and come back.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use satchel_tests::{Client, Farm, Load, Report, Sidecar, eventually, often};

const USERS: usize = 40;
/// How long a node is away.
const AWAY: Duration = Duration::from_secs(3);
const HANGS: Duration = Duration::from_secs(10);

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

/// Whether that is the last that a sidecar's log says of a node.
fn is_down(log: &str, node: usize) -> bool {
    let down = log.rfind(&format!("node n{node} is down"));
    down.is_some_and(|down| !log[down..].contains(&format!("node n{node} is up")))
}

fn all_up(farm: &Farm) {
    eventually("every sidecar uses every node", || {
        let up = |log: String| (1..=farm.nodes.len()).all(|node| !is_down(&log, node));
        farm.sidecars.iter().all(|sidecar| up(sidecar.log()))
    });
}

/// Each node in turn is away and comes back, under load.
fn each_node_in_turn(away: impl Fn(&mut Farm, usize), back: impl Fn(&mut Farm, usize), time: Duration) {
    let report = each_node_in_turn_on(USERS, "/kind/small?ms=5", away, back, time);
    assert!(report.failures.len() * 100 < report.requests, "{}", report.summary());
}

fn each_node_in_turn_on(
    users: usize,
    path: &'static str,
    away: impl Fn(&mut Farm, usize),
    back: impl Fn(&mut Farm, usize),
    time: Duration,
) -> Report {
    let mut farm = Farm::builder().nodes(3).links().start();
    let load = Load::on(farm.gateway.port(), users, path);
    let mut faults = Vec::new();
    for node in 0..3 {
        let began = load.now();
        away(&mut farm, node);
        eventually("every sidecar knows", || {
            farm.sidecars.iter().all(|sidecar| is_down(&sidecar.log(), node + 1))
        });
        // What ran meanwhile has ended: of two requests of one user whose lock was on the node one is refused (R17).
        load.all_served();
        let known = load.now();
        load.go_on(time);
        back(&mut farm, node);
        all_up(&farm);
        // Two copies again, before the next one goes.
        load.all_served();
        faults.push((began, known, load.now()));
    }
    let report = load.finish();
    println!("{}", report.summary());
    for (began, known, ended) in faults {
        let failed = report.failed_between(began, ended);
        let last = failed.iter().map(|failure| failure.failed - began).max();
        println!("{} failed, the last {last:?} after the fault", failed.len());
        let late: Vec<_> = failed.iter().filter(|failure| failure.sent >= known).collect();
        assert!(late.is_empty(), "sent when the node was known to be down: {late:?}");
        // Of three requests at once one is served.
        assert!(failed.len() <= 2 * users, "{failed:?}");
    }
    farm.await_quiet();
    report
}

#[test]
fn r18_r24_each_node_is_killed_in_turn() {
    each_node_in_turn(|farm, n| farm.nodes[n].process().kill9(), |farm, n| farm.nodes[n].restart(), AWAY);
}

/// Larger than an item of memcached may be: in chunks, and one copy after the other.
#[test]
fn r18_r19_each_node_is_killed_in_turn_under_large_sessions() {
    let kill = |farm: &mut Farm, n: usize| farm.nodes[n].process().kill9();
    let path = "/kind/small?big=1500000";
    each_node_in_turn_on(4, path, kill, |farm, n| farm.nodes[n].restart(), AWAY);
}

#[test]
fn r18_r23_r24_each_node_hangs_in_turn() {
    let go_on = |farm: &mut Farm, n: usize| farm.nodes[n].process().cont();
    each_node_in_turn(|farm, n| farm.nodes[n].process().stop(), go_on, HANGS);
}

#[test]
fn r18_r24_each_node_is_cut_off_in_turn() {
    each_node_in_turn(|farm, n| farm.links[n].cut(), |farm, n| farm.links[n].mend(), AWAY);
}

#[test]
fn r18_a_primary_that_dies_under_two_parallel_requests_loses_nothing() {
    let mut farm = Farm::builder().nodes(2).start();
    let mut user = user_on(&farm, 0);
    let (mut told, mut failed) = (BTreeSet::from([1]), 0);
    for _ in 0..often(12, 100) {
        let node = node_of(&user);
        let ran = farm.counted("runs");
        let requests: Vec<_> = farm
            .sidecars
            .iter()
            .flat_map(|sidecar| [user.at(sidecar.port()), user.at(sidecar.port())])
            .map(|mut client| {
                thread::spawn(move || {
                    let response = client.get("/kind/small?ms=20&late=1");
                    (response.status == 200).then(|| (response.number("n"), client))
                })
            })
            .collect();
        eventually("one runs", || farm.counted("runs") > ran);
        farm.nodes[node].process().kill9();
        for request in requests {
            match request.join().unwrap() {
                Some((n, client)) => {
                    let n = n.unwrap();
                    assert!(told.insert(n), "{n} was told twice");
                    if client.cookie("JSESSIONID") != user.cookie("JSESSIONID") {
                        user = client.at(farm.gateway.port());
                    }
                }
                None => failed += 1,
            }
        }
        farm.nodes[node].restart();
        all_up(&farm);
        // On two nodes again.
        eventually("both nodes have it", || {
            let response = user.get("/kind/small");
            match response.status {
                200 => assert!(told.insert(response.number("n").unwrap()), "{}", response.text()),
                _ => failed += 1,
            }
            farm.nodes.iter().all(|node| !node.records().is_empty())
        });
    }
    let seen = user.get("/kind/small?read=1");
    let n = usize::try_from(seen.number("n").unwrap()).unwrap();
    println!("{} were acknowledged, {failed} failed, {n} in the end", told.len());
    assert!((told.len()..=told.len() + failed).contains(&n), "{n} of {} and {failed} failures", told.len());
    assert!(told.last().is_some_and(|last| usize::try_from(*last).unwrap() <= n));
}

/// The session's cookie after each move, and the farm with the nodes that are still cut off.
fn moved(farm: &mut Farm, user: &mut Client, path: &[usize]) -> Vec<String> {
    let mut cookies = vec![user.cookie_header("/")];
    for (step, node) in path.iter().enumerate() {
        farm.links[*node].cut();
        let wanted = (node + 1) % farm.nodes.len();
        eventually("the session has moved", || {
            let response = user.get("/kind/small");
            assert!(
                response.number("n") >= Some(step as i64 + 2) || response.status != 200,
                "{}",
                response.text()
            );
            node_of(user) == wanted
        });
        cookies.push(user.cookie_header("/"));
    }
    cookies
}

#[test]
fn r24_a_logout_while_nodes_were_cut_off_holds_when_they_are_back() {
    // Both orders of two nodes, and three in a row.
    for path in [&[0][..], &[1], &[2], &[0, 1]] {
        let mut farm = Farm::builder().nodes(3).links().set("session.backup_timeout", "\"0ms\"").start();
        let mut user = user_on(&farm, path[0]);
        let cookies = moved(&mut farm, &mut user, path);
        let response = user.get("/kind/invalidate");
        assert_eq!(response.status, 200, "{}", response.text());
        farm.links.iter().for_each(satchel_tests::Link::mend);
        farm.sidecars.iter_mut().for_each(Sidecar::restart);
        for sidecar in &farm.sidecars {
            for cookie in &cookies {
                let mut late = user.at(sidecar.port());
                let seen = late.send("GET", "/kind/small?read=1", &[("Cookie", cookie)], b"");
                assert_eq!((seen.status, seen.field("n").as_deref()), (200, Some("null")), "{}", seen.text());
            }
        }
        let held: usize = farm.nodes.iter().map(|node| node.records().len()).sum();
        assert!(held >= 2, "old data was there: {held}");
    }
}

#[test]
fn r24_the_third_copy_from_when_a_node_was_away_brings_nothing_back() {
    let mut farm = Farm::builder().nodes(3).links().set("session.backup_timeout", "\"0ms\"").start();
    let mut user = user_on(&farm, 0);
    // Others, whose node was another one.
    let others = farm.nodes[2].records().len();
    farm.links[1].cut();
    assert_eq!(user.get("/kind/small").number("n"), Some(2));
    assert_eq!(farm.nodes[2].records().len(), others + 1, "the second copy is on the third node");
    farm.links[1].mend();
    all_up(&farm);
    assert_eq!(user.get("/kind/small").number("n"), Some(3));
    eventually("it is where it belongs, and nowhere else", || farm.nodes[2].records().len() == others);
    let cookie = user.cookie_header("/");
    assert_eq!(user.get("/kind/invalidate").status, 200);
    // Those who know that it has ended forget it.
    farm.nodes[1].restart();
    farm.nodes[0].restart();
    for sidecar in &farm.sidecars {
        let mut late = user.at(sidecar.port());
        let seen = late.send("GET", "/kind/small?read=1", &[("Cookie", &cookie)], b"");
        assert_eq!((seen.status, seen.field("n").as_deref()), (200, Some("null")), "{}", seen.text());
    }
}

#[test]
fn r24_a_node_that_was_away_while_a_session_ended_brings_nothing_back() {
    let mut farm = Farm::builder().nodes(3).links().set("session.backup_timeout", "\"0ms\"").start();
    // The session's first node, and its second one.
    for away in [0, 1] {
        let mut user = user_on(&farm, 0);
        let cookie = user.cookie_header("/");
        let before = farm.nodes[away].records();
        farm.links[away].cut();
        eventually("the session has ended", || user.get("/kind/invalidate").status == 200);
        farm.links[away].mend();
        all_up(&farm);
        eventually("the old copy is gone", || farm.nodes[away].records().len() < before.len());
        // Those who know that it has ended forget it.
        for node in (0..3).filter(|node| *node != away) {
            farm.nodes[node].restart();
        }
        for sidecar in &farm.sidecars {
            let mut late = user.at(sidecar.port());
            let seen = late.send("GET", "/kind/small?read=1", &[("Cookie", &cookie)], b"");
            assert_eq!((seen.status, seen.field("n").as_deref()), (200, Some("null")), "{}", seen.text());
        }
        all_up(&farm);
    }
}

#[test]
fn r26_all_nodes_are_restarted_one_after_the_other() {
    let mut farm = Farm::builder().nodes(3).start();
    let load = Load::start(farm.gateway.port(), USERS / 2);
    for node in &mut farm.nodes {
        node.restart();
        load.go_on(Duration::from_secs(2));
        load.all_served();
    }
    let report = load.finish();
    println!("{}", report.summary());
    farm.await_quiet();
}

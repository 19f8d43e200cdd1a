//! Many requests at once: nothing is lost, nothing is mixed up.

use std::sync::{Arc, Mutex};
use std::thread;

use satchel_tests::{Farm, often};

#[test]
fn r05_r06_parallel_increments_of_one_session_all_count() {
    const CLIENTS: i64 = 8;
    let requests = often(60, 200) as i64;
    let farm = Farm::start();
    let mut first = farm.client();
    assert_eq!(first.get("/kind/small").number("n"), Some(1));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let mut user = first.at(farm.gateway.port());
            scope.spawn(move || {
                for _ in 0..requests {
                    let response = user.get("/kind/small");
                    assert_eq!(response.status, 200, "{}", response.text());
                }
            });
        }
    });
    assert_eq!(first.get("/kind/small?read=1").number("n"), Some(1 + CLIENTS * requests));
    assert_eq!(farm.counted("writes"), 1 + CLIENTS * requests, "no request ran twice");
    assert_eq!(farm.metric("conflicts") + farm.metric("conflicts_after_response"), 0);
    assert!(farm.all_have_served());
    farm.await_quiet();
}

#[test]
fn r21_a_login_survives_parallel_requests_on_the_other_tomcat() {
    let farm = Farm::start();
    let [one, other] = [farm.sidecars[0].port(), farm.sidecars[1].port()];
    for round in 0..often(40, 100) {
        let mut first = farm.client();
        assert_eq!(first.get("/kind/small").number("n"), Some(1));
        // One browser: whatever response comes last sets its cookie last.
        let browser = Arc::new(Mutex::new(first));
        let visit = |port: u16, path: &'static str| {
            let browser = browser.clone();
            move || {
                let mut connection = browser.lock().unwrap().at(port);
                let response = connection.get(path);
                assert_eq!(response.status, 200, "{path}: {}", response.text());
                browser.lock().unwrap().keep_cookies(&response, "/");
            }
        };
        thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(visit(other, "/whoami?create=1"));
            }
            scope.spawn(visit(one, "/login?user=alice"));
        });
        let mut browser = browser.lock().unwrap().at(farm.gateway.port());
        let seen = browser.get("/whoami");
        assert_eq!(seen.field("user").as_deref(), Some("alice"), "round {round}: {}", seen.text());
    }
    farm.await_quiet();
}

#[test]
fn r01_sessions_of_different_users_never_mix() {
    const USERS: usize = 50;
    let requests = often(60, 200) as i64;
    let farm = Farm::start();
    thread::scope(|scope| {
        for number in 0..USERS {
            let mut user = farm.client();
            scope.spawn(move || {
                let name = format!("user{number}");
                user.get(&format!("/set?user={name}"));
                for n in 1..=requests {
                    let response = user.get("/kind/small");
                    assert_eq!(response.field("user"), Some(name.clone()), "{}", response.text());
                    assert_eq!(response.number("n"), Some(n), "{}", response.text());
                }
            });
        }
    });
    assert!(farm.all_have_served());
    farm.await_quiet();
    assert_eq!(farm.nodes[0].records().len(), USERS);
}

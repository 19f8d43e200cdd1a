//! An attacker has his victim log in under an id that the attacker knows.

use std::thread;

use satchel_tests::{Client, Farm, TomcatVersion, eventually, webapp::App};

/// How the id reaches the victim's browser.
#[derive(Debug, Clone, Copy)]
enum Planted {
    Cookie,
    Path,
}

/// A session of the attacker's own, and its id as it stands in his cookie.
fn attacker(farm: &Farm) -> (Client, String) {
    let mut attacker = farm.client();
    assert_eq!(attacker.get("/kind/small").status, 200);
    let id = attacker.cookie("JSESSIONID").unwrap().to_owned();
    (attacker, id)
}

/// What the attacker sees with the id that he knows, at each Tomcat, in a cookie and in the path.
fn assert_outside(farm: &Farm, id: &str, when: &str) {
    for sidecar in &farm.sidecars {
        let mut client = sidecar.client();
        let cookie = format!("JSESSIONID={id}");
        let by_cookie = client.send("GET", "/whoami", &[("Cookie", &cookie)], b"");
        let by_path = sidecar.client().get(&format!("/whoami;jsessionid={id}"));
        for seen in [by_cookie, by_path] {
            assert_eq!(seen.status, 200, "{when}: {}", seen.text());
            assert_eq!(seen.field("user").as_deref(), Some("null"), "{when}: {}", seen.text());
        }
    }
}

#[test]
fn r21_an_id_that_was_planted_before_a_form_login_is_not_the_id_after_it() {
    for version in TomcatVersion::available() {
        let farm = Farm::builder().version(version).context("/", App::Form).start();
        let [one, other] = [farm.sidecars[0].port(), farm.sidecars[1].port()];
        for planted in [Planted::Cookie, Planted::Path] {
            let (attacker, id) = attacker(&farm);
            let (mut victim, parameter) = match planted {
                Planted::Cookie => (attacker.at(one), String::new()),
                Planted::Path => (Client::new(one), format!(";jsessionid={id}")),
            };
            let page = victim.get(&format!("/protected/page{parameter}"));
            assert!(page.text().contains("j_security_check"), "{version:?} {planted:?}: {}", page.text());
            victim = victim.at(other);
            let form = "j_username=alice&j_password=secret";
            let answer = victim.post(&format!("/j_security_check{parameter}"), form);
            assert!(matches!(answer.status, 302 | 303), "{version:?} {planted:?}: {}", answer.text());
            let new = victim.cookie("JSESSIONID").expect("the victim has an id of his own").to_owned();
            assert_ne!(new.split('-').next(), id.split('-').next(), "{version:?} {planted:?}");
            // Tomcat remembers where the victim wanted to go, with the parameter: it names nothing any more.
            let location = answer.header("location").unwrap().to_owned();
            for port in [one, other] {
                let mut victim = victim.at(port);
                for page in ["/protected/page", location.as_str()] {
                    assert_eq!(
                        victim.get(page).field("remote").as_deref(),
                        Some("alice"),
                        "{version:?} {page}"
                    );
                }
                let mut attacker = attacker.at(port);
                let seen = attacker.get("/protected/page");
                assert!(seen.text().contains("j_security_check"), "{version:?} {planted:?}: {}", seen.text());
                let seen = Client::new(port).get(&format!("/protected/page;jsessionid={id}"));
                assert!(seen.text().contains("j_security_check"), "{version:?} {planted:?}: {}", seen.text());
            }
        }
        farm.await_quiet();
    }
}

#[test]
fn r21_nobody_gets_in_with_the_old_id_while_a_login_runs() {
    let farm = Farm::start();
    for round in 0..10 {
        let (attacker, id) = attacker(&farm);
        assert_outside(&farm, &id, "before");
        let mut victim = attacker.at(farm.sidecars[round % 2].port());
        let logins = farm.counted("/login");
        let login = thread::spawn(move || {
            let answer = victim.get("/login?user=alice&ms=300");
            assert_eq!(answer.field("user").as_deref(), Some("alice"), "{}", answer.text());
            victim
        });
        // The application has changed the id, and has not answered yet.
        eventually("the login runs", || farm.counted("/login") > logins);
        assert_outside(&farm, &id, "meanwhile");
        let mut victim = login.join().unwrap();
        assert_outside(&farm, &id, "after");
        let new = victim.cookie("JSESSIONID").unwrap().to_owned();
        assert_ne!(new.split('-').next(), id.split('-').next());
        for sidecar in &farm.sidecars {
            victim = victim.at(sidecar.port());
            assert_eq!(victim.get("/whoami").field("user").as_deref(), Some("alice"));
        }
        // What the attacker makes anew is his own.
        let mut attacker = attacker.at(farm.gateway.port());
        assert_eq!(attacker.get("/set?user=mallory").status, 200);
        assert_eq!(victim.get("/whoami").field("user").as_deref(), Some("alice"));
        assert_ne!(attacker.cookie("JSESSIONID"), victim.cookie("JSESSIONID"));
    }
    farm.await_quiet();
}

#[test]
fn r04_an_id_that_the_attacker_made_up_is_never_a_session() {
    let farm = Farm::start();
    let made_up = "0123456789ABCDEF0123456789ABCDEF-n1";
    for sidecar in &farm.sidecars {
        let cookie = format!("JSESSIONID={made_up}");
        for path in ["/login?user=alice", "/kind/small"] {
            let mut victim = sidecar.client();
            assert_eq!(victim.send("GET", path, &[("Cookie", &cookie)], b"").status, 200);
            assert!(!made_up.starts_with(&victim.cookie("JSESSIONID").unwrap()[..32]));
            let mut victim = sidecar.client();
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            assert_eq!(victim.get(&format!("{path};jsessionid={made_up}?{query}")).status, 200);
            assert!(!made_up.starts_with(&victim.cookie("JSESSIONID").unwrap()[..32]));
        }
        assert_outside(&farm, made_up, "made up");
    }
    farm.await_quiet();
}

//! Container-managed logins: made on one Tomcat, valid on the other.

use satchel_tests::{Farm, TomcatVersion, webapp::App};

#[test]
fn a_form_login_on_one_tomcat_opens_the_page_on_the_other() {
    for version in TomcatVersion::available() {
        let farm = Farm::builder().version(version).context("/", App::Form).start();
        let [one, other] = [farm.sidecars[0].port(), farm.sidecars[1].port()];
        // Every step on the other Tomcat than the step before.
        let mut browser = farm.client().at(one);
        let page = browser.get("/protected/page");
        assert!(page.text().contains("j_security_check"), "{version:?}: {}", page.text());
        browser = browser.at(other);
        let answer = browser.post("/j_security_check", "j_username=alice&j_password=secret");
        assert!(matches!(answer.status, 302 | 303), "{version:?}: {} {}", answer.status, answer.text());
        browser = browser.at(one);
        let page = browser.get("/protected/page");
        assert_eq!(page.field("remote").as_deref(), Some("alice"), "{version:?}: {}", page.text());
        for _ in 0..4 {
            let port = if page.status == 200 { other } else { one };
            browser = browser.at(port);
            assert_eq!(browser.get("/protected/page").field("remote").as_deref(), Some("alice"));
        }
        let mut wrong = farm.client().at(one);
        wrong.get("/protected/page");
        wrong = wrong.at(other);
        assert!(
            wrong.post("/j_security_check", "j_username=alice&j_password=x").text().contains("login failed")
        );
        farm.await_quiet();
    }
}

#[test]
fn r12_with_a_login_for_everything_asking_tomcat_logs_nobody_out() {
    let farm = Farm::builder().context("/", App::FormEverywhere).start();
    let mut browser = farm.client();
    let visit = |browser: &mut satchel_tests::Client| {
        let page = browser.get("/kind/small");
        (page.status, page.number("n"), page.text().contains("j_security_check"))
    };
    assert!(visit(&mut browser).2, "the login page");
    assert_eq!(browser.post("/j_security_check", "j_username=alice&j_password=secret").status, 303);
    assert_eq!(visit(&mut browser), (200, Some(1), false));
    // Not saved: Tomcat is asked, with the session's id. An answer that went through the authenticator would be a login page.
    assert_eq!(browser.get("/unserializable?write=1").status, 503);
    assert_eq!(farm.metric("save_failed"), 1);
    for n in 2..6 {
        assert_eq!(visit(&mut browser), (200, Some(n), false));
    }
    // And so for somebody who has not logged in yet: the page that he wanted is still known.
    let mut stranger = farm.client();
    assert!(visit(&mut stranger).2);
    assert_eq!(stranger.post("/j_security_check", "j_username=alice&j_password=secret").status, 303);
    assert_eq!(visit(&mut stranger), (200, Some(1), false));
    assert_eq!(farm.metric("sessions_invalidated"), 0);
    farm.await_quiet();
}

#[test]
fn a_filter_of_classes_lets_logins_through() {
    for version in TomcatVersion::available() {
        let farm = Farm::builder().version(version).context("/", App::ClassFilter).start();
        let [one, other] = [farm.sidecars[0].port(), farm.sidecars[1].port()];
        let mut browser = farm.client().at(one);
        assert!(browser.get("/protected/page").text().contains("j_security_check"));
        browser = browser.at(other);
        assert_eq!(browser.post("/j_security_check", "j_username=alice&j_password=secret").status / 100, 3);
        for n in 1..4 {
            browser = browser.at(if n % 2 == 0 { one } else { other });
            assert_eq!(
                browser.get("/protected/page").field("remote").as_deref(),
                Some("alice"),
                "{version:?}"
            );
            // Both pages count.
            assert_eq!(browser.get("/kind/small").number("n"), Some(2 * n), "{version:?}");
        }
        farm.await_quiet();
    }
}

#[test]
fn a_basic_login_is_part_of_the_session() {
    for version in TomcatVersion::available() {
        let farm = Farm::builder().version(version).context("/", App::Basic).start();
        let [one, other] = [farm.sidecars[0].port(), farm.sidecars[1].port()];
        let mut browser = farm.client().at(one);
        assert_eq!(browser.get("/protected/page").status, 401);
        let login = [("Authorization", "Basic YWxpY2U6c2VjcmV0")];
        // The session is made by the first authenticated page; the login belongs to it from the next on.
        for port in [one, other, one] {
            browser = browser.at(port);
            let page = browser.send("GET", "/protected/page", &login, b"");
            assert_eq!(page.field("remote").as_deref(), Some("alice"), "{version:?}: {}", page.text());
        }
        browser = browser.at(other);
        let page = browser.get("/protected/page");
        assert_eq!(
            page.field("remote").as_deref(),
            Some("alice"),
            "{version:?}: {} {}",
            page.status,
            page.text()
        );
        assert_eq!(page.number("n"), Some(4));
        farm.await_quiet();
    }
}

//! Several applications behind one sidecar, and requests without session work.

use std::thread;

use satchel_tests::webapp::App;
use satchel_tests::{Farm, Memcached, Sidecar, Tomcat, TomcatVersion, eventually};

#[test]
fn r01_sessions_of_two_contexts_never_mix() {
    let farm = Farm::builder().context("/", App::Plain).context("/app", App::Plain).start();
    let mut user = farm.client();
    for n in 1..=20 {
        assert_eq!(user.get("/kind/small").number("n"), Some(n));
        for _ in 0..2 {
            user.get("/app/kind/small");
        }
        // Sent to /app: ROOT's cookie and its own, both called JSESSIONID.
        assert_eq!(user.cookie_header("/app/x").matches("JSESSIONID").count(), 2);
        assert_eq!(user.get("/app/kind/small?read=1").number("n"), Some(2 * n));
    }
    // ROOT's id names nothing in /app.
    let root: Vec<_> = user.cookies.iter().filter(|cookie| cookie.path == "/").collect();
    let cookie = format!("JSESSIONID={}", root[0].value);
    let seen = user.send("GET", "/app/kind/small?read=1", &[("Cookie", &cookie)], b"");
    assert_eq!(seen.field("n").as_deref(), Some("null"), "{}", seen.text());
    farm.await_quiet();
    assert_eq!(farm.nodes[0].records().len(), 2);
}

#[test]
fn r03_an_ignored_request_is_served_beside_a_slow_one_and_carries_no_id() {
    let farm = Farm::builder().set("session.ignore_uri", r"'.*(\.png|/headers|/set\?.*)$'").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let ran = farm.counted("runs");
    let mut same = user.at(farm.gateway.port());
    let slow = thread::spawn(move || same.get("/kind/small?ms=3000"));
    eventually("the slow page runs", || farm.counted("runs") > ran);
    for _ in 0..4 {
        let image = user.get("/static/pixel.png");
        assert_eq!((image.status, image.header("set-cookie")), (200, None));
        let headers = user.get("/headers").text();
        assert!(!headers.contains("JSESSIONID") && headers.contains("requested=null"), "{headers}");
    }
    assert!(!slow.is_finished(), "the images waited for the page");
    assert_eq!(slow.join().unwrap().number("n"), Some(2));
    // Its response can't replace the user's session, and what it made is removed.
    let response = user.get("/set?user=mallory");
    assert_eq!((response.status, response.header("set-cookie")), (200, None));
    assert_eq!(user.get("/kind/small").number("n"), Some(3));
    eventually("the stray file is swept", || farm.metric("swept_files") == 1);
    farm.await_quiet();
}

#[test]
fn r03_a_path_outside_every_context_gets_no_session_work() {
    let farm = Farm::builder().context("/app", App::Plain).tomcats(1).start();
    let mut user = farm.client();
    assert_eq!(user.get("/app/kind/small").number("n"), Some(1));
    let cookie = user.cookie_header("/app/x");
    let response = user.send("GET", "/elsewhere", &[("Cookie", &cookie)], b"");
    // Tomcat without ROOT answers 404 or, for what no context maps, 500.
    assert!(matches!(response.status, 404 | 500), "{}", response.status);
    assert_eq!(response.header("set-cookie"), None);
    // A path that Tomcat resolves into the context is the context's.
    let seen = user.send("GET", "/elsewhere/../app/kind/small?read=1", &[("Cookie", &cookie)], b"");
    assert_eq!(seen.number("n"), Some(1), "{} {}", seen.status, seen.text());
    assert_eq!(farm.metric("sessions_loaded"), 1);
}

#[test]
fn r02_a_rewritten_location_has_the_suffix() {
    // Without a cookie Tomcat writes the id into links and redirects.
    let farm = Farm::start();
    let mut user = farm.client();
    let response = user.get("/kind/redirect");
    let location = response.header("location").unwrap().to_owned();
    assert!(location.contains(";jsessionid=") && location.contains("-n1"), "{location}");
    let target = location.split_once("//").map_or(location.clone(), |(_, rest)| {
        rest.split_once('/').map_or("/".into(), |(_, path)| format!("/{path}"))
    });
    let seen = farm.client().get(&target);
    assert_eq!(seen.number("n"), Some(1), "{target}: {}", seen.text());
}

#[test]
fn with_a_visible_suffix_the_application_sees_it() {
    let farm = Farm::builder().nodes(2).set("session.node_suffix", "\"visible\"").start();
    let mut user = farm.client();
    user.get("/kind/small");
    for n in 2..10 {
        let seen = user.get("/kind/small");
        assert_eq!(seen.number("n"), Some(n));
        assert_eq!(seen.field("id").as_deref(), user.cookie("JSESSIONID"));
        assert_eq!(seen.field("valid").as_deref(), Some("true"));
    }
    let changed = user.get("/kind/change-id");
    assert_eq!(changed.status, 200);
    assert_eq!(user.get("/kind/small?read=1").number("n"), Some(10));
    assert_eq!(user.get("/kind/small?read=1").field("id").as_deref(), user.cookie("JSESSIONID"));
    user.get("/logout");
    assert_eq!(user.get("/kind/small?read=1").field("n").as_deref(), Some("null"));
    farm.await_quiet();
}

#[test]
fn another_cookie_name_is_no_session() {
    let farm = Farm::builder().tomcats(1).start();
    let mut user = farm.client();
    user.get("/kind/small");
    let id = user.cookie("JSESSIONID").unwrap().to_owned();
    let seen = user.send("GET", "/headers", &[("Cookie", &format!("OTHER={id}; JSESSIONID={id}; a=1"))], b"");
    let text = seen.text();
    let bare = id.split('-').next().unwrap();
    assert!(text.contains(&format!("cookie: JSESSIONID={bare}; OTHER={id}; a=1")), "{text}");
}

#[test]
fn r01_with_one_cookie_for_two_applications_each_has_its_own_session() {
    let farm = Farm::builder().nodes(2).one_cookie(&["/a", "/b"]).start();
    let mut user = farm.client();
    assert_eq!(user.get("/a/login?user=me").status, 200);
    let cookie = user.cookie("JSESSIONID").unwrap().to_owned();
    for n in 1..10 {
        for app in ["/a", "/b"] {
            let response = user.get(&format!("{app}/kind/small"));
            assert_eq!((response.status, response.number("n")), (200, Some(n)), "{app}: {}", response.text());
            assert_eq!(response.field("user").as_deref(), Some(if app == "/a" { "me" } else { "null" }));
            assert_eq!(user.cookie("JSESSIONID"), Some(cookie.as_str()), "one id");
        }
    }
    assert_eq!(user.cookies.len(), 1);
    // The one ends, the other goes on, and the first begins anew under the same id.
    assert_eq!(user.get("/a/kind/invalidate").status, 200);
    assert_eq!(user.get("/b/kind/small").number("n"), Some(10));
    let response = user.get("/a/kind/small");
    assert_eq!((response.number("n"), response.field("user").as_deref()), (Some(1), Some("null")));
    assert_eq!(user.cookie("JSESSIONID"), Some(cookie.as_str()));
    assert_eq!(user.get("/b/kind/small").number("n"), Some(11));
    // An id that nobody has made is not taken over.
    let made_up = "JSESSIONID=00000000000000000000000000000000";
    let response = user.send("GET", "/a/kind/small", &[("Cookie", made_up)], b"");
    let own = response.field("id").unwrap();
    assert!(!made_up.contains(&own) && response.number("n") == Some(1), "{}", response.text());
    farm.await_quiet();
}

#[test]
fn r01_two_virtual_hosts_have_their_own_sessions() {
    let stores = tempfile::tempdir_in("/dev/shm").unwrap();
    let node = Memcached::start();
    let tomcats: Vec<_> = (0..2)
        .map(|n| {
            let tomcat =
                Tomcat::version(TomcatVersion::V10_1).context("/", &stores.path().join(format!("{n}-other")));
            tomcat.virtual_host("shop.example.com", &stores.path().join(format!("{n}-shop"))).launch()
        })
        .collect();
    tomcats.iter().for_each(Tomcat::await_ready);
    let sidecars: Vec<_> = tomcats
        .iter()
        .map(|tomcat| {
            let sidecar = Sidecar::beside(tomcat).nodes(&[("n1", &node)]);
            sidecar.context_line("").context_line("hosts = [\"shop.example.com\"]").start()
        })
        .collect();
    let mut other = sidecars[0].client();
    let mut shop = sidecars[0].client();
    shop.host = "shop.example.com:8080".into();
    for n in 1..10 {
        let port = sidecars[n as usize % 2].port();
        for user in [&mut other, &mut shop] {
            let mut there = user.at(port);
            let response = there.get("/kind/small");
            assert_eq!((response.status, response.number("n")), (200, Some(n)), "{}", response.text());
            *user = there;
        }
    }
    // The one's cookie is nothing at the other.
    shop.cookies = other.cookies.clone();
    assert_eq!(shop.get("/kind/small?read=1").field("n").as_deref(), Some("null"));
}

#[test]
fn tomcats_own_attribute_filter_says_what_is_saved() {
    let farm = Farm::builder().context("/", App::Filtered).start();
    let mut user = farm.client();
    assert_eq!(user.get("/login?user=me").field("user").as_deref(), Some("me"), "while its request runs");
    for n in 1..4 {
        let response = user.get("/kind/small");
        assert_eq!((response.number("n"), response.field("user").as_deref()), (Some(n), Some("null")));
    }
}

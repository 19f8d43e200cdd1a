//! Ids that lie: none reaches the file system or memcached as it is, none creates or revives a session.

use satchel_tests::{Client, Farm, Response};

fn with_cookie(client: &mut Client, path: &str, cookie: &str) -> Response {
    client.send("GET", path, &[("Cookie", cookie)], b"")
}

/// What the application was told of is neither what the client sent nor a session.
fn assert_unknown(response: &Response, sent: &str) {
    assert_eq!(response.status, 200, "{sent:?}: {}", response.text());
    assert_eq!(response.field("n").as_deref(), Some("null"), "{sent:?}: {}", response.text());
    assert_eq!(response.field("valid").as_deref(), Some("false"), "{sent:?}");
    let requested = response.field("requested").unwrap_or_default();
    assert!(
        requested.len() == 32 && requested.bytes().all(|b| b.is_ascii_hexdigit()),
        "{sent:?}: {requested}"
    );
    assert!(!sent.starts_with(&requested), "{sent:?}");
}

#[test]
fn r02_r03_r04_ids_that_lie_are_never_used() {
    let farm = Farm::builder().tomcats(1).nodes(2).start();
    let mut client = farm.client();
    let long = "A".repeat(6_000);
    let lies = [
        "../evil",
        "..%2fevil",
        "%2e%2e%2fevil",
        "%2e%2e",
        "..",
        ".",
        "/etc/passwd",
        "a\\b",
        "a\tb",
        "a\u{e9}",
        "0123456789ABCDEF0123456789ABCDEF",
        "0123456789ABCDEF0123456789ABCDEF-n1",
        "0123456789ABCDEF0123456789ABCDEF-n9",
        "-n1",
        "n1",
        long.as_str(),
    ];
    for lie in lies {
        let response = with_cookie(&mut client, "/kind/small?read=1", &format!("JSESSIONID={lie}"));
        assert_unknown(&response, lie);
    }
    // Past the gateway, which refuses some of them by itself.
    let mut beside = farm.sidecars[0].client();
    for lie in ["..", "..%2fevil", "0123456789ABCDEF0123456789ABCDEF-n1", "%00"] {
        let response = with_cookie(&mut beside, &format!("/kind/small;jsessionid={lie}?read=1"), "a=b");
        assert_unknown(&response, lie);
    }
    // Control bytes are not HTTP.
    assert_eq!(with_cookie(&mut client, "/kind/small?read=1", "JSESSIONID=\x01\x02").status, 400);
    // 10 KB of id is more than the gateway takes, and more than Tomcat would.
    let huge = format!("JSESSIONID={}", "A".repeat(10_240));
    assert_eq!(with_cookie(&mut client, "/kind/small?read=1", &huge).status, 431);
    farm.await_quiet();
    for node in &farm.nodes {
        let mut keys = node.keys();
        // What sidecars say of themselves.
        keys.retain(|key| !key.starts_with('f'));
        assert_eq!(keys, Vec::<String>::new(), "nothing was stored");
    }
    assert_eq!(farm.session_files(), Vec::<std::path::PathBuf>::new());
    let store = farm.stores.path().to_owned();
    let mut found: Vec<_> =
        std::fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    found.sort();
    assert_eq!(found, ["tomcat0-0"], "nothing was written beside the store directory");
}

#[test]
fn r01_an_id_with_another_nodes_suffix_names_nothing() {
    let farm = Farm::builder().tomcats(1).nodes(2).set("memcached.copies", "1").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let cookie = user.cookie("JSESSIONID").unwrap().to_owned();
    let (id, suffix) = cookie.split_once('-').unwrap();
    let wrong = if suffix == "n1" { "n2" } else { "n1" };
    let response = with_cookie(&mut user, "/kind/small?read=1", &format!("JSESSIONID={id}-{wrong}"));
    assert_unknown(&response, id);
    // Without a suffix, or with an unknown one, every node is asked.
    for value in [id.to_owned(), format!("{id}-n7")] {
        let response = with_cookie(&mut user, "/kind/small?read=1", &format!("JSESSIONID={value}"));
        assert_eq!(response.number("n"), Some(1), "{value}: {}", response.text());
    }
    let response = with_cookie(&mut user, &format!("/kind/small;jsessionid={cookie}?read=1"), "a=b");
    assert_eq!(response.number("n"), Some(1), "{}", response.text());
    assert_eq!(farm.nodes.iter().map(|node| node.records().len()).sum::<usize>(), 1);
}

#[test]
fn r01_r04_what_is_nearly_an_id_loads_nothing() {
    let farm = Farm::builder().tomcats(1).nodes(2).set("session.unknown_ids_per_second", "100000").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let cookie = user.cookie("JSESSIONID").unwrap().to_owned();
    let (id, suffix) = cookie.split_once('-').unwrap();
    farm.await_quiet();
    let loaded = farm.metric("sessions_loaded");
    let mut near: Vec<String> = Vec::new();
    for at in 0..id.len() {
        // One hex digit further, one less, one more.
        let mut other = id.as_bytes().to_vec();
        other[at] = if other[at] == b'F' { b'0' } else { b'F' };
        near.push(String::from_utf8(other).unwrap());
        near.push(format!("{}{}", &id[..at], &id[at + 1..]));
        near.push(format!("{}0{}", &id[..at], &id[at..]));
    }
    near.extend([
        id.to_ascii_lowercase(),
        format!("{id}A"),
        format!("A{id}"),
        format!("{id}{id}"),
        format!("{id}.{suffix}"),
        format!("{id}_{suffix}"),
        format!("{id}-{suffix}-{suffix}"),
        format!("{id}-{suffix}-n9-n1"),
        format!("{id}--{suffix}"),
        format!("{id}-{suffix}\u{301}"),
        format!("{id}\u{200b}"),
        format!("\u{ff10}{id}"),
        format!("../{id}"),
        format!("./{id}"),
        format!("{id}/../{id}"),
        format!("%2e%2e%2f{id}"),
        format!("%{:02X}{}", id.as_bytes()[0], &id[1..]),
        format!("{id}%00"),
        format!("{id}%0d%0aget"),
        format!("{id} {id}"),
        format!("{id},{id}"),
        format!("'{id}'"),
        format!("\"{id}"),
        format!("{id}\""),
        format!("\"\"{id}\"\""),
        format!("{id}.session"),
        format!("{id}{}", "A".repeat(200)),
        format!("{id}-{}", "n".repeat(40)),
    ]);
    for lie in &near {
        // In a path it would be the id itself, and a segment behind it.
        let in_path = lie.split('/').next() != Some(id);
        let path = format!("/kind/small;jsessionid={}?read=1", lie.replace(' ', "%20"));
        let forms = [("/kind/small?read=1".to_owned(), format!("JSESSIONID={lie}")), (path, "a=b".into())];
        for (path, cookie) in forms.into_iter().take(1 + usize::from(in_path)) {
            let mut client = farm.sidecars[0].client();
            let seen = client.send("GET", &path, &[("Cookie", &cookie)], b"");
            assert!(matches!(seen.status, 200 | 400 | 404), "{path} {cookie}: {}", seen.text());
            assert!(
                seen.status != 200 || seen.field("n").as_deref() == Some("null"),
                "{path} {cookie}: {}",
                seen.text()
            );
        }
    }
    assert_eq!(farm.metric("sessions_loaded"), loaded, "nothing was handed to Tomcat");
    for name in ["jsessionid", "Jsessionid", "JSESSIONIDX", "JSESSIONI"] {
        let seen = with_cookie(&mut user, "/kind/small?read=1", &format!("{name}={cookie}"));
        assert_eq!(seen.field("n").as_deref(), Some("null"), "{name}: {}", seen.text());
    }
    assert_eq!(user.get("/kind/small").number("n"), Some(2), "the id itself");
    farm.await_quiet();
    assert_eq!(farm.nodes.iter().map(|node| node.records().len()).sum::<usize>(), 2, "and its second copy");
}

#[test]
fn r18_a_logged_out_id_stays_out() {
    let farm = Farm::start();
    let mut user = farm.client();
    user.get("/login?user=alice");
    let cookie = user.cookie_header("/");
    assert_eq!(user.get("/logout").status, 200);
    for _ in 0..4 {
        let seen = with_cookie(&mut user, "/whoami", &cookie);
        assert_eq!(seen.field("user").as_deref(), Some("null"), "{}", seen.text());
        let seen = with_cookie(&mut user, "/kind/small", &cookie);
        assert_eq!(seen.field("user").as_deref(), Some("null"), "{}", seen.text());
        assert!(!cookie.contains(&seen.field("id").unwrap()), "the id is not used again");
    }
}

#[test]
fn r04_of_two_cookies_the_one_that_exists_counts() {
    let farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let good = user.cookie_header("/");
    let bad = "JSESSIONID=0123456789ABCDEF0123456789ABCDEF-n1";
    for both in [format!("{good}; {bad}"), format!("{bad}; {good}"), format!("{bad}; x=y; {bad}; {good}")] {
        let seen = with_cookie(&mut user, "/kind/small?read=1", &both);
        assert_eq!(seen.number("n"), Some(1), "{both}: {}", seen.text());
        let headers = with_cookie(&mut user, "/headers", &both).text();
        assert_eq!(headers.matches("JSESSIONID").count(), 1, "{headers}");
    }
    // At most three are looked up.
    let three = ["A", "B", "C"].map(|c| format!("JSESSIONID={}-n1", c.repeat(32))).join("; ");
    let seen = with_cookie(&mut user, "/kind/small?read=1", &format!("{three}; {good}"));
    assert_eq!(seen.field("n").as_deref(), Some("null"), "{}", seen.text());
}

#[test]
fn r04_a_flood_of_unknown_ids_is_stopped() {
    let farm = Farm::builder().tomcats(1).set("session.unknown_ids_per_second", "5").start();
    let mut client = farm.client();
    let statuses: Vec<u16> = (0..60)
        .map(|n| with_cookie(&mut client, "/kind/small?read=1", &format!("JSESSIONID={n:032X}-n1")).status)
        .collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(farm.metric("unknown_ids_refused") > 0);
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)));
}

#[test]
fn what_tomcat_reads_as_a_session_cookie_is_what_was_looked_up() {
    let farm = Farm::builder().tomcats(1).start();
    let mut user = farm.client();
    user.get("/kind/small");
    let id = "0123456789ABCDEF0123456789ABCDEF";
    for header in [
        format!("a=b,JSESSIONID={id}"),
        format!("a=\"b; JSESSIONID={id}\""),
        format!("JSESSIONID=\"{id}\""),
        format!(" JSESSIONID = {id} "),
        format!("$Version=1; JSESSIONID={id}; $Path=/"),
        format!("\tJSESSIONID={id}"),
        format!("a=b;JSESSIONID={id}"),
        format!("JSESSIONID;JSESSIONID={id}"),
    ] {
        let seen = with_cookie(&mut user, "/kind/small?read=1", &header);
        let requested = seen.field("requested").unwrap_or_default();
        assert_ne!(requested, id, "{header}");
        assert_eq!(seen.field("n").as_deref(), Some("null"), "{header}: {}", seen.text());
    }
}

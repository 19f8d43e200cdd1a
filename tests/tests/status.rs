//! The status pages in a real browser, with sessions in use behind them; and what may change a server there.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use satchel_tests::{Browser, Client, Farm, Gateway, Load, Origin, eventually, ports};
use serde_json::{Value, json};

const SECRET: &str = "test-token-0123456789";

/// A gateway in front of the farm's sidecars that knows their admin addresses. Its admin port.
fn gateway(farm: &Farm, token: Option<&Path>) -> (Gateway, u16) {
    let admin = ports::free();
    let token = token.map(|file| format!("\nadmin_token_file = \"{}\"", file.display()));
    let builder =
        Gateway::builder().set_top(&format!("admin = \"127.0.0.1:{admin}\"{}", token.unwrap_or_default()));
    let gateway = farm.sidecars.iter().fold(builder, |builder, sidecar| {
        builder.server(sidecar.port(), 1).server_line(&format!("admin_port = {}", sidecar.admin_port()))
    });
    (gateway.start(), admin)
}

fn token() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{SECRET}").unwrap();
    file
}

fn status(admin: u16) -> Value {
    serde_json::from_slice(&Client::new(admin).get("/status.json").body).unwrap()
}

/// What a gateway says of the server on this port.
fn server(admin: u16, port: u16) -> Value {
    let status = status(admin);
    let servers = status["upstreams"][0]["servers"].as_array().unwrap();
    servers.iter().find(|server| server["address"] == format!("127.0.0.1:{port}")).unwrap().clone()
}

/// Asks for a change.
fn change(admin: u16, authorization: &str, port: u16, state: &str) -> u16 {
    let body = json!({ "upstream": "tomcats", "server": format!("127.0.0.1:{port}"), "state": state });
    let headers = [("Authorization", authorization), ("Content-Type", "application/json")];
    let headers = if authorization.is_empty() { &headers[1..] } else { &headers[..] };
    Client::new(admin).send("POST", "/servers", headers, body.to_string().as_bytes()).status
}

/// Where pictures go: to `docs/images` with `SATCHEL_SCREENSHOTS` set, which names that directory.
fn pictures() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path =
        std::env::var_os("SATCHEL_SCREENSHOTS").map_or_else(|| directory.path().to_owned(), PathBuf::from);
    (directory, path)
}

/// Nothing of the page is beyond its right edge, and it has the colours that were asked for.
fn fits(browser: &mut Browser, width: u32, dark: bool) {
    browser.view(width, 844, dark);
    let script = "const all = [...document.querySelectorAll('body *')].filter((one) => one.offsetParent && !one.closest('svg'));
        const right = Math.max(...all.map((one) => one.getBoundingClientRect().right));
        return [document.documentElement.scrollWidth, right, getComputedStyle(document.body).backgroundColor]";
    let seen = browser.run(script, &[]);
    assert!(seen[0].as_u64().unwrap() <= u64::from(width), "the page scrolls: {seen}");
    assert!(seen[1].as_f64().unwrap() <= f64::from(width), "something is cut off: {seen}");
    let red: u32 =
        seen[2].as_str().unwrap().trim_start_matches("rgb(").split(',').next().unwrap().parse().unwrap();
    assert_eq!(red < 64, dark, "{seen}");
}

/// What a tile of the page says.
fn tile(browser: &mut Browser, n: usize) -> String {
    browser.text(&format!(".tile:nth-child({n}) .value > span")).unwrap_or_default()
}

/// The values of this tile change while one looks.
fn is_live(browser: &mut Browser, n: usize) {
    eventually("there is a value", || tile(browser, n).starts_with(|c: char| ('1'..='9').contains(&c)));
    let before = tile(browser, n);
    eventually("it changes", || tile(browser, n) != before);
}

#[test]
fn the_pages_are_live_and_a_server_is_drained_and_enabled_by_hand() {
    let farm = Farm::builder().nodes(2).start();
    let token = token();
    let (gateway, admin) = gateway(&farm, Some(token.path()));
    let (_directory, pictures) = pictures();
    let load = Load::start(gateway.port(), 8);
    let mut browser = Browser::start();
    browser.view(1280, 900, false);
    browser.open(&format!("http://127.0.0.1:{admin}/"));
    eventually("it shows the servers", || browser.text("#state").as_deref() == Some("2 servers up"));
    is_live(&mut browser, 1);
    is_live(&mut browser, 2);
    let [first, second] = [0, 1].map(|n| farm.sidecars[n].port());
    let row = |port: u16| format!("#upstreams tr[data-key='127.0.0.1:{port}']");
    let says = |browser: &mut Browser, port: u16, word: &str| {
        browser.text(&row(port)).is_some_and(|text| text.contains(word))
    };
    eventually("it shows both sidecars with their nodes", || {
        browser.text("#sidecars tbody").is_some_and(|text| text.matches("n2").count() == 2)
    });
    if std::env::var_os("SATCHEL_SCREENSHOTS").is_some() {
        // So that the plots are full.
        (0..8).for_each(|_| load.go_on(Duration::from_secs(40)));
    }
    let both = |browser: &mut Browser, name: &str| {
        for (theme, dark) in [("light", false), ("dark", true)] {
            for (size, width) in [("", 1280), ("-phone", 390)] {
                fits(browser, width, dark);
                browser.screenshot(&pictures.join(format!("{name}{size}-{theme}.png")));
            }
        }
        browser.view(1280, 900, false);
    };
    both(&mut browser, "gateway");

    // Drained: first with a wrong token, then with the right one.
    browser.click(&format!("{} button", row(first)));
    assert!(browser.text("#question").unwrap().contains(&format!("Drain 127.0.0.1:{first}?")));
    browser.type_into("#token", "not-the-token-0123");
    browser.click("#go");
    eventually("it is refused", || browser.text("#refused").as_deref() == Some("This is not the token."));
    assert_eq!(server(admin, first)["state"], "up");
    browser.type_into("#token", SECRET);
    browser.screenshot(&pictures.join("gateway-drain.png"));
    browser.click("#go");
    eventually("it is drained", || says(&mut browser, first, "drained"));
    eventually("the page says so", || browser.text("#state").as_deref() == Some("1 of 2 servers drained"));
    eventually("its requests have ended", || server(admin, first)["in_flight"] == 0);
    let before = [first, second].map(|port| server(admin, port)["total"].as_u64().unwrap());
    load.all_served();
    load.all_served();
    assert_eq!(server(admin, first)["total"], before[0], "it gets no more");
    assert!(server(admin, second)["total"].as_u64().unwrap() >= before[1] + 16, "all goes to the other one");
    browser.screenshot(&pictures.join("gateway-drained.png"));

    // A reload does not undo it.
    gateway.reload();
    assert_eq!(server(admin, first)["state"], "drain");

    // Enabled again: the page still has the token.
    eventually("it can be enabled", || says(&mut browser, first, "Enable"));
    browser.click(&format!("{} button", row(first)));
    assert_eq!(browser.run("return document.querySelector('#asked').hidden", &[]), true);
    browser.click("#go");
    eventually("it is up", || browser.text("#state").as_deref() == Some("2 servers up"));
    eventually("it gets requests", || server(admin, first)["total"].as_u64().unwrap() > before[0] + 10);

    browser.open(&format!("http://127.0.0.1:{}/", farm.sidecars[0].admin_port()));
    eventually("it shows the nodes", || browser.text("#state").as_deref() == Some("2 nodes up"));
    is_live(&mut browser, 1);
    is_live(&mut browser, 2);
    eventually("it shows round trips", || {
        browser.text("#nodes tbody").is_some_and(|text| text.contains("µs") || text.contains("ms"))
    });
    both(&mut browser, "sidecar");
    // Chromium notes the wrong token, and nothing that the policy would not allow.
    let complaints = browser.complaints();
    assert!(
        complaints.iter().all(|said| said.contains("/servers") && said.contains("403")),
        "{complaints:?}"
    );
    let report = load.finish();
    assert!(report.failures.is_empty(), "{}", report.summary());
    assert!(!gateway.log().contains(SECRET), "the token is in no log");
    assert!(gateway.log().contains("is drained, as 127.0.0.1:"), "who has done it is");
}

#[test]
fn nothing_is_changed_without_the_token() {
    let farm = Farm::builder().tomcats(1).start();
    let port = farm.sidecars[0].port();
    let token = token();
    for configured in [None, Some(token.path())] {
        let (gateway, admin) = gateway(&farm, configured);
        assert_eq!(status(admin)["can_change"], configured.is_some());
        for authorization in
            ["", "Bearer", "Bearer ", "Bearer test-token-012345678", "Basic test-token-0123456789", SECRET]
        {
            assert_eq!(change(admin, authorization, port, "drain"), 403, "{authorization}");
        }
        let right = format!("Bearer {SECRET}");
        assert_eq!(change(admin, &right, port, "drain"), if configured.is_some() { 200 } else { 403 });
        // A token in an address or in a form is none.
        let in_query = format!("/servers?token={SECRET}&Authorization=Bearer%20{SECRET}");
        let form = format!("token={SECRET}&upstream=tomcats&server=127.0.0.1:{port}&state=up");
        assert_eq!(Client::new(admin).post(&in_query, &form).status, 403);
        let state = server(admin, port)["state"].clone();
        assert_eq!(state, if configured.is_some() { "drain" } else { "up" });
        let denied = Client::new(admin).get("/metrics").text();
        let expected = 7 + u64::from(configured.is_none());
        assert!(denied.contains(&format!("satchel_gateway_admin_denied_total {expected}\n")), "{denied}");
        assert!(gateway.log().contains("had not the token") && !gateway.log().contains("test-token"));
        if configured.is_none() {
            continue;
        }
        for (upstream, server, state, answer) in [
            ("tomcats", "127.0.0.1:1", "drain", 404),
            ("nobody", "127.0.0.1:1", "drain", 404),
            ("tomcats", "tomcat", "drain", 400),
            ("tomcats", "127.0.0.1:1", "down", 400),
        ] {
            let body = json!({ "upstream": upstream, "server": server, "state": state }).to_string();
            let told =
                Client::new(admin).send("POST", "/servers", &[("Authorization", &right)], body.as_bytes());
            assert_eq!(told.status, answer, "{body}: {}", told.text());
        }
        let huge = vec![b' '; 100_000];
        assert_eq!(
            Client::new(admin).send("POST", "/servers", &[("Authorization", &right)], &huge).status,
            413
        );
        assert_eq!(gateway.client().get("/kind/small").status, 503, "no server is left");
        assert_eq!(change(admin, &right, port, "up"), 200);
        assert_eq!(gateway.client().get("/kind/small").status, 200);
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let admin = farm.sidecars[0].admin_port();
        assert_eq!(Client::new(admin).send(method, "/status.json", &[], b"").status, 405, "{method}");
    }
}

#[test]
fn a_server_in_two_upstreams_has_its_sidecar_in_both() {
    let farm = Farm::builder().tomcats(1).start();
    let (port, told) = (farm.sidecars[0].port(), farm.sidecars[0].admin_port());
    let admin = ports::free();
    let upstream = |name: &str| {
        format!(
            "[[upstream]]\nname = \"{name}\"\n[[upstream.server]]\naddress = \"127.0.0.1:{port}\"\nadmin_port = {told}\n"
        )
    };
    let _gateway = Gateway::with(|listen, _| {
        format!(
            "admin = \"127.0.0.1:{admin}\"\n[access_log]\npath = \"off\"\n{}{}\
             [[server]]\nlisten = [\"127.0.0.1:{listen}\"]\nproxy_pass = \"http://one\"\n\
             [[server.location]]\npath = \"/two\"\nproxy_pass = \"http://two\"\n",
            upstream("one"),
            upstream("two")
        )
    });
    let status = status(admin);
    for n in 0..2 {
        let server = &status["upstreams"][n]["servers"][0];
        assert_eq!(server["sidecar"]["program"], "sidecar", "{server:#}");
    }
}

#[test]
fn what_a_sidecar_says_of_itself_is_shown_as_text() {
    const EVIL: &str = "<img src=x id=planted onerror=alert(1)>";
    let node = json!({ "name": EVIL, "up": true, "round_trips": { "rate": 1.0, "p50": null, "p99": null, "rates": [0.0], "level": 1.0 } });
    let said = json!({ "program": "sidecar", "version": EVIL, "farm": EVIL, "nodes": [node], "troubles": [{ "name": EVIL, "count": 1 }] });
    let answer = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{said}",
        said.to_string().len()
    );
    let liar = Origin::with(move |mut client, connection| {
        if connection.read_request(&mut client).is_some() {
            let _ = client.write_all(answer.as_bytes());
        }
    });
    let garbage = Origin::start();
    let (admin, nobody) = (ports::free(), ports::free());
    let _gateway = Gateway::builder()
        .set_top(&format!("admin = \"127.0.0.1:{admin}\""))
        .server(ports::free(), 1)
        .server_line(&format!("admin_port = {}", liar.port()))
        .server(ports::free(), 1)
        .server_line(&format!("admin_port = {}", garbage.port()))
        .server(ports::free(), 1)
        .server_line(&format!("admin_port = {nobody}"))
        .start();
    let mut browser = Browser::start();
    browser.open(&format!("http://127.0.0.1:{admin}/"));
    eventually("it is shown", || browser.text("#sidecars tbody").is_some_and(|text| text.contains(EVIL)));
    assert_eq!(browser.run("return document.querySelectorAll('#planted').length", &[]), 0);
    let text = browser.text("#sidecars tbody").unwrap();
    assert!(
        text.contains("is not understood") && text.contains("efused"),
        "who says nothing is shown, too: {text}"
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(
        browser.run("return document.querySelectorAll('#upstreams button').length", &[]),
        0,
        "no token, no buttons"
    );
}

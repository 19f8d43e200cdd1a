//! The gateway by itself and in front of sidecars.

use std::io::{BufReader, Write};
use std::net::SocketAddr;
use std::thread;

use satchel_tests::client::{connect, read_response};
use satchel_tests::{Farm, Gateway, eventually};

fn raw(port: u16, request: &str) -> u16 {
    let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    read_response(&mut BufReader::new(stream), false).unwrap().status
}

#[test]
fn requests_are_shared_out_in_nginxs_order() {
    let farm = Farm::start();
    let [a, b] = [farm.tomcats[0].port(), farm.tomcats[1].port()];
    let gateway = Gateway::builder().server(a, 3).server(b, 1).start();
    let mut client = gateway.client();
    let order: String = (0..12)
        .map(|_| match client.get("/whoami").field("server").as_deref() {
            Some("127.0.0.2") => 'A',
            Some("127.0.0.3") => 'B',
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, "AABAAABAAABA");
}

#[test]
fn r16_a_post_succeeds_elsewhere_while_a_tomcat_is_dead_behind_its_sidecar() {
    let mut farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    farm.tomcats[0].process().kill9();
    for n in 2..12 {
        let response = user.post("/kind/small", "a=b");
        assert_eq!((response.status, response.number("n")), (200, Some(n)), "{}", response.text());
        assert_eq!(response.header("x-satchel-unsent"), None);
    }
    assert!(farm.sidecars[0].metric("unsent") >= 4, "the dead one was asked too");
    let mut new = farm.client();
    for _ in 0..4 {
        assert_eq!(new.post("/upload?nosession=1", "abc").status, 200);
    }
    farm.tomcats[1].process().kill9();
    let response = user.post("/kind/small", "a=b");
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    assert_eq!(response.header("x-satchel-unsent"), None, "that is between sidecar and gateway");
    assert!(farm.nodes[0].locks().is_empty());
}

#[test]
fn r16_any_request_succeeds_elsewhere_while_a_sidecar_is_dead() {
    let mut farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    farm.sidecars[1].process().kill9();
    for n in 2..12 {
        let response = user.post("/kind/small", "a=b");
        assert_eq!((response.status, response.number("n")), (200, Some(n)), "{}", response.text());
    }
    farm.sidecars[0].process().kill9();
    assert_eq!(user.get("/kind/small").status, 503);
}

#[test]
fn headers_are_set_as_nginx_sets_them() {
    let farm = Farm::start();
    let sent = [("X-Forwarded-For", "6.6.6.6"), ("X-Real-IP", "6.6.6.6"), ("X-Forwarded-Proto", "https")];
    let text = farm.client().send("GET", "/headers", &sent, b"").text();
    for line in [
        "host: tomcats",
        "x-real-ip: 127.0.0.1",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: test",
        "host=tomcats",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!text.contains("6.6.6.6"));
    let gateway = Gateway::builder()
        .server(farm.tomcats[0].port(), 1)
        .set("trusted_proxies = [\"127.0.0.0/8\"]\nproxy_set_header = { Host = \"$http_host\", X-Added = \"$remote_addr!\" }")
        .start();
    let text = gateway.client().send("GET", "/headers", &sent, b"").text();
    for line in
        ["host: test", "x-real-ip: 6.6.6.6", "x-forwarded-for: 6.6.6.6, 127.0.0.1", "x-added: 6.6.6.6!"]
    {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn limits_have_their_status() {
    let farm = Farm::builder().tomcats(1).start();
    let gateway =
        Gateway::builder().server(farm.sidecars[0].port(), 1).set("client_max_body_size = \"10k\"").start();
    let port = gateway.port();
    assert_eq!(gateway.client().post("/upload", &"x".repeat(10_240)).status, 200);
    assert_eq!(gateway.client().post("/upload", &"x".repeat(10_241)).status, 413);
    let chunked = format!(
        "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\n{}\r\n",
        "x".repeat(0x4000)
    );
    assert_eq!(raw(port, &chunked), 413);
    let long = "x".repeat(9_000);
    assert_eq!(raw(port, &format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")), 414);
    assert_eq!(raw(port, &format!("GET / HTTP/1.1\r\nHost: a\r\nA: {long}\r\n\r\n")), 431);
    let many: String = (0..100).map(|n| format!("A{n}: {}\r\n", "x".repeat(400))).collect();
    assert_eq!(raw(port, &format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")), 431);
    let both = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(raw(port, both), 400);
    assert_eq!(gateway.client().get("/kind/small?nosession=1").status, 200);
}

#[test]
fn a_stop_finishes_what_runs_and_ends_when_idle() {
    let mut farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let ran = farm.counted("runs");
    let mut same = user.at(farm.gateway.port());
    let slow = thread::spawn(move || same.get("/kind/small?ms=1500&late=1"));
    eventually("the slow page runs", || farm.counted("runs") > ran);
    farm.gateway.process().terminate();
    farm.sidecars[0].process().terminate();
    farm.sidecars[1].process().terminate();
    let response = slow.join().unwrap();
    assert_eq!((response.status, response.number("n")), (200, Some(2)), "{}", response.text());
    eventually("the gateway has ended", || farm.gateway.process().exit_code() == Some(0));
    for sidecar in &mut farm.sidecars {
        eventually("the sidecar has ended", || sidecar.process().exit_code() == Some(0));
        assert!(sidecar.log().contains("Idle: stopped"));
    }
    assert!(farm.nodes[0].locks().is_empty());
    assert!(farm.session_files().is_empty());
}

#[test]
fn the_access_log_is_nginxs_combined_without_session_ids() {
    let farm = Farm::builder().tomcats(1).start();
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let gateway = Gateway::builder().server(farm.sidecars[0].port(), 1).access_log(&log).start();
    let mut user = gateway.client();
    user.get("/kind/small");
    let id = user.cookie("JSESSIONID").unwrap().to_owned();
    user.send(
        "GET",
        &format!("/kind/small;jsessionid={id}?read=1"),
        &[("User-Agent", "a\"b"), ("Cookie", "x=y")],
        b"",
    );
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("both requests are logged", || read().lines().count() == 2);
    let text = read();
    assert!(text.starts_with("127.0.0.1 - - ["), "{text}");
    assert!(text.contains("] \"GET /kind/small HTTP/1.1\" 200 "), "{text}");
    assert!(text.contains("\"GET /kind/small;jsessionid=-?read=1 HTTP/1.1\" 200 "), "{text}");
    assert!(text.contains("\"a\\x22b\"") && !text.contains(&id), "{text}");
}

#[test]
fn wrong_configurations_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wrong.toml");
    std::fs::write(
        &file,
        "[[upstream]]\nname = \"a\"\n[[upstream.server]]\naddress = \"127.0.0.1:1\"\nweight = 0\n",
    )
    .unwrap();
    for (program, named) in [("gateway", "weight"), ("sidecar", "upstream")] {
        let output = std::process::Command::new(satchel_tests::binaries::binary(program))
            .arg("--test")
            .arg("--config")
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(78));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(named) && text.contains("wrong.toml"), "{text}");
    }
}

#[test]
fn a_wrong_command_line_is_told_from_an_import_that_is_not_complete() {
    let directory = tempfile::tempdir().unwrap();
    let nginx = directory.path().join("nginx.conf");
    let server = "listen 80; location / { proxy_pass http://127.0.0.1:1; js_content x; }";
    std::fs::write(&nginx, format!("events {{}}\nhttp {{ server {{ {server} }} }}\n")).unwrap();
    let nginx = nginx.to_str().unwrap();
    for program in ["gateway", "sidecar"] {
        let run = |arguments: &[&str]| {
            std::process::Command::new(satchel_tests::binaries::binary(program))
                .args(arguments)
                .output()
                .unwrap()
        };
        let code = |arguments: &[&str]| run(arguments).status.code();
        for wrong in [&[][..], &["--nonsense"], &["import"], &["import", "--nonsense", "x"], &["--config"]] {
            assert_eq!(code(wrong), Some(64), "{program} {wrong:?}");
        }
        assert_eq!(code(&["--help"]), Some(0));
        if program == "gateway" {
            assert_eq!(code(&["import", nginx]), Some(2), "{:?}", run(&["import", nginx]));
        }
    }
}

#[test]
fn a_returned_text_has_the_type_that_is_written() {
    let gateway = Gateway::with(|port, _| {
        format!(
            "access_log.path = \"off\"\n[[server]]\nlisten = [\"127.0.0.1:{port}\"]\ncharset = \"utf-8\"\nreturn = \"200 <p>hello</p>\"\n\
             add_header.Content-Type = \"text/html\"\n"
        )
    });
    let response = gateway.client().get("/");
    let types: Vec<_> = response
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(types, ["text/html; charset=utf-8"]);
}

//! The gateway while it is reloaded, replaced by a new process, and stopped, under load of both HTTP versions.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, kill_process};
use satchel_tests::client::connect;
use satchel_tests::{Client, Gateway, Tomcat, TomcatVersion, certificate, eventually, needs, often};

/// Of each HTTP version.
fn requests() -> usize {
    often(5_000, 50_000)
}

/// Of each, before a stop.
const STOP_AFTER: usize = 2_000;

fn tomcat() -> (tempfile::TempDir, Tomcat) {
    let store = tempfile::tempdir_in("/dev/shm").unwrap();
    let tomcat = Tomcat::version(TomcatVersion::V10_1).context("/", &store.path().join("ROOT")).start();
    (store, tomcat)
}

fn config(port: u16, tls: u16, directory: &Path, tomcat: &Tomcat) -> String {
    let (chain, key) = certificate::write(directory, "cert", "localhost");
    format!(
        "upgrade_sock = \"{}\"\naccess_log.path = \"off\"\n[[upstream]]\nname = \"tomcats\"\n[[upstream.server]]\naddress = \
         \"127.0.0.1:{}\"\n[[server]]\nlisten = [\"127.0.0.1:{port}\", \"127.0.0.1:{tls} ssl http2\"]\nssl_certificate = \"{}\"\n\
         ssl_certificate_key = \"{}\"\nproxy_pass = \"http://tomcats\"\nkeepalive_requests = 1000000\n",
        directory.join("upgrade.sock").display(),
        tomcat.port(),
        chain.display(),
        key.display(),
    )
}

/// All requests over HTTP/2. h2load does not connect again when a server says that it goes away, so it is started again.
fn http2(url: String) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut done = 0;
        while done < requests() {
            let left = (requests() - done).to_string();
            let load = Command::new("h2load").args(["-n", &left, "-c", "4", "-m", "4", &url]).output();
            let succeeded = of_h2load(&String::from_utf8_lossy(&load.unwrap().stdout));
            assert!(succeeded > 0);
            done += succeeded;
        }
    })
}

/// How many requests there were. Each that was begun has succeeded.
fn of_h2load(text: &str) -> usize {
    let count = |what: &str| count_of_h2load(text, what);
    let succeeded = count(" succeeded");
    assert_eq!((count(" started"), count(" done"), count(" timeout")), (succeeded, succeeded, 0), "{text}");
    assert!(succeeded == 0 || text.contains(&format!("status codes: {succeeded} 2xx")), "{text}");
    succeeded
}

fn count_of_h2load(text: &str, what: &str) -> usize {
    let line = text.lines().find_map(|line| line.strip_prefix("requests: ")).unwrap_or_default();
    line.split(", ").find_map(|part| part.strip_suffix(what)?.parse().ok()).expect(text)
}

/// As many over HTTP/1.1. (h2load does not count answers without a reason phrase, which Tomcat's are.)
fn http1(url: String) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut done = 0;
        while done < requests() {
            let output = Command::new("wrk").args(["-t1", "-c8", "-d5s", &url]).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(!text.contains("Socket errors"), "{text}");
            done += of_wrk(&text);
        }
    })
}

/// How many requests there were, all of which have succeeded but those whose connection failed.
fn of_wrk(text: &str) -> usize {
    assert!(!text.contains("Non-2xx"), "{text}");
    let count =
        text.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse::<usize>().ok());
    count.expect(text)
}

#[test]
fn no_request_fails_while_the_gateway_is_reloaded_and_replaced() {
    needs::ensure_clients();
    let (_store, tomcat) = tomcat();
    let tls = satchel_tests::ports::free();
    let mut gateway = Gateway::with(|port, directory| config(port, tls, directory, &tomcat));
    let page = "kind/small?nosession=1";
    let loads = [
        http1(format!("http://127.0.0.1:{}/{page}", gateway.port())),
        http2(format!("https://127.0.0.1:{tls}/{page}")),
    ];
    let (mut reloads, mut replaced) = (0, 0);
    let original = std::fs::read_to_string(gateway.directory().join("gateway.toml")).unwrap();
    // Another method, weight, log, timeout, limit and location.
    let other = original
        .replace("name = \"tomcats\"", "name = \"tomcats\"\nmethod = \"least_conn\"")
        .replace("[[server]]", "weight = 3\n[[server]]\nlimit_conn = 1000\nclient_header_timeout = \"30s\"")
        .replace("access_log.path = \"off\"", "access_log.path = \"stdout\"\nlog_level = \"debug\"")
        + "[[server.location]]\npath = \"/kind/\"\nproxy_pass = \"http://tomcats\"\n";
    while loads.iter().any(|load| !load.is_finished()) {
        for text in [&other, &original] {
            std::fs::write(gateway.directory().join("gateway.toml"), text).unwrap();
            gateway.reload();
        }
        reloads += 2;
        if replaced < 2 {
            replaced += 1;
            let mut old = gateway.upgrade(&format!("log{replaced}"));
            eventually("the old process has ended", || old.exit_code() == Some(0));
        }
    }
    for load in loads {
        load.join().unwrap();
    }
    println!("{} requests of each version over {reloads} reloads and {replaced} upgrades", requests());
    assert!(reloads >= 2 && replaced == 2);
}

#[test]
fn no_request_that_was_begun_fails_when_the_gateway_stops() {
    needs::ensure_clients();
    let (_store, tomcat) = tomcat();
    let tls = satchel_tests::ports::free();
    let page = "kind/small?nosession=1";
    let (mut done, mut stops) = ((0, 0), 0);
    while done.0 < requests() || done.1 < requests() {
        let mut gateway = Gateway::with(|port, directory| {
            let log = format!(
                "access_log.format = \"$server_protocol $status\"\naccess_log.path = \"{}\"",
                directory.join("access.log").display()
            );
            config(port, tls, directory, &tomcat).replace("access_log.path = \"off\"", &log)
        });
        let start = |program: &str, arguments: &[&str], url: String| {
            Command::new(program).args(arguments).arg(url).stdout(Stdio::piped()).spawn().unwrap()
        };
        let http1 =
            start("wrk", &["-t1", "-c8", "-d600s"], format!("http://127.0.0.1:{}/{page}", gateway.port()));
        let http2 = start(
            "h2load",
            &["-n", "1000000", "-c", "4", "-m", "4"],
            format!("https://127.0.0.1:{tls}/{page}"),
        );
        let log = gateway.directory().join("access.log");
        let answered = |line: &str| {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            log.lines().filter(|other| *other == line).count()
        };
        eventually("both are in the midst of it", || {
            answered("HTTP/1.1 200") > STOP_AFTER && answered("HTTP/2.0 200") > STOP_AFTER
        });
        gateway.process().terminate();
        eventually("it has ended", || gateway.process().exit_code() == Some(0));
        // wrk says what it has counted.
        kill_process(Pid::from_child(&http1), Signal::INT).unwrap();
        let said =
            |load: Child| String::from_utf8_lossy(&load.wait_with_output().unwrap().stdout).into_owned();
        let (http1, http2) = (said(http1), said(http2));
        // Connections that come after the stop are refused, which wrk counts as writes; no answer is cut or missing.
        let is_whole = http1.contains("connect 0, read 0, write ") && http1.contains(", timeout 0");
        assert!(!http1.contains("Socket errors") || is_whole, "{http1}");
        let (of_1, of_2) = (answered("HTTP/1.1 200"), answered("HTTP/2.0 200"));
        let all = std::fs::read_to_string(&log).unwrap().lines().count();
        assert_eq!(all, of_1 + of_2, "each request that has come has its answer");
        // h2load counts requests that it has not sent when it hears that the server goes away; each answer has come.
        assert_eq!(count_of_h2load(&http2, " succeeded"), of_2, "{http2}");
        assert!(of_wrk(&http1) <= of_1 && http2.contains(" 0 timeout"));
        done = (done.0 + of_1, done.1 + of_2);
        stops += 1;
    }
    println!("{done:?} requests of both versions over {stops} stops");
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let (_store, tomcat) = tomcat();
    let tls = satchel_tests::ports::free();
    let gateway = Gateway::with(|port, directory| config(port, tls, directory, &tomcat));
    let original = std::fs::read_to_string(gateway.directory().join("gateway.toml")).unwrap();
    let other = satchel_tests::ports::free();
    let moved = format!("127.0.0.1:{other}");
    let at = format!("127.0.0.1:{}", gateway.port());
    for (n, (find, replace, said)) in (1..).zip([
        (
            "proxy_pass = \"http://tomcats\"",
            "proxy_pass = \"http://nobody\"",
            "there is no upstream \"nobody\"",
        ),
        ("keepalive_requests = 1000000", "keepalive = 7", "keepalive"),
        ("cert.pem", "none.pem", "cannot read"),
        (at.as_str(), moved.as_str(), "listen cannot be changed by a reload"),
        ("access_log.path = \"off\"", "threads = 3\naccess_log.path = \"off\"", "threads cannot be changed"),
        ("access_log.path = \"off\"", "access_log.path = \"/nowhere/log\"", "cannot open /nowhere/log"),
    ]) {
        gateway.change(find, replace);
        gateway.process_signal_hup();
        eventually("it says why", || gateway.log().matches("Configuration not reloaded").count() == n);
        assert!(gateway.log().contains(said), "{said}: {}", gateway.log());
        assert_eq!(gateway.client().get("/kind/small?nosession=1").status, 200);
        std::fs::write(gateway.directory().join("gateway.toml"), &original).unwrap();
    }
    gateway.reload();
}

#[test]
fn a_reload_changes_logs_and_times_too() {
    let (_store, tomcat) = tomcat();
    let tls = satchel_tests::ports::free();
    let gateway = Gateway::with(|port, directory| config(port, tls, directory, &tomcat));
    let get = || assert_eq!(gateway.client().get("/kind/small?nosession=1").status, 200);
    get();
    let log = gateway.directory().join("access.log");
    gateway.change(
        "access_log.path = \"off\"",
        &format!(
            "stop_timeout = \"5s\"\nresolver.valid = \"7s\"\naccess_log.path = \"{}\"\naccess_log.format = \"$status!\"",
            log.display()
        ),
    );
    gateway
        .change("keepalive_requests = 1000000", "client_header_timeout = \"300ms\"\nkeepalive_requests = 2");
    gateway.reload();
    get();
    eventually("the new log has it", || std::fs::read_to_string(&log).unwrap_or_default() == "200!\n");
    let mut slow = connect(SocketAddr::from(([127, 0, 0, 1], gateway.port()))).unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let mut answer = String::new();
    let _ = slow.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 408"), "the new time counts for new connections: {answer}");
    // Two requests on a connection, no more.
    let mut kept = connect(SocketAddr::from(([127, 0, 0, 1], gateway.port()))).unwrap();
    kept.write_all("GET /kind/small?nosession=1 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3).as_bytes()).unwrap();
    let mut answers = String::new();
    let _ = kept.read_to_string(&mut answers);
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
}

#[test]
fn sigquit_stops_nothing_while_no_process_takes_over() {
    let (_store, tomcat) = tomcat();
    let tls = satchel_tests::ports::free();
    let mut gateway = Gateway::with(|port, directory| config(port, tls, directory, &tomcat));
    eventually("it says why", || {
        // Before it listens for signals, too.
        gateway.process().signal(Signal::QUIT);
        gateway.log().contains("Start one with --upgrade first")
    });
    assert_eq!(gateway.client().get("/kind/small?nosession=1").status, 200);
    gateway.process().terminate();
    eventually("it has ended", || gateway.process().exit_code() == Some(0));
}

#[test]
fn a_stop_says_what_it_cuts_off() {
    let (_store, tomcat) = tomcat();
    let tls = satchel_tests::ports::free();
    let mut gateway = Gateway::with(|port, directory| {
        format!("stop_timeout = \"500ms\"\n{}", config(port, tls, directory, &tomcat))
    });
    let request = gateway.client().start("GET", "/kind/small?nosession=1&ms=20000", &[], b"");
    eventually("it runs", || Client::new(tomcat.port()).get("/stats?key=runs").number("count") == Some(1));
    gateway.process().terminate();
    eventually("it has ended", || gateway.process().exit_code() == Some(0));
    assert!(gateway.log().contains("1 requests are cut off"), "{}", gateway.log());
    drop(request);
}

#[test]
fn what_cannot_be_listened_on_ends_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    std::fs::write(
        &file,
        format!(
            "[[upstream]]\nname = \"t\"\n[[upstream.server]]\naddress = \"127.0.0.1:9\"\n[[server]]\nlisten = [\"{address}\"]\nproxy_pass = \
             \"http://t\"\n"
        ),
    )
    .unwrap();
    let output =
        Command::new(satchel_tests::binaries::binary("gateway")).arg("-c").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains(&format!("cannot listen on {address}")) && said.contains("ss -ltnp"), "{said}");
}

#[test]
fn a_port_of_both_families_is_listened_on_twice() {
    let (_store, tomcat) = tomcat();
    let port = satchel_tests::ports::free();
    let config = format!(
        "access_log.format = \"[$remote_addr]\"\n[[upstream]]\nname = \"t\"\n[[upstream.server]]\naddress = \"127.0.0.1:{}\"\n[[server]]\nlisten = \
         [\"0.0.0.0:{port}\", \"[::]:{port}\", \"127.0.0.1:{port}\"]\nproxy_pass = \"http://t\"\n",
        tomcat.port()
    );
    let gateway = Gateway::run(&config, SocketAddr::from(([127, 0, 0, 1], port)));
    assert_eq!(gateway.client().get("/kind/small?nosession=1").status, 200);
    let output = Command::new("curl")
        .args([
            "-sg",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            &format!("http://[::1]:{port}/kind/small?nosession=1"),
        ])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "200");
    eventually("both are logged as they came", || {
        let log = gateway.log();
        log.contains("[127.0.0.1]\n") && log.contains("[::1]\n")
    });
}

#[test]
fn a_stop_finishes_requests_of_both_versions() {
    needs::ensure_clients();
    let (_store, tomcat) = tomcat();
    let tls = satchel_tests::ports::free();
    let mut gateway = Gateway::with(|port, directory| config(port, tls, directory, &tomcat));
    let page = "kind/small?nosession=1&ms=2000";
    let urls =
        [format!("http://127.0.0.1:{}/{page}", gateway.port()), format!("https://127.0.0.1:{tls}/{page}")];
    let requests: Vec<Child> = urls
        .iter()
        .flat_map(|url| std::iter::repeat_n(url, 4))
        .map(|url| {
            let arguments = ["-sk", "--http2", "-o", "/dev/null", "-w", "%{http_code} %{http_version}"];
            Command::new("curl").args(arguments).arg(url).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let running = || Client::new(tomcat.port()).get("/stats?key=runs").number("count") == Some(8);
    eventually("all run", running);
    gateway.process().terminate();
    let answers: Vec<String> = requests
        .into_iter()
        .map(|request| String::from_utf8(request.wait_with_output().unwrap().stdout).unwrap())
        .collect();
    assert_eq!(answers, ["200 1.1", "200 1.1", "200 1.1", "200 1.1", "200 2", "200 2", "200 2", "200 2"]);
    eventually("it has ended", || gateway.process().exit_code() == Some(0));
}

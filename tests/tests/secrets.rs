//! What the programs say, anywhere: no key, no whole session id, no password.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use satchel_tests::client::connect;
use satchel_tests::sidecar::KEY;
use satchel_tests::{
    Client, Farm, Gateway, Memcached, Origin, Sidecar, binaries, certificate, eventually, ports,
};

const PASSWORD: &str = "open-sesame-73501";
/// `alice:open-sesame-73501`.
const BASIC: &str = "YWxpY2U6b3Blbi1zZXNhbWUtNzM1MDE=";

/// What `--test` says of a configuration that is wrong.
fn refusal(program: &str, directory: &Path, text: &str) -> String {
    let file = directory.join("refused.toml");
    std::fs::write(&file, text).unwrap();
    let output = Command::new(binaries::binary(program)).args(["--test", "-c"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{text}");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn no_error_of_a_configuration_shows_a_key() {
    let directory = tempfile::tempdir().unwrap();
    let good = format!(
        "listen = \"127.0.0.1:1\"\n[tomcat]\naddress = \"127.0.0.1:2\"\n[[context]]\npath = \"/\"\ndirectory = \"/dev/shm/x\"\n[memcached]\n\
         nodes = \"n1:127.0.0.1:3\"\n[record]\nkeys = [\"{KEY}\"]\nindex_key = \"{KEY}\"\n"
    );
    let list = format!("keys = [\"{KEY}\"]");
    let index = format!("index_key = \"{KEY}\"");
    for (find, replace) in [
        (&list, format!("keys = \"{KEY}\"")),
        (&list, format!("keys = \"{KEY},{KEY}\"")),
        (&list, format!("keys = {KEY}")),
        (&list, format!("keys = [{KEY}]")),
        (&list, format!("keys = [\n{KEY}\n]")),
        (&list, format!("keys = [\"{KEY}")),
        (&list, format!("keys = [\"{KEY}\" \"{KEY}\"]")),
        (&list, format!("keys = [\"{KEY}\", 7]")),
        (&list, format!("keys = [[\"{KEY}\"]]")),
        (&list, format!("keys = {{ a = \"{KEY}\" }}")),
        (&list, format!("keys = [\"{KEY}AAAA\"]")),
        (&list, format!("keys = [\"{}\"]", &KEY[..40])),
        (&list, format!("key = [\"{KEY}\"]")),
        (&list, format!("keys = [\"{KEY}\"]\nkeys = [\"{KEY}\"]")),
        (&list, format!("encryption = \"{KEY}\"\n{list}")),
        (&list, format!("encryption = \"off\"\n{list}")),
        (&list, format!("{KEY} = 1\n{list}")),
        (&index, format!("index_key = [\"{KEY}\"]")),
        (&index, format!("index_key = \"{KEY}\" \"{KEY}\"")),
        (&index, format!("index_key = '{KEY}")),
        (&index, format!("index_key = {KEY}")),
        (&index, format!("index-key = \"{KEY}\"")),
        (&index, String::new()),
    ] {
        assert!(good.contains(find.as_str()), "{find}");
        let said = refusal("sidecar", directory.path(), &good.replacen(find.as_str(), &replace, 1));
        assert!(!said.contains(&KEY[..12]) && !said.contains(&KEY[24..36]), "{replace}: {said}");
        assert!(said.contains("refused.toml: "), "{said}");
    }
}

#[test]
fn no_error_of_a_certificate_shows_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = certificate::write(directory.path(), "cert", "localhost");
    let (other, _) = certificate::write(directory.path(), "other", "localhost");
    let pem = std::fs::read_to_string(&key).unwrap();
    let (cut, bad) = (directory.path().join("cut.key"), directory.path().join("bad.key"));
    std::fs::write(&cut, &pem[..pem.len() / 2]).unwrap();
    std::fs::write(&bad, pem.replacen('A', "!", 1)).unwrap();
    for (chain, key) in [(&other, &key), (&chain, &cut), (&chain, &bad), (&key, &key), (&chain, &chain)] {
        let said = refusal(
            "gateway",
            directory.path(),
            &format!(
                "[[server]]\nlisten = [\"127.0.0.1:1 ssl\"]\nreturn = \"204\"\nssl_certificate = \"{}\"\nssl_certificate_key = \"{}\"\n",
                chain.display(),
                key.display()
            ),
        );
        let secret =
            pem.lines().filter(|line| !line.starts_with('-')).flat_map(|line| line.as_bytes().chunks(16));
        for part in secret.map(String::from_utf8_lossy).filter(|part| part.len() == 16) {
            assert!(!said.contains(&*part), "{said}");
        }
        assert!(said.contains("ssl_certificate"), "{said}");
    }
}

/// Sends bytes, and reads until the end.
fn raw(port: u16, bytes: &str) {
    let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    let _ = stream.write_all(bytes.as_bytes());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Requests that are wrong somewhere, with everything that must not be said.
fn ask_wrongly(port: u16, cookie: &str) {
    let secrets = format!("Cookie: {cookie}\r\nAuthorization: Basic {BASIC}\r\n");
    let head = |method: &str, more: &str| {
        format!("{method} /kind/small HTTP/1.1\r\nHost: test\r\n{secrets}{more}\r\n")
    };
    for request in [
        head("GET", "Broken header\r\n"),
        head("GET", "Content-Length: x\r\n"),
        head("POST", "Content-Length: 900\r\n") + PASSWORD,
        head("POST", "Transfer-Encoding: chunked\r\n") + "zz\r\n" + PASSWORD + "\r\n",
        head("POST", "Transfer-Encoding: chunked\r\n") + "5\r\n" + PASSWORD + "\r\n0\r\n\r\n",
        head("GET", &format!("X: {}\r\n", "x".repeat(70_000))),
        head("G\u{1}T", ""),
        format!("GET /kind/small;{cookie} HTTP/1.1\r\n{secrets}"),
        format!("{secrets}\r\n"),
    ] {
        raw(port, &request);
    }
}

#[test]
fn no_log_no_counter_and_no_status_has_a_secret() {
    let mut farm =
        Farm::builder().set("log_level", "\"debug\"").set("session.lock_timeout", "\"500ms\"").start();
    let other = Memcached::start();
    let (directory, stores) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
    // Answers that are wrong, with a session's cookie in them.
    let leak = "LEAK0123456789ABCDEF0123456789AB";
    let answers = [
        format!("HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID={leak}\r\nBroken header\r\n\r\n"),
        format!(
            "HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID={leak}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{PASSWORD}"
        ),
        format!("Set-Cookie: JSESSIONID={leak}\r\n\r\n"),
    ];
    let next = std::sync::atomic::AtomicUsize::new(0);
    let origin = Origin::with(move |mut stream, _| {
        let _ = stream.read(&mut [0; 4096]);
        let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let _ = stream.write_all(answers[n % answers.len()].as_bytes());
    });
    let beside = Sidecar::beside(&farm.tomcats[0])
        .nodes(&[("n1", &other)])
        .set("session.farm", "\"other\"")
        .set("tomcat.max_request_time", "\"1s\"")
        .set("tomcat.address", &format!("\"127.0.0.1:{}\"", origin.port()))
        .set("log_level", "\"debug\"")
        .directories_below(stores.path())
        .start();
    let (admin, access) = (ports::free(), directory.path().join("access.log"));
    let gateway = Gateway::builder()
        .set_top(&format!("log_level = \"debug\"\nadmin = \"127.0.0.1:{admin}\""))
        .server(farm.sidecars[0].port(), 1)
        .server(farm.sidecars[1].port(), 1)
        .server(beside.port(), 1)
        .access_log(&access)
        .set(&format!(
            "[[server.location]]\npath = \"/broken\"\nproxy_pass = \"http://127.0.0.1:{}\"",
            origin.port()
        ))
        .start();

    let mut ids = vec![leak.to_owned()];
    let mut users: Vec<Client> = (0..3).map(|_| farm.client().at(gateway.port())).collect();
    for user in &mut users {
        *user = user.at(farm.sidecars[0].port());
        assert_eq!(user.get("/kind/small").number("n"), Some(1));
        assert_eq!(user.get("/login?user=alice").status, 200);
        ids.push(user.cookie("JSESSIONID").unwrap().split('-').next().unwrap().to_owned());
    }
    let cookie = users[0].cookie_header("/");
    for user in &users {
        let mut user = user.at(gateway.port());
        let id = user.cookie("JSESSIONID").unwrap().to_owned();
        for path in [
            "/kind/small",
            "/unserializable",
            "/kind/flush-cl?slow=300",
            &format!("/kind/small;jsessionid={id}"),
        ] {
            for _ in 0..4 {
                let header = [("Authorization", format!("Basic {BASIC}"))];
                let header: Vec<_> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let _ = user.try_send("GET", path, &header, b"");
            }
        }
    }
    for _ in 0..6 {
        let _ = users[0].at(gateway.port()).try_send("GET", "/broken", &[], b"");
    }
    for port in [gateway.port(), beside.port(), farm.sidecars[0].port()] {
        ask_wrongly(port, &cookie);
    }
    // What memcached gives back is no record, then memcached is gone, then Tomcat.
    for key in farm.nodes[0].records() {
        farm.nodes[0].set(&key, 1, b"not a record");
    }
    for user in &users {
        let _ = user.at(farm.sidecars[0].port()).try_send("GET", "/kind/small", &[], b"");
    }
    // A reload of a file that is wrong.
    farm.sidecars[0].reload_with(&format!("keys = [\"{KEY}\"]"), &format!("keys = \"{KEY}\""));
    eventually("it is refused", || farm.sidecars[0].log().contains("not reloaded"));
    let metrics: Vec<String> =
        [farm.sidecars[0].admin_port(), farm.sidecars[1].admin_port(), beside.admin_port(), admin]
            .iter()
            .flat_map(|port| {
                ["/metrics", "/ready", "/status", "/"].map(|path| Client::new(*port).get(path).text())
            })
            .collect();
    farm.nodes[0].process().kill9();
    farm.tomcats[1].process().kill9();
    for user in &users {
        for sidecar in &farm.sidecars {
            let _ = user.at(sidecar.port()).try_send("GET", "/kind/small", &[], b"");
        }
    }

    let logs = [gateway.log(), beside.log(), farm.sidecars[0].log(), farm.sidecars[1].log()];
    let access = std::fs::read_to_string(access).unwrap();
    for (what, text) in logs
        .iter()
        .map(|log| ("log", log))
        .chain([("access log", &access)])
        .chain(metrics.iter().map(|m| ("metrics", m)))
    {
        for secret in ids.iter().map(String::as_str).chain([PASSWORD, BASIC, &KEY[..20]]) {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{what}: {}", line.unwrap_or_default());
        }
    }
    // It has said something of each.
    assert!(logs[1].contains("InvalidHTTPHeader"), "{}", logs[1]);
    assert!(logs[2].contains("was refused") && logs[2].contains("is down"), "{}", logs[2]);
    assert!(logs[0].contains("no HTTP"), "{}", logs[0]);
    assert!(access.contains("/kind/small;jsessionid="), "{access}");
}

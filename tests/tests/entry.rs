//! How clients come in: TLS by name, HTTP/2, and the PROXY protocol.

use std::io::{BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use satchel_tests::client::{connect, read_response};
use satchel_tests::{Gateway, Origin, Tomcat, TomcatVersion, certificate, eventually, needs, ports};

fn tomcat() -> (tempfile::TempDir, Tomcat) {
    let store = tempfile::tempdir_in("/dev/shm").unwrap();
    let tomcat = Tomcat::version(TomcatVersion::V10_1).context("/", &store.path().join("ROOT")).start();
    (store, tomcat)
}

/// Status and HTTP version, or curl's word for what is wrong.
fn curl(host: &str, port: u16, trusted: &Path) -> String {
    let output = Command::new("curl")
        .args(["-sS", "--http2", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "--cacert"])
        .arg(trusted)
        .args(["--resolve", &format!("{host}:{port}:127.0.0.1"), &format!("https://{host}:{port}/whoami")])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { text(&output.stdout) } else { text(&output.stderr) }
}

#[test]
fn each_name_has_its_certificate_and_a_reload_replaces_it() {
    needs::ensure_clients();
    let (_store, tomcat) = tomcat();
    let port = ports::free();
    let gateway = Gateway::with(|plain, directory| {
        let mut text = format!(
            "access_log.path = \"off\"\n[[upstream]]\nname = \"t\"\n[[upstream.server]]\naddress = \"127.0.0.1:{}\"\n",
            tomcat.port()
        );
        for (name, listen) in [("a.test", format!("\"127.0.0.1:{plain}\", ")), ("b.test", String::new())] {
            let (chain, key) = certificate::write(directory, name, name);
            text.push_str(&format!(
                "[[server]]\nlisten = [{listen}\"127.0.0.1:{port} ssl http2\"]\nserver_name = [\"{name}\"]\nssl_certificate = \"{}\"\n\
                 ssl_certificate_key = \"{}\"\nproxy_pass = \"http://t\"\n",
                chain.display(),
                key.display()
            ));
        }
        text
    });
    let pem = |name: &str| gateway.directory().join(format!("{name}.pem"));
    assert_eq!(curl("a.test", port, &pem("a.test")), "200 2");
    assert_eq!(curl("b.test", port, &pem("b.test")), "200 2");
    assert!(curl("b.test", port, &pem("a.test")).contains("self-signed"), "each has its own");
    let old = gateway.directory().join("old.pem");
    std::fs::copy(pem("b.test"), &old).unwrap();
    certificate::write(gateway.directory(), "b.test", "b.test");
    assert_eq!(curl("b.test", port, &old), "200 2", "not before the reload");
    gateway.reload();
    assert_eq!(curl("b.test", port, &pem("b.test")), "200 2");
    assert!(curl("b.test", port, &old).contains("certificate"));
}

#[test]
fn a_balancer_in_front_tells_the_client_by_the_proxy_protocol() {
    let (_store, tomcat) = tomcat();
    let port = ports::free();
    let gateway = Gateway::with(|plain, _| {
        format!(
            "access_log.path = \"off\"\n[[upstream]]\nname = \"t\"\n[[upstream.server]]\naddress = \"127.0.0.1:{}\"\n[[server]]\nlisten = \
             [\"127.0.0.1:{plain}\", \"127.0.0.1:{port} proxy_protocol\"]\nproxy_pass = \"http://t\"\ntrusted_proxies = [\"127.0.0.1/32\"]\n",
            tomcat.port()
        )
    });
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    eventually("its second socket listens", || connect(address).is_ok());
    let ask = |header: &[u8]| {
        let mut stream = connect(address).unwrap();
        stream.write_all(header).unwrap();
        stream.write_all(b"GET /headers HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        read_response(&mut BufReader::new(stream), false).map(|response| response.text())
    };
    let text = ask(b"PROXY TCP4 192.0.2.9 127.0.0.1 5 80\r\n").unwrap();
    assert!(text.contains("x-real-ip: 192.0.2.9") && text.contains("x-forwarded-for: 192.0.2.9"), "{text}");
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend_from_slice(&[192, 0, 2, 7, 127, 0, 0, 1, 0, 5, 0, 80]);
    assert!(ask(&v2).unwrap().contains("x-real-ip: 192.0.2.7"));
    gateway.change("127.0.0.1/32", "192.0.2.0/24");
    gateway.reload();
    let text = ask(b"PROXY TCP4 192.0.2.9 127.0.0.1 5 80\r\n").unwrap();
    assert!(text.contains("x-real-ip: 127.0.0.1") && !text.contains("192.0.2.9"), "a stranger: {text}");
    assert!(gateway.log().contains("127.0.0.1 sends PROXY protocol headers and is not in trusted_proxies"));
    assert!(ask(b"").is_err(), "without one the connection is closed");
    eventually("it is said why", || gateway.log().contains("does not begin with a PROXY protocol header"));
}

#[test]
fn a_hop_with_a_port_is_a_client() {
    let gateway = Gateway::with(|port, _| {
        format!(
            "access_log.path = \"off\"\n[[server]]\nlisten = [\"127.0.0.1:{port}\"]\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
             return = \"200 $remote_addr at $server_addr, $proxy_add_x_forwarded_for\"\n"
        )
    });
    let ask = |fields: &[(&str, &str)]| gateway.client().send("GET", "/", fields, b"").text();
    assert_eq!(ask(&[]), "127.0.0.1 at 127.0.0.1, 127.0.0.1");
    let told = ask(&[("X-Forwarded-For", "192.0.2.9:4711")]);
    assert_eq!(told, "192.0.2.9 at 127.0.0.1, 192.0.2.9:4711, 127.0.0.1");
}

/// One that speaks TLS with HTTP/2, with these lines for its server.
fn http2_gateway(lines: &str, origin: &Origin) -> (Gateway, u16) {
    let tls = ports::free();
    let gateway = Gateway::with(|plain, directory| {
        let (chain, key) = certificate::write(directory, "cert", "localhost");
        format!(
            "access_log.path = \"off\"\n[[upstream]]\nname = \"t\"\n[[upstream.server]]\naddress = \"127.0.0.1:{}\"\n[[server]]\nlisten = \
             [\"127.0.0.1:{plain}\", \"127.0.0.1:{tls} ssl http2\"]\nssl_certificate = \"{}\"\nssl_certificate_key = \"{}\"\nproxy_pass = \
             \"http://t\"\n{lines}",
            origin.port(),
            chain.display(),
            key.display()
        )
    });
    (gateway, tls)
}

#[test]
fn the_limits_of_headers_hold_in_http_2_too() {
    needs::ensure_clients();
    let origin = Origin::start();
    let lines = "large_client_header_size = \"1k\"\nclient_header_size = \"2k\"\n";
    let (_gateway, tls) = http2_gateway(lines, &origin);
    let long = |n| "x".repeat(n);
    let field = |n| vec!["-H".to_owned(), format!("X-Long: {}", long(n))];
    for (arguments, path, status) in [
        (vec![], "/".to_owned(), "200 2"),
        (field(900), "/".to_owned(), "200 2"),
        (field(1100), "/".to_owned(), "431 2"),
        ([field(900), field(900), field(900)].concat(), "/".to_owned(), "431 2"),
        (vec![], format!("/{}", long(1100)), "414 2"),
        (vec!["-X".to_owned(), "get".to_owned()], "/".to_owned(), "400 2"),
    ] {
        let output = Command::new("curl")
            .args(["-sk", "--http2", "-o", "/dev/null", "-w", "%{http_code} %{http_version}"])
            .args(&arguments)
            .arg(format!("https://127.0.0.1:{tls}{path}"))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), status, "{arguments:?}");
    }
}

#[test]
fn an_early_answer_reaches_a_client_that_still_sends() {
    needs::ensure_clients();
    let origin = Origin::start();
    let lines = "client_max_body_size = \"1m\"\n[[server.location]]\npath = \"/closed/\"\nclient_max_body_size = \"0b\"\nreturn = \"403\"\n";
    let (gateway, tls) = http2_gateway(lines, &origin);
    let upload = gateway.directory().join("upload");
    std::fs::write(&upload, vec![b'x'; 3 << 20]).unwrap();
    let plain = gateway.port();
    for (url, status) in [
        (format!("https://127.0.0.1:{tls}/"), "413 2"),
        (format!("https://127.0.0.1:{tls}/closed/"), "403 2"),
        (format!("http://127.0.0.1:{plain}/"), "413 1.1"),
        (format!("http://127.0.0.1:{plain}/closed/"), "403 1.1"),
    ] {
        // It would wait for the answer otherwise.
        for expect in ["Expect:", "Expect: 100-continue"] {
            for _ in 0..20 {
                let output = Command::new("curl")
                    .args([
                        "-sSk",
                        "--http2",
                        "-o",
                        "/dev/null",
                        "-w",
                        "%{http_code} %{http_version}",
                        "-H",
                        expect,
                    ])
                    .args(["--data-binary", &format!("@{}", upload.display()), &url])
                    .output()
                    .unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!(String::from_utf8_lossy(&output.stdout), status, "{url} {expect} {said}");
            }
        }
    }
}

#[test]
fn an_http_2_upload_that_stops_does_not_hold_its_server() {
    needs::ensure_clients();
    // Waits for the whole of a body that never comes.
    let origin = Origin::start();
    let lines = "client_body_timeout = \"200ms\"\nproxy_send_timeout = \"200ms\"\n";
    let (_gateway, tls) = http2_gateway(lines, &origin);
    let mut upload = Command::new("curl")
        .args(["-sk", "--http2", "-T", ".", &format!("https://127.0.0.1:{tls}/")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut body = upload.stdin.take().unwrap();
    body.write_all(b"begun").unwrap();
    eventually("the server has it", || origin.received().iter().any(|all| all.ends_with(b"begun\r\n")));
    eventually("the client is left", || upload.try_wait().unwrap().is_some());
    drop(body);
}

#[test]
fn an_http_2_client_that_says_nothing_is_left() {
    let origin = Origin::start();
    let lines = "client_header_timeout = \"300ms\"\nkeepalive_timeout = \"1h\"\n";
    let (_gateway, tls) = http2_gateway(lines, &origin);
    let mut silent = Command::new("openssl")
        .args(["s_client", "-quiet", "-alpn", "h2", "-connect", &format!("127.0.0.1:{tls}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the connection is closed", || silent.try_wait().unwrap().is_some());
}

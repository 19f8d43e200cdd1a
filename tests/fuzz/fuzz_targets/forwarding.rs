//! What a client says of itself is not what the server is told, and what a server answers stays a header. Input: fields of a request, a
//! line each, an empty line, fields of a response.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::LazyLock;

use gateway::config::{Action, Config};
use gateway::forwarding::{
    Client, Passed, Recording, add_headers, name_charset, request_id, rewrite_cookie_paths, rewrite_redirect,
    set_headers, trace,
};
use gateway::template::Variables;
use http::{HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use pingora_http::{RequestHeader, ResponseHeader};

const CONFIG: &str = r#"
[[server]]
listen = ["127.0.0.1:80"]
trusted_proxies = ["10.0.0.0/8"]
[[server.location]]
path = "/b/"
proxy_pass = "http://127.0.0.1:1/a/"
proxy_set_header = { Host = "$http_host", X-All = "$uri $args $cookie_a $remote_user $http_x" }
proxy_cookie_path = [["~^/a(.*)$", "/b$1"]]
add_header = { X-Added = "$sent_http_location $arg_x" }
"#;

static CONFIG_READ: LazyLock<Config> = LazyLock::new(|| {
    Config::parse(Path::new("gateway.toml"), CONFIG).unwrap_or_else(|error| panic!("{error}"))
});

const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fuzz_target!(|data: &[u8]| {
    let at = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let mut received = RequestHeader::build("GET", b"/b/x?x=%0a", None).expect("a request");
    let mut response = ResponseHeader::build(302, None).expect("a response");
    for (name, value) in fields(&data[..at]) {
        let _ = received.append_header(name, value);
    }
    for (name, value) in fields(data.get(at + 2..).unwrap_or_default()) {
        let _ = response.append_header(name, value);
    }
    let server = &CONFIG_READ.servers[0];
    let location =
        server.locations.iter().find(|one| matches!(one.action, Action::Proxy { .. })).expect("one");
    for peer in [PEER, Ipv4Addr::new(10, 0, 0, 1)] {
        let client = Client::of((peer, 1).into(), &received, &server.trusted_proxies);
        assert_eq!(client.trusted, peer != PEER);
        let id = request_id(&received, client.trusted);
        let variables = Variables {
            proxy_host: "t",
            uri: "/b/\r\n\0x",
            forwarded_for: &client.forwarded_for,
            request_id: &id,
            ..Variables::of(&received, client.address)
        };
        let mut request = received.clone();
        set_headers(&mut request, &client, &variables, &location.settings.proxy_set_header).expect("fields");
        trace(&mut request, &id, Recording::Off).expect("fields");
        once(&request, &client);
        let settings = &location.settings;
        let passed = Passed { upstream: "t", from: "/a/", to: "/b/" };
        rewrite_redirect(&mut response, &settings.proxy_redirect, Some(&passed), &variables)
            .expect("a field");
        rewrite_cookie_paths(&mut response, &settings.proxy_cookie_path).expect("a field");
        add_headers(&mut response, &settings.add_header, &variables).expect("a field");
        name_charset(&mut response, Some("utf-8")).expect("a field");
    }
});

fn fields(lines: &[u8]) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    lines.split(|b| *b == b'\n').filter_map(|line| {
        let at = line.iter().position(|b| *b == b':')?;
        Some((HeaderName::from_bytes(&line[..at]).ok()?, HeaderValue::from_bytes(&line[at + 1..]).ok()?))
    })
}

/// What tells who the client is stands there once, and only a trusted proxy has a say in it.
fn once(request: &RequestHeader, client: &Client) {
    for name in ["x-real-ip", "x-forwarded-for", "traceparent", "x-request-id"] {
        assert_eq!(request.headers.get_all(name).iter().count(), 1, "{name}");
    }
    if !client.trusted {
        assert_eq!(client.address, IpAddr::from(PEER));
        for name in ["x-real-ip", "x-forwarded-for"] {
            assert_eq!(request.headers[name], PEER.to_string());
        }
        assert_eq!(request.headers["x-forwarded-proto"], "http");
        assert!(!request.headers.contains_key("forwarded"));
    }
    assert!(!request.headers.contains_key("x-satchel-unsent"));
}

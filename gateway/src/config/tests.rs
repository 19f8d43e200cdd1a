//! The annotated file is loaded, and what is wrong is refused by name.

use super::*;

fn annotated() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../conf/gateway.toml")).unwrap()
}

fn parse(text: &str) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Config::load(file.path()).map_err(|error| error.to_string())
}

/// Only what has no default.
const MINIMAL: &str = "[[upstream]]\nname = \"tomcats\"\n[[upstream.server]]\naddress = \"127.0.0.1:8081\"\n\
[[server]]\nlisten = [\"0.0.0.0:13355\"]\nproxy_pass = \"http://tomcats\"\n";

/// The defaults are those of a file that says nothing: what the annotated one shows for it is the same.
#[test]
fn the_annotated_file_is_valid_and_shows_the_defaults() {
    let (annotated, minimal) = (parse(&annotated()).unwrap(), parse(MINIMAL).unwrap());
    assert_eq!(annotated.threads, minimal.threads);
    assert_eq!(annotated.log_level, minimal.log_level);
    assert_eq!(annotated.stop_timeout, minimal.stop_timeout);
    assert_eq!(annotated.upgrade_sock, minimal.upgrade_sock);
    assert_eq!(annotated.access_log, minimal.access_log);
    let upstream = |config: &Config| {
        let mut upstream = config.upstreams[0].clone();
        upstream.check = None;
        upstream.servers.truncate(1);
        format!("{upstream:?}")
    };
    assert_eq!(upstream(&annotated), upstream(&minimal));
    let (shown, default) = (&annotated.servers[0], &minimal.servers[0]);
    assert_eq!(shown.keepalive_timeout, default.keepalive_timeout);
    assert_eq!(shown.keepalive_requests, default.keepalive_requests);
    assert_eq!(shown.client_header_timeout, default.client_header_timeout);
    assert_eq!(shown.client_header_size, default.client_header_size);
    assert_eq!(shown.large_client_header_size, default.large_client_header_size);
    let settings = |server: &ServerConfig| {
        let mut settings = server.locations[0].settings.clone();
        // What the annotated file shows although it has no default, each marked "No default" there.
        settings.proxy_set_header.clear();
        settings.proxy_hide_header.clear();
        settings.proxy_cookie_path.clear();
        settings.proxy_redirect = Redirects::Default;
        settings.add_header.clear();
        settings.charset = None;
        settings.limit_req = None;
        settings.limit_conn = None;
        format!("{settings:?}")
    };
    assert_eq!(settings(shown), settings(default));
}

#[test]
fn every_key_is_in_the_annotated_file() {
    let annotated = annotated();
    for line in include_str!("raw.rs").lines().filter_map(|line| line.trim().strip_prefix("pub ")) {
        let Some((key, _)) = line.split_once(':') else { continue };
        let key = match key {
            "kind" => "type",
            "returns" => "return",
            other => other,
        };
        let documented = [format!("{key} ="), format!("{key}]")].iter().any(|text| annotated.contains(text));
        assert!(documented, "conf/gateway.toml does not show '{key}'");
    }
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    const PASS: &str = "proxy_pass = \"http://tomcats\"";
    const SERVER: &str = "127.0.0.1:8081\"";
    for (find, replace, named) in [
        ("[[server]]", "[[server]]\ncolour = 1", "colour"),
        (SERVER, "127.0.0.1:8081\"\nweight = 0", "server 1: weight"),
        (SERVER, "127.0.0.1:8081\"\nweight = 70000", "65535"),
        ("127.0.0.1:8081", "127.0.0.1", "host:port"),
        (SERVER, "127.0.0.1:8081\"\nadmin_port = 70000", "admin_port"),
        ("[[upstream]]", "admin_token_file = \"/x\"\n[[upstream]]", "there is no admin address"),
        (
            "[[upstream]]",
            "admin = \"127.0.0.1:1\"\nadmin_token_file = \"/nowhere\"\n[[upstream]]",
            "cannot read /nowhere",
        ),
        (
            "[[upstream]]",
            "admin = \"127.0.0.1:1\"\nadmin_token_file = \"/proc/self/comm\"\n[[upstream]]",
            "/proc/self/comm: 16 to 256 visible ASCII characters",
        ),
        ("127.0.0.1:8081", "no-such-host.invalid:80", "does not resolve"),
        ("[[server]]", "[[upstream.server]]\naddress = \"127.0.0.1:8081\"\n[[server]]", "listed twice"),
        ("[[upstream.server]]\naddress = \"127.0.0.1:8081\"\n", "", "has no server"),
        ("name = \"tomcats\"", "name = \"tomcats\"\nmethod = \"ip_hash\"", "round_robin"),
        ("name = \"tomcats\"", "name = \"tomcats\"\nretry_budget = 200", "retry_budget"),
        ("name = \"tomcats\"", "name = \"tomcats\"\nfile = \"/nowhere\"", "file: cannot read /nowhere"),
        ("name = \"tomcats\"", "name = \"tomcats\"\ncheck = { uri = \"x\" }", "check.uri"),
        ("name = \"tomcats\"", "name = \"tomcats\"\ncheck = { body = \"(\" }", "check.body"),
        (PASS, "proxy_pass = \"http://other\"", "there is: tomcats"),
        (PASS, "proxy_pass = \"https://tomcats\"", "must begin with http://"),
        (PASS, "", "proxy_pass"),
        (PASS, "proxy_pass = \"http://tomcats\"\nreturn = \"404\"", "leave one out"),
        (PASS, "return = \"301\"", "needs an address"),
        (PASS, "return = \"99\"", "200 to 599"),
        (PASS, "return = \"444\"", "return: is nginx's word for no answer"),
        (PASS, "return = \"200 a\\u0000\"", "control characters"),
        (PASS, "return = \"301 http://a\\n\"", "control characters"),
        (PASS, "return = \"http://a\\n\"", "control characters"),
        ("[\"0.0.0.0:13355\"]", "[]", "listen"),
        ("[\"0.0.0.0:13355\"]", "[\"13355\"]", "13355"),
        ("[\"0.0.0.0:13355\"]", "[\"0.0.0.0:1\", \"0.0.0.0:1\"]", "twice"),
        ("[\"0.0.0.0:13355\"]", "[\"0.0.0.0:1 ssl\"]", "ssl_certificate"),
        ("[\"0.0.0.0:13355\"]", "[\"0.0.0.0:1 http2\"]", "http2 needs ssl"),
        ("[\"0.0.0.0:13355\"]", "[\"0.0.0.0:1 proxy_protocol\"]", "trusted_proxies: is missing"),
        (PASS, "proxy_pass = \"http://tomcats\"\nsend_timeout = 5", "units"),
        (PASS, "proxy_pass = \"http://tomcats\"\nsend_timeout = \"0s\"", "send_timeout"),
        (PASS, "proxy_pass = \"http://tomcats\"\ntrusted_proxies = [\"10\"]", "trusted_proxies"),
        (PASS, "proxy_pass = \"http://tomcats\"\nproxy_set_header.Host = \"$nothing\"", "$nothing"),
        (PASS, "proxy_pass = \"http://tomcats\"\nproxy_set_header.Connection = \"x\"", "Connection"),
        (PASS, "proxy_pass = \"http://tomcats\"\nproxy_next_upstream = [\"http_418\"]", "http_418"),
        (PASS, "proxy_pass = \"http://tomcats\"\nproxy_cookie_path = [[\"/a\", \"/$1\"]]", "no group $1"),
        (PASS, "proxy_pass = \"http://tomcats\"\nproxy_cookie_path = [[\"~/(a)\", \"/$host\"]]", "$1 to $9"),
        (PASS, "proxy_pass = \"http://tomcats\"\nlimit_req = \"10\"", "10r/s"),
        (PASS, "proxy_pass = \"http://tomcats\"\nlimit_req = \"10r/s zone=a b\"", "zone=NAME"),
        (PASS, "proxy_pass = \"http://tomcats\"\nlimit_conn = \"a\"", "limit_conn: 'a' is not a limit"),
        (PASS, "proxy_pass = \"http://tomcats\"\nlimit_conn = -1", "10 zone=NAME"),
        (
            PASS,
            "proxy_pass = \"http://tomcats\"\nlimit_req_status = 200",
            "limit_req_status: is 200; 400 to 599",
        ),
        (PASS, "proxy_pass = \"http://tomcats\"\nlimit_conn_status = 444", "limit_conn_status: is 444"),
        (
            PASS,
            "proxy_pass = \"http://tomcats\"\nlimit_req = \"60r/m zone=a burst=5\"\n[[server.location]]\npath = \"/a\"\nreturn = \"200\"\n\
             limit_req = \"1r/s zone=a\"\n[[server.location]]\npath = \"/b\"\nreturn = \"200\"\nlimit_req = \"2r/s zone=a\"",
            "location 2 (/b): limit_req: zone a has 2r/s here and 60r/m in server 1: limit_req",
        ),
        (PASS, "proxy_pass = \"http://tomcats\"\ngzip_comp_level = 10", "1 to 9"),
        (PASS, "proxy_pass = \"http://tomcats\"\nerror_page.\"503\" = \"/nowhere\"", "cannot read /nowhere"),
        (PASS, "proxy_pass = \"http://tomcats\"\nserver_name = [\"a b\"]", "server_name"),
        (PASS, "proxy_pass = \"http://tomcats\"\npath = \"/\"", "path: is not allowed here"),
        (PASS, "[[server.location]]\npath = \"x\"\nreturn = \"404\"", "location 1 (x): path"),
        (PASS, "[[server.location]]\npath = \"/\"", "location 1 (/): proxy_pass"),
        (
            PASS,
            "[[server.location]]\npath = \"~ x\"\nproxy_pass = \"http://tomcats/y\"",
            "regular expression",
        ),
        (PASS, "[[server.location]]\npath = \"/\"\nreturn = \"404\"\nlisten = [\"0.0.0.0:1\"]", "listen"),
        ("[[server]]", "[http]\nlisten = [\"0.0.0.0:1\"]\n[[server]]", "http: listen"),
        ("name = \"tomcats\"", "name = \"a b\"", "name"),
        ("[[upstream]]", "threads = 0\n[[upstream]]", "threads"),
        ("[[upstream]]", "access_log.format = \"common\"\n[[upstream]]", "access_log.format"),
        ("[[upstream]]", "admin = \"8090\"\n[[upstream]]", "admin"),
        ("[[upstream]]", "admin = \"127.0.0.1:13355\"\n[[upstream]]", "choose another port"),
        (
            "[\"0.0.0.0:13355\"]",
            "[\"0.0.0.0:1\", \"127.0.0.1:1 proxy_protocol\"]\ntrusted_proxies = [\"10.0.0.0/8\"]",
            "one socket is for both",
        ),
    ] {
        assert!(MINIMAL.contains(find), "{find}");
        let error = parse(&MINIMAL.replacen(find, replace, 1)).map(|_| ()).expect_err(replace);
        assert!(error.contains(named), "{replace}: {error}");
    }
}

#[test]
fn a_text_is_answered_as_it_is_written() {
    for (text, answered) in
        [("200 pong\\n", Some("pong\n")), ("200  a\\r\\n\\tb ", Some(" a\r\n\tb ")), ("404 ", None)]
    {
        let config =
            parse(&MINIMAL.replace("proxy_pass = \"http://tomcats\"", &format!("return = \"{text}\"")));
        let Action::Return { text: found, .. } = config.unwrap().servers[0].locations[0].action.clone()
        else {
            panic!("{text}");
        };
        assert_eq!(found, answered.map(|text| Template::parse_body(text).unwrap()));
    }
}

#[test]
fn the_innermost_word_counts() {
    let text = format!(
        "[http]\nsend_timeout = \"1s\"\nclient_body_timeout = \"1s\"\nkeepalive_requests = 7\n{MINIMAL}client_body_timeout = \"2s\"\n\
         [[server.location]]\npath = \"/a\"\nproxy_pass = \"http://127.0.0.1:9/x/\"\nclient_body_timeout = \"3s\"\n"
    );
    let config = parse(&text).unwrap();
    let server = &config.servers[0];
    let seconds = |at: usize| {
        let settings = &server.locations[at].settings;
        (
            settings.send_timeout.as_secs(),
            settings.client_body_timeout.as_secs(),
            settings.proxy_send_timeout.as_secs(),
        )
    };
    assert_eq!((seconds(0), seconds(1)), ((1, 3, 60), (1, 2, 60)));
    assert_eq!(server.keepalive_requests, 7);
    // A host with a port is an upstream of its own.
    assert_eq!(config.upstreams[1].name, "127.0.0.1:9");
}

#[test]
fn a_cookies_path_is_rewritten_as_written() {
    let text = format!("{MINIMAL}proxy_cookie_path = [[\"~^/app(.*)$\", \"/b$1c\"]]\n");
    let config = parse(&text).unwrap();
    let mut response = pingora_http::ResponseHeader::build(200, None).unwrap();
    response.insert_header("Set-Cookie", "a=b; Path=/app/x").unwrap();
    let rules = &config.servers[0].locations[0].settings.proxy_cookie_path;
    crate::forwarding::rewrite_cookie_paths(&mut response, rules).unwrap();
    assert_eq!(response.headers["Set-Cookie"], "a=b; Path=/b/xc");
}

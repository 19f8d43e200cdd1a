//! The annotated file is loaded, and what is wrong is refused by name.

use satchel_common::reference::{Annotated, accepted, compare};

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

/// What is shown as the default is what holds without the key.
#[test]
fn the_annotated_file_shows_the_defaults() {
    let file = Annotated::read(&annotated());
    let told = |text: &str| parse(text).map(|config| format!("{config:?}"));
    // A server with locations needs no proxy_pass.
    let wrong = file.shown_wrongly(told, &[("server", "proxy_pass")]).unwrap();
    assert!(wrong.is_empty(), "conf/gateway.toml shows {wrong:#?}");
}

/// As it has to be written for a key of this table.
fn header(path: &str) -> String {
    let lists = ["upstream", "upstream.server", "server", "server.location"];
    let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
    let tables = ends.map(|end| &path[..end]).filter(|table| !table.is_empty());
    tables
        .map(|table| if lists.contains(&table) { format!("[[{table}]]\n") } else { format!("[{table}]\n") })
        .collect()
}

#[test]
fn the_annotated_file_shows_every_key_and_no_other() {
    let file = Annotated::read(&annotated());
    let names = |path: &str| {
        let table = file.tables.iter().find(|table| table.path == path).unwrap();
        table.names().chain(file.below(path)).map(str::to_owned).collect::<Vec<_>>()
    };
    for table in &file.tables {
        let error = parse(&format!("{}no_such_key = 1\n", header(&table.path))).unwrap_err();
        // Tables of any names have nothing to show.
        let Some(mut takes) = accepted(&error) else {
            let any = ["proxy_set_header", "add_header", "error_page"];
            assert!(any.iter().any(|name| table.path.ends_with(name)), "{}: {error}", table.path);
            continue;
        };
        let mut shows = match table.path.as_str() {
            // One kind of table, of which the places differ: see the next test.
            "http" | "server" | "server.location" => [names("server"), names("server.location")].concat(),
            path => names(path),
        };
        takes.sort_unstable();
        shows.sort_unstable();
        shows.dedup();
        assert_eq!(shows, takes, "conf/gateway.toml: {}", table.header);
    }
}

/// Where a key may stand is said above it.
#[test]
fn the_annotated_file_says_where_a_key_may_stand() {
    let file = Annotated::read(&annotated());
    let server = "listen = [\"127.0.0.1:1\"]\nreturn = \"404\"\n";
    let location = "[[server.location]]\npath = \"/a\"\n";
    for (table, key, _, said) in file.keys() {
        if table.path != "server" {
            continue;
        }
        let passes = ["proxy_pass", "return"].contains(&key.name.as_str());
        let action = if passes { "" } else { "return = \"404\"\n" };
        let written = key.written.replace("http://tomcats", "http://127.0.0.1:9");
        // An empty list says nothing, anywhere.
        let written = written.replace("trusted_proxies = []", "trusted_proxies = [\"10.0.0.0/8\"]");
        let refused = |text: String| parse(&text).is_err_and(|error| error.contains("is not allowed here"));
        let places = [
            ("[http]", refused(format!("[http]\n{written}\n[[server]]\n{server}"))),
            ("location", refused(format!("[[server]]\n{server}{location}{action}{written}\n"))),
        ];
        for (place, refused) in places {
            assert_eq!(said.contains(place), !refused, "conf/gateway.toml: {} in {place}: {said}", key.name);
        }
    }
}

#[test]
fn the_reference_says_what_the_annotated_file_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    compare(Path::new(page), "gateway.toml", &Annotated::read(&annotated()).markdown()).unwrap();
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
        (
            PASS,
            "proxy_pass = \"http://tomcats\"\npath = \"/\"",
            "path: is not allowed here; write it in [[server.location]]",
        ),
        (PASS, "[[server.location]]\npath = \"x\"\nreturn = \"404\"", "location 1 (x): path"),
        (PASS, "[[server.location]]\npath = \"/\"", "location 1 (/): proxy_pass"),
        (
            PASS,
            "[[server.location]]\npath = \"~ x\"\nproxy_pass = \"http://tomcats/y\"",
            "regular expression",
        ),
        (PASS, "[[server.location]]\npath = \"/\"\nreturn = \"404\"\nlisten = [\"0.0.0.0:1\"]", "listen"),
        (
            "[[server]]",
            "[http]\nlisten = [\"0.0.0.0:1\"]\n[[server]]",
            "http: listen: is not allowed here; write it in [[server]]",
        ),
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

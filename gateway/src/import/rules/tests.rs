//! What each kind of rule prints or says.

use crate::import::tests::imported;

/// What the server of these directives has, and what is said.
fn server(text: &str) -> (String, String) {
    let result = imported(&format!("server {{ listen 1; {text}\nlocation / {{ proxy_pass http://t:1; }} }}"));
    let toml = result.toml.split("[[server]]").nth(1).unwrap_or_default();
    let toml = toml.split("# Carried").next().and_then(|text| text.split("# NOT").next()).unwrap_or_default();
    let notes = result.notes.iter().map(|note| format!("{:?} {note}\n", note.kind)).collect();
    (toml.to_owned(), notes)
}

fn assert_carried(cases: &[(&str, &str)]) {
    for (nginx, line) in cases {
        let (toml, notes) = server(nginx);
        assert!(toml.contains(line) && !notes.contains("NotCarried"), "{nginx}: {line}\n{toml}\n{notes}");
    }
}

fn assert_said(cases: &[(&str, &str)]) {
    for (nginx, text) in cases {
        let (toml, notes) = server(nginx);
        assert!(notes.contains(text), "{nginx}: {text}\n{toml}\n{notes}");
    }
}

#[test]
fn clients() {
    assert_carried(&[
        ("client_max_body_size 0;", "client_max_body_size = \"0b\""),
        ("client_header_timeout 10;", "client_header_timeout = \"10s\""),
        ("keepalive_timeout 65 60;", "keepalive_timeout = \"65s\""),
        ("keepalive_timeout 0;", "keepalive_requests = 1"),
        (
            "large_client_header_buffers 4 8k;",
            "large_client_header_size = \"8k\"\nclient_header_size = \"32k\"",
        ),
    ]);
    assert_said(&[
        ("send_timeout 0;", "NotCarried"),
        ("send_timeout soon;", "'soon' is no time"),
        ("send_timeout 1s 2s;", "one argument is expected"),
        ("send_timeout 1s; send_timeout 2s;", "the first one counts"),
        ("underscores_in_headers on;", "NotCarried"),
        ("underscores_in_headers off;", "NeedsNothing"),
        ("location /k { keepalive_timeout 5; proxy_pass http://t:1; }", "holds for connections"),
    ]);
}

#[test]
fn headers() {
    assert_carried(&[
        ("add_header X-A 'b c' always;", "X-A = \"b c always\""),
        ("add_header X-A \"$scheme\";", "X-A = \"$scheme\""),
        ("proxy_set_header Host $http_host;", "Host = \"$http_host\""),
        ("proxy_set_header Accept-Encoding \"\";", "Accept-Encoding = \"\""),
        ("proxy_hide_header X-A; proxy_hide_header X-B;", "proxy_hide_header = [\"X-A\", \"X-B\"]"),
        // It resets what is outside, so it must be there although it is empty.
        ("proxy_set_header Connection \"\";", "proxy_set_header = {}"),
        ("charset utf-8;", "charset = \"utf-8\""),
    ]);
    assert_said(&[
        ("proxy_set_header Upgrade $http_upgrade;", "NeedsNothing"),
        ("proxy_set_header Connection 'upgrade';", "NeedsNothing"),
        ("proxy_set_header Connection close;", "Changed"),
        ("proxy_set_header X $hostname;", "no variable $hostname; what clients say in X is removed"),
        ("proxy_set_header X \"a\\nb\";", "line break"),
        ("add_header 'X Y' b;", "no name of a header"),
        ("add_header X a; add_header x b;", "can be added once"),
        ("expires max;", "Cache-Control"),
    ]);
    let (toml, _) = server("proxy_set_header X-User $ssl_client_s_dn; proxy_set_header Host $hostname;");
    assert!(toml.contains("X-User = \"\"") && !toml.contains("Host = "), "{toml}");
}

#[test]
fn proxying() {
    assert_carried(&[
        ("proxy_connect_timeout 5;", "proxy_connect_timeout = \"5s\""),
        ("proxy_next_upstream error http_404;", "proxy_next_upstream = [\"error\", \"http_404\"]"),
        ("proxy_next_upstream_timeout 0;", "proxy_next_upstream_timeout = \"0s\""),
        ("proxy_redirect off;", "proxy_redirect = []"),
        (
            "proxy_redirect http://a/ /b/; proxy_redirect ~*^http: $scheme:;",
            "proxy_redirect = [[\"http://a/\", \"/b/\"], [\"~*^http:\", \"$scheme:\"]]",
        ),
        ("proxy_buffering off;", "proxy_buffering = false"),
        ("proxy_cookie_path ~^/(.*)$ /x/$1;", "proxy_cookie_path = [[\"~^/(.*)$\", \"/x/$1\"]]"),
    ]);
    assert_said(&[
        ("proxy_next_upstream error denied;", "without denied"),
        ("proxy_redirect default;", "NeedsNothing"),
        ("proxy_redirect http://$host/ /;", "second part only"),
        ("proxy_cookie_path / $x;", "only $1 to $9"),
        ("proxy_cookie_path ~^/(a) $0;", "only $1 to $9"),
        ("proxy_cookie_path ~^/(a) $2;", "no group $2"),
        ("proxy_http_version 1.0;", "Changed"),
        ("proxy_cache off;", "NeedsNothing"),
        ("proxy_cache_valid 1m;", "does not cache"),
    ]);
}

#[test]
fn compression() {
    assert_carried(&[
        ("gzip on;", "gzip = true"),
        ("gzip_types *;", "gzip_types = [\"*\"]"),
        ("brotli on; brotli_types text/css;", "brotli = true\ngzip_types = [\"text/css\"]"),
        ("gzip_types a/b; zstd on; zstd_types a/b;", "zstd = true"),
    ]);
    assert_said(&[
        ("gzip_types a/b; brotli_types a/b c/d;", "does not have c/d"),
        ("gzip maybe;", "neither on nor off"),
        ("gzip_vary off;", "NotCarried"),
    ]);
}

#[test]
fn limits() {
    let limited = |zone: &str, limit: &str| {
        let text = format!("{zone} server {{ listen 1; {limit} location / {{ return 204; }} }}");
        let result = imported(&text);
        format!("{}{:?}", result.toml, result.notes)
    };
    let zone =
        "limit_req_zone $binary_remote_addr zone=a:1m rate=10r/s; limit_conn_zone $remote_addr zone=c:1m;";
    assert!(
        limited(zone, "limit_req zone=a burst=20 nodelay;")
            .contains("limit_req = \"10r/s burst=20 nodelay zone=a\"")
    );
    assert!(limited(zone, "limit_conn c 7;").contains("limit_conn = \"7 zone=c\""));
    let dry = limited(zone, "limit_req zone=a; limit_conn c 7; limit_req_dry_run on; limit_conn_dry_run on;");
    assert!(!dry.contains("limit_req =") && !dry.contains("limit_conn ="), "{dry}");
    let odd = zone.replace("zone=a:", "zone=a.b/c:");
    assert!(limited(&odd, "limit_req zone=a.b/c;").contains("zone=a.2eb.2fc\""));
    assert!(limited(zone, "limit_req zone=a burst=20 delay=8;").contains("'delay=8' is not carried over"));
    assert!(limited(zone, "limit_req zone=b;").contains("no limit_req_zone 'b'"));
    for wrong in ["zone=a burst=many", "zone=a burst=-1"] {
        let found = limited(zone, &format!("limit_req {wrong};"));
        assert!(!found.contains("limit_req =") && found.contains("is not a limit"), "{found}");
    }
    let nameless = zone.replace("zone=a:", "zone=:").replace("10r/s", "xr/s");
    assert!(!limited(&nameless, "limit_req burst=1;").contains("limit_req ="));
    assert!(!limited(zone, "limit_conn c 0;").contains("limit_conn ="));
    let status = limited(zone, "limit_req_status 429; limit_conn_status 444;");
    assert!(status.contains("limit_req_status = 429") && !status.contains("limit_conn_status ="), "{status}");
    assert!(
        limited("limit_conn_zone $server_name zone=c:1m;", "limit_conn c 7;")
            .contains("by the client's address only")
    );
}

/// The limit and the dry run of `http` and a server, and what the two have here.
#[test]
fn limits_that_only_count_do_not_hold() {
    const LIMIT: &str = "limit_req zone=a; limit_conn c 7;";
    const DRY: &str = "limit_req_dry_run on; limit_conn_dry_run on;";
    const NOT_DRY: &str = "limit_req_dry_run off; limit_conn_dry_run off;";
    let written = "limit_req = \"1r/s zone=a\"; limit_conn = \"7 zone=c\"";
    let none = "limit_req = \"off\"; limit_conn = 0";
    for (http, server, of_http, of_server) in [
        (DRY.to_owned() + LIMIT, String::new(), "", ""),
        (LIMIT.to_owned(), DRY.to_owned(), written, none),
        (LIMIT.to_owned(), LIMIT.replace('7', "8") + DRY, written, none),
        (DRY.to_owned(), LIMIT.to_owned(), "", ""),
        (LIMIT.to_owned() + DRY, NOT_DRY.to_owned(), "", written),
    ] {
        let result = imported(&format!(
            "limit_req_zone $remote_addr zone=a:1m rate=1r/s; limit_conn_zone $remote_addr zone=c:1m; {http}
             server {{ listen 1; {server} location / {{ return 204; }} }}"
        ));
        let (outer, inner) = result.toml.split_once("[[server]]").unwrap();
        let limits = |text: &str| {
            text.lines().filter(|line| line.starts_with("limit_")).collect::<Vec<_>>().join("; ")
        };
        assert_eq!((limits(outer).as_str(), limits(inner).as_str()), (of_http, of_server), "{http} {server}");
        let is_dry = [&http, &server].iter().any(|text| text.contains(DRY));
        assert_eq!(result.is_complete(), !is_dry, "{:?}", result.notes);
    }
}

#[test]
fn real_ip() {
    assert_carried(&[
        (
            "set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For;",
            "trusted_proxies = [\"10.0.0.0/8\"]",
        ),
        ("set_real_ip_from ::1; real_ip_header x-forwarded-for;", "trusted_proxies = [\"::1/128\"]"),
    ]);
    assert_said(&[
        ("set_real_ip_from 10.0.0.0/8; real_ip_header proxy_protocol;", "proxy_protocol of listen"),
        ("set_real_ip_from 10.0.0.0/8;", "and not X-Real-IP"),
        ("set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For;", "as with real_ip_recursive on"),
        ("real_ip_header X-Forwarded-For;", "no effect"),
    ]);
}

#[test]
fn tls() {
    assert_carried(&[
        (
            "ssl_certificate /c; ssl_certificate_key /k;",
            "ssl_certificate = \"/c\"\nssl_certificate_key = \"/k\"",
        ),
        ("ssl_protocols TLSv1.3 TLSv1.2;", ""),
    ]);
    assert_said(&[
        ("ssl_certificate c.pem;", "its whole path is written"),
        ("ssl_certificate /a; ssl_certificate /b;", "one certificate"),
        ("ssl_protocols TLSv1 TLSv1.2;", "TLSv1 is not offered"),
        ("ssl_protocols TLSv1.3;", "both TLSv1.2 and TLSv1.3"),
        ("ssl_ciphers HIGH;", "NotCarried"),
        ("ssl_verify_client off;", "NeedsNothing"),
    ]);
}

#[test]
fn logs() {
    let logged = |text: &str| {
        let result = imported(text);
        format!("{}{:?}", result.toml, result.notes)
    };
    let format =
        "log_format f '$remote_addr $status'; log_format j escape=json '{$status}'; log_format odd '$pipe';";
    assert!(
        logged(&format!("{format} access_log /a f;"))
            .contains("path = \"/a\"\nformat = \"$remote_addr $status\"")
    );
    assert!(logged(&format!("{format} access_log /a j;")).contains("format = \"json\""));
    assert!(logged(&format!("{format} access_log /a odd;")).contains("no variable $pipe"));
    assert!(
        logged("access_log /a; server { access_log /b; location / { return 204; } }")
            .contains("one access log for all")
    );
    let found = logged("access_log off; server { access_log /b; location / { return 204; } }");
    assert!(
        found.contains("[http]\naccess_log = false")
            && found.contains("listen = [\"0.0.0.0:80\"]\naccess_log = true")
    );
    assert!(logged("error_log stderr crit;").contains("log_level = \"error\""));
    assert!(logged("access_log syslog:server=x;").contains("stdout"));
}

#[test]
fn the_process() {
    let whole = |text: &str| {
        let result = imported(text);
        format!("{}{:?}", result.toml, result.notes)
    };
    assert!(whole("worker_processes 8;").contains("threads = 8"));
    assert!(whole("worker_shutdown_timeout 10s;").contains("stop_timeout = \"10s\""));
    assert!(whole("resolver 10.0.0.2 dns.example;").contains("is a name"));
    let found = whole("resolver 10.0.0.2 10.0.0.3:53 valid=10s ipv6=off;");
    assert!(
        found.contains("nameservers = [\"10.0.0.2\", \"10.0.0.3:53\"]\nvalid = \"10s\"")
            && found.contains("'ipv6=off'")
    );
}

#[test]
fn every_rule_is_there_once() {
    let mut names: Vec<_> = super::ALL.iter().flat_map(|rules| rules.iter()).map(|(name, _)| *name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn what_nginx_and_the_gateway_call_by_other_names() {
    let said = |text: &str| {
        let result = imported(text);
        format!("{}{:?}", result.toml, result.notes)
    };
    let rest = "location / { proxy_pass http://t; } }";
    // Retries.
    let two = format!("upstream t {{ server 127.0.0.1:1; server 127.0.0.1:2; }} server {{ listen 80; {rest}");
    assert!(said(&two).contains("retry_budget = 100"));
}

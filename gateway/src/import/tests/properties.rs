//! Any bytes are imported or refused, and what is printed is always one of our files.

use proptest::prelude::*;

use super::{checked, imported, with_file};
use crate::import::{import, rules};

/// Words that lead deep into the translation.
const WORDS: &[&str] = &[
    "http",
    "server",
    "location",
    "upstream",
    "listen",
    "server_name",
    "return",
    "rewrite",
    "if",
    "map",
    "proxy_pass",
    "error_page",
    "proxy_set_header",
    "add_header",
    "proxy_redirect",
    "proxy_cookie_path",
    "limit_req",
    "limit_req_zone",
    "limit_conn",
    "access_log",
    "log_format",
    "gzip",
    "gzip_types",
    "brotli_types",
    "set_real_ip_from",
    "real_ip_header",
    "ssl_certificate",
    "keepalive_timeout",
    "large_client_header_buffers",
    "client_max_body_size",
    "deny",
    "allow",
    "auth_basic",
    "root",
    "alias",
    "resolver",
    "random",
    "queue",
    "types",
    "content_by_lua_block",
    "charset",
    "expires",
    "error_log",
    "worker_processes",
    "http2",
    "/",
    "=",
    "~",
    "^~",
    "@x",
    "^/a(.*)$",
    "/new/$1",
    "break",
    "permanent",
    "https://$host$request_uri",
    "http://t",
    "http://t/x",
    "t",
    "80",
    "[::]:443",
    "ssl",
    "127.0.0.1:1",
    "on",
    "off",
    "all",
    "301",
    "404",
    "444",
    "=503",
    "/50x.html",
    "weight=0",
    "zone=z:1m",
    "zone=z",
    "rate=1r/s",
    "($scheme",
    "($host",
    "http)",
    "a)",
    "a",
    "$x",
    "1m30s",
    "0",
    "99999999999999999999",
    "\"\"",
    "'a b'",
    "\"\\\"\"",
    "é",
    "X-Forwarded-For",
    "10.0.0.0/8",
    "default",
    "upgrade",
    "$http_upgrade",
    "Connection",
    "close",
    "always",
];

/// What may stand behind a directive, and should not always.
const ARGUMENTS: &[&str] = &[
    "",
    "0",
    "0m",
    "00s",
    "1",
    "10",
    "99999999999",
    "-1",
    "1k",
    "1m30s",
    "9999y",
    "on",
    "off",
    "all",
    "a",
    "A-B",
    "'a b'",
    "a/b",
    "a:1",
    "é",
    "$",
    "$host",
    "${host",
    "$nothing",
    "$1",
    "~(",
    "~^/(a)$",
    "~*^/a",
    "~(?!a)",
    "/a",
    "/a$1",
    "http://t",
    "http://t/",
    "http://b.c:1/x",
    "https://t",
    "http://-",
    "http://u",
    "301",
    "403",
    "418",
    "200",
    "'a\nb'",
    "'a\tb'",
    "utf-8",
    "'a;b'",
    "text/html",
    "10.0.0.1",
    "10.0.0.0/8",
    "[::1]",
    "::1",
    "always",
    "error",
    "timeout",
    "http_500",
    "http_418",
    "non_idempotent",
    "zone=r",
    "zone=none",
    "burst=1",
    "burst=a",
    "nodelay",
    "c",
    "Connection",
    "Host",
    "X-Real-IP",
    "default",
    "502",
    "503 502",
    "/50x.html",
    "stderr",
    "warn",
    "combined",
    "json",
    "valid=0",
    "proxy_protocol",
    "X-Forwarded-For",
    "=",
    "443",
    "[::]:1",
    "ssl",
    "http2",
    "default_server",
    "ipv6only=off",
];

/// Definitions that they may name.
const DEFINED: &str = "upstream t { server 127.0.0.1:1; } upstream u { server unix:/u; } root /srv; location_less x;
    limit_req_zone $binary_remote_addr zone=r:1m rate=1r/s; limit_conn_zone $remote_addr zone=c:1m;
    limit_req_zone $remote_addr zone=none:1m rate=0r/s; log_format json '$status'; ssl_certificate /c; ssl_certificate_key /k;";

fn directive() -> impl Strategy<Value = String> {
    const STRUCTURE: &[&str] =
        &["proxy_pass", "return", "rewrite", "listen", "server_name", "error_page", "internal"];
    let name = prop_oneof![
        3 => proptest::sample::select(rules::names()),
        1 => proptest::sample::select(STRUCTURE),
    ];
    (name, proptest::collection::vec(proptest::sample::select(ARGUMENTS), 0..4)).prop_map(
        |(name, arguments)| {
            let quoted = |one: &&str| if one.is_empty() { "''".to_owned() } else { (*one).to_owned() };
            format!("{name} {};", arguments.iter().map(quoted).collect::<Vec<_>>().join(" "))
        },
    )
}

proptest! {
    /// Whatever a directive says, `gateway --test` takes what becomes of it.
    #[test]
    fn what_is_printed_is_valid(
        http in proptest::collection::vec(directive(), 0..6),
        server in proptest::collection::vec(directive(), 0..8),
        location in proptest::collection::vec(directive(), 0..8),
        peer in proptest::collection::vec(proptest::sample::select(&["weight=0", "weight=2", "weight=99999", "max_fails=-1", "max_conns=1",
            "fail_timeout=0", "slow_start=9999y", "backup", "down", "drain", "resolve", "service=a.b", "service=", "route=x"][..]), 0..4),
    ) {
        let [http, server, location] = [http, server, location].map(|one| one.join(" "));
        imported(&format!(
            "{DEFINED} upstream p {{ server a:1 {}; queue 99999999999; keepalive_timeout 0; }} {http}
             server {{ listen 80; {server} location / {{ {location} proxy_pass http://p; }} }} server {{ listen 443 ssl; return 204; }}",
            peer.join(" ")
        ));
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(result) = with_file(&bytes, import) {
            checked(result);
        }
    }

    #[test]
    fn any_words_do_no_harm(
        words in proptest::collection::vec((proptest::sample::select(WORDS), prop_oneof![
            5 => Just(" "), 3 => Just("; "), 2 => Just(" { "), 2 => Just("; } "),
        ]), 0..60)
    ) {
        let mut text = String::new();
        let mut depth = 0_usize;
        for (word, end) in words {
            text.push_str(word);
            match end {
                " { " => depth += 1,
                "; } " if depth == 0 => { text.push_str("; "); continue; }
                "; } " => depth -= 1,
                _ => {}
            }
            text.push_str(end);
        }
        text.push(';');
        text.push_str(&" }".repeat(depth));
        if let Ok(result) = with_file(text.as_bytes(), import) {
            checked(result);
        }
    }
}

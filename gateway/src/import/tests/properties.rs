//! Any bytes are imported or refused, and what is printed is always one of our files.

use proptest::prelude::*;

use super::{checked, with_file};
use crate::import::import;

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

proptest! {
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

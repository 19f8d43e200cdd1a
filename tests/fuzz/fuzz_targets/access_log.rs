//! Whatever a client sends, a line of the access log stays one line with its quotes in their places, and shows no session id. Input: the
//! target, then `User-Agent`, `Referer`, `Authorization` and `Host`.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use gateway::access_log::format::line;
use gateway::config::LogFormat;
use gateway::config::defaults::ACCESS_LOG_COMBINED;
use gateway::template::{Answered, Template, Variables};
use libfuzzer_sys::fuzz_target;
use pingora_http::RequestHeader;

const SECRET: &str = "5526F95AEB3E88C6";
const NAMES: [&str; 4] = ["user-agent", "referer", "authorization", "host"];

static COMBINED: LazyLock<LogFormat> =
    LazyLock::new(|| LogFormat::Template(Template::parse(ACCESS_LOG_COMBINED).expect("a template")));

fuzz_target!(|data: &[u8]| {
    let mut parts = data.split(|b| *b == b'\n');
    let Ok(mut request) = RequestHeader::build("GET", parts.next().unwrap_or_default(), None) else { return };
    for (name, value) in NAMES.into_iter().zip(parts) {
        if request.append_header(name, value).is_err() {
            return;
        }
    }
    let answered = Answered {
        status: 200,
        body_bytes_sent: 12,
        response: None,
        request_time: Duration::from_millis(15),
        upstream_addr: "127.0.0.1:8081",
        upstream_status: "200",
        upstream_response_time: "0.014",
        time_local: "23/Nov/2026:10:00:00 +0000",
        time_iso8601: "2026-11-23T10:00:00+00:00",
        msec: "1.000",
    };
    let remote = "192.0.2.1".parse().expect("an address");
    let variables = Variables { answered: Some(answered), ..Variables::of(&request, remote) };
    let text = line(&COMBINED, &variables);
    assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{text}");
    assert_eq!(text.matches('"').count(), 6, "{text}");
    let json = line(&LogFormat::Json, &variables);
    assert!(!json.contains(['\n', '\r']));
    let json: serde_json::Value =
        serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let ids = format!(";jsessionid={SECRET}");
    assert!(!text.to_ascii_lowercase().contains(&ids.to_ascii_lowercase()), "{text}");
    assert!(!json.to_string().to_ascii_lowercase().contains(&ids.to_ascii_lowercase()), "{json}");
});

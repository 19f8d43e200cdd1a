//! What a line looks like: nginx's `combined`, JSON, or a template.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::config::LogFormat;
use crate::template::{Variables, protocol};

/// A line, without its end. `variables` know the answer.
pub fn line(format: &LogFormat, variables: &Variables<'_>) -> String {
    match format {
        LogFormat::Template(template) => template.render_with(variables, |out, value| {
            let value = without_ids(value.as_bytes());
            escape(out, if value.is_empty() { b"-" } else { &value });
        }),
        LogFormat::Json => json_line(variables),
    }
}

fn json_line(variables: &Variables<'_>) -> String {
    let Some(answered) = &variables.answered else { return String::new() };
    let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(&without_ids(bytes)));
    let field =
        |name| variables.request.headers.get(name).map(|value: &http::HeaderValue| text(value.as_bytes()));
    let user = variables.remote_user();
    json!({
        "time": answered.time_iso8601,
        "remote_addr": variables.remote_addr.to_string(),
        "remote_user": (!user.is_empty()).then_some(user),
        "method": variables.request.method.as_str(),
        "host": variables.host(),
        "uri": text(variables.target),
        "protocol": protocol(variables.request.version),
        "status": answered.status,
        "body_bytes_sent": answered.body_bytes_sent,
        "request_time": (answered.request_time.as_secs_f64() * 1e3).round() / 1e3,
        "referer": field(http::header::REFERER),
        "user_agent": field(http::header::USER_AGENT),
        "request_id": variables.request_id,
        "upstream": variables.proxy_host,
        "upstream_addr": answered.upstream_addr,
        "upstream_status": answered.upstream_status,
        "upstream_response_time": answered.upstream_response_time,
    })
    .to_string()
}

/// As nginx: what could end or forge a line is written as `\xXX`.
fn escape(out: &mut String, text: &[u8]) {
    for byte in text {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f..=0xff => {
                let _ = write!(out, "\\x{byte:02X}");
            }
            _ => out.push(char::from(*byte)),
        }
    }
}

/// Whoever reads a log must not be able to take a session over: the value of every path parameter whose
/// name ends in `sessionid` is left out.
pub fn without_ids(target: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(target.len());
    let mut rest = target;
    while let Some(at) = rest.iter().position(|b| *b == b';') {
        let (before, parameter) = rest.split_at(at + 1);
        out.extend_from_slice(before);
        let end = parameter
            .iter()
            .position(|b| matches!(b, b';' | b'/' | b'?' | b'#' | b' '))
            .unwrap_or(parameter.len());
        let equals = parameter[..end].iter().position(|b| *b == b'=').unwrap_or(end);
        if parameter[..equals].to_ascii_lowercase().ends_with(b"sessionid") && equals < end {
            out.extend_from_slice(&parameter[..=equals]);
            out.push(b'-');
        } else {
            out.extend_from_slice(&parameter[..end]);
        }
        rest = &parameter[end..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::defaults::ACCESS_LOG_COMBINED;
    use crate::template::{Answered, Template};
    use pingora_http::RequestHeader;

    fn template(text: &str) -> LogFormat {
        LogFormat::Template(Template::parse(text).unwrap())
    }

    fn answered() -> Answered<'static> {
        Answered {
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
        }
    }

    fn logged(format: &LogFormat, target: &[u8], user_agent: Option<&[u8]>) -> String {
        let mut request = RequestHeader::build("GET", target, None).unwrap();
        if let Some(user_agent) = user_agent {
            request.insert_header("User-Agent", user_agent).unwrap();
        }
        let variables =
            Variables { answered: Some(answered()), ..Variables::of(&request, "192.0.2.1".parse().unwrap()) };
        line(format, &variables)
    }

    #[test]
    fn combined_is_nginxs() {
        assert_eq!(
            logged(&template(ACCESS_LOG_COMBINED), b"/a?b=c", Some(b"curl/8")),
            "192.0.2.1 - - [23/Nov/2026:10:00:00 +0000] \"GET /a?b=c HTTP/1.1\" 200 12 \"-\" \"curl/8\""
        );
    }

    #[test]
    fn the_user_is_logged_and_can_forge_nothing() {
        let of = |format: &LogFormat, authorization: &str| {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            request.insert_header("Authorization", authorization).unwrap();
            let variables = Variables {
                answered: Some(answered()),
                ..Variables::of(&request, "192.0.2.1".parse().unwrap())
            };
            line(format, &variables)
        };
        let combined = template(ACCESS_LOG_COMBINED);
        // anna:secret, and then a"\n:.
        assert!(of(&combined, "Basic YW5uYTpzZWNyZXQ=").starts_with("192.0.2.1 - anna ["));
        assert!(of(&combined, "Basic YSIKOg==").starts_with("192.0.2.1 - a\\x22\\x0A ["));
        assert!(of(&combined, "Bearer x").starts_with("192.0.2.1 - - ["));
        let json = |authorization| {
            let value: Value = serde_json::from_str(&of(&LogFormat::Json, authorization)).unwrap();
            value["remote_user"].clone()
        };
        assert_eq!((json("Basic YW5uYTpzZWNyZXQ="), json("Bearer x")), (json!("anna"), Value::Null));
    }

    #[test]
    fn a_template_has_what_is_asked_for() {
        let format = template("$status $request_time $upstream_addr $arg_b");
        assert_eq!(logged(&format, b"/a?b=c", None), "200 0.015 127.0.0.1:8081 c");
    }

    #[test]
    fn json_is_an_object_with_numbers() {
        let text = logged(&LogFormat::Json, b"/a;jsessionid=SECRET", Some(b"a\"b\t"));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["status"], &value["uri"]), (&json!(200), &json!("/a;jsessionid=-")));
        assert_eq!((&value["user_agent"], &value["request_time"]), (&json!("a\"b\t"), &json!(0.015)));
    }

    #[test]
    fn nothing_can_forge_a_line() {
        let line = logged(&template(ACCESS_LOG_COMBINED), b"/", Some(b"a\"b\tc\\\xff"));
        assert!(line.contains("\"a\\x22b\\x09c\\x5C"), "{line}");
    }

    #[test]
    fn session_ids_are_not_logged() {
        let combined = |target| logged(&template(ACCESS_LOG_COMBINED), target, None);
        assert!(
            combined(b"/a;jsessionid=SECRET-n1/b;v=1?q=;x").contains("\"GET /a;jsessionid=-/b;v=1?q=;x HTTP")
        );
        assert!(!combined(b"/a;JSESSIONID=SECRET").contains("SECRET"));
    }
}

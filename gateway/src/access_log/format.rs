//! nginx's `combined`: `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent
//! "$http_referer" "$http_user_agent"`.

use std::fmt::Write as _;
use std::net::IpAddr;

/// What is logged of a request.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// The client.
    pub remote_addr: IpAddr,
    /// In `%d/%b/%Y:%H:%M:%S %z`.
    pub time_local: &'a str,
    /// Its method.
    pub method: &'a str,
    /// Its target as received.
    pub target: &'a [u8],
    /// `HTTP/1.1`.
    pub version: &'a str,
    /// What was answered; 499 when the client left before, as nginx logs it.
    pub status: u16,
    /// Bytes of the response's body.
    pub body_bytes_sent: usize,
    /// `Referer`.
    pub referer: Option<&'a [u8]>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
}

/// The line, without its end.
pub fn combined(entry: &Entry<'_>) -> String {
    let mut out = String::with_capacity(200);
    let _ = write!(out, "{} - - [{}] \"{} ", entry.remote_addr, entry.time_local, entry.method);
    escape(&mut out, &without_ids(entry.target));
    let _ = write!(out, " {}\" {} {} \"", entry.version, entry.status, entry.body_bytes_sent);
    escape(&mut out, &without_ids(entry.referer.unwrap_or(b"-")));
    out.push_str("\" \"");
    escape(&mut out, entry.user_agent.unwrap_or(b"-"));
    out.push('"');
    out
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
fn without_ids(target: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(target.len());
    let mut rest = target;
    while let Some(at) = rest.iter().position(|b| *b == b';') {
        let (before, parameter) = rest.split_at(at + 1);
        out.extend_from_slice(before);
        let end =
            parameter.iter().position(|b| matches!(b, b';' | b'/' | b'?' | b'#')).unwrap_or(parameter.len());
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
    use super::*;

    fn line(target: &[u8], user_agent: Option<&[u8]>) -> String {
        combined(&Entry {
            remote_addr: "192.0.2.1".parse().unwrap(),
            time_local: "23/Nov/2026:10:00:00 +0000",
            method: "GET",
            target,
            version: "HTTP/1.1",
            status: 200,
            body_bytes_sent: 12,
            referer: None,
            user_agent,
        })
    }

    #[test]
    fn it_is_nginxs_combined() {
        assert_eq!(
            line(b"/a?b=c", Some(b"curl/8")),
            "192.0.2.1 - - [23/Nov/2026:10:00:00 +0000] \"GET /a?b=c HTTP/1.1\" 200 12 \"-\" \"curl/8\""
        );
    }

    #[test]
    fn nothing_can_forge_a_line() {
        let line = line(b"/", Some(b"a\"b\nc\\\xff"));
        assert!(line.ends_with("\"a\\x22b\\x0Ac\\x5C\\xFF\""), "{line}");
    }

    #[test]
    fn session_ids_are_not_logged() {
        assert!(
            line(b"/a;jsessionid=SECRET-n1/b;v=1?q=;x", None)
                .contains("\"GET /a;jsessionid=-/b;v=1?q=;x HTTP")
        );
        assert!(!line(b"/a;JSESSIONID=SECRET", None).contains("SECRET"));
    }
}

//! nginx's variables, as far as they make sense here.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::header::{COOKIE, HOST};
use pingora_http::{RequestHeader, ResponseHeader};

use super::user::user;

/// Which variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Variable {
    Plain(usize),
    /// `$http_NAME`: a field of the request.
    Http(String),
    /// `$sent_http_NAME`: a field of the response.
    SentHttp(String),
    /// `$cookie_NAME`.
    Cookie(String),
    /// `$arg_NAME`.
    Arg(String),
}

/// What the variables stand for in one request.
#[derive(Debug, Clone)]
pub struct Variables<'a> {
    /// As received.
    pub request: &'a RequestHeader,
    /// The target as received.
    pub target: &'a [u8],
    /// The path, decoded and without `.` and `..`.
    pub uri: &'a str,
    /// The upstream's name.
    pub proxy_host: &'a str,
    /// The first name of the server that took the request.
    pub server_name: &'a str,
    /// The client.
    pub remote_addr: IpAddr,
    /// The port of the other end.
    pub remote_port: u16,
    /// `X-Forwarded-For` with the peer added.
    pub forwarded_for: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Where the request came in.
    pub server_addr: IpAddr,
    /// Its port.
    pub server_port: u16,
    /// 32 hexadecimal digits.
    pub request_id: &'a str,
    /// What is known when the request has been answered.
    pub answered: Option<Answered<'a>>,
}

/// What is known when a request has been answered.
#[derive(Debug, Clone)]
pub struct Answered<'a> {
    /// What was answered; 499 when the client left before, as nginx logs it.
    pub status: u16,
    /// Bytes of the response's body.
    pub body_bytes_sent: usize,
    /// The response.
    pub response: Option<&'a ResponseHeader>,
    /// From the request's first byte to the response's last.
    pub request_time: Duration,
    /// The servers that were tried, in their order.
    pub upstream_addr: &'a str,
    /// Their answers; `-`: none.
    pub upstream_status: &'a str,
    /// How long each took, in seconds.
    pub upstream_response_time: &'a str,
    /// In `%d/%b/%Y:%H:%M:%S %z`.
    pub time_local: &'a str,
    /// ISO 8601.
    pub time_iso8601: &'a str,
    /// Seconds since 1970 with milliseconds.
    pub msec: &'a str,
}

type Get = for<'a> fn(&Variables<'a>) -> Cow<'a, str>;

const PLAIN: &[(&str, Get)] = &[
    ("host", |v| v.host().into()),
    ("proxy_host", |v| v.proxy_host.into()),
    ("server_name", |v| v.server_name.into()),
    ("remote_addr", |v| v.remote_addr.to_string().into()),
    ("remote_port", |v| v.remote_port.to_string().into()),
    ("remote_user", |v| v.remote_user().into()),
    ("proxy_add_x_forwarded_for", |v| v.forwarded_for.into()),
    ("scheme", |v| v.scheme.into()),
    ("https", |v| if v.scheme == "https" { "on" } else { "" }.into()),
    ("server_addr", |v| v.server_addr.to_string().into()),
    ("server_port", |v| v.server_port.to_string().into()),
    ("server_protocol", |v| protocol(v.request.version).into()),
    ("request_method", |v| v.request.method.as_str().to_owned().into()),
    ("request_uri", |v| String::from_utf8_lossy(v.target)),
    ("request", |v| {
        let target = String::from_utf8_lossy(v.target);
        format!("{} {target} {}", v.request.method, protocol(v.request.version)).into()
    }),
    ("request_id", |v| v.request_id.into()),
    ("uri", |v| v.uri.into()),
    ("document_uri", |v| v.uri.into()),
    ("args", |v| v.args()),
    ("query_string", |v| v.args()),
    ("is_args", |v| if v.args().is_empty() { "" } else { "?" }.into()),
    ("status", |v| v.answered(|a| a.status.to_string().into())),
    ("body_bytes_sent", |v| v.answered(|a| a.body_bytes_sent.to_string().into())),
    ("request_time", |v| v.answered(|a| format!("{:.3}", a.request_time.as_secs_f64()).into())),
    ("upstream_addr", |v| v.answered(|a| a.upstream_addr.into())),
    ("upstream_status", |v| v.answered(|a| a.upstream_status.into())),
    ("upstream_response_time", |v| v.answered(|a| a.upstream_response_time.into())),
    ("time_local", |v| v.answered(|a| a.time_local.into())),
    ("time_iso8601", |v| v.answered(|a| a.time_iso8601.into())),
    ("msec", |v| v.answered(|a| a.msec.into())),
];

/// For error messages.
pub(super) fn known() -> String {
    let plain: Vec<_> = PLAIN.iter().map(|(name, _)| format!("${name}")).collect();
    format!("{}, $http_NAME, $sent_http_NAME, $cookie_NAME, $arg_NAME", plain.join(", "))
}

impl Variable {
    pub(super) fn find(name: &str) -> Option<Self> {
        if let Some(at) = PLAIN.iter().position(|(known, _)| *known == name) {
            return Some(Self::Plain(at));
        }
        let named = |prefix| name.strip_prefix(prefix).filter(|rest: &&str| !rest.is_empty());
        let header = |rest: &str| rest.replace('_', "-").to_ascii_lowercase();
        if let Some(rest) = named("sent_http_") {
            Some(Self::SentHttp(header(rest)))
        } else if let Some(rest) = named("http_") {
            Some(Self::Http(header(rest)))
        } else if let Some(rest) = named("cookie_") {
            Some(Self::Cookie(rest.to_owned()))
        } else {
            named("arg_").map(|rest| Self::Arg(rest.to_owned()))
        }
    }
}

impl<'a> Variables<'a> {
    /// What is known of a request at first.
    pub fn of(request: &'a RequestHeader, remote_addr: IpAddr) -> Self {
        Self {
            request,
            target: request.raw_path(),
            uri: "",
            proxy_host: "",
            server_name: "",
            remote_addr,
            remote_port: 0,
            forwarded_for: "",
            scheme: "http",
            server_addr: Ipv4Addr::UNSPECIFIED.into(),
            server_port: 80,
            request_id: "",
            answered: None,
        }
    }

    pub(super) fn get(&self, variable: &Variable) -> Cow<'a, str> {
        match variable {
            Variable::Plain(at) => PLAIN[*at].1(self),
            Variable::Http(name) if name == "host" => self.http_host(),
            Variable::Http(name) => joined(&self.request.headers, name),
            Variable::SentHttp(name) => self
                .answered
                .as_ref()
                .and_then(|answered| answered.response)
                .map_or("".into(), |response| joined(&response.headers, name)),
            Variable::Cookie(name) => self.cookie(name),
            Variable::Arg(name) => self.arg(name),
        }
    }

    /// The `Host` field as received, or HTTP/2's `:authority`.
    pub fn http_host(&self) -> Cow<'a, str> {
        let named = joined(&self.request.headers, HOST.as_str());
        match self.request.uri.authority() {
            Some(authority) if named.is_empty() => authority.as_str().into(),
            _ => named,
        }
    }

    /// The host that the client named, without port and in lower case; nginx's `$host`.
    pub fn host(&self) -> String {
        let host = without_port(&self.http_host()).trim_end_matches('.').to_ascii_lowercase();
        if host.is_empty() { self.server_name.to_owned() } else { host }
    }

    /// Whom `Authorization: Basic` names; empty: nobody.
    pub fn remote_user(&self) -> String {
        user(&self.request.headers)
    }

    fn args(&self) -> Cow<'a, str> {
        match self.target.iter().position(|b| *b == b'?') {
            Some(at) => String::from_utf8_lossy(&self.target[at + 1..]),
            None => "".into(),
        }
    }

    fn arg(&self, name: &str) -> Cow<'a, str> {
        let args = self.args();
        // As nginx: the first whose name is this, in whatever case.
        let value = args.split('&').find_map(|pair| {
            let (other, value) = pair.split_once('=')?;
            other.eq_ignore_ascii_case(name).then_some(value)
        });
        value.unwrap_or_default().to_owned().into()
    }

    fn cookie(&self, name: &str) -> Cow<'a, str> {
        let lines = self.request.headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).map(str::trim);
        pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default().into()
    }

    fn answered(&self, get: impl Fn(&Answered<'a>) -> Cow<'a, str>) -> Cow<'a, str> {
        self.answered.as_ref().map_or("".into(), get)
    }
}

/// As the access log has it.
pub(crate) fn protocol(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

fn joined<'a>(headers: &'a http::HeaderMap, name: &str) -> Cow<'a, str> {
    let mut lines = headers.get_all(name).iter();
    let Some(first) = lines.next() else { return "".into() };
    let mut all = String::from_utf8_lossy(first.as_bytes());
    for line in lines {
        let all = all.to_mut();
        all.push_str(", ");
        all.push_str(&String::from_utf8_lossy(line.as_bytes()));
    }
    all
}

/// `host` of `host:port`; an IPv6 address stays in its brackets.
pub(crate) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

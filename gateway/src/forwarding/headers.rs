//! The request's headers as a server sees them.

use std::net::IpAddr;

use http::header::{FORWARDED, HOST};
use pingora_core::Result;
use pingora_http::RequestHeader;

use super::template::{Template, Variables};

/// Where the request comes from.
#[derive(Debug, Clone)]
pub struct Client {
    /// The other end of the connection.
    pub peer: IpAddr,
    /// The client, as far as trusted proxies tell.
    pub address: IpAddr,
    /// Whether the peer is a trusted proxy.
    pub trusted: bool,
    /// The port of our listener.
    pub server_port: u16,
}

const X_REAL_IP: &str = "x-real-ip";
const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
const X_FORWARDED_HOST: &str = "x-forwarded-host";
const UNSENT: &str = "x-satchel-unsent";

/// Sets them. What an untrusted client says about itself is dropped; what the configuration sets wins.
///
/// # Errors
/// A value that is no header value; none of ours can be.
pub fn set_headers(
    request: &mut RequestHeader,
    client: &Client,
    proxy_host: &str,
    set: &[(http::HeaderName, Template)],
) -> Result<()> {
    let text = |name: &str| {
        let lines: Vec<_> =
            request.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        lines.join(", ")
    };
    let http_host = text(HOST.as_str());
    let remote_addr = client.address.to_string();
    let received = if client.trusted { text(X_FORWARDED_FOR) } else { String::new() };
    let forwarded_for =
        if received.is_empty() { client.peer.to_string() } else { format!("{received}, {}", client.peer) };
    let keep = |name: &str| client.trusted && request.headers.contains_key(name);
    let (keep_proto, keep_host) = (keep(X_FORWARDED_PROTO), keep(X_FORWARDED_HOST));
    let variables = Variables {
        http_host: &http_host,
        proxy_host,
        remote_addr: &remote_addr,
        forwarded_for: &forwarded_for,
        scheme: "http",
        server_port: client.server_port,
    };
    request.remove_header(UNSENT);
    if !client.trusted {
        request.remove_header(&FORWARDED);
    }
    request.insert_header(X_REAL_IP, remote_addr.as_str())?;
    request.insert_header(X_FORWARDED_FOR, forwarded_for.as_str())?;
    if !keep_proto {
        request.insert_header(X_FORWARDED_PROTO, variables.scheme)?;
    }
    if !keep_host && !http_host.is_empty() {
        request.insert_header(X_FORWARDED_HOST, http_host.as_str())?;
    } else if !keep_host {
        request.remove_header(X_FORWARDED_HOST);
    }
    request.insert_header(HOST, proxy_host)?;
    for (name, template) in set {
        let value = template.render(&variables);
        if value.is_empty() {
            request.remove_header(name);
        } else {
            request.insert_header(name.clone(), value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(trusted: bool, sent: &[(&'static str, &str)], set: &[(&str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in sent {
            request.append_header(*name, *value).unwrap();
        }
        let client = Client {
            peer: "10.0.0.1".parse().unwrap(),
            address: "192.0.2.1".parse().unwrap(),
            trusted,
            server_port: 80,
        };
        let set: Vec<_> =
            set.iter().map(|(n, v)| (n.parse().unwrap(), Template::parse(v).unwrap())).collect();
        set_headers(&mut request, &client, "tomcats", &set).unwrap();
        request
    }

    fn value<'a>(request: &'a RequestHeader, name: &str) -> Option<&'a str> {
        assert!(request.headers.get_all(name).iter().count() <= 1, "{name}");
        request.headers.get(name).map(|value| value.to_str().unwrap())
    }

    const SENT: &[(&str, &str)] = &[
        ("host", "shop.example"),
        ("x-real-ip", "6.6.6.6"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-for", "7.7.7.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "for=6.6.6.6"),
        ("x-satchel-unsent", "1"),
    ];

    #[test]
    fn an_untrusted_client_is_not_believed() {
        let request = forwarded(false, SENT, &[]);
        assert_eq!(value(&request, "host"), Some("tomcats"));
        assert_eq!(value(&request, "x-real-ip"), Some("192.0.2.1"));
        assert_eq!(value(&request, "x-forwarded-for"), Some("10.0.0.1"));
        assert_eq!(value(&request, "x-forwarded-proto"), Some("http"));
        assert_eq!(value(&request, "x-forwarded-host"), Some("shop.example"));
        assert_eq!(value(&request, "forwarded"), None);
        assert_eq!(value(&request, "x-satchel-unsent"), None);
    }

    #[test]
    fn a_trusted_proxy_is_added_to() {
        let request = forwarded(true, SENT, &[]);
        assert_eq!(value(&request, "x-forwarded-for"), Some("6.6.6.6, 7.7.7.7, 10.0.0.1"));
        assert_eq!(value(&request, "x-forwarded-proto"), Some("https"));
        assert_eq!(value(&request, "x-forwarded-host"), Some("evil.example"));
        assert_eq!(value(&request, "forwarded"), Some("for=6.6.6.6"));
    }

    #[test]
    fn the_configuration_wins() {
        let request = forwarded(false, SENT, &[("Host", "$http_host"), ("X-Forwarded-Host", "")]);
        assert_eq!(value(&request, "host"), Some("shop.example"));
        assert_eq!(value(&request, "x-forwarded-host"), None);
    }
}

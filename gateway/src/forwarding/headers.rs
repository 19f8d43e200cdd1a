//! The request's header as a server sees it.

use http::header::{FORWARDED, HOST};
use pingora_core::Result;
use pingora_http::RequestHeader;

use super::Client;
use crate::template::{Template, Variables};

const X_REAL_IP: &str = "x-real-ip";
pub(super) const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
const X_FORWARDED_HOST: &str = "x-forwarded-host";
const UNSENT: &str = "x-satchel-unsent";

/// Sets its fields. What an untrusted client says about itself is dropped; what the configuration sets wins.
///
/// # Errors
/// A value that is no header value; none of ours can be.
pub fn set_headers(
    request: &mut RequestHeader,
    client: &Client,
    variables: &Variables<'_>,
    set: &[(http::HeaderName, Template)],
) -> Result<()> {
    let keep = |name: &str| client.trusted && variables.request.headers.contains_key(name);
    request.remove_header(UNSENT);
    if !client.trusted {
        request.remove_header(&FORWARDED);
    }
    request.insert_header(X_REAL_IP, client.address.to_string())?;
    request.insert_header(X_FORWARDED_FOR, variables.forwarded_for)?;
    if !keep(X_FORWARDED_PROTO) {
        request.insert_header(X_FORWARDED_PROTO, variables.scheme)?;
    }
    if !keep(X_FORWARDED_HOST) {
        let host = variables.http_host();
        if host.is_empty() {
            request.remove_header(X_FORWARDED_HOST);
        } else {
            request.insert_header(X_FORWARDED_HOST, host.into_owned())?;
        }
    }
    request.insert_header(HOST, variables.proxy_host)?;
    for (name, template) in set {
        let value = template.render_field(variables);
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
        let received = request.clone();
        let client = Client::of(
            "10.0.0.1:1".parse().unwrap(),
            &received,
            &if trusted { vec!["10.0.0.0/8".parse().unwrap()] } else { Vec::new() },
        );
        let variables = Variables {
            proxy_host: "tomcats",
            forwarded_for: &client.forwarded_for,
            ..Variables::of(&received, client.address)
        };
        let set: Vec<_> = set
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), Template::parse(value).unwrap()))
            .collect();
        set_headers(&mut request, &client, &variables, &set).unwrap();
        request
    }

    fn value<'a>(request: &'a RequestHeader, name: &str) -> Option<&'a str> {
        let mut all = request.headers.get_all(name).iter();
        let first = all.next().map(|value| value.to_str().unwrap());
        assert!(all.next().is_none(), "{name} is there twice");
        first
    }

    const LIES: [(&str, &str); 7] = [
        ("Host", "shop.example"),
        ("X-Real-IP", "6.6.6.6"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "for=6.6.6.6"),
        ("X-Satchel-Unsent", "1"),
    ];

    #[test]
    fn what_a_client_says_about_itself_is_dropped() {
        let request = forwarded(false, &LIES, &[]);
        for (name, expected) in [
            ("host", Some("tomcats")),
            ("x-real-ip", Some("10.0.0.1")),
            ("x-forwarded-for", Some("10.0.0.1")),
            ("x-forwarded-proto", Some("http")),
            ("x-forwarded-host", Some("shop.example")),
            ("forwarded", None),
            ("x-satchel-unsent", None),
        ] {
            assert_eq!(value(&request, name), expected, "{name}");
        }
    }

    #[test]
    fn what_a_trusted_proxy_says_is_kept_and_added_to() {
        let request = forwarded(true, &LIES, &[]);
        for (name, expected) in [
            ("host", Some("tomcats")),
            ("x-real-ip", Some("6.6.6.6")),
            ("x-forwarded-for", Some("6.6.6.6, 10.0.0.1")),
            ("x-forwarded-proto", Some("https")),
            ("x-forwarded-host", Some("evil.example")),
            ("forwarded", Some("for=6.6.6.6")),
            ("x-satchel-unsent", None),
        ] {
            assert_eq!(value(&request, name), expected, "{name}");
        }
    }

    #[test]
    fn the_configuration_wins_and_an_empty_value_removes() {
        let set = [("Host", "$http_host"), ("X-Real-IP", ""), ("X-Added", "a$remote_addr")];
        let request = forwarded(false, &LIES, &set);
        assert_eq!(value(&request, "host"), Some("shop.example"));
        assert_eq!(value(&request, "x-real-ip"), None);
        assert_eq!(value(&request, "x-added"), Some("a10.0.0.1"));
    }
}

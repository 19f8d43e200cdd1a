//! Header values with nginx's variables.

use std::fmt::Write as _;

/// A value, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(Variable),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variable {
    Host,
    HttpHost,
    ProxyHost,
    RemoteAddr,
    ProxyAddXForwardedFor,
    Scheme,
    ServerPort,
}

const NAMES: [(&str, Variable); 7] = [
    ("host", Variable::Host),
    ("http_host", Variable::HttpHost),
    ("proxy_host", Variable::ProxyHost),
    ("remote_addr", Variable::RemoteAddr),
    ("proxy_add_x_forwarded_for", Variable::ProxyAddXForwardedFor),
    ("scheme", Variable::Scheme),
    ("server_port", Variable::ServerPort),
];

/// Why a value can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TemplateError {
    /// There is no such variable.
    #[error("there is no variable ${0}; there are: {known}", known = NAMES.map(|(name, _)| format!("${name}")).join(", "))]
    Unknown(String),
    /// It would end the header.
    #[error("must not have control characters")]
    Control,
}

/// What the variables stand for in one request.
#[derive(Debug, Clone, Default)]
pub struct Variables<'a> {
    /// The `Host` header as received.
    pub http_host: &'a str,
    /// The upstream's name.
    pub proxy_host: &'a str,
    /// The client.
    pub remote_addr: &'a str,
    /// `X-Forwarded-For` with the peer added.
    pub forwarded_for: &'a str,
    /// `http`.
    pub scheme: &'a str,
    /// The port of the listener.
    pub server_port: u16,
}

impl Template {
    /// Reads `text`.
    ///
    /// # Errors
    /// Names the variable that does not exist.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(TemplateError::Control);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            let (name, tail) = after.split_at(end);
            let known = NAMES.iter().find(|(known, _)| *known == name);
            let (_, variable) = known.ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Variable(*variable));
            rest = tail;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Self(parts))
    }

    /// The value for a request.
    pub fn render(&self, variables: &Variables<'_>) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Variable(Variable::Host) => out.push_str(without_port(variables.http_host)),
                Part::Variable(Variable::HttpHost) => out.push_str(variables.http_host),
                Part::Variable(Variable::ProxyHost) => out.push_str(variables.proxy_host),
                Part::Variable(Variable::RemoteAddr) => out.push_str(variables.remote_addr),
                Part::Variable(Variable::ProxyAddXForwardedFor) => out.push_str(variables.forwarded_for),
                Part::Variable(Variable::Scheme) => out.push_str(variables.scheme),
                Part::Variable(Variable::ServerPort) => {
                    let _ = write!(out, "{}", variables.server_port);
                }
            }
        }
        out
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in() {
        let variables = Variables {
            http_host: "shop.example:8080",
            proxy_host: "tomcats",
            remote_addr: "192.0.2.1",
            forwarded_for: "192.0.2.7, 192.0.2.1",
            scheme: "http",
            server_port: 80,
        };
        for (text, value) in [
            ("$host", "shop.example"),
            ("$http_host", "shop.example:8080"),
            ("$scheme://$host:$server_port/", "http://shop.example:80/"),
            ("$proxy_host", "tomcats"),
            ("plain", "plain"),
            ("", ""),
            ("a$remote_addr", "a192.0.2.1"),
            ("$proxy_add_x_forwarded_for", "192.0.2.7, 192.0.2.1"),
        ] {
            assert_eq!(Template::parse(text).unwrap().render(&variables), value);
        }
    }

    #[test]
    fn unknown_variables_are_named() {
        assert_eq!(Template::parse("$hots").unwrap_err(), TemplateError::Unknown("hots".into()));
        assert_eq!(Template::parse("a\r\nb").unwrap_err(), TemplateError::Control);
        assert!(Template::parse("$").is_err());
    }
}

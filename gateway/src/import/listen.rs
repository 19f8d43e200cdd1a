//! `listen`: always an address with a port here.

use std::net::{IpAddr, SocketAddr};

use super::parser::Directive;
use super::scope::{Outcome, changed, not};

/// One socket of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listen {
    pub(super) address: SocketAddr,
    pub(super) ssl: bool,
    pub(super) http2: bool,
    pub(super) proxy_protocol: bool,
    pub(super) default_server: bool,
}

impl Listen {
    /// Port 80 of all addresses, where nginx is told nothing.
    pub(super) fn default_port() -> Self {
        Self {
            address: ([0, 0, 0, 0], 80).into(),
            ssl: false,
            http2: false,
            proxy_protocol: false,
            default_server: false,
        }
    }

    /// As it is printed.
    pub(super) fn text(&self) -> String {
        let flags = [
            (self.ssl, " ssl"),
            (self.http2, " http2"),
            (self.proxy_protocol, " proxy_protocol"),
            (self.default_server, " default_server"),
        ];
        let words: String = flags.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        format!("{}{words}", self.address)
    }
}

/// The sockets of one directive; two if IPv4 is served by the IPv6 socket.
pub(super) fn parse(directive: &Directive) -> (Vec<Listen>, Outcome) {
    let args = directive.args();
    let Some((first, words)) = args.split_first() else {
        return (Vec::new(), not("an address or a port is expected"));
    };
    let address = match address(first) {
        Ok(address) => address,
        Err(why) => return (Vec::new(), not(why)),
    };
    let has = |word: &str| words.contains(&word);
    if has("quic") {
        return (Vec::new(), not("HTTP/3 is not offered"));
    }
    let listen = Listen {
        address,
        ssl: has("ssl"),
        http2: has("http2") || has("spdy"),
        proxy_protocol: has("proxy_protocol"),
        default_server: has("default_server") || has("default"),
    };
    let mut all = vec![listen];
    let mut outcome = Outcome::Carried;
    if has("ipv6only=off") && address.ip() == IpAddr::from([0_u16; 8]) {
        let v4 = Listen { address: ([0, 0, 0, 0], address.port()).into(), ..all[0].clone() };
        outcome = changed(format!("IPv4 has a socket of its own here: {}", v4.address));
        all.push(v4);
    }
    (all, outcome)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    if text.starts_with("unix:") {
        return Err("a socket's file is not possible; write an address with a port".into());
    }
    if let Ok(port) = text.parse::<u16>() {
        return Ok(([0, 0, 0, 0], port).into());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, "80"),
    };
    let port: u16 = port.parse().map_err(|_| format!("'{port}' is no port"))?;
    let ip = match host {
        "*" | "" => IpAddr::from([0, 0, 0, 0]),
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        host => host
            .trim_matches(['[', ']'])
            .parse()
            .map_err(|_| format!("'{host}' is a name; write its address: \"192.0.2.1:{port}\""))?,
    };
    Ok((ip, port).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::tests::directives;

    #[test]
    fn addresses_are_written_out() {
        for (nginx, ours) in [
            ("80", "0.0.0.0:80"),
            ("*:8080", "0.0.0.0:8080"),
            ("127.0.0.1", "127.0.0.1:80"),
            ("localhost:81", "127.0.0.1:81"),
            ("[::]:80 ipv6only=on", "[::]:80"),
            ("[::1]", "[::1]:80"),
            ("443 ssl http2 default_server", "0.0.0.0:443 ssl http2 default_server"),
            (
                "1.2.3.4:80 default backlog=5 reuseport proxy_protocol",
                "1.2.3.4:80 proxy_protocol default_server",
            ),
        ] {
            let (all, outcome) = parse(&directives(&format!("listen {nginx};"))[0]);
            assert_eq!((all[0].text(), all.len(), outcome), (ours.into(), 1, Outcome::Carried), "{nginx}");
        }
        let (all, _) = parse(&directives("listen [::]:80 ipv6only=off;")[0]);
        assert_eq!(all.iter().map(Listen::text).collect::<Vec<_>>(), ["[::]:80", "0.0.0.0:80"]);
        for wrong in ["unix:/run/x", "example.com:80", "443 quic", "99999", "a:b"] {
            assert!(
                matches!(parse(&directives(&format!("listen {wrong};"))[0]), (all, Outcome::Not(_)) if all.is_empty())
            );
        }
    }
}

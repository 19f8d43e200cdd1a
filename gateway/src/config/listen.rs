//! nginx's words after `listen`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where a server listens, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// TLS is spoken.
    pub ssl: bool,
    /// HTTP/2 is offered, by TLS.
    pub http2: bool,
    /// Every connection begins with a PROXY protocol header; those of trusted proxies are believed.
    pub proxy_protocol: bool,
    /// It takes requests for hosts that no server names.
    pub default_server: bool,
}

impl Listen {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let address = words.next().unwrap_or_default();
        let address: SocketAddr = address.parse().map_err(|_| {
            format!(
                "'{address}' is not an address; write \"0.0.0.0:80\" or \"[::]:80\", then ssl, http2, proxy_protocol or default_server"
            )
        })?;
        let mut listen =
            Self { address, ssl: false, http2: false, proxy_protocol: false, default_server: false };
        for word in words {
            let flag = match word {
                "ssl" => &mut listen.ssl,
                "http2" => &mut listen.http2,
                "proxy_protocol" => &mut listen.proxy_protocol,
                "default_server" => &mut listen.default_server,
                other => {
                    return Err(format!(
                        "'{other}' is not known here; ssl, http2, proxy_protocol and default_server are"
                    ));
                }
            };
            *flag = true;
        }
        if listen.http2 && !listen.ssl {
            return Err("http2 needs ssl: clients agree on it by TLS".into());
        }
        Ok(listen)
    }

    /// The same port of all addresses of the family.
    pub fn of_all_addresses(&self) -> Self {
        let any =
            if self.address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        Self { address: SocketAddr::new(any, self.address.port()), ..*self }
    }

    /// Whether both can be one socket: all but `default_server` must be the same.
    pub(super) fn is_compatible(&self, other: &Self) -> bool {
        let same = |listen: &Self| Self { default_server: false, ..*listen };
        same(self) == same(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginxs_words_are_read() {
        let listen = Listen::parse("[::]:443 ssl http2 default_server").unwrap();
        assert!(listen.ssl && listen.http2 && listen.default_server && !listen.proxy_protocol);
        assert_eq!(listen.address.port(), 443);
        for (text, named) in [("80", "0.0.0.0:80"), ("", "not an address"), ("0.0.0.0:80 tls", "tls")] {
            assert!(Listen::parse(text).unwrap_err().contains(named), "{text}");
        }
    }
}

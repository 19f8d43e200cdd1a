//! Where a request comes from.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use pingora_http::RequestHeader;

use super::headers::X_FORWARDED_FOR;
use super::{client_address, is_trusted};

/// Where a request comes from.
#[derive(Debug, Clone)]
pub struct Client {
    /// The other end of the connection, or what a PROXY protocol header says it is.
    pub peer: SocketAddr,
    /// The client, as far as trusted proxies tell.
    pub address: IpAddr,
    /// Whether the peer is a trusted proxy.
    pub trusted: bool,
    /// `X-Forwarded-For` with the peer added.
    pub forwarded_for: String,
}

impl Client {
    /// Of a request as it was received.
    pub fn of(peer: SocketAddr, request: &RequestHeader, trusted_proxies: &[IpNet]) -> Self {
        let lines = request.headers.get_all(X_FORWARDED_FOR);
        let lines: Vec<_> = lines.iter().filter_map(|line| line.to_str().ok()).collect();
        let trusted = is_trusted(peer.ip(), trusted_proxies);
        let received = if trusted { lines.join(", ") } else { String::new() };
        let forwarded_for =
            if received.is_empty() { peer.ip().to_string() } else { format!("{received}, {}", peer.ip()) };
        Self {
            peer,
            address: client_address(peer.ip(), lines.into_iter(), trusted_proxies),
            trusted,
            forwarded_for,
        }
    }
}

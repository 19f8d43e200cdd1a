//! Which server and which location a request is for. nginx's rules: `ngx_http_core_module`, "Request processing".

mod host;
mod path;
mod uri;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

pub use host::ServerName;
pub use path::PathMatch;
pub(crate) use path::of_bytes;
pub use uri::{Malformed, decode, encode, origin_form};

use crate::config::{Location, ServerConfig};

/// The servers of each socket.
#[derive(Debug, Default)]
pub struct Routes {
    sockets: HashMap<SocketAddr, Socket>,
}

#[derive(Debug, Default)]
struct Socket {
    /// Indexes of its servers, in the order of the file.
    servers: Vec<usize>,
    default: usize,
}

impl Routes {
    /// Of these servers.
    pub fn new(servers: &[ServerConfig]) -> Self {
        let mut sockets: HashMap<SocketAddr, Socket> = HashMap::new();
        for (index, server) in servers.iter().enumerate() {
            for listen in &server.listen {
                let socket = sockets.entry(listen.address).or_default();
                if socket.servers.is_empty() || listen.default_server {
                    socket.default = index;
                }
                socket.servers.push(index);
            }
        }
        Self { sockets }
    }

    /// The server for `host`, by its index: an exact name before a wildcard, the longest wildcard with the star in front before that with
    /// the star behind, then the first regular expression; otherwise the socket's default.
    pub fn server(&self, socket: SocketAddr, host: &str, servers: &[ServerConfig]) -> Option<usize> {
        let socket = self.socket(socket)?;
        let candidates = socket.servers.iter().copied();
        let rated = candidates.filter_map(|at| {
            let best = servers.get(at)?.names.iter().filter_map(|name| name.rank(host)).max()?;
            Some((best, at))
        });
        // Of equal ones the first in the file.
        let best = rated.max_by(|(a, first), (b, second)| a.cmp(b).then(second.cmp(first)));
        Some(best.map_or(socket.default, |(_, at)| at))
    }

    /// The socket that a connection to `local` has come in at: that of the address, or that of all addresses.
    fn socket(&self, local: SocketAddr) -> Option<&Socket> {
        let any = |ip: IpAddr| self.sockets.get(&SocketAddr::new(ip, local.port()));
        self.sockets
            .get(&local)
            .or_else(|| local.is_ipv4().then(|| any(Ipv4Addr::UNSPECIFIED.into())).flatten())
            .or_else(|| any(Ipv6Addr::UNSPECIFIED.into()))
    }
}

/// The location for a path: an exact one; else the longest prefix, unless that is not final and a regular expression matches.
pub fn location<'a>(locations: &'a [Arc<Location>], path: &[u8]) -> Option<&'a Arc<Location>> {
    let mut longest: Option<(&Arc<Location>, usize)> = None;
    for location in locations {
        match location.path.prefix_len(path) {
            Some(_) if location.path.is_exact() => return Some(location),
            Some(len) if longest.is_none_or(|(_, longest)| len > longest) => longest = Some((location, len)),
            _ => {}
        }
    }
    match longest {
        Some((location, _)) if location.path.is_final() => Some(location),
        _ => locations.iter().find(|location| location.path.matches_regex(path)).or(longest.map(|(l, _)| l)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Action, Settings};

    fn locations(paths: &[&str]) -> Vec<Arc<Location>> {
        paths
            .iter()
            .map(|path| {
                Arc::new(Location {
                    path: PathMatch::parse(path).unwrap(),
                    action: Action::Return { status: 200, text: None },
                    settings: Settings::defaults(),
                })
            })
            .collect()
    }

    fn found(paths: &[&str], path: &str) -> String {
        location(&locations(paths), path.as_bytes())
            .map(|location| location.path.to_string())
            .unwrap_or_default()
    }

    /// The example of nginx's documentation of `location`.
    #[test]
    fn locations_are_found_as_nginx_finds_them() {
        let paths = ["= /", "/", "/documents/", "^~ /images/", "~* \\.(gif|jpg|jpeg)$"];
        for (path, expected) in [
            ("/", "= /"),
            ("/index.html", "/"),
            ("/documents/document.html", "/documents/"),
            ("/images/1.gif", "^~ /images/"),
            ("/documents/1.jpg", "~* \\.(gif|jpg|jpeg)$"),
            ("/documents/1.JPG", "~* \\.(gif|jpg|jpeg)$"),
        ] {
            assert_eq!(found(&paths, path), expected, "{path}");
        }
        assert_eq!(found(&["/app", "~ a", "~ ap"], "/app"), "~ a", "the first of several");
        assert_eq!(found(&["/app"], "/other"), "");
        assert_eq!(found(&["/a", "/app"], "/apple"), "/app");
    }
}

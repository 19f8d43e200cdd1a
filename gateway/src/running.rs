//! What a configuration has become: servers, routes and upstreams. A reload makes a new one; requests keep the one that they began with.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use satchel_common::status::Token;

use crate::access_log::Writer;
use crate::config::{Config, Location, ServerConfig};
use crate::limits::Zones;
use crate::metrics::{Metrics, Requests};
use crate::routing::{Routes, location};
use crate::upstream::Upstream;

/// A configuration in use.
pub struct Running {
    /// The servers in the order of the file.
    pub servers: Vec<ServerConfig>,
    /// By the indexes that locations have.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Where requests are logged.
    pub access_log: Writer,
    /// What the limits have counted.
    pub zones: Zones,
    /// What is counted of each server, in the order of the file.
    pub counted: Vec<Arc<Requests>>,
    /// What lets somebody change something at the admin address.
    pub admin_token: Option<Token>,
    routes: Routes,
}

/// The configuration in use now.
#[derive(Clone)]
pub struct Shared(Arc<ArcSwap<Running>>);

impl Shared {
    /// Begins with this one.
    pub fn new(running: Running) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(running)))
    }

    /// The one in use now.
    pub fn load(&self) -> Arc<Running> {
        self.0.load_full()
    }

    /// From now on this one is used. Limits that were there before, by the names of their zones, keep what they have counted.
    pub fn replace(&self, mut running: Running) {
        running.zones.take_over(&self.load().zones);
        self.0.store(Arc::new(running));
    }
}

impl Running {
    /// Of a configuration. Upstreams that were there before, by their names, keep the state of their servers.
    pub fn new(config: &Config, before: &[Arc<Upstream>], access_log: Writer, metrics: &Metrics) -> Self {
        let upstreams = config.upstreams.iter().map(|one| {
            match before.iter().find(|upstream| upstream.name == one.name) {
                Some(upstream) => {
                    upstream.reconfigure(one.clone());
                    upstream.clone()
                }
                None => Upstream::new(one.clone(), metrics),
            }
        });
        for gone in before.iter().filter(|old| config.upstreams.iter().all(|one| one.name != old.name)) {
            metrics.forget_group(&gone.name);
        }
        let locations = config.servers.iter().flat_map(|server| &server.locations);
        let names = config.servers.iter().map(ServerConfig::name);
        metrics.sites_are(&names.clone().collect());
        Self {
            counted: names.map(|name| metrics.site(&name)).collect(),
            admin_token: config.admin_token.as_ref().map(|token| token.token.clone()),
            zones: Zones::of(locations.map(|location| &location.settings)),
            upstreams: upstreams.collect(),
            access_log,
            routes: Routes::new(&config.servers),
            servers: config.servers.clone(),
        }
    }

    /// The index of the server for a host, on the socket that a connection came in at.
    pub fn server_index(&self, local: SocketAddr, host: &str) -> Option<usize> {
        self.routes.server(local, host, &self.servers)
    }

    /// The server for a host.
    pub fn server(&self, local: SocketAddr, host: &str) -> Option<&ServerConfig> {
        self.servers.get(self.server_index(local, host)?)
    }

    /// The location for a decoded path.
    pub fn location(&self, server: usize, path: &[u8]) -> Option<&Arc<Location>> {
        location(&self.servers.get(server)?.locations, path)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Instant;

    use super::*;
    use crate::config::{AccessLog, LogFormat, LogTarget};
    use crate::limits::Admission;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn no_log() -> Writer {
        Writer::open(&AccessLog { target: LogTarget::Off, format: LogFormat::Json }).unwrap()
    }

    fn running(http: &str, server: &str, location: &str) -> Running {
        let text = format!(
            "[http]\n{http}\n[[server]]\nlisten = [\"127.0.0.1:1\"]\nreturn = \"200\"\n{server}\n[[server.location]]\npath = \"/a\"\n\
             return = \"200\"\n{location}\n[[server]]\nlisten = [\"127.0.0.1:2\"]\nreturn = \"200\"\n"
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Running::new(&Config::load(file.path()).unwrap(), &[], no_log(), &Metrics::default())
    }

    #[test]
    fn an_upstream_that_is_gone_is_not_counted_any_more() {
        let config = |port: u16| {
            let text =
                format!("[[server]]\nlisten = [\"127.0.0.1:1\"]\nproxy_pass = \"http://127.0.0.1:{port}\"\n");
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            Config::load(file.path()).unwrap()
        };
        let metrics = Metrics::default();
        let names = || metrics.groups().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let first = Running::new(&config(2), &[], no_log(), &metrics);
        assert_eq!(names(), ["127.0.0.1:2"]);
        Running::new(&config(3), &first.upstreams, no_log(), &metrics);
        assert_eq!(names(), ["127.0.0.1:3"]);
    }

    /// Whether a request to the server's path may go on.
    fn request(running: &Running, server: usize, path: &str) -> bool {
        let location = running.location(server, path.as_bytes()).unwrap();
        let limit = location.settings.limit_req.as_ref().unwrap();
        running.zones.request(CLIENT, limit, Instant::now()) != Admission::Refused
    }

    #[test]
    fn a_limit_is_one_for_all_that_it_is_written_for() {
        let of_http = running("limit_req = \"1r/m\"", "", "");
        assert!(request(&of_http, 0, "/"));
        assert!(!request(&of_http, 0, "/a") && !request(&of_http, 1, "/"), "the same for all servers");
        let of_server = running("limit_req = \"1r/m\"", "limit_req = \"1r/m\"", "");
        assert!(request(&of_server, 0, "/") && !request(&of_server, 0, "/a"));
        assert!(request(&of_server, 1, "/"), "another one");
        let named = running(
            "limit_req = \"1r/m zone=a\"",
            "limit_req = \"2r/m\"",
            "limit_req = \"1r/m burst=1 zone=a\"",
        );
        assert!(request(&named, 0, "/") && request(&named, 0, "/a"));
        assert!(!request(&named, 1, "/"), "one zone with two bursts");
        assert!(request(&named, 0, "/a") && !request(&named, 0, "/a"));
    }

    #[test]
    fn what_was_counted_outlives_a_reload() {
        let text = ("limit_req = \"1r/m\"\nlimit_conn = \"1 zone=c\"", "limit_conn = \"2 zone=c\"", "");
        let shared = Shared::new(running(text.0, text.1, text.2));
        let limit = |running: &Running, server| {
            let location = running.location(server, b"/").unwrap();
            running.zones.enter(CLIENT, location.settings.limit_conn.as_ref().unwrap())
        };
        let before = shared.load();
        assert!(request(&before, 1, "/"));
        let slot = limit(&before, 0).unwrap();
        shared.replace(running(text.0, text.1, text.2));
        let after = shared.load();
        assert!(!request(&after, 1, "/") && limit(&after, 1).is_none() && limit(&after, 0).is_some());
        drop(slot);
        assert!(limit(&after, 1).is_some(), "an old request has ended");
        shared.replace(running("limit_req = \"1r/m zone=new\"", "", ""));
        assert!(request(&shared.load(), 1, "/"), "a new zone");
    }
}

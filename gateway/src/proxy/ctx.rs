//! What is known of one request while it runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use pingora_http::RequestHeader;
use satchel_common::server::Working;
use satchel_common::trace::{Parent, Trace};

use crate::config::{Action, Location, ServerConfig, Settings};
use crate::entry::Upload;
use crate::forwarding::Client;
use crate::limits::Slot;
use crate::metrics::Ended;
use crate::running::Running;
use crate::template::Variables;
use crate::upstream::{Lease, Upstream};

/// One request.
pub struct Ctx {
    pub(super) began: Instant,
    /// The configuration that it began with.
    pub(super) running: Option<Arc<Running>>,
    pub(super) server: usize,
    pub(super) location: Option<Arc<Location>>,
    pub(super) client: Option<Client>,
    pub(super) local: SocketAddr,
    pub(super) tls: bool,
    /// As it was received; the one that is sent on is changed.
    pub(super) request: Option<RequestHeader>,
    /// Its path, decoded.
    pub(super) path: Vec<u8>,
    pub(super) request_id: String,
    pub(super) lease: Option<Lease>,
    pub(super) tries: Tries,
    /// Its spans, if they are recorded.
    pub(super) trace: Option<Trace>,
    /// What its server was told of them.
    pub(super) sent: Option<Parent>,
    pub(super) body_read: u64,
    /// Its body, while it comes over HTTP/2.
    pub(super) upload: Option<Upload>,
    /// 1xx that the servers have sent.
    pub(super) informational: usize,
    /// What is sent in place of the server's body.
    pub(super) page: Option<Bytes>,
    /// What is kept of a server's error that is answered here.
    pub(super) intercepted: Option<HeaderMap>,
    pub(super) _slot: Option<Slot>,
    pub(super) _working: Working,
    pub(super) _running: Working,
}

/// The servers that had the request, in their order.
#[derive(Default)]
pub(super) struct Tries {
    pub(super) servers: Vec<SocketAddr>,
    /// Of each, its answer; zero: none.
    pub(super) statuses: Vec<u16>,
    /// Of each, in seconds.
    pub(super) times: Vec<f64>,
}

impl Ctx {
    pub(super) fn new(working: Working, running: Working) -> Self {
        Self {
            began: Instant::now(),
            running: None,
            server: 0,
            location: None,
            client: None,
            local: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            tls: false,
            request: None,
            path: Vec::new(),
            request_id: String::new(),
            lease: None,
            tries: Tries::default(),
            trace: None,
            sent: None,
            body_read: 0,
            upload: None,
            informational: 0,
            page: None,
            intercepted: None,
            _slot: None,
            _working: working,
            _running: running,
        }
    }

    pub(super) fn server(&self) -> Option<&ServerConfig> {
        self.running.as_ref()?.servers.get(self.server)
    }

    pub(super) fn settings(&self) -> Option<&Settings> {
        self.location.as_ref().map(|location| &location.settings)
    }

    /// Where the location passes requests to, and what it puts in place of its path.
    pub(super) fn upstream(&self) -> Option<(&Arc<Upstream>, Option<&str>)> {
        match &self.location.as_ref()?.action {
            Action::Proxy { upstream, uri } => {
                Some((self.running.as_ref()?.upstreams.get(*upstream)?, uri.as_deref()))
            }
            Action::Return { .. } => None,
        }
    }

    pub(super) fn address(&self) -> IpAddr {
        self.client.as_ref().map_or(Ipv4Addr::UNSPECIFIED.into(), |client| client.address)
    }

    /// Runs `with` on the request's variables.
    pub(super) fn with_variables<T>(&self, with: impl FnOnce(&Variables<'_>) -> T) -> Option<T> {
        let (request, client) = (self.request.as_ref()?, self.client.as_ref()?);
        let server_name = self.server().map(ServerConfig::name).unwrap_or_default();
        let uri = String::from_utf8_lossy(&self.path);
        let variables = Variables {
            uri: &uri,
            proxy_host: self.upstream().map_or("", |(upstream, _)| upstream.name.as_str()),
            server_name: &server_name,
            remote_port: client.peer.port(),
            forwarded_for: &client.forwarded_for,
            scheme: if self.tls { "https" } else { "http" },
            server_addr: self.local.ip(),
            server_port: self.local.port(),
            request_id: &self.request_id,
            ..Variables::of(request, client.address)
        };
        Some(with(&variables))
    }

    /// The server is given back. `failed`: in a way that speaks against it.
    pub(super) fn leave_server(&mut self, status: u16, failed: bool) {
        let Some(mut lease) = self.lease.take() else { return };
        if failed {
            lease.fail();
        }
        lease.end(match (status, failed) {
            (0, true) => Ended::Unanswered,
            (0, false) => Ended::Left,
            _ => Ended::Answered(status),
        });
        self.end_try(&lease, status, failed);
        self.tries.servers.push(lease.address);
        self.tries.statuses.push(status);
        self.tries.times.push(lease.began.elapsed().as_secs_f64());
    }
}

//! From an accepted connection to HTTP: the PROXY protocol's header, TLS, the deadline for request headers, and the spool for slow readers.

mod guarded;
mod proxy_protocol;
mod spool;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::ServerApp;
use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::l4::stream::Stream as L4Stream;
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use satchel_common::server::InFlight;
use tokio::time::timeout;

pub use guarded::{buffer, header_has_come, next_request};
pub use proxy_protocol::client;

use crate::proxy::Proxy;
use guarded::Guarded;

/// For the PROXY protocol's header: a balancer sends it with the connection.
const PROXY_HEADER_WITHIN: Duration = Duration::from_secs(5);
/// nginx's `client_header_timeout` bounds the handshake too.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(60);

/// Takes connections of one socket.
pub struct Entry {
    /// What they are handed to.
    pub http: Arc<HttpProxy<Proxy>>,
    /// `None`: in the clear.
    pub acceptor: Option<Acceptor>,
    /// Whether each begins with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// For a request's header.
    pub header_timeout: Duration,
    /// What a stop waits for.
    pub in_flight: InFlight,
}

#[async_trait]
impl ServerApp for Entry {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let mut next = self.prepare(stream).await;
        while let Some(stream) = next {
            next = self.http.process_new(stream, shutdown).await;
        }
        None
    }
}

impl Entry {
    /// `None`: the client has left, or does not speak what is spoken here.
    async fn prepare(&self, stream: Stream) -> Option<Stream> {
        let mut raw = *stream.into_any().downcast::<L4Stream>().ok()?;
        if self.proxy_protocol {
            match timeout(PROXY_HEADER_WITHIN, proxy_protocol::take(&mut raw)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    log::warn!("A connection was closed: {error}");
                    return None;
                }
                Err(_) => return None,
            }
        }
        let stream: Stream = match &self.acceptor {
            None => Box::new(raw),
            Some(acceptor) => match timeout(HANDSHAKE_WITHIN, acceptor.tls_handshake(raw)).await {
                Ok(Ok(stream)) => Box::new(stream),
                Ok(Err(error)) => {
                    log::debug!("TLS handshake: {error}");
                    return None;
                }
                Err(_) => return None,
            },
        };
        // HTTP/2 has streams, which have windows, and an idle timeout of its own.
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            return Some(stream);
        }
        Some(Box::new(Guarded::new(stream, self.header_timeout, self.in_flight.clone())))
    }
}

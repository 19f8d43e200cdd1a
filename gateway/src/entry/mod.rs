//! From an accepted connection to HTTP: the PROXY protocol's header, TLS, the deadline for request headers, and the spool for slow readers.

mod guarded;
mod known;
pub mod proxy_protocol;
mod spool;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp as _, ReusedHttpStream, ServerApp};
use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::l4::stream::Stream as L4Stream;
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use satchel_common::server::InFlight;
use tokio::time::timeout;

pub use guarded::{buffer, header_has_come, next_request};
pub use proxy_protocol::client;
pub use upload::Upload;

use crate::config::Listen;
use crate::proxy::Proxy;
use crate::running::Shared;
use guarded::Guarded;
use known::Known;

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
    /// The configuration in use.
    pub shared: Shared,
    /// The socket.
    pub listen: Listen,
    /// What a stop waits for.
    pub in_flight: InFlight,
}

#[async_trait]
impl ServerApp for Entry {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        // Boxed, so that an open connection does not keep the room that a TLS handshake needs.
        let stream = Box::pin(self.prepare(stream)).await?;
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            return self.http.process_new(stream, shutdown).await;
        }
        let mut next = Some(ReusedHttpStream::new(stream, None));
        while let Some((stream, settings)) = next.map(ReusedHttpStream::consume) {
            let mut session = ServerSession::new_http1(begins(stream).await?);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
            next = self.http.process_new_http(session, shutdown).await;
        }
        None
    }
}

/// Waits for the next request of a connection. `None`: the client has left, or is silent for too long. It may come while the process stops: then it
/// is answered, and is the last.
async fn begins(stream: Stream) -> Option<Stream> {
    let stream = stream.into_any().downcast::<Guarded>().ok()?;
    stream.begins().await.map(|stream| stream as Stream)
}

impl Entry {
    /// `None`: the client has left, or does not speak what is spoken here.
    async fn prepare(&self, stream: Stream) -> Option<Stream> {
        let mut raw = *stream.into_any().downcast::<L4Stream>().ok()?;
        let mut named = None;
        if self.listen.proxy_protocol {
            match timeout(PROXY_HEADER_WITHIN, proxy_protocol::take(&mut raw)).await {
                Ok(Ok(client)) => named = client,
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
        let running = self.shared.load();
        let server = running.server(self.listen.address, "")?;
        let http2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
        // Which server is meant stands in the header.
        let header_max = running.servers.iter().map(|server| server.client_header_size).max()?;
        let within = server.client_header_timeout;
        let uploads = http2.then(Default::default);
        let known = Known { named, uploads };
        Some(Box::new(Guarded::new(stream, within, header_max, known, self.in_flight.clone())))
    }
}

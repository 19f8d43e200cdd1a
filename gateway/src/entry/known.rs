//! What is known of a connection before its requests come. Pingora carries one thing of ours from a connection to its requests: what it has for
//! the answer of a CONNECT proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use pingora_core::protocols::Digest;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_http::ResponseHeader;

use super::upload::Connection;

/// What the connection and its requests share.
#[derive(Debug)]
pub(super) struct Known {
    /// The client that a PROXY protocol header names.
    pub(super) named: Option<SocketAddr>,
    /// Of HTTP/2: what ends it when an upload stops.
    pub(super) uploads: Option<Connection>,
}

impl Known {
    /// For Pingora to carry, if there is something.
    pub(super) fn digest(self) -> Option<Arc<ProxyDigest>> {
        if self.named.is_none() && self.uploads.is_none() {
            return None;
        }
        let no_answer = ResponseHeader::build(200, Some(0)).ok()?;
        Some(Arc::new(ProxyDigest::new(Box::new(no_answer), Some(Box::new(self)))))
    }

    /// As Pingora has carried it.
    pub(super) fn of(connection: &Digest) -> Option<&Self> {
        connection.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
    }
}

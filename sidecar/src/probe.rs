//! Asking Tomcat whether it is done with a session.
//!
//! `PersistentValve` lets one request per session id in at a time. A request for something below
//! `META-INF`, which Tomcat refuses before any filter or servlet runs (`StandardContextValve`), therefore
//! comes back only when the request before it has ended, its save included (measured: 1.1 s behind a request
//! of 1.5 s).

use std::time::Duration;

use satchel_common::address::HostPort;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::context::Context;
use crate::id::SessionId;

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A response: Tomcat runs, and no request of that id does.
    Answered,
    /// Nobody listens: Tomcat is dead.
    Refused,
    /// A connection that was cut or stayed silent.
    Silent,
}

/// The Tomcat beside this sidecar.
#[derive(Debug, Clone)]
pub struct Tomcat {
    /// Its HTTP connector.
    pub address: HostPort,
}

impl Tomcat {
    /// Sends a probe with the session id `id` and waits for its answer, at most `limit`.
    pub async fn probe(&self, context: &Context, host: &str, id: &str, limit: Duration) -> Answer {
        timeout(limit, self.ask(context, host, id)).await.unwrap_or(Answer::Silent)
    }

    /// Whether Tomcat serves this context: a probe that waits for no session.
    pub async fn is_alive(&self, context: &Context, host: &str, limit: Duration) -> bool {
        self.probe(context, host, SessionId::never_used().as_str(), limit).await == Answer::Answered
    }

    async fn ask(&self, context: &Context, host: &str, id: &str) -> Answer {
        let Ok(mut stream) = TcpStream::connect((self.address.host.as_str(), self.address.port)).await else {
            return Answer::Refused;
        };
        let request = format!(
            "GET {}/META-INF/{} HTTP/1.1\r\nHost: {host}\r\nCookie: {}={id}\r\nConnection: close\r\n\r\n",
            context.path,
            SessionId::never_used(),
            context.cookie_name,
        );
        if stream.write_all(request.as_bytes()).await.is_err() {
            return Answer::Silent;
        }
        // "HTTP/1.1 404": three digits tell a response from anything else.
        let mut start = [0u8; 12];
        match stream.read_exact(&mut start).await {
            // A context that is being stopped or reloaded answers 503: it is not done, it is going away.
            Ok(_) if start.starts_with(b"HTTP/1.1 ") && !start.ends_with(b"503") => {
                // The save comes before the end of the response.
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                Answer::Answered
            }
            _ => Answer::Silent,
        }
    }
}

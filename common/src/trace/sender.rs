//! Sends batches of spans, with the connections of Pingora: OpenTelemetry's own clients would bring a second HTTP library along.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use opentelemetry_http::{HttpClient, HttpError};
use pingora::connectors::http::Connector;
use tokio::net::lookup_host;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::Endpoint;
use crate::ask::{Question, ask};

/// Of a collector's answer, in bytes.
const ANSWER_MAX: usize = 64 * 1024;
/// For one batch.
const WITHIN: Duration = Duration::from_secs(10);

/// A client whose work is done on a runtime of ours: whoever asks is a thread without one.
pub struct Sender {
    runtime: Handle,
    connector: Arc<Connector>,
    endpoint: Endpoint,
    failing: AtomicBool,
}

impl Sender {
    /// On the runtime that this is called on.
    pub fn here(endpoint: Endpoint) -> Self {
        let connector = Arc::new(Connector::new(None));
        Self { runtime: Handle::current(), connector, endpoint, failing: AtomicBool::new(false) }
    }

    /// Says it once when it begins to fail, and once when it is over.
    fn note(&self, failure: Option<&str>) {
        let was_failing = self.failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(error) if !was_failing => {
                log::warn!(
                    "traces: {} does not take them: {error}. They are dropped meanwhile",
                    self.endpoint
                );
            }
            None if was_failing => log::info!("traces: {} takes them again", self.endpoint),
            _ => {}
        }
    }
}

async fn send(
    connector: &Connector,
    endpoint: &Endpoint,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, String> {
    let host = &endpoint.address.host;
    let mut found =
        lookup_host((host.as_str(), endpoint.address.port)).await.map_err(|error| error.to_string())?;
    let address = found.next().ok_or("its name stands for no address")?;
    let (parts, body) = request.into_parts();
    let question = Question {
        address,
        tls: endpoint.tls.then_some(host),
        method: "POST",
        host: &endpoint.address.to_string(),
        path: &endpoint.path,
        fields: &parts.headers,
        body,
    };
    let (status, body) = ask(connector, question, ANSWER_MAX).await?;
    let status = StatusCode::from_u16(status).map_err(|error| error.to_string())?;
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    Ok(answer)
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (connector, endpoint) = (self.connector.clone(), self.endpoint.clone());
        let sent = self.runtime.spawn(async move {
            let sent = timeout(WITHIN, send(&connector, &endpoint, request)).await;
            sent.unwrap_or_else(|_| Err("no answer within 10 s".into()))
        });
        let answer = sent.await.map_err(|error| error.to_string()).and_then(|answer| answer);
        match &answer {
            Ok(answer) if answer.status().is_success() => self.note(None),
            Ok(answer) => self.note(Some(&format!("it answered {}", answer.status()))),
            Err(error) => self.note(Some(error)),
        }
        answer.map_err(HttpError::from)
    }
}

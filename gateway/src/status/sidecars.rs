//! What the sidecars say of themselves, at their admin addresses. They are asked while somebody looks at the page, and not otherwise.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::HeaderMap;
use pingora_core::connectors::http::Connector;
use satchel_common::ask::{Question, ask};
use satchel_common::status::SidecarStatus;
use tokio::sync::Mutex;
use tokio::time::timeout_at;

/// However many look at the page: they are not asked again within this time.
const FRESH: Duration = Duration::from_millis(1_500);
/// The page waits for the slowest.
const WITHIN: Duration = Duration::from_secs(1);
/// At one time. More are asked only when some of these have answered.
const ASKED: usize = 512;
/// Of an answer, in bytes.
const ANSWER_MAX: usize = 256 * 1024;

type Said = HashMap<SocketAddr, Result<SidecarStatus, String>>;

/// Asks them.
pub struct Sidecars {
    connector: Connector,
    last: Mutex<Option<(Instant, Said)>>,
}

impl Default for Sidecars {
    fn default() -> Self {
        Self { connector: Connector::new(None), last: Mutex::default() }
    }
}

impl Sidecars {
    /// What each says, or why it says nothing.
    pub async fn ask(&self, mut admins: Vec<SocketAddr>) -> Said {
        admins.sort_unstable();
        admins.dedup();
        // One who asks while they are being asked waits for their answer.
        let mut last = self.last.lock().await;
        if let Some((at, said)) = last.as_ref()
            && at.elapsed() < FRESH
            && admins.iter().all(|admin| said.contains_key(admin))
        {
            return said.clone();
        }
        let until = tokio::time::Instant::now() + WITHIN;
        let asked = stream::iter(admins).map(|admin| async move { (admin, self.one(admin, until).await) });
        let said: Said = asked.buffer_unordered(ASKED).collect().await;
        *last = Some((Instant::now(), said.clone()));
        said
    }

    async fn one(&self, admin: SocketAddr, until: tokio::time::Instant) -> Result<SidecarStatus, String> {
        let host = admin.to_string();
        let question = Question {
            address: admin,
            tls: None,
            method: "GET",
            host: &host,
            path: "/status.json",
            fields: &HeaderMap::new(),
            body: Bytes::new(),
        };
        let asked = ask(&self.connector, question, ANSWER_MAX);
        let answer = timeout_at(until, asked).await;
        let (status, body) = answer.map_err(|_| "no answer within 1 s".to_owned())??;
        if status != 200 {
            return Err(format!("it answered {status}: is that the admin address of a sidecar?"));
        }
        serde_json::from_slice(&body).map_err(|error| format!("its answer is not understood: {error}"))
    }
}

//! Active checks: whether a server works is found out before a request finds it out. nginx has this in its commercial edition
//! (`health_check`).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::HeaderMap;
use pingora_core::connectors::http::Connector;
use satchel_common::ask::{Question, ask};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Upstream;
use crate::config::{CheckConfig, CheckKind};

/// Of a body that is looked into, in bytes.
const BODY_MAX: usize = 64 * 1024;

/// Results in a row, good or bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streak {
    Good(u32),
    Bad(u32),
}

impl Streak {
    fn then(self, good: bool) -> Self {
        match (self, good) {
            (Self::Good(n), true) => Self::Good(n.saturating_add(1)),
            (Self::Bad(n), false) => Self::Bad(n.saturating_add(1)),
            (_, true) => Self::Good(1),
            (_, false) => Self::Bad(1),
        }
    }

    /// What is known now: healthy, unhealthy, or as before.
    fn verdict(self, config: &CheckConfig) -> Option<bool> {
        match self {
            Self::Good(n) => (n >= config.passes).then_some(true),
            Self::Bad(n) => (n >= config.fails).then_some(false),
        }
    }
}

/// Checks all servers of an upstream at once, again and again, as its configuration says; without one they all count as healthy. For ever.
pub async fn check_for_ever(upstream: Arc<Upstream>) {
    let connector = Connector::new(None);
    let mut streaks: HashMap<SocketAddr, Streak> = HashMap::new();
    loop {
        let config = upstream.config();
        let Some(check) = &config.check else {
            streaks.clear();
            for peer in upstream.peers() {
                upstream.set_healthy(peer.address, true);
            }
            upstream.reconfigured().await;
            continue;
        };
        let servers: Vec<SocketAddr> = upstream.peers().iter().map(|peer| peer.address).collect();
        streaks.retain(|address, _| servers.contains(address));
        let results =
            join_all(servers.iter().map(|address| one(&connector, check, &config.name, *address))).await;
        for (address, result) in servers.into_iter().zip(results) {
            let before = streaks.get(&address).copied().unwrap_or(Streak::Good(0));
            let streak = before.then(result.is_ok());
            streaks.insert(address, streak);
            let Some(healthy) = streak.verdict(check) else { continue };
            if upstream.set_healthy(address, healthy) {
                match &result {
                    Ok(()) => log::info!("upstream {}: server {address} is healthy", config.name),
                    Err(error) => {
                        log::warn!("upstream {}: server {address} is unhealthy: {error}", config.name)
                    }
                }
            }
        }
        tokio::select! {
            () = sleep(check.interval) => {}
            () = upstream.reconfigured() => {}
        }
    }
}

async fn one(
    connector: &Connector,
    check: &CheckConfig,
    upstream: &str,
    address: SocketAddr,
) -> Result<(), String> {
    let address = SocketAddr::new(address.ip(), check.port.unwrap_or(address.port()));
    let checked = async {
        match check.kind {
            CheckKind::Tcp => {
                TcpStream::connect(address).await.map(|_| ()).map_err(|error| error.to_string())
            }
            CheckKind::Http => http(connector, check, upstream, address).await,
        }
    };
    timeout(check.timeout, checked).await.unwrap_or_else(|_| Err("no answer in time".into()))
}

async fn http(
    connector: &Connector,
    check: &CheckConfig,
    upstream: &str,
    address: SocketAddr,
) -> Result<(), String> {
    let host = check.host.as_deref().unwrap_or(upstream);
    let limit = if check.body.is_some() { BODY_MAX } else { 0 };
    let question = Question {
        address,
        tls: None,
        method: "GET",
        host,
        path: &check.uri,
        fields: &HeaderMap::new(),
        body: Bytes::new(),
    };
    let (status, body) = ask(connector, question, limit).await?;
    let good =
        if check.status.is_empty() { (200..400).contains(&status) } else { check.status.contains(&status) };
    if !good {
        return Err(format!("answered {status}"));
    }
    let Some(wanted) = &check.body else { return Ok(()) };
    if wanted.is_match(&body) { Ok(()) } else { Err("its body does not match".into()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_verdict_needs_as_many_results_in_a_row_as_configured() {
        let config = CheckConfig {
            kind: CheckKind::Tcp,
            uri: "/".into(),
            host: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            fails: 3,
            passes: 2,
            status: Vec::new(),
            body: None,
            port: None,
        };
        let mut streak = Streak::Good(0);
        let mut verdicts = Vec::new();
        for good in [false, false, true, false, false, false, true, true] {
            streak = streak.then(good);
            verdicts.push(streak.verdict(&config));
        }
        assert_eq!(verdicts, [None, None, None, None, None, Some(false), None, Some(true)]);
    }
}

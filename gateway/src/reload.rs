//! SIGHUP: the configuration is read again, and a file that is wrong changes nothing. SIGUSR1: the access log goes on in a new file.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::access_log::Writer;
use crate::config::{Config, Listen};
use crate::metrics::Metrics;
use crate::running::{Running, Shared};
use crate::upstream::{Upstream, check_for_ever, discover_for_ever};

/// Keeps the configuration and the upstreams up to date.
pub struct Housekeeping {
    /// Where it was read.
    pub path: PathBuf,
    /// As it was read.
    pub config: Config,
    /// Where it is used.
    pub shared: Shared,
    /// What SIGUSR1 reopens.
    pub access_log: Writer,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

#[async_trait]
impl BackgroundService for Housekeeping {
    async fn start(&self, _shutdown: ShutdownWatch) {
        let signals = (signal(SignalKind::hangup()), signal(SignalKind::user_defined1()));
        let (Ok(mut hangup), Ok(mut reopen)) = signals else {
            log::error!("Cannot listen for SIGHUP and SIGUSR1");
            return std::future::pending().await;
        };
        let mut config = self.config.clone();
        let mut watched = Watched::default();
        watched.watch(&self.shared.load().upstreams, &config);
        loop {
            tokio::select! {
                _ = hangup.recv() => match self.reload(&config) {
                    Ok(new) => {
                        config = new;
                        watched.watch(&self.shared.load().upstreams, &config);
                        self.metrics.reloaded(true);
                        log::info!("Configuration reloaded");
                    }
                    Err(error) => {
                        self.metrics.reloaded(false);
                        log::error!("Configuration not reloaded, everything stays as it was: {error}");
                    }
                },
                _ = reopen.recv() => self.access_log.reopen(),
            }
        }
    }
}

impl Housekeeping {
    fn reload(&self, old: &Config) -> Result<Config, String> {
        let new = Config::load(&self.path).map_err(|error| error.to_string())?;
        changeable(old, &new)?;
        let before = self.shared.load();
        self.shared.replace(Running::new(&new, &before.upstreams, &self.metrics));
        Ok(new)
    }
}

/// What holds for the process as a whole stays until the next start or upgrade.
fn changeable(old: &Config, new: &Config) -> Result<(), String> {
    let sockets = |config: &Config| {
        let all = config.servers.iter().flat_map(|server| &server.listen);
        let mut all: Vec<_> = all.map(|listen| Listen { default_server: false, ..*listen }).collect();
        all.sort_by_key(|listen| listen.address);
        all.dedup();
        all
    };
    for (key, same) in [
        ("listen", sockets(old) == sockets(new)),
        ("threads", old.threads == new.threads),
        ("admin", old.admin == new.admin),
        ("upgrade_sock", old.upgrade_sock == new.upgrade_sock),
        ("stop_timeout", old.stop_timeout == new.stop_timeout),
        ("access_log", old.access_log == new.access_log),
        ("log_level", old.log_level == new.log_level),
        ("resolver", old.resolver == new.resolver),
    ] {
        if !same {
            return Err(format!("{key} cannot be changed by a reload; start a new process with --upgrade"));
        }
    }
    Ok(())
}

/// The tasks that look after upstreams; those of an upstream that is gone are ended.
#[derive(Default)]
struct Watched(Vec<(Arc<Upstream>, JoinSet<()>)>);

impl Watched {
    fn watch(&mut self, upstreams: &[Arc<Upstream>], config: &Config) {
        self.0.retain(|(watched, _)| upstreams.iter().any(|upstream| Arc::ptr_eq(upstream, watched)));
        for upstream in upstreams {
            if !self.0.iter().any(|(watched, _)| Arc::ptr_eq(upstream, watched)) {
                let mut tasks = JoinSet::new();
                tasks.spawn(check_for_ever(upstream.clone()));
                tasks.spawn(discover_for_ever(upstream.clone(), config.resolver.clone()));
                self.0.push((upstream.clone(), tasks));
            }
        }
    }
}

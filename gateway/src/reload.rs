//! SIGHUP: the configuration is read again, and a file that is wrong changes nothing. SIGUSR1: the access log goes on in a new file.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use satchel_common::logging;
use satchel_common::server::InFlight;
use satchel_common::signals::listen;
use satchel_common::trace::Tracing;
use tokio::signal::unix::SignalKind;
use tokio::task::JoinSet;

use crate::access_log::Writer;
use crate::config::{Config, Listen, Resolver};
use crate::metrics::Metrics;
use crate::run::exposed;
use crate::running::{Running, Shared};
use crate::status::Recent;
use crate::upstream::{Upstream, check_for_ever, discover_for_ever};

/// Keeps the configuration and the upstreams up to date.
pub struct Housekeeping {
    /// Where it was read.
    pub path: PathBuf,
    /// As it was read.
    pub config: Config,
    /// Where it is used.
    pub shared: Shared,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What was counted lately.
    pub recent: Arc<Recent>,
    /// Records spans.
    pub tracing: Tracing,
    /// What a stop waits for.
    pub in_flight: InFlight,
}

#[async_trait]
impl BackgroundService for Housekeeping {
    async fn start(&self, _shutdown: ShutdownWatch) {
        if let Some(traces) = &self.config.traces {
            self.tracing.start(traces, env!("CARGO_PKG_VERSION"));
        }
        // Only the status page shows it.
        let look = async {
            match self.config.admin {
                Some(_) => self.recent.watch(&self.shared, &self.metrics).await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(self.on_signals(), look);
    }
}

impl Housekeeping {
    async fn on_signals(&self) {
        let signals = (listen(SignalKind::hangup()), listen(SignalKind::user_defined1()));
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
                _ = reopen.recv() => self.shared.load().access_log.reopen(),
            }
        }
    }

    fn reload(&self, old: &Config) -> Result<Config, String> {
        let new = Config::load(&self.path).map_err(|error| error.to_string())?;
        changeable(old, &new)?;
        let before = self.shared.load();
        let access_log = if new.access_log == old.access_log {
            before.access_log.clone()
        } else {
            Writer::open(&new.access_log).map_err(|error| error.to_string())?
        };
        for warning in exposed(&new) {
            log::warn!("{warning}");
        }
        logging::set(new.log_level);
        self.in_flight.set_grace(new.stop_timeout);
        self.shared.replace(Running::new(&new, &before.upstreams, access_log, &self.metrics));
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
        ("[traces]", old.traces == new.traces),
    ] {
        if !same {
            return Err(format!("{key} cannot be changed by a reload; start a new process with --upgrade"));
        }
    }
    Ok(())
}

/// The tasks that look after upstreams; those of an upstream that is gone are ended.
#[derive(Default)]
struct Watched {
    tasks: Vec<(Arc<Upstream>, JoinSet<()>)>,
    /// What those that look names up ask.
    resolver: Option<Resolver>,
}

impl Watched {
    fn watch(&mut self, upstreams: &[Arc<Upstream>], config: &Config) {
        let same_resolver = self.resolver.as_ref() == Some(&config.resolver);
        self.resolver = Some(config.resolver.clone());
        self.tasks.retain(|(watched, _)| {
            same_resolver && upstreams.iter().any(|upstream| Arc::ptr_eq(upstream, watched))
        });
        for upstream in upstreams {
            if !self.tasks.iter().any(|(watched, _)| Arc::ptr_eq(upstream, watched)) {
                let mut tasks = JoinSet::new();
                tasks.spawn(check_for_ever(upstream.clone()));
                tasks.spawn(discover_for_ever(upstream.clone(), config.resolver.clone()));
                self.tasks.push((upstream.clone(), tasks));
            }
        }
    }
}

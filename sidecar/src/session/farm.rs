//! The farm as an operator reaches it: the nodes, without a Tomcat and a store directory.

use std::sync::Arc;
use std::time::Duration;

use satchel_common::exposure;
use satchel_common::server::InFlight;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::agreement::at_start;
use crate::config::Config;
use crate::exchange::Core;
use crate::id::Presented;
use crate::run::core_without_tomcat;

/// How long what goes on in the background may take in the end: chunks and old copies that nobody needs any more are deleted there.
const LINGER: Duration = Duration::from_secs(5);

/// What is needed to look at sessions.
pub struct Farm {
    runtime: Runtime,
    /// What sidecars have, without directories.
    pub core: Arc<Core>,
    /// Turns true when it is known which nodes have been away.
    away: watch::Sender<bool>,
    /// Tasks that never end.
    tasks: usize,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum FarmError {
    /// The running sidecars have something else, and lock sessions elsewhere.
    #[error(
        "the running sidecars of farm \"{0}\" have another configuration: {1}. Take the configuration of one that runs"
    )]
    Different(String, String),
    /// No runtime.
    #[error("cannot start a runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

impl Farm {
    /// Connects. `wait`: how long a request that uses a session is waited for. The nodes are told nothing: one that is away for this machine
    /// may be there for the sidecars.
    ///
    /// # Errors
    /// As [`FarmError`].
    pub fn reach(mut config: Config, wait: Duration) -> Result<Self, FarmError> {
        exposure::keep_memory_private();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        config.settings.lock_timeout = wait;
        // What no node takes is told at once: nothing is kept beyond this process.
        config.settings.outbox_size = 0;
        let agreement = runtime
            .block_on(at_start(&config))
            .map_err(|difference| FarmError::Different(config.farm.clone(), difference))?;
        let (core, away) = core_without_tomcat(&config, agreement, &InFlight::new(Duration::ZERO));
        let core = Arc::new(core);
        runtime.spawn(core.locks.clone().renew());
        let tasks = runtime.metrics().num_alive_tasks();
        Ok(Self { runtime, core, away, tasks })
    }

    /// Does something, and what that has left to be done.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            let done = work.await;
            self.rest().await;
            done
        })
    }

    /// Waits until nothing is left to be done.
    pub async fn rest(&self) {
        let until = Instant::now() + LINGER;
        // A node that is down is probed for ever.
        let nodes = &self.core.nodes;
        let for_ever = || self.tasks + nodes.all().filter(|node| !nodes.is_up(*node)).count();
        while Handle::current().metrics().num_alive_tasks() > for_ever() && Instant::now() < until {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Finds out which nodes have been away: one of them may have old copies.
    pub async fn knows_the_nodes(&self) {
        let _ = timeout(LINGER, self.core.nodes.learn_away(&self.core.farm)).await;
        self.away.send_replace(true);
    }

    /// What a cookie's value may stand for.
    pub fn presented(&self, value: &str) -> Vec<Presented> {
        Presented::parse(value.trim().as_bytes(), |node| self.core.nodes.knows(node))
    }

    /// The contexts that are meant, by their places.
    pub fn contexts(&self, path: Option<&str>) -> Vec<usize> {
        let path = path.map(|path| path.strip_suffix('/').unwrap_or(path));
        let all = self.core.contexts.iter().enumerate();
        all.filter(|(_, context)| path.is_none_or(|path| context.path == path || context.name() == path))
            .map(|(index, _)| index)
            .collect()
    }
}

//! Running a Pingora server, and stopping it as soon as it is idle.
//!
//! Pingora sleeps its whole grace period after SIGTERM, even with nothing to do. Here the process ends
//! when the last piece of work is done, or when the grace period is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{SignalKind, signal};

/// How long the process must have been idle before it ends: a connection that was accepted just before
/// the signal has its request read within this time.
const SETTLE: Duration = Duration::from_millis(200);

/// After SIGQUIT both processes accept for 5 s (Pingora's CLOSE_TIMEOUT), and then this one stops.
const BOTH_ACCEPT: Duration = Duration::from_millis(5_200);

/// Counts what must be finished before the process may end.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    count: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
}

/// One piece of work; it ends when this is dropped.
#[derive(Debug)]
pub struct Working(Arc<AtomicUsize>);

impl InFlight {
    /// Starts one piece of work.
    pub fn start(&self) -> Working {
        self.count.fetch_add(1, Ordering::Relaxed);
        Working(self.count.clone())
    }

    /// How many are running.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether the process is about to end: no connection is to be kept for another request.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A Pingora configuration with every default that matters set.
pub fn conf(threads: usize, max_retries: usize, keepalive_pool: usize, grace: Duration) -> ServerConf {
    ServerConf {
        threads,
        // Measured: with one thread a runtime of its own is the cheapest.
        work_stealing: threads > 1,
        max_retries,
        upstream_keepalive_pool_size: keepalive_pool,
        grace_period_seconds: Some(grace.as_secs().max(1)),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}

/// From now on SIGHUP and SIGUSR1 do not end this process, also while nothing listens for them yet: they come early when a service manager
/// reloads what it has just started. The runtime may go; what was registered with it stays.
pub fn expect_reloads() {
    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() {
        runtime.block_on(async {
            let _ = (signal(SignalKind::hangup()), signal(SignalKind::user_defined1()));
        });
    }
}

/// Runs until SIGTERM (finish what is in flight, at most `grace`), SIGQUIT (the same, after the listeners have been handed to a process that
/// was started to take them over) or SIGINT (end at once).
pub fn run(server: Server, in_flight: InFlight) {
    server.run(RunArgs { shutdown_signal: Box::new(StopWhenIdle { in_flight }) });
}

struct StopWhenIdle {
    in_flight: InFlight,
}

#[async_trait]
impl ShutdownSignalWatch for StopWhenIdle {
    async fn recv(&self) -> ShutdownSignal {
        let signals = (SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit());
        let (Ok(mut term), Ok(mut int), Ok(mut quit)) =
            (signal(signals.0), signal(signals.1), signal(signals.2))
        else {
            log::error!("Cannot listen for SIGTERM, SIGINT and SIGQUIT; only SIGKILL ends this process");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = term.recv() => {
                log::info!("SIGTERM: finishing {} requests, taking no more", self.in_flight.count());
                let in_flight = self.in_flight.clone();
                std::thread::spawn(move || exit_when_idle(&in_flight));
                ShutdownSignal::GracefulTerminate
            }
            _ = quit.recv() => {
                log::info!("SIGQUIT: handing the listeners over, then finishing");
                let in_flight = self.in_flight.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(BOTH_ACCEPT);
                    exit_when_idle(&in_flight);
                });
                ShutdownSignal::GracefulUpgrade
            }
            _ = int.recv() => ShutdownSignal::FastShutdown,
        }
    }
}

fn exit_when_idle(in_flight: &InFlight) {
    in_flight.stopping.store(true, Ordering::Relaxed);
    let step = Duration::from_millis(20);
    let mut idle = Duration::ZERO;
    while idle < SETTLE {
        std::thread::sleep(step);
        idle = if in_flight.count() == 0 { idle + step } else { Duration::ZERO };
    }
    log::info!("Idle: stopped");
    std::process::exit(0);
}

//! Running a Pingora server, and stopping it as soon as it is idle.
//!
//! Pingora sleeps its whole grace period after SIGTERM, even with nothing to do. Here the process ends
//! when the last piece of work is done, or when the grace period is over.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{SignalKind, signal};

use crate::listen::end_when_pingora_cannot_listen;
use crate::trace::Tracing;

/// How long the process must have been idle before it ends: a connection that was accepted just before
/// the signal has its request read within this time.
const SETTLE: Duration = Duration::from_millis(200);

/// How long the last traces may take on their way, within the time that a stop has.
const FLUSH: Duration = Duration::from_millis(500);

/// After SIGQUIT both processes accept for 5 s (Pingora's CLOSE_TIMEOUT), and then this one stops.
const BOTH_ACCEPT: Duration = Duration::from_millis(5_200);

/// Counts what must be finished before the process may end.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    count: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    /// Milliseconds that a stop waits.
    grace: Arc<AtomicU64>,
}

/// One piece of work; it ends when this is dropped.
#[derive(Debug)]
pub struct Working(Arc<AtomicUsize>);

impl InFlight {
    /// Of a process that waits so long for its work to be finished when it is to stop.
    pub fn new(grace: Duration) -> Self {
        let new = Self::default();
        new.set_grace(grace);
        new
    }

    /// From now on a stop waits so long.
    pub fn set_grace(&self, grace: Duration) {
        self.grace.store(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

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

/// Longer than any stop: when it is over, the process is ended here.
const PINGORA_GRACE_SECS: u64 = 365 * 24 * 3600;

/// A Pingora configuration with every default that matters set.
pub fn conf(threads: usize, max_retries: usize, keepalive_pool: usize) -> ServerConf {
    ServerConf {
        threads,
        // Measured: with one thread a runtime of its own is the cheapest.
        work_stealing: threads > 1,
        max_retries,
        upstream_keepalive_pool_size: keepalive_pool,
        grace_period_seconds: Some(PINGORA_GRACE_SECS),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}

/// Runs until SIGTERM (finish what is in flight, within the grace period), SIGQUIT or SIGINT (end at once). SIGQUIT is as SIGTERM, but with
/// an `upgrade_sock` the listeners are first handed to the process that waits there to take them over; while none does, SIGQUIT does nothing.
pub fn run(server: Server, in_flight: InFlight, upgrade_sock: Option<PathBuf>, tracing: Tracing) {
    end_when_pingora_cannot_listen();
    server.run(RunArgs { shutdown_signal: Box::new(StopWhenIdle { in_flight, upgrade_sock, tracing }) });
}

struct StopWhenIdle {
    in_flight: InFlight,
    upgrade_sock: Option<PathBuf>,
    /// What it has recorded is sent before the end.
    tracing: Tracing,
}

/// Whether a process listens on this Unix socket within a second (proc(5), `net/unix`: the flag is `__SO_ACCEPTCON`).
async fn somebody_waits(socket: &Path) -> bool {
    let waits = || {
        let sockets = std::fs::read_to_string("/proc/self/net/unix").unwrap_or_default();
        sockets.lines().any(|line| {
            let mut words = line.split_ascii_whitespace();
            words.nth(3) == Some("00010000") && words.nth(3).is_some_and(|path| Path::new(path) == socket)
        })
    };
    // It may have been started just before.
    for _ in 0..10 {
        if waits() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
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
        loop {
            let name = tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = quit.recv() => "SIGQUIT",
                _ = int.recv() => return ShutdownSignal::FastShutdown,
            };
            let (in_flight, tracing) = (self.in_flight.clone(), self.tracing.clone());
            match &self.upgrade_sock {
                Some(socket) if name == "SIGQUIT" && somebody_waits(socket).await => {
                    log::info!("SIGQUIT: handing the listeners over, then finishing");
                    std::thread::spawn(move || {
                        std::thread::sleep(BOTH_ACCEPT);
                        exit_when_idle(&in_flight, &tracing);
                    });
                    return ShutdownSignal::GracefulUpgrade;
                }
                Some(socket) if name == "SIGQUIT" => log::error!(
                    "SIGQUIT: no process waits at {} to take the listeners over, so this one goes on. Start one with --upgrade first; to \
                     stop, send SIGTERM",
                    socket.display()
                ),
                _ => {
                    log::info!("{name}: finishing {} requests, taking no more", in_flight.count());
                    std::thread::spawn(move || exit_when_idle(&in_flight, &tracing));
                    return ShutdownSignal::GracefulTerminate;
                }
            }
        }
    }
}

/// Ends the process when nothing is left to be finished, or the time for that is over.
fn exit_when_idle(in_flight: &InFlight, tracing: &Tracing) {
    in_flight.stopping.store(true, Ordering::Relaxed);
    let step = Duration::from_millis(20);
    let (began, mut idle) = (Instant::now(), Duration::ZERO);
    let left =
        || Duration::from_millis(in_flight.grace.load(Ordering::Relaxed)).saturating_sub(began.elapsed());
    let mut early = None;
    while idle < SETTLE && !left().is_zero() {
        // What the requests that do not end in time have recorded until now.
        if left() < FLUSH && in_flight.count() > 0 {
            early.get_or_insert_with(|| tracing.flush());
        }
        std::thread::sleep(step);
        idle = if in_flight.count() == 0 { idle + step } else { Duration::ZERO };
    }
    let sent = match early {
        Some(early) if idle < SETTLE => early.wait(Duration::ZERO),
        _ => !tracing.is_on() || tracing.flush().wait(FLUSH.min(left())),
    };
    if !sent {
        log::warn!("traces: the last ones are not sent: their collector does not take them in time");
    }
    if idle < SETTLE {
        log::warn!("stop_timeout is over: {} requests are cut off", in_flight.count());
    } else {
        log::info!("Idle: stopped");
    }
    std::process::exit(0);
}

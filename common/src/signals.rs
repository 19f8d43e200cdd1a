//! Signals that tell a running process something, from its very start on.

use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::signal::unix::{Signal, SignalKind, signal};

static EARLY: Mutex<Vec<(SignalKind, Signal)>> = Mutex::new(Vec::new());

/// From now on SIGHUP, SIGUSR1, SIGUSR2 and SIGQUIT do not end this process, and all but the last wait until somebody [listens](listen) for them: they come
/// early when a service manager reloads what it has just started.
pub fn expect() {
    // The runtime may go; what was registered with it stays, and the next one hears it.
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    let mut early = EARLY.lock().unwrap_or_else(PoisonError::into_inner);
    runtime.block_on(async {
        let told = [
            SignalKind::hangup(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
            SignalKind::quit(),
        ];
        for kind in told {
            early.extend(signal(kind).map(|signal| (kind, signal)));
        }
    });
}

/// Those of one kind, also those that came since they are [expected](expect). For one listener of each kind.
///
/// # Errors
/// When the operating system refuses it.
pub fn listen(kind: SignalKind) -> io::Result<Signal> {
    let mut early = EARLY.lock().unwrap_or_else(PoisonError::into_inner);
    match early.iter().position(|(expected, _)| *expected == kind) {
        Some(at) => Ok(early.swap_remove(at).1),
        None => signal(kind),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[test]
    fn what_came_before_anybody_listened_is_heard() {
        expect();
        kill_process(getpid(), Signal::HUP).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let heard = runtime.block_on(async {
            let mut hangup = listen(SignalKind::hangup()).unwrap();
            tokio::time::timeout(Duration::from_secs(10), hangup.recv()).await
        });
        assert_eq!(heard, Ok(Some(())));
    }
}

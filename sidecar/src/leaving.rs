//! Tomcat is about to be stopped, and SIGUSR2 says so before (`sidecar --signal drain`).
//!
//! A Tomcat that stops takes connections for a while that it will never answer, and a POST that was sent there can't be sent again. So who asks whether this server is
//! ready is told at once that it is not, and a little later requests are sent away unsent, so that the gateway takes another server. What runs goes on.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use satchel_common::signals::listen;
use tokio::signal::unix::SignalKind;
use tokio::time::Instant;

use crate::exchange::Core;

/// Who checks servers, or is told of them, knows by then. A large upload that was begun before could not be sent to another server.
const NOTICE: Duration = Duration::from_secs(5);

/// Whether Tomcat is about to be stopped, and since when.
#[derive(Debug, Default)]
pub struct Leaving(OnceLock<Instant>);

impl Leaving {
    /// From now on it is.
    pub fn begin(&self) {
        self.0.get_or_init(Instant::now);
    }

    /// Whether it is.
    pub fn has_begun(&self) -> bool {
        self.0.get().is_some()
    }

    /// Whether no request is to reach Tomcat any more.
    pub fn refuses(&self) -> bool {
        self.0.get().is_some_and(|began| began.elapsed() >= NOTICE)
    }
}

/// Begins at SIGUSR2.
pub async fn on_sigusr2(core: Arc<Core>) {
    match listen(SignalKind::user_defined2()) {
        Ok(mut told) => {
            while told.recv().await.is_some() {
                log::info!(
                    "SIGUSR2: Tomcat is about to be stopped. Not ready from now on; in {} s requests go to other servers",
                    NOTICE.as_secs()
                );
                core.leaving.begin();
            }
        }
        Err(error) => log::error!("Cannot listen for SIGUSR2: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_said_before_requests_are_refused() {
        let leaving = Leaving::default();
        assert!(!leaving.has_begun() && !leaving.refuses());
        leaving.begin();
        assert!(leaving.has_begun() && !leaving.refuses());
        sleep(NOTICE / 2).await;
        // Said again: it is no later for that.
        leaving.begin();
        assert!(!leaving.refuses());
        sleep(NOTICE / 2).await;
        assert!(leaving.refuses());
    }
}

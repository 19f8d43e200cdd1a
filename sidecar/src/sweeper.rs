//! Removes session files that belong to no request (R14): left by a request that had been given up, or made
//! by one that gets no session work.
//!
//! A file is removed when it was a stranger at two looks in a row. Its own times say nothing: after this
//! process was stopped and continued, an old file may belong to a response that is just being read.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::exchange::Core;

const STEP: Duration = Duration::from_secs(1);

/// Sweeps for ever.
pub async fn sweep(core: Arc<Core>) {
    let mut seen: Vec<HashSet<String>> = vec![HashSet::new(); core.directories.len()];
    loop {
        tokio::time::sleep(STEP).await;
        for (directory, seen) in core.directories.iter().zip(&mut seen) {
            let strangers: HashSet<String> = match directory.strangers() {
                Ok(strangers) => strangers.into_iter().collect(),
                Err(error) => {
                    log::error!("Cannot list {}: {error}", directory.path().display());
                    continue;
                }
            };
            for name in strangers.intersection(seen) {
                if directory.sweep(name) {
                    core.metrics.swept_files.add();
                }
            }
            *seen = strangers;
        }
    }
}

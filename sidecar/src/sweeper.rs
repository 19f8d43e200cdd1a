//! Looks after session files that belong to no request (R14): left by a request that had been given up, or made
//! by one that gets no session work. A session that a client was told of is stored, the others are removed.
//!
//! A file is one when it was a stranger at two looks in a row. Its own times say nothing: after this
//! process was stopped and continued, an old file may belong to a response that is just being read.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::exchange::Core;
use crate::exchange::settle::adopt;

const STEP: Duration = Duration::from_secs(1);

/// Sweeps for ever.
pub async fn sweep(core: Arc<Core>) {
    let mut seen: Vec<HashSet<String>> = vec![HashSet::new(); core.directories.len()];
    loop {
        tokio::time::sleep(STEP).await;
        for (context, (directory, seen)) in core.directories.iter().zip(&mut seen).enumerate() {
            let strangers: HashSet<String> = match directory.strangers() {
                Ok(strangers) => strangers.into_iter().collect(),
                Err(error) => {
                    log::error!("Cannot list {}: {error}", directory.path().display());
                    continue;
                }
            };
            for name in strangers.intersection(seen).filter(|name| directory.is_whole(name)) {
                let told = name.strip_suffix(".session").and_then(|id| core.late.take(context, id));
                if let Some(announced) = told {
                    adopt(core.clone(), context, &announced).await;
                } else if directory.sweep(name) {
                    core.metrics.swept_files.add();
                }
            }
            *seen = strangers;
        }
    }
}

//! What the status page shows: rates and times of the last seconds, and what is so now.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use satchel_common::metrics::{Live, STEP, Snapshot};
use satchel_common::status::{NodeStatus, OutboxStatus, SidecarHistory, SidecarStatus, Trouble};

use crate::exchange::Core;
use crate::metrics::Part;

/// Counters that stay at zero while all is well.
const TROUBLES: [&str; 26] = [
    "abandoned",
    "changes_dropped",
    "conflicts",
    "conflicts_after_response",
    "diverged",
    "file_errors",
    "foreign_files",
    "leftovers_forgotten",
    "lock_timeouts",
    "locks_lost",
    "outbox_full",
    "outbox_lost",
    "overtime",
    "overwritten",
    "proceeded_without_lock",
    "proceeded_without_session",
    "records_rejected",
    "released_unsaved",
    "rolled_back",
    "save_failed",
    "store_failed",
    "tomcat_gone",
    "too_large",
    "unknown_ids_refused",
    "unsent",
    "vanished",
];

/// The last minutes.
#[derive(Default)]
pub struct Recent(Mutex<Looks>);

#[derive(Default)]
struct Looks {
    count: u64,
    requests: Live<1>,
    in_tomcat: Live<0>,
    locks: Live<1>,
    sessions: Live<4>,
    cache: Live<2>,
    nodes: Vec<Live<1>>,
}

impl Recent {
    /// Looks at what was counted, for ever.
    pub async fn watch(&self, core: &Core) {
        loop {
            self.look(core, Instant::now());
            tokio::time::sleep(STEP).await;
        }
    }

    fn look(&self, core: &Core, now: Instant) {
        let metrics = &core.metrics;
        let mut looks = self.looks();
        looks.count += 1;
        let requests = &metrics.requests;
        let running = requests.in_flight.count() as f32;
        looks.requests.look(now, requests.times.snapshot(), [requests.errors()], running);
        looks.in_tomcat.look(now, metrics.parts.of(Part::Tomcat), [], 0.0);
        let held = core.locks.count() as f32;
        looks.locks.look(now, metrics.lock_wait.snapshot(), [metrics.lock_timeouts.get()], held);
        let (cached, bytes) = core.cache.size();
        let counts = [
            metrics.sessions_loaded.get(),
            metrics.sessions_stored.get() + metrics.sessions_created.get(),
            metrics.sessions_touched.get(),
            metrics.sessions_invalidated.get(),
        ];
        looks.sessions.look(now, metrics.parts.of(Part::Store), counts, cached as f32);
        let counts = [metrics.cache_hits.get(), metrics.cache_misses.get()];
        looks.cache.look(now, Snapshot::default(), counts, bytes as f32);
        looks.nodes.resize_with(core.nodes.all().count(), Live::default);
        for (node, live) in core.nodes.all().zip(&mut looks.nodes) {
            let (times, errors) = core.nodes.counted(node);
            live.look(now, times, [errors], f32::from(u8::from(core.nodes.is_up(node))));
        }
    }

    /// What is so now; with the last minutes if they are wanted.
    pub fn status(&self, core: &Core, history: bool) -> SidecarStatus {
        let looks = self.looks();
        let nodes = core.nodes.all().map(|node| NodeStatus {
            name: core.nodes.name(node).to_string(),
            up: core.nodes.is_up(node),
            retired: core.nodes.is_retired(node),
            round_trips: looks.nodes.get(node).map(Live::now).unwrap_or_default(),
        });
        let context = |context: &crate::context::Context| {
            let name = context.name();
            if name.is_empty() { "/".into() } else { name }
        };
        SidecarStatus {
            program: "sidecar".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: core.metrics.process.started(),
            memory: core.metrics.process.memory().unwrap_or(0),
            farm: core.farm.name().to_owned(),
            tomcat: core.tomcat.address.to_string(),
            contexts: core.contexts.iter().map(context).collect(),
            looks: looks.count,
            step: STEP.as_secs_f32(),
            requests: looks.requests.now(),
            in_tomcat: looks.in_tomcat.now(),
            locks: looks.locks.now(),
            sessions: looks.sessions.now(),
            cache: looks.cache.now(),
            cache_max: core.cache.max_size(),
            nodes: nodes.collect(),
            outbox: OutboxStatus {
                sessions: core.outbox.len() as u64,
                bytes: core.outbox.bytes() as u64,
                max: core.settings().outbox_size as u64,
            },
            troubles: troubles(core),
            history: history.then(|| SidecarHistory {
                requests: looks.requests.history().clone(),
                in_tomcat: looks.in_tomcat.history().clone(),
                locks: looks.locks.history().clone(),
                sessions: looks.sessions.history().clone(),
                cache: looks.cache.history().clone(),
                nodes: looks.nodes.iter().map(|node| node.history().clone()).collect(),
            }),
        }
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn troubles(core: &Core) -> Vec<Trouble> {
    let short =
        |name: &str| name.trim_start_matches("satchel_sidecar_").trim_end_matches("_total").to_owned();
    let all = core.metrics.counters().map(|(family, count)| Trouble {
        name: short(family.name),
        count,
        means: family.help.to_owned(),
    });
    all.filter(|one| one.count > 0 && TROUBLES.contains(&one.name.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn every_trouble_is_a_counter() {
        let metrics = Metrics::default();
        let names: Vec<_> = metrics.counters().map(|(family, _)| family.name).collect();
        for trouble in TROUBLES {
            assert!(names.contains(&format!("satchel_sidecar_{trouble}_total").as_str()), "{trouble}");
        }
        assert!(TROUBLES.is_sorted());
    }
}

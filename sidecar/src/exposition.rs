//! What Prometheus is shown.

use std::fmt;

use satchel_common::metrics::{Page, Value};

use crate::exchange::Core;
use crate::metrics as families;

/// Writes all of it.
///
/// # Errors
/// None: a page is a string.
pub fn collect(page: &mut Page<'_>, core: &Core) -> fmt::Result {
    let (metrics, nodes) = (&core.metrics, &core.nodes);
    page.each(&families::BUILD, [(vec![env!("CARGO_PKG_VERSION")], Value::Level(1.0))])?;
    let requests = &metrics.requests;
    let by_status = requests.by_status().map(|(status, count)| (vec![status], Value::Count(count)));
    page.each(&families::REQUESTS, by_status)?;
    page.one(&families::REQUEST_TIME, Value::Times(requests.times.snapshot()))?;
    page.one(&families::IN_FLIGHT, level(requests.in_flight.count() as u64))?;
    let parts = metrics.parts.each().map(|(part, times)| (vec![part], Value::Times(times.snapshot())));
    page.each(&families::PART_TIME, parts)?;
    page.one(&families::LOCK_WAIT, Value::Times(metrics.lock_wait.snapshot()))?;
    page.one(&families::LOCKS, level(core.locks.count() as u64))?;
    let node = |value: &dyn Fn(usize) -> Value| {
        nodes.all().map(|node| (vec![nodes.name(node).to_string()], value(node))).collect::<Vec<_>>()
    };
    page.each(&families::NODE_UP, node(&|node| level(nodes.is_up(node).into())))?;
    page.each(&families::NODE_RETIRED, node(&|node| level(nodes.is_retired(node).into())))?;
    page.each(&families::NODE_TIME, node(&|node| Value::Times(nodes.counted(node).0)))?;
    page.each(&families::NODE_ERRORS, node(&|node| Value::Count(nodes.counted(node).1)))?;
    let (cached, bytes) = core.cache.size();
    page.one(&families::CACHE_SESSIONS, level(cached))?;
    page.one(&families::CACHE_BYTES, level(bytes))?;
    page.one(&families::CACHE_MAX, level(core.cache.max_size()))?;
    page.one(&families::OUTBOX_SESSIONS, level(core.outbox.len() as u64))?;
    page.one(&families::OUTBOX_BYTES, level(core.outbox.bytes() as u64))?;
    page.one(&families::OUTBOX_MAX, level(core.settings().outbox_size as u64))?;
    for (family, count) in metrics.counters() {
        page.one(family, Value::Count(count))?;
    }
    metrics.process.collect(page)
}

fn level(value: u64) -> Value {
    Value::Level(value as f64)
}

//! What goes wrong in a farm.

use super::user::{Asked, Cookie};
use super::*;

/// In which time every session has to have two copies again, once its requests are answered.
const REPAIRED_WITHIN: Duration = Duration::from_secs(120);

/// In which time every sidecar uses a node that is back: at least every 5 s it looks whether it is.
const NOTICED_WITHIN: Duration = Duration::from_secs(6);

impl World {
    /// Nodes go away and come back, one after the other: killed, cut off, or stopped.
    pub(super) async fn outages(self: Arc<Self>, mut random: SmallRng) {
        loop {
            sleep(Duration::from_millis(random.random_range(0..10_000))).await;
            // Two copies survive one failure at a time (R26).
            if self.plan.repaired {
                self.repair(&mut random).await;
            } else {
                sleep(NOTICED_WITHIN).await;
            }
            let node = self.node_in_use(&mut random);
            let how = Outage::any(&mut random);
            trace(|| Some(format!("node {node} goes ({how:?})")));
            how.of(&self.memories[node], &mut random).await;
            trace(|| Some(format!("node {node} is back")));
        }
    }

    /// Nodes are killed and start again empty, whatever the others have.
    pub(super) async fn kill_nodes(self: Arc<Self>, mut random: SmallRng) {
        loop {
            sleep(Duration::from_millis(random.random_range(500..10_000))).await;
            let node = self.node_in_use(&mut random);
            self.memories[node].lock().unwrap().restart();
            trace(|| Some(format!("node {node} is killed")));
        }
    }

    /// Sidecars are killed and come back with nothing.
    pub(super) async fn kill_sidecars(self: Arc<Self>, mut random: SmallRng) {
        loop {
            sleep(Duration::from_millis(random.random_range(500..8_000))).await;
            let running: Vec<_> =
                self.slots.iter().filter(|slot| slot.lock().unwrap().running.is_some()).collect();
            if running.len() < 2 {
                continue;
            }
            let at = random.random_range(0..running.len());
            let mut slot = running[at].lock().unwrap();
            slot.starts = Instant::now() + Duration::from_millis(random.random_range(100..5_000));
            slot.parked = false;
            if let Some(killed) = slot.running.take() {
                killed.sidecar.gate.stop(PARKED);
                killed.killed.send_replace(true);
                trace(|| Some(format!("sidecar {:x} is killed", killed.number)));
            }
        }
    }

    /// Sidecars without requests are stopped, until they get one.
    pub(super) async fn park(self: Arc<Self>) {
        loop {
            sleep(Duration::from_secs(1)).await;
            for slot in &self.slots {
                let mut slot = slot.lock().unwrap();
                let idle = slot.running.as_ref().is_some_and(|running| {
                    running.used.elapsed() > Duration::from_secs(2)
                        && Arc::strong_count(&running.requests) == 1
                        && running.sidecar.gate.is_open()
                });
                if let Some(running) = slot.running.as_ref().filter(|_| idle) {
                    running.sidecar.gate.stop(PARKED);
                    slot.parked = true;
                }
            }
        }
    }

    /// Half of the times one that has a session.
    fn node_in_use(&self, random: &mut SmallRng) -> usize {
        let any = random.random_range(0..self.memories.len());
        let ids: Vec<_> = self.ids.lock().unwrap().values().map(|(key, _)| key.clone()).collect();
        if ids.is_empty() || random.random_range(0..2) == 0 {
            return any;
        }
        let key = ids[random.random_range(0..ids.len())].record();
        let holds = |memory: &&Shared| memory.lock().unwrap().flags(&key).is_some();
        self.memories.iter().position(|memory| holds(&memory)).unwrap_or(any)
    }

    /// Uses each session whose newest state is on one node alone, until there is none.
    async fn repair(self: &Arc<Self>, random: &mut SmallRng) {
        let began = Instant::now();
        loop {
            let weak = self.weak();
            if weak.is_empty() {
                return;
            }
            assert!(began.elapsed() < REPAIRED_WITHIN, "{weak:?} have one copy still");
            for cookie in weak {
                let asked = Asked { nap: None, ..self.ask(cookie, Act::Read, random) };
                let (world, running) = (self.clone(), self.pick(random));
                tokio::spawn(async move { world.serve(&running, asked).await });
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn weak(&self) -> Vec<Cookie> {
        let has_one_copy = |key: &RecordKey| {
            let key = key.record();
            let found: Vec<_> =
                self.memories.iter().filter_map(|memory| memory.lock().unwrap().flags(&key)).collect();
            let newest = found.iter().copied().reduce(|a, b| if flags::is_newer(a, b) { a } else { b });
            newest.is_some_and(|newest| found.iter().filter(|flags| **flags == newest).count() < 2)
        };
        let ids = self.ids.lock().unwrap();
        ids.iter().filter(|(_, (key, _))| has_one_copy(key)).map(|(id, (_, node))| (*id, *node)).collect()
    }
}

//! nginx's `limit_conn`, by client: requests that run at one time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::REMEMBERED;
use satchel_common::counted::counted;

/// The requests that run. Nobody has an entry without one.
#[derive(Debug, Default)]
pub struct Connections(Mutex<HashMap<IpAddr, u32>>);

/// One request of a client that runs; it ends when this is dropped.
pub struct Slot {
    connections: Arc<Connections>,
    client: IpAddr,
}

impl Connections {
    /// A request that runs, if the client may have one more at one time. When there is no room for another client it may not, as in nginx:
    /// who has requests running can't be forgotten.
    pub fn enter(self: &Arc<Self>, address: IpAddr, limit: u32) -> Option<Slot> {
        let client = counted(address);
        let mut running = self.running();
        let now = running.get(&client).copied().unwrap_or(0);
        if now >= limit || (now == 0 && running.len() >= REMEMBERED) {
            return None;
        }
        running.insert(client, now + 1);
        Some(Slot { connections: self.clone(), client })
    }

    fn running(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut running = self.connections.running();
        match running.get_mut(&self.client) {
            Some(number) if *number > 1 => *number -= 1,
            _ => drop(running.remove(&self.client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn so_many_requests_may_run_at_one_time() {
        let connections = Arc::new(Connections::default());
        let first = connections.enter(CLIENT, 2);
        let second = connections.enter(CLIENT, 2);
        assert!(first.is_some() && second.is_some() && connections.enter(CLIENT, 2).is_none());
        drop(first);
        assert!(connections.enter(CLIENT, 2).is_some());
        drop(second);
        assert!(connections.running().is_empty());
    }

    #[test]
    fn there_is_room_for_so_many_clients_and_no_more() {
        let connections = Arc::new(Connections::default());
        let mut slots: Vec<_> = (0..REMEMBERED as u32)
            .map(|number| connections.enter(Ipv4Addr::from(number).into(), 2).unwrap())
            .collect();
        assert!(connections.enter(CLIENT, 2).is_none());
        assert!(connections.enter(Ipv4Addr::from(0).into(), 2).is_some(), "one that is there");
        slots.pop();
        assert!(connections.enter(CLIENT, 2).is_some());
    }
}

//! nginx's `limit_req` and `limit_conn`, by client address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::RateLimit;

/// Addresses that are remembered; past it the oldest that owe nothing are forgotten. 16 bytes of an address and 32 of its state: a few MiB.
const REMEMBERED: usize = 65_536;

/// What one location lets each client do.
#[derive(Debug, Default)]
pub struct Clients {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `ngx_http_limit_req_module`'s leaky bucket: what is over the rate, in requests, and when that was.
    excess: HashMap<IpAddr, (f64, Instant)>,
    running: HashMap<IpAddr, u32>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It goes on, after this time.
    After(Duration),
    /// It is refused.
    Refused,
}

/// One request of a client that runs; it ends when this is dropped.
pub struct Slot {
    clients: Arc<Clients>,
    address: IpAddr,
}

impl Clients {
    /// A request of this client at this time, as nginx decides: up to `burst` requests over the rate are held back, or let through at once
    /// with `nodelay`.
    pub fn request(&self, address: IpAddr, limit: &RateLimit, now: Instant) -> Admission {
        let mut state = self.state();
        if state.excess.len() >= REMEMBERED {
            state.excess.retain(|_, (excess, last)| {
                *excess - limit.rate * now.duration_since(*last).as_secs_f64() > 0.0
            });
        }
        let (excess, last) = state.excess.get(&address).copied().unwrap_or((-1.0, now));
        let left = excess - limit.rate * now.saturating_duration_since(last).as_secs_f64();
        let next = if excess < 0.0 { 0.0 } else { (left + 1.0).max(0.0) };
        if next > f64::from(limit.burst) {
            return Admission::Refused;
        }
        state.excess.insert(address, (next, now));
        let wait = if limit.nodelay { 0.0 } else { next / limit.rate };
        Admission::After(Duration::from_secs_f64(wait))
    }

    /// A request that runs, if the client may have one more at one time.
    pub fn enter(self: &Arc<Self>, address: IpAddr, limit: u32) -> Option<Slot> {
        let mut state = self.state();
        let running = state.running.entry(address).or_default();
        if *running >= limit {
            return None;
        }
        *running += 1;
        Some(Slot { clients: self.clone(), address })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.clients.state();
        if let Some(running) = state.running.get_mut(&self.address) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                state.running.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn requests_over_the_rate_are_held_back_and_past_the_burst_refused() {
        let clients = Clients::default();
        let limit = RateLimit { rate: 10.0, burst: 2, nodelay: false };
        let now = Instant::now();
        let waits: Vec<_> = (0..4).map(|_| clients.request(CLIENT, &limit, now)).collect();
        let after = |millis| Admission::After(Duration::from_millis(millis));
        assert_eq!(waits, [after(0), after(100), after(200), Admission::Refused]);
        let later = now + Duration::from_millis(150);
        assert!(matches!(clients.request(CLIENT, &limit, later), Admission::After(_)));
        assert_eq!(clients.request("192.0.2.1".parse().unwrap(), &limit, now), after(0), "another client");
        let at_once = RateLimit { nodelay: true, ..limit };
        let much_later = now + Duration::from_secs(60);
        let waits: Vec<_> = (0..4).map(|_| clients.request(CLIENT, &at_once, much_later)).collect();
        assert_eq!(waits, [after(0), after(0), after(0), Admission::Refused]);
    }

    #[test]
    fn so_many_requests_may_run_at_one_time() {
        let clients = Arc::new(Clients::default());
        let first = clients.enter(CLIENT, 2);
        let second = clients.enter(CLIENT, 2);
        assert!(first.is_some() && second.is_some() && clients.enter(CLIENT, 2).is_none());
        drop(first);
        assert!(clients.enter(CLIENT, 2).is_some());
        drop(second);
        assert!(clients.state().running.is_empty());
    }
}

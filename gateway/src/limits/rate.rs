//! nginx's `limit_req`, by client.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::REMEMBERED;
use super::recent::Recent;
use crate::config::RateLimit;
use satchel_common::counted::counted;

/// What the clients have asked for.
#[derive(Debug)]
pub struct Rates(Mutex<Recent<Excess>>);

/// `ngx_http_limit_req_module`'s leaky bucket: what is over the rate, in requests, and when that was.
#[derive(Debug, Clone, Copy)]
struct Excess {
    requests: f64,
    at: Instant,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It goes on, after this time.
    After(Duration),
    /// It is refused.
    Refused,
}

impl Default for Rates {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(REMEMBERED)))
    }
}

impl Rates {
    /// A request of this client at this time, as nginx decides: up to `burst` requests over the rate are held back, or let through at once
    /// with `nodelay`.
    pub fn request(&self, address: IpAddr, limit: &RateLimit, now: Instant) -> Admission {
        let client = counted(address);
        let mut clients = self.clients();
        let known = clients.get(client);
        let next = known.map_or(0.0, |excess| {
            let leaked = limit.rate * now.saturating_duration_since(excess.at).as_secs_f64();
            (excess.requests - leaked + 1.0).max(0.0)
        });
        if next > f64::from(limit.burst) {
            // Who is refused is not forgotten for it.
            if let Some(excess) = known {
                clients.put(client, excess);
            }
            return Admission::Refused;
        }
        clients.put(client, Excess { requests: next, at: now });
        let wait = if limit.nodelay { 0.0 } else { next / limit.rate };
        Admission::After(Duration::from_secs_f64(wait))
    }

    fn clients(&self) -> MutexGuard<'_, Recent<Excess>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use proptest::prelude::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn limit(rate: f64) -> RateLimit {
        RateLimit { zone: String::new(), rate, burst: 0, nodelay: true }
    }

    #[test]
    fn requests_over_the_rate_are_held_back_and_past_the_burst_refused() {
        let rates = Rates::default();
        let limit = RateLimit { burst: 2, nodelay: false, ..limit(10.0) };
        let now = Instant::now();
        let waits: Vec<_> = (0..4).map(|_| rates.request(CLIENT, &limit, now)).collect();
        let after = |millis| Admission::After(Duration::from_millis(millis));
        assert_eq!(waits, [after(0), after(100), after(200), Admission::Refused]);
        let later = now + Duration::from_millis(150);
        assert!(matches!(rates.request(CLIENT, &limit, later), Admission::After(_)));
        assert_eq!(rates.request("192.0.2.1".parse().unwrap(), &limit, now), after(0), "another client");
        let at_once = RateLimit { nodelay: true, ..limit.clone() };
        let much_later = now + Duration::from_secs(60);
        let waits: Vec<_> = (0..4).map(|_| rates.request(CLIENT, &at_once, much_later)).collect();
        assert_eq!(waits, [after(0), after(0), after(0), Admission::Refused]);
    }

    #[test]
    fn the_addresses_of_a_network_are_one_client() {
        let (rates, now) = (Rates::default(), Instant::now());
        let limit = limit(1.0);
        let request = |address: &str| rates.request(address.parse().unwrap(), &limit, now);
        let passed = Admission::After(Duration::ZERO);
        assert_eq!(request("2001:db8::1"), passed);
        assert_eq!(request("2001:db8::2"), Admission::Refused);
        assert_eq!(request("2001:db8:0:1::1"), passed);
    }

    #[test]
    fn a_flood_of_addresses_that_all_owe_is_bounded() {
        let (rates, now) = (Rates::default(), Instant::now());
        let limit = RateLimit { burst: 1000, ..limit(0.01) };
        // With a search through all for each it would take an hour.
        for number in 0..400_000_u32 {
            rates.request(Ipv4Addr::from(number).into(), &limit, now);
            rates.request(Ipv4Addr::from(number).into(), &limit, now);
        }
        assert!(rates.clients().len() <= REMEMBERED);
    }

    #[test]
    fn who_is_refused_is_remembered() {
        let (rates, now) = (Rates::default(), Instant::now());
        let limit = limit(0.01);
        rates.request(CLIENT, &limit, now);
        for number in 0..200_000_u32 {
            rates.request(Ipv4Addr::from(number).into(), &limit, now);
            if number % 10_000 == 0 {
                assert_eq!(rates.request(CLIENT, &limit, now), Admission::Refused);
            }
        }
    }

    proptest! {
        /// However requests are spread, no more pass than the rate and the burst allow.
        #[test]
        fn the_rate_holds(
            per_second in 1_u32..50,
            burst in 0_u32..10,
            pauses in proptest::collection::vec(0_u64..300, 1..200),
        ) {
            let rates = Rates::default();
            let limit = RateLimit { burst, ..limit(f64::from(per_second)) };
            let start = Instant::now();
            let (mut now, mut passed) = (start, 0);
            for pause in pauses {
                now += Duration::from_millis(pause);
                passed += u32::from(rates.request(CLIENT, &limit, now) != Admission::Refused);
                let allowed = f64::from(1 + burst) + limit.rate * (now - start).as_secs_f64();
                prop_assert!(f64::from(passed) <= allowed + 1e-6, "{} of {}", passed, allowed);
            }
        }
    }
}

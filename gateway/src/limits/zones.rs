//! What the limits have counted, by zone: one for all that name it, and it outlives a reload.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::{Admission, Connections, Rates, Slot};
use crate::config::{ConnectionLimit, RateLimit, Settings};

/// The zones of a configuration.
#[derive(Debug, Default)]
pub struct Zones {
    rates: HashMap<String, Arc<Rates>>,
    connections: HashMap<String, Arc<Connections>>,
}

impl Zones {
    /// Those that these settings name.
    pub fn of<'a>(all: impl Iterator<Item = &'a Settings>) -> Self {
        let mut zones = Self::default();
        for settings in all {
            if let Some(limit) = &settings.limit_req {
                zones.rates.entry(limit.zone.clone()).or_default();
            }
            if let Some(limit) = &settings.limit_conn {
                zones.connections.entry(limit.zone.clone()).or_default();
            }
        }
        zones
    }

    /// Those that were there before go on with what they have counted.
    pub fn take_over(&mut self, before: &Self) {
        take_over(&mut self.rates, &before.rates);
        take_over(&mut self.connections, &before.connections);
    }

    /// A request of this client at this time.
    pub fn request(&self, address: IpAddr, limit: &RateLimit, now: Instant) -> Admission {
        // Every limit's zone is there.
        self.rates.get(&limit.zone).map_or(Admission::Refused, |zone| zone.request(address, limit, now))
    }

    /// A request that runs, if the client may have one more at one time.
    pub fn enter(&self, address: IpAddr, limit: &ConnectionLimit) -> Option<Slot> {
        self.connections.get(&limit.zone)?.enter(address, limit.limit)
    }
}

fn take_over<T>(zones: &mut HashMap<String, Arc<T>>, before: &HashMap<String, Arc<T>>) {
    for (name, zone) in zones {
        if let Some(old) = before.get(name) {
            *zone = old.clone();
        }
    }
}

//! Unknown session ids per client address (R4): each costs memcached a lookup, and a flood of them is
//! somebody guessing.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::future::Cache;

/// Addresses that are remembered; of more, the least recent are forgotten.
const ADDRESSES: u64 = 10_000;

/// Counts per address and second.
pub struct Flood {
    limit: u32,
    counts: Cache<Option<IpAddr>, Arc<AtomicU32>>,
}

impl Flood {
    /// At most `limit` unknown ids per address and second.
    pub fn new(limit: u32) -> Self {
        let counts = Cache::builder().max_capacity(ADDRESSES).time_to_live(Duration::from_secs(1)).build();
        Self { limit, counts }
    }

    /// Whether this address has presented too many.
    pub async fn is_over(&self, address: Option<IpAddr>) -> bool {
        self.counts.get(&address).await.is_some_and(|count| count.load(Ordering::Relaxed) >= self.limit)
    }

    /// Notes an unknown id.
    pub async fn note(&self, address: Option<IpAddr>) {
        let count = self.counts.get_with(address, async { Arc::default() }).await;
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn r04_unknown_ids_are_limited_by_address() {
        let flood = Flood::new(2);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().ok());
        for _ in 0..2 {
            assert!(!flood.is_over(one).await);
            flood.note(one).await;
        }
        assert!(flood.is_over(one).await);
        assert!(!flood.is_over(other).await);
    }
}

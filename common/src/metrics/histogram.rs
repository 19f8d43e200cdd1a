//! How long things take: counted in buckets, as Prometheus has it. An observation is two additions, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds, in seconds: from a round trip to a memcached on this machine to Tomcat's slowest pages. The same for all histograms, so that
/// they can be compared.
pub const BOUNDS: [f64; 18] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
    60.0,
];

/// The same in nanoseconds.
const NANOS: [u64; BOUNDS.len()] = [
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
];

/// Bounds, and one bucket for what is beyond the last.
const BUCKETS: usize = BOUNDS.len() + 1;

/// Times that are being counted.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

/// Times as they were counted at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// How many fell between two bounds; the last: beyond all.
    pub buckets: [u64; BUCKETS],
    /// Their sum.
    pub nanos: u64,
}

impl Histogram {
    /// Counts a time.
    pub fn observe(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let at = NANOS.partition_point(|bound| *bound < nanos);
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// What has been counted until now.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot { nanos: self.nanos.load(Ordering::Relaxed), ..Snapshot::default() };
        for (copy, bucket) in snapshot.buckets.iter_mut().zip(&self.buckets) {
            *copy = bucket.load(Ordering::Relaxed);
        }
        snapshot
    }
}

impl Snapshot {
    /// How many.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum in seconds.
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanos).as_secs_f64()
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.nanos = self.nanos.wrapping_add(other.nanos);
    }

    /// What was counted since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let mut since = Self { nanos: self.nanos.wrapping_sub(before.nanos), ..Self::default() };
        for (at, count) in since.buckets.iter_mut().enumerate() {
            *count = self.buckets[at].saturating_sub(before.buckets[at]);
        }
        since
    }

    /// The time, in seconds, that a share `q` of all stayed within: as Prometheus' `histogram_quantile`, on a straight line within its bucket. What is
    /// beyond the last bound counts as that. `None`: there are none.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let all = self.count();
        if all == 0 {
            return None;
        }
        let rank = q * all as f64;
        let mut below = 0.0;
        for (at, count) in self.buckets.iter().enumerate() {
            let count = *count as f64;
            if count > 0.0 && below + count >= rank {
                let lower = if at == 0 { 0.0 } else { BOUNDS[at - 1] };
                let upper = BOUNDS.get(at).copied().unwrap_or(lower);
                return Some(lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0));
            }
            below += count;
        }
        BOUNDS.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_of_bounds_are_the_same() {
        for (seconds, nanos) in BOUNDS.iter().zip(NANOS) {
            assert_eq!(Duration::from_secs_f64(*seconds), Duration::from_nanos(nanos));
        }
        assert!(NANOS.is_sorted());
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let times = Histogram::default();
        for micros in [0, 100, 101, 60_000_000, 60_000_001] {
            times.observe(Duration::from_micros(micros));
        }
        let seen = times.snapshot();
        assert_eq!((seen.buckets[0], seen.buckets[1], seen.buckets[17], seen.buckets[18]), (2, 1, 1, 1));
        assert_eq!((seen.count(), seen.nanos), (5, 120_000_202_000));
    }

    #[test]
    fn a_quantile_lies_in_its_bucket() {
        let times = Histogram::default();
        assert_eq!(times.snapshot().quantile(0.5), None);
        for _ in 0..99 {
            times.observe(Duration::from_micros(1_500));
        }
        let before = times.snapshot();
        times.observe(Duration::from_secs(100));
        let seen = times.snapshot();
        let p50 = seen.quantile(0.5).unwrap();
        assert!((0.0015..=0.00151).contains(&p50), "{p50}");
        assert_eq!(seen.quantile(1.0), Some(60.0), "beyond all bounds");
        assert_eq!(seen.since(&before).count(), 1);
        let mut both = before;
        both.add(&seen.since(&before));
        assert_eq!(both, seen);
    }
}

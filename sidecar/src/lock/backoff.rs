//! How long to wait between two attempts to take a lock that somebody else has.

use std::time::Duration;

/// From the first, doubled, to the last; a random half of each.
const FIRST: Duration = Duration::from_millis(1);
const LAST: Duration = Duration::from_millis(50);

/// The pauses of one waiter.
#[derive(Debug, Clone)]
pub struct Backoff {
    pause: Duration,
    left: Duration,
}

impl Backoff {
    /// Waits for `limit` in all.
    pub fn new(limit: Duration) -> Self {
        Self { pause: FIRST, left: limit }
    }

    /// The next pause, after `waited` since the last one began; `random` is between 0 and 1. `None`: the limit is reached.
    pub fn next(&mut self, waited: Duration, random: f64) -> Option<Duration> {
        self.left = self.left.saturating_sub(waited);
        let pause = self.pause.mul_f64(0.5 + random / 2.0);
        self.pause = (self.pause * 2).min(LAST);
        (pause < self.left).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_waiter_gives_up_in_time_and_not_early(limit in 10u64..5_000, random in 0.0..1.0f64) {
            let limit = Duration::from_millis(limit);
            let mut backoff = Backoff::new(limit);
            let (mut waited, mut last) = (Duration::ZERO, Duration::ZERO);
            while let Some(pause) = backoff.next(last, random) {
                prop_assert!(pause <= LAST && pause >= FIRST / 2);
                (waited, last) = (waited + pause, pause);
                prop_assert!(waited <= limit);
            }
            prop_assert!(waited + LAST >= limit);
        }
    }
}

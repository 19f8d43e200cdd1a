//! How many requests may be sent once more: a share of those that come, so that retries do not multiply a flood when all servers fail.

use crate::balancer::Now;

/// At least so many in a second, whatever the share: a farm with little traffic has few requests to take a share of.
const AT_LEAST: f64 = 10.0;
/// Unused ones are kept up to this: as many as may wait for one server when it begins to hang.
const KEPT: f64 = 1000.0;

/// What is left. No clock of its own.
#[derive(Debug)]
pub struct Budget {
    share: f64,
    left: f64,
    /// When the least was last given.
    given: Now,
}

impl Budget {
    /// `percent` of the requests.
    pub fn new(percent: u32) -> Self {
        Self { share: f64::from(percent) / 100.0, left: KEPT, given: Now::ZERO }
    }

    /// From now on `percent` of the requests.
    pub fn set(&mut self, percent: u32) {
        self.share = f64::from(percent) / 100.0;
    }

    /// A request has come.
    pub fn deposit(&mut self) {
        self.left = (self.left + self.share).min(KEPT);
    }

    /// Whether one may be sent once more. Zero percent: never; a hundred: always.
    pub fn withdraw(&mut self, now: Now) -> bool {
        if self.share <= 0.0 || self.share >= 1.0 {
            return self.share > 0.0;
        }
        let since = now.saturating_sub(self.given).as_secs_f64();
        self.given = now;
        self.left = (self.left + since * AT_LEAST).min(KEPT);
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_share_of_the_requests_may_be_repeated() {
        let mut budget = Budget::new(20);
        while budget.withdraw(Now::ZERO) {}
        for _ in 0..10_000 {
            budget.deposit();
        }
        let repeated = (0..10_000).filter(|_| budget.withdraw(Now::ZERO)).count();
        assert_eq!(repeated, 1000, "no more than are kept");
        let mut sent = 0;
        for _ in 0..1000 {
            budget.deposit();
            sent += usize::from(budget.withdraw(Now::ZERO));
        }
        assert!((198..=201).contains(&sent), "{sent}");
    }

    #[test]
    fn a_few_always_may_none_at_zero_and_all_at_a_hundred() {
        let mut budget = Budget::new(1);
        while budget.withdraw(Now::ZERO) {}
        let second = Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| budget.withdraw(second)).count(), 10);
        assert!(!Budget::new(0).withdraw(second));
        let mut all = Budget::new(100);
        assert!((0..10_000).all(|_| all.withdraw(Now::ZERO)));
    }
}

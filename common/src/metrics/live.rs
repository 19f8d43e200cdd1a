//! What has happened in the last seconds, and minutes: for the status pages, which show no totals since the start.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Snapshot;

/// How often it is looked at what was counted.
pub const STEP: Duration = Duration::from_secs(2);
/// So many looks are one value: 10 s.
const WINDOW: usize = 5;
/// So many values are kept for a plot: 5 minutes.
pub const HISTORY: usize = 150;

/// The rates and times of the last 10 s.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point<const N: usize> {
    /// How many in a second.
    pub rate: f32,
    /// In seconds; `None`: there were none.
    pub p50: Option<f32>,
    /// The same.
    pub p99: Option<f32>,
    /// Of each counter, how much it grew in a second.
    #[serde(with = "rates")]
    pub rates: [f32; N],
    /// What is so now.
    pub level: f32,
}

/// One histogram, and `N` counters beside it, over time.
#[derive(Debug)]
pub struct Live<const N: usize> {
    looks: VecDeque<(Instant, Snapshot, [u64; N])>,
    history: VecDeque<Point<N>>,
}

impl<const N: usize> Default for Live<N> {
    fn default() -> Self {
        Self { looks: VecDeque::new(), history: VecDeque::new() }
    }
}

impl<const N: usize> Default for Point<N> {
    fn default() -> Self {
        Self { rate: 0.0, p50: None, p99: None, rates: [0.0; N], level: 0.0 }
    }
}

impl<const N: usize> Live<N> {
    /// What was counted until `now`, in all; to be told every [`STEP`]. `level`: what is so now.
    pub fn look(&mut self, now: Instant, times: Snapshot, counts: [u64; N], level: f32) {
        self.looks.push_back((now, times, counts));
        if self.looks.len() > WINDOW + 1 {
            self.looks.pop_front();
        }
        let Some((began, before, counted)) = self.looks.front().filter(|_| self.looks.len() > 1) else {
            return;
        };
        let seconds = now.saturating_duration_since(*began).as_secs_f32().max(0.001);
        let since = times.since(before);
        let mut rates = [0.0; N];
        for (at, rate) in rates.iter_mut().enumerate() {
            *rate = counts[at].saturating_sub(counted[at]) as f32 / seconds;
        }
        let quantile = |q| since.quantile(q).map(|time| time as f32);
        self.history.push_back(Point {
            rate: since.count() as f32 / seconds,
            p50: quantile(0.5),
            p99: quantile(0.99),
            rates,
            level,
        });
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }

    /// The last 10 s.
    pub fn now(&self) -> Point<N> {
        self.history.back().copied().unwrap_or_default()
    }

    /// The last minutes, the oldest first.
    pub fn history(&self) -> &VecDeque<Point<N>> {
        &self.history
    }
}

/// serde knows arrays of fixed lengths only.
mod rates {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub fn serialize<S: Serializer, const N: usize>(rates: &[f32; N], to: S) -> Result<S::Ok, S::Error> {
        rates.as_slice().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<[f32; N], D::Error> {
        let told = Vec::<f32>::deserialize(from)?;
        // Another version may have more of them, or fewer: new ones come last.
        let mut rates = [0.0; N];
        rates.iter_mut().zip(told).for_each(|(rate, told)| *rate = told);
        Ok(rates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Histogram;

    #[test]
    fn another_version_may_tell_more_or_less() {
        let told = Point { rate: 1.0, rates: [2.0, 3.0], ..Point::<2>::default() };
        let text = serde_json::to_string(&told).unwrap();
        let fewer: Point<1> = serde_json::from_str(&text).unwrap();
        let more: Point<3> = serde_json::from_str(&text).unwrap();
        assert_eq!((fewer.rates, more.rates), ([2.0], [2.0, 3.0, 0.0]));
    }

    #[test]
    fn only_the_last_seconds_count() {
        let times = Histogram::default();
        let mut live = Live::<1>::default();
        let began = Instant::now();
        let at = |step: u32| began + STEP * step;
        live.look(at(0), times.snapshot(), [0], 0.0);
        assert_eq!(live.now(), Point::default(), "nothing is known yet");
        for _ in 0..20 {
            times.observe(Duration::from_millis(3));
        }
        live.look(at(1), times.snapshot(), [4], 7.0);
        let now = live.now();
        assert_eq!((now.rate, now.rates, now.level), (10.0, [2.0], 7.0));
        assert!(now.p50.is_some_and(|p50| p50 > 0.002 && p50 < 0.005));
        for step in 2..200 {
            live.look(at(step), times.snapshot(), [4], 0.0);
        }
        assert_eq!(live.now(), Point::default(), "it is over");
        assert_eq!(live.history().len(), HISTORY);
    }
}

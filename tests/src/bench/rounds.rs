//! Contenders that take turns: A B, B A, A B, …; what disturbs the machine for a while disturbs all of them.

use std::time::Duration;

use super::cpu::{Cpu, Part};
use super::generator::{Load, Pace, Seen};

/// Who is measured.
pub struct Contender {
    /// What it is called in tables.
    pub name: String,
    /// What is asked of it.
    pub load: Load,
    /// Its processes.
    pub parts: Vec<Part>,
}

/// How often, how long and how fast.
#[derive(Debug, Clone, Copy)]
pub struct Rounds {
    /// How often everybody has his turn.
    pub rounds: usize,
    /// How long each turn is measured; a fifth of it comes before, unmeasured.
    pub time: Duration,
    /// How fast.
    pub pace: Pace,
}

/// One turn.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What the load has seen.
    pub seen: Seen,
    /// What each part has used meanwhile.
    pub cpu: Vec<Cpu>,
}

/// All turns of one contender.
#[derive(Debug, Clone)]
pub struct Series {
    /// Whose.
    pub name: String,
    /// The names of its parts.
    pub parts: Vec<String>,
    /// One a round.
    pub samples: Vec<Sample>,
}

/// Smallest, middle and largest.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The one in the middle; of two, the mean.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

/// Lets the contenders take turns.
///
/// # Panics
/// When a contender answers nothing, or more than a hundredth of its requests with something else than 200: such a
/// measurement is none.
pub fn compare(contenders: &[Contender], how: Rounds) -> Vec<Series> {
    let mut series: Vec<Series> = contenders
        .iter()
        .map(|contender| Series {
            name: contender.name.clone(),
            parts: contender.parts.iter().map(|part| part.name.clone()).collect(),
            samples: Vec::new(),
        })
        .collect();
    for round in 0..how.rounds {
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for n in order {
            series[n].samples.push(turn(&contenders[n], how));
        }
    }
    series
}

/// One turn of the warming, and how many there are at most.
const WARM: (Duration, usize) = (Duration::from_secs(5), 16);
/// By how much a turn that is warm is cheaper than the one before, at most.
const STILL_COLD: f64 = 0.05;

/// Lets everybody go on until it gets no cheaper: a JVM compiles what is hot for a long time, and pays for that meanwhile.
///
/// # Panics
/// As [`compare`].
pub fn warm(contenders: &[Contender]) {
    let (time, most) = WARM;
    for contender in contenders {
        let mut before = f64::INFINITY;
        for _ in 0..most {
            let now = turn(contender, Rounds { rounds: 1, time, pace: Pace::Saturate }).cpu_of_all();
            if now > before * (1.0 - STILL_COLD) {
                break;
            }
            before = now;
        }
    }
}

fn turn(contender: &Contender, how: Rounds) -> Sample {
    let mut looks = Vec::new();
    let look = || looks.push(contender.parts.iter().map(Part::cpu).collect::<Vec<_>>());
    let seen = contender.load.run(how.pace, how.time / 5, how.time, look);
    let (name, answered) = (&contender.name, seen.latencies.len() as u64);
    assert!(
        answered > 0 && seen.failed * 100 < answered,
        "{name}: {answered} answered, {} failed",
        seen.failed
    );
    let cpu = looks[1].iter().zip(&looks[0]).map(|(after, before)| *after - *before).collect();
    Sample { seen, cpu }
}

impl Sample {
    /// CPU time of a request in microseconds, in this part.
    pub fn cpu(&self, part: usize) -> f64 {
        self.cpu[part].total as f64 / 1000.0 / self.seen.latencies.len() as f64
    }

    /// In all parts.
    pub fn cpu_of_all(&self) -> f64 {
        (0..self.cpu.len()).map(|part| self.cpu(part)).sum()
    }
}

impl Series {
    /// What `value` is over the rounds.
    pub fn spread(&self, value: impl Fn(&Sample) -> f64) -> Spread {
        Spread::of(self.samples.iter().map(value).collect())
    }

    /// CPU time of a request in microseconds, in the part of this name.
    ///
    /// # Panics
    /// When there is no such part.
    pub fn cpu(&self, part: &str) -> Spread {
        let part = self.parts.iter().position(|name| name == part).expect("a part of this name");
        self.spread(|sample| sample.cpu(part))
    }

    /// This one's value through the other's, round by round.
    pub fn ratio(&self, other: &Self, value: impl Fn(&Sample) -> f64) -> Spread {
        self.paired(other, |own, others| value(own) / value(others))
    }

    /// Anything of two samples of one round.
    pub fn paired(&self, other: &Self, value: impl Fn(&Sample, &Sample) -> f64) -> Spread {
        Spread::of(self.samples.iter().zip(&other.samples).map(|(own, others)| value(own, others)).collect())
    }
}

impl Spread {
    /// Of these values.
    ///
    /// # Panics
    /// When there is none.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (min, max) = (values[0], values[values.len() - 1]);
        let median = f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
        Self { min, median, max }
    }

    /// One value, which was not measured several times.
    pub fn once(value: f64) -> Self {
        Self { min: value, median: value, max: value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_stands_in_the_middle() {
        let spread = Spread::of(vec![9.0, 1.0, 2.0]);
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 9.0));
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]).median, 2.5);
    }

    #[test]
    fn ratios_are_of_one_round() {
        let series = |latencies: [u64; 3]| Series {
            name: String::new(),
            parts: Vec::new(),
            samples: latencies
                .iter()
                .map(|ns| Sample { seen: Seen { latencies: vec![*ns], ..Seen::default() }, cpu: Vec::new() })
                .collect(),
        };
        // The machine is three times as slow in the second round, for both.
        let ratio = series([2, 6, 2]).ratio(&series([1, 3, 1]), |sample| sample.seen.percentile(0.5));
        assert_eq!((ratio.min, ratio.max), (2.0, 2.0));
    }
}

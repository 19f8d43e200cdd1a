//! Which fault strikes when. The same seed gives the same schedule.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// What is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The gateway.
    Gateway,
    /// A sidecar.
    Sidecar,
    /// A Tomcat.
    Tomcat,
    /// A memcached.
    Memcached,
}

/// With what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// SIGKILL, and started again later.
    Kill,
    /// SIGSTOP, and SIGCONT later.
    Stop,
    /// Nothing gets through to it, and nobody is told.
    Cut,
    /// SIGTERM, and started again when it has ended.
    Restart,
    /// Its store directory has no room left.
    Fill,
}

/// One fault to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// What is struck.
    pub part: Part,
    /// With what.
    pub blow: Blow,
    /// Which of them.
    pub target: usize,
    /// How long until it is undone.
    pub lasts: Duration,
    /// How long everything is left alone before it.
    pub calm: Duration,
}

/// Every kind of fault.
pub const KINDS: [(Part, Blow); 17] = [
    (Part::Gateway, Blow::Kill),
    (Part::Gateway, Blow::Stop),
    (Part::Gateway, Blow::Cut),
    (Part::Gateway, Blow::Restart),
    (Part::Sidecar, Blow::Kill),
    (Part::Sidecar, Blow::Stop),
    (Part::Sidecar, Blow::Cut),
    (Part::Sidecar, Blow::Restart),
    (Part::Tomcat, Blow::Kill),
    (Part::Tomcat, Blow::Stop),
    (Part::Tomcat, Blow::Cut),
    (Part::Tomcat, Blow::Restart),
    (Part::Tomcat, Blow::Fill),
    (Part::Memcached, Blow::Kill),
    (Part::Memcached, Blow::Stop),
    (Part::Memcached, Blow::Cut),
    (Part::Memcached, Blow::Restart),
];

/// `memcached.kill`.
pub fn name((part, blow): (Part, Blow)) -> String {
    format!("{part:?}.{blow:?}").to_lowercase()
}

/// The kinds of these names: `memcached.kill`, or `memcached` for all of its.
///
/// # Errors
/// A name that is not known.
pub fn kinds(names: &[String]) -> Result<Vec<(Part, Blow)>, String> {
    let mut found = Vec::new();
    for wanted in names {
        let fits = |kind: &(Part, Blow)| {
            let name = name(*kind);
            name == *wanted || name.split('.').next() == Some(wanted)
        };
        let fitting: Vec<_> = KINDS.into_iter().filter(fits).collect();
        if fitting.is_empty() {
            let known: Vec<_> = KINDS.into_iter().map(name).collect();
            return Err(format!("no fault '{wanted}'; known are {}", known.join(", ")));
        }
        found.extend(fitting);
    }
    Ok(found)
}

/// Faults without end: each kind once, in an order by chance, then again.
pub struct Schedule {
    random: SmallRng,
    kinds: Vec<(Part, Blow)>,
    round: Vec<(Part, Blow)>,
}

impl Schedule {
    /// Of these kinds.
    pub fn new(seed: u64, kinds: &[(Part, Blow)]) -> Self {
        Self { random: SmallRng::seed_from_u64(seed), kinds: kinds.to_vec(), round: Vec::new() }
    }
}

impl Iterator for Schedule {
    type Item = Plan;

    fn next(&mut self) -> Option<Plan> {
        if self.round.is_empty() {
            self.round = self.kinds.clone();
            self.round.shuffle(&mut self.random);
        }
        let (part, blow) = self.round.pop()?;
        // Long enough for requests to run into it; shorter for what nothing can stand in for.
        let (shortest, longest) = if part == Part::Gateway { (200, 800) } else { (500, 1500) };
        Some(Plan {
            part,
            blow,
            target: self.random.random_range(0..6),
            lasts: Duration::from_millis(self.random.random_range(shortest..longest)),
            calm: Duration::from_millis(self.random.random_range(100..400)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_schedule_and_every_kind_comes_as_often() {
        let some = |seed| Schedule::new(seed, &KINDS).take(10 * KINDS.len()).collect::<Vec<_>>();
        assert_eq!(some(7), some(7));
        assert_ne!(some(7), some(8));
        for kind in KINDS {
            assert_eq!(some(7).iter().filter(|plan| (plan.part, plan.blow) == kind).count(), 10);
        }
    }

    #[test]
    fn kinds_are_known_by_their_names() {
        assert_eq!(kinds(&["tomcat.fill".into()]), Ok(vec![(Part::Tomcat, Blow::Fill)]));
        assert_eq!(kinds(&["memcached".into()]).map(|kinds| kinds.len()), Ok(4));
        assert!(kinds(&["tomcat.cat".into()]).unwrap_err().contains("tomcat.fill"));
    }
}

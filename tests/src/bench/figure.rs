//! Figures that are compared with goals.

use super::rounds::Spread;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// A figure of `docs/performance.md`.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Its name: `RESULT name=value`.
    pub name: &'static str,
    /// What was measured; the median counts.
    pub value: Spread,
    /// What it should be.
    pub goal: Goal,
}

impl Figure {
    /// A figure.
    pub fn new(name: &'static str, value: Spread, goal: Goal) -> Self {
        Self { name, value, goal }
    }

    /// Whether the goal is reached.
    pub fn is_reached(&self) -> bool {
        match self.goal {
            Goal::AtMost(most) => self.value.median <= most,
            Goal::AtLeast(least) => self.value.median >= least,
        }
    }

    /// The goal for people.
    pub fn goal(&self) -> String {
        match self.goal {
            Goal::AtMost(most) => format!("≤ {most}"),
            Goal::AtLeast(least) => format!("≥ {least}"),
        }
    }
}

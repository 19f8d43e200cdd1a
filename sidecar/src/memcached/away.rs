//! Which nodes have been away, and so may hold old copies (R24).
//!
//! Whoever sees a node go down says so on every other node, in an item of its own, and repeats it once a second on those that lack it.
//! All sidecars read these once a second. While one is there, a look-up asks all nodes and the newest copy counts, so that a node that
//! comes back, and a sidecar that was started later, can't bring back what has been changed, moved or deleted meanwhile.

use std::sync::{Mutex, PoisonError};

/// Until when which node counts as having been away, by its index: seconds since 1970.
#[derive(Debug, Default)]
pub struct Away(Mutex<Vec<u64>>);

impl Away {
    /// For `nodes` nodes, none of which has been away.
    pub fn new(nodes: usize) -> Self {
        Self(Mutex::new(vec![0; nodes]))
    }

    /// For more nodes than before.
    pub fn grow(&self, nodes: usize) {
        self.all().resize(nodes, 0);
    }

    /// `node` counts as having been away until `until`. `true` if that was not known.
    pub fn note(&self, node: usize, until: u64) -> bool {
        let mut all = self.all();
        let known = all[node] >= until;
        all[node] = all[node].max(until);
        !known
    }

    /// Until when `node` counts as having been away; zero: it has not been.
    pub fn until(&self, node: usize) -> u64 {
        self.all()[node]
    }

    /// Whether one node counts as having been away.
    pub fn any(&self, now: u64) -> bool {
        self.all().iter().any(|until| *until > now)
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r24_the_longest_absence_that_anybody_knows_of_counts() {
        let away = Away::new(2);
        assert!(!away.any(0));
        assert!(away.note(1, 100) && !away.note(1, 90) && away.note(1, 110));
        assert!(away.any(109) && !away.any(110));
        assert_eq!((away.until(0), away.until(1)), (0, 110));
    }
}

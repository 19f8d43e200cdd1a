//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Long enough for any machine; reached only when something is wrong.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Looks until `condition` holds.
///
/// # Panics
/// With `what` when it does not within [`DEADLINE`].
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    within(DEADLINE, what, condition);
}

/// The same with a deadline of one's own.
///
/// # Panics
/// With `what`.
pub fn within(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

//! Randomness that decides when something is done, and between equals. Keys, nonces and tokens are not made here.

use std::cell::RefCell;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _, rng};

thread_local! {
    static RANDOM: RefCell<SmallRng> = RefCell::new(SmallRng::from_rng(&mut rng()));
}

/// Between 0 and 1.
pub fn unit() -> f64 {
    #[cfg(test)]
    if let Some(seed) = crate::exchange::simulation::moment() {
        return SmallRng::seed_from_u64(seed).random();
    }
    RANDOM.with_borrow_mut(|random| random.random())
}

/// Any number.
pub fn bits() -> u64 {
    RANDOM.with_borrow_mut(|random| random.random())
}

/// From now on this thread's numbers follow from `seed`.
#[cfg(test)]
pub fn seed(seed: u64) {
    RANDOM.with_borrow_mut(|random| *random = SmallRng::seed_from_u64(seed));
}

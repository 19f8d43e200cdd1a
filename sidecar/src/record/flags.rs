//! A record's client flags: enough to compare copies without their bodies. 24 bits of the counter, then 8 of the writer's tag.
//!
//! Two sidecars that do not see each other's nodes may store two different records with one counter. Their tags tell them apart, and the
//! larger one wins everywhere (R18).

/// Bits of the writer's tag.
pub const TAG_BITS: u32 = 8;

/// Of a record with this counter and this writer.
pub fn of(counter: u64, writer: u64) -> u32 {
    (counter as u32) << TAG_BITS | (writer as u8 as u32)
}

/// Whether `a` was stored after `b`. The counters are cut: compared as serial numbers (RFC 1982, 3.2). Of two records with one counter the
/// one with the larger tag counts as the newer.
pub fn is_newer(a: u32, b: u32) -> bool {
    let (a_counter, b_counter) = (a >> TAG_BITS << TAG_BITS, b >> TAG_BITS << TAG_BITS);
    if a_counter == b_counter { a > b } else { a_counter.wrapping_sub(b_counter) < 1 << 31 }
}

/// Whether they are of two records with one counter: written by sidecars that did not see each other's nodes.
pub fn diverged(a: u32, b: u32) -> bool {
    a != b && a >> TAG_BITS == b >> TAG_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn r18_equal_counters_are_told_apart_by_their_writers() {
        assert!(
            diverged(of(5, 1), of(5, 2)) && is_newer(of(5, 2), of(5, 1)) && !is_newer(of(5, 1), of(5, 2))
        );
        assert!(!diverged(of(5, 1), of(5, 1)) && !diverged(of(5, 1), of(6, 1)));
        assert!(is_newer(of(6, 0), of(5, 255)));
        assert!(is_newer(of(1 << 24, 0), of((1 << 24) - 1, 9)), "counters go on past 24 bits");
    }

    proptest! {
        #[test]
        fn of_two_different_ones_one_is_newer(counter: u64, ahead in 0..1u64 << 23, a: u64, b: u64) {
            let (first, second) = (of(counter, a), of(counter.wrapping_add(ahead), b));
            prop_assert!(first == second || is_newer(first, second) != is_newer(second, first));
            prop_assert!(ahead == 0 || is_newer(second, first));
        }
    }
}

//! Which of several copies of a session counts (R24). No clock, no socket.

/// What a node says of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Has {
    /// It has nothing.
    Nothing,
    /// It has a record with this counter (its low 32 bits, as in the client flags).
    Record(u32),
    /// It could not be asked.
    Unknown,
}

/// Whether `a` was stored after `b`. The counters are cut to 32 bits: compared as serial numbers (RFC 1982, 3.2).
pub fn is_newer(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

/// The newest of several copies, by its place among `answers`; of equal ones the first.
pub fn newest(answers: &[Has]) -> Option<usize> {
    let mut best: Option<(usize, u32)> = None;
    for (at, answer) in answers.iter().enumerate() {
        if let Has::Record(counter) = answer
            && best.is_none_or(|(_, so_far)| is_newer(*counter, so_far))
        {
            best = Some((at, *counter));
        }
    }
    best.map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn r24_the_newest_copy_counts_and_of_equal_ones_the_first() {
        use Has::{Nothing, Record, Unknown};
        assert_eq!(newest(&[Record(3), Record(5), Record(4)]), Some(1));
        assert_eq!(newest(&[Nothing, Record(5), Record(5)]), Some(1));
        assert_eq!(newest(&[Unknown, Nothing]), None);
        assert_eq!(newest(&[Record(u32::MAX), Record(2)]), Some(1), "counters go on past 32 bits");
    }

    proptest! {
        #[test]
        fn of_two_different_counters_one_is_newer(a: u32, ahead in 1..1u32 << 31) {
            let b = a.wrapping_add(ahead);
            prop_assert!(is_newer(b, a) && !is_newer(a, b) && !is_newer(a, a));
        }
    }
}

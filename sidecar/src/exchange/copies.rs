//! Which of several copies of a session counts (R24). No clock, no socket.

use crate::record::flags;

/// What a node says of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Has {
    /// It has nothing.
    Nothing,
    /// It has a record with these client flags.
    Record(u32),
    /// It could not be asked.
    Unknown,
}

/// The newest of several copies, by its place among `answers`; of equal ones the first.
pub fn newest(answers: &[Has]) -> Option<usize> {
    let mut best: Option<(usize, u32)> = None;
    for (at, answer) in answers.iter().enumerate() {
        if let Has::Record(found) = answer
            && best.is_none_or(|(_, so_far)| flags::is_newer(*found, so_far))
        {
            best = Some((at, *found));
        }
    }
    best.map(|(at, _)| at)
}

/// Whether two of them are different records with one counter.
pub fn have_diverged(answers: &[Has]) -> bool {
    let found = |answer: &Has| if let Has::Record(found) = answer { Some(*found) } else { None };
    let all: Vec<u32> = answers.iter().filter_map(found).collect();
    all.iter().any(|a| all.iter().any(|b| flags::diverged(*a, *b)))
}

#[cfg(test)]
mod tests {
    use super::Has::{Nothing, Record, Unknown};
    use super::*;
    use crate::record::flags::of;

    #[test]
    fn r24_the_newest_copy_counts_and_of_equal_ones_the_first() {
        let record = |counter| Record(of(counter, 1));
        assert_eq!(newest(&[record(3), record(5), record(4)]), Some(1));
        assert_eq!(newest(&[Nothing, record(5), record(5)]), Some(1));
        assert_eq!(newest(&[Unknown, Nothing]), None);
    }

    #[test]
    fn r18_different_records_with_one_counter_are_noticed() {
        let record = |counter, writer| Record(of(counter, writer));
        assert!(have_diverged(&[record(4, 0), record(5, 1), record(5, 2)]));
        assert_eq!(newest(&[record(4, 0), record(5, 1), record(5, 2)]), Some(2));
        assert!(!have_diverged(&[record(4, 0), record(5, 1), record(5, 1), Unknown, Nothing]));
    }
}

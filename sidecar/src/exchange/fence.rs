//! What an answer to a conditional store means (R17, R19), as one function: no socket.

use super::Locking;
use crate::memcached::{Mode, NodeError, Reply};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It is stored, under this cas.
    Stored(u64),
    /// Somebody else has changed the session: nothing is written.
    Conflict,
    /// The record is gone, with its node's memory or by eviction: nothing is written.
    Vanished,
    /// Without locks the last writer wins: write it all the same, and count that.
    Overwrite,
    /// Whether it was stored is not known: look whether what is there is ours.
    Look,
    /// memcached dropped the old record when it refused the new one: put that back.
    PutBack,
    /// It is not stored; the old record is as it was.
    Failed,
}

/// After a store in `mode`.
pub fn after(answer: Result<&Reply, &NodeError>, mode: Mode, locking: Locking) -> Next {
    let overwrite = locking == Locking::None && mode != Mode::Set;
    match answer {
        Ok(Reply::Stored(cas)) => Next::Stored(*cas),
        Ok(Reply::Exists | Reply::NotFound) | Err(NodeError::Reborn) if overwrite => Next::Overwrite,
        Ok(Reply::NotFound) | Err(NodeError::Reborn) => Next::Vanished,
        Ok(_) => Next::Conflict,
        Err(NodeError::Refused(_)) => Next::PutBack,
        Err(NodeError::Timeout | NodeError::Unreachable(_)) => Next::Look,
        Err(NodeError::Down | NodeError::Protocol(_)) => Next::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r17_with_locks_a_store_takes_effect_only_on_the_loaded_version() {
        let after = |answer| after(answer, Mode::Cas(5), Locking::All);
        assert_eq!(after(Ok(&Reply::Stored(6))), Next::Stored(6));
        assert_eq!(after(Ok(&Reply::Exists)), Next::Conflict);
        assert_eq!(after(Ok(&Reply::NotFound)), Next::Vanished);
        assert_eq!(after(Err(&NodeError::Reborn)), Next::Vanished);
    }

    #[test]
    fn r17_without_locks_the_last_writer_wins_once() {
        for answer in [Ok(&Reply::Exists), Ok(&Reply::NotFound), Err(&NodeError::Reborn)] {
            assert_eq!(after(answer, Mode::Cas(5), Locking::None), Next::Overwrite);
        }
        assert_eq!(after(Ok(&Reply::Exists), Mode::Set, Locking::None), Next::Conflict);
    }

    #[test]
    fn r17_a_store_without_answer_is_looked_for_and_r19_a_refused_one_undone() {
        for locking in [Locking::All, Locking::None] {
            let after = |error: NodeError| after(Err(&error), Mode::Cas(5), locking);
            assert_eq!(after(NodeError::Timeout), Next::Look);
            assert_eq!(after(NodeError::Unreachable("reset".into())), Next::Look);
            assert_eq!(after(NodeError::Refused("out of memory".into())), Next::PutBack);
            assert_eq!(after(NodeError::Down), Next::Failed);
        }
    }
}

//! What an answer to a conditional store means (R17, R19), as one function: no socket.

use crate::broken::Broken;
use crate::memcached::{NodeError, Reply};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It is stored, under this cas.
    Stored(u64),
    /// Somebody else has changed the session: nothing is written.
    Conflict,
    /// The record is gone, with its node's memory or by eviction: nothing is written.
    Vanished,
    /// Without locks the last writer wins, unless the session has ended meanwhile: see what is there.
    Overwrite,
    /// Whether it was stored is not known: look whether what is there is ours.
    Look,
    /// memcached dropped the old record when it refused the new one: put that back.
    PutBack,
    /// It is not stored; the old record is as it was.
    Failed,
}

/// After a store on the loaded version.
pub fn after(answer: Result<&Reply, &NodeError>, last_writer_wins: bool) -> Next {
    match answer {
        Ok(Reply::Stored(cas)) => Next::Stored(*cas),
        Ok(Reply::Exists) if last_writer_wins || Broken::PlainTtlCache.is_on() => Next::Overwrite,
        Ok(Reply::NotFound) | Err(NodeError::Reborn) => Next::Vanished,
        Ok(_) => Next::Conflict,
        Err(NodeError::Refused(_)) => Next::PutBack,
        Err(NodeError::Timeout | NodeError::Unreachable(_)) => Next::Look,
        Err(NodeError::Down | NodeError::ChunkRefused(_) | NodeError::Protocol(_)) => Next::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r17_with_locks_a_store_takes_effect_only_on_the_loaded_version() {
        let after = |answer| after(answer, false);
        assert_eq!(after(Ok(&Reply::Stored(6))), Next::Stored(6));
        assert_eq!(after(Ok(&Reply::Exists)), Next::Conflict);
        assert_eq!(after(Ok(&Reply::NotFound)), Next::Vanished);
        assert_eq!(after(Err(&NodeError::Reborn)), Next::Vanished);
    }

    #[test]
    fn r17_without_locks_the_last_writer_wins_over_what_is_there_and_brings_nothing_back() {
        assert_eq!(after(Ok(&Reply::Exists), true), Next::Overwrite);
        for gone in [Ok(&Reply::NotFound), Err(&NodeError::Reborn)] {
            assert_eq!(after(gone, true), Next::Vanished);
        }
    }

    #[test]
    fn r17_a_store_without_answer_is_looked_for_and_r19_a_refused_one_undone() {
        for last_writer_wins in [false, true] {
            let after = |error: NodeError| after(Err(&error), last_writer_wins);
            assert_eq!(after(NodeError::Timeout), Next::Look);
            assert_eq!(after(NodeError::Unreachable("reset".into())), Next::Look);
            assert_eq!(after(NodeError::Refused("out of memory".into())), Next::PutBack);
            assert_eq!(after(NodeError::Down), Next::Failed);
        }
    }
}

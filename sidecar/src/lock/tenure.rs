//! What is known of one lock, as a state machine: memcached's answers go in, the next command comes out. No
//! clock, no socket.

use std::time::Duration;

use crate::memcached::{Answers, Incarnation, NodeError, Reply};

/// Seconds. memcached's clock is coarse: a TTL of 1 can be over after 0.1 s (measured), so at least 3.
pub const LOCK_TTL: u32 = 5;
/// How old a lock may get before it is renewed.
pub const RENEW_AFTER: Duration = Duration::from_secs(1);

/// What is known of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tenure {
    /// An add or a renewal got no answer: it may be ours, and its cas is not known.
    #[default]
    Unknown,
    /// It is ours, under this cas in this life of the node.
    Held(u64, Incarnation),
    /// It is somebody else's, or nobody's.
    Lost,
}

/// What is to be done about a lock next, to renew it or to give it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Nothing,
    /// Renew or delete it, only if its cas is still this in this life of the node.
    Under(u64, Incarnation),
    /// See whether it holds our token, and tell [`Tenure::found`].
    Find,
}

impl Tenure {
    /// After an add or a renewal.
    pub fn stored(answers: Result<&Answers, &NodeError>) -> Self {
        match Self::first(answers) {
            Ok(Some((Reply::Stored(cas), life))) => Self::Held(*cas, life),
            Ok(_) => Self::Lost,
            Err(unknown) => unknown,
        }
    }

    /// After the lock was read.
    pub fn found(answers: Result<&Answers, &NodeError>, token: &[u8]) -> Self {
        match Self::first(answers) {
            Ok(Some((Reply::Hit(item), life))) if item.value.as_deref() == Some(token) => {
                Self::Held(item.cas, life)
            }
            Ok(_) => Self::Lost,
            Err(unknown) => unknown,
        }
    }

    /// The first reply. `Err`: there was no answer.
    fn first<'a>(answers: Result<&'a Answers, &NodeError>) -> Result<Option<(&'a Reply, Incarnation)>, Self> {
        match answers {
            Ok(answers) => Ok(answers.replies.first().map(|reply| (reply, answers.incarnation))),
            // Another life of the node knows nothing of our lock.
            Err(NodeError::Reborn) => Ok(None),
            Err(_) => Err(Self::Unknown),
        }
    }

    /// How to renew it, once it is `age` old.
    pub fn renew(self, age: Duration) -> Next {
        if age < RENEW_AFTER { Next::Nothing } else { self.release() }
    }

    /// How to give it back.
    pub fn release(self) -> Next {
        match self {
            Self::Held(cas, life) => Next::Under(cas, life),
            Self::Unknown => Next::Find,
            Self::Lost => Next::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memcached::Item;

    const OLD: Duration = RENEW_AFTER;
    const LIFE: Incarnation = Incarnation { pid: 1, started: 1 };

    fn stored(reply: Reply) -> Tenure {
        Tenure::stored(Ok(&Answers { replies: vec![reply], incarnation: LIFE }))
    }

    fn found(reply: Reply) -> Tenure {
        Tenure::found(Ok(&Answers { replies: vec![reply], incarnation: LIFE }), b"ours")
    }

    fn hit(token: &'static [u8]) -> Reply {
        Reply::Hit(Item { value: Some(token.into()), flags: 0, cas: 9, ttl: 5 })
    }

    #[test]
    fn r06_a_lock_is_renewed_and_released_under_its_own_cas_only() {
        let held = stored(Reply::Stored(7));
        assert_eq!(held.renew(Duration::from_millis(999)), Next::Nothing);
        assert_eq!(held.renew(OLD), Next::Under(7, LIFE));
        assert_eq!(stored(Reply::Stored(8)).release(), Next::Under(8, LIFE));
    }

    #[test]
    fn r06_r07_a_lock_that_is_somebody_elses_is_left_alone() {
        for lost in [
            stored(Reply::Exists),
            stored(Reply::NotFound),
            Tenure::stored(Err(&NodeError::Reborn)),
            found(Reply::Miss),
            found(hit(b"theirs")),
        ] {
            assert_eq!((lost.renew(OLD), lost.release()), (Next::Nothing, Next::Nothing));
        }
    }

    #[test]
    fn r06_what_got_no_answer_may_have_been_done_and_is_looked_for() {
        let unknown = Tenure::stored(Err(&NodeError::Timeout));
        assert_eq!((unknown.renew(OLD), unknown.release()), (Next::Find, Next::Find));
        assert_eq!(found(hit(b"ours")), Tenure::Held(9, LIFE));
        assert_eq!(Tenure::found(Err(&NodeError::Down), b"ours"), unknown);
    }

    #[test]
    fn r06_the_ttl_leaves_room_for_several_renewals() {
        const { assert!(LOCK_TTL >= 3 && RENEW_AFTER.as_secs() * 3 < LOCK_TTL as u64) }
    }
}

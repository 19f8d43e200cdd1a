//! Decides whether what clients have seen of their sessions is what was promised. Knows histories of requests and nothing of how sessions are kept.
//!
//! A session is a list of tokens, each of which one request has appended. So a change that is lost, made twice, or somebody else's, and a state
//! that is older than one that was seen before, each look different.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// Since the run began.
pub type Time = Duration;
/// A session id.
pub type Id = usize;
/// A change.
pub type Token = u32;

/// What a request does with its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Makes it, empty.
    Create,
    Read,
    Append(Token),
    /// A login: the session goes on under this id.
    Rename(Id),
    LogOut,
}

/// What a request was given under its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Saw {
    Nothing,
    Session(Vec<Token>),
}

/// A request as its client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub id: Id,
    pub act: Act,
    /// It did not wait for others of its session: it may have seen what was just being stored and came to nothing.
    pub beside: bool,
    pub from: Time,
    /// `None`: it was refused, or never got so far.
    pub saw: Option<(Time, Saw)>,
    /// When its client was told that it is done. `None`: he was told something else, or nothing.
    pub acknowledged: Option<Time>,
}

/// What must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An acknowledged change is not there.
    Lost,
    /// A change is there twice.
    Twice,
    /// An older state than one that was seen before the request began.
    Stale,
    /// Something that nobody has done to this session.
    Foreign,
    /// A session that had ended.
    Revived,
    /// Nothing in place of a session that nobody has ended.
    Gone,
}

/// What was seen that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub kind: Kind,
    /// By which request of the history.
    pub by: usize,
}

/// What holds for all ids that a session has had.
#[derive(Default)]
struct Session {
    /// Changes that a client may see, since somebody has begun to make them.
    begun: BTreeSet<Token>,
    acknowledged: Vec<Token>,
    /// The longest lists that were seen; of two none begins with the other. One, unless something is wrong.
    seen: Rc<Vec<Vec<Token>>>,
}

#[derive(Default)]
struct Of {
    session: usize,
    /// Somebody has begun to end it.
    ending: bool,
    /// A client knows that it has ended.
    ended: bool,
}

/// What was known when a request began.
struct Known {
    acknowledged: usize,
    seen: Rc<Vec<Vec<Token>>>,
    ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    // Of what happens at one time: what a request may know comes as late as it can.
    Began,
    Saw,
    Acknowledged,
}

/// All that is wrong, in the order in which it was seen.
pub fn check(history: &[Request]) -> Vec<Violation> {
    let mut moments = Vec::new();
    for (by, request) in history.iter().enumerate() {
        moments.push((request.from, Moment::Began, by));
        moments.extend(request.saw.as_ref().map(|(at, _)| (*at, Moment::Saw, by)));
        moments.extend(request.acknowledged.map(|at| (at, Moment::Acknowledged, by)));
    }
    moments.sort_unstable();
    let mut ids: BTreeMap<Id, Of> = BTreeMap::new();
    let mut sessions: Vec<Session> = Vec::new();
    let mut known: BTreeMap<usize, Known> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (_, moment, by) in moments {
        let Request { id, act, saw, beside, .. } = &history[by];
        if *act == Act::Create && moment == Moment::Began {
            sessions.push(Session::default());
            ids.insert(*id, Of { session: sessions.len() - 1, ..Of::default() });
        }
        let Some(of) = ids.get_mut(id) else { continue };
        let session = &mut sessions[of.session];
        match moment {
            Moment::Began => {
                let acknowledged = session.acknowledged.len();
                known.insert(by, Known { acknowledged, seen: session.seen.clone(), ended: of.ended });
                of.ending |= matches!(act, Act::LogOut | Act::Rename(_));
                match *act {
                    Act::Append(token) => drop(session.begun.insert(token)),
                    Act::Rename(to) => {
                        let renamed = Of { session: of.session, ..Of::default() };
                        ids.insert(to, renamed);
                    }
                    _ => {}
                }
            }
            Moment::Saw => {
                let known = &known[&by];
                let found = match saw {
                    Some((_, Saw::Session(tokens))) => {
                        let kind =
                            if known.ended { Some(Kind::Revived) } else { session.judge(tokens, known) };
                        if !beside {
                            session.remember(tokens);
                        }
                        kind
                    }
                    _ => {
                        let gone = !of.ending && !of.ended;
                        of.ended = true;
                        gone.then_some(Kind::Gone)
                    }
                };
                wrong.extend(found.map(|kind| Violation { kind, by }));
            }
            Moment::Acknowledged => {
                of.ended |= matches!(act, Act::LogOut | Act::Rename(_));
                if let Act::Append(token) = *act {
                    session.acknowledged.push(token);
                }
            }
        }
    }
    wrong
}

impl Session {
    /// What is wrong with `tokens`, the worst first.
    fn judge(&self, tokens: &[Token], known: &Known) -> Option<Kind> {
        let all: BTreeSet<_> = tokens.iter().collect();
        if tokens.iter().any(|token| !self.begun.contains(token)) {
            Some(Kind::Foreign)
        } else if all.len() < tokens.len() {
            Some(Kind::Twice)
        } else if self.acknowledged[..known.acknowledged].iter().any(|token| !all.contains(token)) {
            Some(Kind::Lost)
        } else if known.seen.iter().any(|seen| !tokens.starts_with(seen)) {
            Some(Kind::Stale)
        } else {
            None
        }
    }

    fn remember(&mut self, tokens: &[Token]) {
        if !self.seen.iter().any(|seen| seen.starts_with(tokens)) {
            let seen = Rc::make_mut(&mut self.seen);
            seen.retain(|seen| !tokens.starts_with(seen));
            seen.push(tokens.to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(at: u64) -> Time {
        Time::from_millis(at)
    }

    /// A request that sees the session at once and takes until `to`.
    fn done(id: Id, from: u64, to: u64, act: Act, saw: &[Token]) -> Request {
        let saw = Some((ms(from), Saw::Session(saw.to_vec())));
        Request { id, act, beside: false, from: ms(from), saw, acknowledged: Some(ms(to)) }
    }

    fn failed(request: Request) -> Request {
        Request { acknowledged: None, ..request }
    }

    fn create(id: Id) -> Request {
        Request { saw: None, ..done(id, 0, 1, Act::Create, &[]) }
    }

    fn sees_nothing(id: Id, at: u64) -> Request {
        Request { saw: Some((ms(at), Saw::Nothing)), ..done(id, at, at, Act::Read, &[]) }
    }

    fn kinds(history: &[Request]) -> Vec<(Kind, usize)> {
        check(history).into_iter().map(|violation| (violation.kind, violation.by)).collect()
    }

    use Act::{Append, LogOut, Read, Rename};

    #[test]
    fn a_good_history_passes() {
        let history = [
            create(1),
            done(1, 10, 20, Append(1), &[]),
            // Refused; its change came all the same.
            failed(done(1, 30, 40, Append(2), &[1])),
            done(1, 50, 60, Read, &[1, 2]),
            // Refused, and never came.
            failed(done(1, 70, 80, Append(3), &[1, 2])),
            done(1, 90, 100, Append(4), &[1, 2]),
            done(1, 110, 120, Rename(2), &[1, 2, 4]),
            sees_nothing(1, 130),
            done(2, 140, 150, Append(5), &[1, 2, 4]),
            create(3),
            done(3, 155, 156, Read, &[]),
            done(2, 160, 170, LogOut, &[1, 2, 4, 5]),
            sees_nothing(2, 180),
        ];
        assert_eq!(kinds(&history), []);
    }

    #[test]
    fn requests_at_one_time_may_see_either_state() {
        let read = Request { from: ms(15), ..done(1, 40, 50, Read, &[]) };
        let history = [create(1), done(1, 10, 20, Append(1), &[]), read, done(1, 30, 31, Read, &[1])];
        assert_eq!(kinds(&history), []);
        // A logout that is under way.
        let history = [create(1), done(1, 10, 40, LogOut, &[]), sees_nothing(1, 20)];
        assert_eq!(kinds(&history), []);
        let history = [create(1), done(1, 10, 40, LogOut, &[]), done(1, 20, 30, Read, &[])];
        assert_eq!(kinds(&history), []);
    }

    #[test]
    fn an_acknowledged_change_that_is_not_there_is_lost() {
        let history = [
            create(1),
            done(1, 10, 20, Append(1), &[]),
            done(1, 20, 30, Append(2), &[]),
            done(1, 40, 41, Read, &[2]),
        ];
        // The second began when the first was acknowledged: at one time.
        assert_eq!(kinds(&history), [(Kind::Lost, 3)]);
        // Over a login, too.
        let history = [
            create(1),
            done(1, 10, 20, Append(1), &[]),
            done(1, 30, 40, Rename(2), &[1]),
            done(2, 50, 60, Read, &[]),
        ];
        assert_eq!(kinds(&history), [(Kind::Lost, 3)]);
    }

    #[test]
    fn a_change_that_is_there_twice_is_found() {
        let history = [create(1), done(1, 10, 20, Append(1), &[]), done(1, 30, 40, Read, &[1, 1])];
        assert_eq!(kinds(&history), [(Kind::Twice, 2)]);
    }

    #[test]
    fn an_older_state_is_stale_although_nothing_acknowledged_is_missing() {
        let history = [
            create(1),
            failed(done(1, 10, 20, Append(1), &[])),
            done(1, 30, 31, Read, &[1]),
            done(1, 40, 41, Read, &[]),
        ];
        assert_eq!(kinds(&history), [(Kind::Stale, 3)]);
        let two = [failed(done(1, 10, 20, Append(1), &[])), failed(done(1, 10, 20, Append(2), &[]))];
        let [one, other] = two;
        let history = [create(1), one, other, done(1, 30, 31, Read, &[1, 2]), done(1, 40, 41, Read, &[2, 1])];
        assert_eq!(kinds(&history), [(Kind::Stale, 4)], "another order is another state");
    }

    #[test]
    fn what_was_seen_beside_a_store_may_come_to_nothing() {
        let seen = Request { beside: true, ..done(1, 30, 31, Read, &[1]) };
        let mut history =
            vec![create(1), failed(done(1, 10, 40, Append(1), &[])), seen, done(1, 50, 51, Read, &[])];
        assert_eq!(kinds(&history), []);
        history.push(done(1, 60, 61, Append(2), &[]));
        history.push(Request { beside: true, ..done(1, 70, 71, Read, &[1]) });
        assert_eq!(kinds(&history), [(Kind::Lost, 5)], "what was acknowledged is seen beside others, too");
    }

    #[test]
    fn what_belongs_to_another_session_is_foreign() {
        let history = [create(1), create(2), done(1, 10, 20, Append(1), &[]), done(2, 30, 40, Read, &[1])];
        assert_eq!(kinds(&history), [(Kind::Foreign, 3)]);
        let history = [create(1), done(1, 10, 11, Read, &[7]), done(1, 20, 21, Append(7), &[])];
        assert_eq!(kinds(&history)[0], (Kind::Foreign, 1), "before anybody has done it");
    }

    #[test]
    fn what_has_ended_stays_ended() {
        let history = [create(1), done(1, 10, 20, LogOut, &[]), done(1, 30, 40, Read, &[])];
        assert_eq!(kinds(&history), [(Kind::Revived, 2)]);
        let history = [create(1), done(1, 10, 20, Rename(2), &[]), done(1, 30, 40, Read, &[])];
        assert_eq!(kinds(&history), [(Kind::Revived, 2)], "under its old id");
        // Nobody was told that it has ended, but somebody has seen it.
        let history = [
            create(1),
            failed(done(1, 10, 20, LogOut, &[])),
            sees_nothing(1, 30),
            done(1, 40, 41, Read, &[]),
        ];
        assert_eq!(kinds(&history), [(Kind::Revived, 3)]);
    }

    #[test]
    fn nothing_in_place_of_a_session_is_found_once() {
        let history = [create(1), sees_nothing(1, 10), sees_nothing(1, 20)];
        assert_eq!(kinds(&history), [(Kind::Gone, 1)]);
    }
}

//! Decides from a history alone whether the farm kept its promise. Knows nothing of how it is built.
//!
//! A session is a list of tokens that only ever grows, so each answer tells everything that had happened to it: two lists that were seen
//! must be one the beginning of the other, and who asks later sees no less. A request that was not acknowledged may have taken effect, at
//! any time after its start, or never; once it was seen it counts.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{History, Kind, Operation, Outcome, Seen};

/// Whom it takes longer to be served when nothing is broken has lost his session, in microseconds.
const PATIENCE: u64 = 5_000_000;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// An acknowledged change, or its whole session, is gone.
    Lost,
    /// A change was made twice.
    Twice,
    /// An older state was shown than one that an earlier request had seen.
    Stale,
    /// Somebody else's data was shown.
    Mixed,
    /// A session that had ended, or an id that had been changed, was alive.
    Revived,
}

/// One thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What.
    pub wrong: Wrong,
    /// Whose session.
    pub session: String,
    /// When it showed, in microseconds since the run began.
    pub at: u64,
    /// For people.
    pub evidence: String,
}

/// What a history comes to.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Requests that were acknowledged.
    pub acknowledged: usize,
    /// All that went wrong, in the order in which it showed.
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// How often one of these went wrong.
    pub fn count(&self, wrong: &[Wrong]) -> usize {
        self.violations.iter().filter(|violation| wrong.contains(&violation.wrong)).count()
    }

    /// Sessions of which something is lost.
    pub fn sessions_lost(&self) -> usize {
        let lost = self.violations.iter().filter(|violation| violation.wrong == Wrong::Lost);
        lost.map(|violation| &violation.session).collect::<BTreeSet<_>>().len()
    }

    /// The last line of a run: whatever spoils a session's state counts as lost.
    pub fn summary(&self) -> String {
        format!(
            "{} acknowledged, {} lost, {} mixed, {} revived",
            self.acknowledged,
            self.count(&[Wrong::Lost, Wrong::Twice, Wrong::Stale]),
            self.count(&[Wrong::Mixed]),
            self.count(&[Wrong::Revived])
        )
    }
}

/// Judges a history.
pub fn check(history: &History) -> Verdict {
    let mut sessions: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in &history.operations {
        sessions.entry(&operation.session).or_default().push(operation);
    }
    let mut verdict = Verdict {
        acknowledged: history.operations.iter().filter(|operation| operation.is_acknowledged()).count(),
        violations: Vec::new(),
    };
    for (name, mut operations) in sessions {
        operations.sort_by_key(|operation| operation.start);
        let sent = operations.iter().map(|operation| (operation.token, operation.start)).collect();
        verdict.violations.extend(Session { name, operations, sent, lasted: history.lasted }.check());
    }
    verdict.violations.sort_by_key(|violation| violation.at);
    verdict
}

/// One session's history, in the order in which its requests began.
struct Session<'a> {
    name: &'a str,
    operations: Vec<&'a Operation>,
    /// When each token was sent.
    sent: BTreeMap<u32, u64>,
    /// When the last fault was over, and everybody looked at his sessions.
    lasted: u64,
}

impl Session<'_> {
    fn check(&self) -> Vec<Violation> {
        let acknowledged: Vec<&Operation> =
            self.operations.iter().copied().filter(|operation| operation.is_acknowledged()).collect();
        let mut found = Vec::new();
        for operation in &acknowledged {
            match &operation.seen {
                Some(Seen::Session(user, tokens)) => {
                    found.extend(self.is_its_own(operation, user, tokens));
                    found.extend(self.is_alive(operation));
                }
                Some(Seen::Nothing) => found.extend(self.may_be_gone(operation)),
                None => {}
            }
        }
        if !found.iter().any(|violation: &Violation| violation.wrong == Wrong::Mixed) {
            found.extend(self.grows(&acknowledged));
        }
        found.extend(self.can_be_had());
        found
    }

    /// Who looks at it in the end, again and again, is answered: with the session, or that it has ended.
    fn can_be_had(&self) -> Option<Violation> {
        let looks = |operation: &&Operation| operation.start >= self.lasted && operation.kind == Kind::Read;
        let looks: Vec<&Operation> = self.operations.iter().copied().filter(looks).collect();
        let (first, last) = (looks.first()?, looks.last()?);
        let refused = looks.iter().all(|operation| matches!(operation.outcome, Outcome::Failed(_)));
        let patient = last.end - first.start >= PATIENCE;
        (refused && patient).then(|| self.violation(Wrong::Lost, last, "it could not be had any more".into()))
    }

    fn violation(&self, wrong: Wrong, operation: &Operation, evidence: String) -> Violation {
        let Operation { client, kind, start, end, epoch, .. } = operation;
        let evidence = format!(
            "client {client}, session {} epoch {epoch}, {} of {start}–{end} µs: {evidence}",
            self.name,
            kind.name()
        );
        Violation { wrong, session: self.name.to_owned(), at: *end, evidence }
    }

    /// What an answer shows is this session's, and its own token is the last.
    fn is_its_own(&self, operation: &Operation, user: &str, tokens: &[u32]) -> Option<Violation> {
        let issued = |token: &u32| self.sent.get(token).is_some_and(|start| *start < operation.end);
        if user != self.name {
            return Some(self.violation(Wrong::Mixed, operation, format!("showed the session of {user}")));
        }
        if let Some(foreign) = tokens.iter().find(|token| !issued(token)) {
            let why = format!("showed token {foreign}, which nobody had sent");
            return Some(self.violation(Wrong::Mixed, operation, why));
        }
        if tokens.iter().collect::<BTreeSet<_>>().len() != tokens.len() {
            return Some(self.violation(Wrong::Twice, operation, format!("showed {tokens:?}")));
        }
        let own = operation.token != 0 && operation.kind != Kind::End;
        if own && tokens.last() != Some(&operation.token) {
            let why = format!("its token {} is not the last of {tokens:?}", operation.token);
            return Some(self.violation(Wrong::Lost, operation, why));
        }
        None
    }

    /// What ends the id that `operation` used.
    fn enders(&self, operation: &Operation) -> impl Iterator<Item = &Operation> {
        let epoch = operation.epoch;
        let ends = |kind| matches!(kind, Kind::Rotate | Kind::End);
        self.operations.iter().copied().filter(move |other| other.epoch == epoch && ends(other.kind))
    }

    /// A session was seen: its id had not ended.
    fn is_alive(&self, operation: &Operation) -> Option<Violation> {
        let ended =
            self.enders(operation).find(|ender| ender.is_acknowledged() && ender.end < operation.start);
        if let Some(ender) = ended {
            let why = format!("its id had ended with the {} of {} µs", ender.kind.name(), ender.end);
            return Some(self.violation(Wrong::Revived, operation, why));
        }
        let gone = self.operations.iter().find(|earlier| {
            let of_this_id = earlier.epoch == operation.epoch && earlier.end < operation.start;
            let gone = earlier.is_acknowledged() && earlier.seen == Some(Seen::Nothing);
            of_this_id && gone && self.is_explained(earlier)
        })?;
        let why = format!("it had been gone at {} µs", gone.end);
        Some(self.violation(Wrong::Revived, operation, why))
    }

    /// No session was seen: something may have ended it.
    fn may_be_gone(&self, operation: &Operation) -> Option<Violation> {
        if self.is_explained(operation) {
            return None;
        }
        let again = self
            .operations
            .iter()
            .any(|later| later.start > operation.end && matches!(later.seen, Some(Seen::Session(..))));
        let wrong = if again { Wrong::Stale } else { Wrong::Lost };
        Some(self.violation(wrong, operation, "no session was there".into()))
    }

    fn is_explained(&self, operation: &Operation) -> bool {
        operation.kind == Kind::End || self.enders(operation).any(|ender| ender.start < operation.end)
    }

    /// The lists are of one growing list, and nobody sees less than was seen before he asked.
    fn grows(&self, acknowledged: &[&Operation]) -> Vec<Violation> {
        let lists: Vec<(&Operation, &[u32])> = acknowledged
            .iter()
            .filter_map(|operation| match &operation.seen {
                Some(Seen::Session(_, tokens)) => Some((*operation, tokens.as_slice())),
                _ => None,
            })
            .collect();
        let mut by_end = lists.clone();
        by_end.sort_by_key(|(operation, _)| operation.end);
        let mut by_end = by_end.into_iter().peekable();
        let mut known: &[u32] = &[];
        let mut found = Vec::new();
        for (operation, list) in &lists {
            while let Some((_, earlier)) = by_end.next_if(|(earlier, _)| earlier.end < operation.start) {
                if earlier.len() > known.len() {
                    known = earlier;
                }
            }
            if list.starts_with(known) {
                continue;
            }
            let missing: Vec<u32> = known.iter().copied().filter(|token| !list.contains(token)).collect();
            let again = lists.iter().any(|(later, list)| {
                later.start > operation.end && missing.iter().all(|token| list.contains(token))
            });
            let wrong = if again { Wrong::Stale } else { Wrong::Lost };
            let why = format!("{missing:?} were there before, and are not in {list:?}");
            found.push(self.violation(wrong, operation, why));
        }
        // Requests that ran at one time are not ordered by it, but their lists are.
        let mut by_length = lists;
        by_length.sort_by_key(|(_, list)| list.len());
        for pair in by_length.windows(2) {
            let ((_, shorter), (operation, longer)) = (pair[0], pair[1]);
            if !longer.starts_with(shorter) && found.is_empty() {
                let why = format!("{longer:?} does not continue {shorter:?}");
                found.push(self.violation(Wrong::Lost, operation, why));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::Outcome;
    use super::*;

    fn operation(kind: Kind, token: u32, at: (u64, u64), seen: Option<&[u32]>) -> Operation {
        Operation {
            client: 1,
            session: "a".into(),
            epoch: 0,
            kind,
            token,
            start: at.0,
            end: at.1,
            outcome: Outcome::Acknowledged,
            seen: Some(match seen {
                Some(tokens) => Seen::Session("a".into(), tokens.to_vec()),
                None => Seen::Nothing,
            }),
        }
    }

    fn append(token: u32, at: (u64, u64), seen: &[u32]) -> Operation {
        operation(Kind::Append, token, at, Some(seen))
    }

    fn read(at: (u64, u64), seen: Option<&[u32]>) -> Operation {
        operation(Kind::Read, 0, at, seen)
    }

    fn begin() -> Operation {
        operation(Kind::Begin, 0, (0, 1), Some(&[]))
    }

    fn wrong(operations: Vec<Operation>) -> Vec<Wrong> {
        let history = History { operations, ..History::default() };
        check(&history).violations.iter().map(|violation| violation.wrong).collect()
    }

    #[test]
    fn a_good_history_is_good() {
        let mut unacknowledged = append(2, (4, 5), &[]);
        (unacknowledged.outcome, unacknowledged.seen) = (Outcome::Failed(503), None);
        let mut rotated = operation(Kind::Rotate, 4, (10, 12), Some(&[1, 2, 3, 4]));
        let mut ended = operation(Kind::End, 0, (15, 16), None);
        (rotated.epoch, ended.epoch) = (0, 1);
        let mut after = read((13, 14), Some(&[1, 2, 3, 4]));
        after.epoch = 1;
        let mut dead = read((17, 18), None);
        dead.epoch = 1;
        assert_eq!(
            wrong(vec![
                begin(),
                append(1, (2, 3), &[1]),
                unacknowledged,
                // Its effect shows late, and two ran at one time.
                append(3, (6, 9), &[1, 2, 3]),
                read((6, 9), Some(&[1])),
                rotated,
                // The old id, while it was changed.
                read((11, 13), None),
                after,
                ended,
                dead,
            ]),
            []
        );
    }

    #[test]
    fn what_can_not_be_had_in_the_end_is_lost() {
        let mut refused = [read((12, 13), None), read((12 + PATIENCE, 13 + PATIENCE), None)];
        for look in &mut refused {
            (look.outcome, look.seen) = (Outcome::Failed(503), None);
        }
        let history = |operations| History { operations, lasted: 10, ..History::default() };
        let found = |looks: &[Operation]| {
            let operations = [&[begin(), append(1, (2, 3), &[1])], looks].concat();
            check(&history(operations)).violations.iter().map(|found| found.wrong).collect::<Vec<_>>()
        };
        assert_eq!(found(&refused), [Wrong::Lost]);
        assert_eq!(found(&refused[..1]), [], "he gave up at once");
        let [first, last] = refused.clone();
        assert_eq!(found(&[first, read((14, 15), Some(&[1])), last]), []);
    }

    #[test]
    fn what_is_lost_is_found() {
        assert_eq!(wrong(vec![begin(), append(1, (2, 3), &[1]), read((4, 5), Some(&[]))]), [Wrong::Lost]);
        assert_eq!(wrong(vec![begin(), append(1, (2, 3), &[1]), append(2, (4, 5), &[2])]), [Wrong::Lost]);
        assert_eq!(wrong(vec![begin(), read((4, 5), None)]), [Wrong::Lost]);
        // Two at one time, of which one was overwritten.
        let parallel = vec![begin(), append(1, (2, 5), &[1]), append(2, (3, 4), &[2])];
        assert_eq!(wrong(parallel), [Wrong::Lost]);
        assert_eq!(wrong(vec![begin(), append(1, (2, 3), &[])]), [Wrong::Lost]);
    }

    #[test]
    fn what_is_stale_or_done_twice_is_found() {
        let stale = vec![begin(), append(1, (2, 3), &[1]), read((4, 5), Some(&[])), read((6, 7), Some(&[1]))];
        assert_eq!(wrong(stale), [Wrong::Stale]);
        assert_eq!(wrong(vec![begin(), append(1, (2, 3), &[1, 1])]), [Wrong::Twice]);
    }

    #[test]
    fn what_is_mixed_is_found() {
        let mut foreign = read((4, 5), Some(&[]));
        foreign.seen = Some(Seen::Session("b".into(), vec![]));
        assert_eq!(wrong(vec![begin(), foreign]), [Wrong::Mixed]);
        assert_eq!(wrong(vec![begin(), read((4, 5), Some(&[7]))]), [Wrong::Mixed]);
    }

    #[test]
    fn what_is_revived_is_found() {
        let end = operation(Kind::End, 0, (2, 3), None);
        assert_eq!(wrong(vec![begin(), end.clone(), read((4, 5), Some(&[]))]), [Wrong::Revived]);
        // It was not acknowledged, but had been seen to have happened.
        let mut unacknowledged = end;
        (unacknowledged.outcome, unacknowledged.seen) = (Outcome::Failed(0), None);
        let seen = vec![begin(), unacknowledged.clone(), read((4, 5), None), read((6, 7), Some(&[]))];
        assert_eq!(wrong(seen), [Wrong::Revived]);
        assert_eq!(wrong(vec![begin(), unacknowledged, read((4, 5), Some(&[]))]), []);
        let mut rotated = operation(Kind::Rotate, 1, (2, 3), Some(&[1]));
        rotated.epoch = 0;
        assert_eq!(wrong(vec![begin(), rotated, read((4, 5), Some(&[1]))]), [Wrong::Revived]);
    }
}

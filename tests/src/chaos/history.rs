//! What clients did and what they were told, and what was done to the farm meanwhile: all that the checker knows. As text, a line each.

use std::fmt::Write as _;

/// A run, from its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// In no particular order.
    pub operations: Vec<Operation>,
    /// In their order.
    pub faults: Vec<Fault>,
    /// How long clients were at it, in microseconds.
    pub lasted: u64,
}

/// What a client wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To have a new session.
    Begin,
    /// To append a token to its list.
    Append,
    /// To see the list.
    Read,
    /// To go on under another id, and to append a token (a login).
    Rotate,
    /// To end the session (a logout).
    End,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The answer came, and promises that it is stored.
    Acknowledged,
    /// The answer came, marked as released before it was stored.
    Unsaved,
    /// Answered with this status; zero: not answered.
    Failed(u16),
    /// The client left before an answer came.
    Left,
}

/// What an answer showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// There is no session.
    Nothing,
    /// The session of this user, with these tokens.
    Session(String, Vec<u32>),
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Who sent it.
    pub client: u32,
    /// The session that the client meant.
    pub session: String,
    /// How often that session's id had been changed, as far as the client knew.
    pub epoch: u32,
    /// What it wanted.
    pub kind: Kind,
    /// The token that it appends; zero: none.
    pub token: u32,
    /// Microseconds since the run began.
    pub start: u64,
    /// The same, when the answer was there.
    pub end: u64,
    /// What came of it.
    pub outcome: Outcome,
    /// What the answer showed.
    pub seen: Option<Seen>,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `memcached.kill`.
    pub kind: String,
    /// Which one of its kind.
    pub target: usize,
    /// Microseconds since the run began.
    pub struck: u64,
    /// When everything ran again.
    pub healed: u64,
    /// Requests that were under way when it struck.
    pub in_flight: usize,
}

const KINDS: [(Kind, &str); 5] = [
    (Kind::Begin, "begin"),
    (Kind::Append, "append"),
    (Kind::Read, "read"),
    (Kind::Rotate, "rotate"),
    (Kind::End, "end"),
];

impl Kind {
    /// Its name, in the history and in the application's paths.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

impl Operation {
    /// Whether its answer came and is to be relied on.
    pub fn is_acknowledged(&self) -> bool {
        self.outcome == Outcome::Acknowledged
    }
}

impl History {
    /// As text.
    pub fn write(&self) -> String {
        let mut text = format!("lasted {}\n", self.lasted);
        for op in &self.operations {
            let Operation { client, session, epoch, token, start, end, .. } = op;
            let (kind, outcome) = (op.kind.name(), outcome_name(op.outcome));
            let seen = match &op.seen {
                None => "-".to_owned(),
                Some(Seen::Nothing) => "nothing".to_owned(),
                Some(Seen::Session(user, tokens)) => format!("{user}:{}", ranges(tokens)),
            };
            let _ =
                writeln!(text, "op {client} {session} {epoch} {kind} {token} {start} {end} {outcome} {seen}");
        }
        for Fault { kind, target, struck, healed, in_flight } in &self.faults {
            let _ = writeln!(text, "fault {kind} {target} {struck} {healed} {in_flight}");
        }
        text
    }

    /// From text.
    ///
    /// # Errors
    /// The number and the text of the line that is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut history = Self::default();
        for (n, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split(' ').collect();
            let understood = match words.as_slice() {
                ["lasted", time] => time.parse().ok().map(|time| history.lasted = time),
                ["op", rest @ ..] => operation(rest).map(|op| history.operations.push(op)),
                ["fault", rest @ ..] => fault(rest).map(|fault| history.faults.push(fault)),
                _ => None,
            };
            understood.ok_or_else(|| format!("line {} is not understood: {line}", n + 1))?;
        }
        Ok(history)
    }
}

fn operation(words: &[&str]) -> Option<Operation> {
    let [client, session, epoch, kind, token, start, end, outcome, seen] = words else { return None };
    Some(Operation {
        client: client.parse().ok()?,
        session: (*session).to_owned(),
        epoch: epoch.parse().ok()?,
        kind: KINDS.iter().find(|(_, name)| name == kind)?.0,
        token: token.parse().ok()?,
        start: start.parse().ok()?,
        end: end.parse().ok()?,
        outcome: match *outcome {
            "acknowledged" => Outcome::Acknowledged,
            "unsaved" => Outcome::Unsaved,
            "left" => Outcome::Left,
            status => Outcome::Failed(status.parse().ok()?),
        },
        seen: match *seen {
            "-" => None,
            "nothing" => Some(Seen::Nothing),
            session => {
                let (user, tokens) = session.split_once(':')?;
                Some(Seen::Session(user.to_owned(), from_ranges(tokens)?))
            }
        },
    })
}

fn fault(words: &[&str]) -> Option<Fault> {
    let [kind, target, struck, healed, in_flight] = words else { return None };
    Some(Fault {
        kind: (*kind).to_owned(),
        target: target.parse().ok()?,
        struck: struck.parse().ok()?,
        healed: healed.parse().ok()?,
        in_flight: in_flight.parse().ok()?,
    })
}

fn outcome_name(outcome: Outcome) -> String {
    match outcome {
        Outcome::Acknowledged => "acknowledged".into(),
        Outcome::Unsaved => "unsaved".into(),
        Outcome::Left => "left".into(),
        Outcome::Failed(status) => status.to_string(),
    }
}

/// `1-3,7`: tokens that follow one another are said by the first and the last.
fn ranges(tokens: &[u32]) -> String {
    let runs = tokens.chunk_by(|one, next| *next == one + 1);
    let said = runs.map(|run| match run {
        [one] => one.to_string(),
        _ => format!("{}-{}", run[0], run[run.len() - 1]),
    });
    said.collect::<Vec<_>>().join(",")
}

fn from_ranges(text: &str) -> Option<Vec<u32>> {
    let mut tokens = Vec::new();
    for run in text.split(',').filter(|run| !run.is_empty()) {
        let (first, last) = run.split_once('-').unwrap_or((run, run));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if last.checked_sub(first)? > 100_000 {
            return None;
        }
        tokens.extend(first..=last);
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let operation = |outcome, seen| Operation {
            client: 3,
            session: "u3g1".into(),
            epoch: 2,
            kind: Kind::Rotate,
            token: 9,
            start: 5,
            end: 7,
            outcome,
            seen,
        };
        let session = Seen::Session("u3g1".into(), vec![1, 2, 3, 7, 5, 6]);
        let history = History {
            operations: vec![
                operation(Outcome::Acknowledged, Some(session)),
                operation(Outcome::Acknowledged, Some(Seen::Session("u3g1".into(), vec![]))),
                operation(Outcome::Unsaved, Some(Seen::Nothing)),
                operation(Outcome::Failed(503), None),
                operation(Outcome::Left, None),
            ],
            faults: vec![Fault {
                kind: "memcached.kill".into(),
                target: 1,
                struck: 3,
                healed: 9,
                in_flight: 5,
            }],
            lasted: 11,
        };
        assert!(history.write().contains(" u3g1:1-3,7,5-6\n"), "{}", history.write());
        assert_eq!(History::parse(&history.write()), Ok(history));
        assert!(History::parse("lasted 1\nop 1 2\n").unwrap_err().contains("line 2"));
    }
}

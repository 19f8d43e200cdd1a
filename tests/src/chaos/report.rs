//! Figures of a run, from its history.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::checker::{Verdict, Wrong};
use super::history::{Fault, History, Operation, Outcome, Seen};

/// The lock's TTL of the product is 5 s; a fault is to be over within twice that. In microseconds.
const OVER_WITHIN: u64 = 10_000_000;
/// An answer that takes longer is a disturbance, in microseconds.
const SLOW: u64 = 1_000_000;
/// What is wanted of a run.
const OPERATIONS_PER_SECOND: f64 = 200.0;
const SUCCESS: f64 = 0.99;
const UNSAVED: f64 = 0.01;
const IN_FLIGHT: usize = 5;

/// One fault, and what clients noticed of it.
#[derive(Debug)]
struct Felt<'a> {
    fault: &'a Fault,
    /// When the last request that it disturbed had ended; when it struck, if it disturbed none.
    over: u64,
    /// The longest that one client went without an answer that counts, in microseconds.
    unavailable: u64,
    failed: usize,
}

/// What is wanted besides that nothing is lost.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// How often each kind of fault has to strike.
    pub strikes: usize,
    /// Whether faults came one at a time: then each has to be over soon.
    pub single: bool,
    /// The kinds that have to strike.
    pub kinds: Vec<String>,
    /// Whether requests have to succeed at all while no fault is on, and as many as that.
    pub serves: bool,
}

/// The figures for people, and all that is not as wanted.
pub fn report(history: &History, verdict: &Verdict, wanted: &Wanted) -> (String, Vec<String>) {
    let felt = felt(history);
    let seconds = history.lasted.max(1) as f64 / 1e6;
    let total = history.operations.len();
    let rate = verdict.acknowledged as f64 / seconds;
    let unsaved = history.operations.iter().filter(|op| was_released_unsaved(op)).count();
    let (calm, calm_failed) = outside(history, &felt);
    let success = 1.0 - calm_failed as f64 / calm.max(1) as f64;
    let mut text = format!(
        "{total} requests in {seconds:.0} s, {} acknowledged ({rate:.0}/s), {unsaved} released before they were stored ({:.2} %)\n",
        verdict.acknowledged,
        100.0 * unsaved as f64 / total.max(1) as f64,
    );
    let _ = writeln!(text, "outside of faults {calm} requests, {:.3} % succeeded", 100.0 * success);
    failures(history, &mut text);
    by_kind(&felt, &mut text);
    for (wrong, name) in [
        (Wrong::Lost, "lost"),
        (Wrong::Twice, "made twice"),
        (Wrong::Stale, "stale"),
        (Wrong::Mixed, "mixed"),
        (Wrong::Revived, "revived"),
    ] {
        let count = verdict.count(&[wrong]);
        if count > 0 {
            let _ = writeln!(text, "{count} {name}");
        }
    }
    let mut missed = Vec::new();
    if wanted.serves && rate < OPERATIONS_PER_SECOND {
        missed.push(format!("{rate:.0} requests/s were acknowledged, {OPERATIONS_PER_SECOND} are wanted"));
    }
    if wanted.serves && success < SUCCESS {
        missed.push(format!("{:.2} % succeeded outside of faults, 99 % are wanted", 100.0 * success));
    }
    if wanted.serves && unsaved as f64 > UNSAVED * total as f64 {
        missed
            .push(format!("{unsaved} of {total} were released before they were stored, at most 1 % may be"));
    }
    for kind in &wanted.kinds {
        let strikes = felt.iter().filter(|felt| felt.fault.kind == *kind);
        let good = strikes.filter(|felt| felt.fault.in_flight >= IN_FLIGHT).count();
        if good < wanted.strikes {
            let want = wanted.strikes;
            missed.push(format!(
                "{kind} struck {good} times with {IN_FLIGHT} requests under way, {want} are wanted"
            ));
        }
    }
    for felt in felt.iter().filter(|felt| wanted.single && felt.over - felt.fault.struck > OVER_WITHIN) {
        let Fault { kind, target, struck, .. } = felt.fault;
        missed.push(format!(
            "{kind} of {target} at {:.1} s was over after {:.1} s, 10 s are allowed",
            *struck as f64 / 1e6,
            (felt.over - struck) as f64 / 1e6
        ));
    }
    (text, missed)
}

fn failures(history: &History, text: &mut String) {
    let mut failures: BTreeMap<String, usize> = BTreeMap::new();
    for op in &history.operations {
        let name = match op.outcome {
            Outcome::Failed(0) => "no answer".to_owned(),
            Outcome::Failed(status) => status.to_string(),
            Outcome::Left => "client left".to_owned(),
            _ => continue,
        };
        *failures.entry(name).or_default() += 1;
    }
    let failures: Vec<_> = failures.iter().map(|(name, count)| format!("{name}: {count}")).collect();
    let _ = writeln!(text, "not acknowledged: {}", failures.join(", "));
}

fn by_kind(felt: &[Felt<'_>], text: &mut String) {
    let mut kinds: BTreeMap<&str, Vec<&Felt<'_>>> = BTreeMap::new();
    for felt in felt {
        kinds.entry(&felt.fault.kind).or_default().push(felt);
    }
    if kinds.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "{:<20}{:>7}{:>12}{:>14}{:>14}{:>12}{:>10}",
        "fault", "times", "in flight", "unavailable", "at most", "over after", "failed"
    );
    for (kind, felt) in kinds {
        let mut unavailable: Vec<u64> = felt.iter().map(|felt| felt.unavailable).collect();
        unavailable.sort_unstable();
        let seconds = |time: u64| format!("{:.2} s", time as f64 / 1e6);
        let _ = writeln!(
            text,
            "{kind:<20}{:>7}{:>12}{:>14}{:>14}{:>12}{:>10}",
            felt.len(),
            felt.iter().map(|felt| felt.fault.in_flight).min().unwrap_or(0),
            seconds(unavailable[unavailable.len() / 2]),
            seconds(unavailable.last().copied().unwrap_or(0)),
            seconds(felt.iter().map(|felt| felt.over - felt.fault.struck).max().unwrap_or(0)),
            felt.iter().map(|felt| felt.failed).sum::<usize>(),
        );
    }
}

/// What shows no session is marked too, when its id has just been changed: nothing was to be stored.
fn was_released_unsaved(op: &Operation) -> bool {
    op.outcome == Outcome::Unsaved && op.seen != Some(Seen::Nothing)
}

fn has_failed(op: &Operation) -> bool {
    matches!(op.outcome, Outcome::Failed(_))
}

/// What was noticed of each fault: disturbed are requests that ran into it, or began before the next one, and failed or were slow. What the next
/// one runs into is that one's, unless it had been slow before.
fn felt(history: &History) -> Vec<Felt<'_>> {
    let mut operations: Vec<&Operation> = history.operations.iter().collect();
    operations.sort_by_key(|op| op.start);
    let mut all = Vec::new();
    for (n, fault) in history.faults.iter().enumerate() {
        let next = history.faults.get(n + 1).map_or(history.lasted, |next| next.struck.max(fault.healed));
        let ran: Vec<&Operation> =
            operations.iter().copied().filter(|op| op.end > fault.struck && op.start < next).collect();
        let disturbed = |op: &&&Operation| {
            let is_slow = op.end - op.start > SLOW;
            if op.end <= next { has_failed(op) || is_slow } else { next - op.start > SLOW }
        };
        let over = ran.iter().filter(disturbed).map(|op| op.end).max().unwrap_or(fault.struck);
        let failed = ran.iter().filter(|op| has_failed(op)).count();
        let unavailable = unavailable(&ran, fault.struck, over);
        all.push(Felt { fault, over: over.max(fault.struck), unavailable, failed });
    }
    all
}

/// The longest time between two answers that count, of one client, that touches the disturbance.
fn unavailable(ran: &[&Operation], struck: u64, over: u64) -> u64 {
    let mut last: BTreeMap<u32, u64> = BTreeMap::new();
    let mut by_end: Vec<&&Operation> = ran.iter().filter(|op| op.is_acknowledged()).collect();
    by_end.sort_by_key(|op| op.end);
    let mut longest = 0;
    for op in by_end {
        let since = last.insert(op.client, op.end).unwrap_or(struck);
        if since < over {
            longest = longest.max(op.end.saturating_sub(since.max(struck)));
        }
    }
    longest
}

/// Requests that no fault was near, and how many of them failed.
fn outside(history: &History, felt: &[Felt<'_>]) -> (usize, usize) {
    let windows: Vec<(u64, u64)> = felt
        .iter()
        .map(|felt| {
            let over = felt.over.min(felt.fault.struck + OVER_WITHIN);
            (felt.fault.struck, over.max(felt.fault.healed))
        })
        .collect();
    let calm = history.operations.iter().filter(|op| {
        op.outcome != Outcome::Left && !windows.iter().any(|(from, to)| op.end > *from && op.start < *to)
    });
    let (mut all, mut failed) = (0, 0);
    for op in calm {
        all += 1;
        failed += usize::from(has_failed(op));
    }
    (all, failed)
}

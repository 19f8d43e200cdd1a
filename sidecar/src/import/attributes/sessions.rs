//! How sessions are used: which requests have one, lock it, and wait until it is stored.

use satchel_common::import::outcome::{Outcome, changed, not, nothing};

use super::Scope;
use crate::import::valid;

/// Says something or nothing, by whether the sessions are sticky.
type Said = fn(bool) -> Option<&'static str>;

/// What is said where an attribute is missing and msm's default is another than ours.
pub(super) const DEFAULTS: &[(&str, Said)] =
    &[("sticky", |_| Some(STICKY)), ("sessionBackupAsync", |sticky| (!sticky).then_some(ASYNC))];

const STICKY: &str = "sessions are sticky in msm, and shared here: any request may go to any server, and waits for others of its session \
    (locking = \"all\"); the balancer needs no stickiness any more, and Tomcat no jvmRoute";
const ASYNC: &str = "msm answers before the session is stored; here the answer waits, as with sessionBackupAsync=\"false\". As before: \
    session.unheld_uri = '.*'";
const WAITS: &str = "who has waited 30s for the lock is answered 503 (session.lock_timeout, session.on_lock_timeout); msm went on without \
    it after operationTimeout";

pub(super) fn sticky(scope: &mut Scope, _: &str) -> Outcome {
    if scope.sticky { changed(STICKY) } else { Outcome::Carried }
}

pub(super) fn locking_mode(scope: &mut Scope, value: &str) -> Outcome {
    if scope.sticky {
        return nothing(
            "msm locks with sticky=\"false\" only; here every request locks its session (locking = \"all\")",
        );
    }
    let lower = value.to_ascii_lowercase();
    let (mode, outcome) = match (lower.as_str(), value.strip_prefix("uriPattern:")) {
        ("none", _) => (Some("none".to_owned()), Outcome::Carried),
        // msm's words, in any case.
        ("all" | "auto", _) => (Some(lower), changed(WAITS)),
        (_, Some(pattern)) => match pattern_for("locking", "uri:", pattern) {
            Ok(mode) => (
                Some(mode),
                changed(format!(
                    "{WAITS}. A request that was not locked and finds its session changed elsewhere is 503 too"
                )),
            ),
            Err(why) => (None, not(format!("{why}. Until then every request locks (locking = \"all\")"))),
        },
        _ => (
            None,
            not(
                "msm knows none, all, auto and uriPattern:REGEX; until you say which, every request locks (locking = \"all\")",
            ),
        ),
    };
    scope.wanted.locking = mode;
    outcome
}

pub(super) fn ignore_pattern(scope: &mut Scope, value: &str) -> Outcome {
    if value.is_empty() {
        return nothing("matches no request");
    }
    match pattern_for("ignore_uri", "", value) {
        Ok(pattern) => {
            scope.wanted.ignore = Some(pattern);
            Outcome::Carried
        }
        Err(why) => not(format!("{why}. Until then no request is ignored")),
    }
}

/// The value of a key of `[session]` that is a pattern behind a `prefix`.
fn pattern_for(key: &'static str, prefix: &str, pattern: &str) -> Result<String, String> {
    if let Some(found) = possessive(pattern) {
        return Err(format!(
            "'{found}' is possessive in Java and something else in the sidecar's regular expressions: leave the second + out, and see \
             that it still matches the whole of METHOD URI?query"
        ));
    }
    let value = format!("{prefix}{pattern}");
    valid::check("session", key, &value).map(|()| value)
}

/// The first of Java's possessive quantifiers, such as `*+`.
fn possessive(pattern: &str) -> Option<String> {
    let mut in_class = 0_usize;
    let mut escaped = false;
    let mut before = None;
    for c in pattern.chars() {
        if escaped {
            escaped = false;
            before = None;
            continue;
        }
        match c {
            '\\' => escaped = true,
            '[' => in_class += 1,
            ']' => in_class = in_class.saturating_sub(1),
            '+' if in_class == 0 => {
                if let Some(quantifier @ ('*' | '+' | '?' | '}')) = before {
                    return Some(format!("{quantifier}+"));
                }
            }
            _ => {}
        }
        before = (in_class == 0 && !escaped).then_some(c);
    }
    None
}

pub(super) fn backup_async(scope: &mut Scope, value: &str) -> Outcome {
    let is_async = value.eq_ignore_ascii_case("true");
    match (is_async, scope.sticky) {
        (false, _) => Outcome::Carried,
        (true, true) => changed(ASYNC),
        (true, false) => {
            scope.wanted.unheld = true;
            changed(
                "as in msm, an answer goes out before its session is stored; that it is stored is not promised then, and with locking = \
                 \"none\" the next request may find the old one. Without unheld_uri both are",
            )
        }
    }
}

pub(super) fn enabled(_: &mut Scope, value: &str) -> Outcome {
    match value.eq_ignore_ascii_case("true") {
        true => Outcome::Carried,
        false => not(
            "msm is switched off here, and the sidecar has no such switch: to share no sessions, keep your files and start none",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn possessive_quantifiers_are_found() {
        for (pattern, found) in [
            (".*\\.(png|gif)$", None),
            ("a++", Some("++")),
            (".*+x", Some("*+")),
            ("a?+", Some("?+")),
            ("a{2}+", Some("}+")),
            ("\\*+", None),
            ("[*+]+", None),
            ("a\\++", None),
            ("a\\+++", Some("++")),
        ] {
            assert_eq!(possessive(pattern).as_deref(), found, "{pattern}");
        }
    }
}

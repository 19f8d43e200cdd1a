//! How long things take.

use satchel_common::import::outcome::{Outcome, changed, not};

use super::Scope;
use crate::config::defaults::NODE_TIMEOUT_MAX;

pub(super) fn backup_timeout(scope: &mut Scope, value: &str) -> Outcome {
    match milliseconds(value) {
        Some(time) => {
            scope.wanted.backup_timeout = Some(time);
            Outcome::Carried
        }
        None => not("milliseconds of 1 or more are expected; backup_timeout has its default, 100ms"),
    }
}

pub(super) fn operation_timeout(scope: &mut Scope, value: &str) -> Outcome {
    let most = u64::try_from(NODE_TIMEOUT_MAX.0.as_millis()).unwrap_or(u64::MAX);
    match milliseconds(value) {
        Some(time) => {
            scope.wanted.timeout = Some(time.min(most));
            match time > most {
                true => changed("is 2s here, the most that is possible: locks are renewed through it"),
                false => Outcome::Carried,
            }
        }
        None => not("milliseconds of 1 or more are expected; memcached.timeout has its default, 1s"),
    }
}

pub(super) fn max_inactive_interval(_: &mut Scope, value: &str) -> Outcome {
    match value.parse::<i64>() {
        Ok(seconds) => {
            let minutes = if seconds <= 0 { -1 } else { seconds.saturating_add(59) / 60 };
            not(format!(
                "Tomcat has it in web.xml, in minutes: <session-config><session-timeout>{minutes}</session-timeout></session-config>"
            ))
        }
        Err(_) => not("seconds are expected; write <session-timeout> into web.xml, in minutes"),
    }
}

/// At most a year.
fn milliseconds(value: &str) -> Option<u64> {
    const YEAR: u64 = 365 * 24 * 3600 * 1000;
    value.parse().ok().filter(|time| (1..=YEAR).contains(time))
}

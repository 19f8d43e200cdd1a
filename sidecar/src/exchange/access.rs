//! How a request may use its session: which lock it takes, and whether what it changes is kept.

use std::time::Duration;

use moka::sync::Cache;
use regex::Regex;

use super::Core;
use crate::broken::Broken;

/// How one request uses its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Alone among all Tomcats.
    Locked,
    /// Alone in its Tomcat. What it changes is stored if nobody else has changed the session meanwhile.
    Unlocked,
    /// Beside other requests, on a copy of its own; what it changes is dropped.
    ReadOnly,
}

/// msm's lockingMode: which requests lock their session.
#[derive(Debug, Clone)]
pub enum Locking {
    /// All.
    All,
    /// None; the last writer wins.
    None,
    /// Those that match.
    Uri(Regex),
    /// Those that are not known to leave their session as it is.
    Auto,
}

/// What a request does that waited for its session for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLockTimeout {
    /// It is answered 503.
    Fail,
    /// It goes on as a read-only one.
    Proceed,
}

impl Locking {
    /// Whether a store may replace what somebody else has stored meanwhile (R17).
    pub fn last_writer_wins(&self) -> bool {
        matches!(self, Self::None) || Broken::NoLock.is_on()
    }
}

/// The bounds are msm's (`LockingStrategyAuto`).
const READING: u64 = 1_000;
const WRITING: u64 = 50_000;
const REMEMBERED: Duration = Duration::from_secs(6 * 3600);
/// A longer request line is not remembered: somebody else chose it.
const LINE: usize = 512;

/// What requests were seen to do, by their `METHOD URI?query`. One that has once changed its session counts as writing.
pub struct Learned {
    reading: Cache<String, ()>,
    writing: Cache<String, ()>,
}

impl Default for Learned {
    fn default() -> Self {
        let cache = |size| Cache::builder().max_capacity(size).time_to_live(REMEMBERED).build();
        Self { reading: cache(READING), writing: cache(WRITING) }
    }
}

impl Learned {
    /// Whether such a request was only seen to read.
    pub fn reads(&self, line: &str) -> bool {
        self.reading.contains_key(line) && !self.writing.contains_key(line)
    }

    /// Notes what such a request has done. `true`: it was taken for one that only reads, and has changed its session.
    pub fn note(&self, line: &str, changed: bool) -> bool {
        if line.len() > LINE {
            return false;
        }
        if !changed {
            self.reading.insert(line.to_owned(), ());
            return false;
        }
        let surprise = self.reads(line);
        self.writing.insert(line.to_owned(), ());
        surprise
    }
}

impl Core {
    /// How a request may use its session, by its `METHOD URI?query`, and what it is to be remembered by.
    pub fn access(&self, line: String) -> (Access, Option<String>) {
        let settings = self.settings();
        if settings.readonly_uri.as_ref().is_some_and(|pattern| pattern.is_match(&line)) {
            return (Access::ReadOnly, None);
        }
        let locked = |locked| if locked { Access::Locked } else { Access::Unlocked };
        match &settings.locking {
            _ if Broken::NoLock.is_on() => (Access::Unlocked, None),
            Locking::All => (Access::Locked, None),
            Locking::None => (Access::Unlocked, None),
            Locking::Uri(pattern) => (locked(pattern.is_match(&line)), None),
            Locking::Auto => (locked(!self.learned.reads(&line)), Some(line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_locked_until_it_is_known_to_read_and_again_once_it_has_written() {
        let learned = Learned::default();
        assert!(!learned.reads("GET /a"));
        assert!(!learned.note("GET /a", false));
        assert!(learned.reads("GET /a") && !learned.reads("GET /b"));
        assert!(learned.note("GET /a", true), "a surprise");
        assert!(!learned.note("GET /a", false) && !learned.reads("GET /a"), "for good");
        let long = format!("GET /{}", "a".repeat(LINE));
        learned.note(&long, false);
        assert!(!learned.reads(&long));
    }
}

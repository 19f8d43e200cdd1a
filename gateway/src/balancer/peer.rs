//! One server as the balancer sees it.

use std::net::SocketAddr;
use std::time::Duration;

/// Weights are counted in parts of this, so that slow start can give a server a fraction of its own.
/// A common factor changes nothing in the order.
const SCALE: i64 = 256;

/// A time, since a start that is the caller's business.
pub type Now = Duration;

/// Whether a server gets requests, as the operator says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Admin {
    /// It does.
    #[default]
    Up,
    /// nginx's `down`: it does not, not even when no other is left.
    Down,
    /// nginx's `drain`: no new ones; those that run are finished.
    Drain,
}

/// What the configuration says of a server. Names and meanings are those of nginx's `server` directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Its share of the requests.
    pub weight: u16,
    /// After so many failed attempts within [`fail_timeout`](Self::fail_timeout) it gets none for as long; zero: failures are not counted.
    pub max_fails: u32,
    /// See there.
    pub fail_timeout: Duration,
    /// Requests at one time; zero: any number.
    pub max_conns: u32,
    /// It gets requests only when no other server can.
    pub backup: bool,
    /// Whether it gets requests.
    pub admin: Admin,
    /// After it has been away its weight grows from nothing to its own within this time.
    pub slow_start: Duration,
    /// The port of the sidecar's admin address, on the same host.
    pub admin_port: Option<u16>,
}

/// A server and what has happened to it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it is.
    pub address: SocketAddr,
    /// What the configuration says.
    pub options: Options,
    /// What its active check says.
    pub healthy: bool,
    /// Requests that run.
    pub conns: u32,
    /// Failed attempts in a row, as nginx counts them.
    pub fails: u32,
    pub(super) current: i64,
    effective: i64,
    /// The last failure.
    failed: Now,
    /// When it was last given another try, or failed.
    checked: Now,
    /// When it came back.
    recovered: Option<Now>,
}

impl Peer {
    /// One that was not there before. `slowly`: its weight begins at nothing.
    pub(super) fn new(address: SocketAddr, options: Options, now: Now, slowly: bool) -> Self {
        let effective = i64::from(options.weight) * SCALE;
        Self {
            address,
            options,
            healthy: true,
            conns: 0,
            fails: 0,
            current: 0,
            effective,
            failed: now,
            checked: now,
            recovered: slowly.then_some(now),
        }
    }

    pub(super) fn reconfigure(&mut self, options: Options) {
        self.options = options;
        self.effective = i64::from(self.options.weight) * SCALE;
    }

    /// Its weight now.
    fn weight(&self, now: Now) -> i64 {
        let full = i64::from(self.options.weight) * SCALE;
        let slow_start = self.options.slow_start;
        match self.recovered.map(|since| now.saturating_sub(since)) {
            Some(up) if up < slow_start => {
                let part = i128::from(full) * i128::try_from(up.as_millis()).unwrap_or(0)
                    / i128::try_from(slow_start.as_millis()).unwrap_or(1).max(1);
                i64::try_from(part).unwrap_or(full).max(1)
            }
            _ => full,
        }
    }

    /// Whether it may be used although all others have failed too.
    pub(super) fn is_wanted(&self) -> bool {
        self.options.admin == Admin::Up
    }

    pub(super) fn is_full(&self) -> bool {
        self.options.max_conns > 0 && self.conns >= self.options.max_conns
    }

    /// It has failed so often that it is left alone for a while.
    pub fn is_failed(&self, now: Now) -> bool {
        let Options { max_fails, fail_timeout, .. } = self.options;
        max_fails > 0 && self.fails >= max_fails && now.saturating_sub(self.checked) <= fail_timeout
    }

    pub(super) fn is_usable(&self, now: Now) -> bool {
        self.is_wanted() && self.healthy && !self.is_failed(now)
    }

    /// One step of the smooth round robin: what it adds to the total.
    pub(super) fn step(&mut self, now: Now) -> i64 {
        let weight = self.weight(now);
        let added = self.effective.min(weight);
        self.current += added;
        self.effective = (added + SCALE).min(weight);
        added
    }

    /// Requests for each part of its weight, to be compared without a division.
    pub(super) fn is_less_busy_than(&self, other: &Self, now: Now) -> std::cmp::Ordering {
        let (mine, theirs) = (i64::from(self.conns), i64::from(other.conns));
        (mine * other.weight(now)).cmp(&(theirs * self.weight(now)))
    }

    pub(super) fn share(&self, now: Now) -> u64 {
        u64::try_from(self.weight(now)).unwrap_or(1).max(1)
    }

    pub(super) fn picked(&mut self, now: Now) {
        if now.saturating_sub(self.checked) > self.options.fail_timeout {
            self.checked = now;
        }
        self.conns += 1;
    }

    pub(super) fn has_failed(&mut self, now: Now) {
        let Options { max_fails, weight, .. } = self.options;
        self.fails = self.fails.saturating_add(1);
        self.failed = now;
        self.checked = now;
        if max_fails > 0 {
            self.effective = (self.effective - i64::from(weight) / i64::from(max_fails) * SCALE).max(0);
        }
    }

    /// nginx's rule: a success counts if it was tried after the last failure.
    pub(super) fn has_served(&mut self, now: Now) {
        if self.failed < self.checked {
            let was_away = self.options.max_fails > 0 && self.fails >= self.options.max_fails;
            if was_away {
                self.recovered = Some(now);
            }
            self.fails = 0;
        }
    }

    pub(super) fn set_healthy(&mut self, healthy: bool, now: Now) {
        if healthy && !self.healthy {
            self.recovered = Some(now);
            self.fails = 0;
        }
        self.healthy = healthy;
    }
}

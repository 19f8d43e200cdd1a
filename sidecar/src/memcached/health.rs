//! Whether a node is used, as a state machine: what was seen of it goes in, what to do comes out. No clock, no
//! socket.
//!
//! Only refused, reset and timed-out connections make a node down; an error answer never does, or one user's
//! huge session would take a node from everybody (R23). One probe on a fresh connection decides: after a timeout the node is used
//! until then, after a cut it is not. Exactly one probe is under way while a node is not [`Health::Up`].

use std::time::Duration;

/// Between two probes of a node that is down: doubled from the first to the last.
const PROBE_FIRST: Duration = Duration::from_millis(100);
const PROBE_LAST: Duration = Duration::from_secs(5);

/// What is believed of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// It answers, or has not been asked.
    #[default]
    Up,
    /// A request got no answer in time; it is still used.
    Doubtful,
    /// A request was cut off. It is not used, and whether it is down is about to be known: two connections to two nodes that are cut at
    /// one time must not leave a sidecar with the third node's old copies.
    Cut,
    /// A probe has failed: it is not used, so that no request waits for it.
    Down {
        /// Until the next probe.
        pause: Duration,
    },
}

/// What was seen of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A request was refused or cut off.
    Cut,
    /// A request got no answer in time.
    TimedOut,
    /// The probe was answered.
    ProbeAnswered,
    /// The probe was not.
    ProbeFailed,
}

impl Health {
    /// The next state. With a time: send a probe after it, and tell how it ended.
    pub fn on(self, event: Event) -> (Self, Option<Duration>) {
        use Event::{ProbeAnswered, ProbeFailed, TimedOut};
        use Health::{Cut, Doubtful, Down, Up};
        match (self, event) {
            (Up, TimedOut) => (Doubtful, Some(Duration::ZERO)),
            (Up, Event::Cut) => (Cut, Some(Duration::ZERO)),
            // Its probe is under way already.
            (Doubtful, Event::Cut) => (Cut, None),
            (Doubtful | Cut, ProbeFailed) => (Down { pause: PROBE_FIRST }, Some(PROBE_FIRST)),
            (Down { pause }, ProbeFailed) => {
                let pause = (pause * 2).min(PROBE_LAST);
                (Down { pause }, Some(pause))
            }
            (_, ProbeAnswered) => (Up, None),
            (same @ Doubtful, TimedOut)
            | (same @ (Cut | Down { .. }), Event::Cut | TimedOut)
            | (same @ Up, ProbeFailed) => (same, None),
        }
    }

    /// Whether requests are sent to it.
    pub fn is_used(self) -> bool {
        matches!(self, Self::Up | Self::Doubtful)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn r23_a_refused_connection_takes_a_node_down_at_once_and_a_timeout_only_after_a_probe() {
        let (cut, probe) = Health::Up.on(Event::Cut);
        assert!(!cut.is_used() && probe == Some(Duration::ZERO));
        assert_eq!(cut.on(Event::ProbeFailed), (Health::Down { pause: PROBE_FIRST }, Some(PROBE_FIRST)));
        assert_eq!(
            cut.on(Event::ProbeAnswered),
            (Health::Up, None),
            "one connection was cut, the node is there"
        );
        let (doubtful, probe) = Health::Up.on(Event::TimedOut);
        assert!(doubtful.is_used() && probe == Some(Duration::ZERO));
        assert_eq!(doubtful.on(Event::ProbeAnswered), (Health::Up, None));
        assert!(!doubtful.on(Event::ProbeFailed).0.is_used());
    }

    #[test]
    fn r23_a_node_that_is_down_is_probed_less_and_less_often_but_for_ever() {
        let (mut health, mut probe) = Health::Up.on(Event::Cut);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            pauses.extend(probe);
            (health, probe) = health.on(Event::ProbeFailed);
        }
        assert!(pauses.is_sorted() && pauses.len() == 10 && pauses[9] == PROBE_LAST, "{pauses:?}");
        assert_eq!(health.on(Event::ProbeAnswered), (Health::Up, None));
    }

    proptest! {
        /// Whatever requests see meanwhile: one probe is under way exactly while the node is not up.
        #[test]
        fn one_probe_at_a_time(events in proptest::collection::vec(0..4u8, 0..200)) {
            let (mut health, mut probing) = (Health::Up, false);
            for event in events {
                let event = match event {
                    0 => Event::Cut,
                    1 => Event::TimedOut,
                    _ if !probing => continue,
                    2 => Event::ProbeAnswered,
                    _ => Event::ProbeFailed,
                };
                if matches!(event, Event::ProbeAnswered | Event::ProbeFailed) {
                    probing = false;
                }
                let (next, probe) = health.on(event);
                prop_assert!(!(probing && probe.is_some()), "two probes");
                probing |= probe.is_some();
                health = next;
                prop_assert_eq!(probing, health != Health::Up);
            }
        }
    }
}

//! When is Tomcat done with a session, and what did it do to it? The rules R10 to R13 as one function:
//! what is seen of the file and of the response goes in, the next step comes out. No clock, no file, no
//! socket.

use std::time::Duration;

use crate::broken::Broken;
use crate::file::Seen;
use crate::probe::Answer;

/// How long a response that has ended, or can be held, may be ahead of the save before Tomcat is asked (R12).
pub const PROBE_AFTER: Duration = Duration::from_millis(20);
/// How long Tomcat may take to accept and answer a probe that waits for nothing.
pub const ALIVE_WITHIN: Duration = Duration::from_secs(2);

/// Bounds from the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a request may run in Tomcat.
    pub max_request_time: Duration,
    /// How long Tomcat may take to read the session of a request whose client has gone.
    pub abandon_time: Duration,
}

/// What is known of the response. Times are since the exchange began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The final header came.
    pub header: Option<Duration>,
    /// The header says that the body is small or absent: holding it back can't make Tomcat wait for us.
    pub small: bool,
    /// The response was passed on whole, or the client or Tomcat has gone.
    pub ended: Option<Duration>,
    /// Tomcat has closed the connection without a final header.
    pub closed_by_tomcat: bool,
    /// The response sets the cookie to the same id again: invalidated and made anew under one id.
    pub same_id_again: bool,
}

/// What the last probe said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Probed {
    /// None was sent, or it says nothing any more.
    #[default]
    No,
    /// It came back; `read_again`: the placed file was read by it, so the first request never saved.
    Came {
        /// What came back.
        answer: Answer,
        /// Whether the placed inode was read by the probe.
        read_again: bool,
    },
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing is decided: look again later.
    Wait,
    /// Ask Tomcat with this session's id; the placed file's access time is reset before.
    Probe,
    /// Ask whether Tomcat is alive, waiting for no session.
    AskAlive,
    /// It is decided.
    Done(Verdict),
}

/// What became of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Tomcat saved it: take the file.
    Saved,
    /// It ended (R13), or goes on under another id.
    Ended,
    /// Tomcat answered without looking at the session: unknown context, bad request (R11).
    NotLoaded,
    /// Tomcat ended the request without saving; the stored record stays (R12).
    NotSaved,
    /// A file of an earlier request that had been given up (R10).
    Foreign,
    /// The client left and Tomcat never read the session (R11).
    Abandoned,
    /// Tomcat died or is being stopped: the stored record stays (R13).
    TomcatGone,
    /// It ran for longer than `max_request_time`.
    Overtime,
}

/// The next step, from what is seen at the time `now` since the exchange began.
pub fn next(seen: Seen, progress: &Progress, probed: Probed, now: Duration, limits: &Limits) -> Step {
    use Step::{AskAlive, Done, Probe, Wait};
    let over = now >= limits.max_request_time;
    let answer = match probed {
        Probed::No => None,
        Probed::Came { answer: Answer::Refused, .. } => return Done(Verdict::TomcatGone),
        // Written in place: the probe came back, so nobody is writing any more. Whether the first request
        // or only the probe has saved does not matter: the probe saves what it has read.
        Probed::Came { answer: Answer::Answered, .. } if seen == Seen::Written => {
            return Done(Verdict::Saved);
        }
        // The probe's own save hides that the first request had none: what it read comes first.
        Probed::Came { answer: Answer::Answered, read_again: true } => return Done(Verdict::NotSaved),
        Probed::Came { answer, .. } => Some(answer),
    };
    match seen {
        Seen::Saved => Done(Verdict::Saved),
        Seen::Foreign => Done(Verdict::Foreign),
        Seen::Written if over => Done(Verdict::Overtime),
        Seen::Written => Probe,
        Seen::Untouched if progress.header.is_some() || progress.closed_by_tomcat => Done(Verdict::NotLoaded),
        Seen::Untouched => match progress.ended {
            Some(ended) if now >= ended + limits.abandon_time => Done(Verdict::Abandoned),
            _ if over => Done(Verdict::Overtime),
            _ => Wait,
        },
        Seen::Gone if progress.header.is_some() && !progress.same_id_again => match answer {
            Some(Answer::Answered) => Done(Verdict::Ended),
            Some(Answer::Leaving) => Done(Verdict::TomcatGone),
            _ if over => Done(Verdict::Overtime),
            _ => AskAlive,
        },
        Seen::Loaded if Broken::BodyCompleteIsSaved.is_on() && progress.header.is_some() => {
            Done(Verdict::NotLoaded)
        }
        // Tomcat broke off instead of answering: it was stopped under the request, and what deleted the file was that.
        Seen::Gone if progress.closed_by_tomcat && progress.header.is_none() => Done(Verdict::TomcatGone),
        Seen::Gone | Seen::Loaded => {
            let asked_for = progress.ended.or(progress.header.filter(|_| progress.small));
            match (seen, answer) {
                // Tomcat runs, and the request has ended.
                (Seen::Gone, Some(Answer::Answered)) => Done(Verdict::Ended),
                (Seen::Gone, Some(Answer::Leaving)) => Done(Verdict::TomcatGone),
                // Came back, did not read the file, and the file is not replaced: the valve is not in its way.
                (_, Some(Answer::Answered)) => Done(Verdict::NotSaved),
                _ if over => Done(Verdict::Overtime),
                _ if asked_for.is_some_and(|since| now >= since + PROBE_AFTER) => Probe,
                _ => Wait,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits =
        Limits { max_request_time: Duration::from_secs(600), abandon_time: Duration::from_secs(5) };

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn step(seen: Seen, progress: Progress, probed: Probed, now: u64) -> Step {
        next(seen, &progress, probed, ms(now), &LIMITS)
    }

    fn header_at(at: u64) -> Progress {
        Progress { header: Some(ms(at)), ..Progress::default() }
    }

    fn ended_at(at: u64) -> Progress {
        Progress { ended: Some(ms(at)), ..header_at(at) }
    }

    fn came(answer: Answer, read_again: bool) -> Probed {
        Probed::Came { answer, read_again }
    }

    #[test]
    fn r10_saved_and_foreign_decide_at_once() {
        assert_eq!(step(Seen::Saved, header_at(5), Probed::No, 5), Step::Done(Verdict::Saved));
        assert_eq!(step(Seen::Foreign, header_at(5), Probed::No, 5), Step::Done(Verdict::Foreign));
    }

    #[test]
    fn r11_not_loaded_is_final_only_with_a_final_header() {
        assert_eq!(step(Seen::Untouched, Progress::default(), Probed::No, 60_000), Step::Wait);
        assert_eq!(step(Seen::Untouched, header_at(5), Probed::No, 5), Step::Done(Verdict::NotLoaded));
        let gone = Progress { ended: Some(ms(10)), ..Progress::default() };
        assert_eq!(step(Seen::Untouched, gone, Probed::No, 4_000), Step::Wait);
        assert_eq!(step(Seen::Untouched, gone, Probed::No, 5_010), Step::Done(Verdict::Abandoned));
        let closed = Progress { closed_by_tomcat: true, ..gone };
        assert_eq!(step(Seen::Untouched, closed, Probed::No, 11), Step::Done(Verdict::NotLoaded));
    }

    #[test]
    fn r12_a_running_request_is_left_alone_and_an_ended_one_is_asked_for() {
        assert_eq!(step(Seen::Loaded, Progress::default(), Probed::No, 500_000), Step::Wait);
        // A large body may be waiting for the held header: not asked before it has ended.
        assert_eq!(step(Seen::Loaded, header_at(5), Probed::No, 500), Step::Wait);
        let small = Progress { small: true, ..header_at(5) };
        assert_eq!(step(Seen::Loaded, small, Probed::No, 24), Step::Wait);
        assert_eq!(step(Seen::Loaded, small, Probed::No, 25), Step::Probe);
        assert_eq!(step(Seen::Loaded, ended_at(5), Probed::No, 25), Step::Probe);
    }

    #[test]
    fn r12_a_probe_that_read_the_placed_file_proves_that_nothing_was_saved() {
        let read = came(Answer::Answered, true);
        assert_eq!(step(Seen::Loaded, ended_at(5), read, 30), Step::Done(Verdict::NotSaved));
        // The probe has saved what it read: that must not pass for the first request's save.
        assert_eq!(step(Seen::Saved, ended_at(5), read, 30), Step::Done(Verdict::NotSaved));
        assert_eq!(
            step(Seen::Saved, ended_at(5), came(Answer::Answered, false), 30),
            Step::Done(Verdict::Saved)
        );
    }

    #[test]
    fn r10_a_file_written_in_place_is_taken_when_nobody_writes_any_more() {
        assert_eq!(step(Seen::Written, header_at(5), Probed::No, 5), Step::Probe);
        assert_eq!(step(Seen::Written, header_at(5), came(Answer::Silent, false), 9), Step::Probe);
        for read_again in [false, true] {
            let came = came(Answer::Answered, read_again);
            assert_eq!(step(Seen::Written, header_at(5), came, 9), Step::Done(Verdict::Saved));
        }
    }

    #[test]
    fn r13_gone_is_no_end_when_tomcat_has_cut_the_connection() {
        let cut = Progress { ended: Some(ms(5)), closed_by_tomcat: true, ..Progress::default() };
        assert_eq!(step(Seen::Gone, cut, Probed::No, 30), Step::Done(Verdict::TomcatGone));
        let left = Progress { closed_by_tomcat: false, ..cut };
        assert_eq!(step(Seen::Gone, left, Probed::No, 30), Step::Probe, "the client did");
    }

    #[test]
    fn r13_gone_is_an_end_only_with_a_header_and_a_tomcat_that_answers() {
        assert_eq!(step(Seen::Gone, Progress::default(), Probed::No, 50), Step::Wait);
        assert_eq!(step(Seen::Gone, header_at(5), Probed::No, 5), Step::AskAlive);
        for (answer, verdict) in [
            (Answer::Answered, Verdict::Ended),
            (Answer::Leaving, Verdict::TomcatGone),
            (Answer::Refused, Verdict::TomcatGone),
        ] {
            assert_eq!(step(Seen::Gone, header_at(5), came(answer, false), 9), Step::Done(verdict));
        }
        // Busy is not dead: a logout must not be forgotten because Tomcat collects garbage.
        assert_eq!(step(Seen::Gone, header_at(5), came(Answer::Silent, false), 9), Step::AskAlive);
    }

    #[test]
    fn r13_a_logout_whose_client_has_gone_is_one_if_tomcat_says_that_it_has_ended() {
        let aborted = Progress { ended: Some(ms(5)), ..Progress::default() };
        assert_eq!(step(Seen::Gone, aborted, Probed::No, 25), Step::Probe);
        for (answer, verdict) in [
            (Answer::Answered, Verdict::Ended),
            (Answer::Leaving, Verdict::TomcatGone),
            (Answer::Refused, Verdict::TomcatGone),
        ] {
            assert_eq!(step(Seen::Gone, aborted, came(answer, false), 30), Step::Done(verdict));
        }
    }

    #[test]
    fn the_same_id_made_anew_is_waited_for() {
        let again = Progress { same_id_again: true, ..ended_at(5) };
        assert_eq!(step(Seen::Gone, again, Probed::No, 10), Step::Wait);
        assert_eq!(step(Seen::Gone, again, Probed::No, 25), Step::Probe);
        assert_eq!(step(Seen::Gone, again, came(Answer::Answered, false), 30), Step::Done(Verdict::Ended));
    }

    #[test]
    fn a_silent_tomcat_is_asked_again_and_a_dead_one_is_not() {
        assert_eq!(step(Seen::Loaded, ended_at(5), came(Answer::Silent, false), 60), Step::Probe);
        assert_eq!(
            step(Seen::Loaded, ended_at(5), came(Answer::Refused, false), 60),
            Step::Done(Verdict::TomcatGone)
        );
    }

    fn seen() -> impl Strategy<Value = Seen> {
        prop_oneof![
            Just(Seen::Untouched),
            Just(Seen::Loaded),
            Just(Seen::Saved),
            Just(Seen::Written),
            Just(Seen::Gone),
            Just(Seen::Foreign)
        ]
    }

    proptest! {
        /// Whatever Tomcat does, an exchange ends, and never by giving up a request that still runs.
        #[test]
        fn every_exchange_ends(seen in seen(), header: Option<u16>, ended: Option<u16>, small: bool, closed: bool) {
            let progress = Progress {
                header: header.map(|at| ms(at.into())),
                ended: ended.map(|at| ms(at.into())),
                small,
                closed_by_tomcat: closed,
                same_id_again: false,
            };
            let mut probed = Probed::No;
            let mut decided = None;
            for now in (0..700_000).step_by(500) {
                match next(seen, &progress, probed, ms(now), &LIMITS) {
                    Step::Wait => {}
                    Step::Probe | Step::AskAlive => probed = came(Answer::Silent, false),
                    Step::Done(verdict) => { decided = Some(verdict); break; }
                }
            }
            prop_assert!(decided.is_some());
            if progress.header.is_none() && progress.ended.is_none() && !closed {
                let early = matches!(seen, Seen::Saved | Seen::Foreign) || decided == Some(Verdict::Overtime);
                prop_assert!(early, "given up while it runs: {:?}", decided);
            }
        }
    }
}

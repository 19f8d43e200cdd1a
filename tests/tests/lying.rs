//! A memcached that lies: whatever it answers, a request has its own session, or none, or 503; it is counted, and memory is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use satchel_tests::liar::{Lie, contains, is_of_record, replaced, truth};
use satchel_tests::{Client, Farm, eventually};

/// What a sidecar may need more than before, in KiB: the largest value that it reads is 64 MiB.
const ROOM_KIB: u64 = 100 * 1024;

struct Lied {
    farm: Farm,
    user: Client,
    text: bool,
    /// The most memory that the sidecar had needed before, in KiB.
    peak: u64,
}

/// A user whose session is on one node, of which nothing is remembered in the sidecar.
fn farm(text: bool) -> Lied {
    let farm = Farm::builder()
        .tomcats(1)
        .liars()
        .set("session.cache_size", "\"0b\"")
        .set("session.lock_timeout", "\"500ms\"")
        .set("memcached.timeout", "\"500ms\"");
    let mut farm = if text { farm.text() } else { farm }.start();
    let mut user = farm.client();
    assert_eq!(user.get("/set?user=alice").status, 200);
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    farm.await_quiet();
    let peak = farm.sidecars[0].process().peak_kib();
    Lied { farm, user, text, peak }
}

impl Lied {
    fn counted(&self) -> u64 {
        let counters = ["records_rejected", "node_errors", "lock_timeouts", "unknown_ids", "locks_lost"];
        counters.map(|name| self.farm.metric(name)).iter().sum()
    }

    /// A request while what the node says of records is `lie`. Whether it had its session.
    fn with(&mut self, what: &str, lie: impl Fn(&[u8]) -> Lie + Send + Sync + 'static) -> bool {
        let text = self.text;
        let asked_for = move |asked: &[u8], answer: &[u8]| {
            if text {
                contains(asked, b"gets s") && contains(answer, b"VALUE s")
            } else {
                is_of_record(asked, answer)
            }
        };
        self.when(
            what,
            move |asked, answer| {
                if asked_for(asked, answer) { lie(answer) } else { truth(asked, answer) }
            },
        )
    }

    fn when(&mut self, what: &str, rule: impl Fn(&[u8], &[u8]) -> Lie + Send + Sync + 'static) -> bool {
        // A node that is down is not asked.
        let user = &mut self.user;
        eventually("its session is there", || user.get("/kind/small?read=1").number("n") == Some(1));
        let (before, told) = (self.counted(), self.farm.liars[0].told());
        self.farm.liars[0].lie(rule);
        // A connection that was just in use was cut by that, and its node is not asked for a moment.
        let (mut other, mut seen) = (self.user.at(self.farm.gateway.port()), None);
        eventually("something is lied about", || {
            seen = Some(other.get("/kind/small?read=1"));
            self.farm.liars[0].told() > told
        });
        let seen = seen.unwrap();
        self.farm.await_quiet();
        self.farm.liars[0].stop_lying();
        let says = |name: &str| seen.field(name).unwrap_or_default();
        let had = seen.status == 200 && says("n") == "1" && says("user") == "alice";
        let missed = seen.status == 200 && says("n") == "null" && says("valid") == "false";
        let refused = seen.status == 503 && seen.header("retry-after").is_some();
        assert!(had || missed || refused, "{what}: {} {}", seen.status, seen.text());
        assert!(had || self.counted() > before, "{what}: not counted");
        had
    }

    /// The truth is understood again, and the sidecar is the same process as before.
    fn goes_on(&mut self) {
        let user = &mut self.user;
        eventually("its session is there again", || user.get("/kind/small?read=1").number("n") == Some(1));
        assert!(self.farm.sidecars[0].process().is_running());
        let grown = self.farm.sidecars[0].process().peak_above(self.peak);
        assert!(grown < ROOM_KIB, "{grown} KiB");
        assert!(!self.farm.sidecars[0].log().contains("panicked"), "{}", self.farm.sidecars[0].log());
        self.farm.await_quiet();
    }
}

#[test]
fn an_answer_that_breaks_off_at_any_byte_is_no_answer() {
    for text in [false, true] {
        let mut lied = farm(text);
        let (mut at, length) = (0, Arc::new(AtomicUsize::new(usize::MAX)));
        while at < length.load(Ordering::SeqCst) {
            let whole = length.clone();
            let had = lied.with(&format!("closed after {at} bytes"), move |answer| {
                whole.store(answer.len(), Ordering::SeqCst);
                Lie::SayAndClose(answer[..at.min(answer.len())].to_vec())
            });
            assert!(!had, "after {at} bytes");
            // Each of the first and the last, and some between.
            at += if at < 50 || at + 5 > length.load(Ordering::SeqCst) { 1 } else { 43 };
        }
        assert!(at > 300, "{at}");
        lied.goes_on();
    }
}

#[test]
fn an_answer_that_comes_byte_by_byte_or_never_ends_is_given_up() {
    for text in [false, true] {
        let mut lied = farm(text);
        let endless = vec![b'x'; 1 << 20];
        assert!(!lied.with("slow", |answer| Lie::Drip(answer.to_vec(), Duration::from_millis(5))));
        let line = endless.clone();
        assert!(!lied.with("a line without end", move |_| Lie::Endless(line.clone())));
        assert!(!lied.with("lines without end", |_| Lie::Endless(b"HD c1 f1 t1\r\n".repeat(1000))));
        // The value's header is true but for its length, then come bytes without end.
        for length in [40_000_000_usize, 1 << 29, 1 << 30] {
            let had = lied.with(&format!("{length} bytes"), move |answer| {
                let at = answer.iter().position(|byte| *byte == b'V').unwrap();
                let header = if text {
                    let key = String::from_utf8_lossy(answer).split(' ').nth(1).unwrap().to_owned();
                    format!("VALUE {key} 1 {length} 1\r\n")
                } else {
                    format!("VA {length} f1 c1 t1\r\n")
                };
                Lie::Say([&answer[..at], header.as_bytes(), &vec![b'y'; 70 << 20]].concat())
            });
            assert!(!had);
        }
        lied.goes_on();
    }
}

#[test]
fn lengths_that_are_wrong_are_an_error() {
    for text in [false, true] {
        let mut lied = farm(text);
        for length in [
            "18446744073709551615",
            "18446744073709551614",
            "9223372036854775807",
            "70368744177664",
            "1073741825",
            "1073741824",
            "99999999999999999999999",
            "-1",
            "0",
            "1",
            "5",
            "1500",
            "0x10",
            "",
            "x",
        ] {
            // Behind the header the value as it is: less or more than is announced.
            let had = lied.with(length, move |answer| {
                let mut lines = answer.split_inclusive(|byte| *byte == b'\n');
                let mut out = Vec::new();
                for line in lines.by_ref() {
                    let words: Vec<_> = line.split(|byte| *byte == b' ').collect();
                    let (is_header, at) =
                        if text { (words[0] == b"VALUE", 3) } else { (words[0] == b"VA", 1) };
                    if !is_header {
                        out.extend_from_slice(line);
                        continue;
                    }
                    let mut words: Vec<_> = words.into_iter().map(<[u8]>::to_vec).collect();
                    words[at] = length.as_bytes().to_vec();
                    out.extend(words.join(&b' '));
                    break;
                }
                lines.for_each(|line| out.extend_from_slice(line));
                Lie::Say(out)
            });
            assert!(!had, "{length}");
        }
        lied.goes_on();
    }
}

#[test]
fn what_was_not_asked_for_is_no_answer() {
    let mut lied = farm(false);
    let says = |bytes: &'static [u8]| move |_: &[u8]| Lie::Say(bytes.to_vec());
    let behind = |bytes: &'static [u8]| move |answer: &[u8]| Lie::Say([answer, bytes].concat());
    let in_place =
        |this: &'static [u8], by: &'static [u8]| move |answer: &[u8]| Lie::Say(replaced(answer, this, by));
    let lock = b"HD c7\r\n";
    for nonsense in [
        &b"HD\r\nHD\r\n"[..],
        b"HD c7\r\nHD f1 c1 t1\r\n",
        b"HD c7\r\nVA\r\n",
        b"HD c7\r\nVA 2\r\nab\r\n",
        b"HD c7\r\nVA 2 f1\r\nab\r\n",
        b"HD c7\r\nVA 2 f1 c99999999999999999999 t1\r\nab\r\n",
        b"HD c7\r\nVA 2 f-1 c1 t1\r\nab\r\n",
        b"HD c7\r\nVA 2 f1 c1 tx\r\nab\r\n",
        b"HD c7\r\nVA 2 f1 c1 t1\r\nabcd\r\n",
        b"HD c7\r\nNS\r\n",
        b"HD c7\r\nMN\r\n",
        b"HD c7\r\nME x y=z\r\n",
        b"HD c7\r\nXX\r\n",
        b"HD c7\r\n\r\n",
        b"HD c7\r\nEN\r\n",
        b"HD c7\r\nERROR\r\n",
        b"HD c7\r\nCLIENT_ERROR no\r\n",
        b"HD c7\r\nSERVER_ERROR no\r\n",
        b"EN\r\nEN\r\n",
        b"NS\r\nEN\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\0\0\0\r\n\xff\xff\xff\xff\r\n",
        b"STAT pid 1\r\nEND\r\n",
    ] {
        let what = String::from_utf8_lossy(nonsense).into_owned();
        assert!(!lied.with(&what, says(nonsense)), "{what:?}");
    }
    // The record is there and true, but something else is too.
    for more in [&b"HD c7\r\n"[..], b"x", b"VA 2 f1 c1 t1\r\nab\r\n"] {
        assert!(!lied.with("something behind it", behind(more)));
    }
    assert!(!lied.with("something before it", move |answer| Lie::Say([lock, answer].concat())));
    assert!(!lied.with("another counter", in_place(b" f", b" f1")));
    assert!(!lied.with("no client flags", in_place(b" f", b" q")));
    // What an answer says beside that is nobody's concern.
    lied.with("another opaque", in_place(b" f", b" O99 f"));
    lied.with("another key", in_place(b" f", b" kother f"));
    lied.with("another cas", in_place(b" c", b" c1"));
    lied.with("no time left", in_place(b" t", b" t-9"));
    lied.goes_on();
}

#[test]
fn statistics_that_lie_are_an_error() {
    let mut lied = farm(false);
    let about = |answer: &'static [u8]| {
        move |asked: &[u8], truth: &[u8]| {
            if contains(asked, b"stats") || contains(truth, b"STAT ") {
                Lie::Say(answer.to_vec())
            } else {
                Lie::Say(truth.to_vec())
            }
        }
    };
    for statistics in [
        &b"STAT pid 1\r\nSTAT uptime 1\r\nSTAT time 1\r\nEND\r\nSTAT item_size_max 0\r\nEND\r\n"[..],
        b"STAT pid 1\r\nSTAT uptime 1\r\nSTAT time 1\r\nEND\r\nSTAT item_size_max 1\r\nEND\r\n",
        b"STAT pid -1\r\nSTAT uptime 1\r\nSTAT time 1\r\nEND\r\nSTAT item_size_max 1048576\r\nEND\r\n",
        b"END\r\nEND\r\n",
        b"ERROR\r\n",
        b"\r\n",
    ] {
        lied.farm.liars[0].stop_lying();
        assert!(!lied.when(&String::from_utf8_lossy(statistics), about(statistics)));
    }
    lied.farm.liars[0].stop_lying();
    let endless = |asked: &[u8], truth: &[u8]| match contains(asked, b"stats") || contains(truth, b"STAT ") {
        true => Lie::Endless(b"STAT x 1\r\n".repeat(10_000)),
        false => Lie::Say(truth.to_vec()),
    };
    assert!(!lied.when("statistics without end", endless));
    lied.goes_on();
}

#[test]
fn r01_values_that_are_swapped_between_users_are_misses() {
    let mut lied = farm(false);
    let mut mallory = lied.farm.client();
    assert_eq!(mallory.get("/set?user=mallory").status, 200);
    lied.farm.await_quiet();
    // What is answered to mallory is answered to alice then.
    let kept: Arc<std::sync::Mutex<Vec<u8>>> = Arc::default();
    let keep = kept.clone();
    lied.farm.liars[0].lie(move |asked, answer| {
        if is_of_record(asked, answer) {
            *keep.lock().unwrap() = answer.to_vec();
        }
        truth(asked, answer)
    });
    assert_eq!(mallory.get("/whoami").field("user").as_deref(), Some("mallory"));
    lied.farm.await_quiet();
    let theirs = kept.lock().unwrap().clone();
    assert!(theirs.len() > 100);
    let rejected = lied.farm.metric("records_rejected");
    assert!(!lied.with("mallory's answer", move |_| Lie::Say(theirs.clone())));
    assert!(lied.farm.metric("records_rejected") > rejected);
    lied.goes_on();
}

#[test]
fn r05_a_lock_that_is_never_had_is_waited_for_within_its_bound() {
    let mut lied = farm(false);
    let never = |asked: &[u8], answer: &[u8]| match contains(asked, b"ms l") {
        true => Lie::Say(b"NS\r\nEN\r\n".to_vec()),
        false => Lie::Say(answer.to_vec()),
    };
    assert!(!lied.when("a lock that is never had", never));
    assert!(lied.farm.metric("lock_timeouts") > 0);
    lied.goes_on();
}

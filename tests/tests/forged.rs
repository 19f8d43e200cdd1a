//! Records that somebody has written into memcached who must not: none reaches Tomcat.

use satchel_tests::{Client, Farm, Sidecar};

struct Victim {
    farm: Farm,
    user: Client,
    key: String,
    flags: u32,
    value: Vec<u8>,
}

/// A user whose session is on one node, and its record.
fn victim() -> Victim {
    let farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    farm.await_quiet();
    let key = farm.nodes[0].records()[0].clone();
    let (flags, value) = farm.nodes[0].get(&key);
    Victim { farm, user, key, flags, value }
}

impl Victim {
    /// Plants `value` and sees that it is a miss everywhere.
    fn assert_miss(&mut self, flags: u32, value: &[u8], what: &str) {
        self.farm.nodes[0].set(&self.key, flags, value);
        let before = self.farm.metric("records_rejected");
        let loaded = self.farm.metric("sessions_loaded");
        for sidecar in &self.farm.sidecars {
            let seen = self.user.at(sidecar.port()).get("/kind/small?read=1");
            assert_eq!(
                (seen.status, seen.field("n").as_deref()),
                (200, Some("null")),
                "{what}: {}",
                seen.text()
            );
            assert_eq!(seen.field("valid").as_deref(), Some("false"), "{what}");
        }
        assert!(self.farm.metric("records_rejected") >= before + 2, "{what}: counted");
        assert_eq!(self.farm.metric("sessions_loaded"), loaded, "{what}: never handed to Tomcat");
    }
}

#[test]
fn a_record_that_was_changed_or_cut_is_a_miss() {
    let mut victim = victim();
    let (flags, good) = (victim.flags, victim.value.clone());
    for at in (0..good.len()).step_by(good.len() / 40 + 1) {
        let mut changed = good.clone();
        changed[at] ^= 1 << (at % 8);
        victim.assert_miss(flags, &changed, &format!("bit {at}"));
    }
    for len in [1, 2, 6, 30, 46, good.len() / 2, good.len() - 1] {
        victim.assert_miss(flags, &good[..len], &format!("{len} bytes"));
    }
    victim.assert_miss(flags, &[good.as_slice(), b"x"].concat(), "one byte more");
    victim.assert_miss(flags + 1, &good, "another counter");
    let chunked = [&[1, 4][..], &[7; 16], &[0, 3], &3_000_000_u32.to_be_bytes()].concat();
    victim.assert_miss(flags, &chunked, "parts that do not exist");
    let java = [&[1, 0][..], b"\xAC\xED\x00\x05sr\x00\x11java.util.HashMap"].concat();
    victim.assert_miss(flags, &java, "not sealed");
    let log: String = victim.farm.sidecars.iter().map(Sidecar::log).collect();
    assert!(log.contains("A record on memcached node n1 was refused") && !log.contains("java.util.HashMap"));
    // The true one still opens.
    victim.farm.nodes[0].set(&victim.key, flags, &good);
    assert_eq!(victim.user.get("/kind/small?read=1").number("n"), Some(1));
}

#[test]
fn a_record_under_another_users_key_is_a_miss() {
    let mut victim = victim();
    let mut mallory = victim.farm.client();
    assert_eq!(mallory.get("/set?user=mallory").status, 200);
    victim.farm.await_quiet();
    let theirs = victim.farm.nodes[0].records().into_iter().find(|key| *key != victim.key);
    let (flags, value) = victim.farm.nodes[0].get(&theirs.unwrap());
    victim.assert_miss(flags, &value, "mallory's");
    assert_eq!(mallory.get("/whoami").field("user").as_deref(), Some("mallory"));
}

#[test]
fn a_record_sealed_with_another_key_is_a_miss() {
    let victim = victim();
    // The same farm and index key elsewhere: the same names, another seal.
    let other = "[\"bmV3IHRlc3Qga2V5IG5ldyB0ZXN0IGtleSBuZXcga2U=\"]";
    let elsewhere = Farm::builder().set("record.keys", other).start();
    elsewhere.nodes[0].set(&victim.key, victim.flags, &victim.value);
    let mut user = victim.user.at(elsewhere.gateway.port());
    let seen = user.get("/kind/small?read=1");
    assert_eq!((seen.status, seen.field("n").as_deref()), (200, Some("null")), "{}", seen.text());
    assert!(elsewhere.metric("records_rejected") >= 1);
    assert_eq!(user.get("/kind/small").number("n"), Some(1), "a new session");
    assert_eq!(
        elsewhere.nodes[0].get(&victim.key),
        (victim.flags, victim.value),
        "nothing was written over it"
    );
}

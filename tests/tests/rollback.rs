//! Somebody who can write into memcached puts back what was there before: what comes of it, and who notices.

use satchel_tests::{Client, Farm};

/// What is in memcached of the only session.
fn record(farm: &Farm) -> (String, u32, Vec<u8>) {
    farm.await_quiet();
    let [key] = &farm.nodes[0].records()[..] else { panic!("one record") };
    let (flags, value) = farm.nodes[0].get(key);
    (key.clone(), flags, value)
}

fn put_back(farm: &Farm, (key, flags, value): &(String, u32, Vec<u8>)) {
    farm.nodes[0].set(key, *flags, value);
}

fn read(farm: &Farm, user: &Client) -> Vec<Option<i64>> {
    farm.sidecars
        .iter()
        .map(|sidecar| user.at(sidecar.port()).get("/kind/small?read=1").number("n"))
        .collect()
}

#[test]
fn r07_a_session_that_is_rolled_back_is_in_that_state_and_counted_where_the_newer_one_was_seen() {
    let farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let old = record(&farm);
    for n in 2..5 {
        assert_eq!(user.get("/kind/small").number("n"), Some(n));
    }
    assert_eq!(read(&farm, &user), [Some(4), Some(4)]);
    farm.await_quiet();
    assert_eq!(farm.metric("rolled_back"), 0);
    put_back(&farm, &old);
    assert_eq!(read(&farm, &user), [Some(1), Some(1)], "nothing in the record says that it is not the last");
    assert_eq!(farm.metric("rolled_back"), 2, "once on each sidecar");
    assert!(farm.sidecars[0].log().contains("is older than it was"));
    // The session goes on from there.
    assert_eq!(user.get("/kind/small").number("n"), Some(2));
    assert_eq!(read(&farm, &user), [Some(2), Some(2)]);
    assert_eq!((farm.metric("rolled_back"), farm.metric("records_rejected")), (2, 0));
    farm.await_quiet();
}

#[test]
fn a_logout_that_is_rolled_back_is_counted_by_the_sidecar_that_stored_it() {
    let mut farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/set?user=alice").status, 200);
    let (cookie, old) = (user.cookie_header("/"), record(&farm));
    assert_eq!(user.at(farm.sidecars[0].port()).get("/logout").status, 200);
    farm.await_quiet();
    put_back(&farm, &old);
    let seen = |sidecar: usize| {
        let mut client = farm.sidecars[sidecar].client();
        client.send("GET", "/whoami", &[("Cookie", &cookie)], b"").field("user").unwrap()
    };
    assert_eq!(seen(0), "alice", "who controls memcached can bring it back");
    assert_eq!(farm.sidecars[0].metric("rolled_back"), 1);
    // One that has not seen the end, or has forgotten it, can't notice.
    assert_eq!(seen(1), "alice");
    assert_eq!(farm.sidecars[1].metric("rolled_back"), 0);
    // A key that is taken out of record.keys takes all that it has sealed with it.
    for sidecar in &mut farm.sidecars {
        sidecar.process().kill9();
    }
    farm.nodes[0].command("flush_all\r\nmn\r\n", "MN");
    let new = "bmV3IHRlc3Qga2V5IG5ldyB0ZXN0IGtleSBuZXcga2U=";
    for sidecar in &mut farm.sidecars {
        sidecar.restart_with(
            "keys = [\"dGVzdCBrZXkgdGVzdCBrZXkgdGVzdCBrZXkgdGVzdCE=",
            &format!("keys = [\"{new}"),
        );
    }
    put_back(&farm, &old);
    for sidecar in &farm.sidecars {
        let mut client = sidecar.client();
        let seen = client.send("GET", "/whoami", &[("Cookie", &cookie)], b"");
        assert_eq!(seen.field("user").as_deref(), Some("null"), "{}", seen.text());
    }
    assert_eq!(farm.metric("records_rejected"), 2);
}

#[test]
fn r21_what_a_session_was_before_its_login_cannot_be_put_under_the_id_after_it() {
    let farm = Farm::start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let before = user.cookie_header("/");
    let old = record(&farm);
    assert_eq!(user.get("/login?user=alice").status, 200);
    farm.await_quiet();
    let new = farm.nodes[0].records().into_iter().find(|key| *key != old.0).unwrap();
    let kept = farm.nodes[0].get(&new);
    // The old id is what it was before the login again, and no more.
    put_back(&farm, &old);
    let seen = farm.client().send("GET", "/whoami", &[("Cookie", &before)], b"");
    assert_eq!(seen.field("user").as_deref(), Some("null"), "{}", seen.text());
    // Neither state is taken under the other's id.
    for (key, (flags, value)) in [(&new, (old.1, old.2.clone())), (&old.0, kept.clone())] {
        let rejected = farm.metric("records_rejected");
        farm.nodes[0].set(key, flags, &value);
        for cookie in [&before, &user.cookie_header("/")] {
            let seen = farm.client().send("GET", "/whoami", &[("Cookie", cookie)], b"");
            assert!(
                seen.status == 200 && seen.field("user").as_deref() != Some("mallory"),
                "{}",
                seen.text()
            );
        }
        assert!(farm.metric("records_rejected") > rejected);
    }
    farm.nodes[0].set(&new, kept.0, &kept.1);
    assert_eq!(user.get("/whoami").field("user").as_deref(), Some("alice"));
}

#[test]
fn a_bomb_is_a_miss_and_no_memory() {
    // Without encryption anybody can write what is decompressed.
    let mut farm =
        Farm::builder().tomcats(1).set("record.encryption", "\"off\"").set("record.keys", "[]").start();
    let mut user = farm.client();
    assert_eq!(user.get("/kind/small").number("n"), Some(1));
    let (key, flags, good) = record(&farm);
    let peak = farm.sidecars[0].process().peak_kib();
    // Frames of zstd (RFC 8878): one that says how much it is, and one that says nothing; blocks of 128 KiB in 4 bytes each.
    let block = |last: u32| [&((131_072_u32 << 3) | (1 << 1) | last).to_le_bytes()[..3], b"A"].concat();
    let blocks = |number: usize| [block(0).repeat(number - 1), block(1)].concat();
    let magic = [0x28, 0xB5, 0x2F, 0xFD];
    let unsaid = |number: usize| [&[1, 1][..], &magic, &[0x00, 0x38], &blocks(number)].concat();
    let said = |size: u64, number: usize| {
        [&[1, 1][..], &magic, &[0xC0, 0x38], &size.to_le_bytes(), &blocks(number)].concat()
    };
    for bomb in [
        unsaid(200_000),
        unsaid(513),
        unsaid(500),
        said(1 << 62, 4),
        said(u64::MAX, 4),
        said(25 << 30, 200_000),
        said(10, 600),
        [&[1, 1][..], &unsaid(500)[2..].repeat(200)].concat(),
    ] {
        for _ in 0..5 {
            farm.nodes[0].set(&key, flags, &bomb);
            let rejected = farm.metric("records_rejected");
            let seen = user.get("/kind/small?read=1");
            assert_eq!((seen.status, seen.field("n").as_deref()), (200, Some("null")), "{}", seen.text());
            assert_eq!(farm.metric("records_rejected"), rejected + 1);
        }
    }
    // Parts that say they are more than is ever read, or more than they are, or tens of thousands.
    for (parts, size) in [(1_u16, u32::MAX), (65_535, 33_550_000), (64, 60_000_000), (1, 0)] {
        let manifest = [&[1, 4][..], &[7; 16], &parts.to_be_bytes(), &size.to_be_bytes()].concat();
        farm.nodes[0].set(&key, flags, &manifest);
        let rejected = farm.metric("records_rejected");
        assert_eq!(user.get("/kind/small?read=1").field("n").as_deref(), Some("null"));
        assert_eq!(farm.metric("records_rejected"), rejected + 1, "{parts} of {size}");
    }
    let grown = farm.sidecars[0].process().peak_above(peak);
    assert!(grown < 150 * 1024, "{grown} KiB");
    farm.nodes[0].set(&key, flags, &good);
    assert_eq!(user.get("/kind/small").number("n"), Some(2));
}

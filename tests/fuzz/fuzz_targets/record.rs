//! Only what we have sealed for this session opens, and nothing grows past the limit. Input: a byte that says where to damage, and the
//! content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidecar::record::{Keys, SealError};

const MAX: usize = 4096;
const HEADER: usize = 6;

fuzz_target!(|data: &[u8]| {
    let Some((at, content)) = data.split_first() else { return };
    let (keys, other) = (Keys::new(&[[1; 32]], MAX), Keys::new(&[[2; 32]], MAX));
    let clear = Keys::new(&[], MAX);

    assert!(keys.open(b"me", content).is_err(), "nobody has sealed this");
    // A forger without the key can still name it.
    let named = [&[1, 2 | (at & 1)], &sealed(&keys, b"")[2..HEADER], content].concat();
    assert!(keys.open(b"me", &named).is_err(), "nobody has sealed this either");
    for form in 0..=1 {
        if let Ok(opened) = clear.open(b"me", &[&[1, form], content].concat()) {
            assert!(opened.len() <= if form == 1 { MAX } else { content.len() });
        }
    }

    let record = sealed(&keys, content);
    match keys.open(b"me", &record) {
        Ok(opened) => assert_eq!(opened, content),
        Err(error) => {
            assert_eq!(error, SealError::Compression(MAX));
            assert!(content.len() > MAX);
        }
    }
    assert_eq!(keys.open(b"you", &record), Err(SealError::Forged));
    assert!(matches!(other.open(b"me", &record), Err(SealError::UnknownKey(_))));
    assert!(clear.open(b"me", &record).is_err());
    let at = usize::from(*at) * record.len() / 256;
    let mut damaged = record.clone();
    damaged[at] ^= 1 << (content.len() % 8);
    assert!(keys.open(b"me", &damaged).is_err(), "changed at {at}");
    assert!(keys.open(b"me", &record[..at]).is_err(), "cut at {at}");
    assert!(keys.open(b"me", &[&record, &b"x"[..]].concat()).is_err(), "longer");
});

fn sealed(keys: &Keys, content: &[u8]) -> Vec<u8> {
    keys.seal(b"me", content.to_vec()).expect("it is not 256 GiB")
}

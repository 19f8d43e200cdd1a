//! Whatever an application's objects are: what is read of them is bounded, a file that is cut shows what it shows whole, up to there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidecar::file::java::contents;

fuzz_target!(|data: &[u8]| {
    let whole = contents(data);
    let count = whole.count.unwrap_or(0);
    assert!(whole.attributes.len() <= count && (whole.incomplete.is_some() || whole.attributes.len() == count));
    for one in &whole.attributes {
        assert!(one.value.as_ref().is_none_or(|value| value.chars().count() <= 1_001));
    }
    let cut = contents(&data[..data.len() * 3 / 4]);
    assert!(cut.attributes.len() <= whole.attributes.len() && whole.attributes.starts_with(&cut.attributes));
    // What stands behind the last attribute is nobody's.
    let more = contents(&[data, b"\x70\x74more"].concat());
    if whole.incomplete.is_none() {
        assert_eq!(more, whole);
    }
});

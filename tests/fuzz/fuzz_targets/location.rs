//! Ids are put into addresses of this host only, and nothing but the id changes. Input: `Host`, then `Location`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidecar::id::path_param;
use sidecar::proxy::suffix::is_ours;

fuzz_target!(|data: &[u8]| {
    let Some(at) = data.iter().position(|b| *b == b'\n') else { return };
    let (Ok(host), location) = (std::str::from_utf8(&data[..at]), &data[at + 1..]) else { return };
    let ours = is_ours(location, host);
    if location.starts_with(b"/") && !location.starts_with(b"//") {
        assert!(ours, "a path is of this host");
    }
    // Host and port, as `limits::check` lets them through.
    if !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b)) {
        let path = [b"/", location].concat();
        assert!(is_ours(&[b"http://", host.as_bytes(), &path].concat(), host));
        assert!(!is_ours(&[b"http://x", host.as_bytes(), &path].concat(), host));
        assert!(!is_ours(&[b"//", host.as_bytes(), b".x", &path].concat(), host));
    }
    let names = path_param::names_for("JSESSIONID");
    if let Some(value) = path_param::value(location, &names) {
        let changed = path_param::rewrite(location, &names, Some("A-n1")).unwrap_or(location.to_vec());
        assert_eq!(path_param::value(&changed, &names), Some(&b"A-n1"[..]), "{value:?}");
        let without = |text: &[u8]| path_param::rewrite(text, &names, None).unwrap_or(text.to_vec());
        assert_eq!(without(&changed), without(location));
    } else {
        assert_eq!(path_param::rewrite(location, &names, Some("A-n1")), None);
    }
});

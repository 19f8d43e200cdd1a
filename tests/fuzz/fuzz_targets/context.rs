//! A path is of the same web application however it is written, and the gateway's reading of it is the same. Input: `Host`, then the target.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sidecar::context::{Context, Contexts};

static CONTEXTS: LazyLock<Contexts> = LazyLock::new(|| {
    let context = |path: &str, host: &str| Context {
        path: path.into(),
        hosts: (!host.is_empty()).then(|| host.to_owned()).into_iter().collect(),
        shares_cookie: false,
        directory: format!("/dev/shm{path}").into(),
        cookie_name: "JSESSIONID".into(),
        param_names: vec!["jsessionid".into()],
    };
    Contexts::new(vec![
        context("", ""),
        context("/a", ""),
        context("/a/b", ""),
        context("/a", "*.x.y"),
        context("/c", "x.y"),
    ])
});

fuzz_target!(|data: &[u8]| {
    let Some(at) = data.iter().position(|b| *b == b'\n') else { return };
    let (Ok(host), target) = (std::str::from_utf8(&data[..at]), &data[at + 1..]) else { return };
    let of = |target: &[u8]| CONTEXTS.of(target, host).map(|index| CONTEXTS.get(index).name());
    let found = of(target);
    let end = target.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(target.len());
    let (path, query) = target.split_at(end);
    if !path.starts_with(b"/") {
        return;
    }
    let doubled: Vec<u8> = path.iter().flat_map(|b| vec![*b; if *b == b'/' { 2 } else { 1 }]).collect();
    assert_eq!(of(&doubled), found);
    assert_eq!(of(&[path, b";v=1"].concat()), found);
    assert_eq!(of(&[path, b"?", query].concat()), found);
    let written: Vec<u8> = path
        .iter()
        .flat_map(|b| match b {
            b'a'..=b'c' if !path.contains(&b'%') => format!("%{b:02x}").into_bytes(),
            _ => vec![*b],
        })
        .collect();
    assert_eq!(of(&written), found);
    same_at_the_gateway(path, of);
});

/// But for what only Tomcat refuses or cuts off.
fn same_at_the_gateway(path: &[u8], of: impl Fn(&[u8]) -> Option<String>) {
    if path.iter().any(|b| b";\\%".contains(b)) {
        return;
    }
    match gateway::routing::decode(path) {
        Ok(plain) => assert_eq!(of(path), of(gateway::routing::encode(&plain).as_bytes())),
        Err(_) => assert_eq!(of(path), None),
    }
}

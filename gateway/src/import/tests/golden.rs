//! Real files and what becomes of them.

use std::path::PathBuf;

use super::{checked, parse};
use crate::import::parser::Directive;
use crate::import::rules::is_data;
use crate::import::{Imported, Kind, import};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/import/tests/fixtures")).join(name)
}

fn imported(name: &str) -> Imported {
    checked(import(&fixture(name)).unwrap())
}

/// The TOML is that of the file beside it, but for the first line.
fn assert_golden(toml: &str, name: &str) {
    let expected = std::fs::read_to_string(fixture(name)).unwrap();
    let without_first = |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned());
    assert_eq!(without_first(toml), without_first(&expected), "{name} should be:\n{toml}");
}

#[test]
fn the_scenario() {
    for name in ["scenario/bare.conf", "scenario/nginx.conf"] {
        let result = imported(name);
        assert!(result.is_complete(), "{:?}", result.notes);
        // The lines of the file are named in comments; they differ by the two lines of the http block.
        let toml = result.toml.replace("nginx.conf:3", "bare.conf:1").replace("nginx.conf:7", "bare.conf:5");
        assert_golden(&toml, "scenario/expected.toml");
    }
}

#[test]
fn a_usual_site_with_includes() {
    let result = imported("site/nginx.conf");
    let lost: Vec<_> = result.notes.iter().filter(|note| note.kind == Kind::NotCarried).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert_golden(&result.toml, "site/expected.toml");
}

#[test]
fn what_cannot_be_carried_over_is_all_named() {
    let result = imported("nasty/nginx.conf");
    assert!(!result.is_complete());
    assert_golden(&result.toml, "nasty/expected.toml");
    let lost = result.notes.iter().filter(|note| note.kind == Kind::NotCarried);
    for note in lost {
        assert!(result.toml.contains(&format!(":{}: {}: {}", note.line, note.written, note.text)), "{note}");
    }
    assert!(
        !result.toml.contains("Basic czpz: ")
            && result.notes.iter().all(|note| !note.written.contains("czpz"))
    );
}

/// Every directive has a note on its line, or what it says is in the TOML.
#[test]
fn nothing_is_dropped_silently() {
    for name in ["scenario/nginx.conf", "site/nginx.conf", "nasty/nginx.conf"] {
        let result = imported(name);
        let keys: String = result
            .toml
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect();
        let mut count = 0;
        for_each(&parse(&fixture(name)).unwrap().directives, &mut |directive| {
            count += 1;
            let about =
                |note: &crate::import::Note| *note.file == *directive.file && note.line == directive.line;
            let has_note =
                result.notes.iter().any(|note| about(note) && note.written.starts_with(directive.name()));
            assert!(
                has_note || is_printed(directive, &keys),
                "{name}:{}: {}",
                directive.line,
                directive.name()
            );
        });
        assert!(count > 8, "{name}");
    }
}

fn for_each(directives: &[Directive], see: &mut impl FnMut(&Directive)) {
    for directive in directives {
        see(directive);
        if !is_data(directive.name()) {
            for_each(directive.inner(), see);
        }
    }
}

fn is_printed(directive: &Directive, keys: &str) -> bool {
    let has = |text: &str| keys.contains(text);
    let args = directive.args();
    match directive.name() {
        "http" => true,
        "server" if directive.block.is_some() => has("[[server]]"),
        "listen" => args[0].rsplit(':').next().is_some_and(|port| has(&format!(":{port}"))),
        "worker_processes" => has(&format!("threads = {}", args[0])),
        "set_real_ip_from" => has(&format!("\"{}", args[0])),
        "limit_req" => has(&args[1..].join(" ")),
        "client_max_body_size" | "large_client_header_buffers" => has(args[args.len() - 1]),
        "proxy_redirect" if args == ["off"] => has("proxy_redirect = []"),
        "deny" => has("return = \"403\""),
        "gzip_min_length" | "fail_timeout" => has(args[0]),
        "proxy_read_timeout" => has("proxy_read_timeout"),
        // Flags.
        name if matches!(args[..], ["on" | "off"]) => has(&format!("{name} = ")),
        "least_conn" => has("method = \"least_conn\""),
        _ => args.iter().any(|arg| has(arg)),
    }
}

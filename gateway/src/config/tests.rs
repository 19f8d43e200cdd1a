//! The annotated file is loaded, and what is wrong is refused by name.

use super::*;

fn annotated() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../conf/gateway.toml")).unwrap()
}

fn parse(text: &str) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Config::load(file.path()).map_err(|error| error.to_string())
}

/// Only what has no default.
const MINIMAL: &str = "[[upstream]]\nname = \"tomcats\"\n[[upstream.server]]\naddress = \"127.0.0.1:8081\"\n\
[[server]]\nlisten = [\"0.0.0.0:13355\"]\nupstream = \"tomcats\"\n";

#[test]
fn the_annotated_file_is_valid_and_shows_the_defaults() {
    let annotated = parse(&annotated()).unwrap();
    let minimal = parse(MINIMAL).unwrap();
    assert_eq!(annotated.threads, minimal.threads);
    assert_eq!(annotated.log_level, minimal.log_level);
    assert_eq!(annotated.stop_timeout, minimal.stop_timeout);
    assert_eq!(annotated.access_log, minimal.access_log);
    assert_eq!(annotated.upstreams[0].keepalive_timeout, minimal.upstreams[0].keepalive_timeout);
    let defaults = |config: &Config| {
        let mut server = config.servers[0].clone();
        // What the annotated file shows although it has no default.
        server.trusted_proxies.clear();
        server.proxy_set_header.clear();
        format!("{server:?}")
    };
    assert_eq!(defaults(&annotated), defaults(&minimal));
}

#[test]
fn every_key_is_in_the_annotated_file() {
    let annotated = annotated();
    for line in include_str!("raw.rs").lines().filter_map(|line| line.trim().strip_prefix("pub ")) {
        let Some((key, _)) = line.split_once(':') else { continue };
        let documented = [format!("{key} ="), format!("{key}]")].iter().any(|text| annotated.contains(text));
        assert!(documented, "conf/gateway.toml does not show '{key}'");
    }
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    for (find, replace, named) in [
        ("[[server]]", "[[server]]\ncolour = 1", "colour"),
        ("127.0.0.1:8081\"", "127.0.0.1:8081\"\nweight = 0", "server 1: weight"),
        ("127.0.0.1:8081\"", "127.0.0.1:8081\"\nweight = 70000", "65535"),
        ("127.0.0.1:8081", "127.0.0.1", "host:port"),
        ("127.0.0.1:8081", "no-such-host.invalid:80", "does not resolve"),
        ("[[server]]", "[[upstream.server]]\naddress = \"127.0.0.1:8081\"\n[[server]]", "listed twice"),
        ("[[upstream.server]]\naddress = \"127.0.0.1:8081\"\n", "", "has no server"),
        ("upstream = \"tomcats\"", "upstream = \"other\"", "there is: tomcats"),
        ("[\"0.0.0.0:13355\"]", "[]", "listen"),
        ("[\"0.0.0.0:13355\"]", "[\"13355\"]", "13355"),
        ("[\"0.0.0.0:13355\"]", "[\"0.0.0.0:1\", \"0.0.0.0:1\"]", "twice"),
        ("upstream = \"tomcats\"", "upstream = \"tomcats\"\nsend_timeout = 5", "units"),
        ("upstream = \"tomcats\"", "upstream = \"tomcats\"\nsend_timeout = \"0s\"", "send_timeout"),
        ("upstream = \"tomcats\"", "upstream = \"tomcats\"\ntrusted_proxies = [\"10\"]", "trusted_proxies"),
        (
            "upstream = \"tomcats\"",
            "upstream = \"tomcats\"\nproxy_set_header.Host = \"$nothing\"",
            "$nothing",
        ),
        (
            "upstream = \"tomcats\"",
            "upstream = \"tomcats\"\nproxy_set_header.Connection = \"x\"",
            "Connection",
        ),
        ("name = \"tomcats\"", "name = \"a b\"", "name"),
        ("[[upstream]]", "threads = 0\n[[upstream]]", "threads"),
    ] {
        assert!(MINIMAL.contains(find), "{find}");
        let error = parse(&MINIMAL.replacen(find, replace, 1)).map(|_| ()).expect_err(replace);
        assert!(error.contains(named), "{replace}: {error}");
    }
}

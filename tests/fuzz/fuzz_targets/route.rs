//! A path is made plain once and for all, and server and location are those that the rules of nginx give. Input: `Host`, then the target.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use gateway::config::Config;
use gateway::routing::{Routes, decode, encode, location, origin_form};
use libfuzzer_sys::fuzz_target;

const CONFIG: &str = r#"
[[server]]
listen = ["127.0.0.1:80 default_server"]
return = "200 default"
[[server]]
listen = ["127.0.0.1:80"]
server_name = ["x.y", "*.x.y", "x.*", "~^(a+)+z$"]
return = "200 named"
[[server.location]]
path = "= /a"
return = "200 exact"
[[server.location]]
path = "/a/"
return = "200 prefix"
[[server.location]]
path = "^~ /a/b/"
return = "200 final"
[[server.location]]
path = "~ \\.(php|git)$"
return = "403"
"#;

static CONFIG_READ: LazyLock<Config> =
    LazyLock::new(|| Config::parse(Path::new("gateway.toml"), CONFIG).expect("a configuration"));

fuzz_target!(|data: &[u8]| {
    let Some(at) = data.iter().position(|b| *b == b'\n') else { return };
    let (Ok(host), target) = (std::str::from_utf8(&data[..at]), &data[at + 1..]) else { return };
    let config = &*CONFIG_READ;
    let socket = "127.0.0.1:80".parse().expect("an address");
    let server =
        Routes::new(&config.servers).server(socket, host, &config.servers).expect("there is a default");
    let ours = host == "x.y" || (host.len() > 4 && host.ends_with(".x.y")) || host.starts_with("x.");
    assert!(!ours || server == 1, "{host}");

    let plain = origin_form(target);
    if let Some(plain) = &plain {
        let query = |text: &[u8]| text.iter().position(|b| *b == b'?').map(|at| text[at..].to_vec());
        assert!(plain.starts_with(b"/") && query(plain) == query(target));
    }
    let Ok(path) = decode(plain.as_deref().unwrap_or(target)) else { return };
    assert!(path.starts_with(b"/") && !path.contains(&0) && !path.windows(2).any(|two| two == b"//"));
    assert!(!path.split(|b| *b == b'/').any(|segment| segment == b".." || segment == b"."));
    let sent = encode(&path);
    assert!(sent.bytes().all(|b| b.is_ascii_graphic()), "{sent}");
    assert_eq!(decode(sent.as_bytes()).as_deref(), Ok(&path[..]), "the server reads it as we do");

    let found = location(&config.servers[1].locations, &path).map(|location| location.path.to_string());
    let is_code = |end: &[u8]| path.ends_with(end) || path.ends_with(&[end, b"\n"].concat());
    let expected = match &path[..] {
        b"/a" => Some("= /a"),
        _ if path.starts_with(b"/a/b/") => Some("^~ /a/b/"),
        _ if is_code(b".php") || is_code(b".git") => Some("~ \\.(php|git)$"),
        _ if path.starts_with(b"/a/") => Some("/a/"),
        _ => None,
    };
    match expected {
        Some(expected) => assert_eq!(found.as_deref(), Some(expected), "{path:?}"),
        None => assert!(found.is_none_or(|found| found == "/"), "{path:?}"),
    }
});

//! The annotated file is loaded, and what is wrong is refused by name.

use super::*;

fn annotated() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../conf/sidecar.toml")).unwrap()
}

fn parse(text: &str) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Config::load(file.path()).map_err(|error| error.to_string())
}

/// Only what has no default.
fn minimal() -> String {
    let secret = "MzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzM=";
    format!(
        "listen = \"127.0.0.1:8081\"\n[tomcat]\naddress = \"127.0.0.1:8080\"\n[[context]]\npath = \"/\"\n\
         directory = \"/dev/shm/satchel/ROOT\"\n[memcached]\nnodes = \"n1:127.0.0.1:11211\"\n[record]\n\
         keys = [\"{secret}\"]\nindex_key = \"{secret}\"\n"
    )
}

#[test]
fn the_annotated_file_is_valid_and_shows_the_defaults() {
    let refused = parse(&annotated()).unwrap_err();
    assert!(refused.contains("record.keys: key 1") && refused.contains("--new-keys"), "{refused}");
    let secret = "MzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzM=";
    let own = annotated()
        .replace("Y2hhbmdlIG1lIGNoYW5nZSBtZSBjaGFuZ2UgbWUgISE=", secret)
        .replace("Y2hhbmdlIG1lIHRvbyBjaGFuZ2UgbWUgdG9vICEhISE=", secret);
    let mut annotated = parse(&own).unwrap();
    let settings = &mut annotated.settings;
    for pattern in [&mut settings.readonly_uri, &mut settings.ignore_uri, &mut settings.unheld_uri] {
        assert!(pattern.take().is_some(), "it has no default");
    }
    assert!(!format!("{annotated:?}").contains("51"), "a key is never printed");
    let two_nodes = minimal().replace("n1:127.0.0.1:11211", "n1:127.0.0.1:11211 n2:127.0.0.1:11212");
    let minimal = parse(&two_nodes).unwrap();
    assert_eq!(annotated.threads, minimal.threads);
    assert_eq!(annotated.stop_timeout, minimal.stop_timeout);
    assert_eq!(annotated.log_level, minimal.log_level);
    assert_eq!(format!("{:?}", annotated.settings), format!("{:?}", minimal.settings));
    assert_eq!(annotated.cache_size, minimal.cache_size);
    assert_eq!(annotated.unknown_ids_per_second, minimal.unknown_ids_per_second);
    assert_eq!(annotated.node_timeout, minimal.node_timeout);
    let timeouts = |c: &Config| {
        let t = &c.settings.tomcat;
        [t.connect_timeout, t.read_timeout, t.write_timeout, t.keepalive_timeout]
    };
    assert_eq!(timeouts(&annotated), timeouts(&minimal));
    assert_eq!(annotated.contexts[0].cookie_name, minimal.contexts[0].cookie_name);
}

#[test]
fn every_key_is_in_the_annotated_file() {
    let annotated = annotated();
    let raw = include_str!("raw.rs");
    for line in raw.lines().filter_map(|line| line.trim().strip_prefix("pub ")) {
        let Some((key, _)) = line.split_once(':') else { continue };
        let forms = [format!("{key} ="), format!("[{key}]"), format!(".{key}.")];
        let documented = forms.iter().any(|form| annotated.contains(form));
        assert!(documented, "conf/sidecar.toml does not show '{key}'");
    }
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    for (find, replace, named) in [
        ("[tomcat]", "colour = 1\n[tomcat]", "colour"),
        ("address = \"127.0.0.1:8080\"", "address = \"127.0.0.1\"", "host:port"),
        ("path = \"/\"", "path = \"app\"", "path"),
        ("/dev/shm/satchel/ROOT", "relative", "directory"),
        ("n1:127.0.0.1:11211", "127.0.0.1:11211", "name:host:port"),
        ("n1:127.0.0.1:11211", "n1:127.0.0.1:11211 n1:127.0.0.1:11212", "n1 is listed twice"),
        ("n1:127.0.0.1:11211", "n1:127.0.0.1:11211 n2:127.0.0.1:11211", "one address"),
        ("n1:127.0.0.1:11211", "n-1:127.0.0.1:11211", "n-1"),
        ("n1:127.0.0.1:11211", "n1:::1:11211", "n1"),
        ("n1:127.0.0.1:11211", "", "memcached.nodes"),
        ("[memcached]", "[memcached]\ntimeout = 5", "units"),
        ("[tomcat]", "[tomcat]\nmax_request_time = \"5s\"\nread_timeout = \"6s\"", "tomcat.read_timeout"),
        ("[memcached]", "[memcached]\ntimeout = \"0s\"", "memcached.timeout"),
        ("[memcached]", "[memcached]\ntimeout = \"3s\"", "at most 2s"),
        ("[memcached]", "[session]\nunknown_ids_per_second = 0\n[memcached]", "at least 1"),
        ("[memcached]", "[session]\nignore_uri = \"(\"\n[memcached]", "session.ignore_uri"),
        ("[memcached]", "[session]\nunsaved_header = \"Set-Cookie\"\n[memcached]", "session.unsaved_header"),
        ("[memcached]", "[session]\nunsaved_header = \"X-a b\"\n[memcached]", "RFC 9110"),
        ("[memcached]", "[session]\nunsaved_header = \"x-satchel-unsent\"\n[memcached]", "of its own"),
        ("[memcached]", "[session]\nlocking = \"some\"\n[memcached]", "all"),
        ("[memcached]", "[session]\nlocking = \"uri:(\"\n[memcached]", "session.locking"),
        ("[memcached]", "[session]\non_lock_timeout = \"x\"\n[memcached]", "proceed"),
        ("[record]", "[record]\nencryption = \"off\"", "record.encryption"),
        ("index_key", "#", "record.index_key"),
        ("keys = [\"Mz", "keys = [\"Nz\"]\n#", "record.keys: key 1"),
        (
            "[[context]]",
            "[[context]]\npath=\"/b\"\ndirectory=\"/dev/shm/satchel/ROOT\"\n[[context]]",
            "each needs its own",
        ),
        ("[[context]]", "[[context]]\npath=\"/\"\ndirectory=\"/b\"\n[[context]]", "twice"),
        ("listen = \"127.0.0.1:8081\"", "listen = \"8081\"", "listen"),
        ("listen", "threads = 0\nlisten", "threads"),
    ] {
        let text = minimal();
        assert!(text.contains(find), "{find}");
        let error = parse(&text.replacen(find, replace, 1)).map(|_| ()).expect_err(replace);
        assert!(error.contains(named), "{replace}: {error}");
    }
}

#[test]
fn nodes_are_read_as_msm_writes_them() {
    let config =
        parse(&minimal().replace("n1:127.0.0.1:11211", "n1:cache-0.svc:11211,n2:[::1]:11212 n3:10.0.0.3:1"))
            .unwrap();
    let nodes: Vec<String> =
        config.nodes.iter().map(|node| format!("{} {}", node.name, node.address)).collect();
    assert_eq!(nodes, ["n1 cache-0.svc:11211", "n2 [::1]:11212", "n3 10.0.0.3:1"]);
}

#[test]
fn patterns_match_the_whole_request_line_as_in_msm() {
    let text = minimal().replace("[memcached]", "[session]\nignore_uri = '.*\\.(png|css)$'\n[memcached]");
    let pattern = parse(&text).unwrap().settings.ignore_uri.unwrap();
    assert!(pattern.is_match("GET /a/b.png"));
    assert!(!pattern.is_match("GET /a/b.png?x=1"));
}

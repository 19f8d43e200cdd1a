//! The annotated file is loaded, and what is wrong is refused by name.

use satchel_common::reference::{Annotated, accepted, compare};

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

/// With keys in place of the examples.
fn with_keys(text: &str) -> String {
    let secret = "MzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzM=";
    text.replace("Y2hhbmdlIG1lIGNoYW5nZSBtZSBjaGFuZ2UgbWUgISE=", secret)
        .replace("Y2hhbmdlIG1lIHRvbyBjaGFuZ2UgbWUgdG9vICEhISE=", secret)
}

#[test]
fn the_annotated_file_is_valid_but_for_its_keys() {
    let refused = parse(&annotated()).unwrap_err();
    assert!(refused.contains("record.keys: key 1") && refused.contains("--new-keys"), "{refused}");
    let config = parse(&with_keys(&annotated())).unwrap();
    assert!(!format!("{config:?}").contains("51"), "a key is never printed");
}

/// What is shown as the default is what holds without the key.
#[test]
fn the_annotated_file_shows_the_defaults() {
    let file = Annotated::read(&annotated());
    let told = |text: &str| parse(&with_keys(text)).map(|config| format!("{config:?}"));
    let wrong = file.shown_wrongly(told, &[]).unwrap();
    assert!(wrong.is_empty(), "conf/sidecar.toml shows {wrong:#?}");
}

#[test]
fn the_annotated_file_shows_every_key_and_no_other() {
    let file = Annotated::read(&annotated());
    for table in &file.tables {
        let header = match table.header.as_str() {
            "" => String::new(),
            header => format!("{header}\n"),
        };
        let error = parse(&format!("{header}no_such_key = 1\n")).unwrap_err();
        let mut takes = accepted(&error).expect(&error);
        let mut shows: Vec<_> = table.names().map(str::to_owned).collect();
        shows.extend(file.below(&table.path).map(str::to_owned));
        takes.sort_unstable();
        shows.sort_unstable();
        assert_eq!(shows, takes, "conf/sidecar.toml: {}", table.header);
    }
}

#[test]
fn the_reference_says_what_the_annotated_file_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    compare(Path::new(page), "sidecar.toml", &Annotated::read(&annotated()).markdown()).unwrap();
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

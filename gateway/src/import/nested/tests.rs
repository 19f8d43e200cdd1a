//! What the gateway chooses is what nginx chooses, or it is closed.

use proptest::prelude::*;

use super::*;
use crate::config::{Action, Config};
use crate::import::tests::{directives, imported, loaded};
use crate::routing::{PathMatch, location};

/// `ngx_http_core_find_location`: the location in `block` for a path, and whether it is an exact one.
fn chosen<'a>(block: &'a [Directive], path: &str) -> Option<&'a Directive> {
    fn find<'a>(block: &'a [Directive], path: &str, best: &mut Option<&'a Directive>) -> bool {
        let paths = || locations(block).filter_map(|one| Some((one, Path::of(one).ok()?)));
        if let Some((exact, _)) = paths().find(|(_, one)| *one == Path::Exact(path)) {
            *best = Some(exact);
            return true;
        }
        let longest = paths()
            .filter(|(_, one)| one.prefix().is_some_and(|prefix| path.starts_with(prefix)))
            .max_by_key(|(one, _)| prefix(one).len());
        if let Some((longest, _)) = longest {
            *best = Some(longest);
            if find(longest.inner(), path, best) {
                return true;
            }
            if is_final(longest) {
                return false;
            }
        }
        for (one, of) in paths() {
            let Path::Regex(modifier, regex) = of else { continue };
            if fits(modifier, regex, path) {
                *best = Some(one);
                find(one.inner(), path, best);
                return true;
            }
        }
        false
    }
    let mut best = None;
    find(block, path, &mut best);
    best
}

/// PCRE's look-around, for those that the tests use.
fn fits(modifier: &str, regex: &str, path: &str) -> bool {
    let of = |regex: &str| {
        PathMatch::parse(&format!("{modifier} {regex}")).unwrap().matches_regex(path.as_bytes())
    };
    match regex.split_once("(?!b)") {
        Some((before, after)) => of(&format!("{before}([^b]|$){after}")),
        None => of(regex),
    }
}

fn answer(config: &Config, path: &str) -> String {
    match location(&config.servers[0].locations, path.as_bytes()).map(|location| &location.action) {
        Some(Action::Return { status, text }) => format!("{status} {text:?}"),
        Some(Action::Proxy { .. }) => "proxied".into(),
        None => "404".into(),
    }
}

fn of(server: &str) -> Config {
    loaded(&imported(&format!("server {{ listen 80; {server} }}")).toml).unwrap()
}

/// What the review tried: each was proxied.
#[test]
fn what_nginx_closes_is_closed() {
    let config = of(r#"
        location / {
            proxy_pass http://t:1;
            location /admin/ { deny all; }
            location ~ \.git { return 404; }
        }
        location ~ ^/priv(?!ate) { deny all; }
        location ~* ^/secret { auth_basic "x"; proxy_pass http://t:1/$uri; }
        location /upload { proxy_pass http://t:1; if ($request_method = POST) { return 405; } }"#);
    for (path, expected) in [
        ("/", "proxied"),
        ("/admin/x", "403 None"),
        ("/x/.git/config", "404 None"),
        ("/admin/.git", "404 None"),
        ("/priv", "403 None"),
        ("/private", "403 None"),
        ("/SECRET/a", "403 None"),
        ("/upload", "403 None"),
    ] {
        assert_eq!(answer(&config, path), expected, "{path}");
    }
}

#[test]
fn what_was_outside_holds_inside() {
    let result = imported(
        "upstream t { server a:1; } server { listen 80; location /a/ { proxy_pass http://t; proxy_read_timeout 5s;
           proxy_set_header A 1; add_header B 2; auth_basic x;
           location /a/b/ { proxy_pass http://t/c/; auth_basic off; add_header C 3; }
           location ~ \\.jsp$ { proxy_pass http://t; } } }",
    );
    let blocks: Vec<_> = result.toml.split("[[server.location]]\n").skip(1).collect();
    assert!(blocks[0].starts_with("path = \"/a/\"\nreturn = \"403\""), "{}", result.toml);
    assert!(
        blocks[1].starts_with("path = \"/a/b/\"\nproxy_pass = \"http://t/c/\"\nproxy_read_timeout = \"5s\"")
            && blocks[1].contains("C = \"3\"")
            && blocks[1].contains("A = \"1\"")
            && !blocks[1].contains("B = "),
        "{}",
        result.toml
    );
    assert!(blocks[2].starts_with("path = '~ ^/a/(?s-u:.*)\\.jsp$'\nreturn = \"403\""), "{}", result.toml);
}

#[test]
fn what_cannot_be_said_is_closed() {
    let paths = |server: &str| {
        let all = directives(server);
        let flat = flatten(&all).locations;
        flat.into_iter()
            .map(|one| format!("{}{}", if one.closed.is_some() { "closed " } else { "" }, one.path))
            .collect::<Vec<_>>()
    };
    for (server, expected) in [
        ("location /a/ { location ~ (x|y)$ { } }", &["/a/", "closed ~ ^/a/"][..]),
        ("location /a/ { location ~ ^/a/b(?!c) { } }", &["/a/", "closed ~ ^/a/b"]),
        ("location /a/ { location ~ (?!c) { } }", &["/a/", "closed ~ ^/a/"]),
        ("location ^~ /a/ { location ~ \\.x$ { } }", &["/a/", r"~ ^/a/(?s-u:.*)\.x$"]),
        (
            "location ^~ /a/ { location ~ \\.x$ { } } location ~ x { }",
            &["/a/", r"~ ^/a/(?s-u:.*)\.x$", "closed ~ ^/a/", "~ x"],
        ),
        // nginx does not give it what is in /b/.
        ("location / { location ~ x { } } location /b/ { }", &["/", "^~ /b/", "~ x"]),
        // Never reached: /a/b/ is found instead of /a/.
        ("location /a/ { location /a/b/c { } } location /a/b/ { }", &["/a/", "/a/b/"]),
        ("location /a/ { location ^~ /a/b/ { location /a/b/c { } } }", &["/a/", "^~ /a/b/", "/a/b/c"]),
    ] {
        assert_eq!(paths(server), expected, "{server}");
    }
}

const PATHS: &[&str] =
    &["/", "/a", "/a/", "/a/b", "/a/b/", "/b/", "= /a/b/x", "= /a/", "^~ /a/", "^~ /a/b/", "^~ /b/"];
const REGEXES: &[&str] =
    &["~ x$", "~ \\.x", "~* ^/A/b", "~ ^/a/b", "~ b/", "~ ^/a(?!b)", "~ x(?!b)", "~ (a|b)/x", "~* X", "~ /x"];

/// A tree of locations, each with another answer.
fn tree() -> impl Strategy<Value = String> {
    let word = || prop_oneof![proptest::sample::select(PATHS), proptest::sample::select(REGEXES)];
    let does = prop_oneof![
        Just("return 2NN;"),
        Just("return 2NN;"),
        Just("deny all;"),
        Just("return 404;"),
        Just("root /;")
    ];
    let leaf = (word(), does.clone()).prop_map(|(path, does)| format!("location {path} {{ {does} }}"));
    let one = leaf.prop_recursive(3, 24, 4, move |inner| {
        (word(), does.clone(), proptest::collection::vec(inner, 0..4))
            .prop_map(|(path, does, inner)| format!("location {path} {{ {does} {} }}", inner.join(" ")))
    });
    proptest::collection::vec(one, 1..6).prop_map(|all| all.join(" "))
}

/// nginx refuses two of one path side by side, a prefix outside of what it stands in, and some others.
fn is_valid(block: &[Directive], around: Option<&Directive>) -> bool {
    let mut seen = Vec::new();
    locations(block).all(|one| {
        let Ok(path) = Path::of(one) else { return false };
        let outside = around.map(Path::of);
        let fits = match (path, outside) {
            (_, Some(Ok(Path::Exact(_)))) => false,
            (Path::Regex(..), _) | (_, None) => true,
            (Path::Exact(text) | Path::Prefix(text) | Path::Final(text), Some(Ok(path))) => {
                path.prefix().is_some_and(|prefix| text.starts_with(prefix))
            }
            (_, Some(Err(_))) => false,
        };
        let key = (matches!(path, Path::Exact(_)), one.args().last().map(|text| (*text).to_owned()));
        let is_new = matches!(path, Path::Regex(..)) || !seen.contains(&key);
        seen.push(key);
        fits && is_new && is_valid(one.inner(), Some(one))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 1_000_000, ..ProptestConfig::default() })]

    #[test]
    fn the_gateway_opens_nothing(tree in tree(), paths in proptest::collection::vec("(/|/a|/A|/b|x|\\.x){1,5}", 1..20)) {
        let mut number = 0;
        let numbered: String = tree.split("2NN").enumerate().map(|(at, part)| {
            number += 1;
            if at == 0 { part.to_owned() } else { format!("200 {number}{part}") }
        }).collect();
        let all = directives(&numbered);
        prop_assume!(is_valid(&all, None));
        let config = of(&numbered);
        for path in paths {
            let path = String::from_utf8(crate::routing::decode(format!("/{path}").as_bytes()).unwrap()).unwrap();
            let found = answer(&config, &path);
            let expected = match chosen(&all, &path).and_then(|one| one.inner().first()) {
                Some(one) if one.name() == "return" && one.arg(0) == "200" => {
                    let text = crate::template::Template::parse(one.arg(1)).unwrap();
                    format!("200 {:?}", Some(text))
                }
                Some(one) if one.name() == "return" => "404 None".into(),
                Some(_) => "403 None".into(),
                None => "404".into(),
            };
            prop_assert!(
                found == expected || found.starts_with("403") || found.starts_with("404"),
                "{numbered}\n{path}: {found}, and in nginx {expected}\n{:#?}",
                config.servers[0].locations.iter().map(|one| one.path.to_string()).collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn what_can_be_said_is_not_closed() {
    for (location, path) in [
        ("location / { return 200 a; location ~* \\.css$ { return 200 b; } }", "/x.CSS"),
        ("location /a/ { return 200 a; location ~* \\.css$ { return 200 b; } }", "/a/x.CSS"),
        ("location /a/ { return 200 a; location ~ \\.css$ { return 200 b; } }", "/a/x.css"),
    ] {
        let found = answer(&of(location), path);
        assert!(found.starts_with("200 ") && found.contains('b'), "{location}: {found}");
    }
}

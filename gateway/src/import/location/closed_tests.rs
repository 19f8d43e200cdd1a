//! What nginx keeps somebody from stays closed, whatever becomes of it.

use crate::import::tests::imported;

const OPEN: &str = "location / { proxy_pass http://t; }";

/// The answer that a location with this path has in the new configuration.
fn of(nginx: &str, path: &str) -> String {
    let result = imported(&format!("upstream t {{ server 127.0.0.1:1; }} {nginx}"));
    let quoted = [format!("path = \"{path}\""), format!("path = '{path}'")];
    let mut locations = result.toml.split("[[server.location]]").skip(1);
    let location = locations.find(|one| one.lines().any(|line| quoted.iter().any(|path| path == line)));
    let answer = location.and_then(|one| one.lines().find(|line| line.starts_with("return = ")));
    answer.unwrap_or("no such answer").to_owned()
}

#[test]
fn what_nginx_closes_is_closed() {
    for (location, path, status) in [
        // In another location.
        ("location /a/ { proxy_pass http://t; location /a/b/ { deny all; } }", "/a/b/", "403"),
        (
            "location /a/ { proxy_pass http://t; location ~ \\.git { return 404; } }",
            "~ ^/a/(?s-u:.*)\\.git",
            "404",
        ),
        ("location /a/ { root /srv; location /a/b/ { auth_basic x; proxy_pass http://t; } }", "/a/b/", "403"),
        ("location /a/ { auth_basic x; root /srv; location /a/b/ { proxy_pass http://t; } }", "/a/b/", "403"),
        // What is not carried over for another reason.
        ("location ~ ^/priv(?!ate) { deny all; }", "~ ^/priv", "403"),
        ("location ~* ^/s { auth_basic x; proxy_pass http://t/$uri; }", "~* ^/s", "403"),
        ("location /priv/ { auth_basic x; root /srv; }", "/priv/", "403"),
        ("location /st { stub_status; allow 127.0.0.1; deny all; }", "/st", "403"),
        ("location /st { stub_status; allow 127.0.0.1; deny 0.0.0.0/0; }", "/st", "403"),
        ("location /x { return 403 $nobody_knows; }", "/x", "403"),
        ("location /int/ { internal; proxy_pass http://t; }", "/int/", "404"),
        // Conditions.
        ("location /x { if ($request_method = POST) { return 405; } proxy_pass http://t; }", "/x", "403"),
        ("location /x { if ($cookie_in = '') { return 403; } return 200 secret; }", "/x", "403"),
        ("location /x { if ($scheme = http) { return 403; } proxy_pass http://t; }", "/x", "403"),
        ("location /x { if ($arg_key != k) { return 444; } root /srv; }", "/x", "403"),
    ] {
        for nginx in [
            format!("server {{ listen 80; {OPEN} {location} }}"),
            format!("server {{ listen 80; {location} {OPEN} }}"),
        ] {
            assert_eq!(of(&nginx, path), format!("return = \"{status}\""), "{nginx}");
        }
    }
}

#[test]
fn a_condition_of_the_server_closes_its_locations() {
    let server =
        |condition: &str| format!("server {{ listen 80; if ({condition}) {{ return 403; }} {OPEN} }}");
    assert_eq!(of(&server("$remote_addr != 10.0.0.1"), "/"), "return = \"403\"");
    // A map of an address, too.
    let map = "map $remote_addr $stranger { default 1; 10.0.0.1 0; }";
    assert_eq!(of(&format!("{map} {}", server("$stranger")), "/"), "return = \"403\"");
    let login = |map: &str| {
        let condition = "if ($stranger) { return 302 /login; }";
        of(&format!("{map} server {{ listen 80; {condition} {OPEN} }}"), "/")
    };
    assert_eq!(login(map), "return = \"403\"");
    assert_eq!(login("map $uri $stranger { default 0; /old 1; }"), "no such answer");
    for condition in ["$http_user_agent ~ Bot", "$invalid_referer"] {
        assert_eq!(of(&server(condition), "/"), "return = \"403\"", "{condition}");
    }
}

#[test]
fn what_is_closed_comes_before_what_is_beside_the_outer_location() {
    let result = imported(
        "server { listen 80; location ~ \\.txt$ { proxy_pass http://127.0.0.1:1; } location / { proxy_pass http://127.0.0.1:1; \
         location ~ secret { deny all; } } }",
    );
    let at = |text: &str| result.toml.find(text).unwrap();
    assert!(at("~ secret") < at("~ \\.txt$"), "{}", result.toml);
}

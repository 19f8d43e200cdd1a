//! What one server of nginx's becomes.

use crate::import::tests::imported;

/// The servers as they are printed, each with its lines joined.
fn servers(text: &str) -> Vec<String> {
    let result = imported(text);
    let toml = result.toml.split("\n# Carried").next().unwrap_or_default();
    let toml = toml.split("\n# NOT").next().unwrap_or_default();
    let blocks = toml.split("[[server]]\n").skip(1);
    blocks
        .map(|block| {
            block
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .collect::<Vec<_>>()
                .join("; ")
        })
        .collect()
}

const PROXY: &str = "location / { proxy_pass http://t:1; }";
const PROXY_TOML: &str = "[[server.location]]; path = \"/\"; proxy_pass = \"http://t:1\"";

#[test]
fn plain_requests_are_redirected_by_a_server_of_their_own() {
    let found = servers(&format!(
        "server {{ listen 80; listen 443 ssl; server_name a.example; ssl_certificate /c; ssl_certificate_key /k;
           if ($scheme = http) {{ return 301 https://$host$request_uri; }} {PROXY} }}"
    ));
    let names = "server_name = [\"a.example\"]";
    assert_eq!(
        found[0],
        format!("listen = [\"0.0.0.0:80\"]; {names}; return = \"301 https://$host$request_uri\"")
    );
    assert!(
        found[1].starts_with(&format!("listen = [\"0.0.0.0:443 ssl\"]; {names}; "))
            && found[1].ends_with(PROXY_TOML)
    );
}

#[test]
fn certbots_server_becomes_one_for_each_host() {
    let certbot = "server { if ($host = a.example) { return 301 https://$host$request_uri; }
           listen 80; server_name a.example; return 404; }";
    let redirect = "listen = [\"0.0.0.0:80\"]; server_name = [\"a.example\"]; return = \"301 https://$host$request_uri\"";
    // It is the default, so what it answers to others counts.
    let rest = "listen = [\"0.0.0.0:80\"]; return = \"404\"";
    assert_eq!(servers(certbot), [rest, redirect]);
    // Another one is the default.
    let found = servers(&format!("server {{ listen 80; {PROXY} }} {certbot}"));
    assert_eq!(found, [&format!("listen = [\"0.0.0.0:80\"]; {PROXY_TOML}"), redirect]);
}

#[test]
fn an_answer_to_all_hides_the_locations() {
    let result = imported(&format!("server {{ listen 80; return 301 https://a; {PROXY} }}"));
    assert!(result.is_complete() && !result.toml.contains("[[server.location]]"), "{}", result.toml);
    assert!(result.notes.iter().any(|note| note.written == "proxy_pass http://t:1"), "{:?}", result.notes);
}

#[test]
fn hosts_that_cannot_be_known_reach_no_other_server() {
    let unsure = "server { listen 80; server_name a.example ~^(?!b); return 404; }";
    let found = servers(&format!("server {{ listen 80; {PROXY} }} {unsure}"));
    assert_eq!(
        found[1..],
        [
            "listen = [\"0.0.0.0:80\"]; server_name = [\"a.example\"]; return = \"404\"",
            "listen = [\"0.0.0.0:80\"]; server_name = [\"~.\"]; return = \"403\""
        ]
    );
    // They reach it anyway.
    assert_eq!(servers(unsure).len(), 1);
}

#[test]
fn who_gets_no_handshake_gets_nothing() {
    let rejects = "server { listen 443 ssl default_server; ssl_reject_handshake on; return 444; }";
    let own = format!(
        "server {{ listen 443 ssl; server_name a; ssl_certificate /c; ssl_certificate_key /k; {PROXY} }}"
    );
    let found = servers(&format!("{rejects} {own}"));
    // An unknown name would reach the first server of the socket else.
    assert_eq!(
        found[0],
        "listen = [\"0.0.0.0:443 ssl default_server\"]; return = \"403\"; \
         ssl_certificate = \"/c\" # of another server: it has none of its own; \
         ssl_certificate_key = \"/k\" # of another server: it has none of its own"
    );
    assert!(found[1].starts_with("listen = [\"0.0.0.0:443 ssl\"]; server_name = [\"a\"]"));
    // Nobody else has a certificate, so that nothing listens.
    let plain = format!("server {{ listen 80; {PROXY} }}");
    assert_eq!(servers(&format!("{rejects} {plain}")).len(), 1);
    // Where it listens without TLS too, that is as it was.
    let both = rejects.replace("listen", "listen 80; listen").replace("444", "410");
    let found = servers(&format!("{both} {own}"));
    assert_eq!(found.len(), 3);
    assert_eq!(found[0], "listen = [\"0.0.0.0:80\"]; return = \"410\"");
    assert!(
        found[1].starts_with("listen = [\"0.0.0.0:443 ssl default_server\"]; return = \"403\""),
        "{found:?}"
    );
}

#[test]
fn no_certificate_is_needed_that_is_not_there() {
    let variable = "ssl_certificate /c/$ssl_server_name; ssl_certificate_key /k/$ssl_server_name;";
    let server = |tls: &str| format!("server {{ listen 80; listen 443 ssl; {tls} {PROXY} }}");
    for (config, listens) in [
        (server(""), "[\"0.0.0.0:80\"]"),
        (server(variable), "[\"0.0.0.0:80\"]"),
        (server("ssl_certificate /c;"), "[\"0.0.0.0:80\"]"),
        (
            format!("{} {}", server(variable), server("ssl_certificate /c; ssl_certificate_key /k;")),
            "[\"0.0.0.0:80\", \"0.0.0.0:443 ssl\"]",
        ),
    ] {
        assert!(servers(&config)[0].starts_with(&format!("listen = {listens}")), "{config}");
    }
    assert_eq!(
        servers("server { listen 80 http2; return 204; }"),
        ["listen = [\"0.0.0.0:80\"]; return = \"204\""]
    );
}

#[test]
fn an_answer_behind_what_refuses_is_closed() {
    for (server, answer) in [
        ("if ($arg_a = b) { return 403; } return 301 https://a;", "403"),
        ("if ($http_user_agent ~ bot) { return 403; } return 301 https://a;", "301 https://a"),
        ("return 301 https://a; if ($arg_a = b) { return 403; }", "301 https://a"),
        ("return 200 $nothing;", "403"),
        ("ssl_verify_client on; return 200 a;", "403"),
        ("auth_basic x; return 200 a;", "200 a"),
    ] {
        let found = servers(&format!("server {{ listen 80; {server} {PROXY} }}"));
        assert_eq!(found, [format!("listen = [\"0.0.0.0:80\"]; return = \"{answer}\"")], "{server}");
    }
}

#[test]
fn a_server_that_has_nothing_left_answers_404() {
    let result = imported("server { listen 80; server_name x; root /srv; }");
    assert!(result.toml.contains("return = \"404\"") && !result.is_complete());
    assert_eq!(servers("server { listen unix:/x; location / { return 204; } }"), [""; 0]);
}

#[test]
fn what_belongs_to_a_socket_is_said_by_each_of_its_servers() {
    let found = servers(&format!(
        "http2 on; ssl_certificate /c; ssl_certificate_key /k; server {{ listen 443 ssl proxy_protocol; {PROXY} }}
         server {{ listen 443 default_server; {PROXY} }} server {{ {PROXY} }}"
    ));
    assert!(
        found[0].starts_with("listen = [\"0.0.0.0:443 ssl http2 proxy_protocol\"]; ssl_certificate = \"/c\"")
    );
    assert!(
        found[1].starts_with("listen = [\"0.0.0.0:443 ssl http2 proxy_protocol default_server\"]"),
        "{found:?}"
    );
    assert!(found[2].starts_with("listen = [\"0.0.0.0:80\"]"));
}

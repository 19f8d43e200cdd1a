//! Who may come in. The gateway restricts nobody, so what nginx protects must not become open by an import.

use super::definitions::Definitions;
use super::parser::Directive;
use super::variables::names;

/// What restricts, besides directives that begin with `auth_` and code that runs before the answer.
const RESTRICTS: [&str; 6] =
    ["limit_except", "ssl_verify_client", "modsecurity", "app_protect_enable", "js_access", "oidc"];

/// They only say how `auth_…` is done.
const OPTIONS: [&str; 9] = [
    "auth_basic_user_file",
    "auth_delay",
    "auth_http",
    "auth_jwt_claim_set",
    "auth_jwt_header_set",
    "auth_jwt_key",
    "auth_jwt_leeway",
    "auth_jwt_type",
    "auth_request_set",
];

/// They are for nothing but an `if` that refuses, or for what follows such an `if`.
const SIGNS: [&str; 3] = ["secure_link", "secure_link_secret", "valid_referers"];

/// What tells nothing of who a client is. Anything else may.
const PLAIN: [&str; 16] = [
    "document_uri",
    "host",
    "http_host",
    "http_referer",
    "http_user_agent",
    "http_x_forwarded_proto",
    "https",
    "request_filename",
    "request_method",
    "request_uri",
    "scheme",
    "server_name",
    "server_port",
    "server_protocol",
    "ssl_protocol",
    "uri",
];

/// What every client says of itself as it likes. An `if` that asks for nothing else keeps robots and strange names away, and protects nothing.
const SAID: [&str; 5] = ["http_user_agent", "http_referer", "host", "http_host", "server_name"];

/// The directive that restricts what is in the innermost of these blocks, before a server is asked.
pub(super) fn guard<'a>(chain: &[&'a [Directive]]) -> Option<&'a Directive> {
    let blocks = || chain.iter().rev().copied();
    let is_nearest = |one: &&Directive, depth: usize| {
        blocks().take(depth).all(|block| block.iter().all(|inner| inner.name() != one.name()))
    };
    let restricts = blocks().enumerate().find_map(|(depth, block)| {
        block.iter().find(|one| restricts(one.name()) && one.arg(0) != "off" && is_nearest(one, depth))
    });
    let sign = || blocks().next()?.iter().find(|one| SIGNS.contains(&one.name()));
    // As soon as a block has one of them, those of the outer blocks do not hold.
    let addresses = || {
        let block = blocks().find(|block| block.iter().any(is_address))?;
        let all = block.iter().filter(|one| is_address(one));
        all.take_while(|one| one.words.len() < 2 || (one.name(), one.arg(0)) != ("allow", "all"))
            .find(|one| one.name() == "deny")
    };
    restricts.or_else(sign).or_else(addresses)
}

/// The same for what comes before `return`, too.
pub(super) fn guard_of_answer<'a>(chain: &[&'a [Directive]]) -> Option<&'a Directive> {
    let nearest =
        |name: &str| chain.iter().rev().find_map(|block| block.iter().find(|one| one.name() == name));
    let certificate = || nearest("ssl_verify_client").filter(|one| one.arg(0) == "on");
    nearest("limit_except").or_else(certificate)
}

/// A block that lets nobody in.
pub(super) fn denies_all(block: &[Directive]) -> Option<&Directive> {
    let may_open =
        |one: &Directive| one.name() == "allow" || (one.name() == "satisfy" && one.arg(0) == "any");
    match block.iter().any(may_open) {
        true => None,
        false => block.iter().find(|one| one.name() == "deny" && one.arg(0) == "all"),
    }
}

/// Whether an `if` refuses requests, or answers those of some clients only.
pub(super) fn refuses(condition: &Directive, definitions: &Definitions) -> bool {
    let variables = condition.words.iter().skip(1).flat_map(|word| names(&word.text));
    let variables: Vec<String> = variables.collect();
    let all_are = |list: &[&str]| {
        variables.iter().all(|name| definitions.source(name).is_some_and(|source| list.contains(&source)))
    };
    if !variables.is_empty() && all_are(&SAID) {
        return false;
    }
    let asks_who = !all_are(&PLAIN);
    condition.inner().iter().any(|one| match one.name() {
        "return" => match one.arg(0).parse::<u16>() {
            Ok(status) => status >= 400 || asks_who,
            Err(_) => asks_who || !one.arg(0).contains("://"),
        },
        // Those who are sent elsewhere, outside or inside, do not get what the others do.
        "rewrite" | "proxy_pass" => asks_who,
        "deny" => true,
        name => restricts(name) && one.arg(0) != "off",
    })
}

fn restricts(name: &str) -> bool {
    let logs_in = name.starts_with("auth_") && !OPTIONS.iter().any(|option| name.starts_with(option));
    logs_in
        || RESTRICTS.contains(&name)
        || ["access_by_lua", "rewrite_by_lua"].iter().any(|code| name.contains(code))
}

fn is_address(directive: &Directive) -> bool {
    matches!(directive.name(), "allow" | "deny")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::tests::directives;

    #[test]
    fn what_restricts_is_found_from_the_inside() {
        for (outer, inner, found) in [
            ("", "", None),
            ("auth_basic x;", "", Some("auth_basic")),
            ("auth_basic x;", "auth_basic off;", None),
            ("auth_basic off;", "auth_basic x;", Some("auth_basic")),
            ("auth_basic_user_file /f; auth_request_set $a b;", "", None),
            ("auth_gss on;", "", Some("auth_gss")),
            ("", "access_by_lua_block { }", Some("access_by_lua_block")),
            ("modsecurity on;", "modsecurity off;", None),
            ("ssl_verify_client optional;", "", Some("ssl_verify_client")),
            ("", "secure_link $arg_a;", Some("secure_link")),
            ("valid_referers none;", "", None),
            ("deny all;", "", Some("deny")),
            ("deny all;", "allow all;", None),
            ("", "allow 10.0.0.0/8; deny all;", Some("deny")),
            ("", "deny 192.0.2.1; allow all;", Some("deny")),
            ("", "allow all; deny 192.0.2.1;", None),
            ("", "satisfy any; deny all; auth_jwt x;", Some("auth_jwt")),
        ] {
            let (outer, inner) = (directives(outer), directives(inner));
            assert_eq!(guard(&[&outer, &inner]).map(Directive::name), found, "{inner:?}");
        }
    }

    #[test]
    fn an_if_that_refuses_is_known() {
        for (text, yes) in [
            ("if ($request_method = POST) { return 405; }", true),
            ("if ($x) { return 444; }", true),
            ("if ($x) { return 403 no; }", true),
            ("if (-f /off) { return 503; }", true),
            ("if ($x) { return $status; }", true),
            ("if ($x) { access_by_lua_block { } }", true),
            ("if ($cookie_a = \"\") { return 302 /login; }", true),
            ("if ($cookie_a = \"\") { rewrite ^ /login redirect; }", true),
            ("if ($http_user_agent ~ bot) { return 403; }", false),
            ("if ($host != a) { return 444; }", false),
            ("if ($http_user_agent$remote_addr ~ x) { return 403; }", true),
            ("if ($request_method = OPTIONS) { return 204; }", false),
            ("if ($host = a) { return 301 https://b; }", false),
            ("if ($host = a) { return https://b; }", false),
            ("if ($host = a) { rewrite ^ /b permanent; }", false),
            ("if ($cookie_a) { set $x 1; rewrite ^ /b last; }", true),
            ("if ($uri = /a) { rewrite ^ /b last; }", false),
            ("if ($remote_addr = 10.0.0.1) { proxy_pass http://t; }", true),
            ("if ($arg_token = a) { return 302 https://b; }", true),
            ("if ($request_method = A) { return 301 https://b; }", false),
        ] {
            assert_eq!(refuses(&directives(text)[0], &Definitions::default()), yes, "{text}");
        }
        // What variables are made of.
        for (made, text, yes) in [
            ("map $http_user_agent $d { ~b 1; }", "if ($d) { return 403; }", false),
            ("map $http_user_agent $d { ~b 1; } server { set $d 1; }", "if ($d) { return 403; }", true),
            ("map $host $d { a $remote_addr; }", "if ($d) { return 403; }", true),
            ("geo $d { default 1; }", "if ($d) { return 302 https://b; }", true),
            ("server { set $d 0; if ($cookie_a) { set $d 1; } }", "if ($d) { return 302 https://b; }", true),
            ("map $cookie_a $c { a 1; } map $c $d { 1 1; }", "if ($d) { return 302 https://b; }", true),
        ] {
            let definitions = Definitions::collect(&directives(made));
            assert_eq!(refuses(&directives(text)[0], &definitions), yes, "{made} {text}");
        }
    }
}

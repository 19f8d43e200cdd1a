//! `return`, and the forms of `rewrite` and `if` that say the same.

use super::parser::Directive;
use super::scope::{Outcome, changed};
use super::variables::{Known, names, unknown};

/// What `return = …` says, and how it differs.
pub(super) type Answer = (String, Outcome);

/// `return CODE [text]` or `return URL`.
pub(super) fn of_return(directive: &Directive) -> Result<Answer, String> {
    let args = directive.args();
    let text = args.get(1).copied().unwrap_or_default();
    let is_address = |code: &str| matches!(code, "301" | "302" | "303" | "307" | "308");
    let breaks = args.len() == 2 && !is_address(args[0]);
    if text.chars().any(|c| c.is_control() && c != '\t' && !(breaks && matches!(c, '\n' | '\r'))) {
        return Err("the text has a control character; let the application answer".into());
    }
    if let Some(name) = args.iter().find_map(|arg| unknown(arg, Known::Request)) {
        return Err(format!("the gateway has no variable ${name}"));
    }
    let is_address =
        |text: &str| ["http://", "https://", "$scheme://"].iter().any(|start| text.starts_with(start));
    match args[..] {
        [code] | [code, _] if code.parse() == Ok(444_u16) => {
            Ok(("404".into(), changed("the connection is not cut; 404 is answered")))
        }
        [address] if is_address(address) => Ok((address.into(), Outcome::Carried)),
        [code] | [code, ""] => match code.parse::<u16>() {
            Ok(301 | 302 | 303 | 307 | 308) => Err(format!("{code} needs an address")),
            Ok(200..=599) => Ok((code.into(), Outcome::Carried)),
            _ => Err("a status of 200 to 599, or an address, is expected".into()),
        },
        [code, text] => match code.parse::<u16>() {
            Ok(200..=599) => Ok((format!("{code} {text}"), Outcome::Carried)),
            _ => Err("a status of 200 to 599 is expected".into()),
        },
        _ => Err("a status with a text, or an address, is expected".into()),
    }
}

/// A `rewrite` of every path to another host is a `return`.
pub(super) fn of_rewrite(directive: &Directive) -> Option<Answer> {
    let (pattern, target, flag) = match directive.args()[..] {
        [pattern, target] => (pattern, target, "redirect"),
        [pattern, target, flag @ ("permanent" | "redirect")] => (pattern, target, flag),
        _ => return None,
    };
    let status = if flag == "permanent" { "301" } else { "302" };
    let whole = matches!(
        pattern,
        "^" | ".*" | "^.*" | "^.*$" | "(.*)" | "^(.*)" | "^(.*)$" | "^/" | "^/(.*)" | "^/(.*)$"
    );
    if !whole || !["http://", "https://", "$scheme://"].iter().any(|start| target.starts_with(start)) {
        return None;
    }
    let (target, keeps_query) = match target.strip_suffix('?') {
        Some(target) => (target, false),
        None => (target, true),
    };
    let captured = if pattern.starts_with("^/(") { "/$1" } else { "$1" };
    if let Some(base) = target.strip_suffix(captured).filter(|_| pattern.contains('(') && keeps_query) {
        let text = "the path is sent as the client wrote it, not decoded and encoded again";
        return is_host_only(base).then(|| (format!("{status} {base}$request_uri"), changed(text)));
    }
    if let Some(base) = target.strip_suffix("$request_uri") {
        let text = match keeps_query {
            true => "nginx adds the query a second time, the gateway does not",
            false => "the path is sent as the client wrote it; nginx decodes a part of it",
        };
        return is_host_only(base).then(|| (format!("{status} {base}$request_uri"), changed(text)));
    }
    let query = match (keeps_query, target.contains('?')) {
        (false, _) => "",
        (true, false) => "$is_args$args",
        (true, true) => return None,
    };
    is_host_only(target).then(|| (format!("{status} {target}{query}"), Outcome::Carried))
}

/// Without variables that a client can fill with anything, which nginx would encode.
fn is_host_only(text: &str) -> bool {
    names(text)
        .iter()
        .all(|name| matches!(name.as_str(), "host" | "http_host" | "scheme" | "server_name" | "server_port"))
}

/// `if` as the idioms have it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// The request came in without TLS.
    Plain,
    /// It is for this host.
    Host(String),
}

/// The condition and the answer of `if ($scheme = http) { return …; }` and `if ($host = name) { return …; }`.
pub(super) fn of_if(directive: &Directive) -> Option<(Condition, Answer)> {
    let text = directive.args().join(" ");
    let text = text.strip_prefix('(')?.strip_suffix(')')?.trim();
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    let condition = match words[..] {
        ["$scheme", "=", "http"] | ["$scheme", "!=", "https"] | ["$https", "!=", "on"] => Condition::Plain,
        ["$host", "=", name] if !name.contains('$') => Condition::Host(name.to_ascii_lowercase()),
        _ => return None,
    };
    match directive.inner() {
        [one] if one.name() == "return" => Some((condition, of_return(one).ok()?)),
        [one] if one.name() == "rewrite" => Some((condition, of_rewrite(one)?)),
        _ => None,
    }
}

/// `rewrite ^/old/(.*)$ /new/$1 break;` in `location /old/` is a `proxy_pass` with `/new/`.
pub(super) fn new_prefix(directive: &Directive, prefix: &str) -> Option<String> {
    let [pattern, target, "break"] = directive.args()[..] else { return None };
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_".contains(&b));
    let before = pattern.strip_prefix('^')?.trim_end_matches('$').strip_suffix("(.*)")?;
    let new = target.strip_suffix("$1")?;
    (before == prefix && plain(prefix) && plain(new) && new.starts_with('/')).then(|| new.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::tests::directives;

    #[test]
    fn returns_are_taken_over() {
        for (nginx, ours) in [
            ("return 301 https://$host$request_uri;", Some("301 https://$host$request_uri")),
            ("return https://example.com;", Some("https://example.com")),
            ("return 404;", Some("404")),
            ("return 444;", Some("404")),
            ("return 0444 a;", Some("404")),
            ("return 200 'a b';", Some("200 a b")),
            ("return 301;", None),
            ("return 301 https://$1;", None),
            ("return 200 \"a\\nb\\n\";", Some("200 a\nb\n")),
            ("return 301 \"http://a\\n\";", None),
            ("return 200 \"a\\r\\n\\tb\";", Some("200 a\r\n\tb")),
            ("return 200 \"a\u{7f}\";", None),
            ("return 99;", None),
            ("return /x;", None),
        ] {
            let answer = of_return(&directives(nginx)[0]).ok().map(|(text, _)| text);
            assert_eq!(answer.as_deref(), ours, "{nginx}");
        }
    }

    #[test]
    fn rewrites_of_everything_are_returns() {
        for (nginx, ours) in [
            ("^ https://$host$request_uri? permanent", Some("301 https://$host$request_uri")),
            ("^ https://$host$request_uri permanent", Some("301 https://$host$request_uri")),
            ("^(.*)$ https://$host$1 permanent", Some("301 https://$host$request_uri")),
            ("^/(.*)$ https://$host/$1 redirect", Some("302 https://$host$request_uri")),
            ("^ https://example.com/new?", Some("302 https://example.com/new")),
            ("^ https://example.com/new", Some("302 https://example.com/new$is_args$args")),
            ("^ https://example.com/$uri permanent", None),
            ("^/a https://example.com/ permanent", None),
            ("^ /new permanent", None),
            ("^ https://example.com/ last", None),
        ] {
            let answer = of_rewrite(&directives(&format!("rewrite {nginx};"))[0]).map(|(text, _)| text);
            assert_eq!(answer.as_deref(), ours, "{nginx}");
        }
    }

    #[test]
    fn only_the_idioms_of_if_are_known() {
        let of = |text: &str| of_if(&directives(text)[0]).map(|(condition, _)| condition);
        assert_eq!(
            of("if ($scheme = http) { return 301 https://$host$request_uri; }"),
            Some(Condition::Plain)
        );
        assert_eq!(of("if ( $scheme != \"https\" ) { return 403; }"), Some(Condition::Plain));
        assert_eq!(of("if ($host = A.example) { return 404; }"), Some(Condition::Host("a.example".into())));
        assert_eq!(of("if ($host = a) { return 404; set $x 1; }"), None);
        assert_eq!(of("if ($http_x = a) { return 404; }"), None);
    }

    #[test]
    fn a_rewritten_prefix_is_a_prefix() {
        let of = |text: &str| new_prefix(&directives(text)[0], "/old/");
        assert_eq!(of("rewrite ^/old/(.*)$ /new/$1 break;").as_deref(), Some("/new/"));
        assert_eq!(of("rewrite ^/old/(.*) /$1 break;").as_deref(), Some("/"));
        assert_eq!(of("rewrite ^/old/(.*)$ /new/$1 last;"), None);
        assert_eq!(of("rewrite ^/other/(.*)$ /new/$1 break;"), None);
    }
}

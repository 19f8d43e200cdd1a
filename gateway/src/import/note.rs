//! What is said about a directive.

use satchel_common::import::note::{shown, url_without_credentials};
use satchel_common::import::{Kind, Note};

use super::parser::Directive;

/// A note about a directive.
pub(super) fn about(directive: &Directive, kind: Kind, text: impl Into<String>) -> Note {
    Note {
        file: directive.file.to_path_buf(),
        line: directive.line,
        written: written(directive),
        kind,
        text: text.into(),
    }
}

/// What follows a word that has one of these in it is not shown.
const SECRET: [&str; 8] =
    ["authorization", "cookie", "credential", "key", "passw", "secret", "token", "signature"];

/// The directive as it is written, on one line.
fn written(directive: &Directive) -> String {
    let name = directive.name();
    let mut secret = name.starts_with("secure_link");
    let mut words = vec![name.to_owned()];
    for word in directive.words.iter().skip(1) {
        words.push(if secret { "***".into() } else { without_credentials(&word.written) });
        let lower = word.text.to_ascii_lowercase();
        secret |= is_secret(&lower);
    }
    shown(&words.join(" "))
}

fn is_secret(lower: &str) -> bool {
    SECRET.iter().any(|part| lower.contains(part)) && !lower.starts_with("keys_zone")
}

/// `user:password@` of a URL, `password=…`, and what `Authorization` may hold.
fn without_credentials(word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    if lower.contains("basic ") || lower.contains("bearer ") {
        return "***".into();
    }
    match (url_without_credentials(word), word.split_once('=')) {
        (Some(url), _) => url,
        (_, Some((key, _))) if is_secret(&key.to_ascii_lowercase()) => {
            format!("{key}=***")
        }
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::tests::directives;

    #[test]
    fn directives_are_shown_as_written_and_short() {
        let shown = |text: &str| written(&directives(text)[0]);
        assert_eq!(shown("add_header  X-A\n 'b c' always;"), "add_header X-A 'b c' always");
        assert_eq!(shown("location ~ \\.php$ { a; }"), "location ~ \\.php$");
        assert!(shown(&format!("a {};", "b ".repeat(200))).ends_with('…'));
    }

    #[test]
    fn secrets_are_not_shown() {
        for text in [
            "proxy_set_header Authorization \"Basic SECRET\";",
            "proxy_set_header X 'Bearer SECRET';",
            "proxy_set_header X-Api-Key SECRET;",
            "proxy_pass http://user:SECRET@host/;",
            "secure_link_md5 \"$uri SECRET\";",
            "if ($http_x_token != \"SECRET\") { return 403; }",
            "x password=SECRET;",
            "set $secret SECRET;",
        ] {
            let shown = written(&directives(text)[0]);
            assert!(!shown.contains("SECRET"), "{shown}");
        }
    }
}

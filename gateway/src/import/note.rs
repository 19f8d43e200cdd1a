//! What is said about a directive.

use std::fmt;
use std::path::PathBuf;

use super::parser::Directive;

/// What is said about one directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its file.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: usize,
    /// As it is written, shortened, and without what may be a secret.
    pub directive: String,
    /// What became of it.
    pub kind: Kind,
    /// Why, and what to do.
    pub text: String,
}

/// What became of a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is not in the new configuration.
    NotCarried,
    /// It is, but acts differently in what the text names.
    Changed,
    /// Nothing has to take its place.
    NeedsNothing,
}

impl Note {
    pub(super) fn new(directive: &Directive, kind: Kind, text: impl Into<String>) -> Self {
        Self {
            file: directive.file.to_path_buf(),
            line: directive.line,
            directive: written(directive),
            kind,
            text: text.into(),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file.display(), self.line, self.directive, self.text)
    }
}

const LONGEST: usize = 100;

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
    let line = words.join(" ").replace(['\n', '\r', '\t'], " ");
    let mut shown: String = line.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
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
    match (word.split_once("://"), word.split_once('=')) {
        (Some((scheme, rest)), _) if rest.contains('@') => {
            format!("{scheme}://***{}", rest.rsplit_once('@').map_or("", |(_, host)| host))
        }
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

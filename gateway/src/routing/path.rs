//! nginx's `location`: which paths it is for.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

/// Which paths, and before which other location.
#[derive(Debug, Clone)]
pub struct PathMatch {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// `= /path`
    Exact(String),
    /// `/path`
    Prefix(String),
    /// `^~ /path`: no regular expression comes before it.
    Final(String),
    /// `~ regex` and `~* regex`
    Regex(Regex),
}

/// As nginx has PCRE read them: a path is bytes, and `.` fits any of them but a line end.
pub(crate) fn of_bytes(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).unicode(false).build()
}

impl PathMatch {
    /// Reads what nginx has after `location`.
    ///
    /// # Errors
    /// Says what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (word, rest) = match text.split_once(' ') {
            Some((word @ ("=" | "^~" | "~" | "~*"), rest)) => (word, rest.trim()),
            _ => ("", text),
        };
        let regex = |pattern: &str| of_bytes(pattern).map(Kind::Regex).map_err(|error| error.to_string());
        let kind = match word {
            "~" => regex(rest)?,
            "~*" => regex(&format!("(?i){rest}"))?,
            _ if !rest.starts_with('/') => {
                return Err(format!(
                    "'{text}' must be \"/prefix\", \"= /exact\", \"^~ /prefix\", \"~ regex\" or \"~* regex\""
                ));
            }
            "=" => Kind::Exact(rest.to_owned()),
            "^~" => Kind::Final(rest.to_owned()),
            _ => Kind::Prefix(rest.to_owned()),
        };
        Ok(Self { text: text.to_owned(), kind })
    }

    /// How many bytes of `path` it fits as a prefix, or as the whole.
    pub(super) fn prefix_len(&self, path: &[u8]) -> Option<usize> {
        match &self.kind {
            Kind::Exact(exact) => (path == exact.as_bytes()).then_some(exact.len()),
            Kind::Prefix(prefix) | Kind::Final(prefix) => {
                path.starts_with(prefix.as_bytes()).then_some(prefix.len())
            }
            Kind::Regex(_) => None,
        }
    }

    pub(crate) fn matches_regex(&self, path: &[u8]) -> bool {
        let Kind::Regex(regex) = &self.kind else { return false };
        // To PCRE a line end at the end is behind `$`, too: what is closed by `\.git$` is not open with %0a.
        regex.is_match(path) || path.strip_suffix(b"\n").is_some_and(|path| regex.is_match(path))
    }

    /// Whether it is for one path only.
    pub fn is_exact(&self) -> bool {
        matches!(self.kind, Kind::Exact(_))
    }

    pub(super) fn is_final(&self) -> bool {
        matches!(self.kind, Kind::Final(_))
    }

    /// Whether it is a regular expression.
    pub fn is_regex(&self) -> bool {
        matches!(self.kind, Kind::Regex(_))
    }

    /// The path that `proxy_pass` with a path replaces.
    pub fn prefix(&self) -> &str {
        match &self.kind {
            Kind::Exact(path) | Kind::Prefix(path) | Kind::Final(path) => path,
            Kind::Regex(_) => "",
        }
    }
}

impl PartialEq for PathMatch {
    /// Two prefixes are the same location, whichever word stands before them.
    fn eq(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Exact(a), Kind::Exact(b)) => a == b,
            (Kind::Prefix(a) | Kind::Final(a), Kind::Prefix(b) | Kind::Final(b)) => a == b,
            (Kind::Regex(a), Kind::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_expression_reads_bytes_as_nginxs_does() {
        let matches = |regex: &str, path: &[u8]| PathMatch::parse(regex).unwrap().matches_regex(path);
        assert!(matches("~ ^/secret/.*\\.txt$", b"/secret/\xff.txt"), "no text");
        assert!(matches("~ \\.git$", b"/a.git\n") && !matches("~ \\.git$", b"/a.git\n\n"));
        assert!(matches("~* ^/A", b"/a") && !matches("~ ^/A", b"/a"));
        assert!(matches("~ ^/\u{e9}", "/\u{e9}".as_bytes()));
    }
}

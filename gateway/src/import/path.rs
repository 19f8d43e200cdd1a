//! The paths that a location is for, as nginx writes them.

use super::parser::Directive;
use super::regex;
use crate::routing::PathMatch;

/// What stands between `location` and its brace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path<'a> {
    /// `= /path`
    Exact(&'a str),
    /// `/path`
    Prefix(&'a str),
    /// `^~ /path`
    Final(&'a str),
    /// `~` or `~*`, and the expression.
    Regex(&'a str, &'a str),
}

impl<'a> Path<'a> {
    /// Reads it; the error says why no request can be for it.
    pub(super) fn of(directive: &'a Directive) -> Result<Self, String> {
        let (modifier, path) = match directive.args()[..] {
            [modifier, path] => (modifier, path),
            // nginx does not need a blank between them.
            [text] => ["^~", "~*", "=", "~"]
                .iter()
                .find_map(|modifier| Some((*modifier, text.strip_prefix(modifier)?)))
                .unwrap_or(("", text)),
            _ => return Err("a path is expected".into()),
        };
        match modifier {
            "~" | "~*" => Ok(Self::Regex(modifier, path)),
            _ if path.starts_with('@') => {
                Err("a named location can only be reached by what the gateway does not have".into())
            }
            _ if !path.starts_with('/') => Err(format!("'{path}' does not begin with /")),
            "" => Ok(Self::Prefix(path)),
            "=" => Ok(Self::Exact(path)),
            "^~" => Ok(Self::Final(path)),
            _ => Err(format!("'{modifier}' is not known")),
        }
    }

    /// The path that it begins with.
    pub(super) fn prefix(self) -> Option<&'a str> {
        match self {
            Self::Prefix(path) | Self::Final(path) => Some(path),
            Self::Exact(_) | Self::Regex(..) => None,
        }
    }

    /// As the gateway reads it; the error says why it cannot.
    pub(super) fn text(self) -> Result<String, String> {
        let text = match self {
            Self::Exact(path) => format!("= {path}"),
            Self::Prefix(path) => path.to_owned(),
            Self::Final(path) => format!("^~ {path}"),
            Self::Regex(modifier, regex) => {
                regex::check(regex)?;
                format!("{modifier} {regex}")
            }
        };
        // Both can be too large for it.
        PathMatch::parse(&text).map(|_| text).map_err(|_| "the path cannot be used".into())
    }
}

/// All paths that begin with `prefix`, before what stands behind it.
pub(super) fn all_within(prefix: &str) -> String {
    format!("~ ^{}", ::regex::escape(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::tests::directives;

    #[test]
    fn every_form_is_read() {
        let read = |text: &str| {
            let all = directives(&format!("location {text} {{ }}"));
            Path::of(&all[0]).and_then(Path::text)
        };
        for (nginx, ours) in [
            ("/a", "/a"),
            ("=/a", "= /a"),
            ("= /a", "= /a"),
            ("^~/a", "^~ /a"),
            ("~ \\.a$", "~ \\.a$"),
            ("~*\\.a$", "~* \\.a$"),
        ] {
            assert_eq!(read(nginx).as_deref(), Ok(ours), "{nginx}");
        }
        for (nginx, why) in
            [("@x", "named"), ("a", "begin with /"), ("!~ /a", "not known"), ("~ (?!a)", "look-around")]
        {
            assert!(read(nginx).unwrap_err().contains(why), "{nginx}");
        }
    }
}

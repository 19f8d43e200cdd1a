//! nginx's regular expressions are PCRE's; ours have neither look-around nor back references.

use regex::escape;

use crate::routing::of_bytes;

/// Whether the gateway can use it.
pub(super) fn check(regex: &str) -> Result<(), String> {
    match of_bytes(regex) {
        Ok(_) => Ok(()),
        Err(error) => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Err(format!("the regular expression cannot be used: {last}"))
        }
    }
}

/// What every text that fits begins with, also if the gateway cannot use the expression: `/priv` of `^/priv(?!ate)`.
pub(super) fn beginning(regex: &str) -> Option<String> {
    let rest = regex.strip_prefix('^').filter(|_| !may_choose(regex))?;
    Some(literal(rest).0).filter(|text| !text.is_empty())
}

/// The path of a location that is for what `regex` fits and begins with `prefix`, if that can be said.
pub(super) fn within(prefix: &str, modifier: &str, regex: &str) -> Option<String> {
    let as_it_is = || Some(format!("{modifier} {regex}"));
    if prefix == "/" {
        return as_it_is();
    }
    let folds = modifier == "~*";
    if let Some(beginning) = beginning(regex) {
        let certain = !folds || !prefix.contains(char::is_alphabetic);
        return if certain && beginning.starts_with(prefix) { as_it_is() } else { None };
    }
    if may_choose(regex) || !prefix.is_ascii() {
        return None;
    }
    // What fits begins behind the prefix, or with the prefix's end.
    let (text, length) = literal(regex);
    let fold = |text: &str| if folds { text.to_ascii_lowercase() } else { text.to_owned() };
    let (start, low) = (fold(&text), fold(prefix));
    if start.is_empty() || !start.is_ascii() || low.contains(&start) {
        return None;
    }
    let prefix = if folds { format!("(?-i:{})", escape(prefix)) } else { escape(prefix) };
    let ends = (0..low.len()).map(|at| &low[at..]).filter(|end| start.starts_with(end));
    let rest = |end: &str| format!("|{}(?:{})", escape(&text[end.len()..]), &regex[length..]);
    let forms: String = ends.map(rest).collect();
    // Any bytes, as in nginx.
    Some(match forms.is_empty() {
        true => format!("{modifier} ^{prefix}(?s-u:.*){regex}"),
        false => format!("{modifier} ^{prefix}(?:(?s-u:.*)(?:{regex}){forms})"),
    })
}

/// The plain text that an expression begins with, and how many of its bytes say so.
fn literal(regex: &str) -> (String, usize) {
    let mut text = String::new();
    let mut ends = vec![0];
    let mut chars = regex.char_indices();
    while let Some((at, c)) = chars.next() {
        let (c, at) = match c {
            '\\' => match chars.next() {
                Some((at, c)) if !c.is_alphanumeric() => (c, at),
                _ => break,
            },
            '?' | '*' | '+' | '{' => {
                if text.pop().is_some() {
                    ends.pop();
                }
                break;
            }
            '.' | '^' | '$' | '|' | '(' | ')' | '[' | ']' | '}' => break,
            c => (c, at),
        };
        text.push(c);
        ends.push(at + c.len_utf8());
    }
    (text, ends.last().copied().unwrap_or_default())
}

/// Whether `|` may stand for the whole, so that its beginning is that of a part only. Yes, where it is not certain.
fn may_choose(regex: &str) -> bool {
    if ["\\Q", "#", "[:"].iter().any(|odd| regex.contains(odd)) {
        return true;
    }
    let (mut depth, mut in_class) = (0, false);
    let mut chars = regex.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            ']' => in_class = false,
            _ if in_class => {}
            '[' => {
                in_class = true;
                chars.next_if_eq(&'^');
                chars.next_if_eq(&']');
            }
            '(' => depth += 1,
            ')' => depth -= 1,
            '|' if depth <= 0 => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_only_pcre_has_is_named() {
        assert_eq!(check(r"\.(jsp|do)$"), Ok(()));
        assert!(check("^/(?!static)").unwrap_err().contains("look-around"));
        assert!(check(r"(a)\1").unwrap_err().contains("backreferences"));
    }

    #[test]
    fn the_beginning_is_what_is_certain() {
        for (regex, text) in [
            ("^/priv(?!ate)", Some("/priv")),
            ("^/priv(?!ate|acy)", Some("/priv")),
            (r"^/a\.b\-c\d", Some("/a.b-c")),
            ("^/ab?c", Some("/a")),
            ("^/ab*", Some("/a")),
            ("^/ab{2}", Some("/a")),
            ("^/[a|b(]x", Some("/")),
            ("^/a|/b(?!c)", None),
            ("^/(a|b)|c", None),
            ("^(?!/a)", None),
            ("^[]|]a|b", None),
            (r"^/a\Q(\E|b", None),
            ("^/a(?#()|b", None),
            ("/priv(?!ate)", None),
            ("^/?a", None),
        ] {
            assert_eq!(beginning(regex).as_deref(), text, "{regex}");
        }
    }

    proptest! {
        /// It fits what the expression fits and begins with the prefix, and nothing else.
        #[test]
        fn within_a_prefix_is_both(
            prefix in prop_oneof![Just("/"), Just("/a/"), Just("/app/"), Just("/a.b"), Just("/ap")],
            modifier in prop_oneof![Just("~"), Just("~*")],
            regex in prop_oneof![
                Just(r"\.b$"), Just(r"/\."), Just("^/app/b"), Just("^/a"), Just("p/b+"), Just("(a|b)$"), Just("b|^/a"), Just("B"),
                Just("/p|b"), Just("b/a.?$"), Just("[ab]$"), Just("pp"), Just(r"/B\."),
            ],
            path in "/(a|A|app|ap|b|a\\.b)?[ab/.pB]{0,6}",
        ) {
            let matches = |text: &str| {
                crate::routing::PathMatch::parse(text).unwrap().matches_regex(path.as_bytes())
            };
            if let Some(text) = within(prefix, modifier, regex) {
                let both = path.starts_with(prefix) && matches(&format!("{modifier} {regex}"));
                prop_assert_eq!(matches(&text), both, "{} for {}", text, path);
            }
        }
    }
}

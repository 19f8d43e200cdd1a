//! nginx's regular expressions are PCRE's; ours have neither look-around nor back references.

/// Whether the gateway can use it.
pub(super) fn check(regex: &str) -> Result<(), String> {
    match regex::bytes::Regex::new(regex) {
        Ok(_) => Ok(()),
        Err(error) => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Err(format!("the regular expression cannot be used: {last}"))
        }
    }
}

/// For one that cannot be used: what takes all of its paths, and others.
pub(super) fn enclosing(modifier: &str, regex: &str) -> String {
    let prefix = prefix(regex);
    format!("{modifier} ^{}", if prefix.starts_with('/') { regex::escape(&prefix) } else { "/".into() })
}

/// What all that it matches begins with, as far as that is plain to see.
pub(super) fn prefix(regex: &str) -> String {
    let mut prefix = String::new();
    let Some(rest) = regex.strip_prefix('^').filter(|_| !regex.contains('|')) else { return prefix };
    let mut rest = rest.chars().peekable();
    while let Some(c) = rest.next() {
        let escaped = (c == '\\').then(|| rest.next()).flatten().filter(|c| !c.is_alphanumeric());
        match escaped.or((c.is_ascii_alphanumeric() || "/-_".contains(c)).then_some(c)) {
            // What may be there any number of times may not be there.
            Some(literal) if !rest.peek().is_some_and(|next| "?*{".contains(*next)) => prefix.push(literal),
            _ => break,
        }
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::{check, enclosing, prefix};

    #[test]
    fn an_unusable_one_is_enclosed() {
        for (regex, all) in [
            ("^/priv(?!ate)", "~* ^/priv"),
            ("^/a/b?(?=c)", "~* ^/a/"),
            ("^/a(?!b)|^/c", "~* ^/"),
            ("(?<!a)b", "~* ^/"),
            ("^(?!/x)", "~* ^/"),
        ] {
            assert_eq!(enclosing("~*", regex), all);
            assert!(check(all.trim_start_matches("~* ")).is_ok());
        }
        assert_eq!((prefix("^/a\\.b/c+").as_str(), prefix("x$").as_str()), ("/a.b/c", ""));
    }

    #[test]
    fn what_only_pcre_has_is_named() {
        assert_eq!(check(r"\.(jsp|do)$"), Ok(()));
        assert!(check("^/(?!static)").unwrap_err().contains("look-around"));
        assert!(check(r"(a)\1").unwrap_err().contains("backreferences"));
    }
}

//! What takes the place of what a regular expression has found, with its groups as nginx writes them.

use regex::Regex;

/// `$1` to `$9` as the regex crate is told them: to it `$1c` would be a group of the name `1c`.
///
/// # Errors
/// A `$` that is no group of `from`.
pub(crate) fn replacement(from: &Regex, text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        let (name, tail) = group(after).ok_or_else(|| {
            format!("'{text}': only $1 to $9, the groups of the regular expression, are possible behind a $")
        })?;
        let groups = from.captures_len() - 1;
        if name > groups {
            return Err(format!("'{text}': there is no group ${name}; the first part has {groups}"));
        }
        out.push_str(before);
        out.push_str(&format!("${{{name}}}"));
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// As in nginx one digit, so that `$10` is `$1` and a zero; or one in braces.
fn group(after: &str) -> Option<(usize, &str)> {
    let (digit, tail) = match after.strip_prefix('{') {
        Some(braced) => braced.split_once('}')?,
        None => after.split_at_checked(1)?,
    };
    let number = digit.parse().ok().filter(|number| (1..=9).contains(number))?;
    (digit.len() == 1).then_some((number, tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn groups_end_after_their_digit() {
        let from = Regex::new("^/app(.*)$").unwrap();
        for (text, told) in [
            ("/b$1c", "/b${1}c"),
            ("/b${1}c", "/b${1}c"),
            ("$10", "${1}0"),
            ("$1_x$1", "${1}_x${1}"),
            ("/b", "/b"),
            ("/\u{e9}$1", "/\u{e9}${1}"),
        ] {
            assert_eq!(replacement(&from, text).as_deref(), Ok(told));
        }
        for wrong in ["$host", "$", "$$", "a$", "${1", "${11}", "${+1}", "$0", "$2", "$\u{e9}"] {
            assert!(replacement(&from, wrong).is_err(), "{wrong}");
        }
        assert!(replacement(&from, "$2").unwrap_err().contains("no group $2"));
    }

    proptest! {
        /// What is taken means what it says.
        #[test]
        fn what_is_taken_is_put_in(text in "[a-z0-9_/${}]{0,12}", found in "[a-z]{0,5}") {
            let from = Regex::new("^(.*)$").unwrap();
            if let Ok(told) = replacement(&from, &text) {
                let mut out = String::new();
                from.captures(&found).unwrap().expand(&told, &mut out);
                prop_assert_eq!(out, text.replace("${1}", &found).replace("$1", &found));
            }
        }
    }
}

//! The request's `Cookie` header: finding session cookies and leaving exactly one, or none.
//!
//! Tomcat must never see a session cookie that was not looked up, so whatever might be read as one is
//! removed, also where a lenient reader would split at a comma.

/// The values of every cookie called `name`, in the order in which the client sent them.
pub fn values<'a>(headers: impl Iterator<Item = &'a [u8]>, name: &str) -> Vec<&'a [u8]> {
    headers.flat_map(|header| header.split(|b| *b == b';')).filter_map(|pair| value_of(pair, name)).collect()
}

/// The `Cookie` header to send on: every cookie but those called `name`, with `id` in front if there is one.
/// `None` when nothing is left.
pub fn rewrite<'a>(headers: impl Iterator<Item = &'a [u8]>, name: &str, id: Option<&str>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    if let Some(id) = id {
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(id.as_bytes());
    }
    for pair in headers.flat_map(|header| header.split(|b| *b == b';')) {
        let pair = pair.trim_ascii();
        let suspicious = pair.split(|b| *b == b',').any(|part| is_named(part, name));
        if pair.is_empty() || suspicious {
            continue;
        }
        if !out.is_empty() {
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(pair);
    }
    (!out.is_empty()).then_some(out)
}

fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let equals = pair.iter().position(|b| *b == b'=')?;
    let (key, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
    let unquoted = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
    (key == name.as_bytes()).then_some(unquoted)
}

fn is_named(part: &[u8], name: &str) -> bool {
    let end = part.iter().position(|b| *b == b'=').unwrap_or(part.len());
    // Quotes around a name or control bytes before it must not hide it.
    let key = part[..end].trim_ascii();
    let key: Vec<u8> = key.iter().copied().filter(|b| b.is_ascii_graphic() && *b != b'"').collect();
    key.eq_ignore_ascii_case(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(header: &str) -> std::iter::Once<&[u8]> {
        std::iter::once(header.as_bytes())
    }

    #[test]
    fn all_values_are_found_in_order() {
        let header = "a=1; JSESSIONID=one-n1;b=2; JSESSIONID=\"two\"; JSESSIONIDX=no; jsessionid=no";
        assert_eq!(values(one(header), "JSESSIONID"), [b"one-n1".as_slice(), b"two"]);
    }

    #[test]
    fn exactly_one_is_left() {
        let header = "a=1; JSESSIONID=one-n1; b=2; JSESSIONID=two";
        let out = rewrite(one(header), "JSESSIONID", Some("one")).unwrap();
        assert_eq!(out, b"JSESSIONID=one; a=1; b=2");
        assert_eq!(rewrite(one(header), "JSESSIONID", None).unwrap(), b"a=1; b=2");
        assert_eq!(rewrite(one("JSESSIONID=x"), "JSESSIONID", None), None);
    }

    #[test]
    fn what_a_lenient_reader_would_split_is_removed() {
        for header in
            ["a=1,JSESSIONID=x", "\tJSESSIONID =x", "JSESSIONID", "\"JSESSIONID\"=x", "jSessionId=x"]
        {
            assert_eq!(rewrite(one(header), "JSESSIONID", None), None, "{header}");
        }
    }

    proptest! {
        #[test]
        fn never_more_than_the_one_that_was_put_there(header in "[aJSEION=;, \"x]{0,60}") {
            let header = header.replace('J', "JSESSIONID");
            let out = rewrite(one(&header), "JSESSIONID", Some("good")).unwrap();
            prop_assert_eq!(values(std::iter::once(&out[..]), "JSESSIONID"), [b"good".as_slice()]);
            prop_assert!(out.starts_with(b"JSESSIONID=good"));
        }
    }
}

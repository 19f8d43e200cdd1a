//! The response's `Set-Cookie`: only the value ever changes, the attributes stay as Tomcat wrote them.

use std::ops::Range;

/// Where the value stands in `header`, if it sets the cookie `name`.
pub fn value_range(header: &[u8], name: &str) -> Option<Range<usize>> {
    let pair_end = header.iter().position(|b| *b == b';').unwrap_or(header.len());
    let equals = header[..pair_end].iter().position(|b| *b == b'=')?;
    if header[..equals].trim_ascii() != name.as_bytes() {
        return None;
    }
    let value = &header[equals + 1..pair_end];
    let lead = value.len() - value.trim_ascii_start().len();
    let start = equals + 1 + lead;
    let end = start + value.trim_ascii().len();
    // Tomcat does not quote ids; a quoted value is taken without its quotes.
    if end - start >= 2 && header[start] == b'"' && header[end - 1] == b'"' {
        return Some(start + 1..end - 1);
    }
    Some(start..end)
}

/// `header` with its value replaced.
pub fn with_value(header: &[u8], range: &Range<usize>, value: &str) -> Vec<u8> {
    [&header[..range.start], value.as_bytes(), &header[range.end..]].concat()
}

/// The attributes, from the first `;` on.
pub fn attributes(header: &[u8]) -> &[u8] {
    let end = header.iter().position(|b| *b == b';').unwrap_or(header.len());
    &header[end..]
}

/// Whether the cookie is being removed: it has ended already (`Max-Age` of zero or less, `Expires` in 1970).
pub fn is_removal(header: &[u8]) -> bool {
    attributes(header).split(|b| *b == b';').any(|attribute| {
        let text = String::from_utf8_lossy(attribute).trim().to_ascii_lowercase();
        match text.split_once('=') {
            Some(("max-age", seconds)) => seconds.trim().parse::<i64>().is_ok_and(|seconds| seconds <= 0),
            Some(("expires", date)) => date.contains("1970"),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_value_changes() {
        let header = b"JSESSIONID=ABC; Path=/app; HttpOnly; Secure; SameSite=Lax";
        let range = value_range(header, "JSESSIONID").unwrap();
        assert_eq!(&header[range.clone()], b"ABC");
        assert_eq!(
            with_value(header, &range, "ABC-n1"),
            b"JSESSIONID=ABC-n1; Path=/app; HttpOnly; Secure; SameSite=Lax"
        );
        assert_eq!(attributes(header), b"; Path=/app; HttpOnly; Secure; SameSite=Lax");
    }

    #[test]
    fn other_cookies_and_broken_ones_are_left_alone() {
        for header in ["JSESSIONIDX=1", "x=JSESSIONID=1", "JSESSIONID", "; JSESSIONID=1", ""] {
            assert_eq!(value_range(header.as_bytes(), "JSESSIONID"), None, "{header}");
        }
        assert_eq!(value_range(b"JSESSIONID=", "JSESSIONID"), Some(11..11));
        assert_eq!(value_range(b"JSESSIONID=\"\"", "JSESSIONID"), Some(12..12));
        assert_eq!(value_range(b"JSESSIONID=\"", "JSESSIONID"), Some(11..12));
    }

    #[test]
    fn a_removal_is_known() {
        for removal in
            ["A=b; Max-Age=0", "A=; path=/; max-age=-1", "A=b; Expires=Thu, 01-Jan-1970 00:00:10 GMT"]
        {
            assert!(is_removal(removal.as_bytes()), "{removal}");
        }
        for kept in ["A=b", "A=b; Path=/; HttpOnly", "A=b; Max-Age=3600", "A=1970"] {
            assert!(!is_removal(kept.as_bytes()), "{kept}");
        }
    }
}

//! The path of a request as locations see it: decoded, without `.`, `..` and double slashes
//! (`ngx_http_parse_complex_uri` with `merge_slashes on`).

/// A path that leads above the root, or has a zero byte or a broken escape: 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed path")]
pub struct Malformed;

/// The path of `target`, which may have a query.
///
/// # Errors
/// [`Malformed`].
pub fn decode(target: &[u8]) -> Result<Vec<u8>, Malformed> {
    let end = target.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(target.len());
    let mut bytes = Vec::with_capacity(end);
    let mut rest = &target[..end];
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let [high, low, ..] = tail else { return Err(Malformed) };
            let (high, low) = (hex(*high).ok_or(Malformed)?, hex(*low).ok_or(Malformed)?);
            bytes.push(high << 4 | low);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    if bytes.first() != Some(&b'/') || bytes.contains(&0) {
        return Err(Malformed);
    }
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut directory = true;
    for segment in bytes[1..].split(|b| *b == b'/') {
        directory = false;
        match segment {
            b"" | b"." => directory = true,
            b".." => {
                segments.pop().ok_or(Malformed)?;
                directory = true;
            }
            name => segments.push(name),
        }
    }
    let mut path = Vec::with_capacity(bytes.len());
    for segment in &segments {
        path.push(b'/');
        path.extend_from_slice(segment);
    }
    if directory || segments.is_empty() {
        path.push(b'/');
    }
    Ok(path)
}

/// A decoded path as it is sent: `ngx_escape_uri` with `NGX_ESCAPE_URI`.
pub fn encode(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.iter().copied() {
        match byte {
            0..=b' '
            | b'"'
            | b'#'
            | b'%'
            | b'<'
            | b'>'
            | b'?'
            | b'\\'
            | b'^'
            | b'`'
            | b'{'..=b'}'
            | 0x7f..=0xff => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
            _ => out.push(char::from(byte)),
        }
    }
    out
}

/// What an absolute target (`http://host/path`, RFC 9112, 3.2.2) is sent on as; `None`: it is not one. That it names the host that `Host`
/// does, Pingora has seen to.
pub fn origin_form(target: &[u8]) -> Option<Vec<u8>> {
    let scheme = [b"http://".as_slice(), b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))?;
    let rest = &target[scheme.len()..];
    let path = &rest[rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len())..];
    // "http://host?query" has no path.
    Some(if path.starts_with(b"/") { path.to_vec() } else { [b"/", path].concat() })
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_made_plain() {
        for (target, path) in [
            ("/", "/"),
            ("/a/b?c=/../", "/a/b"),
            ("/a//b", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a%2Fb%20c", "/a/b c"),
            ("/%2e%2e%2fx/..", ""),
            ("/a/%2e%2e/b", "/b"),
            ("/a;jsessionid=X/b", "/a;jsessionid=X/b"),
        ] {
            assert_eq!(decode(target.as_bytes()).unwrap_or_default(), path.as_bytes(), "{target}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for target in ["", "a", "/..", "/a/../..", "/%", "/%4", "/%zz", "/a%00b", "*"] {
            assert_eq!(decode(target.as_bytes()), Err(Malformed), "{target}");
        }
    }

    #[test]
    fn an_absolute_target_becomes_a_path() {
        for (target, path) in [
            ("http://a/b?c", Some("/b?c")),
            ("HTTPS://a:1", Some("/")),
            ("http://a?b=/c", Some("/?b=/c")),
            ("/http://a/b", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(origin_form(target.as_bytes()).as_deref(), path.map(str::as_bytes), "{target}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_path_or_none(target in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(path) = decode(&target) {
                prop_assert!(path.starts_with(b"/") && !path.windows(2).any(|two| two == b"//"));
                prop_assert!(!path.split(|b| *b == b'/').any(|segment| segment == b".." || segment == b"."));
            }
        }

        #[test]
        fn what_is_encoded_is_decoded_again(path in "(/[a-z %?#ä]{1,4}){1,4}") {
            prop_assert_eq!(decode(encode(path.as_bytes()).as_bytes()), Ok(path.into_bytes()));
        }
    }
}

//! A session cookie of the sidecar's own: the session has moved to another node, and Tomcat has no reason to set its cookie (R22).

use http::StatusCode;
use http::header::{CACHE_CONTROL, SET_COOKIE};
use pingora_core::Result;
use pingora_http::ResponseHeader;

/// Sets the cookie, if no shared cache may store the response: it would hand the session to everybody. What says nothing about
/// caches is made private. On any other response the old cookie stays, which still finds the session.
///
/// # Errors
/// Attributes that are no part of a header; Tomcat's are.
pub fn reissue(response: &mut ResponseHeader, name: &str, value: &str, attributes: &[u8]) -> Result<()> {
    // A 304 changes what a cache has stored before.
    if response.status == StatusCode::NOT_MODIFIED {
        return Ok(());
    }
    if !response.headers.contains_key(CACHE_CONTROL) {
        response.insert_header(CACHE_CONTROL, "private")?;
    } else if !is_private(response) {
        return Ok(());
    }
    let mut cookie = [name.as_bytes(), b"=", value.as_bytes()].concat();
    for attribute in still_true(attributes) {
        cookie.push(b';');
        cookie.extend_from_slice(attribute);
    }
    response.append_header(SET_COOKIE, cookie)?;
    Ok(())
}

/// Tomcat sets `Max-Age` and, for browsers of old, when that will be over; by now it may be.
fn still_true(attributes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is = |attribute: &[u8], name: &[u8]| {
        let attribute = attribute.trim_ascii_start();
        attribute.len() >= name.len() && attribute[..name.len()].eq_ignore_ascii_case(name)
    };
    let all = || attributes.split(|byte| *byte == b';').skip(1);
    let has_max_age = all().any(|attribute| is(attribute, b"max-age="));
    all().filter(move |attribute| !(has_max_age && is(attribute, b"expires=")))
}

/// RFC 9111, 5.2.2: `private` without field names, or `no-store`.
fn is_private(response: &ResponseHeader) -> bool {
    response.headers.get_all(CACHE_CONTROL).iter().any(|line| {
        line.as_bytes()
            .split(|byte| *byte == b',')
            .map(|directive| directive.trim_ascii().to_ascii_lowercase())
            .any(|directive| directive == b"private" || directive == b"no-store")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, cache_control: Option<&str>) -> ResponseHeader {
        let mut response = ResponseHeader::build(status, None).unwrap();
        if let Some(text) = cache_control {
            response.insert_header(CACHE_CONTROL, text).unwrap();
        }
        reissue(&mut response, "JSESSIONID", "A-n2", b"; Path=/; HttpOnly").unwrap();
        response
    }

    #[test]
    fn expires_goes_when_max_age_says_it_too() {
        let kept = |attributes: &'static str| {
            still_true(attributes.as_bytes()).map(|one| std::str::from_utf8(one).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(
            kept("; Max-Age=5; Expires=Wed, 25 Nov 2026 10:29:12 GMT; Path=/"),
            [" Max-Age=5", " Path=/"]
        );
        assert_eq!(kept("; Expires=x; Path=/"), [" Expires=x", " Path=/"]);
        assert!(kept("").is_empty());
    }

    #[test]
    fn r22_a_cookie_goes_only_where_no_shared_cache_can_keep_it() {
        for allowed in [None, Some("private"), Some("max-age=5, Private"), Some("no-cache, no-store")] {
            let response = response(200, allowed);
            assert_eq!(response.headers[SET_COOKIE], "JSESSIONID=A-n2; Path=/; HttpOnly", "{allowed:?}");
            assert_eq!(response.headers[CACHE_CONTROL], allowed.unwrap_or("private"));
        }
        for refused in ["public", "max-age=60", "no-cache", "public, max-age=5", "private=\"x\""] {
            assert!(!response(200, Some(refused)).headers.contains_key(SET_COOKIE), "{refused}");
        }
        let unchanged = response(304, None);
        assert!(
            !unchanged.headers.contains_key(SET_COOKIE) && !unchanged.headers.contains_key(CACHE_CONTROL)
        );
    }
}

//! The path parameter `;jsessionid=<id>` of request targets and of `Location`.
//!
//! Tomcat reads path parameters before it decodes the path (`CoyoteAdapter.parsePathParameters`), so
//! only the literal text counts and `%3Bjsessionid` is not one.

/// The name of the parameter that goes with a cookie (`SessionConfig.getSessionUriParamName`): Tomcat's
/// default cookie has a lower-case twin, any other name stands as it is.
pub fn name_for(cookie: &str) -> String {
    if cookie == "JSESSIONID" { "jsessionid".to_owned() } else { cookie.to_owned() }
}

/// The value of the first parameter called `name` in the path of `target`.
pub fn value<'a>(target: &'a [u8], name: &str) -> Option<&'a [u8]> {
    parameters(target, name).next().map(|p| &target[p.value_start..p.end])
}

/// `target` with every parameter called `name` removed, or with the value of the first replaced by `id`.
/// `None` when there is nothing to change.
pub fn rewrite(target: &[u8], name: &str, id: Option<&str>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(target.len());
    let mut copied = 0;
    let mut kept = false;
    for parameter in parameters(target, name) {
        out.extend_from_slice(&target[copied..parameter.start]);
        if let (Some(id), false) = (id, kept) {
            out.extend_from_slice(&target[parameter.start..parameter.value_start]);
            out.extend_from_slice(id.as_bytes());
            kept = true;
        }
        copied = parameter.end;
    }
    out.extend_from_slice(&target[copied..]);
    (out != target).then_some(out)
}

struct Parameter {
    /// Where its `;` stands.
    start: usize,
    value_start: usize,
    end: usize,
}

fn parameters<'a>(target: &'a [u8], name: &'a str) -> impl Iterator<Item = Parameter> + 'a {
    let path_end = target.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(target.len());
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + target[at..path_end].iter().position(|b| *b == b';')?;
            let rest = &target[start + 1..path_end];
            let end = start + 1 + rest.iter().position(|b| matches!(b, b';' | b'/')).unwrap_or(rest.len());
            at = end;
            let text = &target[start + 1..end];
            if text.strip_prefix(name.as_bytes()).is_some_and(|value| value.first() == Some(&b'=')) {
                return Some(Parameter { start, value_start: start + 2 + name.len(), end });
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_is_found_only_in_the_path() {
        assert_eq!(value(b"/a;jsessionid=X-n1?b=;jsessionid=Y", "jsessionid"), Some(b"X-n1".as_slice()));
        assert_eq!(value(b"/a;v=1;jsessionid=X/b;jsessionid=Y", "jsessionid"), Some(b"X".as_slice()));
        assert_eq!(value(b"/a?b=;jsessionid=Y", "jsessionid"), None);
        assert_eq!(value(b"/a%3Bjsessionid=Y", "jsessionid"), None);
        assert_eq!(value(b"/a;jsessionidx=Y", "jsessionid"), None);
    }

    #[test]
    fn it_is_replaced_or_removed() {
        let target = b"/a;v=1;jsessionid=X-n1/b;jsessionid=Y?q=1";
        assert_eq!(rewrite(target, "jsessionid", Some("X")).unwrap(), b"/a;v=1;jsessionid=X/b?q=1");
        assert_eq!(rewrite(target, "jsessionid", None).unwrap(), b"/a;v=1/b?q=1");
        assert_eq!(rewrite(b"/a;v=1?q", "jsessionid", Some("X")), None);
    }

    proptest! {
        #[test]
        fn at_most_the_one_that_was_put_there_is_left(target in "[;/?=axj#%]{0,60}") {
            let target = target.replace('j', "jsessionid");
            let none = rewrite(target.as_bytes(), "jsessionid", None).unwrap_or(target.clone().into());
            // Removing one may not glue another together.
            prop_assert_eq!(value(&none, "jsessionid"), None);
            let one = rewrite(target.as_bytes(), "jsessionid", Some("good")).unwrap_or(target.into());
            prop_assert!(parameters(&one, "jsessionid").count() <= 1);
            prop_assert!(value(&one, "jsessionid").is_none_or(|v| v == b"good"));
        }
    }
}

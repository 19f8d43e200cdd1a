//! The path parameter `;jsessionid=<id>` of request targets and of `Location`.
//!
//! Tomcat reads path parameters before it decodes the path (`CoyoteAdapter.parsePathParameters`), so
//! only the literal text counts and `%3Bjsessionid` is not one.

/// The names of the parameter that goes with a cookie (`SessionConfig.getSessionUriParamName`): the cookie's own if it was
/// configured, else `jsessionid`. For `JSESSIONID` it can't be known whether it was.
pub fn names_for(cookie: &str) -> Vec<String> {
    let twin = (cookie == "JSESSIONID").then(|| "jsessionid".to_owned());
    twin.into_iter().chain([cookie.to_owned()]).collect()
}

/// The value of the first parameter with one of these names in the path of `target`.
pub fn value<'a>(target: &'a [u8], names: &[String]) -> Option<&'a [u8]> {
    parameters(target, names).next().map(|p| &target[p.value_start..p.end])
}

/// `target` with every parameter of these names removed, or with the value of the first replaced by `id`.
/// `None` when there is nothing to change.
pub fn rewrite(target: &[u8], names: &[String], id: Option<&str>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(target.len());
    let mut copied = 0;
    let mut kept = false;
    for parameter in parameters(target, names) {
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

fn parameters<'a>(target: &'a [u8], names: &'a [String]) -> impl Iterator<Item = Parameter> + 'a {
    let path_end = target.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(target.len());
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + target[at..path_end].iter().position(|b| *b == b';')?;
            let rest = &target[start + 1..path_end];
            let end = start + 1 + rest.iter().position(|b| matches!(b, b';' | b'/')).unwrap_or(rest.len());
            at = end;
            let text = &target[start + 1..end];
            let named = |name: &&String| {
                text.strip_prefix(name.as_bytes()).is_some_and(|value| value.first() == Some(&b'='))
            };
            if let Some(name) = names.iter().find(named) {
                return Some(Parameter { start, value_start: start + 2 + name.len(), end });
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names() -> Vec<String> {
        names_for("JSESSIONID")
    }

    #[test]
    fn both_names_that_tomcat_may_read_are_known() {
        assert_eq!(value(b"/a;JSESSIONID=X", &names()), Some(b"X".as_slice()));
        assert_eq!(
            rewrite(b"/a;JSESSIONID=X;jsessionid=Y", &names(), Some("Z")).unwrap(),
            b"/a;JSESSIONID=Z"
        );
        assert_eq!(names_for("SID"), ["SID"]);
    }

    #[test]
    fn it_is_found_only_in_the_path() {
        assert_eq!(value(b"/a;jsessionid=X-n1?b=;jsessionid=Y", &names()), Some(b"X-n1".as_slice()));
        assert_eq!(value(b"/a;v=1;jsessionid=X/b;jsessionid=Y", &names()), Some(b"X".as_slice()));
        assert_eq!(value(b"/a?b=;jsessionid=Y", &names()), None);
        assert_eq!(value(b"/a%3Bjsessionid=Y", &names()), None);
        assert_eq!(value(b"/a;jsessionidx=Y", &names()), None);
    }

    #[test]
    fn it_is_replaced_or_removed() {
        let target = b"/a;v=1;jsessionid=X-n1/b;jsessionid=Y?q=1";
        assert_eq!(rewrite(target, &names(), Some("X")).unwrap(), b"/a;v=1;jsessionid=X/b?q=1");
        assert_eq!(rewrite(target, &names(), None).unwrap(), b"/a;v=1/b?q=1");
        assert_eq!(rewrite(b"/a;v=1?q", &names(), Some("X")), None);
    }

    proptest! {
        #[test]
        fn at_most_the_one_that_was_put_there_is_left(target in "[;/?=axj#%]{0,60}") {
            let target = target.replace('j', "jsessionid");
            let none = rewrite(target.as_bytes(), &names(), None).unwrap_or(target.clone().into());
            // Removing one may not glue another together.
            prop_assert_eq!(value(&none, &names()), None);
            let one = rewrite(target.as_bytes(), &names(), Some("good")).unwrap_or(target.into());
            prop_assert!(parameters(&one, &names()).count() <= 1);
            prop_assert!(value(&one, &names()).is_none_or(|v| v == b"good"));
        }
    }
}

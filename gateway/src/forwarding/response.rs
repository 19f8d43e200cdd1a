//! A server's answer as the client sees it: where redirects and cookies point to, which fields it has.

use http::header::{CONTENT_TYPE, LOCATION, REFRESH, SET_COOKIE};
use http::{HeaderName, HeaderValue};
use pingora_core::Result;
use pingora_http::ResponseHeader;
use regex::Regex;

use crate::config::{AddHeader, Redirects};
use crate::template::Variables;

/// nginx's `charset_types`.
const TEXTS: [&str; 6] = [
    "text/html",
    "text/xml",
    "text/plain",
    "text/vnd.wap.wml",
    "application/javascript",
    "application/rss+xml",
];

/// Where `proxy_pass` leads, as far as redirects tell of it: what the server believes to be asked for is `http://upstream` and then …
pub struct Passed<'a> {
    /// The upstream's name.
    pub upstream: &'a str,
    /// … this path, …
    pub from: &'a str,
    /// … and the client has asked for this one.
    pub to: &'a str,
}

/// Rewrites `Location` and `Refresh` as nginx's `proxy_redirect` does. A path alone becomes an address of the host that the client named.
///
/// # Errors
/// A value that is no header value.
pub fn rewrite_redirect(
    response: &mut ResponseHeader,
    redirects: &Redirects,
    passed: Option<&Passed<'_>>,
    variables: &Variables<'_>,
) -> Result<()> {
    let rewrite = |text: &str| -> Option<String> {
        match redirects {
            Redirects::Default => {
                let passed = passed?;
                let path = text.strip_prefix("http://")?.strip_prefix(passed.upstream)?;
                let rest = path.strip_prefix(passed.from)?;
                Some(format!("{}{rest}", passed.to))
            }
            Redirects::Rules(rules) => rules.iter().find_map(|(from, to)| {
                let whole = from.find(text)?;
                Some(format!(
                    "{}{}{}",
                    &text[..whole.start()],
                    to.render_field(variables),
                    &text[whole.end()..]
                ))
            }),
        }
    };
    if let Some(location) = text_of(response, &LOCATION)
        && let Some(new) = rewrite(&location)
    {
        let new = if new.starts_with('/') { format!("{}{new}", origin(variables)) } else { new };
        response.insert_header(LOCATION, new)?;
    }
    if let Some(refresh) = text_of(response, &REFRESH)
        && let Some(at) = refresh.to_ascii_lowercase().find("url=")
        && let Some(new) = rewrite(&refresh[at + 4..])
    {
        response.insert_header(REFRESH, format!("{}{new}", &refresh[..at + 4]))?;
    }
    Ok(())
}

fn text_of(response: &ResponseHeader, name: &HeaderName) -> Option<String> {
    response.headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// `scheme://host` with a port that is not the scheme's own.
pub(crate) fn origin(variables: &Variables<'_>) -> String {
    let default = if variables.scheme == "https" { 443 } else { 80 };
    let host = variables.host();
    if variables.server_port == default {
        format!("{}://{host}", variables.scheme)
    } else {
        format!("{}://{host}:{}", variables.scheme, variables.server_port)
    }
}

/// nginx's `proxy_cookie_path`: the first rule that fits the path counts.
///
/// # Errors
/// A value that is no header value.
pub fn rewrite_cookie_paths(response: &mut ResponseHeader, rules: &[(Regex, String)]) -> Result<()> {
    if rules.is_empty() || !response.headers.contains_key(SET_COOKIE) {
        return Ok(());
    }
    let cookies: Vec<HeaderValue> = response.headers.get_all(SET_COOKIE).iter().cloned().collect();
    response.remove_header(&SET_COOKIE);
    for cookie in cookies {
        let new = cookie.to_str().ok().and_then(|text| with_path(text, rules));
        match new {
            Some(new) => response.append_header(SET_COOKIE, new)?,
            None => response.append_header(SET_COOKIE, cookie)?,
        };
    }
    Ok(())
}

fn with_path(cookie: &str, rules: &[(Regex, String)]) -> Option<String> {
    let mut start = cookie.find(';')? + 1;
    loop {
        let end = cookie[start..].find(';').map_or(cookie.len(), |at| start + at);
        let attribute = &cookie[start..end];
        let name = attribute.trim_start();
        if name.get(..5).is_some_and(|name| name.eq_ignore_ascii_case("path=")) {
            let value = start + (attribute.len() - name.len()) + 5;
            let path = &cookie[value..end];
            return rules.iter().find_map(|(from, to)| {
                let found = from.captures(path)?;
                let whole = found.get(0)?;
                let mut out = cookie[..value + whole.start()].to_owned();
                found.expand(to, &mut out);
                out.push_str(&path[whole.end()..]);
                out.push_str(&cookie[end..]);
                Some(out)
            });
        }
        if end == cookie.len() {
            return None;
        }
        start = end + 1;
    }
}

/// Takes fields away.
pub fn hide_headers(response: &mut ResponseHeader, names: &[HeaderName]) {
    for name in names {
        response.remove_header(name);
    }
}

/// nginx's `add_header`: to successes and redirects, and with `always` to errors. `Content-Type` takes the place of the one that is there:
/// nobody can use two.
///
/// # Errors
/// A value that is no header value.
pub fn add_headers(
    response: &mut ResponseHeader,
    add: &[AddHeader],
    variables: &Variables<'_>,
) -> Result<()> {
    let usual = matches!(response.status.as_u16(), 200 | 201 | 204 | 206 | 301..=304 | 307 | 308);
    for one in add.iter().filter(|one| usual || one.always) {
        let value = one.value.render_field(variables);
        if value.is_empty() {
            continue;
        }
        if one.name == CONTENT_TYPE {
            response.insert_header(CONTENT_TYPE, value)?;
        } else {
            response.append_header(one.name.clone(), value)?;
        }
    }
    Ok(())
}

/// nginx's `charset`: a text that names no character set is said to be in this one.
///
/// # Errors
/// None: the value is valid.
pub fn name_charset(response: &mut ResponseHeader, charset: Option<&str>) -> Result<()> {
    let (Some(charset), Some(kind)) = (charset, text_of(response, &CONTENT_TYPE)) else { return Ok(()) };
    let lower = kind.to_ascii_lowercase();
    let media = lower.split(';').next().unwrap_or_default().trim();
    // As nginx: not where there is nothing to read.
    if TEXTS.contains(&media) && !lower.contains("charset=") && !response.status.is_redirection() {
        response.insert_header(CONTENT_TYPE, format!("{kind}; charset={charset}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;
    use pingora_http::RequestHeader;
    use proptest::prelude::*;

    fn redirected(redirects: &Redirects, location: &str) -> String {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.insert_header("Host", "shop.example:8080").unwrap();
        let variables =
            Variables { server_port: 8080, ..Variables::of(&request, "127.0.0.1".parse().unwrap()) };
        let mut response = ResponseHeader::build(302, None).unwrap();
        response.insert_header(LOCATION, location).unwrap();
        let passed = Passed { upstream: "tomcats", from: "/app/", to: "/shop/" };
        rewrite_redirect(&mut response, redirects, Some(&passed), &variables).unwrap();
        response.headers[LOCATION].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_redirect_to_the_upstream_becomes_one_to_us() {
        let default = Redirects::Default;
        assert_eq!(redirected(&default, "http://tomcats/app/x"), "http://shop.example:8080/shop/x");
        assert_eq!(redirected(&default, "http://other/app/x"), "http://other/app/x");
        assert_eq!(redirected(&default, "/app/x"), "/app/x", "a path alone is left, as nginx does");
        let rules = Redirects::Rules(vec![
            (Regex::new("^http://localhost:8000/").unwrap(), Template::parse("http://$host:80/").unwrap()),
            (Regex::new("^http://([^:]+):\\d+(/.*)$").unwrap(), Template::parse("https://x/").unwrap()),
        ]);
        assert_eq!(redirected(&rules, "http://localhost:8000/two/"), "http://shop.example:80/two/");
        assert_eq!(redirected(&rules, "http://a:1/b"), "https://x/");
        assert_eq!(redirected(&Redirects::Rules(Vec::new()), "http://tomcats/app/x"), "http://tomcats/app/x");
    }

    #[test]
    fn cookie_paths_are_rewritten_and_nothing_else() {
        let rules = [(Regex::new("^/app").unwrap(), "/shop".to_owned())];
        for (cookie, new) in [
            ("a=/app; Path=/app; HttpOnly", Some("a=/app; Path=/shop; HttpOnly")),
            ("a=b; HttpOnly;path=/app/x", Some("a=b; HttpOnly;path=/shop/x")),
            ("a=b; Path=/other", None),
            ("a=b", None),
            ("a=b; XPath=/app", None),
        ] {
            assert_eq!(with_path(cookie, &rules).as_deref(), new, "{cookie}");
        }
    }

    #[test]
    fn fields_are_added_and_a_type_replaced() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        response.insert_header(CONTENT_TYPE, "text/plain").unwrap();
        response.insert_header("Vary", "Cookie").unwrap();
        let request = RequestHeader::build("GET", b"/", None).unwrap();
        let variables = Variables::of(&request, "127.0.0.1".parse().unwrap());
        let add = |name: &str, value: &str| AddHeader {
            name: name.parse().unwrap(),
            value: Template::parse(value).unwrap(),
            always: false,
        };
        let added = [add("Content-Type", "text/html"), add("Vary", "Origin"), add("X-None", "$arg_x")];
        add_headers(&mut response, &added, &variables).unwrap();
        let values = |name| response.headers.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(values("Content-Type"), ["text/html"]);
        assert_eq!(values("Vary"), ["Cookie", "Origin"]);
        assert!(values("X-None").is_empty());
    }

    #[test]
    fn a_text_without_a_charset_gets_one() {
        let typed = |kind: &str| {
            let mut response = ResponseHeader::build(200, None).unwrap();
            response.insert_header(CONTENT_TYPE, kind).unwrap();
            name_charset(&mut response, Some("utf-8")).unwrap();
            response.headers[CONTENT_TYPE].to_str().unwrap().to_owned()
        };
        assert_eq!(typed("text/html"), "text/html; charset=utf-8");
        assert_eq!(typed("text/html;charset=ISO-8859-1"), "text/html;charset=ISO-8859-1");
        assert_eq!(typed("image/png"), "image/png");
    }

    proptest! {
        #[test]
        fn any_cookie_can_be_looked_at(cookie in "\\PC{0,60}") {
            let _ = with_path(&cookie, &[(Regex::new("^/").unwrap(), "/x/".to_owned())]);
        }
    }
}
